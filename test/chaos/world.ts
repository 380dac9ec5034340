import { stringify } from "yaml";
import type { HostChange } from "../../agent/store/host-change.ts";

/** A host at random: people, roles and settings, changed step by step; the same seed makes the same host. */

type Keys = { sha1: string; sha256: string; sha512: string };
type Person = { name: string; enabled: boolean; displayName?: string };

export interface World {
  readonly people: ReadonlyMap<string, Person>;
  readonly roles: ReadonlyMap<string, ReadonlySet<string>>;
  readonly settings: ReadonlyMap<string, string>;
  /** One change at random, made to this world; undefined: the dice asked for what cannot be. */
  change(): HostChange | undefined;
  /** As a host file. */
  text(): string;
  any(): string;
}

/** Settings that are live, so that a round costs no restart of the core. */
const live = ["xmpp.client.idle", "unknown.to.everybody", "also.unknown", "cache.fileTransfer.size"];

export function world(dice: () => number, keys: Keys, fixed: Record<string, string>): World {
  const admin: Person = { name: "admin", enabled: true };
  const people = new Map<string, Person>([[admin.name, admin]]);
  const roles = new Map<string, Set<string>>();
  const settings = new Map(Object.entries(fixed));
  for (let i = 0; i < 20; i++) people.set(`p${i}`, { name: `p${i}`, enabled: true });
  for (let i = 0; i < 5; i++) roles.set(`Role ${i}`, new Set([...people.keys()].filter(() => dice() < 0.4)));
  let made = people.size;

  const pick = <T>(items: Iterable<T>): T => {
    const all = [...items];
    return all[Math.floor(dice() * all.length)] as T;
  };
  const others = (): Person[] => [...people.values()].filter((one) => one !== admin);

  const kinds: (() => HostChange | undefined)[] = [
    () => {
      const name = `n${made++}`;
      people.set(name, { name, enabled: true });
      return { kind: "user-add", name, credentials: keys };
    },
    () => {
      if (others().length < 10) return undefined;
      const { name } = pick(others());
      people.delete(name);
      for (const members of roles.values()) members.delete(name);
      return { kind: "user-remove", name };
    },
    () => {
      const person = pick(others());
      person.enabled = !person.enabled;
      return { kind: "user-enabled", name: person.name, enabled: person.enabled };
    },
    () => {
      if (roles.size > 8) return undefined;
      const role = `Role ${made++}`;
      const members = [...new Set([pick(people.keys()), pick(people.keys())])];
      roles.set(role, new Set(members));
      return { kind: "role-add", type: "xmpp.group", name: role, members };
    },
    () => {
      if (roles.size < 3) return undefined;
      const name = pick(roles.keys());
      roles.delete(name);
      return { kind: "role-remove", name };
    },
    () => {
      const [role, members] = pick(roles);
      const absent = [...people.keys()].filter((name) => !members.has(name));
      if (absent.length === 0) return undefined;
      const name = pick(absent);
      members.add(name);
      return { kind: "role-member-add", role, members: [name] };
    },
    () => {
      const [role, members] = pick(roles);
      if (members.size === 0) return undefined;
      const name = pick(members);
      members.delete(name);
      return { kind: "role-member-remove", role, members: [name] };
    },
    () => {
      const key = `sys.xmpp.properties.${pick(live)}`;
      const value = String(1000 + Math.floor(dice() * 1_000_000));
      settings.set(key, value);
      return { kind: "setting-set", key, value };
    },
    () => {
      const key = `sys.xmpp.properties.${pick(live)}`;
      if (!settings.delete(key)) return undefined;
      return { kind: "setting-unset", key };
    },
  ];

  return {
    people,
    roles,
    settings,
    change: () => pick(kinds)(),
    any: () => pick(people.keys()),
    text: () =>
      `${stringify({
        settings: Object.fromEntries(settings),
        roles: [...roles].map(([name, members]) => ({ name, types: ["xmpp.group"], members: [...members] })),
        users: [...people.values()].map((person) => ({ ...person, credentials: keys })),
      })}...\n`,
  };
}
