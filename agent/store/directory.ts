/** A host's records as a directory of one file per key: ConfigMaps and Secrets as Kubernetes mounts them, or plain. docs/stores/files.md. */
import { basename, resolve } from "node:path";
import { lookAtDirectory, readDirectory } from "./directory-read.ts";
import { type FlatEntry, flatRecords } from "./flat-records.ts";
import { writeSeen } from "./flat-seen.ts";
import { watchFiles } from "./flat-watch.ts";
import { type Clock, StoreError, systemClock } from "./host-store.ts";
import type { RecordSource } from "./record-store.ts";

export interface DirectoryOptions {
  readonly path: string;
  readonly home: string;
  readonly clock?: Clock;
  /** How long a plain directory must stay as it is. */
  readonly quietMs?: number;
  /** How often names, links and times are looked at, for file systems that report no changes. */
  readonly pollMs?: number;
}

/** Reads nothing yet. */
export function directorySource(options: DirectoryOptions): RecordSource {
  const { home, clock = systemClock, quietMs = 1000, pollMs = 5000 } = options;
  const path = resolve(options.path);
  let seen: string | undefined;
  let directories: readonly string[] = [path];
  let remembered = false;

  const look = async (): Promise<string> => {
    const now = await lookAtDirectory(path);
    directories = now.directories.length > 0 ? now.directories : [path];
    return now.facts;
  };

  return {
    kind: "directory",
    describe: () => `the directory ${path}`,
    async read(known) {
      // Before the read: whatever changes while it goes on is seen by the next look.
      seen = await look();
      const read = await readDirectory(path, { clock, quietMs, settled: (hash) => hash === known });
      if (read.hash === known) return "unchanged";
      refuseDocuments(read.entries);
      const { warnings, ...records } = flatRecords(read.entries);
      if (!remembered) await writeSeen(home, { path, form: "directory", marked: false });
      remembered = true;
      return { tag: read.hash, records: { ...records, warnings: [...read.notices, ...warnings] } };
    },
    watch: (lookAgain) =>
      watchFiles(
        {
          name: basename(path),
          directories: () => directories,
          concerns: (name) => name === "..data" || !name.startsWith("."),
          look,
          read: () => seen,
          pollMs,
        },
        lookAgain,
      ),
  };
}

/** A whole document under one key would become one long setting, with every password in it. */
function refuseDocuments(entries: readonly FlatEntry[]): void {
  for (const { key, place } of entries) {
    if (/^(sys|roles|users|teams)\./.test(key) || !/\.(ya?ml|json|properties|env)$/i.test(key)) continue;
    throw new StoreError("store/unknown-key", `${place.file} is a document, not the value of one key.`, {
      rule: "one file for each key",
      hint: `If it is the store, name the file itself: FIREKEEPER_STORE=${place.file}.`,
    });
  }
}
