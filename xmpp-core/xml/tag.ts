import { asciiText, isQName, nameTable, valueTable, wide } from "./characters.ts";
import { fault } from "./fault.ts";
import type { Limits } from "./limits.ts";
import { attributeText, scanReference } from "./references.ts";

/** Where the scan of a start tag stands, so that it goes on with the next bytes instead of beginning again. */
const stages = { name: 0, gap: 1, attribute: 2, equals: 3, quote: 4, value: 5, empty: 6 } as const;

/** What a value holds besides plain ASCII. */
const plain = 0;
const rewritten = 1;
const multibyte = 2;

/** One start tag while it is scanned. Offsets count from the start of the stanza, which may move in memory. */
export interface Tag {
  stage: number;
  at: number;
  spaced: boolean;
  quote: number;
  /** Start, colon (or -1) and end of the element's name. */
  nameStart: number;
  colon: number;
  nameEnd: number;
  selfClosing: boolean;
  /** Some attribute is `xmlns` or has a prefix. */
  qualified: boolean;
  /** Some name or value holds multi-byte characters. */
  wide: boolean;
  count: number;
  readonly names: string[];
  readonly colons: number[];
  readonly starts: number[];
  readonly ends: number[];
  readonly kinds: number[];
}

export function newTag(): Tag {
  return {
    stage: stages.name,
    at: 0,
    spaced: false,
    quote: 0,
    nameStart: 0,
    colon: -1,
    nameEnd: 0,
    selfClosing: false,
    qualified: false,
    wide: false,
    count: 0,
    names: [],
    colons: [],
    starts: [],
    ends: [],
    kinds: [],
  };
}

/** Prepares for a tag whose `<` stands at `at`. */
export function beginTag(tag: Tag, at: number): void {
  tag.stage = stages.name;
  tag.at = at + 1;
  tag.count = 0;
  tag.selfClosing = false;
  tag.qualified = false;
  tag.wide = false;
}

let colonFound = -1;
let wideFound = false;

/** Scans a name from `p`; -1 when the bytes end before it does. Leaves its colon and width in the two variables above. */
function scanName(buffer: Buffer, p: number, end: number, limits: Limits): number {
  colonFound = -1;
  wideFound = false;
  let q = p;
  for (; q < end; q++) {
    const kind = nameTable[buffer[q] as number] as number;
    if (kind === 1) continue;
    if (kind === 0) break;
    if (kind === wide) wideFound = true;
    else if (q === p) fault("not-well-formed", "a name that starts with a character not allowed there");
    else if (kind === 3) {
      if (colonFound >= 0) fault("not-well-formed", "a name with two colons");
      colonFound = q;
    }
  }
  if (q - p > limits.nameBytes) fault("policy-violation", "a name is too long");
  if (q === end) return -1;
  if (q === p) fault("not-well-formed", "a name was expected");
  if (wideFound) {
    if (!isQName(buffer.toString("utf8", p, q))) fault("not-well-formed", "a name with characters not allowed there");
  } else if (colonFound >= 0 && nameTable[buffer[colonFound + 1] as number] !== 1)
    fault("not-well-formed", "a name with nothing proper behind its colon");
  return q;
}

/** The text of a name, decoded if it has to be. */
function nameText(buffer: Buffer, start: number, end: number, isWide: boolean): string {
  return isWide ? buffer.toString("utf8", start, end) : asciiText(buffer, start, end);
}

/**
 * Scans a start tag as far as the bytes go, from where `tag.at` says.
 * @returns the offset behind its `>`, or -1 when more bytes are needed.
 */
