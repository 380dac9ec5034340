/** Says "look again": a session of its own that listens where it can, and asks the cheap change query in between. */
import type { SqlDatabase, SqlSession, Table } from "./connection.ts";

export interface Watched {
  readonly database: SqlDatabase;
  readonly channel: string | undefined;
  readonly changeQuery: string | undefined;
  readonly pollMs: number;
  /** What the change query said at the last read that was whole. */
  readonly seen: () => string | undefined;
  /** Between attempts, in ms: the first, and the longest. */
  readonly backoff?: { readonly firstMs: number; readonly mostMs: number };
}

/**
 * Calls back for every notification and every new answer of the change query; when the database goes, so that its state
 * shows; and when it is back, since what happened meanwhile was heard by nobody. The query also tells a dead session from
 * a quiet one. Returns the way to stop.
 */
export function watchDatabase(watched: Watched, lookAgain: (cause: string) => void): () => Promise<void> {
  const { database, channel, changeQuery, pollMs, seen, backoff = { firstMs: 250, mostMs: 15_000 } } = watched;
  const name = database.describe();
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => stopping.signal.addEventListener("abort", () => resolve()));
  let session: SqlSession | undefined;
  let said: string | undefined;

  const pause = async (ms: number, ...others: Promise<void>[]) => {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([over, stopped, ...others]);
    clearTimeout(timer);
  };

  const follow = async (open: SqlSession): Promise<void> => {
    let ended = false;
    const lost = open.lost.then(() => {
      ended = true;
    });
    while (!stopping.signal.aborted && !ended) {
      const answer = answerOf(await open.rows("change", changeQuery ?? "SELECT 1 AS alive"));
      if (changeQuery !== undefined && answer !== seen() && answer !== said) lookAgain(`${name} changed`);
      said = answer;
      await pause(pollMs, lost);
    }
    if (ended && !stopping.signal.aborted) throw new Error("the session ended");
  };

  const run = async (): Promise<void> => {
    let failures = 0;
    while (!stopping.signal.aborted) {
      try {
        session = await database.connect();
        if (channel !== undefined) await session.listen(channel, () => lookAgain(`${name} notified ${channel}`));
        if (failures > 0) lookAgain(`${name} is back`);
        failures = 0;
        await follow(session);
      } catch {
        if (stopping.signal.aborted) break;
        if (failures++ === 0) lookAgain(`${name} is away`);
        await pause(Math.min(backoff.firstMs * 2 ** (failures - 1), backoff.mostMs));
      } finally {
        await session?.close();
        session = undefined;
      }
    }
  };

  const running = run();
  return async () => {
    stopping.abort();
    await session?.close();
    await running;
  };
}

/** What a change query said, whatever its shape; undefined if nothing but NULL, which says neither yes nor no. */
export function answerOf(table: Table): string | undefined {
  return table.rows.some((row) => row.some((cell) => cell !== null)) ? tableText(table) : undefined;
}

export function tableText({ rows }: Table): string {
  return JSON.stringify(rows, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}
