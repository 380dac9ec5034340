import { ns } from "../formats/namespaces.ts";
import { errorElement, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { parseJid } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { boolean, enumeration, integer } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { MessageFlow } from "../routing/handlers.ts";
import { ready } from "../routing/messages.ts";
import type { Session } from "../routing/session.ts";
import { renderStored, type StoredStanza, stanzasById } from "../routing/stored-stanzas.ts";
import { archiveTime, firstArchiveId } from "../storage/archive-id.ts";
import { read, write } from "../storage/statement.ts";
import { x } from "../xml/writer.ts";
import { afterRestart } from "./after-restart.ts";
import { type Core, defineModule } from "./module.ts";
import { offlineRetrieval, takesItself } from "./offline-retrieval.ts";
import { becameAvailable } from "./points.ts";
import { lateExtras } from "./stored-messages.ts";

const policy = property("xmpp.offline.type", {
  schema: enumeration("bounce", "drop", "store", "store_and_bounce", "store_and_drop"),
  default: "store_and_bounce",
  impact: "live",
  doc: "What happens to messages for people who are offline: returned, dropped, stored without limit, or stored up to xmpp.offline.quota and then returned or dropped.",
});

const quota = property("xmpp.offline.quota", {
  schema: integer(0),
  default: 102_400,
  impact: "live",
  unit: "bytes",
  doc: "How much one person's offline messages may take when xmpp.offline.type names a limit.",
});

const autoclean = property("xmpp.offline.autoclean.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether offline messages are deleted after xmpp.offline.autoclean.daystolive.",
});

const autocleanDays = property("xmpp.offline.autoclean.daystolive", {
  schema: integer(1, 36_500),
  default: 365,
  impact: "live",
  unit: "days",
  doc: "After how many days offline messages are deleted, if xmpp.offline.autoclean.enabled is on.",
});

const autocleanEvery = property("xmpp.offline.autoclean.checkinterval", {
  schema: integer(1, 100_000),
  default: 30,
  impact: "live",
  unit: "minutes",
  doc: "How often offline messages are looked through for old ones.",
});

const migration = {
  name: "0011_offline",
  sql: `
    CREATE TABLE offline (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, id INTEGER NOT NULL, bytes INTEGER NOT NULL,
      PRIMARY KEY (account, id)
    ) WITHOUT ROWID;
    CREATE INDEX offline_id ON offline (id);`,
};

/** What is deferred is for one session: the others of the account had it at once. */
const deferredMigration = { name: "0073_deferred", sql: "ALTER TABLE offline ADD COLUMN session INTEGER;" };

const putOffline = write<[account: number, id: number, bytes: number, session: number | null]>(
  "INSERT OR IGNORE INTO offline (account, id, bytes, session) VALUES (?, ?, ?, ?)",
);
/** Of what a session was owed only what was sent to its account: not the copies of what the person sent. */
const putBack = write<[account: number, id: number, name: string]>(
  `INSERT OR IGNORE INTO offline (account, id, bytes)
   SELECT a.id, s.id, length(s.payload) FROM stanza s JOIN account a ON a.id = ? WHERE s.id = ? AND
     (s.recipient_archive = a.id OR (s.recipient_archive IS NULL AND substr(s.recipient, 1, instr(s.recipient || '/', '/') - 1) = ?))`,
);
const takeOffline = write<[account: number, session: number, upTo: number]>(
  "DELETE FROM offline WHERE account = ? AND (session IS NULL OR session = ?) AND id <= ?",
);
/** What the archive has too. */
const takeArchived = write<[account: number, account: number, account: number]>(
  `DELETE FROM offline WHERE account = ? AND session IS NULL AND id IN (
     SELECT s.id FROM offline o JOIN stanza s ON s.id = o.id WHERE o.account = ? AND s.recipient_archive = ?)`,
);
const forAnybody = write<[account: number, session: number]>(
  "UPDATE offline SET session = NULL WHERE account = ? AND session = ?",
);
/** Sessions that a crash has ended. */
const orphansForAnybody = write<[]>(
  "UPDATE offline SET session = NULL WHERE session IS NOT NULL AND session NOT IN (SELECT id FROM session)",
);
const dropOld = write<[before: number, rows: number]>(
  "DELETE FROM offline WHERE (account, id) IN (SELECT account, id FROM offline WHERE id < ? LIMIT ?)",
);
const waiting = read<[account: number, session: number], StoredStanza>(
  `SELECT s.* FROM offline o JOIN stanza s ON s.id = o.id
   WHERE o.account = ? AND (o.session IS NULL OR o.session = ?) ORDER BY o.id`,
);
const bytesOf = read<[account: number], { bytes: number | null }>(
  "SELECT sum(bytes) AS bytes FROM offline WHERE account = ?",
);
const sums = read<[], { account: number; bytes: number }>(
  "SELECT account, sum(bytes) AS bytes FROM offline GROUP BY account",
);

