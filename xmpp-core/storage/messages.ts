import type { Migration } from "./migrations.ts";
import type { Packed } from "./pack.ts";

/** What the main thread and the storage threads say to each other: one message per group each way. */
export type ToWorker =
  | OpenMessage
  | GroupMessage
  | ReadMessage
  | { readonly kind: "probe" | "close" }
  | SnapshotMessage;

export interface OpenMessage {
  readonly kind: "open";
  readonly path: string;
  readonly role: "writer" | "reader" | "both" | "snapshot";
  readonly synchronous: "full" | "normal";
  readonly migrations: readonly Migration[];
  readonly programVersion: string;
  readonly nowMs: number;
  readonly maxPages: number | undefined;
}

export interface SnapshotMessage {
  readonly kind: "snapshot";
  readonly into: string;
}

/** Texts of statements the thread has not met: number, text, number, text … */
export type NewStatements = readonly (number | string)[] | undefined;

/** Units in one transaction. `units` holds how many statements each unit has. */
export interface GroupMessage extends Packed {
  readonly kind: "group";
  readonly units: readonly number[];
  readonly statements: NewStatements;
}

/** Queries, answered in order. */
export interface ReadMessage extends Packed {
  readonly kind: "read";
  readonly count: number;
  readonly statements: NewStatements;
}

/** An error as it crosses between threads. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
  readonly fields: Record<string, string | number | boolean | undefined>;
  readonly hint: string | undefined;
}

export type FromWorker =
  | { readonly kind: "opened" | "closed" | "snapshot" }
  | { readonly kind: "refused"; readonly error: PlainError }
  | GroupResult
  | ReadResult;

/** A number, of rows changed, when all went well: nothing else crosses for an ordinary group. */
export type GroupResult = number | GroupTrouble;

export type GroupTrouble =
  | {
      readonly kind: "units-failed";
      readonly changes: number;
      readonly failed: readonly { unit: number; error: PlainError }[];
    }
  | { readonly kind: "storage-failed"; readonly error: PlainError };

/**
 * Results of one or more queries in order. Per query: number of rows, statement number, values row by row; or −1 for the
 * next of `errors`. `columns` names the columns of statements answered for the first time.
 */
export interface ReadResult extends Packed {
  readonly kind: "rows";
  readonly count: number;
  readonly columns: readonly (readonly [statement: number, names: readonly string[]])[] | undefined;
  readonly errors: readonly PlainError[] | undefined;
}
