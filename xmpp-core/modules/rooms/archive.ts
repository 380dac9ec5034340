import { forwardedElement } from "../../formats/forwarded.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { boolean, integer } from "../../properties/text-schema.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import type { StoredStanza } from "../../routing/stored-stanzas.ts";
import { archiveTime, firstArchiveId } from "../../storage/archive-id.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { rawXml, type Xml, x } from "../../xml/writer.ts";
import { type ArchiveFilter, answerQuery, archiveForm, highestId, metadataElement } from "../archive/query.ts";
import type { Core } from "../module.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import { openPast, type Past, pastMigration } from "./past.ts";
import type { Occupant, Room, RoomMessage, Rooms } from "./room.ts";

const enabled = property("firekeeper.muc.archive.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether rooms keep an archive of what is said in them; a room's own configuration may turn it off for that room.",
});

const days = property("firekeeper.muc.archive.days", {
  schema: integer(0, 36_500),
  default: 365,
  impact: "live",
  unit: "days",
  doc: "How long the archives of rooms keep messages; 0: for ever. Conversations of two have firekeeper.archive.days.",
});

const preserved = property("firekeeper.muc.room.preserveHistOnRoomDeletion", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the messages of a room that is destroyed stay stored, where nobody can read them, until firekeeper.muc.archive.days is over.",
});

/**
 * One row for each message, whose body is the stanza's, by which room it belongs to and who said it: an account of ours
 * by its id, so that a rename changes nothing, somebody else by his address.
 */
const migration = {
  name: "0045_room-archive",
  sql: `
    CREATE TABLE room_archive (
      room INTEGER NOT NULL, id INTEGER NOT NULL, account INTEGER, person TEXT NOT NULL, resource TEXT NOT NULL,
      PRIMARY KEY (room, id)
    ) WITHOUT ROWID;
    CREATE INDEX room_archive_by_id ON room_archive (id);
    CREATE INDEX stanza_of_rooms ON stanza (id) WHERE type = 'groupchat';`,
};

const put = write<[room: number, id: number, account: number | null, person: string, resource: string]>(
  "INSERT OR IGNORE INTO room_archive (room, id, account, person, resource) VALUES (?, ?, ?, ?, ?)",
);

interface Row extends StoredStanza {
  readonly account: number | null;
  readonly person: string;
  readonly resource: string;
}

/** One page; "" and 0 stand for "no such bound". */
type PageParams = [
  room: number,
  from: number,
  to: number,
  ...nick: [string, string],
  ...author: [anybody: number, account: number, person: string, resource: string, resource2: string],
  ...ids: [string, string],
  limit: number,
];
const bounds = `FROM room_archive a JOIN stanza s ON s.id = a.id WHERE a.room = ? AND a.id > ? AND a.id < ?
  AND (? = '' OR s.sender = ?)
  AND (? OR ((a.account = ? OR (a.account IS NULL AND a.person <> '' AND a.person = ?)) AND (? = '' OR a.resource = ?)))
  AND (? = '' OR a.id IN (SELECT value FROM json_each(?)))`;
const columns = "s.*, a.account, a.person, a.resource";
const pageUp = read<PageParams, Row>(`SELECT ${columns} ${bounds} ORDER BY a.id LIMIT ?`);
const pageDown = read<PageParams, Row>(`SELECT ${columns} ${bounds} ORDER BY a.id DESC LIMIT ?`);
const countAll = read<PageParams, { number: number }>(`SELECT count(*) AS number FROM (SELECT 1 ${bounds} LIMIT ?)`);
const known = read<[room: number, from: number, ids: string], { number: number }>(
  "SELECT count(*) AS number FROM room_archive WHERE room = ? AND id > ? AND id IN (SELECT value FROM json_each(?))",
);
// Each in a query of its own finds its end of the index; together they would read the whole archive.
const edges = read<
  [room: number, from: number, again: number, fromAgain: number],
  { first: number | null; last: number | null }
