/**
 * What a revision asked for, flat: one text under one key for each setting, group, membership, supervisor and account.
 * So a change of one member is one line in the journal, however large the group. Never a credential, never a secret.
 */
import { z } from "zod";
import type { ContactWanted, GroupWanted, SettingsWanted } from "../../xmpp-core/control/contract.ts";
import { masked, type PlannedChange } from "../plan/types.ts";
import type { ActualState } from "../target/target.ts";

/** Keys are JSON arrays (`["member","Sales","alice"]`), so no name can forge another key. */
export type RevisionState = ReadonlyMap<string, string>;

export const delta = z.object({ set: z.record(z.string(), z.string()), unset: z.array(z.string()) });
export type Delta = z.infer<typeof delta>;

const key = (...parts: string[]) => JSON.stringify(parts);

/** The host's share of what the server reports. */
export function stateOf(actual: ActualState): RevisionState {
  const state = new Map<string, string>();
  const { settings } = actual;
  state.set(key("setting", "domain"), settings.domain);
  const scalars = {
    admin: settings.admin,
    "external-address": settings.externalAddress,
    "runtime-options": settings.runtimeOptions,
    ...(settings.aliasDomains ? { "alias-domains": settings.aliasDomains } : {}),
  };
  for (const [name, { value, origin }] of Object.entries(scalars)) {
    if (origin === "host" && value !== null) state.set(key("setting", name), value);
  }
  for (const one of settings.properties) {
    if (one.origin === "host") state.set(key("setting", `property:${one.key}`), one.secret ? masked : one.value);
  }
  for (const group of actual.groups.filter((one) => one.origin === "host")) {
    const { members, origin: _, ...texts } = group;
    setGroup(state, { ...texts, members });
  }
  for (const { name, displayName } of actual.contacts ?? []) state.set(key("contact", name), displayName);
  for (const name of actual.supervisors) state.set(key("supervisor", name), "");
  for (const one of actual.accounts) {
    if (one.origin === "host" && one.keptUntil === undefined) state.set(key("account", one.name), accountText(one));
  }
  return state;
}

/** The state once the changes are applied. */
export function advanced(before: RevisionState, changes: readonly PlannedChange[]): RevisionState {
  const state = new Map(before);
  for (const change of changes) {
    for (const step of change.steps) {
      switch (step.kind) {
        case "setting": {
          const at = key("setting", step.setting);
          // A value that shows again when the host lets go is local: not the revision's.
          if (step.to === null) state.delete(at);
          else state.set(at, change.to === masked ? masked : step.to);
          break;
        }
        case "account-rename":
          renameIn(state, step.from, step.account.name);
          state.set(key("account", step.account.name), accountText(step.account));
          break;
        case "account-set":
          state.set(key("account", step.account.name), accountText(step.account));
          break;
        case "account-remove":
          state.delete(key("account", step.name));
          break;
        case "group-set":
          state.set(key("group", step.group.name), groupText(step.group));
          break;
        case "group-members": {
          if (step.all !== undefined) removeMembers(state, step.group);
          if (step.all) state.set(key("member", step.group), "all");
          for (const name of step.remove) state.delete(key("member", step.group, name));
          for (const name of step.add) state.set(key("member", step.group, name), "");
          break;
        }
        case "contact-set":
          state.set(key("contact", step.contact.name), step.contact.displayName);
          break;
        case "contact-remove":
          state.delete(key("contact", step.name));
          break;
        case "group-contacts":
          for (const name of step.remove) state.delete(key("shown", step.group, name));
          for (const name of step.add) state.set(key("shown", step.group, name), "");
          break;
        case "group-remove":
          removeMembers(state, step.name, "shown");
          removeMembers(state, step.name);
          state.delete(key("group", step.name));
          break;
        case "supervisor":
          if (step.grant) state.set(key("supervisor", step.name), "");
          else state.delete(key("supervisor", step.name));
      }
    }
  }
  return state;
}

export function difference(from: RevisionState, to: RevisionState): Delta {
  const set: Record<string, string> = {};
  for (const [at, text] of to) if (from.get(at) !== text) set[at] = text;
  return { set, unset: [...from.keys()].filter((at) => !to.has(at)) };
}

