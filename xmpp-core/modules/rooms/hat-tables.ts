import { read, type Write, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";

export interface Hat {
  readonly uri: string;
  readonly title: string;
  /** Angle in degrees as text; "": none. XEP-0392 */
  readonly hue: string;
}

/** The hats of all rooms in memory; changes give the rows for the caller's commit. */
export interface Hats {
  readonly ready: Promise<void>;
  /** In the order in which they were made. */
  of(room: number): readonly Hat[];
  wornBy(room: number, person: string): readonly Hat[];
  worn(room: number): readonly { readonly person: string; readonly hat: Hat }[];
  create(room: number, hat: Hat): Write[];
  /** Nobody wears it any more. */
  destroy(room: number, uri: string): Write[];
  assign(room: number, person: string, uri: string): Write[];
  unassign(room: number, person: string, uri: string): Write[];
  forgetRoom(room: number): Write[];
  renamed(before: string, now: string): Write[];
  /** The name is free for somebody else. */
  forget(person: string): Write[];
}

export const hatsMigration = {
  name: "0049_room-hats",
  sql: `
    CREATE TABLE room_hat (
      room INTEGER NOT NULL, uri TEXT NOT NULL, title TEXT NOT NULL, hue TEXT NOT NULL, PRIMARY KEY (room, uri)
    );
    CREATE TABLE room_hat_worn (
      room INTEGER NOT NULL, person TEXT NOT NULL, uri TEXT NOT NULL, PRIMARY KEY (room, person, uri)
    ) WITHOUT ROWID;`,
};
const allHats = read<[], Hat & { room: number }>("SELECT room, uri, title, hue FROM room_hat ORDER BY rowid");
const allWorn = read<[], { room: number; person: string; uri: string }>("SELECT room, person, uri FROM room_hat_worn");
const put = write<[room: number, uri: string, title: string, hue: string]>(
  `INSERT INTO room_hat (room, uri, title, hue) VALUES (?, ?, ?, ?)
   ON CONFLICT DO UPDATE SET title = excluded.title, hue = excluded.hue`,
);
const drop = write<[room: number, uri: string]>("DELETE FROM room_hat WHERE room = ? AND uri = ?");
const putOn = write<[room: number, person: string, uri: string]>(
  "INSERT OR IGNORE INTO room_hat_worn (room, person, uri) VALUES (?, ?, ?)",
);
const takeOff = write<[room: number, person: string, uri: string]>(
  "DELETE FROM room_hat_worn WHERE room = ? AND person = ? AND uri = ?",
);
const takeOffAll = write<[room: number, uri: string]>("DELETE FROM room_hat_worn WHERE room = ? AND uri = ?");
const dropPerson = write<[person: string]>("DELETE FROM room_hat_worn WHERE person = ?");
const dropRoom = write<[room: number]>("DELETE FROM room_hat WHERE room = ?");
const dropRoomWorn = write<[room: number]>("DELETE FROM room_hat_worn WHERE room = ?");
const rename = write<[now: string, before: string]>("UPDATE OR REPLACE room_hat_worn SET person = ? WHERE person = ?");

interface OfRoom {
  readonly hats: Map<string, Hat>;
  /** URIs by person. */
  readonly worn: Map<string, Set<string>>;
}

export function openHats(core: Core): Hats {
  const rooms = new Map<number, OfRoom>();
  const of = (room: number): OfRoom => {
    const known = rooms.get(room) ?? { hats: new Map(), worn: new Map() };
    rooms.set(room, known);
    return known;
  };
  const putOnInMemory = (room: number, person: string, uri: string): void => {
    const { worn } = of(room);
    worn.set(person, (worn.get(person) ?? new Set()).add(uri));
  };

  async function load(): Promise<void> {
    for (const { room, ...hat } of await core.storage.read(allHats)) of(room).hats.set(hat.uri, hat);
    for (const { room, person, uri } of await core.storage.read(allWorn)) putOnInMemory(room, person, uri);
  }

  function wornBy(room: number, person: string): Hat[] {
    const known = rooms.get(room);
    const uris = known?.worn.get(person);
    if (known === undefined || uris === undefined) return [];
    return [...uris].flatMap((uri) => known.hats.get(uri) ?? []);
  }

  return {
    ready: load(),
    of: (room) => [...(rooms.get(room)?.hats.values() ?? [])],
    wornBy,
    worn: (room) =>
      [...(rooms.get(room)?.worn.keys() ?? [])].flatMap((person) =>
        wornBy(room, person).map((hat) => ({ person, hat })),
      ),
    create(room, hat) {
      of(room).hats.set(hat.uri, hat);
      return [put.with(room, hat.uri, hat.title, hat.hue)];
    },
    destroy(room, uri) {
      of(room).hats.delete(uri);
      for (const uris of of(room).worn.values()) uris.delete(uri);
      return [drop.with(room, uri), takeOffAll.with(room, uri)];
    },
    assign(room, person, uri) {
      putOnInMemory(room, person, uri);
      return [putOn.with(room, person, uri)];
    },
    unassign(room, person, uri) {
      of(room).worn.get(person)?.delete(uri);
      return [takeOff.with(room, person, uri)];
    },
    forgetRoom(room) {
      rooms.delete(room);
      return [dropRoom.with(room), dropRoomWorn.with(room)];
    },
    renamed(before, now) {
      for (const { worn } of rooms.values()) {
        const uris = worn.get(before);
        if (uris === undefined) continue;
        worn.delete(before);
        worn.set(now, uris);
      }
      return [rename.with(now, before)];
    },
    forget(person) {
      for (const { worn } of rooms.values()) worn.delete(person);
      return [dropPerson.with(person)];
    },
  };
}
