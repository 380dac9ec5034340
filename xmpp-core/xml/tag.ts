import { asciiText, isQName, nameTable, valueTable, wide } from "./characters.ts";
import { fault } from "./fault.ts";
import type { Limits } from "./limits.ts";
import { attributeText, scanReference } from "./references.ts";

/** Where the scan of a start tag stands, so that it goes on with the next bytes instead of beginning again. */
const inName = 0;
const inGap = 1;
const inAttribute = 2;
const atEquals = 3;
const atQuote = 4;
const inValue = 5;
const behindSlash = 6;

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
  /** Some attribute has a prefix. */
  qualified: boolean;
  /** Which attribute is `xmlns`, or -1. */
  defaultAt: number;
  /** Some name or value holds multi-byte characters. */
  wide: boolean;
  count: number;
  /** Per attribute: its name, the colon in it (or -1), its value and what that holds. */
  readonly nameStarts: number[];
  readonly nameEnds: number[];
  readonly colons: number[];
  readonly starts: number[];
  readonly ends: number[];
  readonly kinds: number[];
}

export function newTag(): Tag {
  return {
    stage: inName,
    at: 0,
    spaced: false,
    quote: 0,
    nameStart: 0,
    colon: -1,
    nameEnd: 0,
    selfClosing: false,
    qualified: false,
    defaultAt: -1,
    wide: false,
    count: 0,
    nameStarts: [],
    nameEnds: [],
    colons: [],
    starts: [],
    ends: [],
    kinds: [],
  };
}