>(
  `SELECT (SELECT min(id) FROM room_archive WHERE room = ? AND id > ?) AS first,
     (SELECT max(id) FROM room_archive WHERE room = ? AND id > ?) AS last`,
);
const free = "NOT EXISTS (SELECT 1 FROM offline o WHERE o.id = s.id) AND s.id NOT IN (SELECT archive_id FROM outbound)";
const oldest = "SELECT id FROM room_archive WHERE id < ? ORDER BY id LIMIT ?";
const purgeBodies = write<[before: number, rows: number]>(
  `DELETE FROM stanza WHERE id IN (SELECT s.id FROM stanza s WHERE s.id IN (${oldest}) AND ${free})`,
);
const aged = read<[before: number], { number: number }>("SELECT count(*) AS number FROM room_archive WHERE id < ?");
const purgeRows = write<[before: number, rows: number]>(`DELETE FROM room_archive WHERE id IN (${oldest})`);
const inRoom = "SELECT id FROM room_archive WHERE room = ? ORDER BY id LIMIT ?";
const forgetBodies = write<[room: number, rows: number]>(
  `DELETE FROM stanza WHERE id IN (SELECT s.id FROM stanza s WHERE s.id IN (${inRoom}) AND ${free})`,
);
const forgetRows = write<[room: number, room2: number, rows: number]>(
  `DELETE FROM room_archive WHERE room = ? AND id IN (${inRoom})`,
);

/** Bodies of rooms without an archive, and what was kept only until somebody acknowledged it. */
const loose = read<[after: number, before: number, most: number], { id: number }>(
  `SELECT s.id FROM stanza s INDEXED BY stanza_of_rooms WHERE s.type = 'groupchat' AND s.id > ? AND s.id < ?
     AND NOT EXISTS (SELECT 1 FROM room_archive a WHERE a.id = s.id)
     AND NOT EXISTS (SELECT 1 FROM room_history h WHERE h.id = s.id) AND ${free} ORDER BY s.id LIMIT ?`,
);
const dropLoose = write<[ids: string]>("DELETE FROM stanza WHERE id IN (SELECT value FROM json_each(?))");

const hourMs = 3600 * 1000;
/** Longer than it takes to hand on what an ended session never took: meanwhile nothing refers to it. */
const looseMs = 10 * 60 * 1000;
const slice = 500;

/** What was said in rooms, for those who may come in. XEP-0313 §8.4 */
export const roomArchive: RoomFeature = {
  name: "room-archive",
  properties: [enabled, days, preserved],
  migrations: [migration, pastMigration],
  start(core, rooms): RoomExtension {
    const past = openPast(core, rooms);
    const keeps = (room: Room): boolean => core.properties.get(enabled) && room.config.logging;
    core.every(
      hourMs,
      () =>
        void purge(core, rooms).catch((error: unknown) =>
          core.report.wrong({ what: "purging archives of rooms", error }),
        ),
    );
    const answer = (request: OpenRequest): Promise<IqAnswer> | IqAnswer => {
      const room = readable(rooms, request);
      return "condition" in room ? request.error(room) : query(core, rooms, past, request, room);
    };
    return {
      configFields: past.configFields,
      seesFrom: past.seesFrom,
      affiliationChanged: past.affiliationChanged,
      renamed: past.renamed,
      features: (room) => (keeps(room) ? [ns.archive, ns.archiveExtended] : []),
      serviceFeatures: () => (core.properties.get(enabled) ? [ns.archive, ns.archiveExtended] : []),
      storeMessage(room, message) {
        if (!keeps(room) || !belongs(message)) return [];
        const said = message.occupantId === undefined ? undefined : room.occupants.get(message.nick);
        return [archiveEntry(room.id, message.id, said)];
      },
      destroyed(room) {
        if (!core.properties.get(preserved))
          forget(core, room.id).catch((error: unknown) => core.report.wrong({ what: "forgetting a room", error }));
        return past.destroyed(room);
      },
      handlers: {
        ready: past.ready,
        account: {
          setAside: ({ name }) => past.forget(`${name}@`),
          removed: ({ name }) => past.forget(`${name}@`),
        },
        iq: [
          { set: [ns.archive, "query"], at: ["service:conference"], open: true, answer },
          {
            get: [ns.archive, "query"],
            at: ["service:conference"],
            open: true,
            answer(request) {
              const room = readable(rooms, request);
              return "condition" in room ? request.error(room) : request.result(archiveForm);
            },
          },
          {
            get: [ns.archive, "metadata"],
            at: ["service:conference"],
            open: true,
            async answer(request) {
              const room = readable(rooms, request);
              if ("condition" in room) return request.error(room);
              const from = past.seesFrom(room, rooms.person(request.from)) - 1;
              const found = (await core.storage.read(edges, room.id, from, room.id, from))[0];
              return request.result(metadataElement(found?.first, found?.last));
            },
          },
        ],
      },
    };
  },
};

