/** One agent for one home: a held SQLite `BEGIN EXCLUSIVE`, which the kernel lets go however the holder ends. docs/architecture.md "Three processes". */
import { readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { CodedError } from "../errors.ts";

interface Database {
  exec(sql: string): unknown;
  close(): unknown;
}

/** Returns the release. Throws `agent/home-in-use`, naming the holder, when another agent has this home. */
export async function lockHome(home: string): Promise<() => void> {
  const database = await open(join(home, "agent.lock.db"));
  const holderFile = join(home, "agent.holder");
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!/locked|busy/i.test(error instanceof Error ? error.message : "")) throw error;
    // Only for the message: what counts is the lock.
    const holder = (await readFile(holderFile, "utf8").catch(() => "another process")).trim();
    throw new CodedError("agent/home-in-use", `Another agent has this home, ${home}: ${holder}.`, {
      hint: "Stop that one, or set FIREKEEPER_HOME to another directory.",
      fields: { home, holder },
    });
  }
  const since = new Date().toISOString();
  await writeFile(holderFile, `process ${process.pid} on ${hostname()}, since ${since}\n`, { mode: 0o600 });
  return () => {
    database.exec("ROLLBACK");
    database.close();
  };
}

// node:sqlite is steady from Node 24 on; before, better-sqlite3 does it (docs/architecture.md).
async function open(path: string): Promise<Database> {
  if (Number(process.versions.node.split(".")[0]) >= 24) {
    const builtIn = "node:sqlite";
    const { DatabaseSync } = (await import(builtIn)) as { DatabaseSync: new (path: string) => Database };
    return new DatabaseSync(path);
  }
  const { default: BetterSqlite } = await import("better-sqlite3");
  return new BetterSqlite(path, { timeout: 0 });
}
