import { isUtf8 } from "node:buffer";

/** Classes in the tables below; 0 is always "nothing to see here". */
export const wide = 9;

/** Text between tags: `<`, `&`, `>` and forbidden controls are 1, bytes of multi-byte characters `wide`. */
export const textTable = new Uint8Array(256);
/** The same once a stanza is known to hold multi-byte characters: those are ordinary then. */
export const wideTextTable = new Uint8Array(256);
/** Attribute values: quotes, `<`, `&`, all controls and multi-byte characters need a look. */
export const valueTable = new Uint8Array(256);
/** Names: 1 may start a name, 2 may only continue it, 3 is the colon, `wide` must be decoded. */
export const nameTable = new Uint8Array(256);

for (let byte = 0; byte < 256; byte++) {
  const control = byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d;
  const markup = byte === 0x3c || byte === 0x26 || byte === 0x3e;
  wideTextTable[byte] = control || markup ? 1 : 0;
  textTable[byte] = byte >= 0x80 ? wide : (wideTextTable[byte] as number);
  const quoteOrMarkup = byte === 0x22 || byte === 0x27 || byte === 0x3c || byte === 0x26;
  valueTable[byte] = byte >= 0x80 ? wide : byte < 0x20 || quoteOrMarkup ? 1 : 0;
  const letter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f;
  const inner = (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2e;
  nameTable[byte] = byte >= 0x80 ? wide : letter ? 1 : inner ? 2 : byte === 0x3a ? 3 : 0;
}

// XML 1.0 (fifth edition) productions 4 and 4a without the colon, as Namespaces in XML asks of an NCName.
const startChar =
  "A-Z_a-z\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D\\u2070-\\u218F" +
  "\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}";
const ncName = `[${startChar}][\\-.0-9\\u00B7\\u0300-\\u036F\\u203F\\u2040${startChar}]*`;
const ncNamePattern = new RegExp(`^${ncName}$`, "u");
const qNamePattern = new RegExp(`^(?:${ncName}:)?${ncName}$`, "u");

/** Whether the text is an XML name without a colon. */
export function isNcName(text: string): boolean {
  return ncNamePattern.test(text);
}

/** Whether the text is an XML name with at most one prefix. */
export function isQName(text: string): boolean {
  return qNamePattern.test(text);
}

/** Whether a code point may stand in XML 1.0 at all (production 2). */
export function isXmlChar(point: number): boolean {
  return point < 0x20
    ? point === 0x09 || point === 0x0a || point === 0x0d
    : point < 0xd800 || (point > 0xdfff && point < 0xfffe) || (point > 0xffff && point <= 0x10ffff);
}

const lastPlane = Buffer.from([0xef, 0xbf]);

/** What is wrong with these bytes as UTF-8 XML characters, beyond the ASCII controls that the tables catch. */
export function encodingProblem(bytes: Buffer): "encoding" | "noncharacter" | undefined {
  if (!isUtf8(bytes)) return "encoding";
  for (let at = bytes.indexOf(lastPlane); at >= 0; at = bytes.indexOf(lastPlane, at + 3))
    if ((bytes[at + 2] as number) >= 0xbe) return "noncharacter";
  return undefined;
}

const slots = 2048;
const interned: (string | undefined)[] = new Array(slots).fill(undefined);

/**
 * The ASCII text of a range of bytes. Short texts come from a bounded table, so that the names, namespaces and
 * addresses that every stanza repeats are not allocated again.
 */
export function asciiText(buffer: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length === 0) return "";
  if (length > 64) return buffer.toString("latin1", start, end);
  const mixed =
    (buffer[start] as number) * 31 +
    (buffer[end - 1] as number) * 1021 +
    (buffer[start + (length >> 1)] as number) * 61 +
    (buffer[start + ((length * 3) >> 2)] as number) * 257 +
    length * 389;
  const slot = mixed & (slots - 1);
  const known = interned[slot];
  if (known !== undefined && known.length === length) {
    let at = 0;
    while (at < length && known.charCodeAt(at) === buffer[start + at]) at++;
    if (at === length) return known;
  }
  const text = buffer.toString("latin1", start, end);
  interned[slot] = text;
  return text;
}
