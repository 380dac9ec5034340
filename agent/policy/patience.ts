/** What has just failed is not tried again with every look: the same plan waits, longer each time, unless a person applies. */
import { createHash } from "node:crypto";
import type { ApplyOutcome } from "../apply/apply.ts";
import { explain } from "../errors.ts";
import type { Plan } from "../plan/types.ts";

export interface Patience {
  /** Why the plan is not tried now, one sentence; undefined if it may be. */
  refuses(plan: Plan): string | undefined;
  saw(plan: Plan, outcome: ApplyOutcome): void;
}

const firstMs = 5_000;
const longestMs = 60 * 60_000;

export function patience(now: () => number): Patience {
  let failed: { plan: string; why: string; until: number; waitMs: number } | undefined;
  return {
    refuses(plan) {
      if (failed?.plan !== fingerprint(plan) || now() >= failed.until) return undefined;
      return `The last try failed: ${failed.why} The next is at ${new Date(failed.until).toISOString()}, or at firekeeper apply.`;
    },
    saw(plan, outcome) {
      if (outcome.is !== "failed") {
        failed = undefined;
        return;
      }
      const same = failed?.plan === fingerprint(plan) ? failed : undefined;
      const waitMs = same ? Math.min(same.waitMs * 2, longestMs) : firstMs;
      failed = { plan: fingerprint(plan), why: explain(outcome.error), until: now() + waitMs, waitMs };
    },
  };
}

/** Of the steps only: another comment in the store is no other plan. The steps hold keys, so only a hash is kept. */
function fingerprint(plan: Plan): string {
  return createHash("sha256")
    .update(JSON.stringify(plan.changes.map((change) => change.steps)))
    .digest("hex");
}
