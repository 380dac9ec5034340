import { createHash } from "node:crypto";
import type { Account } from "../../routing/accounts.ts";
import type { SharedContact } from "../points.ts";

/** A group as it is kept in memory. Immutable: a change makes another one, also a change of one of its members. */
export interface Group {
  readonly id: number;
  readonly name: string;
  readonly displayName: string;
  readonly showInRoster: "nobody" | "onlyGroup" | "everybody";
  readonly groupList: readonly string[];
  /** Every account is a member, and `members` names teams only. */
  readonly all: boolean;
  /** Ids of accounts and teams, disabled ones too. */
  readonly members: ReadonlySet<number>;
  readonly origin: "host" | "local";
}

/** What of an account others see through groups. Immutable. */
export interface Person {
  readonly account: Account;
  readonly name: string;
  /** The name that rosters show. */
  readonly label: string;
  /** Enabled; others are in nobody's roster. */
  readonly active: boolean;
}

/** Everything that shared contacts follow from, at one moment. Immutable. */
export interface Sharing {
  /** By name, in the order of names. */
  readonly groups: ReadonlyMap<string, Group>;
  readonly people: ReadonlyMap<number, Person>;
  /** Names of the groups that list an account as member; groups of all are not among them. */
  readonly listed: ReadonlyMap<number, readonly string[]>;
}

export function isMember(sharing: Sharing, group: Group | undefined, id: number): boolean {
  const person = sharing.people.get(id);
  if (group === undefined || person?.active !== true) return false;
  return group.members.has(id) || (group.all && !person.account.contact);
}

export function* membersOf(sharing: Sharing, group: Group | undefined): IterableIterator<number> {
  if (group === undefined) return;
  if (group.all) for (const [id, { active, account }] of sharing.people) if (active && !account.contact) yield id;
  for (const id of group.members) if (sharing.people.get(id)?.active === true) yield id;
}

/**
 * Who sees a group's members in his roster (openfire `sharedRoster.showInRoster`, `sharedRoster.groupList`):
 *
 *  showInRoster | seen by
 *  -------------|-----------------------------------------------
 *  nobody       | nobody
 *  onlyGroup    | its members, and members of the groups it lists
 *  everybody    | every account
 */
export function maySee(sharing: Sharing, group: Group, id: number): boolean {
  if (group.showInRoster === "nobody" || sharing.people.get(id)?.active !== true) return false;
  if (group.showInRoster === "everybody" || isMember(sharing, group, id)) return true;
  return group.groupList.some((name) => isMember(sharing, sharing.groups.get(name), id));
}

/** The groups that decide about one account's contacts. */
export interface Perspective {
  readonly id: number;
  /** Groups whose members the account sees. */
  readonly visible: readonly Group[];
  /** Shared groups the account is in: who may see them sees the account. */
  readonly own: readonly Group[];
}

export function perspectiveOf(sharing: Sharing, id: number): Perspective {
  const visible: Group[] = [];
  const own: Group[] = [];
  for (const group of sharing.groups.values()) {
    if (group.showInRoster === "nobody") continue;
    if (maySee(sharing, group, id)) visible.push(group);
    if (isMember(sharing, group, id)) own.push(group);
  }
  return { id, visible, own };
}

/**
 * What one account has of another through groups:
 *
 *  the account sees the other | the other sees the account | subscription
 *  ---------------------------|----------------------------|------------------------------------
 *  yes                        | yes                        | both
 *  yes                        | no                         | to
 *  no                         | yes                        | from: not shown, presence goes to him
 *  no                         | no                         | no contact
 */
export function relation(sharing: Sharing, perspective: Perspective, other: number): SharedContact | undefined {
  const person = sharing.people.get(other);
  if (person === undefined || other === perspective.id) return undefined;
  let sees = false;
  const groups: string[] = [];
  for (const group of perspective.visible) {
    if (!isMember(sharing, group, other)) continue;
    sees = true;
    // openfire: without a display name the contact is there, the group is not.
    if (group.displayName !== "" && !groups.includes(group.displayName)) groups.push(group.displayName);
  }
  const seen = perspective.own.some((group) => maySee(sharing, group, other));
  if (!sees && !seen) return undefined;
  const subscription = sees ? (seen ? "both" : "to") : "from";
  return { account: person.account, label: person.label, subscription, groups };
}

/** Every other account that `relation` has an answer for, once. */
export function* related(sharing: Sharing, perspective: Perspective): IterableIterator<number> {
  const { visible, own, id } = perspective;
  const everybody = own.some((group) => group.showInRoster === "everybody");
  const sources = everybody
    ? []
    : own.flatMap((group) => [group, ...group.groupList.map((name) => sharing.groups.get(name))]);
  const done = new Set<Group>();
  const met = new Set<number>([id]);
  for (const group of [...visible, ...sources]) {
    if (group === undefined || done.has(group)) continue;
    done.add(group);
    for (const member of membersOf(sharing, group)) {
      if (met.has(member)) continue;
      met.add(member);
      yield member;
    }
  }
  if (!everybody) return;
  for (const [other, person] of sharing.people) if (person.active && !met.has(other)) yield other;
}

/** A bound of how many `related` goes through. */
export function relatedAtMost(sharing: Sharing, { visible, own }: Perspective): number {
  const sizeOf = (group: Group | undefined): number =>
    (group?.all ? sharing.people.size : 0) + (group?.members.size ?? 0);
  let most = 0;
  for (const group of visible) most += sizeOf(group);
  for (const group of own) {
    if (group.showInRoster === "everybody") return sharing.people.size;
    most += sizeOf(group);
    for (const name of group.groupList) most += sizeOf(sharing.groups.get(name));
  }
  return most;
}

// ---------------------------------------------------------------- versions

const hashes = new WeakMap<Person, readonly [number, number]>();
const digests = new WeakMap<Group, string>();

function hashOf(id: number, person: Person): readonly [number, number] {
  let hash = hashes.get(person);
  if (hash === undefined) {
    const bytes = createHash("sha256").update(`${id}\0${person.name}\0${person.label}`).digest();
    hash = [bytes.readInt32LE(0), bytes.readInt32LE(4)];
    hashes.set(person, hash);
  }
  return hash;
}

/** A text that is another one when the group or what is shown of its members is another. Cached with the group. */
function digestOf(sharing: Sharing, group: Group): string {
  let digest = digests.get(group);
  if (digest === undefined) {
    let one = 0;
    let two = 0;
    // Order does not matter and each member counts once, so the sum of their hashes stands for the set.
    for (const id of membersOf(sharing, group)) {
      const person = sharing.people.get(id);
      const [first, second] = person === undefined ? [0, 0] : hashOf(id, person);
      one = (one + first) | 0;
      two = (two + second) | 0;
    }
    digest = JSON.stringify([group.id, group.name, group.displayName, group.showInRoster, group.groupList, one, two]);
    digests.set(group, digest);
  }
  return digest;
}

/** Changes whenever anything that an account sees through groups changes; the same again after a restart. */
export function versionFor(sharing: Sharing, perspective: Perspective): string {
  const groups = new Set([...perspective.visible, ...perspective.own]);
  for (const group of perspective.own)
    for (const name of group.groupList) {
      const listed = sharing.groups.get(name);
      if (listed !== undefined) groups.add(listed);
    }
  if (groups.size === 0) return "0";
  const hash = createHash("sha256");
  for (const group of sharing.groups.values()) if (groups.has(group)) hash.update(digestOf(sharing, group));
  return hash.digest("base64url").slice(0, 16);
}
