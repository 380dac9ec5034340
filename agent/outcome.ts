/** What an apply came to and how the agent stands, as people and programs are told. */
import { explain } from "./errors.ts";
import { changeDocument, planDocument } from "./plan/render.ts";
import type { Plan, PlanDocument, PlannedChange } from "./plan/types.ts";
import type { Outcome, Parts } from "./reconcile.ts";

/** What `--json` prints for plan, apply and rollback. */
export interface OutcomeDocument {
  readonly is: Outcome["is"];
  readonly plan: PlanDocument;
  /** Revision that was applied, or that broke something. */
  readonly revision?: number;
  /** Revision whose content is in force again. */
  readonly to?: number;
  readonly why?: readonly string[];
  /** When it goes back by itself unless it is confirmed (ISO time). */
  readonly confirmBy?: string;
  readonly done?: readonly string[];
  /** What was applied, when it is less than the plan. */
  readonly applied?: PlanDocument["changes"];
}

/** Notices about a change, which are over when it is done. */
export const ofTheChange = new Set(["plan/migration", "plan/returns", "plan/other-person", "plan/stays-removed"]);

/** What was planned and is not in force. */
export function pending(last: Outcome | undefined): readonly PlannedChange[] {
  if (!last || last.is === "in step" || last.is === "unproven") return [];
  if (last.is !== "applied") return last.plan.changes;
  const applied = new Set(last.applied.changes);
  return last.plan.changes.filter((one) => !applied.has(one));
}

export interface StatusDocument {
  readonly mode: string;
  readonly held: string | null;
  /** Nothing is applied; `until` null: until somebody says unfreeze. */
  readonly frozen: {
    readonly by: string;
    readonly since: string;
    readonly until: string | null;
    readonly reason: string | null;
  } | null;
  /** The revision in force that somebody has to confirm, else revision `to` returns. */
  readonly confirmation: { readonly revision: number; readonly to: number; readonly until: string } | null;
  /** Maintenance windows, what waits for them, and when the next one opens; `openUntil` while one is open. */
  readonly window: {
    readonly text: string;
    readonly impacts: readonly string[];
    readonly openUntil: string | null;
    readonly opens: string | null;
  } | null;
  readonly store: string;
  readonly pending: PlanDocument["changes"];
  readonly why: readonly string[];
  readonly rejected: PlanDocument["rejected"];
  readonly notices: PlanDocument["notices"];
  readonly lastError: { readonly code: string; readonly message: string } | null;
  readonly journal: { readonly revision: number; readonly proven: number; readonly head: string };
  readonly agent: { readonly pid: number };
  readonly server: Awaited<ReturnType<Parts["target"]["status"]>> | { readonly unreachable: string };
}

export function outcomeDocument(outcome: Outcome): OutcomeDocument {
  const common = { is: outcome.is, plan: planDocument(outcome.plan) };
  switch (outcome.is) {
    case "waiting":
      return { ...common, why: outcome.why };
    case "applied":
      return {
        ...common,
        revision: outcome.revision,
        ...(outcome.confirmBy === undefined ? {} : { confirmBy: outcome.confirmBy }),
        done: outcome.done,
        applied: outcome.applied.changes.map(changeDocument),
      };
    case "failed":
      return { ...common, why: [explain(outcome.error)] };
    case "rolled back":
      return { ...common, revision: outcome.revision, to: outcome.to, why: [outcome.why] };
    case "unproven":
      return { ...common, revision: outcome.revision, why: [outcome.why] };
    default:
      return common;
  }
}

/** `It is live as revision 7.` */
export function outcomeSentence(outcome: Outcome): string {
  switch (outcome.is) {
    case "in step":
      return outcome.plan.rejected.length > 0 ? rejectedSentence(outcome.plan) : "The server is as the host wants it.";
    case "waiting":
      return ["It waits.", ...outcome.why].join(" ");
    case "applied":
      return [`It is live as revision ${outcome.revision}.`, rejectedSentence(outcome.plan)].join(" ").trim();
    case "failed":
      return `It is not live: ${explain(outcome.error)}`;
    case "rolled back":
      return `It broke something and revision ${outcome.to} is in force again: ${outcome.why}.`;
    case "unproven":
      return `It is in force as revision ${outcome.revision}, but not proven: ${outcome.why}.`;
  }
}

function rejectedSentence({ rejected }: Pick<Plan, "rejected">): string {
  const [first] = rejected;
  if (!first) return "";
  const more = rejected.length > 1 ? ` ${rejected.length - 1} more: firekeeper plan.` : "";
  return `Rejected, what was in force stays: ${first.key} must be ${first.rule}. ${first.hint}${more}`;
}