/** Messages that last, changes of the subject, and retractions. XEP-0313 §8.4, XEP-0424 §5 */
function belongs({ lasting, payload }: RoomMessage): boolean {
  return lasting || payload.includes("<subject") || payload.includes("<retract ");
}

/** The row of a message; `said` is who said it, undefined for the room itself. */
export function archiveEntry(room: number, id: number, said: Occupant | undefined): Write {
  const device = said?.devices.at(-1)?.address ?? "";
  const slash = device.indexOf("/");
  const person = said === undefined || said.account !== undefined ? "" : said.user;
  return put.with(room, id, said?.account?.id ?? null, person, slash < 0 ? "" : device.slice(slash + 1));
}

/** The room whose archive may be read: who could not come in reads nothing either. XEP-0313 §8.4 */
function readable(rooms: Rooms, request: OpenRequest): Room | StanzaError {
  const room = rooms.at(request.place);
  if (room === undefined || request.place.at !== "service" || request.place.resource !== "")
    return stanzaError("item-not-found", { text: "There is no room and so no archive at this address." });
  const person = rooms.person(request.from);
  const affiliation = rooms.affiliation(room, person);
  if (affiliation === "owner" || affiliation === "admin") return room;
  if (affiliation === "outcast" || room.locked) return stanzaError("forbidden");
  if (room.config.membersOnly && affiliation === "none")
    return stanzaError("forbidden", { text: "Only members of this room may read its archive." });
  // A password is known to who is in.
  if (room.config.password !== "" && affiliation === "none" && occupantOf(rooms, room, request) === undefined)
    return stanzaError("forbidden", { text: "Enter the room first: it has a password." });
  return room;
}

const occupantOf = (rooms: Rooms, room: Room, { session, from }: OpenRequest) => rooms.speaker(room, { session, from });

async function query(core: Core, rooms: Rooms, past: Past, request: OpenRequest, room: Room): Promise<IqAnswer> {
  const person = rooms.person(request.from);
  const real = rooms.seesAddresses(room, person, occupantOf(rooms, room, request));
  // All that he may see lies above it.
  const least = past.seesFrom(room, person) - 1;
  const params = (filter: ArchiveFilter, limit: number): PageParams => {
    const { nick, account, person: author, resource } = authorOf(core, room, filter, real);
    return [
      ...([room.id, Math.max(filter.from, least), filter.to, nick, nick] as const),
      ...([account === undefined ? 1 : 0, account ?? 0, author, resource, resource, filter.ids, filter.ids] as const),
      limit,
    ];
  };
  return answerQuery<Row>(core, request, {
    known: async (ids) => (await core.storage.read(known, room.id, least, ids))[0]?.number ?? 0,
    count: async (filter) => (await core.storage.read(countAll, ...params(filter, highestId)))[0]?.number ?? 0,
    rows: (filter, backwards, limit) => core.storage.read(backwards ? pageDown : pageUp, ...params(filter, limit)),
    send(row, queryid) {
      const delay = { stamp: new Date(archiveTime(row.id)) };
      core.router.sendTo(request.from, (view, to) => {
        const forwarded = forwardedElement(rendered(core, rooms, room, row, view, real), delay);
        const result = x("result", { xmlns: ns.archive, queryid, id: row.id }, forwarded);
        return x("message", { from: rooms.address(room, view), to }, result);
      });
    },
  });
}

