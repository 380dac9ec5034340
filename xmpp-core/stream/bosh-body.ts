import { ns } from "../formats/namespaces.ts";
import { parseStanza } from "../xml/document.ts";
import type { Limits } from "../xml/limits.ts";
import type { Prefixes, Stanza } from "../xml/stanza.ts";
import { openTag, type Xml } from "../xml/writer.ts";
import { missingNamespace } from "./websocket-wire.ts";

/** A request's `<body/>`. XEP-0124 §7 to §13, XEP-0206 §3 to §6 */
export interface BoshBody {
  readonly rid: number;
  readonly sid: string | undefined;
  readonly key: string | undefined;
  readonly newKey: string | undefined;
  /** The stream of several on one session that it is for. */
  readonly stream: string | undefined;
  readonly terminate: boolean;
  readonly restart: boolean;
  /** Seconds. */
  readonly pause: number | undefined;
  readonly wait: number | undefined;
  readonly hold: number | undefined;
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly lang: string | undefined;
  readonly ver: string | undefined;
  /** The Content-Type that answers are to have. */
  readonly content: string | undefined;
  /** Of XMPP. */
  readonly version: string | undefined;
  /** The client has the answers up to this request; 1 in the first request: it will say so. */
  readonly ack: number | undefined;
  readonly payload: readonly Stanza[];
  readonly bytes: number;
}

/** Attributes and namespaces that the envelope needs besides the stanzas in it. */
const envelopeBytes = 4096;
/** Stanzas in one body. */
const mostStanzas = 1000;

/** The most that a body may have whose stanzas have these limits. */
export function bodyBytes(limits: Limits): number {
  return limits.stanzaBytes + envelopeBytes;
}

/**
 * @returns undefined for what is no request
 * @throws XmlFault
 */
export function parseBody(source: Buffer, limits: Limits): BoshBody | undefined {
  const whole = parseStanza(withoutDeclaration(source), "", {
    ...limits,
    stanzaBytes: bodyBytes(limits),
    elements: limits.elements + 1,
    depth: limits.depth + 1,
  });
  if (whole.name !== "body" || whole.ns !== ns.bosh || whole.children.length > mostStanzas) return undefined;
  const { bytes, children } = whole;
  const { attributes, contentNs, prefixes } = startTag(whole);
  const rid = count(attributes.get("rid"), Number.MAX_SAFE_INTEGER);
  if (rid === undefined) return undefined;
  const { to, from, lang } = whole;
  return {
    rid,
    sid: attributes.get("sid"),
    key: attributes.get("key"),
    newKey: attributes.get("newkey"),
    stream: attributes.get("stream"),
    terminate: whole.type === "terminate",
    restart: isTrue(attributes.get("restart of xmpp")),
    pause: count(attributes.get("pause"), 1e9),
    wait: count(attributes.get("wait"), 1e9),
    hold: count(attributes.get("hold"), 1e9),
    ...{ to, from, lang },
    ver: attributes.get("ver"),
    content: attributes.get("content"),
    version: attributes.get("version of xmpp"),
    ack: count(attributes.get("ack"), Number.MAX_SAFE_INTEGER),
    payload: children.map(({ start, end }) => parseStanza(bytes.subarray(start, end), contentNs, limits, prefixes)),
    bytes: source.length,
  };
}

interface Envelope {
  /** By name; those of XMPP over BOSH by `name of xmpp`, whatever their prefix is. */
  readonly attributes: ReadonlyMap<string, string>;
  /** What is declared for the elements inside. */
  readonly contentNs: string;
  readonly prefixes: Prefixes;
}