export function scanTag(tag: Tag, buffer: Buffer, base: number, end: number, limits: Limits): number {
  let p = base + tag.at;
  let stage = tag.stage;
  for (;;) {
    switch (stage) {
      case stages.name: {
        const q = scanName(buffer, p, end, limits);
        if (q < 0) return pause(tag, stage, p - base);
        tag.nameStart = p - base;
        tag.nameEnd = q - base;
        tag.colon = colonFound < 0 ? -1 : colonFound - base;
        if (wideFound) tag.wide = true;
        p = q;
        tag.spaced = false;
        stage = stages.gap;
        break;
      }
      case stages.gap: {
        while (p < end && isSpace(buffer[p] as number)) {
          tag.spaced = true;
          p++;
        }
        if (p === end) return pause(tag, stage, p - base);
        const byte = buffer[p] as number;
        if (byte === 0x3e) return p + 1;
        if (byte === 0x2f) {
          p++;
          stage = stages.empty;
          break;
        }
        if (!tag.spaced) fault("not-well-formed", "attributes must be separated by space");
        stage = stages.attribute;
        break;
      }
      case stages.attribute: {
        const q = scanName(buffer, p, end, limits);
        if (q < 0) return pause(tag, stage, p - base);
        addName(tag, nameText(buffer, p, q, wideFound), colonFound < 0 ? -1 : colonFound - p, limits);
        p = q;
        stage = stages.equals;
        break;
      }
      case stages.equals:
      case stages.quote: {
        while (p < end && isSpace(buffer[p] as number)) p++;
        if (p === end) return pause(tag, stage, p - base);
        const byte = buffer[p] as number;
        p++;
        if (stage === stages.equals) {
          if (byte !== 0x3d) fault("not-well-formed", "an attribute without a value");
          stage = stages.quote;
          break;
        }
        if (byte !== 0x22 && byte !== 0x27) fault("not-well-formed", "an attribute value without quotes");
        tag.quote = byte;
        tag.starts[tag.count] = p - base;
        tag.kinds[tag.count] = plain;
        stage = stages.value;
        break;
      }
      case stages.value: {
        const q = scanValue(tag, buffer, p, end);
        if (q < 0) return pause(tag, stage, -q - 1 - base);
        tag.ends[tag.count] = q - base;
        tag.count++;
        p = q + 1;
        tag.spaced = false;
        stage = stages.gap;
        break;
      }
      default: {
        if (p === end) return pause(tag, stage, p - base);
        if (buffer[p] !== 0x3e) fault("not-well-formed", "a slash inside a tag");
        tag.selfClosing = true;
        return p + 1;
      }
    }
  }
}

function pause(tag: Tag, stage: number, at: number): -1 {
  tag.stage = stage;
  tag.at = at;
  return -1;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function addName(tag: Tag, name: string, colon: number, limits: Limits): void {
  const { count, names } = tag;
  if (count >= limits.attributes) fault("policy-violation", "an element has too many attributes");
  for (let i = 0; i < count; i++) if (names[i] === name) fault("not-well-formed", "an attribute is given twice");
  names[count] = name;
  // The colon was found among bytes, the name is characters.
  tag.colons[count] = colon >= 0 && wideFound ? name.indexOf(":") : colon;
  if (colon >= 0 || name === "xmlns") tag.qualified = true;
  if (wideFound) tag.wide = true;
}

/** Scans to the closing quote; when the bytes run out, returns `-1 - offset` of where to go on. */
function scanValue(tag: Tag, buffer: Buffer, from: number, end: number): number {
  const { quote, count } = tag;
  let p = from;
  for (;;) {
    while (p < end && valueTable[buffer[p] as number] === 0) p++;
    if (p === end) return -1 - p;
    const byte = buffer[p] as number;
    if (byte === quote) return p;
    if (byte >= 0x80) {
      tag.wide = true;
      tag.kinds[count] = (tag.kinds[count] as number) | multibyte;
      while (p < end && (buffer[p] as number) >= 0x80) p++;
      continue;
    }
    if (byte === 0x26) {
      const q = scanReference(buffer, p, end);
      if (q < 0) return -1 - p;
      p = q;
    } else if (byte === 0x22 || byte === 0x27) {
      p++;
      continue;
    } else {
      if (byte === 0x3c) fault("not-well-formed", "a less-than sign in an attribute value");
      if (!isSpace(byte)) fault("not-well-formed", "a control character in an attribute value");
      p++;
    }
    tag.kinds[count] = (tag.kinds[count] as number) | rewritten;
  }
}

/** The normalised value of the tag's attribute number `index`. */
export function attributeValue(tag: Tag, index: number, buffer: Buffer, base: number): string {
  const start = base + (tag.starts[index] as number);
  const end = base + (tag.ends[index] as number);
  const kind = tag.kinds[index] as number;
  if (kind === plain) return asciiText(buffer, start, end);
  const raw = buffer.toString("utf8", start, end);
  return (kind & rewritten) === 0 ? raw : attributeText(raw);
}

/** The element's prefix, "" without one. */
export function prefixOf(tag: Tag, buffer: Buffer, base: number): string {
  return tag.colon < 0 ? "" : nameRange(buffer, base + tag.nameStart, base + tag.colon);
}

/** The element's name without its prefix. */
export function localOf(tag: Tag, buffer: Buffer, base: number): string {
  const start = tag.colon < 0 ? tag.nameStart : tag.colon + 1;
  return nameRange(buffer, base + start, base + tag.nameEnd);
}

function nameRange(buffer: Buffer, start: number, end: number): string {
  for (let p = start; p < end; p++) if ((buffer[p] as number) >= 0x80) return buffer.toString("utf8", start, end);
  return asciiText(buffer, start, end);
}
