/** The words of a plan. docs/architecture.md. */
import type { Change, Impact } from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import type { Effect } from "./document.ts";

/** Which apply takes a change: `roster` is users, roles and teams, always live. */
export type Scope = "roster" | "settings";

/** One difference between what the host wants and what the server has, in words for people and steps for the server. */
export interface PlannedChange {
  /** `domain`, `property xmpp.client.idle`, `account alice`, `group Sales`, `contact q_1`, `supervisor carol`. */
  readonly subject: string;
  readonly action:
    | "set"
    | "unset"
    | "own"
    | "add"
    | "change"
    | "disable"
    | "remove"
    | "return"
    | "rename"
    | "replace"
    | "adopt"
    | "members"
    | "teams"
    | "grant"
    | "revoke";
  /** Canonical text, or null for nothing; secrets are masked. For members: who leaves. */
  readonly from: string | null;
  /** For members: who joins. */
  readonly to: string | null;
  readonly impact: Impact;
  /** Where in the host this comes from: a settings key, `users: alice`, `roles: Sales`. */
  readonly source: string;
  readonly scope: Scope;
  /** The host's setting stands and what it names has moved: nobody has to decide that again. */
  readonly follows?: true;
  readonly steps: readonly Change[];
  /** What the change takes away, for the brake. */
  readonly removes: readonly Removal[];
  /** Who gains and who loses what; the whole plan is needed to say it, so `plan` adds it at the end. */
  readonly effects?: readonly Effect[];
}

/** Something somebody loses. A membership of a group of everybody has a number instead of a name. */
export type Removal =
  | { readonly of: "account"; readonly name: string }
  | { readonly of: "group"; readonly name: string }
  | { readonly of: "membership"; readonly group: string; readonly name: string };

/** What the brake measures removals against. */
export interface Totals {
  readonly accounts: number;
  readonly groups: number;
  readonly memberships: number;
}

export interface Plan {
  /** Revision that is in force now. */
  readonly expected: number;
  /** Revision that applying this makes; the one in force when there is nothing to do. */
  readonly revision: number;
  /** Hash of the snapshot that was compared. */
  readonly snapshot: string;
  readonly impact: Impact | "none";
  /** In the order of execution. */
  readonly changes: readonly PlannedChange[];
  readonly rejected: readonly Rejection[];
  /** What weakens comes first. */
  readonly notices: readonly Notice[];
  readonly totals: Totals;
}

/** The plan as `firekeeper plan --json` prints it. Secrets are masked already. */
export interface PlanDocument {
  readonly revision: number;
  readonly snapshot: string;
  readonly impact: Plan["impact"];
  readonly changes: readonly Pick<
    PlannedChange,
    "subject" | "action" | "from" | "to" | "impact" | "source" | "effects"
  >[];
  readonly rejected: readonly { key: string; value: string; rule: string; hint: string }[];
  readonly notices: readonly Notice[];
}

const weight = { none: 0, live: 1, listener: 2, restart: 3, migrate: 4 } as const;

/** The heaviest impact of all. */
export function totalImpact(changes: readonly Pick<PlannedChange, "impact">[]): Plan["impact"] {
  let heaviest: Plan["impact"] = "none";
  for (const { impact } of changes) if (weight[impact] > weight[heaviest]) heaviest = impact;
  return heaviest;
}

/** The same plan with a part of its changes. */
export function withChanges(plan: Plan, changes: readonly PlannedChange[]): Plan {
  return {
    ...plan,
    changes,
    impact: totalImpact(changes),
    revision: changes.length === 0 ? plan.expected : Math.max(plan.revision, plan.expected + 1),
  };
}

/** What is printed for a secret. */
export const masked = "(secret)";

/** Compares by a text, code unit by code unit: the same order on every machine. */
export function byText<T>(text: (one: T) => string): (a: T, b: T) => number {
  return (a, b) => (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0);
}
