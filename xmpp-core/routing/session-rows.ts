import { z } from "zod";
import { read, type Write, write } from "../storage/statement.ts";
import type { Held } from "./held-back.ts";
import { type Cargo, type Entry, plain } from "./outbound.ts";
import type { Session } from "./session.ts";

/** The tables of sessions and of what is on its way to them. */
export const sessionsMigration = {
  name: "0003_sessions",
  sql: `
    CREATE TABLE session (
      id INTEGER PRIMARY KEY, account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
      name TEXT NOT NULL, resource TEXT NOT NULL, view TEXT NOT NULL, since INTEGER NOT NULL, resume_token TEXT,
      state TEXT NOT NULL, resume_within INTEGER NOT NULL,
      orderly INTEGER NOT NULL DEFAULT 0, managed INTEGER NOT NULL DEFAULT 0, last_number INTEGER NOT NULL DEFAULT 0,
      connection INTEGER NOT NULL DEFAULT 0, stream TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE ended_session (
      token TEXT PRIMARY KEY, account INTEGER NOT NULL, handled INTEGER NOT NULL, ended_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE counters (session INTEGER PRIMARY KEY, handled INTEGER NOT NULL, acknowledged INTEGER NOT NULL);
    CREATE TABLE outbound (
      place INTEGER PRIMARY KEY, session INTEGER NOT NULL, number INTEGER NOT NULL, archive_id INTEGER NOT NULL
    );
    CREATE TABLE queued (
      session INTEGER NOT NULL, position INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, cargo TEXT NOT NULL,
      PRIMARY KEY (session, position)
    ) WITHOUT ROWID;`,
};

/** The connection a session had at an orderly restart: the gate's number and the state of its stream. */
export interface ConnectionState {
  /** 0: none, as of a session whose requests come on any. */
  readonly number: number;
  /** The stream layer's own JSON; empty: the session waits for its client. */
  readonly stream: string;
}

export interface StoredSession {
  readonly session: Session;
  readonly orderly: boolean;
  readonly connection: ConnectionState | undefined;
}

interface SessionRow {
  id: number;
  account: number;
  /** The localpart it logged in with: the account may have been renamed since. */
  name: string;
  resource: string;
  view: string;
  since: number;
  resume_token: string | null;
  handled: number;
  state: string;
  resume_within: number;
  orderly: number;
  managed: number;
  last_number: number;
  acknowledged: number;
  connection: number;
  stream: string;
}

export const allSessions = read<[], SessionRow>(
  `SELECT s.*, coalesce(c.handled, 0) AS handled, coalesce(c.acknowledged, 0) AS acknowledged
   FROM session s LEFT JOIN counters c ON c.session = s.id ORDER BY s.id`,
);
export const highestSession = read<[], { highest: number | null }>("SELECT max(id) AS highest FROM session");
const putSession = write<
  [
    id: number,
    account: number,
    name: string,
    resource: string,
    view: string,
    since: number,
    token: string | null,
    state: string,
    resumeWithin: number,
    orderly: number,
    managed: number,
    lastNumber: number,
    connection: number,
    stream: string,
  ]
