import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { CodedError } from "../errors.ts";
import { type Database, loadDriver, sqliteCode } from "./driver.ts";

/** Who holds a home, for the person who finds it taken. */
export interface HolderFacts {
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly version: string;
}

export interface HomeLock {
  /** Lets the next taker in. The operating system does the same when the process ends, however it ends. */
  release(): void;
}

/**
 * Takes exclusive use of a home directory by holding `BEGIN EXCLUSIVE` on a database of its own (`core.lock.db`): the lock
 * is the kernel's, so no killed process leaves it behind, and it holds between containers that share the directory.
 * Only a held lock counts; the facts in `<file>.holder.json` merely name the holder. Throws `home/locked` if it is taken,
 * `home/unusable` if the file cannot be written.
 */
export async function lockHome(file: string, facts: HolderFacts): Promise<HomeLock> {
  let database: Database | undefined;
  try {
    database = loadDriver().open(file);
    // A rollback journal, not WAL: there EXCLUSIVE keeps every other connection out.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    writeHolder(file, facts);
  } catch (error) {
    database?.close();
    throw sqliteCode(error) === "BUSY" ? lockedError(file) : unusableError(file, error);
  }
  const held = database;
  return { release: () => held.close() };
}

function holderFile(file: string): string {
  return `${file}.holder.json`;
}

function writeHolder(file: string, facts: HolderFacts): void {
  const partial = `${holderFile(file)}.partial`;
  writeFileSync(partial, `${JSON.stringify(facts)}\n`, { mode: 0o600 });
  renameSync(partial, holderFile(file));
}

function readHolder(file: string): Partial<HolderFacts> {
  try {
    const facts: unknown = JSON.parse(readFileSync(holderFile(file), "utf8"));
    return typeof facts === "object" && facts !== null ? (facts as Partial<HolderFacts>) : {};
  } catch {
    // The holder has taken the lock and not yet written its name.
    return {};
  }
}

function lockedError(file: string): CodedError {
  const { pid, since, version } = readHolder(file);
  const sinceText = typeof since === "number" ? new Date(since).toISOString() : undefined;
  const holder = pid === undefined ? "another process" : `process ${pid} (version ${version}, since ${sinceText})`;
  return new CodedError("home/locked", `${file} is held by ${holder}.`, {
    fields: { file, pid, since: sinceText, version },
    hint: "One home serves one process at a time: stop that one first, or use another FIREKEEPER_HOME. In a container the process id is the container's own.",
  });
}

function unusableError(file: string, error: unknown): CodedError {
  return new CodedError(
    "home/unusable",
    `${file} cannot be locked: ${error instanceof Error ? error.message : error}.`,
    {
      fields: { file },
      hint: "Check that the home directory exists, is writable and lies on a file system with locks.",
      cause: error,
    },
  );
}
