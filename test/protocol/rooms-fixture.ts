import type { Element } from "ltx";
import type { XmppClient } from "../support/xmpp-client.ts";

export const muc = "http://jabber.org/protocol/muc";
export const service = "conference.localhost";
export const at = (room: string, nick = ""): string => `${room}@${service}${nick === "" ? "" : `/${nick}`}`;

/** Sends the presence that enters a room. `inside` goes into the `<x/>`, `more` beside it. */
export function sendJoin(client: XmppClient, room: string, nick: string, inside = "", more = ""): void {
  client.send(`<presence to='${at(room, nick)}'><x xmlns='${muc}'>${inside}</x>${more}</presence>`);
}

export const statusCodes = (stanza: Element): string[] =>
  (stanza.getChild("x", `${muc}#user`)?.getChildren("status") ?? []).map(({ attrs }) => String(attrs.code)).sort();
export const itemOf = (stanza: Element): Record<string, string> =>
  stanza.getChild("x", `${muc}#user`)?.getChild("item")?.attrs ?? {};
export const presenceOf =
  (room: string, nick: string, type?: string) =>
  (stanza: Element): boolean =>
    stanza.is("presence") && stanza.attrs.from === at(room, nick) && stanza.attrs.type === type;
const isSubject = (room: string) => (stanza: Element) =>
  stanza.is("message") &&
  stanza.attrs.type === "groupchat" &&
  String(stanza.attrs.from).startsWith(at(room)) &&
  stanza.getChild("subject") !== undefined &&
  stanza.getChild("body") === undefined;

/** Enters and waits for what comes last, the subject. Returns the self-presence. */
export async function join(client: XmppClient, room: string, nick: string, inside = ""): Promise<Element> {
  sendJoin(client, room, nick, inside);
  const self = await client.next(
    (stanza) => presenceOf(room, nick)(stanza) && statusCodes(stanza).includes("110"),
    "self-presence",
  );
  await client.next(isSubject(room), "subject");
  return self;
}

export const form = (fields: Record<string, string | readonly string[]>, type = "submit"): string =>
  `<x xmlns='jabber:x:data' type='${type}'><field var='FORM_TYPE'><value>${muc}#roomconfig</value></field>${Object.entries(
    fields,
  )
    .map(
      ([name, value]) =>
        `<field var='${name}'>${[value]
          .flat()
          .map((one) => `<value>${one}</value>`)
          .join("")}</field>`,
    )
    .join("")}</x>`;

/** Configures as owner; field names without `muc#roomconfig_`. */
export function configure(client: XmppClient, room: string, fields: Record<string, string | readonly string[]> = {}) {
  const full = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name.includes("#") ? name : `muc#roomconfig_${name}`, value]),
  );
  return client.set(`<query xmlns='${muc}#owner'>${form(full)}</query>`, at(room));
}

/** Enters a new room and opens it. */
export async function create(
  client: XmppClient,
  room: string,
  nick: string,
  fields: Record<string, string | readonly string[]> = {},
): Promise<void> {
  await join(client, room, nick);
  const answer = await configure(client, room, fields);
  if (answer.attrs.type !== "result") throw new Error(`not configured: ${answer.toString()}`);
}

export const admin = (client: XmppClient, room: string, items: string, type: "get" | "set" = "set") =>
  client[type](`<query xmlns='${muc}#admin'>${items}</query>`, at(room));

export const say = (client: XmppClient, room: string, body: string, id = client.newId()): string => {
  client.send(`<message to='${at(room)}' type='groupchat' id='${id}'><body>${body}</body></message>`);
  return id;
};
export const body = (text: string) => (stanza: Element) => stanza.is("message") && stanza.getChildText("body") === text;