const notKept = (): StanzaError =>
  stanzaError("service-unavailable", { text: "Nobody is there, and messages are not kept." });

const dayMs = 24 * 3600 * 1000;

/** Keeps messages for people who are away, and hands them over when they come. XEP-0160 */
export const offline = defineModule({
  name: "offline",
  implements: [
    { spec: "XEP-0013", version: "1.3.0", status: "complete" },
    { spec: "XEP-0160", version: "1.0.1", status: "complete" },
    { spec: "XEP-0203", version: "2.0", status: "complete" },
  ],
  features: [ns.offlineFeature, ns.offline],
  sessionState: [takesItself],
  properties: [policy, quota, autoclean, autocleanDays, autocleanEvery],
  migrations: [migration, deferredMigration],
  start(core) {
    const { storage, properties } = core;
    /** Bytes stored for each account that has any. */
    const used = new Map<number, number>();
    async function count(): Promise<void> {
      await storage.write([orphansForAnybody.with()]);
      for (const row of await storage.read(sums)) used.set(row.account, (used.get(row.account) ?? 0) + row.bytes);
    }

    function store(flow: MessageFlow) {
      const account = flow.recipient;
      if (account === undefined || !flow.lasting) return undefined;
      if (receiving.size > 0) defer(flow, account);
      if (flow.targets.length > 0 || flow.claimed) return undefined;
      const wanted = properties.get(policy);
      if (wanted === "bounce") return notKept();
      if (wanted === "drop") {
        flow.claimed = true;
        return undefined;
      }
      const bytes = flow.stanza.bytes.length;
      const before = used.get(account.id) ?? 0;
      if (wanted !== "store" && before + bytes > properties.get(quota)) {
        if (wanted === "store_and_bounce")
          return stanzaError("service-unavailable", { text: "The person's storage for offline messages is full." });
        flow.claimed = true;
        return undefined;
      }
      used.set(account.id, before + bytes);
      flow.writes.push(putOffline.with(account.id, flow.keep(), bytes, null));
      flow.claimed = true;
      return undefined;
    }

    /** What comes for a session that is being handed what waited goes behind it, so into the same store. */
    function defer(flow: MessageFlow, account: Account): void {
      const session = receiving.get(account.id);
      if (session === undefined || !flow.targets.includes(session)) return;
      flow.targets = flow.targets.filter((target) => target !== session);
      flow.deferred = session;
      flow.claimed = true;
      const bytes = flow.stanza.bytes.length;
      used.set(account.id, (used.get(account.id) ?? 0) + bytes);
      flow.writes.push(putOffline.with(account.id, flow.keep(), bytes, session.id));
    }

    /** Hands over everything that waits, in order, as part of one commit with the rows that remember it for a managed session. */
    async function handOver(session: Session): Promise<void> {
      const { account } = session;
      if (!used.has(account.id)) return;
      try {
        // What comes while rows are read is the next round's.
        while (used.has(account.id) && !session.ended) {
          receiving.set(account.id, session);
          used.delete(account.id);
          const rows = await storage.read(waiting, account.id, session.id);
          const last = rows.at(-1);
          if (session.ended || last === undefined) return;
          for (const row of rows) sendStored(core, session, row);
          // Without stream management "delivered" means written: the rows go once that has been done.
          const taken = core.sessions.commit(session, [takeOffline.with(account.id, session.id, last.id)]);
          await storage.settled(taken);
        }
      } finally {
        if (receiving.get(account.id) === session) receiving.delete(account.id);
        // Whether anything is left, for the next who comes.
        await recount(account.id);
      }
    }

    /** The session of each account that is being handed what waited. */
    const receiving = new Map<number, Session>();

    /** Hand-overs of one account follow each other: two devices that come at once must not both get everything. */
    const handing = new Map<number, Promise<void>>();
    function handOverNext(session: Session): void {
      const { id } = session.account;
      if (used.has(id) && !receiving.has(id)) receiving.set(id, session);
      inTurn(id, () => handOver(session));
    }

    function inTurn(id: number, work: () => Promise<void>): void {
      const next = (handing.get(id) ?? Promise.resolve())
        .then(work)
        .catch((error: unknown) => core.report.wrong({ what: "handing over offline messages", error }))
        .then(() => {
          if (handing.get(id) === next) handing.delete(id);
        });
      handing.set(id, next);
      core.seeThrough("handing over offline messages", next);
    }

    /** Counts again what is on disk. */
    function recount(account: number): Promise<void> {
      return storage
        .read(bytesOf, account)
        .then(([row]) => {
          if ((row?.bytes ?? 0) > 0) used.set(account, row?.bytes ?? 0);
          else used.delete(account);
        })
        .catch((error: unknown) => core.report.wrong({ what: "counting offline messages", error }));
    }

    /** Messages that an ended session never took: to whoever is there and has not had them, else as for somebody who is away. XEP-0198 §6 */
    function undelivered(session: Session, archiveIds: readonly number[]): void {
      const { account } = session;
      if (core.accounts.byId(account.id) !== account) return;
      const wanted = properties.get(policy);
      const away = ready(account).length === 0;
      if (away && wanted === "drop") return;
      if (away && wanted !== "bounce") {
        // Marked at once: the next device may become available in this very turn.
        used.set(account.id, used.get(account.id) ?? 0);
        storage.commit(archiveIds.map((id) => putBack.with(account.id, id, `${account.name}@`)));
        void recount(account.id);
        return;
      }
      const handedOn = storage.read(stanzasById, JSON.stringify(archiveIds)).then((rows) => {
        for (const row of rows) {
          const to = resourceMeant(account, row);
          if (to === undefined) continue;
          if (away) bounce(row);
          else for (const other of ready(account)) if (lacks(other, session, to, row)) sendStored(core, other, row);
        }
      });
      core.seeThrough("handing on messages of an ended session", handedOn);
    }
    core.router.onUndelivered = undelivered;

    /** The resource that a stored message was sent to, "" for the bare address; undefined: it was not for this account. */
    function resourceMeant(account: Account, row: StoredStanza): string | undefined {
      const address = parseJid(core.names.absolute(row.recipient, core.names.primary.name));
      const place = address && core.names.locate(address);
      const own = place?.at === "account" && core.accounts.get(place.served.id, place.name) === account;
      return own ? place.resource : undefined;
    }

    /** What went to the bare address went to all who were there; those who came later lack it. */
    function lacks(other: Session, ended: Session, resource: string, row: StoredStanza): boolean {
      return resource === ended.resource || (readySince.get(other) ?? other.since) >= archiveTime(row.id);
    }

    /** Back to the session that sent it, if that is still there. */
    function bounce(row: StoredStanza): void {
      const address = parseJid(core.names.absolute(row.sender, core.names.primary.name));
      const place = address && core.names.locate(address);
      const account = place?.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
      const sender = account && place?.at === "account" ? core.sessions.get(account, place.resource) : undefined;
      if (sender === undefined || row.type === "error") return;
      const from = core.names.absolute(row.recipient, sender.view);
      const attributes = { type: "error", id: row.stanza_id ?? undefined, from, to: sender.address };
      core.router.send(sender, x("message", attributes, errorElement(notKept())));
    }

    /** The end of the process came between what waited and its session. */
    function goOn(session: Session): void {
      if ((session.priority ?? -1) >= 0 && used.has(session.account.id) && !takesItself.get(session))
        handOverNext(session);
    }
    const restarted = afterRestart(core, (sessions) => sessions.forEach(goOn));

    const readySince = new WeakMap<Session, number>();
    core.offer(becameAvailable, {
      becameAvailable(session) {
        readySince.set(session, core.clock.now());
        if (!takesItself.get(session)) handOverNext(session);
      },
    });

    async function clean(): Promise<void> {
      if (!properties.get(autoclean)) return;
      const before = firstArchiveId(core.clock.now() - properties.get(autocleanDays) * dayMs);
      await storage.bulk(async (step) => {
        while ((await step((rows) => [dropOld.with(before, rows)])) > 0);
      });
      for (const account of used.keys()) void recount(account);
    }
    let stopCleaning: (() => void) | undefined;
    core.watch(autocleanEvery, (minutes) => {
      stopCleaning?.();
      stopCleaning = core.clock.every(minutes * 60_000, () => {
        clean().catch((error: unknown) => core.report.wrong({ what: "cleaning offline messages", error }));
      });
    });

    const iq = offlineRetrieval(core, recount);
    return {
      ready: count(),
      iq,
      message: { store },
      session: {
        opened({ account: { id } }, catchesUp) {
          // Its client asks the archive for them: it would get them twice. XEP-0386 §3.2
          if (catchesUp === "archive" && used.has(id))
            inTurn(id, async () => {
              await storage.write([takeArchived.with(id, id, id)]);
              await recount(id);
            });
        },
        restored: restarted.restored,
        resumed: (session, after) => after === "crash" && goOn(session),
        closed({ account, id }) {
          if (!used.has(account.id)) return;
          // Not dropped, though others are there: whoever came after the message lacks it.
          storage.commit([forAnybody.with(account.id, id)]);
        },
      },
      stop: () => stopCleaning?.(),
    };
  },
});

/** A stored message with its delay stamp; a managed session remembers it until it is acknowledged. */
function sendStored(core: Core, session: Session, row: StoredStanza): void {
  const parts = { names: core.names, views: core.router.views };
  const message = renderStored(parts, row, session.view, lateExtras(core, session, row));
  const remember = core.sessions.outboundRow(session, row.id, () => message);
  const ticket = remember === undefined ? 0 : core.sessions.commit(session, [remember]);
  core.router.send(session, message, ticket, { is: "message", archiveId: row.id });
}
