/** Shared groups and who is in them. */
import type { ActualGroup, Change, GroupWanted } from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import { type AccountsPlan, badName, localNotice, names, waitsForAdoption } from "./accounts.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import type { PlannedChange, Removal } from "./types.ts";

/** The groups' part, and how many memberships the server has now. */
export interface GroupsPlan extends PlanPart {
  readonly memberships: number;
  /** Groups as they will be, by name, with the teams that the host wants in them. */
  readonly wanted: ReadonlyMap<string, GroupWanted>;
  /** Groups that stay as they are because something about them is rejected. */
  readonly untouched: ReadonlySet<string>;
}

export function planGroups(input: PlanInput, accounts: AccountsPlan): GroupsPlan {
  const everybody = input.actual.accounts.filter((one) => one.enabled && one.keptUntil === undefined).length;
  const standing = new Map(input.actual.groups.map((one) => [one.name, one]));
  const { wanted, rejected, untouched } = preparedGroups(input, accounts);
  const changes: PlannedChange[] = [];
  const notices: Notice[] = [];
  for (const [name, group] of wanted) {
    const now = standing.get(name);
    if (now?.origin === "local" && !input.adopt.has(name)) {
      rejected.push(waitsForAdoption("group", name, `roles: ${name}`));
      untouched.add(name);
    } else changes.push(...groupChanges(stillUnsettled(group, now, accounts), now, accounts.renamed, everybody));
  }
  const locals: string[] = [];
  for (const group of standing.values()) {
    if (wanted.has(group.name) || untouched.has(group.name)) continue;
    if (group.origin === "local") locals.push(group.name);
    else changes.push(removal(group, everybody));
  }
  if (locals.length > 0) notices.push(localNotice("group", locals.sort()));
  const hosts = input.actual.groups.filter((one) => one.origin === "host");
  const memberships = hosts.reduce((sum, one) => sum + (one.members === "all" ? everybody : one.members.length), 0);
  return { changes, rejected, notices, memberships, wanted, untouched };
}

/** Those whose names are unsettled stay in or out, as they are; a name whose bearer is renamed away from it is nobody's to keep. */
function stillUnsettled(wanted: GroupWanted, now: ActualGroup | undefined, accounts: AccountsPlan): GroupWanted {
  if (wanted.members === "all" || accounts.unsettled.size === 0) return wanted;
  const standing = now && now.members !== "all" ? now.members : [];
  return {
    ...wanted,
    members: [
      ...wanted.members.filter((name) => !accounts.unsettled.has(name)),
      ...standing.filter((name) => accounts.unsettled.has(name) && !accounts.renamed.has(name)),
    ],
  };
}

/**
 *  role           | group on the server     | in the plan
 *  ---------------|-------------------------|-----------------------------------------------------
 *  role           | none                    | add, and members: who gains
 *  role           | same texts and members  | nothing
 *  role           | other texts             | change
 *  role           | other members           | members: who gains, who loses
 *  role, all      | a list                  | members: everybody gains
 *  role, a list   | all                     | members: the list stays, everybody else loses
 *  role           | local                   | rejected until `apply --adopt NAME`, then adopt
 *  none           | the host's              | remove: everybody loses (planGroups)
 *  none           | local                   | listed as "local" (planGroups), left alone
 */
export function groupChanges(
  wanted: GroupWanted,
  now: ActualGroup | undefined,
  renamed: ReadonlyMap<string, string>,
  everybody: number,
): PlannedChange[] {
  const { members, contacts: _, ...texts } = wanted;
  const common = { source: `roles: ${wanted.name}`, scope: "roster" as const, impact: "live" as const };
  const subject = `group ${wanted.name}`;
  const changes: PlannedChange[] = [];
  const adopts = now?.origin === "local";
  if (!now || adopts || differs(wanted, now)) {
    changes.push({
      ...common,
      subject,
      action: adopts ? "adopt" : now ? "change" : "add",
      from: now ? describe(now) : null,
      to: describe(wanted),
      steps: [{ kind: "group-set", group: texts, ...(adopts ? { adopt: true } : {}) }],
      removes: [],
    });
  }
  const moves = memberMoves(members, now?.members ?? [], renamed);
  if (moves) {
    const step: Change = { kind: "group-members", group: wanted.name, ...moves.step };
    changes.push({
      ...common,
      subject,
      action: "members",
      from: moves.loses.length > 0 ? listed(moves.loses) : null,
      to: moves.gains.length > 0 ? listed(moves.gains) : null,
      steps: [step],
      removes: moves.everybodyLoses
        ? everybodyIn(wanted.name, Math.max(0, everybody - (members === "all" ? 0 : members.length)))
        : moves.step.remove.map((name) => ({ of: "membership", group: wanted.name, name })),
    });
  }
  return changes;
}

type Moves = {
  step: { all?: boolean; add: string[]; remove: string[] };
  gains: string[];
  loses: string[];
  everybodyLoses: boolean;
};

