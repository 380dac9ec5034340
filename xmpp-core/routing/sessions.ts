import type { Clock } from "../clock.ts";
import type { CodedError } from "../errors.ts";
import { jid } from "../jid/jid.ts";
import type { Storage, Ticket, Write } from "../storage/storage.ts";
import { x } from "../xml/writer.ts";
import type { Account, Accounts } from "./accounts.ts";
import type { EndReason, SessionHandlers } from "./handlers.ts";
import type { Held } from "./held-back.ts";
import type { Names } from "./names.ts";
import { type Entry, Outbound } from "./outbound.ts";
import { Session } from "./session.ts";
import * as rows from "./session-rows.ts";

/** Every bound session, connected or waiting to be resumed; the only place that opens, stores and ends them. */
export interface Sessions {
  all(): IterableIterator<Session>;
  readonly size: number;
  get(account: Account, resource: string): Session | undefined;
  byToken(token: string): Session | undefined;
  byId(id: number): Session | undefined;
  /** Opens a session; the resource must be free. */
  open(account: Account, view: string, resource: string): Session;
  /** Stream management from now on. With a token it may be resumed; the row is part of the returned group. XEP-0198 §3. */
  manage(session: Session, token: string | undefined): Ticket;
  /**
   * Commits writes that this session caused, with its counter and whatever changed of its declared state in the same
   * unit. Without anything to write it returns 0.
   */
  commit(session: Session | undefined, writes: readonly Write[], onFailure?: (error: CodedError) => void): Ticket;
  /** Writes the present count if it is not on disk yet; the ticket to wait for before acknowledging it. */
  settleCount(session: Session): Ticket;
  /**
   * The row that keeps a stored message for a managed recipient, to be part of the message's unit. `write` gives the
   * stanza that is queued in the same turn: whether it may wait until the client looks depends on it.
   */
  outboundRow(session: Session, archiveId: number, write: () => Buffer | string): Write | undefined;
  /** The client acknowledged: frees entries and forgets their rows. False: it claims more than was sent. */
  acknowledged(session: Session, handled: number): boolean;
  /** Writes what clients acknowledged since, and clears rows away; called every second. */
  sweep(): void;
  /** The committed count of a session that is given up. */
  handledOf(token: string, account: Account): Promise<number | undefined>;
  detach(session: Session): void;
  /** Ends it for good. What it never took is handed on by `onOwed`. */
  end(session: Session, why: EndReason): void;
  /** Brings back stored messages whose bytes were dropped while the client was away. */
  refill(session: Session, render: RenderStored): Promise<void>;
  /** After a crash: brings back the stored messages above the client's count, renumbered. Resolves when committed. */
  recover(session: Session, handled: number, render: RenderStored): Promise<void>;
  /** Whether the session was read from disk after a crash and its queue is still there only. */
  awaitsRecovery(session: Session): boolean;
  /** Reads what the predecessor left. */
  restore(): Promise<readonly rows.StoredSession[]>;
  /** Orderly restart: writes every session and its queue, those without stream management too. */
  storeAll(connectionOf: (session: Session) => rows.ConnectionState | undefined): Promise<void>;
  handlers: readonly SessionHandlers[];
  /** Messages and requests that a session never took when it ended. */
  onOwed: (session: Session, entries: readonly Entry[]) => void;
}

export type RenderStored = (session: Session, archiveIds: readonly number[]) => Promise<ReadonlyMap<number, Buffer>>;

/** So many acknowledged rows come together before they are cleared away. */
const clearAt = 2048;
const endedKeptMs = 7 * 24 * 3600 * 1000;

// After a crash nobody knows how many stanzas the client was sent; numbers from here on cannot be meant by its count.
const afterCrash = 2 ** 40;

