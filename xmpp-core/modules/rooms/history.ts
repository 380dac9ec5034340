import type { Element } from "ltx";
import { delayElement, parseDate } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { stanzaId } from "../../formats/stanza-id.ts";
import { parseJid } from "../../jid/jid.ts";
import { archiveTime } from "../../storage/archive-id.ts";
import type { Write } from "../../storage/statement.ts";
import { rawXml, type Xml, x } from "../../xml/writer.ts";
import type { Hall } from "./hall.ts";
import type { Device, Room, RoomMessage } from "./room.ts";
import * as tables from "./tables.ts";

/** What newcomers see of the past. XEP-0045 §7.2.13, §7.2.14 */
export interface History {
  /** Reads what is on disk, once; undefined: it is in memory. */
  load(room: Room): Promise<void> | undefined;
  /** Takes a message in; the rows for its commit. */
  add(room: Room, message: RoomMessage): readonly Write[];
  /** Takes it back: its commit failed. */
  withdraw(room: Room, id: number): void;
  /** `person`: for whom it is. */
  send(room: Room, person: string, to: Device, wanted: Element | undefined, ticket: number): void;
  /** A new room has no past. */
  begin(room: Room): void;
}

/** Rows are cleared away when so many more than wanted have come together. */
const slack = 16;

export function history(hall: Hall): History {
  const { core } = hall;
  const loaded = new WeakSet<Room>();
  const loading = new WeakMap<Room, Promise<void>>();
  const kept = (room: Room): number => hall.services.get(room.service)?.settings().historyNumber ?? 0;

  async function read(room: Room): Promise<void> {
    const rows = await core.storage.read(tables.historyOf, room.id, kept(room));
    if (loaded.has(room)) return;
    loaded.add(room);
    const first = room.history[0]?.id ?? Number.MAX_SAFE_INTEGER;
    const before = rows.flatMap((row): RoomMessage[] => {
      if (row.id >= first) return [];
      const sender = parseJid(core.names.absolute(row.sender, core.names.primary.name));
      return [
        {
          id: row.id,
          nick: sender?.resource ?? "",
          occupantId: undefined,
          stanzaId: row.stanza_id ?? undefined,
          lang: row.lang ?? undefined,
          payload: Buffer.from(row.payload),
          view: core.names.epochName(row.epoch),
          lasting: true,
        },
      ];
    });
    room.history.unshift(...before);
  }

  function asSeen(room: Room, message: RoomMessage, view: string): Xml {
    const by = hall.address(room, view);
    return x(
      "message",
      {
        ...{ to: "", from: hall.address(room, view, message.nick), type: "groupchat" },
        ...{ id: message.stanzaId, "xml:lang": message.lang },
      },
      rawXml(core.router.views.payload(message.payload, message.view, view)),
      stanzaId(message.id, by),
      delayElement({ stamp: new Date(archiveTime(message.id)), from: by }),
    );
  }

  return {
    load(room) {
      if (loaded.has(room)) return undefined;
      const known = loading.get(room) ?? read(room);
      loading.set(room, known);
      known.catch(() => loading.delete(room));
      return known;
    },
    begin: (room) => void loaded.add(room),
    add(room, message) {
      const most = kept(room);
      if (!message.lasting || most === 0 || room.config.maxHistory === 0) return [];
      room.history.push(message);
      const writes = [tables.putHistory.with(room.id, message.id)];
      if (room.history.length < most + slack) return writes;
      room.history.splice(0, room.history.length - most);
      const first = room.history[0]?.id ?? message.id;
      return [...writes, tables.trimHistory.with(room.id, first)];
    },
    withdraw(room, id) {
      const place = room.history.findIndex((message) => message.id === id);
      if (place >= 0) room.history.splice(place, 1);
    },
    send(room, person, to, wanted, ticket) {
      const limit = limits(wanted, core.clock.now());
      const most = Math.min(limit.stanzas, kept(room), room.config.maxHistory ?? Number.POSITIVE_INFINITY);
      const chosen: Xml[] = [];
      const first = Math.max(0, ...hall.extensions.map((each) => each.seesFrom?.(room, person) ?? 0));
      let left = limit.characters;
      const view = to.session?.view ?? core.names.primary.name;
      for (let at = room.history.length - 1; at >= 0 && chosen.length < most; at--) {
        const message = room.history[at] as RoomMessage;
        if (archiveTime(message.id) < limit.since || message.id < first) break;
        const seen = asSeen(room, message, view);
        left -= seen.length;
        if (left < 0) break;
        chosen.push(seen);
      }
      for (const seen of chosen.reverse())
        hall.send(to, (_view, address) => rawXml(seen.replace(' to=""', () => ` ${toAttribute(address)}`)), ticket);
    },
  };
}

const toAttribute = (address: string): string => x("a", { to: address }).slice("<a ".length, -"/>".length);

/** The `<history/>` of whoever joins; what cannot be read limits nothing, but never asks for more. XEP-0045 §7.2.14 */
function limits(wanted: Element | undefined, now: number): { stanzas: number; characters: number; since: number } {
  const element = wanted?.getChild("history", ns.muc);
  const number = (name: string): number => {
    const given: unknown = element?.attrs[name];
    return typeof given === "string" && /^\d{1,12}$/.test(given) ? Number(given) : Number.POSITIVE_INFINITY;
  };
  const since = parseDate(String(element?.attrs.since ?? ""))?.getTime() ?? 0;
  return {
    stanzas: number("maxstanzas"),
    characters: number("maxchars"),
    since: Math.max(since, now - number("seconds") * 1000),
  };
}
