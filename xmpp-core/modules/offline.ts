import { delayElement } from "../formats/delay.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { boolean, enumeration, integer } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { MessageFlow } from "../routing/handlers.ts";
import { ready } from "../routing/messages.ts";
import type { Session } from "../routing/session.ts";
import { renderStored, type StoredStanza, stanzasById, takenAt } from "../routing/stored-stanzas.ts";
import { read, write } from "../storage/statement.ts";
import { type Core, defineModule } from "./module.ts";
import { becameAvailable, storedExtras } from "./points.ts";

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

const putOffline = write<[account: number, id: number, bytes: number]>(
  "INSERT OR IGNORE INTO offline (account, id, bytes) VALUES (?, ?, ?)",
);
const takeOffline = write<[account: number, upTo: number]>("DELETE FROM offline WHERE account = ? AND id <= ?");
const dropOld = write<[before: number, rows: number]>(
  "DELETE FROM offline WHERE (account, id) IN (SELECT account, id FROM offline WHERE id < ? LIMIT ?)",
);
const waiting = read<[account: number], StoredStanza>(
  "SELECT s.* FROM offline o JOIN stanza s ON s.id = o.id WHERE o.account = ? ORDER BY o.id",
);
const bytesOf = read<[account: number], { bytes: number | null }>(
  "SELECT sum(bytes) AS bytes FROM offline WHERE account = ?",
);
const sums = read<[], { account: number; bytes: number }>(
  "SELECT account, sum(bytes) AS bytes FROM offline GROUP BY account",
);

const dayMs = 24 * 3600 * 1000;

/** Keeps messages for people who are away, and hands them over when they come. XEP-0160 */
export const offline = defineModule({
  name: "offline",
  implements: [
    { spec: "XEP-0160", version: "1.0.1", status: "complete" },
    { spec: "XEP-0203", version: "2.0", status: "complete" },
  ],
  features: [ns.offlineFeature],
  properties: [policy, quota, autoclean, autocleanDays, autocleanEvery],
  migrations: [migration],
  start(core) {
    const { storage, properties } = core;
    /** Bytes stored for each account that has any. */
    const used = new Map<number, number>();
    const counted = storage.read(sums).then((rows) => {
      for (const row of rows) used.set(row.account, (used.get(row.account) ?? 0) + row.bytes);
    });

    function store(flow: MessageFlow) {
      const account = flow.recipient;
      if (account === undefined || flow.targets.length > 0 || !flow.lasting) return undefined;
      const wanted = properties.get(policy);
      if (wanted === "bounce")
        return stanzaError("service-unavailable", { text: "Nobody is there, and messages are not kept." });
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
      flow.writes.push(putOffline.with(account.id, flow.keep(), bytes));
      flow.claimed = true;
      return undefined;
    }

    /** Hands over everything that waits, in order, as part of one commit with the rows that remember it for a managed session. */
    async function handOver(session: Session): Promise<void> {
      const { account } = session;
      if (!used.has(account.id)) return;
      const rows = await storage.read(waiting, account.id);
      const last = rows.at(-1);
      if (last === undefined || session.ended) return;
      used.delete(account.id);
      for (const row of rows) sendStored(core, session, row);
      // Without stream management "delivered" means written: the rows go once that has been done.
      core.sessions.commit(session, [takeOffline.with(account.id, last.id)]);
    }

    /** Messages that an ended session never took: to whoever is there, else they wait. */
    function undelivered(account: Account, messages: readonly { archiveId: number; toFull: boolean }[]): void {
      const others = ready(account);
      // To the bare address they went to all who were ready.
      const owed = others.length === 0 ? messages : messages.filter(({ toFull }) => toFull);
      if (owed.length === 0) return;
      if (others.length === 0) {
        used.set(account.id, (used.get(account.id) ?? 0) + owed.length);
        storage.commit(owed.map(({ archiveId }) => putOffline.with(account.id, archiveId, 1)));
        return;
      }
      storage
        .read(stanzasById, JSON.stringify(owed.map(({ archiveId }) => archiveId)))
        .then((rows) => {
          for (const row of rows) for (const session of ready(account)) sendStored(core, session, row);
        })
        .catch((error: unknown) => core.report.wrong({ what: "handing on messages of an ended session", error }));
    }
    core.router.onUndelivered = undelivered;

    core.offer(becameAvailable, {
      becameAvailable(session) {
        handOver(session).catch((error: unknown) =>
          core.report.wrong({ what: "handing over offline messages", error }),
        );
      },
    });

    async function clean(): Promise<void> {
      if (!properties.get(autoclean)) return;
      const before = (core.clock.now() - properties.get(autocleanDays) * dayMs) * 1024;
      await storage.bulk(async (step) => {
        while ((await step((rows) => [dropOld.with(before, rows)])) > 0);
      });
      for (const account of [...used.keys()]) {
        const bytes = (await storage.read(bytesOf, account))[0]?.bytes ?? 0;
        if (bytes === 0) used.delete(account);
        else used.set(account, bytes);
      }
    }
    let stopCleaning: (() => void) | undefined;
    core.watch(autocleanEvery, (minutes) => {
      stopCleaning?.();
      stopCleaning = core.clock.every(minutes * 60_000, () => {
        clean().catch((error: unknown) => core.report.wrong({ what: "cleaning offline messages", error }));
      });
    });

    return { ready: counted, message: { store }, stop: () => stopCleaning?.() };
  },
});

/** A stored message with its delay stamp; a managed session remembers it until it is acknowledged. */
function sendStored(core: Core, session: Session, row: StoredStanza): void {
  const extras = core.offered(storedExtras).map((extra) => extra.append(session.account, row.id, session.view));
  const delay = delayElement({ stamp: new Date(takenAt(row.id)), from: session.view });
  const message = renderStored({ names: core.names, views: core.router.views }, row, session.view, [...extras, delay]);
  const remember = core.sessions.outboundRow(session, row.id);
  const ticket = remember === undefined ? 0 : core.sessions.commit(session, [remember]);
  core.router.send(session, message, ticket, { is: "message", archiveId: row.id, toFull: false });
}
