import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { MessageFlow, PresenceFlow, PresenceHandler } from "../../routing/handlers.ts";
import type { Place } from "../../routing/names.ts";
import type { Hall } from "./hall.ts";

/**
 * People write `room@domain` for `room@conference.domain`. They are told, if there is such a room and anybody may know
 * of it; whether the name is somebody's account changes nothing of the answer. XEP-0045 §7.2, RFC 6120 §8.3.3.5
 */
export function wrongAddress(hall: Hall): {
  admit(flow: MessageFlow): StanzaError | undefined;
  presence: PresenceHandler;
} {
  function rightOne(place: Place & { readonly at: "account" }, view: string): string | undefined {
    for (const [name, service] of hall.services) {
      const room = hall.get(place.served.id, name, place.name);
      if (room === undefined || !room.config.public || room.locked) continue;
      if (room.config.membersOnly && !service.settings().discoverMembersOnly) continue;
      return hall.address(room, view);
    }
    return undefined;
  }

  const there = (address: string): StanzaError =>
    stanzaError("gone", { address: `xmpp:${address}?join`, text: `That is a room. Its address is ${address}.` });

  function joining({ place, stanza, session }: PresenceFlow): StanzaError | undefined {
    if (place?.at !== "account" || stanza.type !== undefined || !stanza.has(ns.muc, "x")) return undefined;
    const address = rightOne(place, session.view);
    if (address !== undefined) return there(address);
    const host = hall.core.names.hostName(session.view, hall.services.keys().next().value ?? "conference");
    return stanzaError("item-not-found", {
      text: `Rooms are not at ${session.view}. Their addresses end in @${host}.`,
    });
  }

  return {
    admit(flow) {
      const { place, sender } = flow;
      if (place.at !== "account" || sender === undefined || flow.type === "error") return undefined;
      // What an account would take is the account's; type groupchat no bare address takes.
      const forNobody = flow.recipient === undefined || (flow.type === "groupchat" && place.resource === "");
      const address = forNobody ? rightOne(place, flow.view) : undefined;
      return address === undefined ? undefined : there(address);
    },
    presence: { handle: joining, fromOutside: () => undefined },
  };
}
