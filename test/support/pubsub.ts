import { type Element, escapeXML } from "ltx";
import type { XmppClient } from "./xmpp-client.ts";

/** XEP-0060 as a client speaks it. */
export const pubsubNs = "http://jabber.org/protocol/pubsub";
export const eventNs = `${pubsubNs}#event`;
export const ownerNs = `${pubsubNs}#owner`;
const errorsNs = `${pubsubNs}#errors`;

export const request = (inside: string): string => `<pubsub xmlns='${pubsubNs}'>${inside}</pubsub>`;
export const ownerRequest = (inside: string): string => `<pubsub xmlns='${ownerNs}'>${inside}</pubsub>`;
const attr = (value: string): string => escapeXML(value);

/** A form to submit; several values make a field with several. */
export function form(type: string, fields: Readonly<Record<string, string | readonly string[]>>): string {
  const all = Object.entries(fields).map(([name, value]) => {
    const values = [value].flat().map((one) => `<value>${escapeXML(one)}</value>`);
    return `<field var='pubsub#${name}'>${values.join("")}</field>`;
  });
  const head = `<field var='FORM_TYPE' type='hidden'><value>${pubsubNs}#${type}</value></field>`;
  return `<x xmlns='jabber:x:data' type='submit'>${head}${all.join("")}</x>`;
}

export type Options = Readonly<Record<string, string | readonly string[]>>;

export function create(client: XmppClient, to: string, node: string | undefined, config?: Options): Promise<Element> {
  const named = node === undefined ? "" : ` node='${attr(node)}'`;
  const configure = config === undefined ? "" : `<configure>${form("node_config", config)}</configure>`;
  return client.set(request(`<create${named}/>${configure}`), to);
}

export const item = (id: string, text = id): string =>
  `<item id='${attr(id)}'><entry xmlns='urn:example'>${escapeXML(text)}</entry></item>`;

export function publish(
  client: XmppClient,
  to: string,
  node: string,
  items: string,
  options?: Options,
): Promise<Element> {
  const conditions =
    options === undefined ? "" : `<publish-options>${form("publish-options", options)}</publish-options>`;
  return client.set(request(`<publish node='${attr(node)}'>${items}</publish>${conditions}`), to);
}

/** `inside`: items by id; `more`: attributes; `beside`: a result set request. */
export function fetch(client: XmppClient, to: string, node: string, inside = "", more = "", beside = "") {
  return client.get(request(`<items node='${attr(node)}' ${more}>${inside}</items>${beside}`), to);
}

export const rsm = (inside: string): string => `<set xmlns='http://jabber.org/protocol/rsm'>${inside}</set>`;

/** Ids of the items in an answer, in their order. */
export function ids(answer: Element): string[] {
  const list = answer.getChild("pubsub", pubsubNs)?.getChild("items");
  if (list === undefined) throw new Error(`no items in ${answer.toString()}`);
  return list.getChildren("item").map(({ attrs }) => attrs.id);
}

export function subscribe(client: XmppClient, to: string, node: string, jid = client.bare, options?: Options) {
  const more =
    options === undefined
      ? ""
      : `<options node='${attr(node)}' jid='${jid}'>${form("subscribe_options", options)}</options>`;
  return client.set(request(`<subscribe node='${attr(node)}' jid='${jid}'/>${more}`), to);
}

export const subscription = (answer: Element): Record<string, string> =>
  answer.getChild("pubsub", pubsubNs)?.getChild("subscription")?.attrs ?? {};

/** Condition of an error, with its pubsub condition if it has one: `conflict precondition-not-met`. */
export function refusal(answer: Element): string {
  const error = answer.getChild("error");
  if (error === undefined) throw new Error(`no error: ${answer.toString()}`);
  const children = error.getChildElements().filter((child) => child.getName() !== "text");
  return children
    .map((child) =>
      child.getNS() === errorsNs && child.attrs.feature ? `${child.getName()} ${child.attrs.feature}` : child.getName(),
    )
    .join(" ");
}

/** The next message with an event. */
export const event = (client: XmppClient, node?: string): Promise<Element> =>
  client.next((stanza) => isEvent(stanza, node), `event ${node ?? ""}`);

export function isEvent(stanza: Element, node?: string): boolean {
  const inside = stanza.is("message") ? stanza.getChild("event", eventNs)?.getChildElements()[0] : undefined;
  return inside !== undefined && (node === undefined || inside.attrs.node === node);
}

/** Kind of an event and the ids in it: `items a b`, `items -a` for a retraction, `purge`. */
export function told(stanza: Element): string {
  const inside = stanza.getChild("event", eventNs)?.getChildElements()[0];
  const inner = inside?.getChildElements().map((each) => `${each.getName() === "retract" ? "-" : ""}${each.attrs.id}`);
  return [inside?.getName(), ...(inside?.getName() === "items" ? (inner ?? []) : [])].join(" ");
}

/** The affiliations that an owner sets: address → affiliation. */
export function affiliate(client: XmppClient, to: string, node: string, wanted: Readonly<Record<string, string>>) {
  const list = Object.entries(wanted).map(([jid, is]) => `<affiliation jid='${jid}' affiliation='${is}'/>`);
  return client.set(ownerRequest(`<affiliations node='${attr(node)}'>${list.join("")}</affiliations>`), to);
}

export const configure = (client: XmppClient, to: string, node: string, config: Options): Promise<Element> =>
  client.set(ownerRequest(`<configure node='${attr(node)}'>${form("node_config", config)}</configure>`), to);
