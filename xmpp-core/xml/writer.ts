import { isQName } from "./characters.ts";
import { escapeAttribute, escapeText } from "./escape.ts";
import type { Child, Stanza } from "./stanza.ts";

export { escapeAttribute, escapeText } from "./escape.ts";
export { serialise, serialiseChildren } from "./serialise.ts";

declare const proven: unique symbol;

/** A piece of well-formed XML. Only this file makes one, so text from outside cannot slip in unescaped. */
export type Xml = string & { readonly [proven]: true };

/** Attribute values of a tag; undefined ones are left out. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** What may stand inside an element; text goes through `text()`. */
export type Content = Xml | readonly Xml[] | undefined | false;

/** No XML at all. */
export const nothing = "" as Xml;

/** Text as XML content. `text("a<b")` is `a&lt;b`. */
export function text(content: string | number): Xml {
  return escapeText(String(content)) as Xml;
}

/** Content that is proven canonical elsewhere: a stanza's payload, a stored body. */
export function rawXml(bytes: Buffer | string): Xml {
  return bytes.toString() as Xml;
}

/**
 * One element. `x("presence", { to }, x("show", {}, text("away")))` is `<presence to="…"><show>away</show></presence>`.
 * Throws a TypeError when a name is no XML name.
 */
export function x(name: string, attributes?: Attributes, ...content: readonly Content[]): Xml {
  const inside = join(content);
  return (inside === ""
    ? `<${name}${attributeList(name, attributes)}/>`
    : `<${name}${attributeList(name, attributes)}>${inside}</${name}>`) as unknown as Xml;
}

/** Several pieces, one behind the other. */
export function join(content: readonly Content[]): Xml {
  let out = "";
  for (const piece of content)
    if (typeof piece === "string") out += piece;
    else if (piece !== undefined && piece !== false) for (const one of piece) out += one;
  return out as Xml;
}

/** A start tag that stays open, for stream headers. `openTag("a", { b: 1 })` is `<a b="1">`. */
export function openTag(name: string, attributes?: Attributes): string {
  return `<${name}${attributeList(name, attributes)}>`;
}

const simpleName = /^[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?$/;

function checkName(name: string): void {
  if (!simpleName.test(name) && !isQName(name)) throw new TypeError("not an XML name");
}

function attributeList(name: string, attributes: Attributes | undefined): string {
  checkName(name);
  let out = "";
  for (const key in attributes) {
    const value = attributes[key];
    if (value === undefined) continue;
    checkName(key);
    out += ` ${key}="${escapeAttribute(String(value))}"`;
  }
  return out;
}

/** How a stanza is written on. An absent or undefined attribute stays as it came, null takes it away. */
export interface Rewrite {
  readonly to?: string | null | undefined;
  readonly from?: string | null | undefined;
  readonly id?: string | null | undefined;
  readonly type?: string | null | undefined;
  readonly lang?: string | null | undefined;
  /** Direct children to leave out. */
  readonly without?: ((child: Child) => boolean) | undefined;
  /** Well-formed XML to put behind the payload. */
  readonly append?: Xml | Buffer | undefined;
  /** Canonical content instead of the stanza's own; `without` does not apply to it. */
  readonly payload?: Buffer | undefined;
}

/**
 * A stanza for a stream whose default namespace is its content namespace: the start tag is written anew, with `to`,
 * `from`, `id`, `type` and `xml:lang` and nothing else; a canonical payload is copied byte for byte. Only for
 * elements that are in the content namespace themselves: message, presence and iq.
 */
export function writeStanza(stanza: Stanza, rewrite: Rewrite = {}): Buffer {
  const { name } = stanza;
  let head = `<${name}`;
  head += attribute("to", rewrite.to, stanza.to);
  head += attribute("from", rewrite.from, stanza.from);
  head += attribute("id", rewrite.id, stanza.id);
  head += attribute("type", rewrite.type, stanza.type);
  head += attribute("xml:lang", rewrite.lang, stanza.lang);
  const payload = rewrite.payload ?? stanza.payload(rewrite.without);
  const append = rewrite.append ?? "";
  const appended = typeof append === "string" ? Buffer.byteLength(append) : append.length;
  if (payload.length + appended === 0) return Buffer.from(`${head}/>`);
  head += ">";
  const headBytes = Buffer.byteLength(head);
  const out = Buffer.allocUnsafe(headBytes + payload.length + appended + 3 + Buffer.byteLength(name));
  let at = out.write(head, 0);
  at += payload.copy(out, at);
  at += typeof append === "string" ? out.write(append, at) : append.copy(out, at);
  out.write(`</${name}>`, at);
  return out;
}

function attribute(name: string, wanted: string | null | undefined, own: string | undefined): string {
  const value = wanted === undefined ? own : wanted;
  return value === undefined || value === null ? "" : ` ${name}="${escapeAttribute(value)}"`;
}
