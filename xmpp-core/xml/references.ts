import { isXmlChar } from "./characters.ts";
import { fault } from "./fault.ts";

/** A reference longer than this is refused, so that a dripped one costs no more than its length. */
const longest = 64;

/**
 * Checks one reference whose `&` stands at `at`. Only the five predefined entities and references to legal
 * characters pass (RFC 6120 §11.1).
 * @returns the offset behind its `;`, or -1 when the bytes end inside it.
 */
export function scanReference(buffer: Buffer, at: number, end: number): number {
  let p = at + 1;
  if (p === end) return -1;
  if (buffer[p] === 0x23) return scanCharacterReference(buffer, at, end);
  for (; p < end; p++) {
    const byte = buffer[p] as number;
    if (byte === 0x3b) break;
    const letter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f || byte >= 0x80;
    const inner = byte >= 0x2d && byte <= 0x3a && byte !== 0x2f;
    if (!letter && !(inner && p > at + 1)) fault("not-well-formed", "a bare ampersand");
    if (p - at > longest) fault("policy-violation", "an entity name is too long");
  }
  if (p === end) return -1;
  if (p === at + 1) fault("not-well-formed", "a bare ampersand");
  if (predefined(buffer.toString("latin1", at + 1, p)) === undefined)
    fault("restricted-xml", "an entity that is not predefined");
  return p + 1;
}

function scanCharacterReference(buffer: Buffer, at: number, end: number): number {
  let p = at + 2;
  if (p === end) return -1;
  const hex = buffer[p] === 0x78;
  if (hex) p++;
  const first = p;
  let point = 0;
  for (; p < end; p++) {
    const byte = buffer[p] as number;
    if (byte === 0x3b) break;
    const digit = digitOf(byte);
    if (digit < 0 || (digit > 9 && !hex)) fault("not-well-formed", "a malformed character reference");
    point = Math.min(point * (hex ? 16 : 10) + digit, 0x110000);
    if (p - at > longest) fault("policy-violation", "a character reference is too long");
  }
  if (p === end) return -1;
  if (p === first || !isXmlChar(point)) fault("not-well-formed", "a reference to no legal character");
  return p + 1;
}

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  if (byte >= 0x41 && byte <= 0x46) return byte - 0x37;
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1;
}

function predefined(name: string): string | undefined {
  switch (name) {
    case "amp":
      return "&";
    case "lt":
      return "<";
    case "gt":
      return ">";
    case "quot":
      return '"';
    case "apos":
      return "'";
    default:
      return undefined;
  }
}

const reference = /&(?:#x([0-9a-fA-F]+)|#([0-9]+)|([a-z]+));/g;

/** Replaces references that `scanReference` has let pass. */
export function resolveReferences(text: string): string {
  return text.replace(reference, (_, hex?: string, decimal?: string, name?: string) =>
    name !== undefined
      ? (predefined(name) ?? "")
      : String.fromCodePoint(hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal)),
  );
}

/** The value of an attribute as XML 1.0 §3.3.3 normalises it: literal line ends and tabs become spaces. */
export function attributeText(raw: string): string {
  const spaced = raw.replace(/\r\n|[\t\n\r]/g, " ");
  return spaced.includes("&") ? resolveReferences(spaced) : spaced;
}

/** Character data as XML 1.0 §2.11 and §4.4 ask: line ends become `\n`, references their characters. */
export function contentText(raw: string): string {
  const lines = raw.includes("\r") ? raw.replace(/\r\n?/g, "\n") : raw;
  return lines.includes("&") ? resolveReferences(lines) : lines;
}
