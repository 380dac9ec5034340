import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { escapeDn } from "../../xmpp-core/auth/ldap.ts";
import { type LiveCheck, liveCheck } from "../../xmpp-core/auth/live.ts";
import {
  httpUrl,
  ldapBindDn,
  ldapSearchFilter,
  ldapUrl,
  outageSeconds,
  sqlQuery,
  sqlUrl,
} from "../../xmpp-core/auth/live-properties.ts";
import { readText } from "../../xmpp-core/properties/text-schema.ts";

/** A directory in which everybody's password is "right", and a clock that stands. */
function setup(limits = { freshMs: 60_000, outageMs: 0, failuresPerMinute: 3 }) {
  const state = { now: 1_000_000, away: false, asked: [] as string[], configuration: "first", right: "right" };
  const live: LiveCheck = liveCheck({
    clock: { now: () => state.now },
    random: randomBytes,
    limits: () => limits,
    configuration: () => state.configuration,
    failed: () => undefined,
    directory: async () => ({
      async judge(name, password) {
        state.asked.push(`${name} ${password}`);
        if (state.away) throw new Error("away");
        return password === state.right;
      },
      close: async () => undefined,
    }),
  });
  return { state, live, check: (name: string, password: string) => live.check("ldap", name, password) };
}

describe("a directory", () => {
  test("is not asked again about what it has just called right, and is once the time is over", async () => {
    const { state, check } = setup();
    expect([await check("alice", "right"), await check("alice", "right")]).toEqual(["right", "right"]);
    expect(state.asked).toEqual(["alice right"]);
    expect(await check("bob", "right")).toBe("right");
    state.now += 60_000;
    state.right = "another";
    expect(await check("alice", "right")).toBe("wrong");
    expect(state.asked).toEqual(["alice right", "bob right", "alice right"]);
  });

  test("never sees an empty password: a bind without one is right for everybody", async () => {
    const { state, check } = setup();
    state.right = "";
    expect(await check("alice", "")).toBe("wrong");
    expect(state.asked).toEqual([]);
  });

  test("hears of so many wrong passwords a minute, each once; the right one of before is still taken", async () => {
    const { state, check } = setup();
    expect(await check("alice", "right")).toBe("right");
    for (const guess of ["a", "a", "b", "c"]) expect(await check("alice", guess)).toBe("wrong");
    expect(await check("alice", "d")).toBe("throttled");
    expect(await check("alice", "a")).toBe("wrong");
    expect(await check("alice", "right")).toBe("right");
    expect(await check("bob", "d")).toBe("wrong");
    expect(state.asked).toEqual(["alice right", "alice a", "alice b", "alice c", "bob d"]);
    state.now += 60_000;
    expect(await check("alice", "d")).toBe("wrong");
  });

  test("hears no more of many guesses at once than of as many one after the other", async () => {
    const { state, check } = setup();
    const verdicts = await Promise.all(Array.from({ length: 50 }, (_, guess) => check("alice", `${guess}`)));
    expect(verdicts.filter((verdict) => verdict === "wrong")).toHaveLength(3);
    expect(state.asked).toHaveLength(3);
  });

  test("that is away is nobody's fault, and counts for nobody", async () => {
    const { state, check } = setup();
    state.away = true;
    for (let tries = 0; tries < 5; tries++) expect(await check("alice", "right")).toBe("unavailable");
    state.away = false;
    expect(await check("alice", "right")).toBe("right");
    state.away = true;
    state.now += 60_000;
    expect(await check("alice", "right")).toBe("unavailable");
  });

  test("that is away is bridged as long as somebody allows, for the very password it called right", async () => {
    const { state, check } = setup({ freshMs: 0, outageMs: 600_000, failuresPerMinute: 3 });
    await check("alice", "right");
    state.away = true;
    expect([await check("alice", "right"), await check("alice", "other")]).toEqual(["right", "unavailable"]);
    state.now += 600_000;
    expect(await check("alice", "right")).toBe("unavailable");
  });

  test("of another configuration is asked anew, and so is it about an account that was changed", async () => {
    const { state, live, check } = setup();
    await check("alice", "right");
    await check("alice", "wrong");
    state.configuration = "second";
    expect([await check("alice", "right"), await check("alice", "wrong")]).toEqual(["right", "wrong"]);
    live.forget("alice");
    await check("alice", "right");
    expect(state.asked).toHaveLength(5);
  });
});

test.each([
  ["plain", "plain"],
  ["a,b", "a\\,b"],
  [" lead", "\\ lead"],
  ["trail ", "trail\\ "],
  ["#hash", "\\#hash"],
  ['q"<>;=+\\', 'q\\"\\<\\>\\;\\=\\+\\\\'],
  ["nul\0", "nul\\00"],
])("%j inside a DN is %j (RFC 4514)", (given, escaped) => {
  expect(escapeDn(given)).toBe(escaped);
});

describe("properties of directories", () => {
  test.each([
    [ldapUrl, "ldaps://dc1.example.org", true],
    [ldapUrl, "ldap://127.0.0.1:389", true],
    [ldapUrl, "https://dc1.example.org", false],
    [ldapUrl, "ldap://user:secret@dc1.example.org", false],
    [httpUrl, "https://host.example/check?x=1", true],
    [httpUrl, "http://127.0.0.1:8080/check", true],
    [httpUrl, "http://host.example/check", false],
    [sqlUrl, "postgres://chat@db.example.org/pbx", true],
    [sqlUrl, "postgres://chat:secret@db.example.org/pbx", false],
    [sqlUrl, "sqlite:///tmp/x", false],
    [sqlUrl, "postgres://chat@db.example.org/pbx?sslmode=disable", false],
    [sqlQuery, "SELECT hash FROM users WHERE login = :name", true],
    [sqlQuery, "SELECT hash FROM users", false],
    [ldapBindDn, "uid=%,ou=people", true],
    [ldapBindDn, "uid=alice,ou=people", false],
    [ldapSearchFilter, "(|(uid=%)(mail=%))", false],
  ])("%o takes %s: %s", (property, text, taken) => {
    expect(readText(property.schema, text) !== undefined).toBe(taken);
  });

  test("bridging an outage weakens, and says so", () => {
    expect(outageSeconds.weakens(0)).toBeUndefined();
    expect(outageSeconds.weakens(60)).toContain("60 seconds");
  });
});
