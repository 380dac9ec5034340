import type { Element } from "ltx";
import type { XmppClient } from "./xmpp-client.ts";

export const mam = "urn:xmpp:mam:2";

/** A submitted query form: `mamForm({ with: "bob@localhost" })`. */
export function mamForm(fields: Record<string, string | readonly string[]>): string {
  const written = Object.entries(fields).map(([name, value]) => {
    const values = typeof value === "string" ? [value] : value;
    return `<field var='${name}'>${values.map((one) => `<value>${one}</value>`).join("")}</field>`;
  });
  return `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${mam}</value></field>${written.join("")}</x>`;
}

/** One page of somebody's archive: the messages as they stand in it, and the answer. Takes the results from the inbox. */
export async function readArchive(
  client: XmppClient,
  inside = "",
  to = "",
): Promise<{ messages: Element[]; ids: string[]; bodies: string[]; answer: Element; fin: Element | undefined }> {
  const answer = await client.set(`<query xmlns='${mam}'>${inside}</query>`, to);
  const { inbox } = client.connection;
  const results = inbox.filter((stanza) => stanza.getChild("result", mam) !== undefined);
  inbox.splice(0, inbox.length, ...inbox.filter((stanza) => !results.includes(stanza)));
  const each = results.map((stanza) => stanza.getChild("result", mam) as Element);
  const messages = each.map(
    (result) => result.getChild("forwarded", "urn:xmpp:forward:0")?.getChild("message", "jabber:client") as Element,
  );
  return {
    messages,
    ids: each.map((result) => String(result.attrs.id)),
    bodies: messages.map((message) => message.getChildText("body") ?? ""),
    answer,
    fin: answer.getChild("fin", mam),
  };
}
