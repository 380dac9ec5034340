import type { StoredStanza } from "../../routing/stored-stanzas.ts";
import { read, write } from "../../storage/statement.ts";
import type { Affiliation, Role } from "./room.ts";

/**
 * Rooms on disk. Persons and services are stored relative to their domain; ids are archive ids, so none is used twice.
 * A room that is not persistent is a row, too: it survives a restart as its occupants do.
 */
export const roomsMigration = {
  name: "0040_rooms",
  sql: `
    CREATE TABLE room (
      id INTEGER PRIMARY KEY, served INTEGER NOT NULL, service TEXT NOT NULL, name TEXT NOT NULL, created_at INTEGER NOT NULL,
      config TEXT NOT NULL, locked INTEGER NOT NULL, secret BLOB NOT NULL, subject TEXT, UNIQUE (served, service, name)
    );
    CREATE TABLE room_affiliation (
      room INTEGER NOT NULL REFERENCES room(id) ON DELETE CASCADE, person TEXT NOT NULL, affiliation TEXT NOT NULL,
      reason TEXT, PRIMARY KEY (room, person)
    ) WITHOUT ROWID;
    CREATE INDEX room_affiliation_person ON room_affiliation (person);
    CREATE TABLE room_occupant (
      room INTEGER NOT NULL REFERENCES room(id) ON DELETE CASCADE, address TEXT NOT NULL, session INTEGER, nick TEXT NOT NULL,
      role TEXT NOT NULL, lang TEXT, epoch INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (room, address)
    ) WITHOUT ROWID;
    CREATE TABLE room_history (
      room INTEGER NOT NULL REFERENCES room(id) ON DELETE CASCADE, id INTEGER NOT NULL, PRIMARY KEY (room, id)
    ) WITHOUT ROWID;`,
};

/** Who left lately: a client that a crash cut off while it was told still sees them. */
export const leftMigration = {
  name: "0041_room-left",
  sql: `
    CREATE TABLE room_left (
      room INTEGER NOT NULL, nick TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (room, nick)
    ) WITHOUT ROWID;
    CREATE INDEX room_left_at ON room_left (at);`,
};
export const allLeft = read<[], { room: number; nick: string }>("SELECT room, nick FROM room_left");
export const putLeft = write<[room: number, nick: string, at: number]>(
  "INSERT OR REPLACE INTO room_left (room, nick, at) VALUES (?, ?, ?)",
);
export const forgetLeft = write<[before: number]>("DELETE FROM room_left WHERE at < ?");

export const allRooms = read<
  [],
  {
    id: number;
    served: number;
    service: string;
    name: string;
    created_at: number;
    config: string;
    locked: number;
    secret: Uint8Array;
    subject: string | null;
  }
>("SELECT * FROM room ORDER BY id");
export const allAffiliations = read<
  [],
  { room: number; person: string; affiliation: Exclude<Affiliation, "none">; reason: string | null }
>("SELECT * FROM room_affiliation");
export interface OccupantRow {
  room: number;
  address: string;
  session: number | null;
  nick: string;
  role: Role;
  lang: string | null;
  epoch: number;
  payload: Uint8Array;
}
export const allOccupants = read<[], OccupantRow>("SELECT * FROM room_occupant");

export const putRoom = write<
  [
    id: number,
    served: number,
    service: string,
    name: string,
    createdAt: number,
    config: string,
    locked: number,
    secret: Buffer,
    subject: string | null,
  ]
>(
  "INSERT INTO room (id, served, service, name, created_at, config, locked, secret, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
);
export const setConfig = write<[config: string, locked: number, id: number]>(
  "UPDATE room SET config = ?, locked = ? WHERE id = ?",
);
export const setSubjectOf = write<[subject: string, id: number]>("UPDATE room SET subject = ? WHERE id = ?");
export const dropRoom = write<[id: number]>("DELETE FROM room WHERE id = ?");
export const dropHistory = write<[id: number]>("DELETE FROM room_history WHERE room = ?");
export const dropAffiliations = write<[id: number]>("DELETE FROM room_affiliation WHERE room = ?");
export const dropOccupants = write<[id: number]>("DELETE FROM room_occupant WHERE room = ?");

export const putAffiliation = write<[room: number, person: string, affiliation: string, reason: string | null]>(
  "INSERT OR REPLACE INTO room_affiliation (room, person, affiliation, reason) VALUES (?, ?, ?, ?)",
);
export const dropAffiliation = write<[room: number, person: string]>(
  "DELETE FROM room_affiliation WHERE room = ? AND person = ?",
);
export const renamePerson = write<[now: string, before: string, served: number]>(
  "UPDATE OR REPLACE room_affiliation SET person = ? WHERE person = ? AND room IN (SELECT id FROM room WHERE served = ?)",
);
export const forgetPerson = write<[person: string, served: number]>(
  "DELETE FROM room_affiliation WHERE person = ? AND room IN (SELECT id FROM room WHERE served = ?)",
);

export const putOccupant = write<
  [
    room: number,
    address: string,
    session: number | null,
    nick: string,
    role: string,
    lang: string | null,
    epoch: number,
    payload: Buffer,
  ]
>(
  `INSERT OR REPLACE INTO room_occupant (room, address, session, nick, role, lang, epoch, payload)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
);
export const dropOccupant = write<[room: number, address: string]>(
  "DELETE FROM room_occupant WHERE room = ? AND address = ?",
);

export const putHistory = write<[room: number, id: number]>("INSERT INTO room_history (room, id) VALUES (?, ?)");
export const trimHistory = write<[room: number, before: number]>("DELETE FROM room_history WHERE room = ? AND id < ?");
export const historyOf = read<[room: number, most: number], StoredStanza>(
  `SELECT s.* FROM (SELECT id FROM room_history WHERE room = ? ORDER BY id DESC LIMIT ?) h
   JOIN stanza s ON s.id = h.id ORDER BY s.id`,
);
