/** `FIREKEEPER_PROBE_FROM`: SOCKS5 proxies outside the network, through which we look at ourselves. RFC 1928, without authentication. */
import { once } from "node:events";
import { connect, isIP, type Socket } from "node:net";

export interface VantagePoint {
  /** As it was given. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** `socks5://vps.example.org:1080, socks5://[2001:db8::1]`; undefined if one cannot be read. The port is 1080 unless given. */
export function readVantagePoints(list: string): VantagePoint[] | undefined {
  const points: VantagePoint[] = [];
  for (const name of list.split(/[\s,]+/).filter((text) => text !== "")) {
    const found = /^socks5h?:\/\/(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::(\d{1,5}))?\/?$/i.exec(name);
    const host = found?.[1] ?? found?.[2];
    const port = Number(found?.[3] ?? 1080);
    if (host === undefined || port < 1 || port > 65_535) return undefined;
    points.push({ name, host, port });
  }
  return points;
}

const refusals: Readonly<Record<number, string>> = {
  2: "the proxy does not allow it",
  3: "the network is unreachable from there",
  4: "the host is unreachable from there",
  5: "the connection is refused",
  6: "nothing answers",
};

/** A connection to `to` as the proxy makes it; the caller closes it. Rejects with one sentence. */
export async function connectFrom(
  point: Pick<VantagePoint, "host" | "port">,
  to: { readonly host: string; readonly port: number },
  timeoutMs: number,
): Promise<Socket> {
  const socket = connect({ host: point.host, port: point.port });
  socket.on("error", () => {});
  const limit = setTimeout(
    () => socket.destroy(new Error(`no answer through the proxy within ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  try {
    await once(socket, "connect");
    socket.write(Buffer.from([5, 1, 0]));
    const [version, method] = await take(socket, 2);
    if (version !== 5 || method !== 0) throw new Error("the proxy is no SOCKS5 proxy that lets us in");
    socket.write(Buffer.concat([Buffer.from([5, 1, 0]), target(to.host), portBytes(to.port)]));
    const [, reply = 1, , kind] = await take(socket, 4);
    if (reply !== 0) throw new Error(refusals[reply] ?? `the proxy answers with ${reply}`);
    const length = kind === 1 ? 4 : kind === 4 ? 16 : ((await take(socket, 1))[0] ?? 0);
    await take(socket, length + 2);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(limit);
  }
}

/** Type and address as the request has them; IPv6 is told by its 16 bytes. §5 */
function target(host: string): Buffer {
  switch (isIP(host)) {
    case 4:
      return Buffer.from([1, ...host.split(".").map(Number)]);
    case 6:
      return Buffer.concat([Buffer.from([4]), ipv6Bytes(host)]);
    default:
      return Buffer.concat([Buffer.from([3, Buffer.byteLength(host)]), Buffer.from(host)]);
  }
}

function ipv6Bytes(address: string): Buffer {
  // A URL has the canonical hexadecimal form, without a dotted tail.
  const [head = "", tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split("::");
  const [left, right] = [head, tail ?? ""].map((part) => (part === "" ? [] : part.split(":")));
  const zeros = Array.from({ length: 8 - (left?.length ?? 0) - (right?.length ?? 0) }, () => "0");
  const words = [...(left ?? []), ...zeros, ...(right ?? [])];
  return Buffer.from(words.map((word) => word.padStart(4, "0")).join(""), "hex");
}

function portBytes(port: number): Buffer {
  return Buffer.from([port >> 8, port & 255]);
}

async function take(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read(bytes);
    if (chunk !== null) return chunk;
    if (socket.readableEnded) throw new Error("the proxy closed the connection");
    await Promise.race([
      once(socket, "readable"),
      once(socket, "end").then(closed),
      once(socket, "close").then(closed),
    ]);
  }
}

function closed(): never {
  throw new Error("the proxy closed the connection");
}
