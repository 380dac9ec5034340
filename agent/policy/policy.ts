/** When a plan may be applied: mode, hold, brake on removals, and what waits for a person. docs/architecture.md. */
import { CodedError } from "../errors.ts";
import { type Plan, type PlannedChange, type Scope, withChanges } from "../plan/types.ts";
import { brake, type Confirmed } from "./brake.ts";

export interface Policy {
  readonly mode: "auto" | "manual";
  /** Lets a change of domain go live without a person. */
  readonly autoMigrate: boolean;
  /** Share of accounts, groups or memberships above which removals wait. Per cent. */
  readonly maxRemovePercent: number;
}

/** What was asked for; the loop asks for nothing in particular. */
export interface Asked {
  /** A person said "apply". */
  readonly person: boolean;
  readonly scope?: Scope | undefined;
  /** The number of removals that the person has seen and means. */
  readonly removals?: number | undefined;
}

export interface Facts {
  /** Why nothing is applied, if the agent holds. */
  readonly held?: string | undefined;
  /** Nothing has ever been applied to this home. */
  readonly first: boolean;
  readonly confirmed: Confirmed;
}

export interface Decision {
  /** What may be applied now; empty changes if nothing. */
  readonly now: Plan;
  readonly waiting: readonly PlannedChange[];
  /** Why the rest waits and what to type, one sentence each. */
  readonly why: readonly string[];
  /** What a person who said "apply" gets instead of an apply. */
  readonly refusal?: CodedError;
}

/**
 *  asked by | agent | mode   | change                      | outcome
 *  ---------|-------|--------|-----------------------------|-------------------------------------------
 *  anyone   | holds | any    | any                         | waits for `resume` or the store
 *  anyone   | —     | any    | removes more than the share | the whole plan waits for `apply --removals N`
 *  person   | —     | any    | in the scope asked for      | now
 *  person   | —     | any    | outside that scope          | waits
 *  loop     | —     | any    | migrate, no AUTO_MIGRATE    | waits for `apply`
 *  loop     | —     | auto   | any other                   | now
 *  loop     | —     | manual | any other, first apply ever | now
 *  loop     | —     | manual | a followed address moved    | now
 *  loop     | —     | manual | any other                   | waits for `apply`
 */
export function decide(plan: Plan, policy: Policy, facts: Facts, asked: Asked): Decision {
  const wanted = plan.changes.filter((change) => asked.scope === undefined || change.scope === asked.scope);
  if (facts.held !== undefined && wanted.length > 0) {
    const why = `The agent holds: ${facts.held} It applies again when the store changes, or after firekeeper resume.`;
    return waits(plan, [why], new CodedError("apply/held", why));
  }
  const ripe = wanted.filter((change) => asked.person || goesByItself(change, policy, facts));
  const stopped = brake(ripe, plan.totals, policy.maxRemovePercent, facts.confirmed, asked.removals);
  if (stopped) return waits(plan, [stopped.message, ...(stopped.hint ? [stopped.hint] : [])], stopped);
  const waiting = plan.changes.filter((change) => !ripe.includes(change));
  return { now: withChanges(plan, ripe), waiting, why: reasons(waiting, policy) };
}

function goesByItself(change: PlannedChange, policy: Policy, facts: Facts): boolean {
  if (change.impact === "migrate") return policy.autoMigrate;
  return policy.mode === "auto" || facts.first || change.follows === true;
}

function waits(plan: Plan, why: readonly string[], refusal: CodedError): Decision {
  return { now: withChanges(plan, []), waiting: plan.changes, why, refusal };
}

function reasons(waiting: readonly PlannedChange[], policy: Policy): string[] {
  const why: string[] = [];
  if (waiting.some((change) => change.impact === "migrate")) {
    why.push("A change of domain waits for a person: firekeeper apply.");
  }
  const others = waiting.filter((change) => change.impact !== "migrate").length;
  if (others > 0 && policy.mode === "manual") {
    why.push(`${others} ${others === 1 ? "change waits" : "changes wait"} for firekeeper apply.`);
  } else if (others > 0)
    why.push(`${others} ${others === 1 ? "change is" : "changes are"} outside the scope asked for.`);
  return why;
}
