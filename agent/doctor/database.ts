/** The server's database, looked at without writing. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { explain } from "../errors.ts";
import type { Facts } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

const bigLog = 256 * 1024 ** 2;

/** While the server runs it is asked; else SQLite reads the file. */
export async function checkDatabase({ place: { home }, server }: Facts): Promise<Verdict[]> {
  const path = join(home, "core.db");
  if ((await stat(path).catch(() => undefined)) === undefined)
    return [verdict("database.integrity", "skipped", path, "There is no database here yet.")];
  const log = await stat(`${path}-wal`).catch(() => undefined);
  const size = Math.floor((log?.size ?? 0) / 1024);
  const wal =
    (log?.size ?? 0) > bigLog
      ? verdict("database.log", "warn", `${path}-wal`, `${size} kB wait to be written back.`, "firekeeper restart")
      : verdict("database.log", "ok", `${path}-wal`, `${size} kB.`);
  if (server !== undefined) {
    const good = server.storage === "ok";
    const fix = good ? undefined : "make room on the disk; firekeeper status; docs/operations.md";
    return [verdict("database.integrity", good ? "ok" : "fail", path, `The server says: ${server.storage}.`, fix), wal];
  }
  return [...(await read(path)), wal];
}

async function read(path: string): Promise<Verdict[]> {
  const { default: BetterSqlite } = await import("better-sqlite3");
  const broken = "stop the service and restore a backup: firekeeper restore FILE --home DIRECTORY";
  try {
    const database = new BetterSqlite(path, { readonly: true, fileMustExist: true, timeout: 1000 });
    try {
      const answers = database.pragma("quick_check(5)", { simple: false }) as { quick_check: string }[];
      const said = answers.map((one) => one.quick_check).join("; ");
      const whole = verdict(
        "database.integrity",
        said === "ok" ? "ok" : "fail",
        path,
        said === "ok" ? "quick_check finds nothing." : said,
        said === "ok" ? undefined : broken,
      );
      return [whole, newest(path, database)];
    } finally {
      database.close();
    }
  } catch (error) {
    const said = explain(error);
    const fix = /locked|busy/.test(said) ? "another process has it open: look again when it has ended" : broken;
    return [verdict("database.integrity", "fail", path, `Cannot be read: ${said}.`, fix)];
  }
}

function newest(path: string, database: { prepare(text: string): { get(): unknown } }): Verdict {
  const row = database
    .prepare("SELECT name, program_version AS version FROM migration ORDER BY name DESC LIMIT 1")
    .get() as { name: string; version: string } | undefined;
  if (row === undefined)
    return verdict("database.migrations", "warn", path, "No migration has run.", "start the service once");
  return verdict("database.migrations", "ok", path, `${row.name}, of ${row.version} or later.`);
}
