/** What the two databases have in common: a session of a database, and how to get one. */
import type { StoreError } from "../host-store.ts";

/** A result, whole. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** One session. After any error it is closed, never used again. */
export interface SqlSession {
  /** Begins a transaction that sees one moment of the database and writes nothing. */
  beginRead(): Promise<void>;
  /** `name` tells prepared statements apart. Rejects with the driver's error. */
  rows(name: string, statement: string): Promise<Table>;
  endRead(): Promise<void>;
  /** One statement in a transaction of its own that must touch one row; gives how many it touched, undone unless one. */
  write(statement: string, values: readonly string[]): Promise<number>;
  /** Whether notifications on this channel are called back from now on; false where the server has none to give. */
  listen(channel: string, notified: () => void): Promise<boolean>;
  /** Resolves when the session is over, for whatever reason. */
  readonly lost: Promise<void>;
  close(): Promise<void>;
}

/** What an error of the driver came from, for the sentence to people. */
export interface Doing {
  /** `table pbx.users`, `the query of users`, `the change query`; absent while connecting. */
  readonly source?: string;
  /** Rows were being written: nothing of the server's own words is passed on, they may quote the new password. */
  readonly writes?: boolean;
}

export interface SqlDatabase {
  describe(): string;
  connect(): Promise<SqlSession>;
  quote(identifier: string): string;
  /** `$1`, `?`. */
  placeholder(index: number): string;
  /** Whether the session simply ended, or outlived a change of the tables: another one may do. */
  worthAnother(error: unknown): boolean;
  explain(error: unknown, doing: Doing): StoreError;
}

/** How long things may take, and by what they are made safe. */
export interface SessionOptions {
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** Read anew at each connect, so that a changed file needs no restart. */
  readonly password: () => Promise<string | undefined>;
  readonly tls: TlsMode;
}

/** `verify`: chain and host name. `encrypt`: whoever answers. */
export type TlsMode =
  | { readonly mode: "off" }
  | { readonly mode: "verify" | "encrypt"; readonly ca: string | undefined };
