import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import type { HashCheck } from "../../xmpp-core/auth/hash-check.ts";
import { deriveCredentials } from "../../xmpp-core/auth/keys.ts";
import { costOf } from "../../xmpp-core/auth/password-hash.ts";
import { type Mix, passwordJudge } from "../../xmpp-core/auth/passwords.ts";
import { derivationPool } from "../../xmpp-core/auth/pool.ts";
import { CodedError } from "../../xmpp-core/errors.ts";

const pool = derivationPool();
const none: Mix = { keys: 0, derived: 0, hashed: new Map(), live: new Map() };

/** Writes down what a judgement costs: `keys`, `bcrypt:12`, `12 ms` of waiting. */
function setup(mix: Mix) {
  const costs: string[] = [];
  const hashes: HashCheck = {
    matches: async (_, form) => costs.push(costOf(form)) < 0,
    close: async () => undefined,
  };
  const judge = passwordJudge({
    pool: {
      run: (work) => {
        costs.push("keys");
        return pool.run(work);
      },
    },
    hashes,
    live: {
      check: async (source, name) => {
        costs.push(`${source} ${name}`);
        return "wrong";
      },
      usualMs: () => 12,
      forget: () => undefined,
      lastFailure: () => undefined,
      close: async () => undefined,
    },
    clock: {
      after(ms, work) {
        costs.push(`${ms} ms`);
        work();
        return () => undefined;
      },
    },
    decoySecret: Buffer.alloc(32, 7),
    iterations: () => 64,
    mix: () => mix,
  });
  return { costs, judge };
}

test.each<[string, Mix, RegExp]>([
  ["keys only", { ...none, keys: 5 }, /^keys$/],
  ["hashes only", { ...none, hashed: new Map([["bcrypt:12", 3]]) }, /^bcrypt:12$/],
  ["hashes with keys made of them", { ...none, derived: 3 }, /^keys$/],
  ["a directory only", { ...none, live: new Map([["ldap", 3]]) }, /^12 ms$/],
  ["nobody at all", none, /^keys$/],
])("%s: a name that does not exist costs what those do that exist, and no directory is asked", async (_, mix, cost) => {
  const { costs, judge } = setup(mix);
  for (const name of ["x", "nobody", "admin"]) expect(await judge.judge(name, undefined, "guess")).toBe("wrong");
  expect(costs).toHaveLength(3);
  for (const each of costs) expect(each).toMatch(cost);
});

test("among several kinds false names are spread as the real ones are, each always to the same", async () => {
  const mix = { keys: 1, derived: 1, hashed: new Map([["bcrypt:12", 2]]), live: new Map([["ldap", 4]]) };
  const { costs, judge } = setup(mix);
  const names = Array.from({ length: 400 }, (_, at) => `name${at}`);
  for (const name of names) await judge.judge(name, undefined, "guess");
  const first = costs.splice(0);
  const share = (cost: string) => first.filter((each) => each === cost).length / names.length;
  for (const [cost, wanted] of [
    ["keys", 0.25],
    ["bcrypt:12", 0.25],
    ["12 ms", 0.5],
  ] as const)
    expect(Math.abs(share(cost) - wanted)).toBeLessThan(0.1);
  for (const name of names) await judge.judge(name, undefined, "another");
  expect(costs).toEqual(first);
});

test("a directory comes before keys, keys before a hash; a hash that cannot be read is right for nothing", async () => {
  const { costs, judge } = setup({ ...none, keys: 1 });
  const credentials = await deriveCredentials("right", { iterations: 64, random: randomBytes, pool });
  const passwordHash = `$2b$05$${"a".repeat(53)}`;
  expect(await judge.judge("a", { credentials, passwordHash, passwordFrom: "ldap" }, "right")).toBe("wrong");
  expect(await judge.judge("a", { credentials, passwordHash }, "right")).toBe("right");
  expect(await judge.judge("a", { passwordHash }, "right")).toBe("wrong");
  expect(await judge.judge("a", { passwordHash: "$1$x$y" }, "right")).toBe("wrong");
  expect(costs).toEqual(["ldap a", "keys", "bcrypt:5", "keys"]);
});

test("too many at once are told apart from a wrong password, and a fault is no verdict", async () => {
  const { judge } = setup({ ...none, keys: 1 });
  const failing = (error: Error) =>
    passwordJudge({
      ...({} as Parameters<typeof passwordJudge>[0]),
      hashes: { matches: () => Promise.reject(error), close: async () => undefined },
    }).judge("a", { passwordHash: `$2b$05$${"a".repeat(53)}` }, "x");
  expect(await failing(new CodedError("auth/busy", "busy"))).toBe("busy");
  await expect(failing(new Error("broken"))).rejects.toThrow("broken");
  expect(await judge.judge("a", undefined, "")).toBe("wrong");
});
