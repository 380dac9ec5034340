/** Desired × actual → plan. Pure: the same worlds give the same plan, in whatever order they are told. docs/architecture.md "A setting's way". */
import type { CanonicalAnswer, Change } from "../../xmpp-core/control/contract.ts";
import type { Desired, Rejection } from "../desired/desired.ts";
import { isWeakness, type Notice } from "../errors.ts";
import type { ActualState } from "../target/target.ts";
import { planAccounts } from "./accounts.ts";
import { planAdmin } from "./admin.ts";
import { withEffects } from "./effects.ts";
import { planGroups } from "./groups.ts";
import { planSettings } from "./settings.ts";
import { planSupervisors } from "./supervisors.ts";
import { planTeams } from "./teams.ts";
import { byText, type Plan, type PlannedChange, totalImpact } from "./types.ts";

export interface PlanInput {
  readonly desired: Desired;
  /** The server's answer to `desired.state`. */
  readonly canonical: CanonicalAnswer;
  readonly actual: ActualState;
  /** Revision in force. */
  readonly revision: number;
  /** Hash of the snapshot. */
  readonly snapshot: string;
  /** Days for which the data of a person who vanished is kept. */
  readonly keepDays: number;
  /** Names of local accounts and groups that a person lets the host take over. */
  readonly adopt: ReadonlySet<string>;
  /** Settings that nothing may touch: a rollback leaves every secret as it is. Named as in the contract. */
  readonly leave?: ReadonlySet<string>;
  /** Rollback: accounts keep the keys the server has, since no revision holds any. */
  readonly keepCredentials?: boolean;
}

/** What each part of the plan hands in. */
export interface PlanPart {
  readonly changes: readonly PlannedChange[];
  readonly rejected: readonly Rejection[];
  readonly notices: readonly Notice[];
}

/**
 * Plans how the server becomes what the host wants; what is not done stands in `rejected` or `notices` with its reason.
 * Applied to the very same `actual`, a second plan has no changes.
 */
export function plan(input: PlanInput): Plan {
  const { desired, actual } = input;
  const accounts = planAccounts(input);
  const admin = planAdmin(input, accounts);
  const settings = planSettings(input);
  const groups = planGroups(input, admin.accounts);
  const teams = planTeams(input, groups);
  const supervisors = planSupervisors(input, admin.accounts);
  const parts: PlanPart[] = [settings, admin, groups, teams, supervisors];
  const changes = withEffects(inOrder(parts.flatMap((part) => part.changes)), actual);
  const rejected = parts.flatMap((part) => part.rejected);
  return {
    expected: input.revision,
    revision: changes.length === 0 ? input.revision : input.revision + 1,
    snapshot: input.snapshot,
    impact: totalImpact(changes),
    changes,
    rejected: [...desired.rejections, ...rejected].sort(byText((one) => `${one.key}\n${one.code}`)),
    notices: noticesInOrder([...desired.notices, ...parts.flatMap((part) => part.notices)]),
    totals: {
      accounts: actual.accounts.filter((one) => one.origin === "host" && one.enabled && !one.keptUntil).length,
      groups: actual.groups.filter((one) => one.origin === "host").length,
      memberships: groups.memberships,
    },
  };
}

/**
 * The order of execution, by what depends on what: a name is free before another takes it, an account exists before
 * it joins a group or becomes admin, members leave before their account does.
 */
const ranks: Record<Change["kind"], number> = {
  supervisor: 5,
  "account-remove": 7,
  "account-rename": 1,
  "account-set": 2,
  "contact-set": 2.5,
  "group-set": 3,
  "group-members": 4,
  "group-contacts": 4.5,
  "group-remove": 6,
  "contact-remove": 6.5,
  setting: 8,
};

function rank(change: PlannedChange): number {
  const first = change.steps[0];
  if (!first) return 9;
  // Rights go before anything is given, by the names that hold after all renames.
  return first.kind === "supervisor" && !first.grant ? 1.5 : ranks[first.kind];
}

function inOrder(changes: readonly PlannedChange[]): PlannedChange[] {
  const renames = new Map<string, string>();
  for (const change of changes)
    for (const step of change.steps) if (step.kind === "account-rename") renames.set(step.from, step.account.name);
  const sorted = [...changes].sort((a, b) => rank(a) - rank(b) || byText<PlannedChange>((one) => one.subject)(a, b));
  return inRenameOrder(sorted, renames);
}

/** bob → carl goes before alice → bob. There are no circles: planAccounts rejects them. */
function inRenameOrder(changes: PlannedChange[], renames: ReadonlyMap<string, string>): PlannedChange[] {
  const depth = (name: string | undefined): number => {
    let steps = 0;
    for (let at = name; at !== undefined && renames.has(at); at = renames.get(at)) steps++;
    return steps;
  };
  const from = (change: PlannedChange) => {
    const first = change.steps[0];
    return first?.kind === "account-rename" ? first.from : undefined;
  };
  const renaming = changes
    .filter((change) => from(change) !== undefined)
    .sort((a, b) => depth(from(a)) - depth(from(b)));
  return changes.map((change) => (from(change) === undefined ? change : (renaming.shift() as PlannedChange)));
}

/** Notices that tell of a weakness: they stand at the head. */

function noticesInOrder(notices: readonly Notice[]): Notice[] {
  const seen = new Set<string>();
  const once = notices.filter((notice) => {
    const text = `${notice.code}\n${notice.message}`;
    return !seen.has(text) && seen.add(text);
  });
  return once.sort(byText((one) => `${isWeakness(one) ? 0 : 1}\n${one.code}`));
}
