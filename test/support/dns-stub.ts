/** A name server on loopback that answers SRV questions from a table, and says of every other name that it is not there. */
import { createSocket } from "node:dgram";

export interface SrvAnswer {
  readonly name: string;
  readonly port: number;
}

export interface DnsStub {
  /** As `dns.setServers` takes it. */
  readonly address: string;
  /** Questions so far, as they were asked. */
  readonly asked: readonly string[];
  answer(name: string, records: readonly SrvAnswer[]): void;
  close(): Promise<void>;
}

const typeSrv = 33;
const noSuchName = 3;

export async function dnsStub(): Promise<DnsStub> {
  const table = new Map<string, readonly SrvAnswer[]>();
  const asked: string[] = [];
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    const { name, type, end } = questionOf(query);
    asked.push(name);
    const records = type === typeSrv ? (table.get(name) ?? []) : [];
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180 | (records.length === 0 ? noSuchName : 0), 2);
    head.writeUInt16BE(records.length, 6);
    head.fill(0, 8, 12);
    socket.send(Buffer.concat([head, query.subarray(12, end), ...records.map(recordOf)]), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    answer: (name, records) => void table.set(name, records),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join(".").toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** The owner is the question's name (RFC 1035 §4.1.4); RFC 2782 */
function recordOf({ name, port }: SrvAnswer): Buffer {
  const target = Buffer.concat([
    ...name.split(".").map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, "latin1")),
    Buffer.from([0]),
  ]);
  const head = Buffer.alloc(18);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(typeSrv, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(60, 6);
  head.writeUInt16BE(6 + target.length, 10);
  head.writeUInt16BE(5, 14);
  head.writeUInt16BE(port, 16);
  return Buffer.concat([head, target]);
}
