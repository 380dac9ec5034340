/**
 * The PROXY protocol, versions 1 and 2: what a TCP proxy in front of us says about the client, before the client's own
 * first byte. https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
 */
import { isIPv4, isIPv6, type Socket, SocketAddress } from "node:net";
import type { Opened } from "../frames.ts";
import { plainAddress } from "./limits.ts";

type Ends = Pick<Opened, "remote" | "local">;

/** `ends` is undefined where the proxy speaks for itself (LOCAL, UNKNOWN): then the connection's own ends count. */
export type ProxyHeader =
  | { readonly is: "partial" }
  | { readonly is: "garbled" }
  | { readonly is: "header"; readonly length: number; readonly ends: Ends | undefined };

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const text = Buffer.from("PROXY ", "latin1");
/** §2.1: 107 bytes, CRLF included. */
const longestText = 107;
/** Addresses and what proxies add to them (§2.2) are a few hundred bytes; the format would allow 64 KiB. */
const longestBinary = 4096;
const partial: ProxyHeader = { is: "partial" };
const garbled: ProxyHeader = { is: "garbled" };

/** Reads the header at the start of `bytes`; answers as soon as it is sure that there is none. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsAlike(bytes, signature)) return bytes.length < 16 ? partial : readBinary(bytes);
  if (startsAlike(bytes, text)) return readText(bytes);
  return garbled;
}

function startsAlike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

/** `PROXY TCP4 192.0.2.1 198.51.100.7 56324 5222\r\n`, §2.1 */
function readText(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, longestText).indexOf("\r\n");
  if (end < 0) return bytes.length < longestText ? partial : garbled;
  const length = end + 2;
  const [, family, from = "", to = "", fromPort = "", toPort = "", ...more] = bytes
    .subarray(0, end)
    .toString("latin1")
    .split(" ");
  if (family === "UNKNOWN") return { is: "header", length, ends: undefined };
  const fits = family === "TCP4" ? isIPv4 : family === "TCP6" ? isPlainIPv6 : undefined;
  if (fits === undefined || more.length > 0 || !fits(from) || !fits(to)) return garbled;
  const [remotePort, localPort] = [readPort(fromPort), readPort(toPort)];
  if (remotePort === undefined || localPort === undefined) return garbled;
  const ends = {
    remote: { address: canonical(from), port: remotePort },
    local: { address: canonical(to), port: localPort },
  };
  return { is: "header", length, ends };
}

/** Signature, version and command, family and transport, length, addresses, extensions (not read). §2.2 */
function readBinary(bytes: Buffer): ProxyHeader {
  const versionAndCommand = bytes[12] ?? 0;
  const family = bytes[13] ?? 0;
  const length = 16 + bytes.readUInt16BE(14);
  const isLocal = versionAndCommand === 0x20;
  if ((!isLocal && versionAndCommand !== 0x21) || length > longestBinary) return garbled;
  const size = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  // Family unspecified: the proxy does not know. Datagrams and Unix sockets are not what came here.
  if (!isLocal && ((size === 0 && family !== 0x00) || length < 16 + (size === 0 ? 0 : 2 * size + 4))) return garbled;
  if (bytes.length < length) return partial;
  if (isLocal || size === 0) return { is: "header", length, ends: undefined };
  const ports = 16 + 2 * size;
  const ends = {
    remote: { address: addressAt(bytes, 16, size), port: bytes.readUInt16BE(ports) },
    local: { address: addressAt(bytes, 16 + size, size), port: bytes.readUInt16BE(ports + 2) },
  };
  return { is: "header", length, ends };
}

function addressAt(bytes: Buffer, at: number, size: number): string {
  if (size === 4) return bytes.subarray(at, at + 4).join(".");
  const groups = Array.from({ length: 8 }, (_, place) => bytes.readUInt16BE(at + 2 * place).toString(16));
  return canonical(groups.join(":"));
}

function canonical(address: string): string {
  return isIPv6(address) ? plainAddress(new SocketAddress({ address, family: "ipv6" }).address) : address;
}

function isPlainIPv6(address: string): boolean {
  return isIPv6(address) && !address.includes("%");
}

function readPort(given: string): number | undefined {
  const port = /^(0|[1-9]\d{0,4})$/.test(given) ? Number(given) : 65_536;
  return port < 65_536 ? port : undefined;
}

/**
 * Reads the header off a connection and leaves what follows to the next reader, paused. `told` is called once: with the
 * header's ends (undefined: the connection's own), or with why there is none: garbled, late, or an end before it.
 *
 * @returns gives the wait up without calling `told`
 */
export function awaitProxyHeader(
  socket: Socket,
  withinMs: number,
  told: (ends: Ends | undefined, wrong: "garbled" | "late" | "ended" | undefined) => void,
): () => void {
  let bytes: Buffer = Buffer.alloc(0);
  const late = setTimeout(() => finish(undefined, "late"), withinMs);
  const ended = () => finish(undefined, "ended");
  const read = (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    const found = readProxyHeader(bytes);
    if (found.is === "partial") return;
    if (found.is === "garbled") return finish(undefined, "garbled");
    socket.pause();
    // Once paused, what is put back waits for whoever reads next: the client's own first bytes, perhaps its TLS hello.
    if (bytes.length > found.length) socket.unshift(bytes.subarray(found.length));
    finish(found.ends, undefined);
  };
  const stop = () => {
    clearTimeout(late);
    socket.off("data", read).off("end", ended).off("close", ended);
  };
  const finish: typeof told = (ends, wrong) => {
    stop();
    told(ends, wrong);
  };
  socket.on("data", read).once("end", ended).once("close", ended);
  return stop;
}
