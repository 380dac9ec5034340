import type { Storage, StorageClock, Ticket } from "./contract.ts";

/**
 * The same storage, which tells of each group of `commit`s how long it took from the first one until it was on disk.
 * A group that failed is not told. Allocates once for each group, nothing for each commit.
 */
export function timedCommits(
  storage: Storage,
  clock: Pick<StorageClock, "now">,
  report: { committed(tookMs: number): void },
): Storage {
  const waiting: { readonly ticket: Ticket; readonly since: number }[] = [];
  let newest: Ticket = 0;
  storage.onCommitted((ticket, failed) => {
    while (waiting[0] !== undefined && waiting[0].ticket <= ticket) {
      const { since } = waiting[0];
      waiting.shift();
      if (!failed) report.committed(clock.now() - since);
    }
  });
  const commit: Storage["commit"] = (unit, onFailure) => {
    const ticket = storage.commit(unit, onFailure);
    if (ticket > newest) {
      newest = ticket;
      waiting.push({ ticket, since: clock.now() });
    }
    return ticket;
  };
  return Object.create(storage, { commit: { value: commit } }) as Storage;
}
