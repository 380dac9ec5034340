import { CodedError } from "../../errors.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Write } from "../../storage/statement.ts";
import type { SharedGroupChange } from "../points.ts";
import { contactName } from "./contact-names.ts";
import type { Group, Person, Sharing } from "./sharing.ts";
import * as tables from "./tables.ts";

/** Names of groups and ids of accounts that an edit touched, for those who tell it. */
export interface Touched {
  /** Groups whose texts changed, or that came or went. */
  readonly groups: Set<string>;
  /** By group, accounts that came or went. */
  readonly members: Map<string, Set<number>>;
}

export interface Edited {
  readonly sharing: Sharing;
  readonly writes: readonly Write[];
  readonly touched: Touched;
}

/** The groups after some changes, the rows for it and what they touch. Throws `groups/unknown`. `newId` numbers new groups. */
export function edit(
  before: Sharing,
  changes: readonly SharedGroupChange[],
  facts: { served: number; newId: (name: string) => number },
): Edited {
  const groups = new Map(before.groups);
  const listed = new Map(before.listed);
  const writes: Write[] = [];
  const touched: Touched = { groups: new Set(), members: new Map() };

  const known = (name: string): Group => {
    const group = groups.get(name);
    if (group === undefined)
      throw new CodedError("groups/unknown", `There is no group "${name}".`, { fields: { group: name } });
    return group;
  };
  const unlist = (id: number, name: string): void => {
    const rest = (listed.get(id) ?? []).filter((other) => other !== name);
    if (rest.length > 0) listed.set(id, rest);
    else listed.delete(id);
  };
  const put = (group: Group): void => {
    groups.set(group.name, group);
    const { id, name, displayName, showInRoster, groupList, all, origin } = group;
    writes.push(
      tables.putGroup.with(
        id,
        facts.served,
        name,
        displayName,
        showInRoster,
        JSON.stringify(groupList),
        all ? 1 : 0,
        origin,
      ),
    );
  };
  const clear = (group: Group): void => {
    for (const id of group.members) unlist(id, group.name);
    writes.push(tables.dropMembers.with(group.id));
  };

  for (const change of changes) {
    if (change.kind === "remove") {
      const group = known(change.name);
      clear(group);
      groups.delete(group.name);
      touched.groups.add(group.name);
      writes.push(tables.dropGroup.with(group.id));
    } else if (change.kind === "set") {
      const { name } = change.group;
      const standing = groups.get(name) ?? { id: facts.newId(name), all: false, members: new Set<number>() };
      put({ ...standing, ...change.group, origin: change.origin });
      touched.groups.add(name);
    } else {
      let group = known(change.group);
      if (change.all !== undefined && change.all !== group.all) {
        const teams = new Set([...group.members].filter((id) => before.people.get(id)?.account.contact));
        clear(group);
        for (const id of teams) listed.set(id, [...(listed.get(id) ?? []), group.name]);
        if (teams.size > 0) writes.push(tables.addMembers.with(group.id, JSON.stringify([...teams])));
        group = { ...group, all: change.all, members: teams };
        put(group);
        touched.groups.add(group.name);
      }
      const moves = ({ contact }: Account): boolean => contact || !group.all;
      groups.set(group.name, withMembers(group, change.add.filter(moves), change.remove.filter(moves)));
    }
  }

  function withMembers(group: Group, add: readonly Account[], remove: readonly Account[]): Group {
    const { name } = group;
    const members = new Set(group.members);
    const moved = touched.members.get(name) ?? new Set<number>();
    touched.members.set(name, moved);
    const gone = remove.filter(({ id }) => members.delete(id)).map(({ id }) => id);
    const come = add.map(({ id }) => id).filter((id) => !members.has(id) && members.add(id));
    for (const id of gone) unlist(id, name);
    for (const id of come) listed.set(id, [...(listed.get(id) ?? []), name]);
    for (const id of [...gone, ...come]) moved.add(id);
    if (gone.length > 0) writes.push(tables.removeMembers.with(group.id, JSON.stringify(gone)));
    if (come.length > 0) writes.push(tables.addMembers.with(group.id, JSON.stringify(come)));
    return { ...group, members };
  }

  const inOrder = new Map([...groups].sort(([one], [other]) => (one < other ? -1 : 1)));
  return { sharing: { groups: inOrder, people: before.people, listed }, writes, touched };
}

/** The same groups with some people come, changed or (undefined) gone. */
export function withPeople(before: Sharing, changed: ReadonlyMap<number, Person | undefined>): Sharing {
  const people = new Map(before.people);
  const listed = new Map(before.listed);
  const named = new Set<string>();
  const gone = new Set<number>();
  for (const [id, person] of changed) {
    for (const name of before.listed.get(id) ?? []) named.add(name);
    if (person !== undefined) {
      people.set(id, person);
      continue;
    }
    people.delete(id);
    listed.delete(id);
    gone.add(id);
  }
  // A group that is another object has changed: whoever compares states looks at nothing else.
  const groups = new Map(
    [...before.groups].map(([name, group]): [string, Group] => {
      if (!group.all && !named.has(name)) return [name, group];
      if (gone.size === 0) return [name, { ...group }];
      return [name, { ...group, members: new Set([...group.members].filter((member) => !gone.has(member))) }];
    }),
  );
  return { groups, people, listed };
}

export function personOf(account: Account, pattern: string): Person {
  const { name, enabled } = account;
  return { account, name, label: contactName(pattern, account), active: enabled && !account.probe };
}