>(
  `INSERT OR REPLACE INTO session (id, account, name, resource, view, since, resume_token, state, resume_within,
     orderly, managed, last_number, connection, stream) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const putCounters = write<[session: number, handled: number, acknowledged: number]>(
  "INSERT OR REPLACE INTO counters (session, handled, acknowledged) VALUES (?, ?, ?)",
);
const dropCounters = write<[session: number]>("DELETE FROM counters WHERE session = ?");
const dropSession = write<[number]>("DELETE FROM session WHERE id = ?");
/** What a session had handled when it was given up; told to a client that comes too late. XEP-0198 §5 */
export const putEnded = write<[token: string, account: number, handled: number, at: number]>(
  "INSERT OR REPLACE INTO ended_session (token, account, handled, ended_at) VALUES (?, ?, ?, ?)",
);
export const endedOf = read<[string], { account: number; handled: number }>(
  "SELECT account, handled FROM ended_session WHERE token = ?",
);
export const forgetEnded = write<[before: number]>("DELETE FROM ended_session WHERE ended_at < ?");
export const forgetOrderly = write<[]>("UPDATE session SET orderly = 0, connection = 0, stream = ''");
/**
 * Messages on their way to managed sessions. The table grows at one end, in the order of the commits; what is
 * acknowledged (or whose session is gone) is cleared away later and many rows at once.
 */
export const putOutbound = write<[place: number, session: number, number: number, archiveId: number]>(
  "INSERT INTO outbound (place, session, number, archive_id) VALUES (?, ?, ?, ?)",
);
/** Number of a message that waits until its client looks: no count of a client reaches it. */
export const notYetNumbered = 2 ** 52;
export const numberOutbound = write<[number: number, place: number]>("UPDATE outbound SET number = ? WHERE place = ?");
export const forgetOutbound = write<[place: number]>("DELETE FROM outbound WHERE place = ?");
export const clearOutbound = write<[rows: number]>(
  `DELETE FROM outbound WHERE place IN (
     SELECT o.place FROM outbound o LEFT JOIN counters c ON c.session = o.session
     WHERE c.session IS NULL OR o.number <= c.acknowledged LIMIT ?)`,
);
export const allOutbound = read<[], { place: number; session: number; number: number; archive_id: number }>(
  "SELECT place, session, number, archive_id FROM outbound ORDER BY place",
);
const putQueued = write<[session: number, position: number, number: number, data: Buffer, cargo: string]>(
  "INSERT OR REPLACE INTO queued (session, position, number, data, cargo) VALUES (?, ?, ?, ?, ?)",
);
export const allQueued = read<[], QueuedRow>(
  "SELECT session, position, number, data, cargo FROM queued ORDER BY session, position",
);
export const dropAllQueued = write<[]>("DELETE FROM queued");

interface QueuedRow {
  session: number;
  position: number;
  number: number;
  data: Uint8Array;
  cargo: string;
}

const cargoSchema: z.ZodType<Cargo> = z.discriminatedUnion("is", [
  z.object({ is: z.literal("plain") }),
  z.object({ is: z.literal("message"), archiveId: z.number(), copy: z.boolean().optional() }),
  z.object({ is: z.literal("request"), id: z.string(), from: z.string() }),
]);

const storedState = z.object({
  state: z.record(z.string(), z.unknown()),
  asking: z.array(z.tuple([z.string(), z.string()])),
});

export function put(session: Session, connection?: ConnectionState): Write {
  const state = JSON.stringify({ state: Object.fromEntries(session.state), asking: [...session.asking] });
  return putSession.with(
    session.id,
    session.account.id,
    session.jid.local,
    session.resource,
    session.view,
    session.since,
    session.resumeToken ?? null,
    state,
    session.resumeWithinMs,
    connection === undefined ? 0 : 1,
    session.managed ? 1 : 0,
    session.outbound.lastNumber,
    connection?.number ?? 0,
    connection?.stream ?? "",
  );
}

export function counters(session: Session): Write {
  session.handledWritten = session.handled;
  session.acknowledgedWritten = session.outbound.acknowledged;
  return putCounters.with(session.id, session.handled, session.outbound.acknowledged);
}

/** The session's rows; what was on its way to it is cleared away with the next sweep. */
export function drop(id: number): Write[] {
  return [dropSession.with(id), dropCounters.with(id)];
}

export function queuedRow(session: number, position: number, entry: Entry): Write {
  const cargo = entry.cargo.is === "answer" ? plain : entry.cargo;
  return putQueued.with(session, position, entry.number, Buffer.from(entry.data), JSON.stringify(cargo));
}

/** Marks a queued row of what waits until the client looks. */
const heldBack = -1;
const heldSchema = z.object({ from: z.string(), key: z.string().optional(), place: z.number() });

export function heldRow(session: number, position: number, held: Held): Write {
  const { cargo, from, key, place } = held;
  const facts = JSON.stringify({ ...cargo, held: { from, key, place } });
  return putQueued.with(session, position, heldBack, Buffer.from(held.data), facts);
}

/** Undefined: the row is an entry. */
export function heldOf(row: QueuedRow): Held | undefined {
  if (row.number !== heldBack) return undefined;
  const facts: unknown = JSON.parse(row.cargo);
  const { from, key, place } = z.object({ held: heldSchema }).parse(facts).held;
  return { data: Buffer.from(row.data), ticket: 0, cargo: cargoSchema.parse(facts), from, key, place };
}

export function entryOf(row: QueuedRow): Entry {
  return {
    data: Buffer.from(row.data),
    ticket: 0,
    number: row.number,
    cargo: cargoSchema.parse(JSON.parse(row.cargo)),
  };
}

export function fill(session: Session, row: SessionRow): void {
  const stored = storedState.parse(JSON.parse(row.state));
  for (const [name, value] of Object.entries(stored.state)) session.state.set(name, value);
  for (const [id, to] of stored.asking) session.asking.set(id, to);
  session.resumeToken = row.resume_token ?? undefined;
  session.handled = row.handled;
  session.handledWritten = row.handled;
  session.acknowledgedWritten = row.acknowledged;
  session.resumeWithinMs = row.resume_within;
  session.outbound.counting = row.managed === 1 || row.resume_token !== null;
}

export function connectionOf(row: SessionRow): ConnectionState | undefined {
  return row.stream === "" ? undefined : { number: row.connection, stream: row.stream };
}
