import type { CodedError } from "../errors.ts";
import type { Migration } from "./migrations.ts";
import type { ReadStatement, SqlValue, Write } from "./statement.ts";

/** The number of a group of units that share one transaction and one fsync. Rises by one from group to group. */
export type Ticket = number;

/** Time from outside. The server's clock fits; `after` returns a function that cancels. */
export interface StorageClock {
  /** Milliseconds since 1970. */
  now(): number;
  after(ms: number, run: () => void): () => void;
}

export type StorageHealth = "ok" | { readonly failing: CodedError; readonly since: number };

/**
 * The database behind the commit pipeline: one writer thread, one reader thread. docs/architecture.md "What is on disk when".
 *
 *     const ticket = storage.commit([putMessage.with(id, body), count.with(session, 17)]);
 *     storage.onCommitted((done) => { if (done >= ticket) acknowledge(); });
 */
export interface Storage {
  /**
   * One unit: its writes take effect together or not at all. Returns the ticket of the group it went into; commits made
   * in one synchronous stretch share a group. Allocates no promise. A unit that cannot be written calls `onFailure`
   * once, before the group's `onCommitted`: with `storage/statement-failed` if the unit itself is at fault (the others
   * of the group are unharmed), with `storage/failing` if the storage is. Without `onFailure` a refused unit is lost
   * in silence, so leave it out only where that is right. Throws `storage/closed` after `close`.
   */
  commit(unit: readonly Write[], onFailure?: (error: CodedError) => void): Ticket;
  /** Commits and resolves when the unit is on disk; rejects with what `onFailure` would get. For rare paths. */
  write(unit: readonly Write[]): Promise<void>;
  /** Highest ticket that is on disk. A lower ticket whose group failed was told by `onCommitted` with `failed`. */
  readonly committed: Ticket;
  /** Calls the listener after each group, once, in order. `failed`: no unit of it was written. Returns the way to stop. */
  onCommitted(listener: (ticket: Ticket, failed: boolean) => void): () => void;
  /** Resolves when the group is on disk, at once if it is; rejects with `storage/failing` if it failed. For rare paths. */
  settled(ticket: Ticket): Promise<void>;
  /**
   * Rows, after everything committed so far is on disk (or has failed), so that callers read their own writes. Blobs are
   * views on a shared buffer: copy what is kept for long. Rejects with `storage/read-failed`.
   */
  read<P extends readonly SqlValue[], R>(statement: ReadStatement<P, R>, ...params: P): Promise<R[]>;
  /** True while more waits than the bound allows: stop reading from senders until `onRelief`. Commits are never refused. */
  readonly congested: boolean;
  /** Calls the listener once each time `congested` ends, when what waits fell below half the bound. */
  onRelief(listener: () => void): () => void;
  readonly health: StorageHealth;
  onHealth(listener: (health: StorageHealth) => void): () => void;
  /**
   * Long work in slices behind the stanzas. `step` runs one unit in a transaction of its own when no group waits (at the
   * latest after 16 groups) and returns the rows it changed. It hands over how many rows to touch so that a slice lasts
   * at most 10 ms; it learns that from the slices before.
   *
   *     await storage.bulk(async (step) => {
   *       while ((await step((rows) => [purge.with(before, rows)])) > 0);
   *     });
   */
  bulk<T>(job: (step: BulkStep) => Promise<T>): Promise<T>;
  /** Writes a consistent copy of the database to `path`, which must not exist. Readers and writer go on meanwhile. */
  snapshot(path: string): Promise<void>;
  /** Lets everything that waits run dry, then closes. */
  close(): Promise<void>;
}

export type BulkStep = (unit: (rows: number) => readonly Write[]) => Promise<number>;

export interface StorageOptions {
  /** Database file, or ":memory:". Created, with mode 0600, if missing. */
  readonly path: string;
  readonly migrations: readonly Migration[];
  readonly clock: StorageClock;
  /** Written beside each migration, so that an older program can say which version the data needs. */
  readonly programVersion: string;
  /** "full" (default): a commit survives power loss. "normal": it survives kill -9 only. */
  readonly synchronous?: "full" | "normal";
  /** What may wait before `congested`; 20,000 writes and 8 MiB by default. */
  readonly bound?: { readonly writes: number; readonly bytes: number };
  /** Called if a storage thread dies, which only a fault in Node or SQLite can bring about. Default: throws, so the process ends. */
  readonly onLost?: (error: CodedError) => void;
  readonly testing?: StorageTesting;
}

/** Ways for tests to make the storage fail or wait. */
export interface StorageTesting {
  /** Asked before each group and each probe: true makes it fail as a full disk would. */
  readonly failWrites?: () => boolean;
  /** Asked before each group: the group is handed to the writer only when the promise resolves. */
  readonly holdWrites?: (ticket: Ticket) => Promise<void> | undefined;
  /** SQLite's own limit of the file, in pages of 4 KiB: a real "database or disk is full". */
  readonly maxPages?: number;
}
