/** Who may apply what, when: the truth table of policy.ts row by row, and the brake. */
import { describe, expect, test } from "vitest";
import { CodedError } from "../../agent/errors.ts";
import type { Plan, PlannedChange, Removal } from "../../agent/plan/types.ts";
import { patience } from "../../agent/policy/patience.ts";
import { type Asked, decide, type Facts, type Policy } from "../../agent/policy/policy.ts";
import { openWindows } from "../../agent/policy/window.ts";

const roster = change("account alice", "roster", "live");
const live = change("property a", "settings", "live");
const restart = change("property b", "settings", "restart");
const domain = change("domain", "settings", "migrate");

function change(
  subject: string,
  scope: PlannedChange["scope"],
  impact: PlannedChange["impact"],
  removes: Removal[] = [],
): PlannedChange {
  return { subject, action: "set", from: null, to: "x", impact, source: "s", scope, steps: [], removes };
}

function planOf(...changes: PlannedChange[]): Plan {
  const totals = { accounts: 50, groups: 20, memberships: 100 };
  return { expected: 1, revision: 2, snapshot: "s", impact: "live", changes, rejected: [], notices: [], totals };
}

const auto: Policy = { mode: "auto", autoMigrate: false, maxRemovePercent: 20 };
const manual: Policy = { ...auto, mode: "manual" };
const loop: Asked = { person: false };
const person: Asked = { person: true };
const running: Facts = { first: false, confirmed: [] };

test.each<[string, Policy, Facts, Asked, PlannedChange[]]>([
  ["the loop while the agent holds", auto, { ...running, held: "x." }, loop, []],
  ["a person while the agent holds", auto, { ...running, held: "x." }, person, []],
  ["a person", manual, running, person, [roster, live, restart, domain]],
  ["a person, roster only", manual, running, { ...person, scope: "roster" }, [roster]],
  ["a person, settings only", manual, running, { ...person, scope: "settings" }, [live, restart, domain]],
  ["the loop in auto mode", auto, running, loop, [roster, live, restart]],
  [
    "the loop in auto mode with AUTO_MIGRATE",
    { ...auto, autoMigrate: true },
    running,
    loop,
    [roster, live, restart, domain],
  ],
  [
    "the loop in manual mode at the very first apply",
    manual,
    { ...running, first: true },
    loop,
    [roster, live, restart],
  ],
  ["the loop in manual mode", manual, running, loop, []],
])("%s", (_, policy, facts, asked, now) => {
  const decision = decide(planOf(roster, live, restart, domain), policy, facts, asked);
  expect(decision.now.changes).toEqual(now);
  expect(decision.waiting).toEqual([roster, live, restart, domain].filter((one) => !now.includes(one)));
  if (decision.waiting.length > 0) expect(decision.why.join(" ")).toMatch(/firekeeper (apply|resume)|scope/);
});

describe("the brake", () => {
  const accounts = (count: number): Removal[] =>
    Array.from({ length: count }, (_, at) => ({ of: "account", name: `u${at}` }));
  const removing = (removes: Removal[]) => planOf(live, change("accounts", "roster", "live", removes));

  test.each([
    ["nine of fifty", 9, undefined, true],
    ["ten of fifty are no more than a fifth", 10, undefined, true],
    ["eleven of fifty", 11, undefined, false],
    ["eleven, and the person says eleven", 11, 11, true],
    ["eleven, and the person says ten", 11, 10, false],
  ])("%s", (_, count, said, goes) => {
    const decision = decide(removing(accounts(count)), auto, running, { person: true, removals: said });
    expect(decision.now.changes.length).toBe(goes ? 2 : 0);
    if (!goes) {
      expect(decision.refusal).toMatchObject({ code: "apply/removes-much", fields: { removals: count } });
      expect(decision.refusal?.hint).toContain(`--removals ${count}`);
    }
  });

  test("it holds in auto mode too, and for the whole plan", () => {
    expect(decide(removing(accounts(30)), auto, running, loop).now.changes).toEqual([]);
  });

  test("what a person removed by command does not count", () => {
    const confirmed = [{ users: Array.from({ length: 11 }, (_, at) => ` U${at}`), roles: [], memberships: [] }];
    expect(decide(removing(accounts(11)), auto, { ...running, confirmed }, loop).now.changes).toHaveLength(2);
  });

  test("memberships count by themselves, and a role removed by command confirms them", () => {
    const members: Removal[] = Array.from({ length: 30 }, (_, at) => ({
      of: "membership",
      group: "Sales",
      name: `u${at}`,
    }));
    expect(decide(removing(members), auto, running, loop).refusal?.message).toContain("30 of 100 memberships");
    const confirmed = [{ users: [], roles: ["Sales"], memberships: [] }];
    expect(decide(removing(members), auto, { ...running, confirmed }, loop).now.changes).toHaveLength(2);
  });
});

