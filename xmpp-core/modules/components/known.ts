import { read, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";

/** Components that have been connected: their addresses stay those of services while they are away. */
export const componentsMigration = {
  name: "0060_components",
  sql: "CREATE TABLE component (label TEXT PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;",
};

const all = read<[], { label: string; seen: number }>("SELECT label, seen FROM component");
const put = write<[label: string, seen: number]>("INSERT OR REPLACE INTO component (label, seen) VALUES (?, ?)");
const drop = write<[label: string]>("DELETE FROM component WHERE label = ?");

const forgottenAfterMs = 90 * 24 * 3600 * 1000;
// Whoever has the default secret may choose a label: they are not remembered to the last.
const mostKnown = 500;

export interface Known {
  has(label: string): boolean;
  /** False: there are too many. */
  add(label: string): boolean;
  seen(label: string): void;
  load(rows: readonly { label: string }[]): void;
}

export function openKnown({ names, storage, clock }: Core): Known {
  const labels = new Set<string>();
  return {
    has: (label) => labels.has(label),
    add(label) {
      if (!labels.has(label)) {
        if (labels.size >= mostKnown) return false;
        labels.add(label);
        names.openService(label, { certified: false });
      }
      storage.commit([put.with(label, clock.now())]);
      return true;
    },
    seen: (label) => void storage.commit([put.with(label, clock.now())]),
    load(rows) {
      for (const { label } of rows) {
        labels.add(label);
        names.openService(label, { certified: false });
      }
    },
  };
}

/** Reads them at the start; those that were not here for long are forgotten, unless a service of ours has their label now. */
export async function knownComponents(core: Core, known: Known, serve: (label: string) => void): Promise<void> {
  const { names, router, storage, clock } = core;
  const rows = await storage.read(all);
  const before = clock.now() - forgottenAfterMs;
  const isFree = (label: string): boolean =>
    router.service(label) === undefined && names.host(`${label}.${names.primary.name}`) === undefined;
  const kept = rows.filter(({ label, seen }) => seen >= before && isFree(label));
  const forgotten = rows.filter((row) => !kept.includes(row));
  if (forgotten.length > 0) storage.commit(forgotten.map(({ label }) => drop.with(label)));
  known.load(kept);
  for (const { label } of kept) serve(label);
}
