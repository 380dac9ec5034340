/** A host's records in one file: `.json`, `.properties` or dotenv. Read only; docs/stores/files.md. */
import { realpath } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { readQuiet, readText } from "./file-on-disk.ts";
import { parseDotenv } from "./flat-dotenv.ts";
import { jsonRecords } from "./flat-json.ts";
import { parseProperties } from "./flat-properties.ts";
import { flatRecords } from "./flat-records.ts";
import { readSeen, writeSeen } from "./flat-seen.ts";
import { endMarker, hasEndMarker, hasEndMarkerInside } from "./flat-text.ts";
import { watchFiles } from "./flat-watch.ts";
import { type Clock, StoreError, systemClock } from "./host-store.ts";
import type { HostRecords, RecordSource } from "./record-store.ts";

export type FlatForm = "json" | "properties" | "dotenv";

export interface FlatFileOptions {
  readonly path: string;
  readonly form: FlatForm;
  readonly home: string;
  readonly clock?: Clock;
  /** How long the file must stay as it is. */
  readonly quietMs?: number;
  /** How often its hash is looked at, for file systems that report no changes. */
  readonly pollMs?: number;
}

/** The form that a file's name asks for; undefined: none of these. */
export function flatForm(path: string): FlatForm | undefined {
  const name = basename(path).toLowerCase();
  if (name.endsWith(".json")) return "json";
  if (name.endsWith(".properties")) return "properties";
  return name.endsWith(".env") ? "dotenv" : undefined;
}

/** Reads nothing yet. */
export function flatFileSource(options: FlatFileOptions): RecordSource {
  const { form, home, clock = systemClock, quietMs = 1000, pollMs = 5000 } = options;
  const path = resolve(options.path);
  let seen: string | undefined;
  let real = path;
  let marked: boolean | undefined;

  const records = async (text: string): Promise<HostRecords> => {
    marked ??= (await readSeen(home, path))?.marked;
    if (text.trim() === "") throw nothing();
    if (form === "json") {
      const read = jsonRecords(text, path);
      await remember(false);
      return read;
    }
    // Behind a marker that is still there, the parser names the line that follows it.
    if (marked && !hasEndMarker(text) && !hasEndMarkerInside(text)) throw halfWritten(text);
    const { entries, ended } = (form === "properties" ? parseProperties : parseDotenv)(text, path);
    // A line that goes on, or a quote that is open, may have swallowed it.
    if (marked && !ended) throw halfWritten(text);
    if (entries.length === 0) throw nothing();
    const { warnings, ...read } = flatRecords(entries);
    await remember(ended);
    return { ...read, warnings: ended ? warnings : [...warnings, noMarker()] };
  };

  const remember = async (now: boolean): Promise<void> => {
    if (marked === now) return;
    await writeSeen(home, { path, form, marked: now });
    marked = now;
  };

  const halfWritten = (text: string) =>
    new StoreError("store/half-written", "the end marker is gone, so the file counts as half-written.", {
      place: { file: path, line: text.trimEnd().split("\n").length, column: 1 },
      rule: `a last line: ${endMarker}`,
      hint: "If the file is complete, add the line.",
    });
  const nothing = () =>
    new StoreError("store/empty", `${path} is empty.`, {
      rule: "settings, roles and users",
      hint: "Put it back from a backup. What was read last stays in force.",
    });
  const noMarker = () => ({
    code: "store/no-end-marker",
    message: `${basename(path)} has no end marker, so a half-written file cannot be told from a whole one.`,
    hint: `Add ${endMarker} as its last line.`,
    where: path,
  });

  return {
    kind: "flat-file",
    describe: () => `${basename(path)} at ${path}`,
    async read(known) {
      try {
        const file = await readQuiet(path, { clock, quietMs, settled: (hash) => hash === known });
        seen = file.hash;
        real = await realpath(path).catch(() => path);
        if (file.hash === known) return "unchanged";
        return { tag: file.hash, records: await records(file.text) };
      } catch (error) {
        seen = await lookAt(path);
        throw ownWords(error, path);
      }
    },
    watch: (lookAgain) =>
      watchFiles(
        {
          name: basename(path),
          // A mounted ConfigMap swaps ..data, of which the name is a link's first part.
          directories: () => [dirname(path), dirname(real)],
          concerns: (name) => [basename(path), basename(real), "..data"].includes(name),
          look: () => lookAt(path),
          read: () => seen,
          pollMs,
        },
        lookAgain,
      ),
  };
}

/** What stands there now, without judging it. */
async function lookAt(path: string): Promise<string> {
  try {
    return (await readText(path)).hash;
  } catch (error) {
    return String(error);
  }
}

/** The hints of `host.yaml` name its own copy. */
function ownWords(error: unknown, path: string): unknown {
  if (!(error instanceof StoreError) || error.code !== "store/missing") return error;
  return new StoreError("store/missing", `There is no file ${path}.`, {
    cause: error,
    hint: "Put it back, or correct FIREKEEPER_STORE. What was read last stays in force.",
  });
}
