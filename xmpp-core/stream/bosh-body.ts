import { ns } from "../formats/namespaces.ts";
import { parseStanza } from "../xml/document.ts";
import type { Limits } from "../xml/limits.ts";
import type { Stanza } from "../xml/stanza.ts";
import { openTag } from "../xml/writer.ts";
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
  /** Of XMPP. */
  readonly version: string | undefined;
  /** The client wants to be told which requests have come, or has been told answers up to this one. */
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
  const attributes = startTag(whole);
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
    version: attributes.get("version of xmpp"),
    ack: count(attributes.get("ack"), Number.MAX_SAFE_INTEGER),
    payload: children.map(({ start, end }) => parseStanza(bytes.subarray(start, end), ns.client, limits)),
    bytes: source.length,
  };
}

/** Attributes of the envelope by name; those of XMPP over BOSH by `name of xmpp`, whatever their prefix is. */
function startTag({ bytes, payloadStart }: Stanza): Map<string, string> {
  const end = bytes.toString("utf8", 0, payloadStart).replace(/\/?>$/, "/>");
  const { attrs } = parseStanza(end, "", anyAttributes).element();
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(attrs as Record<string, unknown>)) {
    const [prefix = "", local] = name.split(":");
    const ofXmpp = local !== undefined && attrs[`xmlns:${prefix}`] === ns.xbosh;
    found.set(ofXmpp ? `${local} of xmpp` : name, String(value));
  }
  return found;
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
  const tag = openTag("body", { xmlns: ns.bosh, ...attributes });
  if (content.length === 0) return `${tag.slice(0, -1)}/>`;
  let out = tag;
  for (const element of content) {
    const { at, text } = missingNamespace(element);
    const whole = element.toString();
    out += at === 0 ? whole : `${whole.slice(0, at)}${text}${whole.slice(at)}`;
  }
  return `${out}</body>`;
}

/** An answer that ends the session, or says that there is none. XEP-0124 §17.2 */
export function terminateBody(condition: string | undefined, content: readonly (Buffer | string)[] = []): string {
  return writeBody({ type: "terminate", condition }, content);
}
