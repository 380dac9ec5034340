import { type Element, escapeXML } from "ltx";
import { errorCondition } from "./stanzas.ts";
import type { XmppClient } from "./xmpp-client.ts";

export const mucNs = {
  muc: "http://jabber.org/protocol/muc",
  user: "http://jabber.org/protocol/muc#user",
  admin: "http://jabber.org/protocol/muc#admin",
  owner: "http://jabber.org/protocol/muc#owner",
  config: "http://jabber.org/protocol/muc#roomconfig",
  archive: "urn:xmpp:mam:2",
  ids: "urn:xmpp:sid:0",
  occupantId: "urn:xmpp:occupant-id:0",
} as const;

/** The status codes that a presence or message of a room carries. */
export const codesOf = (stanza: Element): number[] =>
  stanza
    .getChild("x", mucNs.user)
    ?.getChildren("status")
    .map((each) => Number(each.attrs.code)) ?? [];

const joinsOf = new WeakMap<XmppClient, number>();

/** Joins and waits for the subject that ends it, or the refusal. Returns the own presence, or throws with the condition. */
export async function join(client: XmppClient, room: string, nick: string, inside = ""): Promise<Element> {
  const id = `join${(joinsOf.get(client) ?? 0) + 1}`;
  joinsOf.set(client, (joinsOf.get(client) ?? 0) + 1);
  client.send(
    `<presence id='${id}' to='${escapeXML(`${room}/${nick}`)}'><x xmlns='${mucNs.muc}'>${inside}</x></presence>`,
  );
  const own = await client.next(
    (stanza) =>
      stanza.is("presence") &&
      String(stanza.attrs.from ?? "").startsWith(`${room}/`) &&
      ((codesOf(stanza).includes(110) && stanza.attrs.type === undefined) || stanza.attrs.type === "error"),
    `own presence in ${room}`,
  );
  if (own.attrs.type === "error") throw new Error(errorCondition(own));
  await client.next(
    (stanza) => stanza.is("message") && stanza.getChild("subject") !== undefined && stanza.attrs.from.startsWith(room),
    `subject of ${room}`,
  );
  return own;
}

/** Makes a room with this configuration. */
export async function makeRoom(
  client: XmppClient,
  room: string,
  nick: string,
  fields: Record<string, string> = {},
): Promise<void> {
  await join(client, room, nick);
  const answer = await configure(client, room, fields);
  if (answer.attrs.type !== "result") throw new Error(answer.toString());
}

/** Fields without a prefix are those of muc#roomconfig. */
export function configure(client: XmppClient, room: string, fields: Record<string, string>): Promise<Element> {
  const all = Object.entries(fields).map(([key, value]) => {
    const name = key.includes("#") || key.includes("{") ? key : `muc#roomconfig_${key}`;
    return `<field var='${escapeXML(name)}'><value>${escapeXML(value)}</value></field>`;
  });
  const form = `<field var='FORM_TYPE'><value>${mucNs.config}</value></field>${all.join("")}`;
  return client.set(`<query xmlns='${mucNs.owner}'><x xmlns='jabber:x:data' type='submit'>${form}</x></query>`, room);
}

/** Values of the configuration form by field. */
export async function configuration(client: XmppClient, room: string): Promise<Map<string, string[]>> {
  const answer = await client.get(`<query xmlns='${mucNs.owner}'/>`, room);
  const fields = answer.getChild("query")?.getChild("x")?.getChildren("field") ?? [];
  return new Map(fields.map((each) => [each.attrs.var, each.getChildren("value").map((value) => value.getText())]));
}

export function affiliate(client: XmppClient, room: string, jid: string, affiliation: string): Promise<Element> {
  return client.set(`<query xmlns='${mucNs.admin}'><item jid='${jid}' affiliation='${affiliation}'/></query>`, room);
}

/** Says something and returns it as the room reflected it. */
export async function say(client: XmppClient, room: string, body: string, more = ""): Promise<Element> {
  const id = client.newId();
  client.send(
    `<message id='${id}' type='groupchat' to='${escapeXML(room)}'><body>${escapeXML(body)}</body>${more}</message>`,
  );
  return client.next((stanza) => stanza.is("message") && stanza.attrs.id === id, `"${body}" in ${room}`);
}

/** The id that the room gave a message. */
export const idIn = (message: Element, room: string): string =>
  message.getChildren("stanza-id").find((each) => each.getNS() === mucNs.ids && each.attrs.by === room)?.attrs.id ?? "";

/** What a page of the archive holds: the forwarded messages, with their ids; or the refusal. */
export async function archive(
  client: XmppClient,
  room: string,
  fields: Record<string, string> = {},
  page = "",
): Promise<{ answer: Element; condition: string; messages: { id: string; message: Element }[] }> {
  const all = Object.entries(fields).map(([key, value]) => `<field var='${key}'><value>${value}</value></field>`);
  const form =
    all.length === 0
      ? ""
      : `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${mucNs.archive}</value></field>${all.join("")}</x>`;
  const set = page === "" ? "" : `<set xmlns='http://jabber.org/protocol/rsm'>${page}</set>`;
  const answer = await client.set(`<query xmlns='${mucNs.archive}'>${form}${set}</query>`, room);
  const { inbox } = client.connection;
  const results = inbox.filter((each) => each.getChild("result", mucNs.archive) !== undefined);
  for (const result of results) inbox.splice(inbox.indexOf(result), 1);
  return {
    answer,
    condition: errorCondition(answer),
    messages: results.map((each) => {
      const result = each.getChild("result", mucNs.archive);
      return { id: result?.attrs.id, message: result?.getChild("forwarded")?.getChild("message") as Element };
    }),
  };
}

/** Bodies of a page, "" where there is none. */
export const bodies = (page: { messages: { message: Element }[] }): string[] =>
  page.messages.map(({ message }) => message.getChildText("body") ?? "");
