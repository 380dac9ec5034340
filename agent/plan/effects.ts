/** Who gains and who loses what by each change of a plan, in the words of people. docs/apply.md. */
import type { Change, GroupWanted } from "../../xmpp-core/control/contract.ts";
import type { ActualState } from "../target/target.ts";
import type { Effect } from "./document.ts";
import type { PlannedChange } from "./types.ts";

/** A few names and how many they are: a plan is read by a person. */
const shown = 20;
const everybody = "everybody";

/** The same changes, in the same order, each with what it does to people. */
export function withEffects(changes: readonly PlannedChange[], actual: ActualState): PlannedChange[] {
  const world = worldOf(actual);
  return changes.map((change) => {
    const effects = change.steps.flatMap((step) => effectsOf(step, world));
    return effects.length > 0 ? { ...change, effects } : change;
  });
}

type Group = Omit<GroupWanted, "members"> & { members: "all" | Set<string> };
type World = {
  groups: Map<string, Group>;
  contacts: Map<string, string>;
  enabled: ReadonlyMap<string, boolean>;
  admin: string;
};

function worldOf({ groups, accounts, settings, contacts = [] }: ActualState): World {
  return {
    contacts: new Map(contacts.map((one) => [one.name, one.displayName])),
    groups: new Map(
      groups.map((one) => [one.name, { ...one, members: one.members === "all" ? "all" : new Set(one.members) }]),
    ),
    enabled: new Map(accounts.filter((one) => one.keptUntil === undefined).map((one) => [one.name, one.enabled])),
    admin: settings.admin.value ?? "admin",
  };
}

/** What one step does, and the world after it. */
function effectsOf(step: Change, world: World): Effect[] {
  switch (step.kind) {
    case "group-set": {
      const former = world.groups.get(step.group.name);
      const group = { ...step.group, members: former?.members ?? new Set<string>() };
      world.groups.set(step.group.name, group);
      return former ? viewersChanged(former, group, world) : [];
    }
    case "group-members": {
      const former = world.groups.get(step.group);
      if (!former) return [];
      const group = { ...former, members: moved(former.members, step) };
      world.groups.set(step.group, group);
      return viewersChanged(former, group, world);
    }
    case "group-remove": {
      const former = world.groups.get(step.name);
      world.groups.delete(step.name);
      return former ? viewersChanged(former, { ...former, members: new Set(), groupList: [] }, world) : [];
    }
    case "contact-set":
      world.contacts.set(step.contact.name, step.contact.displayName);
      return [];
    case "contact-remove":
      return [];
    case "group-contacts": {
      const group = world.groups.get(step.group);
      const who = group && viewers(group, world);
      if (!who || (who !== "all" && who.size === 0)) return [];
      const people = who === "all" ? [everybody] : [...who].sort();
      const shows = (gains: boolean) => (name: string) =>
        effect(gains, people, `the team ${world.contacts.get(name) ?? name} in the group ${group.displayName}`);
      return [...step.add.map(shows(true)), ...step.remove.map(shows(false))];
    }
    case "supervisor":
      return [
        effect(step.grant, [step.name], "the rights of a supervisor: all presence, ending sessions, announcements"),
      ];
    // That an account comes or goes is what its own line says; who may log in may follow from a role (sys.xmpp.allowedroles).
    case "account-set": {
      const { name, enabled } = step.account;
      const was = world.enabled.get(name);
      return was === undefined || was === enabled ? [] : [effect(enabled, [name], "the use of the service")];
    }
    case "account-remove":
      return [];
    case "account-rename":
      rename(world, step.from, step.account.name);
      return [];
    case "setting": {
      if (step.setting !== "admin") return [];
      const former = world.admin;
      world.admin = step.to ?? "admin";
      if (former === world.admin) return [];
      const what = "console, REST and admin commands";
      return [effect(true, [world.admin], what), effect(false, [former], what)];
    }
  }
}

function moved(former: Group["members"], step: Extract<Change, { kind: "group-members" }>): Group["members"] {
  if (step.all) return "all";
  const members = new Set(former === "all" || step.all === false ? [] : former);
  for (const name of step.remove) members.delete(name);
  for (const name of step.add) members.add(name);
  return members;
}

function viewersChanged(former: Group, group: Group, world: World): Effect[] {
  const before = viewers(former, world);
  const after = viewers(group, world);
  const size = (one: Group) => (one.members === "all" ? "everybody" : members(one.members.size));
  const changes: Effect[] = [];
  const gains = missing(after, before);
  const loses = missing(before, after);
  if (gains.length > 0)
    changes.push(effect(true, gains, `the group ${group.displayName} in the contact list, ${size(group)}`));
  if (loses.length > 0)
    changes.push(effect(false, loses, `the group ${former.displayName} in the contact list, ${size(former)}`));
  return changes;
}

/** Who has the group in the contact list. */
function viewers(group: Group, world: World): "all" | ReadonlySet<string> {
  if (group.showInRoster === "nobody") return new Set();
  if (group.showInRoster === "everybody")
    return group.members !== "all" && group.members.size === 0 ? new Set() : "all";
  if (group.members === "all") return "all";
  const seen = new Set(group.members);
  for (const name of group.groupList) {
    const others = world.groups.get(name)?.members;
    if (others === "all") return "all";
    for (const other of others ?? []) seen.add(other);
  }
  return seen;
}

/** Who is in the first and not in the second. */
function missing(these: "all" | ReadonlySet<string>, those: "all" | ReadonlySet<string>): string[] {
  if (those === "all") return [];
  if (these !== "all") return [...these].filter((name) => !those.has(name)).sort();
  return [those.size === 0 ? everybody : `${everybody} but ${listed([...those].sort())}`];
}

function effect(gains: boolean, who: readonly string[], what: string): Effect {
  return { gains, who: who.slice(0, shown), count: who.length, what };
}

function listed(names: readonly string[]): string {
  return names.length > shown
    ? `${names.slice(0, shown).join(", ")} and ${names.length - shown} more`
    : names.join(", ");
}

function members(count: number): string {
  return `${count} ${count === 1 ? "member" : "members"}`;
}

/** Who is renamed keeps everything, under the new name. */
function rename(world: World, from: string, to: string): void {
  if (world.admin === from) world.admin = to;
  for (const group of world.groups.values()) {
    if (group.members !== "all" && group.members.delete(from)) group.members.add(to);
  }
}
