import { ns } from "../../formats/namespaces.ts";
import { bare, formatJid, type Jid, parseJid } from "../../jid/jid.ts";
import type { Urgency } from "../../routing/held-back.ts";
import { parseStanza } from "../../xml/document.ts";
import { unlimited } from "../../xml/limits.ts";
import type { Stanza } from "../../xml/stanza.ts";

/** Who it is for, and what is known of the rooms that it is in. */
export interface Reader {
  /** Bare address. */
  readonly own: string;
  placeIn(room: Jid): { readonly nick: string; readonly membersOnly: boolean } | undefined;
  /** Whether everything said in rooms is urgent. */
  readonly roomsUrgent: boolean;
}

/** What the rules look at. */
interface Seen {
  readonly stanza: Stanza;
  /** Full address as written; "" if none is. */
  readonly from: string;
  readonly sender: Jid | undefined;
  readonly reader: Reader;
}

type Verdict =
  | { readonly is: "now"; readonly wakes?: boolean }
  | { readonly is: "later"; readonly key?: string | undefined };

interface Rule {
  readonly what: string;
  /** Undefined: the rule is not about this. */
  judge(seen: Seen): Verdict | undefined;
}

const now: Verdict = { is: "now" };
const wakes: Verdict = { is: "now", wakes: true };
const later: Verdict = { is: "later" };

const encrypted = [ns.encryption, ns.omemo, "urn:xmpp:omemo:2", ns.openPgp, ns.legacyEncrypted];
const attentionNs = "urn:xmpp:attention:0"; // XEP-0224
const references = "urn:xmpp:reference:0"; // XEP-0372

const saysSomething = ({ stanza }: Seen): boolean =>
  stanza.has(ns.client, "body") || encrypted.some((namespace) => stanza.has(namespace));

/** Nothing but what passes with the moment. XEP-0085, 0334, 0359 */
const passing = new Set<string>([ns.chatStates, ns.hints, ns.stanzaIds, ns.delay]);
const onlyPassing = ({ stanza }: Seen): boolean =>
  stanza.has(ns.chatStates) &&
  stanza.children.every(
    ({ ns: namespace, name }) => passing.has(namespace) || (namespace === ns.client && name === "thread"),
  );

/** What answers or decorates a message that is known already. XEP-0184, 0333, 0444, 0490 */
const passive = [ns.receipts, ns.chatMarkers, ns.reactions, "urn:xmpp:mds:displayed:0"];

/** Nodes with one item, whatever its id: only the newest says anything. XEP-0084, 0107, 0108, 0118, 0080, 0172, 0292, 0384 */
const single = new Set<string>([
  ns.avatarMetadata,
  "http://jabber.org/protocol/mood",
  "http://jabber.org/protocol/activity",
  "http://jabber.org/protocol/tune",
  "http://jabber.org/protocol/geoloc",
  "http://jabber.org/protocol/nick",
  ns.vcard4Node,
  `${ns.omemo}.devicelist`,
  "urn:xmpp:omemo:2:devices",
]);

/** Rules for messages; the first that has a verdict counts. docs/mobile.md has the same table for people. */
export const messageRules: readonly Rule[] = [
  { what: "errors", judge: ({ stanza }) => (stanza.type === "error" ? now : undefined) },
  { what: "copies of what other devices send and get", judge: copy },
  { what: "answers from an archive", judge: ({ stanza }) => (stanza.has(ns.archive, "result") ? now : undefined) },
  { what: "published things", judge: (seen) => (seen.stanza.has(ns.pubsubEvent, "event") ? event(seen) : undefined) },
  {
    what: "calls",
    judge: ({ stanza }) => {
      if (!stanza.has(ns.jingleMessage)) return undefined;
      return stanza.has(ns.jingleMessage, "propose") ? wakes : now;
    },
  },
  { what: "rooms", judge: (seen) => (seen.stanza.type === "groupchat" ? inRoom(seen) : undefined) },
  {
    what: "invitations",
    judge: ({ stanza }) => {
      if (stanza.has(ns.conference)) return wakes;
      const user = stanza.child(ns.mucUser, "x");
      return user?.getChild("invite") === undefined ? undefined : wakes;
    },
  },
  { what: "what a person says", judge: (seen) => (saysSomething(seen) ? said(seen) : undefined) },
  { what: "calls for attention", judge: ({ stanza }) => (stanza.has(attentionNs) ? wakes : undefined) },
  {
    what: "chat states",
    judge: (seen) => (onlyPassing(seen) ? { is: "later", key: `state ${seen.from}` } : undefined),
  },
  {
    what: "receipts, markers, reactions",
    judge: ({ stanza }) => (passive.some((namespace) => stanza.has(namespace)) ? later : undefined),
  },
  { what: "anything else", judge: () => now },
];

function said({ stanza, from, reader }: Seen): Verdict {
  return stanza.type === "headline" || from === "" || bareOf(from) === reader.own ? now : wakes;
}