export function withDelta(from: RevisionState, { set, unset }: Delta): RevisionState {
  const state = new Map(from);
  for (const at of unset) state.delete(at);
  for (const [at, text] of Object.entries(set)) state.set(at, text);
  return state;
}

/** A revision as wants again: settings, groups and supervisors; and which accounts it knew. */
export type RevisionContent = {
  settings: SettingsWanted;
  groups: GroupWanted[];
  contacts: ContactWanted[];
  supervisors: string[];
  accounts: Map<string, { enabled: boolean; id?: string; displayName?: string; email?: string }>;
};

export function contentOf(state: RevisionState): RevisionContent {
  const properties = new Map<string, string>();
  const scalars = new Map<string, string>();
  const groups = new Map<string, GroupWanted>();
  const members: [string, string | undefined][] = [];
  const contacts: ContactWanted[] = [];
  const shown: [string, string][] = [];
  const supervisors: string[] = [];
  const accounts: RevisionContent["accounts"] = new Map();
  for (const [at, text] of state) {
    const [kind, name = "", member] = JSON.parse(at) as string[];
    if (kind === "setting" && name.startsWith("property:")) {
      if (text !== masked) properties.set(name.slice("property:".length), text);
    } else if (kind === "setting") scalars.set(name, text);
    else if (kind === "group")
      groups.set(name, { ...(JSON.parse(text) as Omit<GroupWanted, "members" | "name">), name, members: [] });
    else if (kind === "contact") contacts.push({ name, displayName: text });
    else if (kind === "shown" && member !== undefined) shown.push([name, member]);
    else if (kind === "member") members.push([name, member]);
    else if (kind === "supervisor") supervisors.push(name);
    else if (kind === "account") accounts.set(name, JSON.parse(text));
  }
  for (const [name, member] of members) {
    const group = groups.get(name);
    if (!group) continue;
    if (member === undefined) group.members = "all";
    else if (group.members !== "all") group.members.push(member);
  }
  for (const [name, contact] of shown) {
    const group = groups.get(name);
    if (group) group.contacts = [...(group.contacts ?? []), contact];
  }
  const scalar = (name: string) => scalars.get(name);
  return {
    settings: {
      ...optional("domain", scalar("domain")),
      ...optional("admin", scalar("admin")),
      ...optional("externalAddress", scalar("external-address")),
      ...optional("runtimeOptions", scalar("runtime-options")),
      ...optional("aliasDomains", scalar("alias-domains")),
      properties: Object.fromEntries(properties),
    },
    groups: [...groups.values()],
    contacts,
    supervisors,
    accounts,
  };
}

function optional<K extends string>(name: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]: string });
}

function setGroup(state: Map<string, string>, group: GroupWanted): void {
  state.set(key("group", group.name), groupText(group));
  if (group.members === "all") state.set(key("member", group.name), "all");
  else for (const name of group.members) state.set(key("member", group.name, name), "");
  for (const name of group.contacts ?? []) state.set(key("shown", group.name, name), "");
}

function groupText(group: Omit<GroupWanted, "members" | "contacts">): string {
  const { displayName, showInRoster, groupList } = group;
  return JSON.stringify({ displayName, showInRoster, groupList });
}

function accountText(account: {
  enabled: boolean;
  id?: string | undefined;
  displayName?: string | undefined;
  email?: string | undefined;
}): string {
  const { enabled, id, displayName, email } = account;
  return JSON.stringify({ enabled, id, displayName, email });
}

function removeMembers(state: Map<string, string>, group: string, kind: "member" | "shown" = "member"): void {
  const start = `${key(kind, group).slice(0, -1)},`;
  state.delete(key(kind, group));
  for (const at of [...state.keys()]) if (at.startsWith(start)) state.delete(at);
}

function renameIn(state: Map<string, string>, from: string, to: string): void {
  state.delete(key("account", from));
  if (state.delete(key("supervisor", from))) state.set(key("supervisor", to), "");
  for (const at of [...state.keys()]) {
    const [kind, group = "", member] = JSON.parse(at) as string[];
    if (kind !== "member" || member !== from) continue;
    state.delete(at);
    state.set(key("member", group, to), "");
  }
}
