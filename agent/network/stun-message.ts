/** The two messages of STUN that we need: a Binding request and its answer. RFC 8489 §5, §14 */
import { SocketAddress } from "node:net";

const cookie = Buffer.from([0x21, 0x12, 0xa4, 0x42]);
const headerBytes = 20;
const type = { request: 0x0001, success: 0x0101, error: 0x0111 } as const;
const attribute = { mapped: 0x0001, errorCode: 0x0009, xorMapped: 0x0020 } as const;
/** Below this an attribute must be understood (§14); what old and new servers send in a Binding answer all the same. */
const optionalFrom = 0x8000;
const ignored = new Set([0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0008, 0x000b, 0x0014, 0x0015, 0x001c, 0x001e]);

export type BindingAnswer =
  | { readonly is: "address"; readonly address: string; readonly port: number }
  | { readonly is: "error"; readonly why: string };

/** @param id transaction id, 12 random bytes */
export function bindingRequest(id: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, type.request, 0, 0]), cookie, id]);
}

/** Undefined for whatever is not an answer to the transaction `id`: it is to be dropped in silence (§6.3). */
export function readBindingAnswer(bytes: Buffer, id: Buffer): BindingAnswer | undefined {
  if (bytes.length < headerBytes || bytes.readUInt16BE(2) !== bytes.length - headerBytes) return undefined;
  if (!bytes.subarray(4, 8).equals(cookie) || !bytes.subarray(8, headerBytes).equals(id)) return undefined;
  const kind = bytes.readUInt16BE(0);
  if (kind !== type.success && kind !== type.error) return undefined;
  const attributes = readAttributes(bytes.subarray(headerBytes));
  if (attributes === undefined) return undefined;
  if (kind === type.error) return { is: "error", why: errorOf(attributes.get(attribute.errorCode)) };
  const strange = [...attributes.keys()].find((one) => one < optionalFrom && !known.has(one) && !ignored.has(one));
  if (strange !== undefined) return { is: "error", why: `it answers with the unknown attribute ${strange}` };
  const plain = xored(attributes.get(attribute.xorMapped), bytes) ?? attributes.get(attribute.mapped);
  return readAddress(plain) ?? { is: "error", why: "it answers without an address" };
}

const known = new Set<number>(Object.values(attribute));

/** The first of each type counts (§14). Undefined if they do not fit into the message. */
function readAttributes(bytes: Buffer): Map<number, Buffer> | undefined {
  const found = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4) return undefined;
    const [name, length] = [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)];
    if (bytes.length - at - 4 < length) return undefined;
    if (!found.has(name)) found.set(name, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return found;
}

/** XOR-MAPPED-ADDRESS as MAPPED-ADDRESS: NATs that rewrite addresses inside packets miss it. §14.2 */
function xored(value: Buffer | undefined, message: Buffer): Buffer | undefined {
  if (value === undefined) return undefined;
  const mask = Buffer.concat([Buffer.alloc(2), message.subarray(4, 6), message.subarray(4, headerBytes)]);
  return Buffer.from(value.map((byte, at) => byte ^ (mask[at] ?? 0)));
}

/** Zero, family, port, address. §14.1 */
function readAddress(value: Buffer | undefined): BindingAnswer | undefined {
  const family = value?.[1];
  const length = family === 1 ? 4 : family === 2 ? 16 : undefined;
  if (value === undefined || length === undefined || value.length !== 4 + length) return undefined;
  const address = value.subarray(4);
  return { is: "address", address: length === 4 ? address.join(".") : groups(address), port: value.readUInt16BE(2) };
}

function groups(bytes: Buffer): string {
  const each = Array.from({ length: 8 }, (_, place) => bytes.readUInt16BE(2 * place).toString(16));
  const { address } = new SocketAddress({ address: each.join(":"), family: "ipv6" });
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

function errorOf(value: Buffer | undefined): string {
  if (value === undefined || value.length < 4) return "it refuses";
  const reason = value
    .subarray(4)
    .toString()
    .replaceAll(/[^ -~]/g, "")
    .slice(0, 100);
  return `it refuses with ${((value[2] ?? 0) & 7) * 100 + (value[3] ?? 0)} ${reason}`.trim();
}