/** From the own account only: others' wrappers are ordinary content. XEP-0280 §11 */
function copy(seen: Seen): Verdict | undefined {
  if (seen.from !== seen.reader.own) return undefined;
  const direction = seen.stanza.has(ns.carbons, "sent") ? "sent" : "received";
  const wrapped = seen.stanza.child(ns.carbons, direction)?.getChild("forwarded", ns.forward)?.getChild("message");
  if (wrapped === undefined) return undefined;
  const inner = seenOf(parseStanza(wrapped.toString(), ns.client, unlimited), seen.reader);
  if (onlyPassing(inner)) return { is: "later", key: `state ${direction} ${inner.from} ${inner.stanza.to ?? ""}` };
  // What the other device sent takes the notification off this one.
  return direction === "sent" ? now : verdict(inner);
}

/** One of a kind for each publisher, node and item. */
function event(seen: Seen): Verdict {
  const items = seen.stanza.child(ns.pubsubEvent, "event")?.getChild("items");
  const node: unknown = items?.attrs.node;
  const [only, ...more] = items?.getChildElements() ?? [];
  if (typeof node !== "string" || only === undefined || more.length > 0) return later;
  const id: unknown = single.has(node) ? "" : only.attrs.id;
  return typeof id === "string" ? { is: "later", key: `event ${seen.from} ${node} ${id}` } : later;
}

function inRoom(seen: Seen): Verdict {
  const { stanza, sender, reader } = seen;
  if (stanza.has(ns.client, "subject") && !stanza.has(ns.client, "body")) return now;
  const place = sender && reader.placeIn(bare(sender));
  if (place !== undefined && sender?.resource === place.nick) return now;
  if (!saysSomething(seen)) return later;
  if (stanza.has(ns.delay, "delay")) return later;
  if (reader.roomsUrgent || place?.membersOnly === true) return wakes;
  // Nobody can tell whom it mentions.
  if (encrypted.some((namespace) => stanza.has(namespace))) return wakes;
  // In rooms of others the nick is not known here; most people go by their name.
  return mentions(seen, place?.nick ?? reader.own.slice(0, reader.own.indexOf("@"))) ? wakes : later;
}

function mentions({ stanza, reader }: Seen, nick: string): boolean {
  const body = stanza.child(ns.client, "body")?.getText() ?? "";
  if (names(body, nick)) return true;
  const reference = stanza.has(references) ? stanza.child(references, "reference") : undefined;
  return reference?.attrs.type === "mention" && String(reference.attrs.uri).startsWith(`xmpp:${reader.own}`);
}

/** Whether a text has the nick as a word. */
export function names(body: string, nick: string): boolean {
  const [text, word] = [body.toLowerCase(), nick.toLowerCase()];
  if (word === "") return false;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const around = [text.slice(0, at).at(-1), text[at + word.length]];
    if (!around.some((letter) => letter !== undefined && /[\p{L}\p{N}_]/u.test(letter))) return true;
  }
  return false;
}

/** Of presence only the newest of each address says anything; requests and what rooms say of oneself are news. */
function presence({ stanza, from }: Seen): Verdict {
  if (stanza.type !== undefined && stanza.type !== "unavailable") return now;
  const user = stanza.child(ns.mucUser, "x");
  const own = user?.getChildren("status").some((status) => status.attrs.code === "110") === true;
  return own ? now : { is: "later", key: `presence ${from}` };
}

function verdict(seen: Seen): Verdict {
  for (const rule of messageRules) {
    const found = rule.judge(seen);
    if (found !== undefined) return found;
  }
  return now;
}

const seenOf = (stanza: Stanza, reader: Reader): Seen => {
  const from = stanza.from ?? "";
  return { stanza, from, sender: from === "" ? undefined : parseJid(from), reader };
};

const bareOf = (address: string): string => {
  const slash = address.indexOf("/");
  return slash < 0 ? address : address.slice(0, slash);
};

/** Reads a stanza as it goes out to a client. */
export const readOutgoing = (data: Buffer | string): Stanza => parseStanza(data, ns.client, unlimited);

/** Whether a message of this sender would wake its reader. */
export function wouldWake(message: Stanza, from: string, reader: Reader): boolean {
  const found = verdict({ stanza: message, from, sender: parseJid(from), reader });
  return found.is === "now" && found.wakes === true;
}

/** What becomes of a stanza on its way to a client that does not look. */
export function judge(data: Buffer | string, reader: Reader): Urgency {
  const stanza = readOutgoing(data);
  const seen = seenOf(stanza, reader);
  const from =
    seen.from === "" ? reader.own : seen.sender === undefined ? bareOf(seen.from) : formatJid(bare(seen.sender));
  const found = stanza.name === "message" ? verdict(seen) : stanza.name === "presence" ? presence(seen) : now;
  if (found.is === "later") return { is: "later", from, key: found.key };
  return { is: "now", from, wakes: found.wakes === true };
}
