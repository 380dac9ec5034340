import { delayElement } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { stanzaId } from "../../formats/stanza-id.ts";
import type { Session } from "../../routing/session.ts";
import { stanzaRow } from "../../routing/stored-stanzas.ts";
import { archiveTime } from "../../storage/archive-id.ts";
import type { Write } from "../../storage/statement.ts";
import { rawXml, text, type Xml, x } from "../../xml/writer.ts";
import { perView } from "./fan-out.ts";
import type { Hall } from "./hall.ts";
import type { History } from "./history.ts";
import type { Device, Room, RoomMessage } from "./room.ts";

export interface Speaking {
  /**
   * Brings a message to everybody in the room. A durable one is on disk with the queues of stream-managed occupants and
   * the sender's counter before anybody sees it; `failed` is called if the disk did not take it, and nobody saw it.
   */
  publish(
    room: Room,
    message: Omit<RoomMessage, "id">,
    options?: {
      session?: Session | undefined;
      writes?: (archiveId: number) => readonly Write[];
      /** False: it means nothing once the moment has passed, and is not stored. */
      durable?: boolean;
      failed?: () => void;
    },
  ): { id: number; ticket: number };
  /** The subject for a newcomer; an empty one if there is none. XEP-0045 §7.2.15 */
  subject(room: Room, to: Device, ticket: number): void;
  /** Status codes for everybody, from the room. */
  tell(room: Room, codes: readonly number[], ticket: number): void;
}

export function speaking(hall: Hall, past: History): Speaking {
  const { core } = hall;

  /** Who loses it if it is not kept for them. */
  function managed(room: Room, archiveId: number, write: (view: string, to: string) => Xml, writes: Write[]): void {
    for (const { devices } of room.occupants.values())
      for (const { session } of devices) {
        if (session === undefined || session.ended) continue;
        const row = core.sessions.outboundRow(session, archiveId, () => write(session.view, session.address));
        if (row) writes.push(row);
      }
  }

  function asSeen(room: Room, message: RoomMessage, view: string): Xml {
    return x(
      "message",
      {
        ...{ to: "", from: hall.address(room, view, message.nick), type: "groupchat" },
        ...{ id: message.stanzaId, "xml:lang": message.lang },
      },
      rawXml(core.router.views.payload(message.payload, message.view, view)),
      stanzaId(message.id, hall.address(room, view)),
    );
  }

  return {
    publish(room, said, { session, writes: more, durable = true, failed } = {}) {
      const message: RoomMessage = { ...said, id: core.archiveIds() };
      const { id } = message;
      const write = perView((view) => asSeen(room, message, view));
      let ticket = 0;
      if (durable) {
        const writes: Write[] = [
          stanzaRow(core.names, {
            ...{ id, view: said.view, type: "groupchat", stanzaId: said.stanzaId, lang: said.lang },
            ...{ from: hall.jid(room, said.view, said.nick), to: hall.jid(room, said.view), payload: said.payload },
            ...{ senderArchive: undefined, recipientArchive: undefined },
          }),
          ...past.add(room, message),
          ...hall.extensions.flatMap((each) => each.storeMessage?.(room, message) ?? []),
          ...(more?.(id) ?? []),
        ];
        managed(room, id, write, writes);
        ticket = core.sessions.commit(session, writes, () => {
          past.withdraw(room, id);
          for (const { devices } of room.occupants.values())
            for (const device of devices) device.session?.outbound.withdraw(id);
          failed?.();
        });
      }
      const cargo = durable ? ({ is: "message", archiveId: id } as const) : undefined;
      hall.sendAll(room, write, ticket, cargo);
      core.report.messageSent();
      return { id, ticket };
    },
    subject(room, to, ticket) {
      const { subject } = room;
      hall.send(
        to,
        (view, address) =>
          x(
            "message",
            { to: address, from: hall.address(room, view, subject?.nick), type: "groupchat" },
            x("subject", {}, text(subject?.text ?? "")),
            subject && stanzaId(subject.archiveId, hall.address(room, view)),
            subject && delay(room, subject.archiveId, view),
          ),
        ticket,
      );
    },
    tell(room, codes, ticket) {
      const write = perView((view) =>
        x(
          "message",
          { to: "", from: hall.address(room, view), type: "groupchat" },
          x(
            "x",
            { xmlns: ns.mucUser },
            codes.map((code) => x("status", { code })),
          ),
        ),
      );
      hall.sendAll(room, write, ticket);
    },
  };

  function delay(room: Room, archiveId: number, view: string): Xml {
    return delayElement({ stamp: new Date(archiveTime(archiveId)), from: hall.address(room, view) });
  }
}