/** Prepares for a tag whose `<` stands at `at`. */
export function beginTag(tag: Tag, at: number): void {
  tag.stage = inName;
  tag.at = at + 1;
  tag.count = 0;
  tag.selfClosing = false;
  tag.qualified = false;
  tag.defaultAt = -1;
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

const hashes = new Int32Array(32);

/**
 * Scans a start tag that arrived whole and holds nothing unusual: ASCII only, no references, one space between
 * attributes. Decides nothing else: for whatever it does not know it returns -1, and `scanTag` looks at all of it.
 */
export function scanPlainTag(tag: Tag, buffer: Buffer, base: number, end: number, limits: Limits): number {
  let p = base + tag.at;
  tag.nameStart = p - base;
  tag.colon = -1;
  let kind = 0;
  for (; p < end; p++) {
    kind = nameTable[buffer[p] as number] as number;
    if (kind === 1 || (kind === 2 && p > base + tag.nameStart)) continue;
    if (kind !== 3 || tag.colon >= 0 || nameTable[buffer[p + 1] as number] !== 1) break;
    tag.colon = p - base;
  }
  tag.nameEnd = p - base;
  const length = tag.nameEnd - tag.nameStart;
  if (length === 0 || length > limits.nameBytes || tag.colon === tag.nameStart) return -1;
  let count = 0;
  for (;;) {
    if (p + 1 >= end) return -1;
    let byte = buffer[p] as number;
    if (byte === 0x3e) break;
    if (byte === 0x2f) {
      if (buffer[p + 1] !== 0x3e) return -1;
      tag.selfClosing = true;
      p++;
      break;
    }
    if (byte !== 0x20 || count >= 32 || count >= limits.attributes) return -1;
    const start = ++p;
    if (nameTable[buffer[p] as number] !== 1) return -1;
    let colon = -1;
    let hash = 0;
    for (; p < end; p++) {
      byte = buffer[p] as number;
      kind = nameTable[byte] as number;
      if (kind === 3) {
        if (colon >= 0 || nameTable[buffer[p + 1] as number] !== 1) return -1;
        colon = p;
      } else if (kind !== 1 && kind !== 2) break;
      hash = (Math.imul(hash, 31) + byte) | 0;
    }
    if (byte !== 0x3d || p - start > limits.nameBytes || p + 2 >= end) return -1;
    for (let i = 0; i < count; i++) if (hashes[i] === hash) return -1;
    hashes[count] = hash;
    tag.count = count;
    putName(tag, buffer, base, start, p, colon);
    const quote = buffer[p + 1] as number;
    if (quote !== 0x22 && quote !== 0x27) return -1;
    p += 2;
    tag.starts[count] = p - base;
    while (p < end && valueTable[buffer[p] as number] === 0) p++;
    if (p >= end || buffer[p] !== quote) return -1;
    tag.ends[count] = p - base;
    tag.kinds[count] = plain;
    count++;
    p++;
  }
  tag.count = count;
  return p + 1;
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
      case inName: {
        const q = scanName(buffer, p, end, limits);
        if (q < 0) return pause(tag, stage, p - base);
        tag.nameStart = p - base;
        tag.nameEnd = q - base;
        tag.colon = colonFound < 0 ? -1 : colonFound - base;
        if (wideFound) tag.wide = true;
        p = q;
        tag.spaced = false;
        stage = inGap;
        break;
      }
      case inGap: {
        while (p < end && isSpace(buffer[p] as number)) {
          tag.spaced = true;
          p++;
        }
        if (p === end) return pause(tag, stage, p - base);
        const byte = buffer[p] as number;
        if (byte === 0x3e) return p + 1;
        if (byte === 0x2f) {
          p++;
          stage = behindSlash;
          break;
        }
        if (!tag.spaced) fault("not-well-formed", "attributes must be separated by space");
        stage = inAttribute;
        break;
      }
      case inAttribute: {
        const q = scanName(buffer, p, end, limits);
        if (q < 0) return pause(tag, stage, p - base);
        addName(tag, buffer, base, p, q, limits);
        p = q;
        stage = atEquals;
        break;
      }
      case atEquals:
      case atQuote: {
        while (p < end && isSpace(buffer[p] as number)) p++;
        if (p === end) return pause(tag, stage, p - base);
        const byte = buffer[p] as number;
        p++;
        if (stage === atEquals) {
          if (byte !== 0x3d) fault("not-well-formed", "an attribute without a value");
          stage = atQuote;
          break;
        }
        if (byte !== 0x22 && byte !== 0x27) fault("not-well-formed", "an attribute value without quotes");
        tag.quote = byte;
        tag.starts[tag.count] = p - base;
        tag.kinds[tag.count] = plain;
        stage = inValue;
        break;
      }
      case inValue: {
        const q = scanValue(tag, buffer, p, end);
        if (q < 0) return pause(tag, stage, -q - 1 - base);
        tag.ends[tag.count] = q - base;
        tag.count++;
        p = q + 1;
        tag.spaced = false;
        stage = inGap;
        break;
      }
      case behindSlash: {
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

function addName(tag: Tag, buffer: Buffer, base: number, start: number, end: number, limits: Limits): void {
  const { count } = tag;
  if (count >= limits.attributes) fault("policy-violation", "an element has too many attributes");
  for (let i = 0; i < count; i++) {
    const other = base + (tag.nameStarts[i] as number);
    const otherEnd = base + (tag.nameEnds[i] as number);
    if (otherEnd - other === end - start && buffer.compare(buffer, other, otherEnd, start, end) === 0)
      fault("not-well-formed", "an attribute is given twice");
  }
  if (wideFound) tag.wide = true;
  putName(tag, buffer, base, start, end, colonFound);
}

function putName(tag: Tag, buffer: Buffer, base: number, start: number, end: number, colon: number): void {
  const { count } = tag;
  tag.nameStarts[count] = start - base;
  tag.nameEnds[count] = end - base;
  tag.colons[count] = colon < 0 ? -1 : colon - base;
  if (colon >= 0) tag.qualified = true;
  else if (end - start === 5 && isXmlns(buffer, start)) tag.defaultAt = count;
}

function isXmlns(buffer: Buffer, at: number): boolean {
  const start = buffer[at] === 0x78 && buffer[at + 1] === 0x6d && buffer[at + 2] === 0x6c;
  return start && buffer[at + 3] === 0x6e && buffer[at + 4] === 0x73;
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

/** The name of attribute number `index`, with its prefix. */
export function attributeName(tag: Tag, index: number, buffer: Buffer, base: number): string {
  return nameText(tag, buffer, base + (tag.nameStarts[index] as number), base + (tag.nameEnds[index] as number));
}

/** The prefix of attribute number `index`, "" without one. */
export function attributePrefix(tag: Tag, index: number, buffer: Buffer, base: number): string {
  const colon = tag.colons[index] as number;
  return colon < 0 ? "" : nameText(tag, buffer, base + (tag.nameStarts[index] as number), base + colon);
}

/** The name of attribute number `index` without its prefix. */
export function attributeLocal(tag: Tag, index: number, buffer: Buffer, base: number): string {
  const colon = tag.colons[index] as number;
  const start = colon < 0 ? (tag.nameStarts[index] as number) : colon + 1;
  return nameText(tag, buffer, base + start, base + (tag.nameEnds[index] as number));
}

/** The element's prefix, "" without one. */
export function prefixOf(tag: Tag, buffer: Buffer, base: number): string {
  return tag.colon < 0 ? "" : nameText(tag, buffer, base + tag.nameStart, base + tag.colon);
}

/** The element's name without its prefix. */
export function localOf(tag: Tag, buffer: Buffer, base: number): string {
  const start = tag.colon < 0 ? tag.nameStart : tag.colon + 1;
  return nameText(tag, buffer, base + start, base + tag.nameEnd);
}

function nameText(tag: Tag, buffer: Buffer, start: number, end: number): string {
  return tag.wide ? buffer.toString("utf8", start, end) : asciiText(buffer, start, end);
}
