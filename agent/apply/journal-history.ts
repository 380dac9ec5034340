/** What the journal's lines come to: one line for each revision, a confirmation that is awaited, a freeze. */
import type { RevisionLine, SealedEntry } from "./journal-entries.ts";

export interface HistoryFilter {
  /** Milliseconds since the epoch. */
  readonly since?: number | undefined;
  /** Part of a name, capitals make no difference. */
  readonly by?: string | undefined;
}

/** Newest first. */
export function revisionLines(entries: readonly SealedEntry[], { since, by }: HistoryFilter = {}): RevisionLine[] {
  const lines = new Map<number, RevisionLine>();
  const more = (revision: number, facts: Partial<RevisionLine>) => {
    const line = lines.get(revision);
    if (line) lines.set(revision, { ...line, ...facts });
  };
  for (const one of entries) {
    switch (one.is) {
      case "intent": {
        const { revision, at, by: who, cause, impact, changes, from, asked } = one;
        const where = { ...(from === undefined ? {} : { from }), ...(asked === undefined ? {} : { asked }) };
        lines.set(revision, { revision, at, by: who, cause, impact, changes, result: "in progress", ...where });
        break;
      }
      case "found": {
        const { revision, at, why: cause } = one;
        const facts = { by: "server", cause, impact: "none", changes: [], result: "found" as const };
        if (!lines.has(revision)) lines.set(revision, { revision, at, ...facts });
        break;
      }
      case "applied":
        more(one.revision, { result: one.is, ...(one.tookMs === undefined ? {} : { applyMs: one.tookMs }) });
        break;
      case "proven":
        more(one.revision, { result: one.is, ...(one.tookMs === undefined ? {} : { verifyMs: one.tookMs }) });
        break;
      case "broken":
      case "undone":
        more(one.revision, { result: one.is, why: one.why });
        break;
      case "awaits":
        more(one.revision, { confirmation: "awaited" });
        break;
      case "confirmed":
        more(one.revision, { confirmation: "confirmed" });
        break;
      case "expired":
        more(one.revision, { confirmation: "expired", why: one.why });
    }
  }
  const wanted = by?.toLowerCase();
  return [...lines.values()]
    .filter((one) => since === undefined || Date.parse(one.at) >= since)
    .filter((one) => wanted === undefined || one.by.toLowerCase().includes(wanted))
    .sort((a, b) => b.revision - a.revision);
}

/** A revision in force that returns to `to` unless somebody confirms it until then. */
export interface Confirmation {
  readonly revision: number;
  readonly to: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly ms: number;
  readonly by: string;
}

/**
 * The confirmation that is awaited. The time runs from the end of the verify; where a crash came before that, from the
 * beginning of the apply.
 */
export function awaitedConfirmation(
  entries: readonly SealedEntry[],
  inForce: number | undefined,
): Confirmation | undefined {
  const at = entries.findLastIndex((one) => one.is === "intent" && one.revision === inForce);
  const intent = entries[at];
  if (intent?.is !== "intent" || intent.confirm === undefined) return undefined;
  const { revision, by, confirm } = intent;
  const after = entries.slice(at + 1);
  const over = after.some(
    (one) => (one.is === "confirmed" || one.is === "expired" || one.is === "broken") && one.revision === revision,
  );
  if (over) return undefined;
  const awaits = after.find((one) => one.is === "awaits");
  const until = awaits?.is === "awaits" ? Date.parse(awaits.until) : Date.parse(intent.at) + confirm.ms;
  return { revision, to: confirm.to, until, ms: confirm.ms, by };
}

/** A return that was due and whose end (a hold) is not written: what a crash leaves. */
export function unfinishedReturn(entries: readonly SealedEntry[]): Extract<SealedEntry, { is: "expired" }> | undefined {
  const last = entries.findLast((one) => one.is === "expired" || one.is === "held" || one.is === "resumed");
  return last?.is === "expired" ? last : undefined;
}

/** Who froze, until when, and why; also one whose time is over and not yet ended in the journal. */
export function frozen(entries: readonly SealedEntry[]): Extract<SealedEntry, { is: "frozen" }> | undefined {
  const last = entries.findLast((one) => one.is === "frozen" || one.is === "unfrozen");
  return last?.is === "frozen" ? last : undefined;
}
