import { createRequire } from "node:module";

/** What a statement takes and what a row holds. Integers in rows are numbers, exact up to 2^53; blobs are Uint8Array. */
export type SqlValue = string | number | bigint | null | Uint8Array;

/** One connection, synchronous. Both drivers behave the same here; test/unit/storage-driver.test.ts is the contract. */
export interface Database {
  exec(sql: string): void;
  prepare(sql: string): Prepared;
  close(): void;
}

export interface Prepared {
  /** Column names; empty for a statement that yields no rows. */
  readonly columns: readonly string[];
  /** Runs a statement for its effect and returns the number of rows it changed. */
  run(params: readonly SqlValue[]): number;
  /** All rows, each as its values in the order of `columns`. */
  rows(params: readonly SqlValue[]): SqlValue[][];
}

export interface Driver {
  readonly name: "node:sqlite" | "better-sqlite3";
  /** Opens or creates a database file. Errors of any call carry SQLite's own; see `sqliteCode`. */
  open(path: string, options?: { readOnly?: boolean }): Database;
}

interface NativeStatement {
  run(...params: readonly SqlValue[]): { changes: number | bigint };
  all(...params: readonly SqlValue[]): unknown[];
  columns(): { name: string }[];
}

const require = createRequire(import.meta.url);

/** `node:sqlite` where Node has it without a warning (24 and newer), else better-sqlite3. Synchronous: it loads no file of ours. */
export function loadDriver(name?: Driver["name"]): Driver {
  const nodeMajor = Number.parseInt(process.versions.node, 10);
  return (name ?? (nodeMajor >= 24 ? "node:sqlite" : "better-sqlite3")) === "node:sqlite"
    ? nodeSqlite()
    : betterSqlite();
}

interface NodeStatement extends NativeStatement {
  setReturnArrays(enabled: boolean): void;
}
interface NodeModule {
  DatabaseSync: new (
    path: string,
    options: { readOnly?: boolean; enableForeignKeyConstraints: boolean },
  ) => { exec(sql: string): void; prepare(sql: string): NodeStatement; close(): void };
}

function nodeSqlite(): Driver {
  const { DatabaseSync } = require("node:sqlite") as NodeModule;
  return {
    name: "node:sqlite",
    open(path, { readOnly = false } = {}) {
      const database = new DatabaseSync(path, { readOnly, enableForeignKeyConstraints: true });
      return {
        exec: (sql) => database.exec(sql),
        prepare(sql) {
          const statement = database.prepare(sql);
          const columns = statement.columns().map((column) => column.name);
          if (columns.length > 0) statement.setReturnArrays(true);
          return {
            columns,
            run: (params) => Number(statement.run(...params).changes),
            rows: (params) => statement.all(...params) as SqlValue[][],
          };
        },
        close: () => database.close(),
      };
    },
  };
}

interface BetterStatement extends NativeStatement {
  readonly reader: boolean;
  raw(enabled: boolean): BetterStatement;
}
type BetterModule = new (
  path: string,
  options: { readonly?: boolean; timeout: number },
) => { exec(sql: string): unknown; prepare(sql: string): BetterStatement; close(): unknown };

function betterSqlite(): Driver {
  const BetterSqlite = require("better-sqlite3") as BetterModule;
  return {
    name: "better-sqlite3",
    open(path, { readOnly = false } = {}) {
      const database = new BetterSqlite(path, { readonly: readOnly, timeout: 0 });
      return {
        exec: (sql) => void database.exec(sql),
        prepare(sql) {
          const statement = database.prepare(sql);
          const columns = statement.reader ? statement.columns().map((column) => column.name) : [];
          if (statement.reader) statement.raw(true);
          return {
            columns,
            run: (params) => Number(statement.run(...params).changes),
            rows: (params) => (statement.reader ? statement.all(...params) : []) as SqlValue[][],
          };
        },
        close: () => void database.close(),
      };
    },
  };
}

// SQLite's primary result codes (https://sqlite.org/rescode.html), in order of their number; node:sqlite gives the number only.
const primaryCodes =
  "OK ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB".split(
    " ",
  );

/** The primary result code behind a driver's error, as in "FULL" or "CONSTRAINT"; undefined if SQLite did not raise it. */
export function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errcode } = error as Error & { code?: unknown; errcode?: unknown };
  if (typeof errcode === "number") return primaryCodes[errcode & 0xff];
  return typeof code === "string" && code.startsWith("SQLITE_") ? code.split("_")[1] : undefined;
}

const storageCodes = new Set([
  "IOERR",
  "FULL",
  "CANTOPEN",
  "READONLY",
  "CORRUPT",
  "NOTADB",
  "NOMEM",
  "BUSY",
  "LOCKED",
  "PROTOCOL",
]);

/** True if the storage itself cannot do its work, false if only this statement and its values are at fault. */
export function isStorageFault(error: unknown): boolean {
  return storageCodes.has(sqliteCode(error) ?? "");
}
