import type { Core } from "../module.ts";
import type { Files } from "./files.ts";
import { days } from "./properties.ts";
import { dayMs, slotMs } from "./slots.ts";
import { dropGarbage, dropOld, dropOver, dropUpload, garbage, known, oldSlots } from "./tables.ts";

/** Files that are removed from disk between two commits. */
const slice = 200;
/** Files that are looked for in the database at a time. */
const mostLooked = 500;

export interface Sweep {
  /** Looks now; resolves when what was deleted before the call is off the disk. */
  now(): Promise<void>;
  /** Resolves when it no longer looks. */
  stop(): Promise<void>;
}

/** Deletes what is too old, slots that nobody filled, and the files of all rows that are gone. */
export function sweep(core: Core, files: Files, filling: (token: Uint8Array) => boolean): Sweep {
  const { clock, properties, storage } = core;
  let running: Promise<void> | undefined;
  let again: Promise<void> | undefined;
  let stopped = false;
  let folder = 0;

  async function look(): Promise<void> {
    const now = clock.now();
    while (!stopped) {
      const found = await storage.read(oldSlots, now - slotMs, slice);
      const dropped = found.filter(({ token }) => !filling(token)).map(({ token }) => dropUpload.with(token));
      if (dropped.length === 0) break;
      await storage.write(dropped);
    }
    const kept = properties.get(days);
    await storage.bulk(async (step) => {
      while (!stopped && (await step((rows) => [dropOver.with(now, rows)])) > 0);
      if (kept === 0) return;
      for (const purpose of ["message", "ephemeral"])
        while (!stopped && (await step((rows) => [dropOld.with(purpose, now - kept * dayMs, rows)])) > 0);
    });
    while (!stopped) {
      const gone = (await storage.read(garbage, slice)).map(({ token }) => Buffer.from(token));
      if (gone.length === 0) return;
      for (const token of gone) await files.remove(token);
      await storage.write(gone.map((token) => dropGarbage.with(token)));
    }
  }

  /**
   * Files that the database knows nothing of, some folders at a time: in a restored home they may be newer than its
   * database. Those of the last day stay, lest somebody put the wrong database there for a moment.
   */
  async function strays(): Promise<void> {
    const before = clock.now() - dayMs;
    const there = new Set(await files.folders());
    for (let folders = 0, looked = 0; folders < 256 && looked < mostLooked; folders++) {
      const old = there.has(folder) ? await files.settled(folder, before) : [];
      folder = (folder + 1) % 256;
      looked += old.length;
      for (const token of old) {
        if (stopped) return;
        const [row] = await storage.read(known, token, token);
        if (row?.found === 0) await files.remove(token);
      }
    }
  }

  function begin(): Promise<void> {
    const done = look()
      .then(strays)
      .finally(() => {
        running = undefined;
      });
    running = done;
    return done;
  }

  /** Whoever asks from now on asks for the one after it. */
  function next(): Promise<void> {
    again = undefined;
    return running ?? begin();
  }

  return {
    now() {
      if (stopped) return Promise.resolve();
      if (running === undefined) return begin();
      again ??= running.then(next, next);
      return again;
    },
    async stop() {
      stopped = true;
      await running?.catch(() => undefined);
    },
  };
}
