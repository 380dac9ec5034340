import { existsSync, renameSync, rmSync } from "node:fs";
import { CodedError } from "../errors.ts";
import type { Database } from "./driver.ts";
import { createPrivate, syncDirectoryOf, syncFile } from "./files.ts";

/** One step of the schema, forward only. Declared by the module whose tables it makes. */
export interface Migration {
  /** Order and identity: a number and a word, as in "0003_roster". Never changes once released. */
  readonly name: string;
  /** One or more statements; all that is pending runs in one transaction, foreign keys are checked after each. */
  readonly sql: string;
}

export interface MigrationContext {
  readonly file: string;
  readonly programVersion: string;
  readonly nowMs: number;
}

/**
 * Brings the schema up to date and returns the names of what was applied.
 *
 *  in the database      | in the program          | what happens
 *  ---------------------|-------------------------|------------------------------------------------------------
 *  nothing              | 0001, 0002              | both applied
 *  0001                 | 0001, 0002              | copy of the file beside it (`.before-0002…`), then 0002 applied
 *  0001, 0002           | 0001                    | `storage/newer-than-program`, nothing touched
 *  0002                 | 0001, 0002              | `storage/migration-order`: 0001 came too late, nothing touched
 *  0001                 | 0001, 0002, faulty 0003 | `storage/migration-failed`, the database stays at 0001
 */
export function migrate(database: Database, migrations: readonly Migration[], context: MigrationContext): string[] {
  const ordered = inOrder(migrations);
  const applied = appliedMigrations(database);
  refuseNewer(applied, ordered, context);
  const pending = ordered.filter((migration) => !applied.has(migration.name));
  refuseLate(applied, pending, context);
  const [first] = pending;
  if (first === undefined) return [];
  if (applied.size > 0 && context.file !== ":memory:") copyBefore(database, first, context.file);
  // Rebuilding a table that others refer to needs the constraint off; it is checked before each commit instead.
  database.exec("PRAGMA foreign_keys = OFF");
  try {
    // In one transaction: a fresh start syncs once, and the former program goes on with what a failed upgrade leaves.
    database.exec("BEGIN IMMEDIATE");
    database.exec(
      "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL, program_version TEXT NOT NULL) STRICT, WITHOUT ROWID",
    );
    for (const migration of pending) attempt(migration, context, () => applyOne(database, migration, context));
    attempt(pending.at(-1) ?? first, context, () => database.exec("COMMIT"));
  } catch (error) {
    rollback(database);
    throw error;
  } finally {
    database.exec("PRAGMA foreign_keys = ON");
  }
  return pending.map((migration) => migration.name);
}

function inOrder(migrations: readonly Migration[]): Migration[] {
  const ordered = [...migrations].sort((a, b) => (a.name < b.name ? -1 : 1));
  ordered.forEach((migration, index) => {
    if (!/^\d{4}_[a-z0-9-]+$/.test(migration.name) || migration.name === ordered[index - 1]?.name) {
      throw new CodedError(
        "storage/migration-name",
        `The migration name "${migration.name}" is malformed or used twice.`,
        {
          fields: { migration: migration.name },
          hint: 'Names are unique and look like "0003_roster".',
        },
      );
    }
  });
  return ordered;
}

function appliedMigrations(database: Database): Map<string, string> {
  const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'").rows([]);
  if (known.length === 0) return new Map();
  const rows = database.prepare("SELECT name, program_version FROM migration ORDER BY name").rows([]);
  return new Map(rows.map(([name, version]) => [String(name), String(version)]));
}

function refuseNewer(applied: Map<string, string>, ordered: readonly Migration[], context: MigrationContext): void {
  const known = new Set(ordered.map((migration) => migration.name));
  const unknown = [...applied].filter(([name]) => !known.has(name));
  const [first, last] = [unknown[0], unknown.at(-1)];
  if (first === undefined || last === undefined) return;
  const copy = copyName(context.file, first[0]);
  throw new CodedError(
    "storage/newer-than-program",
    `The database ${context.file} was written by version ${last[1]}; this is version ${context.programVersion}, which does not know "${first[0]}".`,
    {
      fields: {
        file: context.file,
        databaseVersion: last[1],
        programVersion: context.programVersion,
        migration: first[0],
      },
      hint: existsSync(copy)
        ? `Nothing was changed. Start version ${last[1]} or newer, or go back to the state before it with the copy ${copy}.`
        : `Nothing was changed. Start version ${last[1]} or newer, or restore a backup made by version ${context.programVersion}.`,
    },
  );
}

function refuseLate(applied: Map<string, string>, pending: readonly Migration[], context: MigrationContext): void {
  const newest = [...applied.keys()].at(-1);
  const late = pending.find((migration) => newest !== undefined && migration.name < newest);
  if (late === undefined) return;
  throw new CodedError(
    "storage/migration-order",
    `The migration "${late.name}" sorts before "${newest}", which ${context.file} already has.`,
    {
      fields: { file: context.file, migration: late.name, newest },
      hint: "This is a mistake in the program: a new migration needs a number above all released ones.",
    },
  );
}

function copyName(file: string, migration: string): string {
  return `${file}.before-${migration}`;
}

function copyBefore(database: Database, first: Migration, file: string): void {
  const copy = copyName(file, first.name);
  const partial = `${copy}.partial`;
  rmSync(partial, { force: true });
  createPrivate(partial);
  database.prepare("VACUUM INTO ?").run([partial]);
  syncFile(partial);
  renameSync(partial, copy);
  syncDirectoryOf(copy);
}

function applyOne(database: Database, migration: Migration, context: MigrationContext): void {
  database.exec(migration.sql);
  const broken = database.prepare("PRAGMA foreign_key_check").rows([]);
  if (broken.length > 0) throw new Error(`${broken.length} rows refer to rows that do not exist`);
  database
    .prepare("INSERT INTO migration (name, applied_at, program_version) VALUES (?, ?, ?)")
    .run([migration.name, context.nowMs, context.programVersion]);
}

/** Says which migration it was that failed. */
function attempt(migration: Migration, context: MigrationContext, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw new CodedError(
      "storage/migration-failed",
      `The migration "${migration.name}" of ${context.file} failed: ${error instanceof Error ? error.message : error}.`,
      {
        fields: { file: context.file, migration: migration.name, programVersion: context.programVersion },
        hint: "The database is as it was before the upgrade.",
        cause: error,
      },
    );
  }
}

function rollback(database: Database): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // SQLite has rolled back by itself, as it does after an I/O error.
  }
}