test("patience: the same failed plan waits longer each time, another plan does not wait", () => {
  let now = 0;
  const patient = patience(() => now);
  const first = planOf({ ...live, steps: [{ kind: "setting", setting: "property:a", to: "1" }] });
  const other = planOf({ ...live, steps: [{ kind: "setting", setting: "property:a", to: "2" }] });
  const failed = { is: "failed", error: new CodedError("listeners/port-taken", "Taken.") } as const;
  patient.saw(first, failed);
  expect(patient.refuses(first)).toContain("Taken.");
  expect(patient.refuses(other)).toBeUndefined();
  now = 5_000;
  expect(patient.refuses(first)).toBeUndefined();
  patient.saw(first, failed);
  now = 10_000;
  expect(patient.refuses(first)).toContain("1970-01-01T00:00:15");
  patient.saw(first, { is: "applied", revision: 1, applied: first, done: [] });
  expect(patient.refuses(first)).toBeUndefined();
});

describe("what lets nothing through", () => {
  test.each<[string, Partial<Facts>, string]>([
    ["a freeze", { frozen: "Frozen by alice." }, "apply/frozen"],
    ["a confirmation that is awaited", { awaits: "Revision 3 waits." }, "apply/awaits-confirmation"],
    ["a hold", { held: "x." }, "apply/held"],
    ["a freeze, before all else", { held: "x.", awaits: "y.", frozen: "z." }, "apply/frozen"],
  ])("%s, whoever asks", (_, facts, code) => {
    for (const asked of [loop, person, { ...person, now: true, scope: "roster" as const }]) {
      const decision = decide(planOf(roster, live), auto, { ...running, ...facts }, asked);
      expect(decision.now.changes).toEqual([]);
      expect(decision.refusal?.code).toBe(code);
    }
    expect(decide(planOf(), auto, { ...running, ...facts }, person).refusal).toBeUndefined();
  });
});

describe("a maintenance window", () => {
  const windows = openWindows("0 2 * * * for 1h", "UTC", new Set(["restart", "migrate"] as const));
  const windowed = { ...auto, windows };
  const closed = { ...running, at: Date.parse("2026-11-21T12:00:00Z") };
  const opened = { ...running, at: Date.parse("2026-11-21T02:30:00Z") };

  test.each<[string, Policy, Facts, Asked, PlannedChange[], string?]>([
    ["closed, the loop: what is noticed waits", windowed, closed, loop, [roster, live]],
    ["open, the loop", windowed, opened, loop, [roster, live, restart]],
    ["closed, a person: refused as a whole", windowed, closed, person, [], "apply/outside-window"],
    ["closed, a person who takes the roster", windowed, closed, { ...person, scope: "roster" }, [roster]],
    ["closed, a person who will not wait", windowed, closed, { ...person, now: true }, [roster, live, restart, domain]],
    ["open, a person", windowed, opened, person, [roster, live, restart, domain]],
    ["closed, the first apply ever", windowed, { ...closed, first: true }, loop, [roster, live, restart]],
    ["closed, AUTO_MIGRATE", { ...windowed, autoMigrate: true }, closed, loop, [roster, live]],
    ["open, AUTO_MIGRATE", { ...windowed, autoMigrate: true }, opened, loop, [roster, live, restart, domain]],
  ])("%s", (_, policy, facts, asked, now, code) => {
    const decision = decide(planOf(roster, live, restart, domain), policy, facts, asked);
    expect(decision.now.changes).toEqual(now);
    expect(decision.refusal?.code).toBe(code);
  });

  test("what waits says until when", () => {
    const { why } = decide(planOf(live, restart), windowed, closed, loop);
    expect(why).toEqual([
      "1 change waits for the maintenance window 0 2 * * * for 1h (UTC), which opens at 2026-11-22T02:00Z.",
    ]);
  });
});

test("what is to be confirmed must be one that the agent may take back", () => {
  const within = { ...person, confirmMs: 1000 };
  const codes = [planOf(live, domain), planOf(live)].map((one) => decide(one, auto, running, within).refusal?.code);
  expect(codes).toEqual(["apply/confirm-migrate", undefined]);
  expect(decide(planOf(live), auto, { ...running, first: true }, within).refusal?.code).toBe(
    "apply/nothing-to-return-to",
  );
  expect(decide(planOf(roster, domain), auto, running, { ...within, scope: "roster" }).now.changes).toEqual([roster]);
});
