import { encodingProblem } from "./characters.ts";
import { fault } from "./fault.ts";
import { refuseInstruction, scanDeclaration } from "./frame.ts";
import type { Limits } from "./limits.ts";
import { enter, newScope, type Scope, xmlNamespace } from "./scope.ts";
import { attributeName, attributeValue, beginTag, localOf, newTag, prefixOf, scanTag, type Tag } from "./tag.ts";

/** The facts of a stream header; `contentNs` is its default namespace, such as jabber:client. */
export interface StreamHeader {
  readonly name: string;
  /** Namespace of the root element itself. */
  readonly ns: string;
  readonly contentNs: string;
  readonly to?: string;
  readonly from?: string;
  readonly version?: string;
  readonly lang?: string;
  readonly id?: string;
}

/** What a reader must know of the root to read what follows it. JSON-able. */
export interface Root {
  readonly header: StreamHeader;
  /** The root's name as written, which its end tag repeats. */
  readonly rawName: string;
  readonly contentNs: string;
  readonly prefixes: readonly (readonly [string, string])[];
}

/** A document up to the end of its root's start tag. */
export interface Prolog {
  at: number;
  begun: boolean;
  inTag: boolean;
  root: Root | undefined;
  selfClosing: boolean;
  readonly tag: Tag;
}

export function newProlog(): Prolog {
  return { at: 0, begun: false, inTag: false, root: undefined, selfClosing: false, tag: newTag() };
}

const longestDeclaration = 128;

/**
 * Scans from the first byte of a document at `base` to the end of the root's start tag.
 * @returns the offset behind it, with `prolog.root` set, or -1 when more bytes are needed.
 */
export function scanProlog(prolog: Prolog, buffer: Buffer, base: number, end: number, limits: Limits): number {
  let p = base + prolog.at;
  if (!prolog.begun) {
    p = scanBeginning(buffer, p, end);
    if (p < 0) return -1;
    prolog.begun = true;
    prolog.at = p - base;
  }
  if (!prolog.inTag) {
    while (p < end && isSpace(buffer[p] as number)) p++;
    prolog.at = p - base;
    if (p === end) return -1;
    if (buffer[p] !== 0x3c) refuseByte(buffer[p] as number);
    if (p + 1 === end) return -1;
    const next = buffer[p + 1];
    if (next === 0x2f) fault("not-well-formed", "an end tag without a start tag");
    if (next === 0x21) {
      scanDeclaration(buffer, p, end, false);
      return -1;
    }
    if (next === 0x3f) {
      refuseInstruction(buffer, p, end);
      return -1;
    }
    beginTag(prolog.tag, p - base);
    prolog.inTag = true;
  }
  p = scanTag(prolog.tag, buffer, base, end, limits);
  if (p >= 0) takeRoot(prolog, buffer, base, p, limits);
  return p;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function refuseByte(byte: number): never {
  return byte === 0 || byte >= 0xfe
    ? fault("unsupported-encoding", "streams are UTF-8")
    : fault("not-well-formed", "text before the stream header");
}

/** Byte order mark and XML declaration, both optional (RFC 6120 §11.5, §11.6). */
function scanBeginning(buffer: Buffer, from: number, end: number): number {
  let p = from;
  const first = buffer[p];
  if (p === end) return -1;
  if (first === 0xfe || first === 0xff) fault("unsupported-encoding", "streams are UTF-8");
  if (first === 0xef) {
    if (end - p < 3) return -1;
    if (buffer[p + 1] !== 0xbb || buffer[p + 2] !== 0xbf) fault("not-well-formed", "text before the stream header");
    p += 3;
    if (p === end) return -1;
  }
  if (buffer[p] !== 0x3c) return p;
  if (end - p < 2) return -1;
  if (buffer[p + 1] === 0) fault("unsupported-encoding", "streams are UTF-8");
  if (buffer[p + 1] !== 0x3f) return p;
  if (end - p < 6) return -1;
  if (!/^<\?xml[ \t\r\n]$/.test(buffer.toString("latin1", p, p + 6)))
    fault("restricted-xml", "a processing instruction");
  const close = buffer.subarray(p, Math.min(end, p + longestDeclaration)).indexOf("?>");
  if (close < 0) {
    if (end - p >= longestDeclaration) fault("not-well-formed", "a malformed XML declaration");
    return -1;
  }
  checkDeclaration(buffer.toString("latin1", p, p + close + 2));
  return p + close + 2;
}

const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"([\w.:-]+)"|'([\w.:-]+)')(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:"([A-Za-z][\w.-]*)"|'([A-Za-z][\w.-]*)'))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:"(?:yes|no)"|'(?:yes|no)'))?[ \t\r\n]*\?>$/;

function checkDeclaration(text: string): void {
  const match = declaration.exec(text);
  if (match === null) fault("not-well-formed", "a malformed XML declaration");
  if ((match[1] ?? match[2]) !== "1.0") fault("unsupported-version", "only XML 1.0 is read");
  const encoding = match[3] ?? match[4];
  if (encoding !== undefined && encoding.toLowerCase() !== "utf-8") fault("unsupported-encoding", "streams are UTF-8");
}

function takeRoot(prolog: Prolog, buffer: Buffer, base: number, end: number, limits: Limits): void {
  const { tag } = prolog;
  const scope: Scope = newScope("", []);
  const prefix = prefixOf(tag, buffer, base);
  if (tag.wide) {
    const problem = encodingProblem(buffer.subarray(base, end));
    if (problem === "encoding") fault("unsupported-encoding", "bytes that are not UTF-8");
    if (problem !== undefined) fault("not-well-formed", "a character that XML does not allow");
  }
  if (prefix !== "" && prefix !== "xml" && !declares(tag, prefix, buffer, base))
    fault("bad-namespace-prefix", "the prefix of the stream header is not declared");
  const ns = enter(scope, tag, buffer, base, limits, 0);
  const contentNs = scope.defaults[1] as string;
  const header: Record<string, string> = {};
  for (let i = 0; i < tag.count; i++) {
    const name = attributeName(tag, i, buffer, base);
    const key = name === "xml:lang" ? "lang" : name;
    if (headerKeys.has(name)) header[key] = attributeValue(tag, i, buffer, base);
  }
  const name = localOf(tag, buffer, base);
  prolog.root = {
    header: { ...header, name, ns: prefix === "xml" ? xmlNamespace : ns, contentNs },
    rawName: prefix === "" ? name : `${prefix}:${name}`,
    contentNs,
    prefixes: scope.prefixes.map((declared, i) => [declared, scope.uris[i] as string] as const),
  };
  prolog.selfClosing = tag.selfClosing;
}

const headerKeys = new Set(["to", "from", "version", "id", "xml:lang"]);

function declares(tag: Tag, prefix: string, buffer: Buffer, base: number): boolean {
  for (let i = 0; i < tag.count; i++) if (attributeName(tag, i, buffer, base) === `xmlns:${prefix}`) return true;
  return false;
}
