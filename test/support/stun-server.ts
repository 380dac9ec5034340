/** A STUN server of the tests' own on a UDP port of the loopback, which answers as it is told. RFC 8489 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";

/** One attribute: type and value. */
export type Attribute = readonly [type: number, value: Buffer];

export interface TestStunServer {
  readonly port: number;
  readonly socket: Socket;
  readonly requests: Buffer[];
  close(): void;
}

/** Calls `answer` for each request; what it returns is sent back. */
export async function stunServer(
  answer: (request: Buffer, from: RemoteInfo) => Buffer | undefined,
  host = "127.0.0.1",
): Promise<TestStunServer> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const requests: Buffer[] = [];
  socket.on("message", (request, from) => {
    requests.push(request);
    const bytes = answer(request, from);
    if (bytes !== undefined) socket.send(bytes, from.port, from.address);
  });
  socket.bind(0, host);
  await once(socket, "listening");
  return { port: socket.address().port, socket, requests, close: () => socket.close() };
}

/** An answer to `request`: by default a Binding success. */
export function stunAnswer(request: Buffer, attributes: readonly Attribute[], type = 0x0101): Buffer {
  const body = Buffer.concat(
    attributes.map(([name, value]) => {
      const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
      padded.writeUInt16BE(name, 0);
      padded.writeUInt16BE(value.length, 2);
      value.copy(padded, 4);
      return padded;
    }),
  );
  const head = Buffer.from(request.subarray(0, 20));
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** MAPPED-ADDRESS, or with the request XOR-MAPPED-ADDRESS, of an IPv4 address. */
export function mapped(address: string, port: number, request?: Buffer): Attribute {
  const value = Buffer.from([0, 1, port >> 8, port & 255, ...address.split(".").map(Number)]);
  if (request === undefined) return [0x0001, value];
  const mask = Buffer.concat([Buffer.alloc(2), request.subarray(4, 6), request.subarray(4, 8)]);
  return [0x0020, Buffer.from(value.map((byte, at) => byte ^ (mask[at] ?? 0)))];
}
