/** Teams as contacts of shared groups: one line for each that comes, goes or is shown elsewhere. docs/people.md. */
import type { ActualGroup, GroupWanted } from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import type { GroupsPlan } from "./groups.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import { byText, type PlannedChange } from "./types.ts";

const common = { impact: "live", scope: "roster" } as const;

/**
 *  team in a group role | contact on the server | in the plan
 *  ---------------------|-----------------------|-----------------------------------------------------------
 *  yes                  | none                  | contact add, and teams of the group: who gains it
 *  yes                  | same                  | nothing, or teams of the group
 *  yes                  | other display name    | contact change
 *  no                   | there                 | teams of the group: who loses it, and contact remove
 *  yes, name is taken   | anything              | rejected with both names: team and account stay as they are
 */
export function planTeams(input: PlanInput, groups: GroupsPlan): PlanPart {
  const { desired, canonical, actual } = input;
  const given = desired.state.contacts ?? [];
  if (actual.contacts === undefined) return { changes: [], rejected: [], notices: given.length > 0 ? [noTeams()] : [] };
  const answers = new Map((canonical.contacts ?? []).map((one) => [one.given, one.name]));
  const nameOf = (given: string): string | null => answers.get(given) ?? null;
  const reasons = new Map((canonical.contacts ?? []).map((one) => [one.given, one.rejected]));
  const standing = new Map(actual.contacts.map((one) => [one.name, one]));
  const bearers = new Set([...actual.accounts, ...canonical.accounts].map((one) => one.name));
  const rejected: Rejection[] = [];
  const changes: PlannedChange[] = [];
  const wanted = new Set<string>();
  const untouched = new Set<string>();
  for (const contact of [...given].sort(byText((one) => one.name))) {
    const name = nameOf(contact.name);
    const { code, rule, hint } = reasons.get(contact.name) ?? noAnswer;
    if (name === null) {
      rejected.push(rejection(contact.name, contact.displayName, { code, rule, hint }));
      continue;
    }
    if (bearers.has(name)) {
      rejected.push(rejection(name, `${contact.displayName} and the user ${name}`, taken(name)));
      untouched.add(name);
      continue;
    }
    wanted.add(name);
    const now = standing.get(name);
    if (now?.displayName === contact.displayName) continue;
    changes.push({
      ...common,
      subject: `contact ${name}`,
      action: now ? "change" : "add",
      from: now?.displayName ?? null,
      to: contact.displayName,
      source: "teams",
      steps: [{ kind: "contact-set", contact: { name, displayName: contact.displayName } }],
      removes: [],
    });
  }
  const groupsNow = new Map(actual.groups.map((one) => [one.name, one]));
  for (const [name, group] of groups.wanted) {
    const change = groups.untouched.has(name)
      ? undefined
      : shownChange(group, groupsNow.get(name), { nameOf, wanted, untouched });
    if (change) changes.push(change);
  }
  for (const { name, displayName } of actual.contacts) {
    if (wanted.has(name) || untouched.has(name)) continue;
    changes.push({
      ...common,
      subject: `contact ${name}`,
      action: "remove",
      from: displayName,
      to: null,
      source: "teams",
      steps: [{ kind: "contact-remove", name }],
      removes: [],
    });
  }
  return { changes, rejected, notices: [] };
}

function shownChange(
  group: GroupWanted,
  now: ActualGroup | undefined,
  teams: {
    nameOf: (given: string) => string | null;
    wanted: ReadonlySet<string>;
    untouched: ReadonlySet<string>;
  },
): PlannedChange | undefined {
  const shown = new Set(now?.contacts ?? []);
  const then = new Set((group.contacts ?? []).flatMap((given) => teams.nameOf(given) ?? []));
  const add = [...then].filter((name) => teams.wanted.has(name) && !shown.has(name)).sort();
  const remove = [...shown].filter((name) => !then.has(name) && !teams.untouched.has(name)).sort();
  if (add.length + remove.length === 0) return undefined;
  return {
    ...common,
    subject: `group ${group.name}`,
    action: "teams",
    from: remove.length > 0 ? few(remove) : null,
    to: add.length > 0 ? few(add) : null,
    source: `roles: ${group.name}`,
    steps: [{ kind: "group-contacts", group: group.name, add, remove }],
    removes: [],
  };
}

/** Names that stand for teams, on the server or in the host: no account may bear them. */
export function teamNames({ actual, canonical }: Pick<PlanInput, "actual" | "canonical">): ReadonlySet<string> {
  if (actual.contacts === undefined) return new Set();
  return new Set([...actual.contacts, ...(canonical.contacts ?? [])].flatMap(({ name }) => name ?? []));
}

/** A few names and how many more: a plan is read by a person. */
function few(all: readonly string[]): string {
  return all.length > 20 ? `${all.slice(0, 20).join(", ")} and ${all.length - 20} more` : all.join(", ");
}

const noAnswer = {
  code: "plan/no-answer",
  rule: "the server says what it makes of a name",
  hint: "Upgrade server and agent to the same release.",
};

function taken(name: string): { code: string; rule: string; hint: string } {
  return {
    code: "teams/name-taken",
    rule: `${name} stands for the team in contact lists, and an account bears it`,
    hint: "Give the team another id or the user another name in the host.",
  };
}

function rejection(name: string, value: string, reason: { code: string; rule: string; hint: string }): Rejection {
  return { ...reason, subject: { kind: "contact", name }, key: `teams: ${name}`, value };
}

function noTeams(): Notice {
  return { code: "plan/no-teams", message: "This server shows no teams in contact lists: they are left out." };
}