function startTag({ bytes, payloadStart }: Stanza): Envelope {
  const end = bytes.toString("utf8", 0, payloadStart).replace(/\/?>$/, "/>");
  const { attrs } = parseStanza(end, "", anyAttributes).element();
  const found = Object.entries(attrs as Record<string, unknown>).map(([name, value]) => [name, String(value)] as const);
  const prefixes = found.flatMap(([name, uri]) => (name.startsWith("xmlns:") ? [[name.slice(6), uri] as const] : []));
  const ofXmpp = prefixes.filter(([, uri]) => uri === ns.xbosh).map(([prefix]) => prefix);
  const attributes = found.map(([name, value]): [string, string] => {
    const [prefix = "", local] = name.split(":");
    return [local !== undefined && ofXmpp.includes(prefix) ? `${local} of xmpp` : name, value];
  });
  // Many clients write stanzas as if the envelope's namespace were theirs. XEP-0206 §2
  const declared = attrs.xmlns === undefined || attrs.xmlns === ns.bosh ? ns.client : String(attrs.xmlns);
  return { attributes: new Map(attributes), contentNs: declared, prefixes };
}

const anyAttributes: Limits = {
  stanzaBytes: 65_536,
  elements: 1,
  depth: 1,
  attributes: 64,
  nameBytes: 256,
  namespaces: 64,
};

function withoutDeclaration(source: Buffer): Buffer {
  if (source[0] !== 0x3c || source[1] !== 0x3f) return source;
  const declaration = /^<\?xml version=(?:'1\.0'|"1\.0")(?: encoding=(?:'utf-8'|"utf-8"))? ?\?>\s*/i.exec(
    source.toString("latin1", 0, 128),
  );
  return source.subarray(declaration?.[0].length ?? 0);
}

function count(text: string | undefined, most: number): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}

const isTrue = (text: string | undefined): boolean => text === "true" || text === "1";

/** An answer's `<body/>` around elements as streams over TCP carry them. */
export function writeBody(
  attributes: Readonly<Record<string, string | number | undefined>>,
  content: readonly (Buffer | string)[],
): string {
  let inside = "";
  let ofStream: string | undefined;
  for (const element of content) {
    const { at, text, prefix } = missingNamespace(element);
    const whole = element.toString();
    // XEP-0206 §2: the prefix of streams is declared on the envelope.
    if (prefix) ofStream = ns.streams;
    inside += at === 0 || prefix ? whole : `${whole.slice(0, at)}${text}${whole.slice(at)}`;
  }
  const tag = openTag("body", { xmlns: ns.bosh, "xmlns:stream": ofStream, ...attributes });
  return inside === "" ? `${tag.slice(0, -1)}/>` : `${tag}${inside}</body>`;
}

/** An answer that ends the session, or says that there is none. XEP-0124 §17.2 */
export function terminateBody(
  condition: string | undefined,
  content: readonly (Buffer | string)[] = [],
  attributes: Readonly<Record<string, string | number | undefined>> = {},
): string {
  return writeBody({ ...attributes, type: "terminate", condition }, content);
}

/** How a request is answered over HTTP. */
export interface BoshAnswer {
  readonly status: number;
  /** Content-Type */
  readonly type: string;
  readonly body: string;
}

export const usualContent = "text/xml; charset=utf-8";
// Nothing that a browser shows as a page.
const otherContent = /^(?:text\/xml|application\/xml|text\/plain)(?:; ?charset=(?:utf-8|"utf-8"))?$/i;

/** The Content-Type that a client gets for asking for this one. XEP-0124 §7.1 */
export function contentFor(wanted: string | undefined): string {
  return wanted !== undefined && otherContent.test(wanted) ? wanted : usualContent;
}

/** What clients from before conditions in bodies understand. XEP-0124 §17.1 */
const statuses = new Map([
  ["bad-request", 400],
  ["policy-violation", 403],
  ["item-not-found", 404],
]);

/** The answer that tells of the end of a session, or that there is none. XEP-0124 §17 */
export function closing(
  condition: string | undefined,
  { content = usualContent, legacy = false }: { readonly content?: string; readonly legacy?: boolean } = {},
): BoshAnswer {
  const status = legacy ? statuses.get(condition ?? "") : undefined;
  return { status: status ?? 200, type: content, body: terminateBody(condition) };
}

/** Some ends of a stream have a name of their own in BOSH. XEP-0124 §17.2 */
export function conditionOf(error: Xml): string {
  const condition = /^<stream:error><([\w-]+)/.exec(error)?.[1] ?? "";
  return ["host-gone", "host-unknown", "improper-addressing"].includes(condition) ? condition : "remote-stream-error";
}
