import { delayElement } from "../formats/delay.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaId } from "../formats/stanza-id.ts";
import { parseJid } from "../jid/jid.ts";
import type { Session } from "../routing/session.ts";
import type { RenderStored } from "../routing/sessions.ts";
import { renderStored, type StoredStanza, stanzasById } from "../routing/stored-stanzas.ts";
import { archiveTime } from "../storage/archive-id.ts";
import type { Xml } from "../xml/writer.ts";
import type { Core } from "./module.ts";
import { carbonCopies } from "./points.ts";
import { lateExtras } from "./stored-messages.ts";

/** Stored messages for a session that comes back after a crash: with their archive id and a delay stamp. docs/architecture.md "What is on disk when", rule 4 */
export function recoveredMessages(core: Core): RenderStored {
  const { names, storage, router } = core;
  return async (session, archiveIds) => {
    const found = new Map<number, Buffer>();
    if (archiveIds.length === 0) return found;
    for (const row of await storage.read(stanzasById, JSON.stringify(archiveIds))) {
      found.set(row.id, Buffer.from(asSeen(session, row, lateExtras(core, session, row))));
    }
    return found;
  };

  /** From the occupant, to the session that is in the room, with the room's own id and stamp. XEP-0045 §7.4, XEP-0359 §3 */
  function ofRoom(session: Session, row: StoredStanza): Xml {
    const room = names.absolute(row.recipient, session.view);
    const stamp = new Date(archiveTime(row.id));
    const extras = [stanzaId(row.id, room), delayElement({ stamp, from: room })];
    return renderStored({ names, views: router.views }, row, session.view, extras, { to: session.address });
  }

  /** The message itself, or the copy that this session had of it. */
  function asSeen(session: Session, row: StoredStanza, append: readonly Xml[]): Xml {
    const parts = { names, views: router.views };
    if (row.type === "groupchat") return ofRoom(session, row);
    const isOwn = (stored: string): "other" | "account" | "session" => {
      const address = parseJid(names.absolute(stored, session.view));
      const place = address && names.locate(address);
      if (place?.at !== "account" || core.accounts.get(place.served.id, place.name) !== session.account) return "other";
      return place.resource === "" || place.resource === session.resource ? "session" : "account";
    };
    const copies = core.offered(carbonCopies)[0];
    const direct = isOwn(row.recipient) === "session";
    if (direct || copies === undefined) return renderStored(parts, row, session.view, append);
    const direction = isOwn(row.recipient) === "account" ? "received" : "sent";
    return copies.wrap(session, direction, renderStored(parts, row, session.view, append, { xmlns: ns.client }));
  }
}
