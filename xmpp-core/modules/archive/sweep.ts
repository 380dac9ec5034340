import type { Account } from "../../routing/accounts.ts";
import { firstArchiveId } from "../../storage/archive-id.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";

/**
 * Bodies that are in nobody's archive go once nobody waits for them any more. The partial index holds only those, so
 * that an archived message costs nothing more. What was said in rooms is theirs to forget.
 */
export const sweepMigration = {
  name: "0067_archive-sweep",
  sql: `
    CREATE INDEX stanza_unarchived ON stanza (id)
      WHERE sender_archive IS NULL AND recipient_archive IS NULL AND type <> 'groupchat';
    CREATE TABLE archive_removed (account INTEGER PRIMARY KEY, up_to INTEGER NOT NULL);`,
};

const dropEntries = write<[before: number, rows: number]>(
  "DELETE FROM archive WHERE (owner, id) IN (SELECT owner, id FROM archive WHERE id < ? LIMIT ?)",
);
const waitsForNobody = (column: string): string =>
  `NOT EXISTS (SELECT 1 FROM offline o WHERE o.id = ${column}) AND ${column} NOT IN (SELECT archive_id FROM outbound)`;
const dropWords = (chosen: string): string => `DELETE FROM archive_text WHERE rowid IN (${chosen})`;
const dropBodies = (chosen: string): string => `DELETE FROM stanza WHERE id IN (${chosen})`;

const dropOldWords = write<[before: number, rows: number]>(
  dropWords("SELECT rowid FROM archive_text WHERE rowid < ? LIMIT ?"),
);
const oldBodies = write<[after: number, upTo: number]>(
  `DELETE FROM stanza WHERE id > ? AND id <= ? AND NOT (sender_archive IS NULL AND recipient_archive IS NULL)
     AND ${waitsForNobody("stanza.id")}`,
);

const unarchived = `SELECT s.id FROM stanza s INDEXED BY stanza_unarchived
  WHERE s.sender_archive IS NULL AND s.recipient_archive IS NULL AND s.type <> 'groupchat' AND s.id < ?
    AND ${waitsForNobody("s.id")} LIMIT ?`;
const looseWords = write<[before: number, rows: number]>(dropWords(unarchived));
const looseBodies = write<[before: number, rows: number]>(dropBodies(unarchived));

const noteRemoved = write<[account: number]>("INSERT OR IGNORE INTO archive_removed (account, up_to) VALUES (?, 0)");
const removedAccounts = read<[], { account: number; up_to: number }>("SELECT account, up_to FROM archive_removed");
const stretch = read<[after: number, before: number, rows: number], { last: number | null }>(
  "SELECT max(id) AS last FROM (SELECT id FROM stanza WHERE id > ? AND id < ? ORDER BY id LIMIT ?)",
);
const disown = (column: string) =>
  write<[account: number, after: number, upTo: number]>(
    `UPDATE stanza SET ${column} = NULL WHERE ${column} = ? AND id > ? AND id <= ?`,
  );
const disowned = [disown("sender_archive"), disown("recipient_archive")];
const removedUpTo = write<[upTo: number, account: number]>("UPDATE archive_removed SET up_to = ? WHERE account = ?");
const removedDone = write<[account: number]>("DELETE FROM archive_removed WHERE account = ?");

const dayMs = 24 * 3600 * 1000;
/** Longer than it takes to hand on what an ended session never took: meanwhile nothing refers to it. */
const looseMs = 10 * 60 * 1000;
const slice = 500;

/** Forgets what is older than so many days. Returns how many messages. Everything stored so far must have been entered. */
export async function purgeOlder({ storage, clock }: Core, days: number): Promise<number> {
  const before = firstArchiveId(clock.now() - days * dayMs);
  let messages = 0;
  await storage.bulk(async (step) => {
    while ((await step((rows) => [dropEntries.with(before, rows)])) > 0);
    while ((await step((rows) => [dropOldWords.with(before, rows)])) > 0);
    // By stretches of ids: what stays, of rooms and of those who wait, is looked at once.
    for (let after = 0; ; ) {
      const last = (await storage.read(stretch, after, before, slice))[0]?.last;
      if (last == null) return;
      const from = after;
      messages += await step(() => [oldBodies.with(from, last)]);
      after = last;
    }
  });
  return messages;
}

/** Forgets bodies that are in nobody's archive and that nobody waits for. */
export async function dropLoose({ storage, clock }: Core): Promise<void> {
  const before = firstArchiveId(clock.now() - looseMs);
  await storage.bulk(async (step) => {
    while ((await step((rows) => [looseWords.with(before, rows), looseBodies.with(before, rows)])) > 0);
  });
}

/** For the commit that removes an account: its messages are looked for behind it, also after a crash. */
export function leaving(account: Account): Write[] {
  return [noteRemoved.with(account.id)];
}

/** Takes removed accounts out of stored messages; what is then in nobody's archive goes with the next `dropLoose`. */
export async function forgetRemoved(core: Core): Promise<void> {
  const { storage } = core;
  for (const { account, up_to: begun } of await storage.read(removedAccounts)) {
    await storage.bulk(async (step) => {
      for (let after = begun; ; ) {
        const last = (await storage.read(stretch, after, Number.MAX_SAFE_INTEGER, slice))[0]?.last;
        if (last == null) return;
        const [from, to] = [after, last];
        await step(() => [...disowned.map((one) => one.with(account, from, to)), removedUpTo.with(to, account)]);
        after = last;
      }
    });
    await storage.write([removedDone.with(account)]);
  }
}
