import { ns } from "../../formats/namespaces.ts";
import { errorElement, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";
import type { ServiceStanza } from "../../routing/handlers.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { writeStanza, x } from "../../xml/writer.ts";
import type { Hall } from "./hall.ts";
import type { Occupant, Room } from "./room.ts";

const stored = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };

export interface OccupantRequests {
  iq(flow: ServiceStanza): StanzaError | undefined;
  /** Nobody answers for this nick any more: who waits for it is told. */
  left(occupant: Occupant): void;
}

/**
 * Requests from one occupant to another, and to oneself: a self-ping is answered here. XEP-0045 §17.2, XEP-0410 §3.3
 *
 * The request that goes on carries the asker's session in its id. That the asker waits is part of his session's state,
 * so an answer finds its way after a restart, and a forged one finds nobody waiting.
 */
export function occupantRequests(hall: Hall): OccupantRequests {
  const { core } = hall;

  function iq(flow: ServiceStanza): StanzaError | undefined {
    const { stanza, place } = flow;
    const isAnswer = stanza.type === "result" || stanza.type === "error";
    const room = place.local === "" ? undefined : hall.at(place);
    if (isAnswer) {
      if (room !== undefined && place.resource !== "") answered(room, flow);
      return undefined;
    }
    const isPing = stanza.has(ns.ping, "ping");
    if (place.local === "") return isPing ? pong(flow) : stanzaError("service-unavailable");
    if (room === undefined) return stanzaError("item-not-found", { text: "There is no such room." });
    if (place.resource === "") return isPing ? pong(flow) : stanzaError("service-unavailable");
    const asker = hall.speaker(room, flow);
    if (asker === undefined)
      return isPing
        ? stanzaError("not-acceptable", { text: "You are not in this room." })
        : stanzaError("bad-request", { text: "Only who is in the room asks others in it." });
    const target = room.occupants.get(place.resource);
    if (target === undefined) return stanzaError("item-not-found", { text: "Nobody has this nickname here." });
    if (target === asker && isPing) return pong(flow);
    if (stanza.type === "get" && stanza.has(ns.vcard, "vCard") && target.account !== undefined)
      return card(room, asker, target, flow);
    return relay(room, asker, target, flow);
  }

  function pong({ stanza, to, from }: ServiceStanza): undefined {
    const responder = core.names.relative(to);
    core.router.sendTo(from, (view, address) =>
      x("iq", { type: "result", id: stanza.id, from: core.names.absolute(responder, view), to: address }),
    );
    return undefined;
  }

  /** A vCard is the account's, not the client's: asked in the asker's occupant name, so nobody learns who is who. XEP-0045 §17.2 */
  function card(room: Room, asker: Occupant, target: Occupant, flow: ServiceStanza): undefined {
    const { stanza, view, from } = flow;
    const to = core.names.absolute(target.user, view);
    const asked = x("iq", { xmlns: ns.client, type: "get", id: stanza.id, to }, x("vCard", { xmlns: ns.vcard }));
    core.router.receiveLinked({
      stanza: parseStanza(asked, ns.client, limitsAfterLogin),
      from: hall.jid(room, view, asker.nick),
      link: {
        view,
        send(answer, after) {
          const found = parseStanza(answer, ns.client, stored);
          core.router.sendTo(
            from,
            (seen, address) =>
              writeStanza(found, {
                ...{ from: hall.address(room, seen, target.nick), to: address },
                payload: core.router.views.payload(found.payload(), view, seen),
              }),
            after,
          );
        },
      },
    });
    return undefined;
  }

  function relay(room: Room, asker: Occupant, target: Occupant, flow: ServiceStanza): StanzaError | undefined {
    const { stanza, session, view } = flow;
    const device = target.devices.at(-1);
    const { id } = stanza;
    if (session === undefined || device === undefined || id === undefined || id.length > 1000)
      return stanzaError("service-unavailable");
    session.asks(id, formatJid(flow.to));
    const sent = hall.send(device, (seen, to) =>
      writeStanza(stanza, {
        ...{ from: hall.address(room, seen, asker.nick), to, id: `${session.id.toString(36)}.${id}` },
        payload: core.router.views.payload(stanza.payload(), view, seen),
      }),
    );
    if (sent) return undefined;
    session.asking.delete(id);
    return stanzaError("recipient-unavailable");
  }

  /** Only to who asked exactly this occupant, and only from him. */
  function answered(room: Room, flow: ServiceStanza): void {
    const { stanza, view } = flow;
    const answerer = hall.speaker(room, flow);
    const dot = stanza.id?.indexOf(".") ?? -1;
    if (answerer === undefined || stanza.id === undefined || dot < 1) return;
    const id = stanza.id.slice(dot + 1);
    const asker = core.sessions.byId(Number.parseInt(stanza.id.slice(0, dot), 36));
    if (asker === undefined || !isAddressOf(asker.asking.get(id), room, answerer.nick)) return;
    asker.asking.delete(id);
    const data = writeStanza(stanza, {
      ...{ from: hall.address(room, asker.view, answerer.nick), to: asker.address, id },
      payload: core.router.views.payload(stanza.payload(), view, asker.view),
    });
    core.router.send(asker, data);
  }

  /** Under whatever name of the service it was asked. */
  function isAddressOf(asked: string | undefined, room: Room, nick: string): boolean {
    const address = asked === undefined ? undefined : parseJid(asked);
    return address !== undefined && address.resource === nick && hall.at(core.names.locate(address)) === room;
  }

  function left(occupant: Occupant): void {
    const { room, nick } = occupant;
    for (const other of room.occupants.values())
      for (const { session } of other.devices)
        for (const [id, asked] of session?.asking ?? []) {
          if (session === undefined || !isAddressOf(asked, room, nick)) continue;
          session.asking.delete(id);
          const from = hall.address(room, session.view, nick);
          const error = errorElement(stanzaError("recipient-unavailable"));
          core.router.send(session, x("iq", { type: "error", id, from, to: session.address }, error));
        }
  }

  return { iq, left };
}
