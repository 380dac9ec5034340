/** The part of node:sqlite and better-sqlite3 that a lock needs. */
interface Database {
  exec(sql: string): unknown;
  close(): unknown;
}

/**
 * Exclusive use of a home: a held `BEGIN EXCLUSIVE` on a file of its own, which the kernel releases however we end.
 *
 * @returns the release, or undefined when another process holds it
 */
export async function holdLock(path: string): Promise<(() => void) | undefined> {
  const database = await open(path);
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (/locked|busy/i.test(error instanceof Error ? error.message : "")) return undefined;
    throw error;
  }
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
