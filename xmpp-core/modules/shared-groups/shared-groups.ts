import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import { type Core, defineModule } from "../module.ts";
import {
  groups,
  type SharedContact,
  type SharedContactChange,
  type SharedGroup,
  sharedContacts,
  sharedContactsChanged,
} from "../points.ts";
import { contactNames } from "./contact-names.ts";
import { edit, personOf, type Touched, withPeople } from "./edits.ts";
import {
  type Group,
  isMember,
  maySee,
  membersOf,
  type Person,
  type Perspective,
  perspectiveOf,
  related,
  relatedAtMost,
  relation,
  type Sharing,
  versionFor,
} from "./sharing.ts";
import * as tables from "./tables.ts";

/** Groups whose members are in each other's rosters by themselves, with Openfire's semantics. */
export const sharedGroups = defineModule({
  name: "shared-groups",
  implements: [],
  properties: [contactNames],
  migrations: [tables.sharedGroupsMigration],
  start,
});

// Everybody would be told of everybody: beyond this clients see new names when they ask for their lists again.
const mostRenamed = 1000;

function start(core: Core) {
  const { accounts, storage, names } = core;
  const pattern = (): string => core.properties.get(contactNames);
  /** People who changed since `held` was made: entered together when somebody looks, since each entering copies. */
  const moving = new Map<number, Person | undefined>();
  let held: Sharing = { groups: new Map(), people: new Map(), listed: new Map() };
  const state = {
    get now(): Sharing {
      if (moving.size > 0) {
        held = withPeople(held, moving);
        moving.clear();
      }
      return held;
    },
    set now(next: Sharing) {
      held = next;
    },
  };
  /** What was told; undefined: nothing changed since. */
  let told: Sharing | undefined;
  let lastId = 0;
  /** Accounts with sessions. */
  const online = new Set<Account>();
  const movedPeople = new Set<number>();
  /** Accounts that go with a commit of the caller's, which may fail. */
  const going = new Set<Account>();
  const formerNames = new Map<number, string>();
  const movedGroups = new Set<string>();
  const movedMembers = new Map<string, Set<number>>();
  let telling: NodeJS.Immediate | undefined;
  // Perspectives of accounts asked for lately, valid for one state of the groups.
  let seen = { sharing: state.now, of: new Map<number, Perspective>() };

  function perspective(id: number): Perspective {
    if (seen.sharing !== state.now) seen = { sharing: state.now, of: new Map() };
    let found = seen.of.get(id);
    if (found === undefined) {
      found = perspectiveOf(state.now, id);
      seen.of.set(id, found);
    }
    return found;
  }

  // ---------------------------------------------------------------- loading

  async function load(): Promise<void> {
    const served = names.primary.id;
    const [rows, members, highest] = await Promise.all([
      storage.read(tables.groupsOfDomain, served),
      storage.read(tables.membersOfDomain, served),
      storage.read(tables.highestGroup),
    ]);
    lastId = highest[0]?.highest ?? 0;
    const sets = new Map(
      rows.map((row): [number, { name: string; ids: Set<number> }] => [row.id, { name: row.name, ids: new Set() }]),
    );
    const listed = new Map<number, string[]>();
    for (const { shared_group, account } of members) {
      const set = sets.get(shared_group);
      if (set === undefined) continue;
      set.ids.add(account);
      const list = listed.get(account);
      if (list === undefined) listed.set(account, [set.name]);
      else list.push(set.name);
    }
    const people = new Map<number, ReturnType<typeof personOf>>();
    for (const account of [...accounts.all(), ...accounts.contacts()])
      if (account.served === served) people.set(account.id, personOf(account, pattern()));
    const loaded = rows.map((row): [string, Group] => [row.name, groupOf(row, sets.get(row.id)?.ids ?? new Set())]);
    state.now = { groups: new Map(loaded), people, listed };
  }

  // ---------------------------------------------------------------- changes

  /** Tells in the next turn, so that everything one apply changes is told at once. */
  function tellLater(): void {
    telling ??= setImmediate(() => {
      telling = undefined;
      const gone = [...going];
      going.clear();
      // Accounts go with a commit of the caller's: it is on disk before anybody hears of it.
      storage.write([]).then(
        () => tell(gone),
        (error: unknown) => core.report.wrong({ what: "shared groups", error }),
      );
    });
  }

  function changePerson(account: Account, gone = false): void {
    if (account.served !== names.primary.id) return;
    if (told === undefined) told = state.now;
    moving.set(account.id, gone ? undefined : personOf(account, pattern()));
    movedPeople.add(account.id);
  }

  function follow(account: Account): void {
    changePerson(account);
    tellLater();
  }

  core.watch(contactNames, () => {
    const people = [...state.now.people.values()];
    if (people.length > mostRenamed)
      for (const { account } of people) moving.set(account.id, personOf(account, pattern()));
    else if (people.length > 0) {
      for (const { account } of people) changePerson(account);
      tellLater();
    }
  });

  function leave(account: Account): Write[] {
    going.add(account);
    tellLater();
    return [tables.leaveAll.with(account.id)];
  }

  function touch(touched: Touched): void {
    for (const name of touched.groups) movedGroups.add(name);
    for (const [name, ids] of touched.members) {
      const all = movedMembers.get(name) ?? new Set();
      for (const id of ids) all.add(id);
      movedMembers.set(name, all);
    }
    tellLater();
  }

  /** Every pair that changed since it was told last, once, for accounts that are online. */
  function tell(gone: readonly Account[]): void {
    for (const account of gone) if (accounts.byId(account.id) !== account) changePerson(account, true);
    const before = told;
    told = undefined;
    if (before === undefined) return;
    const changes: SharedContactChange[] = [];
    for (const account of online) tellAccount(account, before, changes);
    movedPeople.clear();
    formerNames.clear();
    movedGroups.clear();
    movedMembers.clear();
    if (changes.length > 0)
      for (const listener of core.offered(sharedContactsChanged)) listener.sharedContactsChanged(changes);
  }

  function tellAccount(account: Account, before: Sharing, changes: SharedContactChange[]): void {
    const { id } = account;
    const others = affected(id, before);
    if (others !== "all" && others.size === 0) return;
    const then = perspectiveOf(before, id);
    const present = perspective(id);
    const candidates = others === "all" ? new Set([...related(before, then), ...related(state.now, present)]) : others;
    for (const other of candidates) {
      const was = relation(before, then, other);
      const is = relation(state.now, present, other);
      const person = state.now.people.get(other) ?? before.people.get(other);
      if (person === undefined || (was === undefined && is === undefined)) continue;
      const formerName = formerNames.get(other);
      const renamed =
        before.people.get(other)?.label !== state.now.people.get(other)?.label || formerName !== undefined;
      if (!renamed && sameContact(was, is)) continue;
      changes.push({ account, contact: person.account, before: was, now: is, formerName });
    }
  }

  /** The accounts whose relation to this one may have changed. */
  function affected(id: number, before: Sharing): "all" | Set<number> {
    if (movedPeople.has(id)) return "all";
    const others = new Set(movedPeople);
    for (const name of movedGroups) if (concerns(name, id, before) || concerns(name, id, state.now)) return "all";
    for (const [name, ids] of movedMembers) {
      if (ids.has(id)) return "all";
      if (concerns(name, id, before) || concerns(name, id, state.now)) for (const other of ids) others.add(other);
    }
    others.delete(id);
    return others;
  }

  /** Whether the account is in the group, sees it, or is seen through it. */
  function concerns(name: string, id: number, sharing: Sharing): boolean {
    const group = sharing.groups.get(name);
    if (group === undefined) return false;
    if (isMember(sharing, group, id) || maySee(sharing, group, id)) return true;
    for (const other of sharing.groups.values())
      if (other.groupList.includes(name) && isMember(sharing, other, id)) return true;
    return false;
  }

  // ---------------------------------------------------------------- points

  function* contactsOf(own: Perspective): IterableIterator<SharedContact> {
    for (const other of related(state.now, own)) {
      const contact = relation(state.now, own, other);
      if (contact !== undefined) yield contact;
    }
  }

  core.offer(sharedContacts, {
    contactsOf: (account) => contactsOf(perspective(account.id)),
    *onlineContactsOf(account) {
      const own = perspective(account.id);
      // Whatever is less: everybody who is online, or everybody in the groups.
      if (relatedAtMost(state.now, own) <= online.size) {
        for (const contact of contactsOf(own)) if (contact.account.sessions.length > 0) yield contact;
        return;
      }
      for (const other of online) {
        const contact = relation(state.now, own, other.id);
        if (contact !== undefined) yield contact;
      }
    },
    contact: (account, other) => relation(state.now, perspective(account.id), other.id),
    groupNames: (account) => [
      ...new Set(
        perspective(account.id)
          .visible.map(({ displayName }) => displayName)
          .filter(Boolean),
      ),
    ],
    version: (account) => versionFor(state.now, perspective(account.id)),
  });

  const withContacts = (contacts: readonly string[]) => (contacts.length > 0 ? { contacts } : {});
  const namesOf = (ids: ReadonlySet<number>, contacts: boolean): string[] =>
    [...ids]
      .flatMap((id) => state.now.people.get(id) ?? [])
      .flatMap(({ name, account }) => (account.contact === contacts ? [name] : []))
      .sort();

  const asSeen = ({ name, displayName, showInRoster, groupList, all, members, origin }: Group): SharedGroup => ({
    ...{ name, displayName, showInRoster, groupList, origin },
    members: all ? "all" : namesOf(members, false),
    ...withContacts(namesOf(members, true)),
  });

  let listed: { of: Sharing; list: readonly SharedGroup[] } | undefined;

  core.offer(groups, {
    list() {
      const of = state.now;
      if (listed?.of !== of) listed = { of, list: [...of.groups.values()].map(asSeen) };
      return listed.list;
    },
    get(name) {
      const group = state.now.groups.get(name);
      return group && asSeen(group);
    },
    *members(name) {
      for (const id of membersOf(state.now, state.now.groups.get(name))) {
        const account = state.now.people.get(id)?.account;
        if (account !== undefined && !account.contact) yield account;
      }
    },
    prepare(changes) {
      const ids = new Map<string, number>();
      const newId = (name: string): number => {
        const id = ids.get(name) ?? ++lastId;
        ids.set(name, id);
        return id;
      };
      const facts = { served: names.primary.id, newId };
      const { writes } = edit(state.now, changes, facts);
      const done = (): void => {
        told ??= state.now;
        const { sharing, touched } = edit(state.now, changes, facts);
        state.now = sharing;
        touch(touched);
      };
      return { writes, done };
    },
  });

  return {
    ready: load(),
    session: {
      opened: ({ account }: Session) => void online.add(account),
      restored: ({ account }: Session) => void online.add(account),
      closed({ account }: Session) {
        if (account.sessions.length === 0) online.delete(account);
      },
    },
    account: {
      created: follow,
      changed: follow,
      renamed(account: Account, before: string) {
        if (!formerNames.has(account.id)) formerNames.set(account.id, before);
        follow(account);
      },
      setAside: leave,
      removed: leave,
    },
    stop: () => clearImmediate(telling),
  };
}

function groupOf(row: tables.GroupRow, members: ReadonlySet<number>): Group {
  return {
    id: row.id,
    name: row.name,
    displayName: row.display_name,
    showInRoster: row.show_in_roster,
    groupList: JSON.parse(row.group_list) as string[],
    all: row.everyone === 1,
    members,
    origin: row.origin,
  };
}

function sameContact(one: SharedContact | undefined, other: SharedContact | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  if (one.subscription !== other.subscription || one.groups.length !== other.groups.length) return false;
  return one.groups.every((group, index) => group === other.groups[index]);
}
