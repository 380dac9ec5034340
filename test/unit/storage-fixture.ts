import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test as base } from "vitest";
import {
  type Migration,
  openStorage,
  read,
  type Storage,
  type StorageClock,
  type StorageOptions,
  write,
} from "../../xmpp-core/storage/storage.ts";

export const itemTable: Migration = {
  name: "0001_item",
  sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB, parent INTEGER REFERENCES item DEFERRABLE INITIALLY DEFERRED) STRICT",
};

export interface Item {
  readonly id: number;
  readonly name: string;
}
export const putItem = write<[id: number, name: string]>("INSERT INTO item (id, name) VALUES (?, ?)");
export const putBody = write<[id: number, name: string, body: Uint8Array | null]>(
  "INSERT INTO item (id, name, body) VALUES (?, ?, ?)",
);
export const putChild = write<[id: number, name: string, parent: number]>(
  "INSERT INTO item (id, name, parent) VALUES (?, ?, ?)",
);
export const purge = write<[most: number]>("DELETE FROM item WHERE id IN (SELECT id FROM item LIMIT ?)");
export const items = read<[], Item>("SELECT id, name FROM item ORDER BY id");
export const itemNamed = read<[name: string], Item & { body: Uint8Array | null }>(
  "SELECT id, name, body FROM item WHERE name = ?",
);

/** A clock that stands still until a test moves it. */
export function manualClock(): StorageClock & { advance(ms: number): void } {
  let now = 1_000_000;
  let timers: { at: number; run: () => void }[] = [];
  return {
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    advance(ms) {
      now += ms;
      const due = timers.filter((timer) => timer.at <= now);
      timers = timers.filter((timer) => timer.at > now);
      for (const { run } of due) run();
    },
  };
}

/** Lets a test hold the writer back: groups wait until `open` is called. */
export function gate() {
  let waiting: (() => void)[] = [];
  let closed = true;
  return {
    holdWrites: () => (closed ? new Promise<void>((resolve) => waiting.push(resolve)) : undefined),
    open() {
      closed = false;
      for (const resolve of waiting) resolve();
      waiting = [];
    },
  };
}

/** The number of transactions in a write-ahead log: frames that carry the size of the database (sqlite.org/fileformat2.html §4.1). */
export function transactionsIn(log: string): number {
  if (!existsSync(log)) return 0;
  const bytes = readFileSync(log);
  const pageSize = bytes.readUInt32BE(8);
  let count = 0;
  for (let frame = 32; frame + 24 + pageSize <= bytes.length; frame += 24 + pageSize) {
    const current = bytes.compare(bytes, 16, 24, frame + 8, frame + 16) === 0;
    if (current && bytes.readUInt32BE(frame + 4) !== 0) count++;
  }
  return count;
}

interface StorageFixtures {
  directory: string;
  clock: ReturnType<typeof manualClock>;
  /** Opens a storage on `<directory>/core.db`, closed at the end of the test. */
  open(options?: Partial<StorageOptions>): Promise<Storage>;
}

export const test = base.extend<StorageFixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures a fixture needs from this pattern
  directory: async ({}, use) => {
    const directory = mkdtempSync(join(tmpdir(), "storage-"));
    await use(directory);
    rmSync(directory, { recursive: true });
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  clock: async ({}, use) => use(manualClock()),
  open: async ({ directory, clock }, use) => {
    const opened: Storage[] = [];
    await use(async (options) => {
      const storage = await openStorage({
        path: join(directory, "core.db"),
        migrations: [itemTable],
        programVersion: "1.0.0",
        clock,
        ...options,
      });
      opened.push(storage);
      return storage;
    });
    for (const storage of opened) await storage.close();
  },
});
