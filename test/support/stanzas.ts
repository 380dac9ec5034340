import type { Element } from "ltx";

export const ns = {
  bind: "urn:ietf:params:xml:ns:xmpp-bind",
  cb: "urn:xmpp:sasl-cb:0",
  ping: "urn:xmpp:ping",
  roster: "jabber:iq:roster",
  sasl: "urn:ietf:params:xml:ns:xmpp-sasl",
  sm: "urn:xmpp:sm:3",
  stanzas: "urn:ietf:params:xml:ns:xmpp-stanzas",
  streams: "urn:ietf:params:xml:ns:xmpp-streams",
  tls: "urn:ietf:params:xml:ns:xmpp-tls",
} as const;

export type Contact = { jid: string; name: string; subscription: string; ask: string; groups: string[] };

/** The contacts of a roster result or push, by bare address. */
export function contacts(query: Element): [string, Contact][] {
  return query.getChildren("item").map((item) => {
    const { jid = "", name = "", subscription = "none", ask = "" } = item.attrs;
    return [
      jid,
      {
        jid,
        name,
        subscription,
        ask,
        groups: item
          .getChildren("group")
          .map((group) => group.getText())
          .sort(),
      },
    ];
  });
}

/** The defined condition of a stanza error, e.g. `item-not-found`; "" if it is none. */
export function errorCondition(stanza: Element): string {
  const children = stanza.getChild("error")?.getChildElements() ?? [];
  return children.find((child) => child.getNS() === ns.stanzas && child.getName() !== "text")?.getName() ?? "";
}

export function isStanza(element: Element): boolean {
  return element.is("message") || element.is("presence") || element.is("iq");
}

export function isRosterPush(stanza: Element): boolean {
  return stanza.is("iq") && stanza.attrs.type === "set" && stanza.getChild("query", ns.roster) !== undefined;
}
