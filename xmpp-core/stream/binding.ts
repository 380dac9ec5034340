import { ns } from "../formats/namespaces.ts";
import { errorReply, stanzaError } from "../formats/stanza-error.ts";
import { prepareResource } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import type { Stanza } from "../xml/stanza.ts";
import { nothing, text, type Xml, x } from "../xml/writer.ts";
import type { StreamParts } from "./parts.ts";
import { conflictLimit } from "./properties.ts";

/** How often newer clients were refused a resource that is in use, per session; `xmpp.session.conflict-limit`. */
const refusals = new WeakMap<Session, number>();

/** Resource binding with Openfire's conflict policy. RFC 6120 §7 */
export function bind(
  parts: StreamParts,
  account: Account,
  view: string,
  stanza: Stanza,
): { xml: Xml; session: Session } | { xml: Xml } {
  const wanted = stanza.child(ns.bind, "bind")?.getChildText("resource")?.trim() ?? "";
  const refuse = (condition: "bad-request" | "conflict", why: string) => ({
    xml: errorReply(stanza, stanzaError(condition, { text: why }), {}) ?? nothing,
  });
  const resource = wanted === "" ? parts.random(9).toString("base64url") : prepareResource(wanted);
  if (resource === undefined) return refuse("bad-request", `"${wanted}" cannot be a resource.`);
  const older = parts.sessions.get(account, resource);
  if (older !== undefined) {
    const limit = parts.properties.get(conflictLimit);
    const refused = refusals.get(older) ?? 0;
    // A session that waits for its client gives way at once: the client is here, and binding is its choice.
    if (older.carrier !== undefined && (limit < 0 || refused < limit)) {
      refusals.set(older, refused + 1);
      return refuse("conflict", "Another client uses this resource.");
    }
    if (older.carrier !== undefined) older.carrier.end("conflict", "Another client logged in with the same resource.");
    parts.sessions.end(older, "replaced");
  }
  const session = parts.sessions.open(account, view, resource);
  const jid = x("jid", {}, text(session.address));
  return { session, xml: x("iq", { type: "result", id: stanza.id }, x("bind", { xmlns: ns.bind }, jid)) };
}
