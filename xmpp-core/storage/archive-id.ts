/** 1,024 ids per millisecond keep the integers exact until the year 2248. */
const perMs = 1024;

/**
 * Gives strictly increasing safe integers, milliseconds × 1024 + sequence, so that an id says when it was made.
 *
 *     const nextId = archiveIds(clock, 0);   // clock at 1000 ms
 *     nextId();                              // 1024000, then 1024001 …
 *
 * `last` is the highest id ever stored (0 for none). A clock that jumps back, or more than 1,024 ids in a millisecond,
 * makes ids run ahead of the clock, never repeat or fall.
 */
export function archiveIds(clock: { now(): number }, last: number): () => number {
  let latest = last;
  return () => {
    latest = Math.max(latest + 1, Math.floor(clock.now()) * perMs);
    return latest;
  };
}

/** The least id of that ms since 1970: every message taken in before has a lower one. */
export function firstArchiveId(ms: number): number {
  return ms * perMs;
}

/** The time, in ms since 1970, at which an archive id was made (later if the clock had jumped back). */
export function archiveTime(id: number): number {
  return Math.floor(id / perMs);
}
