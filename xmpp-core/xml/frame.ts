import { encodingProblem, textTable, wide, wideTextTable } from "./characters.ts";
import { fault } from "./fault.ts";
import type { Limits } from "./limits.ts";
import { scanReference } from "./references.ts";
import { enter, leave, type Scope } from "./scope.ts";
import { type Child, makeStanza, type Stanza } from "./stanza.ts";
import { attributeName, attributeValue, beginTag, localOf, newTag, scanPlainTag, scanTag, type Tag } from "./tag.ts";

/** What the next byte belongs to. */
const atMarkup = 0;
const inText = 1;
const inTag = 2;
const inEndName = 3;
const inEndGap = 4;
const inCdata = 5;

/**
 * One top level element while its bytes arrive. Every byte is looked at a bounded number of times however they are
 * cut. Offsets count from the element's first byte.
 */
export interface Frame {
  readonly tag: Tag;
  scope: Scope;
  /** Declarations in force outside of the element. */
  outer: number;
  mode: number;
  /** Where the scan goes on. */
  at: number;
  textStart: number;
  wide: boolean;
  canonical: boolean;
  elements: number;
  /** Names of the open elements. */
  readonly nameStarts: number[];
  readonly nameEnds: number[];
  depth: number;
  /** Declarations in force outside of the element's children. */
  inner: number;
  name: string;
  ns: string;
  to: string | undefined;
  from: string | undefined;
  id: string | undefined;
  type: string | undefined;
  lang: string | undefined;
  payloadStart: number;
  payloadEnd: number;
  children: Child[];
  childName: string;
  childNs: string;
  childStart: number;
}

/** A frame for elements inside of `scope`. */
export function newFrame(scope: Scope): Frame {
  return {
    tag: newTag(),
    scope,
    outer: scope.prefixes.length,
    mode: atMarkup,
    at: 0,
    textStart: 0,
    wide: false,
    canonical: true,
    elements: 0,
    nameStarts: [],
    nameEnds: [],
    depth: 0,
    inner: 0,
    name: "",
    ns: "",
    to: undefined,
    from: undefined,
    id: undefined,
    type: undefined,
    lang: undefined,
    payloadStart: 0,
    payloadEnd: 0,
    children: [],
    childName: "",
    childNs: "",
    childStart: 0,
  };
}

/** Prepares for the next element. */
export function beginFrame(frame: Frame): void {
  frame.mode = atMarkup;
  frame.at = 0;
  frame.wide = false;
  frame.canonical = true;
  frame.elements = 0;
  frame.depth = 0;
  frame.children = [];
}

/**
 * Scans the element that starts at `base`, as far as the bytes go.
 * @returns the offset behind it, or -1 when more bytes are needed.
 */