export function openSessions(parts: {
  storage: Storage;
  clock: Clock;
  names: Names;
  accounts: Accounts;
  firstId: number;
}): Sessions {
  const { storage, clock, names, accounts } = parts;
  const byId = new Map<number, Session>();
  const byToken = new Map<string, Session>();
  const crashed = new Set<Session>();
  const fromDisk = new Set<Session>();
  const waiting = new Set<Outbound>();
  let lastId = parts.firstId;
  let lastPlace = 0;
  /** Counts what changes what `storeAll` writes. */
  let changes = 0;
  /** Rows that were acknowledged since the last clearing. */
  let settledRows = 0;
  let clearing: Promise<void> | undefined;

  storage.onCommitted((ticket, failed) => {
    for (const outbound of waiting) {
      if (failed) outbound.failed(ticket);
      if (!outbound.release(ticket)) waiting.delete(outbound);
    }
  });

  const newOutbound = (): Outbound =>
    new Outbound(
      () => storage.committed,
      (outbound) => waiting.add(outbound),
      () => changes++,
    );

  function enter(session: Session): void {
    session.outbound.onNumbered = (numbered) => {
      session.remembered.push(...numbered);
      return storage.commit(numbered.map(({ place, number }) => rows.numberOutbound.with(number, place)));
    };
    byId.set(session.id, session);
    session.account.sessions.push(session);
    if (session.resumeToken !== undefined) byToken.set(session.resumeToken, session);
  }

  /** The session's own row as it is now. */
  function row(session: Session, connection?: rows.ConnectionState): Write {
    session.stateChanged = false;
    return rows.put(session, connection);
  }

  function owedRows(session: Session): Write[] {
    const writes: Write[] = [];
    if (session.resumeToken === undefined) return writes;
    if (session.stateChanged) writes.push(row(session));
    if (session.handledWritten !== session.handled) writes.push(rows.counters(session));
    return writes;
  }

  const sessions: Sessions = {
    handlers: [],
    onOwed: () => undefined,
    all: () => byId.values(),
    get size() {
      return byId.size;
    },
    get: (account, resource) => account.sessions.find((session) => session.resource === resource),
    byToken: (token) => byToken.get(token),
    byId: (id) => byId.get(id),
    open(account, view, resource) {
      const address = jid(account.name, view, resource);
      if (address === undefined) throw new Error("unreachable: address parts are prepared");
      const session = new Session({ id: ++lastId, account, jid: address, since: clock.now(), outbound: newOutbound() });
      enter(session);
      return session;
    },
    manage(session, token) {
      // What was queued before is not counted.
      session.outbound.letGo();
      session.outbound.counting = true;
      session.handled = 0;
      session.resumeToken = token;
      if (token === undefined) return 0;
      byToken.set(token, session);
      return storage.commit([row(session), rows.counters(session)]);
    },
    commit(session, writes, onFailure) {
      const unit = session === undefined ? writes : [...writes, ...owedRows(session)];
      if (unit.length === 0) return 0;
      if (session === undefined) return storage.commit(unit, onFailure);
      const ticket = storage.commit(unit, (error) => {
        onFailure?.(error);
        session.outbound.failed(session.lastTicket);
      });
      session.lastTicket = ticket;
      return ticket;
    },
    settleCount(session) {
      // With nothing to write the count is in the session's last group, which may still be on its way to disk.
      sessions.commit(session, []);
      return session.lastTicket;
    },
    outboundRow(session, archiveId, write) {
      if (session.resumeToken === undefined) return undefined;
      if (session.outbound.willWait(write, archiveId, lastPlace + 1))
        return rows.putOutbound.with(++lastPlace, session.id, rows.notYetNumbered, archiveId);
      const number = session.outbound.nextNumber;
      session.remembered.push({ place: ++lastPlace, number, archiveId });
      return rows.putOutbound.with(lastPlace, session.id, number, archiveId);
    },
    acknowledged(session, handled) {
      if (session.outbound.acknowledge(handled) === undefined) return false;
      let done = 0;
      while ((session.remembered[done]?.number ?? Number.MAX_SAFE_INTEGER) <= handled) done++;
      if (done > 0) session.remembered = session.remembered.slice(done);
      settledRows += done;
      return true;
    },
    sweep() {
      const behind = [...byId.values()].filter(
        (session) =>
          session.resumeToken !== undefined &&
          session.acknowledgedWritten !== session.outbound.acknowledged &&
          !crashed.has(session),
      );
      if (behind.length > 0) storage.commit(behind.map(rows.counters));
      if (settledRows < clearAt || clearing !== undefined) return;
      settledRows = 0;
      clearing = storage
        .bulk(async (step) => {
          while ((await step((most) => [rows.clearOutbound.with(most)])) > 0);
        })
        // The next sweep tries again; until then the rows only take room.
        .catch(() => undefined)
        .then(() => {
          clearing = undefined;
        });
    },
    async handledOf(token, account) {
      const found = (await storage.read(rows.endedOf, token))[0];
      return found?.account === account.id ? found.handled : undefined;
    },
    detach(session) {
      session.carrier = undefined;
      session.outbound.detach();
      session.detachedAt = clock.now();
      for (const handler of sessions.handlers) handler.detached?.(session);
    },
    end(session, why) {
      if (session.ended) return;
      session.ended = true;
      changes++;
      session.carrier = undefined;
      session.outbound.detach();
      waiting.delete(session.outbound);
      byId.delete(session.id);
      const queued = session.outbound.everything();
      const inOrder = crashed.delete(session) ? [...rememberedEntries(session), ...queued.filter(isRequest)] : queued;
      const owed = [...inOrder, ...session.outbound.heldBack.map((held) => ({ ...held, number: 0 }))];
      if (session.resumeToken !== undefined) byToken.delete(session.resumeToken);
      const place = session.account.sessions.indexOf(session);
      if (place >= 0) session.account.sessions.splice(place, 1);
      for (const handler of sessions.handlers) handler.closed?.(session, why);
      sessions.onOwed(session, owed);
      if (session.resumeToken === undefined) {
        // A restart has written it, like every session: the next one must not bring it back.
        if (fromDisk.delete(session)) storage.commit(rows.drop(session.id));
        return;
      }
      fromDisk.delete(session);
      const late = why === "resumption-expired";
      const ended = late
        ? [rows.putEnded.with(session.resumeToken, session.account.id, session.handled, clock.now())]
        : [];
      storage.commit([...rows.drop(session.id), ...ended, rows.forgetEnded.with(clock.now() - endedKeptMs)]);
    },
    async refill(session, render) {
      const ids = session.outbound.shedIds;
      const bodies = ids.length === 0 ? new Map<number, Buffer>() : await render(session, ids);
      const empty = x("message", { from: session.bareAddress, to: session.address });
      session.outbound.refill(bodies, empty);
    },
    awaitsRecovery: (session) => crashed.has(session),
    async recover(session, handled, render) {
      const inMemory = new Set(session.outbound.everything().map((entry) => entry.number));
      const lost = session.remembered.filter(
        ({ number }) => (number >= afterCrash || number > handled) && !inMemory.has(number),
      );
      const bodies = await render(
        session,
        lost.map(({ archiveId }) => archiveId),
      );
      // Meanwhile more may have come for the session, and another connection may have resumed it.
      if (session.ended) return;
      if (!crashed.delete(session)) return void sessions.acknowledged(session, handled);
      const before = lost.flatMap(({ archiveId }) => {
        const data = bodies.get(archiveId);
        return data === undefined ? [] : [{ data, cargo: { is: "message", archiveId } as const }];
      });
      const writes: Write[] = session.remembered.map(({ place }) => rows.forgetOutbound.with(place));
      session.remembered = [];
      for (const { number, cargo } of session.outbound.renew(before, handled)) {
        if (cargo.is !== "message") continue;
        session.remembered.push({ place: ++lastPlace, number, archiveId: cargo.archiveId });
        writes.push(rows.putOutbound.with(lastPlace, session.id, number, cargo.archiveId));
      }
      await storage.write([...writes, rows.counters(session)]);
    },
    async restore() {
      const stored = await storage.read(rows.allSessions);
      const queued = await storage.read(rows.allQueued);
      const remembered = new Map<number, Session["remembered"]>();
      for (const found of await storage.read(rows.allOutbound)) {
        lastPlace = found.place;
        const list = remembered.get(found.session) ?? [];
        list.push({ place: found.place, number: found.number, archiveId: found.archive_id });
        remembered.set(found.session, list);
      }
      const queues = new Map<number, Entry[]>();
      const heldBack = new Map<number, Held[]>();
      for (const entry of queued) {
        const held = rows.heldOf(entry);
        if (held !== undefined) {
          heldBack.set(entry.session, [...(heldBack.get(entry.session) ?? []), held]);
          continue;
        }
        const list = queues.get(entry.session) ?? [];
        list.push(rows.entryOf(entry));
        queues.set(entry.session, list);
      }
      const restored: rows.StoredSession[] = [];
      const orphans: Write[] = [rows.dropAllQueued.with()];
      for (const found of stored) {
        const account = accounts.byId(found.account);
        const address = account && jid(found.name, found.view, found.resource);
        const alive = account?.enabled === true && address !== undefined && names.host(found.view) !== undefined;
        if (!alive || account === undefined || address === undefined) {
          orphans.push(...rows.drop(found.id));
          continue;
        }
        const session = new Session({
          id: found.id,
          account,
          jid: address,
          since: found.since,
          outbound: newOutbound(),
        });
        rows.fill(session, found);
        session.remembered = (remembered.get(found.id) ?? []).filter(({ number }) => number > found.acknowledged);
        // In the order in which they went out: what had waited got its number later than its place.
        session.remembered.sort((one, other) => one.number - other.number);
        const orderly = found.orderly === 1;
        session.detachedAt = clock.now();
        const connection = rows.connectionOf(found);
        session.expectsConnection = connection !== undefined;
        const queue = queues.get(found.id) ?? [];
        if (orderly) {
          const held = heldBack.get(found.id) ?? [];
          const places = new Set(held.map(({ place }) => place));
          session.remembered = session.remembered.filter(({ place }) => !places.has(place));
          session.outbound.restore(queue, { lastNumber: found.last_number, acknowledged: found.acknowledged });
          session.outbound.restoreHeldBack(held);
        } else {
          const numbered = session.remembered.filter(({ number }) => number < rows.notYetNumbered);
          session.outbound.lastNumber = Math.max(afterCrash, ...numbered.map(({ number }) => number));
          session.outbound.acknowledged = session.outbound.lastNumber;
          crashed.add(session);
        }
        enter(session);
        fromDisk.add(session);
        restored.push({ session, orderly, connection });
      }
      storage.commit([...orphans, rows.forgetOrderly.with()]);
      return restored;
    },
    async storeAll(connectionOf) {
      const asTheyAre = (): Write[] => {
        const writes: Write[] = [rows.dropAllQueued.with()];
        for (const session of byId.values()) {
          if (crashed.has(session)) continue; // its rows are as the crash left them
          const connection = connectionOf(session);
          if (connection === undefined && session.resumeToken === undefined) continue;
          writes.push(row(session, connection ?? { number: 0, stream: "" }), rows.counters(session));
          fromDisk.add(session);
          const entries = session.outbound.everything();
          for (const [position, entry] of entries.entries()) writes.push(rows.queuedRow(session.id, position, entry));
          for (const [position, held] of session.outbound.heldBack.entries())
            writes.push(rows.heldRow(session.id, entries.length + position, held));
        }
        return writes;
      };
      // What is sent while they are written would be counted by the client alone.
      for (let written = -1; written !== changes; ) {
        written = changes;
        await storage.write(asTheyAre());
      }
      for (const session of byId.values()) session.outbound.detach();
    },
  };
  return sessions;
}

/** What came for it since is queued; its messages are remembered, too. */
const isRequest = ({ cargo }: Entry): boolean => cargo.is === "request";

/** What a session that nobody came back to after a crash was owed: it is only on disk. */
function rememberedEntries(session: Session): Entry[] {
  return session.remembered.map(({ number, archiveId }) => ({
    ...{ data: "", ticket: 0, number },
    cargo: { is: "message", archiveId },
  }));
}