function memberMoves(
  wanted: GroupWanted["members"],
  standing: GroupWanted["members"],
  renamed: ReadonlyMap<string, string>,
): Moves | undefined {
  if (wanted === "all") {
    if (standing === "all") return undefined;
    return { step: { all: true, add: [], remove: [] }, gains: ["everybody"], loses: [], everybodyLoses: false };
  }
  if (standing === "all") {
    const add = [...wanted].sort();
    return {
      step: { all: false, add, remove: [] },
      gains: [],
      loses: [add.length > 0 ? `everybody but ${listed(add)}` : "everybody"],
      everybodyLoses: true,
    };
  }
  const now = new Set(standing.map((member) => renamed.get(member) ?? member));
  const then = new Set(wanted);
  const add = [...then].filter((member) => !now.has(member)).sort();
  const remove = [...now].filter((member) => !then.has(member)).sort();
  if (add.length === 0 && remove.length === 0) return undefined;
  return { step: { add, remove }, gains: add, loses: remove, everybodyLoses: false };
}

function differs(wanted: GroupWanted, now: GroupWanted): boolean {
  return (
    wanted.displayName !== now.displayName ||
    wanted.showInRoster !== now.showInRoster ||
    [...wanted.groupList].sort().join("\n") !== [...now.groupList].sort().join("\n")
  );
}

function describe(group: GroupWanted): string {
  const others = group.groupList.length > 0 ? `, also ${[...group.groupList].sort().join(", ")}` : "";
  return `"${group.displayName}" for ${{ nobody: "nobody", onlyGroup: "its members", everybody: "everybody" }[group.showInRoster]}${others}`;
}

function removal(group: ActualGroup, everybody: number): PlannedChange {
  const loses = group.members === "all" ? ["everybody"] : [...group.members].sort();
  return {
    subject: `group ${group.name}`,
    action: "remove",
    from: loses.length > 0 ? listed(loses) : "nobody",
    to: null,
    impact: "live",
    source: "roles",
    scope: "roster",
    steps: [{ kind: "group-remove", name: group.name }],
    removes: [
      { of: "group", name: group.name },
      ...(group.members === "all"
        ? everybodyIn(group.name, everybody)
        : group.members.map((name) => ({ of: "membership" as const, group: group.name, name }))),
    ],
  };
}

function everybodyIn(group: string, count: number): Removal[] {
  return Array.from({ length: count }, (_, index) => ({ of: "membership", group, name: `#${index + 1}` }));
}

/** A few names and how many more: a plan is read by a person. */
export function listed(all: readonly string[]): string {
  return all.length > 20 ? `${all.slice(0, 20).join(", ")} and ${all.length - 20} more` : all.join(", ");
}

function preparedGroups(input: PlanInput, accounts: AccountsPlan) {
  const nameOf = names(input.canonical.groups);
  const reasons = new Map(input.canonical.groups.map((one) => [one.given, one.rejected]));
  const claims = new Map<string, GroupWanted[]>();
  const rejected: Rejection[] = [];
  const untouched = new Set<string>();
  for (const one of input.desired.rejections) {
    if (one.subject.kind === "group") untouched.add(nameOf(one.subject.name) ?? one.subject.name);
  }
  for (const group of input.desired.state.groups) {
    const name = nameOf(group.name);
    if (name !== null) claims.set(name, [...(claims.get(name) ?? []), group]);
    else rejected.push(badName("group", group.name, `roles: ${group.name}`, reasons.get(group.name)));
  }
  const wanted = new Map<string, GroupWanted>();
  for (const [name, groups] of [...claims].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [only] = groups;
    if (only && groups.length === 1 && !untouched.has(name)) wanted.set(name, prepared(only, name, accounts, nameOf));
    else {
      untouched.add(name);
      for (const group of groups) {
        const all = groups
          .map((one) => one.name)
          .sort()
          .join(" and ");
        rejected.push({
          code: "roles/same-name",
          subject: { kind: "group", name: group.name },
          key: `roles: ${group.name}`,
          value: all,
          rule: `${all} are both ${name} to the server`,
          hint: "Rename one of them in the host.",
        });
      }
    }
  }
  return { wanted, rejected, untouched };
}

/** Members are the host's accounts only: a local account that bears the name of a user may be somebody else. */
function prepared(
  group: GroupWanted,
  name: string,
  accounts: AccountsPlan,
  nameOf: (given: string) => string | null,
): GroupWanted {
  const groupList = group.groupList.map(nameOf).filter((one) => one !== null);
  if (group.members === "all") return { ...group, name, groupList, members: "all" };
  return { ...group, name, groupList, members: hostAccounts(group.members, accounts) };
}

/** The server's names of those who will be accounts of the host, each once. */
export function hostAccounts(given: readonly string[], accounts: AccountsPlan): string[] {
  const found = given.map((member) => accounts.nameOf(member) ?? member.normalize("NFC").toLowerCase().trim());
  return [...new Set(found)].filter((member) => accounts.after.has(member));
}
