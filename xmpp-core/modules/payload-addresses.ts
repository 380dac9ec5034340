import { ns } from "../formats/namespaces.ts";
import type { AddressPlace } from "../routing/views.ts";
import { defineModule } from "./module.ts";

type Chain = AddressPlace["within"];

/** Addresses inside a message's payload, wherever the message itself stands. */
const inMessage = (within: NonNullable<Chain>): AddressPlace[] => [
  { within, element: [ns.delay, "delay"], attributes: ["from"] },
  { within, element: [ns.stanzaIds, "stanza-id"], attributes: ["by"] },
  { within, element: [ns.conference, "x"], attributes: ["jid"] },
  { within: [...within, [ns.mucUser, "x"]], element: [ns.mucUser, "invite"], attributes: ["from", "to"] },
  { within: [...within, [ns.mucUser, "x"]], element: [ns.mucUser, "decline"], attributes: ["from", "to"] },
  { within: [...within, [ns.mucUser, "x"]], element: [ns.mucUser, "item"], attributes: ["jid"] },
  { within: [...within, [ns.addresses, "addresses"]], element: [ns.addresses, "address"], attributes: ["jid"] },
  {
    within: [...within, ["http://jabber.org/protocol/rosterx", "x"]],
    element: ["http://jabber.org/protocol/rosterx", "item"],
    attributes: ["jid"],
  },
  { within, element: ["urn:xmpp:reply:0", "reply"], attributes: ["to"] },
];

const forwarded = [ns.forward, "forwarded"] as const;
const forwardedMessage = [...[forwarded], [ns.client, "message"] as const];
const bookmarks = ["storage:bookmarks", "storage"] as const;
const pubsubItems = [
  [ns.pubsub, "pubsub"],
  [ns.pubsub, "items"],
  [ns.pubsub, "item"],
] as const;
const eventItems = [
  [ns.pubsubEvent, "event"],
  [ns.pubsubEvent, "items"],
  [ns.pubsubEvent, "item"],
] as const;

/**
 * The closed list of places of common payloads that carry an address of ours: they are shown under the reader's name
 * of the domain. Formats with an owner declare theirs there (roster, vcard, bookmarks). docs/architecture.md
 */
export const payloadAddresses = defineModule({
  name: "payload-addresses",
  implements: [],
  addresses: [
    ...inMessage([]),
    { within: [forwarded], element: [ns.client, "message"], attributes: ["from", "to"] },
    { within: [forwarded], element: [ns.delay, "delay"], attributes: ["from"] },
    ...inMessage(forwardedMessage),
    ...[pubsubItems, eventItems].flatMap((within): AddressPlace[] => [
      { within: [...within, bookmarks], element: ["storage:bookmarks", "conference"], attributes: ["jid"] },
    ]),
  ],
});