export function scanFrame(frame: Frame, buffer: Buffer, base: number, end: number, limits: Limits): number {
  let p = base + frame.at;
  let mode = frame.mode;
  for (;;) {
    switch (mode) {
      case inText: {
        p = scanText(frame, buffer, base, p, end);
        if (p < 0) return wait(frame, mode, -p - 1 - base);
        mode = atMarkup;
        break;
      }
      case atMarkup: {
        if (p + 1 >= end) return wait(frame, mode, p - base);
        const next = buffer[p + 1] as number;
        if (next === 0x2f) {
          p += 2;
          mode = inEndName;
        } else if (next === 0x21) {
          const inside = scanDeclaration(buffer, p, end, frame.depth > 0);
          if (inside < 0) return wait(frame, mode, p - base);
          frame.canonical = false;
          p = inside;
          mode = inCdata;
        } else if (next === 0x3f) {
          refuseInstruction(buffer, p, end);
          return wait(frame, mode, p - base);
        } else {
          beginTag(frame.tag, p - base);
          const behind = scanPlainTag(frame.tag, buffer, base, end, limits);
          if (behind >= 0) p = behind;
          else {
            beginTag(frame.tag, p - base);
            p = scanTag(frame.tag, buffer, base, end, limits);
            if (p < 0) return wait(frame, inTag, frame.tag.at);
          }
          opened(frame, buffer, base, p, limits);
          if (frame.tag.selfClosing && closed(frame, p - base)) return finish(frame, buffer, base, p, p - base);
          frame.textStart = p - base;
          mode = inText;
        }
        break;
      }
      case inTag: {
        p = scanTag(frame.tag, buffer, base, end, limits);
        if (p < 0) return wait(frame, mode, frame.tag.at);
        opened(frame, buffer, base, p, limits);
        if (frame.tag.selfClosing && closed(frame, p - base)) return finish(frame, buffer, base, p, p - base);
        frame.textStart = p - base;
        mode = inText;
        break;
      }
      case inEndName: {
        if (frame.depth === 0) fault("not-well-formed", "an end tag without a start tag");
        const start = base + (frame.nameStarts[frame.depth - 1] as number);
        const length = base + (frame.nameEnds[frame.depth - 1] as number) - start;
        for (let i = 0; i < length; i++) {
          if (p + i === end) return wait(frame, mode, p - base);
          if (buffer[p + i] !== buffer[start + i]) fault("not-well-formed", "an end tag that does not match");
        }
        if (frame.depth === 1) frame.payloadEnd = p - 2 - base;
        p += length;
        mode = inEndGap;
        break;
      }
      case inEndGap: {
        while (p < end && isSpace(buffer[p] as number)) p++;
        if (p === end) return wait(frame, mode, p - base);
        if (buffer[p] !== 0x3e) fault("not-well-formed", "an end tag that does not match");
        p++;
        if (closed(frame, p - base)) return finish(frame, buffer, base, p, frame.payloadEnd);
        frame.textStart = p - base;
        mode = inText;
        break;
      }
      case inCdata: {
        p = scanCdata(frame, buffer, p, end);
        if (p < 0) return wait(frame, mode, -p - 1 - base);
        frame.textStart = p - base;
        mode = inText;
      }
    }
  }
}