interface Author {
  readonly nick: string;
  /** Undefined: anybody. -1: nobody of ours. */
  readonly account: number | undefined;
  readonly person: string;
  readonly resource: string;
}

/** `with` is an occupant's address, or a person's for those who see who is who. */
function authorOf(core: Core, room: Room, { peer, full }: ArchiveFilter, real: boolean): Author {
  const anybody = { nick: "", account: undefined, person: "", resource: "" };
  if (peer === "") return anybody;
  if (peer === `${room.name}@${room.service}.`) return { ...anybody, nick: full };
  if (!real) return { ...anybody, account: -1, person: "-" };
  const resource = full.slice(full.indexOf("/") + 1);
  const account = peer.endsWith("@") ? core.accounts.get(room.served, peer.slice(0, -1)) : undefined;
  return { nick: "", account: account?.id ?? -1, person: peer, resource: full === "" ? "" : resource };
}

/** As the room would send it now: from the occupant, without `to`, with the real address for those who may see it. */
function rendered(core: Core, rooms: Rooms, room: Room, row: Row, view: string, real: boolean): Xml {
  const account = row.account === null ? undefined : core.accounts.byId(row.account);
  const person = account === undefined ? row.person : `${account.name}@`;
  const shows = real && person !== "";
  const jid = shows ? core.names.absolute(row.resource === "" ? person : `${person}/${row.resource}`, view) : "";
  const item = shows && x("x", { xmlns: ns.mucUser }, x("item", { affiliation: rooms.affiliation(room, person), jid }));
  const payload = core.router.views.payload(Buffer.from(row.payload), core.names.epochName(row.epoch), view);
  return x(
    "message",
    {
      xmlns: ns.client,
      from: core.names.absolute(row.sender, view),
      type: "groupchat",
      id: row.stanza_id ?? undefined,
      "xml:lang": row.lang ?? undefined,
    },
    rawXml(payload),
    item,
  );
}

/** Forgets what is older than the property says, in slices behind the stanzas, and then bodies that nobody refers to. */
async function purge(core: Core, rooms: Rooms): Promise<void> {
  const kept = core.properties.get(days);
  if (kept > 0) {
    const before = firstArchiveId(core.clock.now() - kept * 24 * hourMs);
    for (const room of rooms.all()) {
      const young = room.history.findIndex(({ id }) => id >= before);
      room.history.splice(0, young < 0 ? room.history.length : young);
    }
    const gone = (await core.storage.read(aged, before))[0]?.number ?? 0;
    await core.storage.bulk(async (step) => {
      while ((await step((rows) => [purgeBodies.with(before, rows), purgeRows.with(before, rows)])) > 0);
    });
    if (gone > 0) {
      core.report.archivePurged({ messages: gone, olderThanDays: kept });
      core.rights.used(
        "server",
        "purge archives of rooms",
        `${gone} ${gone === 1 ? "message" : "messages"} older than ${kept} days`,
      );
    }
  }
  const before = firstArchiveId(core.clock.now() - looseMs);
  for (let after = 0; ; ) {
    const ids = (await core.storage.read(loose, after, before, slice)).map(({ id }) => id);
    after = ids.at(-1) ?? 0;
    if (ids.length === 0) return;
    await core.storage.bulk((step) => step(() => [dropLoose.with(JSON.stringify(ids))]));
  }
}

async function forget(core: Core, room: number): Promise<void> {
  await core.storage.bulk(async (step) => {
    while ((await step((rows) => [forgetBodies.with(room, rows), forgetRows.with(room, room, rows)])) > 0);
  });
}
