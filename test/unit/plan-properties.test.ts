/** Whatever the host wants and whatever the server has: the plan closes the gap, once, in any order of telling. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Desired } from "../../agent/desired/desired.ts";
import { plan } from "../../agent/plan/plan.ts";
import type { Plan } from "../../agent/plan/types.ts";
import { type AccountWanted, type DesiredState, desiredState } from "../../xmpp-core/control/contract.ts";
import { applied, canonical, modelProperties, newWorld, type World } from "../support/model-server.ts";

const person = fc.constantFrom("alice", "bob", "carol", "Dave", "eve", "Alice", "b ad");
const id = fc.option(fc.constantFrom("1", "2", "3", "4", "5"), { nil: undefined });
const account: fc.Arbitrary<AccountWanted> = fc
  .record({
    name: person,
    id,
    enabled: fc.boolean(),
    displayName: fc.option(fc.constantFrom("A", "B"), { nil: undefined }),
    key: fc.option(fc.constantFrom("k1", "k2"), { nil: undefined }),
  })
  .map(({ key, ...rest }) => clean({ ...rest, ...(key ? { credentials: { sha256: key } } : {}) }));
const accounts = fc
  .uniqueArray(account, { maxLength: 6, selector: (one) => one.name })
  .map((all) => all.filter((one, at) => !one.id || all.findIndex((other) => other.id === one.id) === at));
const group = fc.record({
  name: fc.constantFrom("Sales", "Support", "All"),
  displayName: fc.constantFrom("Sales", "People"),
  showInRoster: fc.constantFrom("onlyGroup" as const, "everybody" as const),
  groupList: fc.uniqueArray(fc.constantFrom("Sales", "Support")),
  members: fc.oneof(fc.constant("all" as const), fc.uniqueArray(person, { maxLength: 4 })),
});
const value = fc.constantFrom("true", " TRUE", "false", "5", "05", "soon", "");
const wanted: fc.Arbitrary<Desired> = fc
  .record({
    domain: fc.constantFrom("a.example", "b.example"),
    admin: fc.option(person, { nil: undefined }),
    externalAddress: fc.option(fc.constantFrom("192.0.2.1", "192.0.2.2"), { nil: undefined }),
    properties: fc.dictionary(fc.constantFrom(...Object.keys(modelProperties), "some.unknown"), value),
    groups: fc.uniqueArray(group, { selector: (one) => one.name }),
    supervisors: fc.uniqueArray(person, { maxLength: 3 }),
    accounts,
    domainFrom: fc.constantFrom("store" as const, "default" as const),
  })
  .map(({ domain, admin, externalAddress, properties, groups, supervisors, accounts: users, domainFrom }) => ({
    state: desiredState.parse(
      clean({ settings: clean({ domain, admin, externalAddress, properties }), groups, supervisors, accounts: users }),
    ),
    domainFrom,
    rejections: [],
    notices: [],
  }));

/** Worlds that came about by applying twice, with local accounts and settings between. */
const maybeWanted = fc.option(wanted, { nil: undefined });
const worlds = fc
  .record({ first: maybeWanted, second: maybeWanted, locals: fc.uniqueArray(person), localIdle: fc.boolean() })
  .map(({ first, second, locals, localIdle }) => {
    let world = newWorld();
    for (const name of locals.filter((one) => one === one.toLowerCase() && !one.includes(" ")).slice(0, 2)) {
      world.accounts.push({ name, enabled: true, origin: "local" });
    }
    if (localIdle)
      world.settings.properties.push({ key: "xmpp.client.idle", value: "5", origin: "local", secret: false });
    if (first) world = after(world, planFor(first, world));
    if (second) world = after(world, planFor(second, world));
    return world;
  });

function clean<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}

function planFor(desired: Desired, world: World): Plan {
  return plan({
    desired,
    canonical: canonical(desired.state, world),
    actual: world,
    revision: 7,
    snapshot: "s",
    keepDays: 30,
    adopt: new Set(),
  });
}

function after(world: World, made: Plan): World {
  return applied(
    world,
    made.changes.flatMap((change) => change.steps),
  );
}

test("applying a plan leaves nothing to plan", () => {
  const sizes: number[] = [];
  const kinds = new Set<string>();
  fc.assert(
    fc.property(worlds, wanted, (world, desired) => {
      const first = planFor(desired, world);
      sizes.push(first.changes.length);
      for (const change of first.changes) kinds.add(change.action);
      const second = planFor(desired, after(world, first));
      expect(second.changes).toEqual([]);
      expect(second.impact).toBe("none");
      expect(second.revision).toBe(7);
    }),
    { numRuns: 600 },
  );
  expect(sizes.some((size) => size > 5)).toBe(true);
  expect([...kinds]).toEqual(
    expect.arrayContaining([
      "add",
      "change",
      "remove",
      "return",
      "rename",
      "replace",
      "members",
      "grant",
      "revoke",
      "set",
      "unset",
      "own",
    ]),
  );
});

test("whatever is wanted and not rejected is so afterwards", () => {
  fc.assert(
    fc.property(worlds, wanted, (world, desired) => {
      const made = planFor(desired, world);
      const end = after(world, made);
      const refused = new Set(made.rejected.map((one) => one.subject.name));
      for (const one of desired.state.accounts) {
        if (refused.has(one.name) || refused.has(one.name.toLowerCase())) continue;
        const found = end.accounts.find((other) => other.name === one.name.toLowerCase());
        expect(found).toMatchObject({ origin: "host", enabled: one.enabled });
        expect(found?.keptUntil).toBeUndefined();
      }
      for (const [key, text] of Object.entries(desired.state.settings.properties)) {
        const answer = canonical(desired.state, world).settings.find((one) => one.setting === `property:${key}`);
        if (!answer || answer.value === null) continue;
        const found = end.settings.properties.find((other) => other.key === key);
        expect(found?.origin, `${key} = ${text}`).toBe("host");
        if (!answer.secret) expect(found?.value).toBe(answer.value);
      }
      for (const one of world.accounts.filter((account) => account.origin === "local")) {
        expect(end.accounts).toContainEqual(one);
      }
    }),
    { numRuns: 400 },
  );
});

test("the order in which the worlds are told does not matter", () => {
  fc.assert(
    fc.property(worlds, wanted, fc.integer(), (world, desired, seed) => {
      const shuffled: DesiredState = {
        settings: { ...desired.state.settings, properties: shuffledRecord(desired.state.settings.properties, seed) },
        groups: shuffledList(desired.state.groups, seed).map((one) => ({
          ...one,
          members: one.members === "all" ? one.members : shuffledList(one.members, seed),
        })),
        supervisors: shuffledList(desired.state.supervisors, seed),
        accounts: shuffledList(desired.state.accounts, seed),
      };
      const shuffledWorld = {
        ...world,
        accounts: shuffledList(world.accounts, seed),
        groups: shuffledList(world.groups, seed),
        supervisors: shuffledList(world.supervisors, seed),
      };
      expect(planFor({ ...desired, state: shuffled }, shuffledWorld)).toEqual(planFor(desired, world));
    }),
    { numRuns: 300 },
  );
});

function shuffledList<T>(list: readonly T[], seed: number): T[] {
  const keyed = list.map((one, at) => ({ one, key: Math.sin(seed + at * 7919) }));
  return keyed.sort((a, b) => a.key - b.key).map(({ one }) => one);
}

function shuffledRecord(record: Record<string, string>, seed: number): Record<string, string> {
  return Object.fromEntries(shuffledList(Object.entries(record), seed));
}