function wait(frame: Frame, mode: number, at: number): -1 {
  frame.mode = mode;
  frame.at = at;
  return -1;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Scans text to the next `<`; when the bytes run out, returns `-1 - offset` of where to go on. */
function scanText(frame: Frame, buffer: Buffer, base: number, from: number, end: number): number {
  let p = from;
  for (;;) {
    if (frame.wide) while (p < end && wideTextTable[buffer[p] as number] === 0) p++;
    else while (p < end && textTable[buffer[p] as number] === 0) p++;
    if (p === end) return -1 - p;
    const byte = buffer[p] as number;
    if (byte === 0x3c) return p;
    if (byte === 0x26) {
      const q = scanReference(buffer, p, end);
      if (q < 0) return -1 - p;
      p = q;
    } else if (byte === 0x3e) {
      if (p - base - frame.textStart >= 2 && buffer[p - 1] === 0x5d && buffer[p - 2] === 0x5d)
        fault("not-well-formed", "the end of a CDATA section in text");
      p++;
    } else if (byte >= 0x80) {
      frame.wide = true;
    } else fault("not-well-formed", "a control character");
  }
}

const cdataStart = Buffer.from("<![CDATA[");

/** What follows `<!`: the offset inside a CDATA section, -1 when bytes are missing, a fault for all else. */
export function scanDeclaration(buffer: Buffer, at: number, end: number, cdataAllowed: boolean): number {
  for (let i = 2; i < cdataStart.length; i++) {
    if (at + i >= end) return -1;
    const byte = buffer[at + i];
    if (byte === cdataStart[i]) continue;
    if (i === 2 && byte === 0x2d) fault("restricted-xml", "a comment");
    if (i === 2 && byte === 0x44) fault("restricted-xml", "a document type declaration");
    fault("not-well-formed", "a malformed declaration");
  }
  if (!cdataAllowed) fault("bad-format", "text outside of a stanza");
  return at + cdataStart.length;
}

/** Every processing instruction is a fault; returns only when it cannot be told yet which one. */
export function refuseInstruction(buffer: Buffer, at: number, end: number): void {
  const target = buffer.toString("latin1", at + 2, Math.min(end, at + 6)).toLowerCase();
  if (target.length < 4 && "xml".startsWith(target.slice(0, 3))) return;
  if (/^xml[^-\w.:\x80-\xff]/.test(target)) fault("not-well-formed", "an XML declaration that is not at the start");
  fault("restricted-xml", "a processing instruction");
}

function scanCdata(frame: Frame, buffer: Buffer, from: number, end: number): number {
  let p = from;
  for (; p < end; p++) {
    const byte = buffer[p] as number;
    if (byte === 0x5d) {
      if (p + 2 >= end) return -1 - p;
      if (buffer[p + 1] === 0x5d && buffer[p + 2] === 0x3e) return p + 3;
    } else {
      const kind = textTable[byte] as number;
      if (kind === wide) frame.wide = true;
      else if (kind !== 0 && byte < 0x20) fault("not-well-formed", "a control character");
    }
  }
  return -1 - p;
}

/** Books a start tag that has arrived whole. */
function opened(frame: Frame, buffer: Buffer, base: number, p: number, limits: Limits): void {
  const { tag, depth, scope } = frame;
  if (++frame.elements > limits.elements) fault("policy-violation", "a stanza has too many elements");
  if (depth >= limits.depth) fault("policy-violation", "elements are nested too deeply");
  if (tag.wide) frame.wide = true;
  frame.nameStarts[depth] = tag.nameStart;
  frame.nameEnds[depth] = tag.nameEnd;
  frame.depth = depth + 1;
  const ns = enter(scope, tag, buffer, base, limits, frame.outer);
  if (depth > 1) {
    if (scope.reach < frame.inner) frame.canonical = false;
  } else if (depth === 1) {
    // A child that names the content namespace itself would keep it in a stream with another one.
    if (scope.reach < frame.inner || (ns === scope.defaults[0] && (tag.colon >= 0 || tag.defaultAt >= 0)))
      frame.canonical = false;
    frame.childName = localOf(tag, buffer, base);
    frame.childNs = ns;
    frame.childStart = tag.nameStart - 1;
  } else {
    frame.inner = scope.prefixes.length;
    if (scope.defaults[1] !== scope.defaults[0] || scope.reach < frame.outer) frame.canonical = false;
    frame.name = localOf(tag, buffer, base);
    frame.ns = ns;
    frame.payloadStart = p - base;
    takeAddresses(frame, buffer, base);
  }
}

/** The attributes of a stanza that routing needs (RFC 6120 §8.1). */
function takeAddresses(frame: Frame, buffer: Buffer, base: number): void {
  const { tag } = frame;
  frame.to = frame.from = frame.id = frame.type = frame.lang = undefined;
  for (let i = 0; i < tag.count; i++) {
    switch (attributeName(tag, i, buffer, base)) {
      case "to":
        frame.to = attributeValue(tag, i, buffer, base);
        break;
      case "from":
        frame.from = attributeValue(tag, i, buffer, base);
        break;
      case "id":
        frame.id = attributeValue(tag, i, buffer, base);
        break;
      case "type":
        frame.type = attributeValue(tag, i, buffer, base);
        break;
      case "xml:lang":
        frame.lang = attributeValue(tag, i, buffer, base);
        break;
    }
  }
}

/** Books an end tag; true when it was the stanza's own. */
function closed(frame: Frame, at: number): boolean {
  frame.depth--;
  // The scope of the outermost element is left in `finish`, its declarations may still be needed there.
  if (frame.depth === 0) return true;
  leave(frame.scope);
  if (frame.depth === 1)
    frame.children.push({ name: frame.childName, ns: frame.childNs, start: frame.childStart, end: at });
  return false;
}

function finish(frame: Frame, buffer: Buffer, base: number, p: number, payloadEnd: number): number {
  frame.payloadEnd = payloadEnd;
  if (frame.wide) {
    const problem = encodingProblem(buffer.subarray(base, p));
    if (problem === "encoding") fault("unsupported-encoding", "bytes that are not UTF-8");
    if (problem !== undefined) fault("not-well-formed", "a character that XML does not allow");
  }
  return p;
}

/** The stanza that `scanFrame` has just read to `end`; its bytes are copied out of the buffer. */
export function takeStanza(frame: Frame, buffer: Buffer, base: number, end: number): Stanza {
  const { scope } = frame;
  const bytes = Buffer.allocUnsafe(end - base);
  buffer.copy(bytes, 0, base, end);
  const prefixes = frame.canonical
    ? undefined
    : scope.prefixes.map((prefix, i) => [prefix, scope.uris[i] as string] as const);
  const stanza = makeStanza(frame, bytes, scope.defaults[0] as string, scope.defaults[1] as string, prefixes);
  leave(scope);
  return stanza;
}
