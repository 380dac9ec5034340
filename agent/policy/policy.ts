/** When a plan may be applied: mode, hold, brake on removals, and what waits for a person. docs/architecture.md. */
import { CodedError } from "../errors.ts";
import { type Plan, type PlannedChange, type Scope, withChanges } from "../plan/types.ts";
import { brake, type Confirmed } from "./brake.ts";
import { shortTime } from "./duration.ts";
import type { Windows } from "./window.ts";

export interface Policy {
  readonly mode: "auto" | "manual";
  /** Lets a change of domain go live without a person. */
  readonly autoMigrate: boolean;
  /** Share of accounts, groups or memberships above which removals wait. Per cent. */
  readonly maxRemovePercent: number;
  /** When changes that clients may notice go live; absent: whenever. */
  readonly windows?: Windows | undefined;
}

/** What was asked for; the loop asks for nothing in particular. */
export interface Asked {
  /** A person said "apply". */
  readonly person: boolean;
  readonly scope?: Scope | undefined;
  /** The number of removals that the person has seen and means. */
  readonly removals?: number | undefined;
  /** Also outside a maintenance window. */
  readonly now?: boolean | undefined;
  /** Taken back unless the person confirms it within so many milliseconds. */
  readonly confirmMs?: number | undefined;
}

export interface Facts {
  /** Why nothing is applied, if the agent holds. */
  readonly held?: string | undefined;
  /** Nothing has ever been applied to this home. */
  readonly first: boolean;
  /** The server had a life of its own before: then the first apply is no matter of course. */
  readonly inUse?: boolean;
  readonly confirmed: Confirmed;
  /** Who froze, until when and why, one sentence. */
  readonly frozen?: string | undefined;
  /** Which revision waits to be confirmed until when, one sentence. */
  readonly awaits?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly at?: number | undefined;
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
 *  anyone   | frozen| any    | any                         | waits for `unfreeze` or the time
 *  anyone   | holds | any    | any                         | waits for `resume` or the store
 *  anyone   | waits for `confirm` | any                    | waits for `confirm` or the return
 *  anyone   | —     | any    | removes more than the share | the whole plan waits for `apply --removals N`
 *  person   | —     | any    | bound to a closed window    | the whole apply waits for the window or `--now`
 *  person   | —     | any    | in the scope asked for      | now
 *  person   | —     | any    | outside that scope          | waits
 *  loop     | —     | any    | migrate, no AUTO_MIGRATE    | waits for `apply`
 *  loop     | —     | any    | bound to a closed window, not the first apply ever | waits for the window
 *  loop     | —     | auto   | any other                   | now
 *  loop     | —     | manual | any other, first apply ever | now
 *  loop     | —     | manual | a followed address moved    | now
 *  loop     | —     | manual | any other                   | waits for `apply`
 */
export function decide(plan: Plan, policy: Policy, facts: Facts, asked: Asked): Decision {
  const wanted = plan.changes.filter((change) => asked.scope === undefined || change.scope === asked.scope);
  const stops = wanted.length === 0 ? undefined : stopped(facts);
  if (stops) return waits(plan, stops);
  const willing = wanted.filter((change) => asked.person || goesByItself(change, policy, facts));
  const bound = new Set(asked.now || isBirth(facts) ? [] : boundToWindow(willing, policy, facts));
  const opens = bound.size > 0 ? windowSentence(bound.size, policy, facts) : undefined;
  if (opens !== undefined && asked.person) return waits(plan, outsideWindow(opens));
  const ripe = willing.filter((change) => !bound.has(change));
  const refused = brake(ripe, plan.totals, policy.maxRemovePercent, facts.confirmed, asked.removals);
  if (refused) return waits(plan, refused);
  const unconfirmable = asked.confirmMs === undefined ? undefined : noWayBack(ripe, facts);
  if (unconfirmable) return waits(plan, unconfirmable);
  const going = new Set(ripe);
  const waiting = plan.changes.filter((change) => !going.has(change));
  const others = waiting.filter((change) => !bound.has(change));
  return { now: withChanges(plan, ripe), waiting, why: [...reasons(others, policy), ...(opens ? [opens] : [])] };
}

/** What lets nothing through, whoever asks. */
function stopped({ frozen, held, awaits }: Facts): CodedError | undefined {
  if (frozen !== undefined)
    return new CodedError("apply/frozen", frozen, { hint: "To apply before that: firekeeper unfreeze" });
  if (held !== undefined) {
    const why = `The agent holds: ${held} It applies again when the store changes, or after firekeeper resume.`;
    return new CodedError("apply/held", why);
  }
  if (awaits === undefined) return undefined;
  return new CodedError("apply/awaits-confirmation", awaits, {
    hint: "firekeeper confirm keeps it, firekeeper rollback takes it back at once.",
  });
}

function boundToWindow(changes: readonly PlannedChange[], { windows }: Policy, { at = 0 }: Facts): PlannedChange[] {
  if (!windows || windows.openUntil(at) !== undefined) return [];
  return changes.filter((change) => windows.impacts.has(change.impact));
}

function windowSentence(count: number, { windows }: Policy, { at = 0 }: Facts): string {
  const next = windows?.nextOpening(at);
  const opens = next === undefined ? "which never opens again" : `which opens at ${shortTime(next)}`;
  return `${count} ${count === 1 ? "change waits" : "changes wait"} for the maintenance window ${windows?.text}, ${opens}.`;
}

function outsideWindow(sentence: string): CodedError {
  return new CodedError("apply/outside-window", sentence, {
    hint: "firekeeper apply --now does not wait; --scope roster applies users, roles and teams only.",
  });
}

/** A change that is to be confirmed must be one that the agent may take back by itself. */
function noWayBack(changes: readonly PlannedChange[], { first }: Facts): CodedError | undefined {
  if (changes.some((change) => change.impact === "migrate"))
    return new CodedError(
      "apply/confirm-migrate",
      "A change of domain is never taken back without a person, so it cannot wait to be confirmed.",
      { hint: "Apply it without --confirm-within, or the rest first with --scope roster." },
    );
  if (!first) return undefined;
  return new CodedError("apply/nothing-to-return-to", "There is no former revision that could return.", {
    hint: "Apply it without --confirm-within.",
  });
}

function goesByItself(change: PlannedChange, policy: Policy, facts: Facts): boolean {
  if (change.impact === "migrate") return policy.autoMigrate;
  return policy.mode === "auto" || isBirth(facts) || change.follows === true;
}

function isBirth({ first, inUse }: Facts): boolean {
  return first && inUse !== true;
}

function waits(plan: Plan, refusal: CodedError): Decision {
  const why = [refusal.message, ...(refusal.hint ? [refusal.hint] : [])];
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
