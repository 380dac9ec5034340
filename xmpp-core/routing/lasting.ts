import { ns } from "../formats/namespaces.ts";
import type { Stanza } from "../xml/stanza.ts";

/** Children that mean nothing once the moment has passed; a message of these alone is not kept. XEP-0085, 0334, 0359 */
const passing = new Set<string>([
  ns.chatStates,
  ns.hints,
  ns.stanzaIds,
  "http://jabber.org/protocol/nick",
  "jabber:x:event",
]);

/**
 * Whether a message should outlive the moment: it says something (a body, a receipt, a marker, an encrypted payload,
 * an invitation …) and its sender does not ask otherwise. XEP-0160 §3, XEP-0313 §5.1.3, XEP-0334.
 */
export function isLasting(message: Stanza): boolean {
  let lasting = false;
  for (const { ns: namespace, name } of message.children) {
    if (namespace === ns.hints) {
      if (name === "no-store" || name === "no-permanent-store") return false;
      if (name === "store") lasting = true;
    } else if (!passing.has(namespace) && !(namespace === message.ns && (name === "thread" || name === "subject"))) {
      lasting = true;
    }
  }
  return lasting;
}
