/** Which old lines of the journal nothing rests on any more. docs/apply.md. */
import type { SealedEntry } from "./journal-entries.ts";

/**
 * How many lines may go from the front: all older than `before`, none that a hold, a freeze, an order or a `pinned`
 * revision rests on, and only whole applies: what stays begins with an intent.
 */
export function droppable(
  entries: readonly SealedEntry[],
  before: Date,
  pinned: readonly (number | undefined)[],
): number {
  const young = entries.findIndex((one) => Date.parse(one.at) >= before.getTime());
  const lastOf = (...kinds: SealedEntry["is"][]) => entries.findLastIndex((one) => kinds.includes(one.is));
  const pins = (at: number, kind: SealedEntry["is"]) => (entries[at]?.is === kind ? at : -1);
  const held = lastOf("held", "resumed", "expired");
  const standing = [
    entries[held]?.is === "resumed" ? -1 : held,
    pins(lastOf("frozen", "unfrozen"), "frozen"),
    pins(lastOf("ordered", "held", "intent"), "ordered"),
    ...pinned.map((revision) =>
      entries.findLastIndex((one) => (one.is === "intent" || one.is === "found") && one.revision === revision),
    ),
  ].filter((at) => at >= 0);
  const most = Math.min(young === -1 ? entries.length : young, ...standing);
  for (let at = most; at > 0; at--) {
    const one = entries[at];
    if (one?.is === "intent" || one?.is === "found") return at;
  }
  return 0;
}
