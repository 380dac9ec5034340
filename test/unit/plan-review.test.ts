/** A reviewed plan is applied as it was read or not at all; and what `plan --json` prints fits the published schema. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { planDocumentSchema, planSchemaPage } from "../../agent/plan/document.ts";
import { readReviewed, refuseStale, reviewed } from "../../agent/plan/review.ts";
import type { Plan, PlannedChange } from "../../agent/plan/types.ts";

const key = randomBytes(32);
const change = (subject: string, to: string): PlannedChange => ({
  ...{ subject, action: "set", from: null, to, impact: "live", source: "s", scope: "settings", removes: [] },
  steps: [{ kind: "setting", setting: subject, to: `${to}-hunter2` }],
});
const planOf = (more: Partial<Plan> = {}): Plan => ({
  ...{ expected: 4, revision: 5, snapshot: "s1", impact: "live", rejected: [], notices: [] },
  changes: [change("a", "1"), change("b", "1")],
  totals: { accounts: 0, groups: 0, memberships: 0 },
  ...more,
});
const facts = { made: "2026-11-21T10:00:00Z", by: "alice", asked: {}, key };
const written = () => JSON.parse(JSON.stringify(reviewed(planOf(), facts)));

describe("a reviewed plan", () => {
  test("of the same world goes, also when its keys come in another order", () => {
    const turned = Object.fromEntries(Object.entries(written()).reverse());
    expect(() => refuseStale(planOf(), readReviewed(turned, key), key)).not.toThrow();
  });

  test("holds no step, so no key or secret", () => {
    expect(JSON.stringify(written())).not.toContain("hunter2");
  });

  test.each<[string, Plan, string]>([
    ["the store", planOf({ snapshot: "s2" }), "the host's settings have changed"],
    ["the revision", planOf({ expected: 6 }), "revision 6 is in force, it was 4"],
    ["a new change", planOf({ changes: [...planOf().changes, change("c", "1")] }), "new: c: set 1"],
    ["a change that is gone", planOf({ changes: [change("a", "1")] }), "gone: b: set 1"],
    ["another value", planOf({ changes: [change("a", "2"), change("b", "1")] }), "different: a: set 2"],
    [
      "another value that is not shown",
      planOf({ changes: [change("a", "1"), { ...change("b", "1"), steps: [] }] }),
      "different: b: set 1",
    ],
    ["another order", planOf({ changes: [change("b", "1"), change("a", "1")] }), "the order differs"],
  ])("is refused when %s differs, by name", (_, plan, what) => {
    expect(() => refuseStale(plan, readReviewed(written(), key), key)).toThrow(what);
  });

  test.each<[string, (file: Record<string, unknown>) => unknown]>([
    ["an edited snapshot", (file) => ({ ...file, plan: { ...(file.plan as object), snapshot: "s2" } })],
    ["an edited scope", (file) => ({ ...file, asked: { scope: "roster" } })],
    ["another's file", () => reviewed(planOf(), { ...facts, key: randomBytes(32) })],
    ["something else", () => ({ changes: [] })],
  ])("%s is refused", (_, edit) => {
    expect(() => readReviewed(edit(written()), key)).toThrow(expect.objectContaining({ code: "plan/bad-file" }));
  });

  test("a snapshot alone is what the console has seen", () => {
    expect(() => refuseStale(planOf(), { snapshot: "s1" }, key)).not.toThrow();
    expect(() => refuseStale(planOf(), { snapshot: "s0" }, key)).toThrow(
      expect.objectContaining({ code: "apply/stale-plan" }),
    );
  });
});

test("the published schema is the one of the code", () => {
  const page = readFileSync(new URL("../../docs/plan.schema.json", import.meta.url), "utf8");
  expect(JSON.parse(page)).toEqual(JSON.parse(planSchemaPage()));
  expect(planDocumentSchema.safeParse({ ...written().plan, waits: [] }).success).toBe(true);
});
