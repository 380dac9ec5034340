/** How the agent stands besides mode and hold: a freeze, a confirmation that is awaited, the maintenance windows. */
import { frozen } from "./apply/journal-history.ts";
import type { StatusDocument } from "./outcome.ts";
import { shortTime } from "./policy/duration.ts";
import type { Parts } from "./reconcile.ts";

/** `Frozen by alice until 2026-11-24T06:00Z: Black Friday.` */
export function frozenSentence({ by, until, reason }: { by: string; until: string | null; reason: string | null }) {
  const end = until === null ? "" : ` until ${shortTime(Date.parse(until))}`;
  return `Frozen by ${by}${end}${reason === null ? "" : `: ${reason.replace(/\.$/, "")}`}. Nothing is applied.`;
}

export function awaitsSentence({ confirmation }: Pick<Parts["journal"], "confirmation">): string | undefined {
  if (!confirmation) return undefined;
  const { revision, to, until } = confirmation;
  return `Revision ${revision} waits to be confirmed until ${shortTime(until, "s")}, else revision ${to} returns.`;
}

type Facts = Pick<Parts, "journal" | "policy" | "now">;

export function freezeOf({ journal, now }: Facts): StatusDocument["frozen"] {
  const freeze = frozen(journal.entries);
  if (!freeze || (freeze.until !== null && Date.parse(freeze.until) <= now())) return null;
  const { by, at: since, until, reason } = freeze;
  return { by, since, until, reason };
}

export function confirmationOf({ journal }: Facts): StatusDocument["confirmation"] {
  const awaited = journal.confirmation;
  if (!awaited) return null;
  const { revision, to, until } = awaited;
  return { revision, to, until: new Date(until).toISOString() };
}

export function windowOf({ policy: { windows }, now }: Facts): StatusDocument["window"] {
  if (!windows) return null;
  const iso = (at: number | undefined) => (at === undefined ? null : new Date(at).toISOString());
  const { text, impacts } = windows;
  const at = now();
  return { text, impacts: [...impacts], openUntil: iso(windows.openUntil(at)), opens: iso(windows.nextOpening(at)) };
}

/** The same for the console. */
export function standingSentences(facts: Facts): {
  frozen: string | null;
  awaits: string | null;
  window: string | null;
} {
  const freeze = freezeOf(facts);
  const windows = windowOf(facts);
  return {
    frozen: freeze && frozenSentence(freeze),
    awaits: awaitsSentence(facts.journal) ?? null,
    window: windows && windowSentence(windows),
  };
}

/** `maintenance window 0 2 * * * for 2h (UTC) for restart and migrate: opens at …` */
export function windowSentence({ text, impacts, openUntil, opens }: NonNullable<StatusDocument["window"]>): string {
  const state = openUntil === null ? `opens at ${opens ?? "no time to come"}` : `open until ${openUntil}`;
  return `maintenance window ${text} for ${impacts.join(" and ")}: ${state}`;
}

/** When something ends by itself: ms since the epoch. */
export function nextDeadline({ journal }: Facts): number | undefined {
  const ends = [journal.confirmation?.until];
  const freeze = frozen(journal.entries);
  if (freeze?.until) ends.push(Date.parse(freeze.until));
  const known = ends.filter((end) => end !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}
