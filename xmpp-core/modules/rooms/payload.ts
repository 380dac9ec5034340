import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { parseDocument } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import type { Child, Stanza } from "../../xml/stanza.ts";
import { serialiseChildren } from "../../xml/writer.ts";

/** What only the room may say; whatever an occupant sends of it is taken out. XEP-0045 §14.1, XEP-0421 §6, XEP-0359 §6 */
export const occupantIds = "urn:xmpp:occupant-id:0";
const hats = "urn:xmpp:hats:0";
const ofTheRoom = new Set<string>([ns.muc, ns.mucUser, occupantIds, hats, "urn:xmpp:message-moderate:1"]);
const stampedByTheRoom = new Set<string>([ns.stanzaIds, ns.delay, "jabber:x:delay"]);

const forgedPresence = (child: Child): boolean => ofTheRoom.has(child.ns) || stampedByTheRoom.has(child.ns);
/** The client's own id of a message stays: XEP-0359 `origin-id`. */
const forgedMessage = (child: Child): boolean =>
  ofTheRoom.has(child.ns) || (stampedByTheRoom.has(child.ns) && child.name !== "origin-id");

/** The inside of an occupant's presence as it may be passed on. */
export function presencePayload(stanza: Stanza): Buffer {
  return withoutNested(stanza.payload(forgedPresence));
}

/** The inside of an occupant's message as it may be passed on; `keep` names what a moderator may say after all. */
export function messagePayload(stanza: Stanza): Buffer {
  return withoutNested(stanza.payload(forgedMessage));
}

/** Occupant ids inside of forwarded copies would be taken for ours, too. */
function withoutNested(payload: Buffer): Buffer {
  if (!payload.includes(occupantIds)) return payload;
  const limits = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER };
  const text = `<message xmlns='${ns.client}'>${payload.toString()}</message>`;
  const whole = parseDocument(text, limits);
  strip(whole);
  return Buffer.from(serialiseChildren(whole, ns.client));
}

function strip(element: Element): void {
  element.children = element.children.filter((node) => typeof node === "string" || node.getNS() !== occupantIds);
  for (const child of element.getChildElements()) strip(child);
}
