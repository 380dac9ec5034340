import { read, type Write, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";
import type { ConfigField } from "./extensions.ts";
import { historyField } from "./presets.ts";
import type { Affiliation, Room, Rooms } from "./room.ts";

/** How far back somebody may look in rooms whose past belongs to those who were there. docs/rooms.md "Conversations" */
export interface Past {
  readonly configFields: readonly ConfigField[];
  readonly ready: Promise<void>;
  /** Messages with a lower id are not for this person; 0: all are. */
  seesFrom(room: Room, person: string): number;
  affiliationChanged(room: Room, person: string): readonly Write[];
  destroyed(room: Room): readonly Write[];
  renamed(before: string, now: string): readonly Write[];
  /** The name is free for somebody else. */
  forget(person: string): Write[];
}

export const pastMigration = {
  name: "0046_room-past",
  sql: `
    CREATE TABLE room_seen_from (
      room INTEGER NOT NULL, person TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (room, person)
    ) WITHOUT ROWID;`,
};
const all = read<[], { room: number; person: string; id: number }>("SELECT room, person, id FROM room_seen_from");
const put = write<[room: number, person: string, id: number]>(
  "INSERT OR REPLACE INTO room_seen_from (room, person, id) VALUES (?, ?, ?)",
);
const drop = write<[room: number, person: string]>("DELETE FROM room_seen_from WHERE room = ? AND person = ?");
const dropPerson = write<[person: string]>("DELETE FROM room_seen_from WHERE person = ?");
const dropRoom = write<[room: number]>("DELETE FROM room_seen_from WHERE room = ?");
const rename = write<[now: string, before: string]>("UPDATE OR REPLACE room_seen_from SET person = ? WHERE person = ?");

const belongs = (affiliation: Affiliation): boolean => affiliation !== "none" && affiliation !== "outcast";
const ofThoseThere = (room: Room): boolean => room.config.extra.get(historyField.field.name)?.[0] === "membership";

export function openPast(core: Core, rooms: Rooms): Past {
  const since = new Map<number, Map<string, number>>();

  function set(room: number, person: string, id: number | undefined): void {
    const people = since.get(room) ?? new Map<string, number>();
    if (id === undefined) people.delete(person);
    else people.set(person, id);
    since.set(room, people);
  }

  return {
    configFields: [historyField],
    ready: core.storage.read(all).then((rows) => {
      for (const { room, person, id } of rows) set(room, person, id);
    }),
    seesFrom(room, person) {
      if (!ofThoseThere(room)) return 0;
      // Who has no bound of his own was there before the room began to draw them.
      if (belongs(rooms.affiliation(room, person))) return since.get(room.id)?.get(person) ?? 0;
      return Number.MAX_SAFE_INTEGER;
    },
    affiliationChanged(room, person) {
      const known = since.get(room.id)?.has(person) === true;
      if (!belongs(rooms.affiliation(room, person))) {
        if (!known) return [];
        set(room.id, person, undefined);
        return [drop.with(room.id, person)];
      }
      // A member who becomes an admin goes on seeing what he saw.
      if (known || !ofThoseThere(room)) return [];
      const id = core.archiveIds();
      set(room.id, person, id);
      return [put.with(room.id, person, id)];
    },
    destroyed(room) {
      since.delete(room.id);
      return [dropRoom.with(room.id)];
    },
    renamed(before, now) {
      for (const [room, people] of since) {
        const id = people.get(before);
        if (id === undefined) continue;
        set(room, before, undefined);
        set(room, now, id);
      }
      return [rename.with(now, before)];
    },
    forget(person) {
      for (const people of since.values()) people.delete(person);
      return [dropPerson.with(person)];
    },
  };
}
