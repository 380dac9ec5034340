/** Who may enter the console, and for how long. seeds M15 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../xmpp-core/clock.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { type ConsoleClient, consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

const minutes = 60_000;
let core: TestCore;
let agent: TestAgent;
let port: number;
let securePort: number;
/** How far the server's clock is ahead. */
let ahead = 0;
beforeAll(async () => {
  [port, securePort] = [await freePort(), await freePort()];
  core = await startTestCore({
    users: ["admin", "alice", "bob"],
    properties: { "adminConsole.port": String(port), "adminConsole.securePort": String(securePort) },
    clock: {
      ...systemClock,
      now: () => Date.now() + ahead,
      // The waiting of a slowed login; nobody waits for it here.
      after: (ms, work) => systemClock.after(ms >= 5000 && ms <= 20_000 ? 0 : ms, work),
    },
  });
  agent = await connectAgent(core);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

/** Each test stands at another time: the failures of the one before are forgotten. */
function browser({ secure = true } = {}): ConsoleClient {
  ahead += 24 * 60 * minutes;
  return consoleClient(secure ? securePort : port, { secure });
}

async function loggedIn(user = "admin"): Promise<ConsoleClient> {
  const client = browser();
  expect((await client.login(user, user)).status).toBe(200);
  return client;
}

describe("login", () => {
  test.each([
    ["admin", false],
    ["ADMIN", true],
    ["admin@localhost", true],
    [" admin ", true],
  ])("the admin enters as %j", async (user, secure) => {
    const client = browser({ secure });
    const reply = await client.login(user, "admin");
    expect(reply.json).toMatchObject({ admin: "admin@localhost", name: "admin" });
    const name = secure ? "__Host-firekeeper-session" : "firekeeper-session";
    const cookie = (reply.headers["set-cookie"] as string[]).find((each) => each.startsWith(`${name}=`));
    expect(cookie).toMatch(new RegExp(`^${name}=[A-Za-z0-9_-]{43}; Path=/; HttpOnly;( Secure;)? SameSite=Strict$`));
    expect(/; Secure/.test(cookie ?? "")).toBe(secure);
    expect((await client.get("/api/me")).json.admin).toBe("admin@localhost");
  });

  test("a wrong password and a wrong name are told apart from nothing else", async () => {
    const wrong = await browser().login("admin", "nimda");
    expect([wrong.status, wrong.json.error.code]).toEqual([401, "admin/wrong-login"]);
    const others = [];
    for (const [user, password] of [
      ["alice", "alice"],
      ["alice", "wrong"],
      ["nobody", "x"],
      ["admin@other.example", "admin"],
      ["admin@localhost/desk", "admin"],
      ["@", "x"],
      ["__proto__", "x"],
    ] as const)
      others.push(await browser().login(user, password));
    expect(new Set(others.map((each) => `${each.status} ${each.text}`)).size).toBe(1);
    expect(others[0]?.status).toBe(403);
    expect(others[0]?.json.error).toEqual({
      code: "admin/not-admin",
      message: "Only the admin of this service may enter.",
      hint: "The setting sys.xmpp.adminuser says who that is.",
    });
    for (const each of [wrong, ...others]) {
      const set = (each.headers["set-cookie"] ?? []) as string[];
      expect(set.filter((cookie) => /-session=[A-Za-z0-9_-]/.test(cookie))).toEqual([]);
    }
  });

  test("a form without its token is refused before the password is looked at", async () => {
    const client = browser();
    const bare = await client.post("/api/login", { user: "admin", password: "admin" });
    expect([bare.status, bare.json.error.code]).toEqual([403, "admin/forged"]);
    const token = (await client.get("/api/login")).json.csrf;
    const stranger = browser();
    await stranger.get("/api/login");
    const stolen = await stranger.post("/api/login", { user: "admin", password: "admin" }, { "x-csrf-token": token });
    expect(stolen.status).toBe(403);
    const metric = await core.server.report.metrics.getSingleMetricAsString("firekeeper_admin_logins_total");
    const before = /result="ok"\} (\d+)/.exec(metric)?.[1];
    expect(
      (await client.post("/api/login", { user: "admin", password: "admin" }, { "x-csrf-token": token })).status,
    ).toBe(200);
    const after = await core.server.report.metrics.getSingleMetricAsString("firekeeper_admin_logins_total");
    expect(Number(/result="ok"\} (\d+)/.exec(after)?.[1])).toBe(Number(before) + 1);
  });

  test("guessing is slowed and then refused, also for names that are no account", async () => {
    for (const user of ["admin", "nobody"]) {
      const client = browser();
      const seen: number[] = [];
      for (let attempt = 0; attempt < 12 && !seen.includes(429); attempt++)
        seen.push((await client.login(user, "guess")).status);
      expect(seen.at(-1), user).toBe(429);
      expect(seen.length).toBeGreaterThan(5);
      const right = await client.login(user, user);
      expect([right.status, right.json.error.code]).toEqual([429, "admin/too-many-failures"]);
      expect(right.headers["retry-after"]).toBeDefined();
    }
    expect((await browser().login("admin", "admin")).status).toBe(200);
  });
});

describe("a session", () => {
  test("ends by logout, and its cookie is taken back", async () => {
    const client = await loggedIn();
    const cookies = new Map(client.cookies);
    const reply = await client.post("/api/logout");
    expect(reply.status).toBe(200);
    expect(client.cookies.has("__Host-firekeeper-session")).toBe(false);
    for (const [name, value] of cookies) client.cookies.set(name, value);
    expect((await client.get("/api/me")).status).toBe(401);
  });

  test("ends after half an hour without a person; polls do not count", async () => {
    const client = await loggedIn();
    ahead += 29 * minutes;
    expect((await client.get("/api/status")).status).toBe(200);
    ahead += 29 * minutes;
    expect((await client.get("/api/status", { "x-background": "1" })).status).toBe(200);
    ahead += 2 * minutes;
    const late = await client.get("/api/status", { "x-background": "1" });
    expect([late.status, late.json.error.code]).toEqual([401, "admin/not-logged-in"]);
  });

  test("ends after twelve hours however busy", async () => {
    const client = await loggedIn();
    for (let half = 0; half < 25; half++) {
      ahead += 29 * minutes;
      const { status } = await client.get("/api/me");
      if (half < 24) expect(status, `after ${half} half hours`).toBe(200);
      else expect(status).toBe(401);
    }
  });

  test("of the plain port is none on the secure one, and the other way round", async () => {
    const plain = browser({ secure: false });
    await plain.login("admin", "admin");
    const [id] = plain.cookies.values();
    const secure = consoleClient(securePort, { secure: true });
    secure.cookies.set("__Host-firekeeper-session", id ?? "");
    expect((await secure.get("/api/me")).status).toBe(401);
    await secure.login("admin", "admin");
    plain.cookies.set("firekeeper-session", secure.cookies.get("__Host-firekeeper-session") ?? "");
    expect((await plain.get("/api/me")).status).toBe(401);
  });

  test("is a new one at each login; the former is over", async () => {
    const client = await loggedIn();
    const former = client.cookies.get("__Host-firekeeper-session") ?? "";
    await client.login("admin", "admin");
    expect(client.cookies.get("__Host-firekeeper-session")).not.toBe(former);
    const thief = consoleClient(securePort, { secure: true });
    thief.cookies.set("__Host-firekeeper-session", former);
    expect((await thief.get("/api/me")).status).toBe(401);
  });

  test("ends when the password changes", async () => {
    const client = await loggedIn();
    const { accounts, names, storage } = core.server;
    const account = accounts.get(names.primary.id, "admin");
    if (account === undefined) throw new Error("unreachable");
    const keys = await accounts.credentials(account);
    await storage.write(accounts.setCredentials(account, keys, "test:another"));
    expect((await client.get("/api/me")).status).toBe(401);
    expect((await client.login("admin", "admin")).status).toBe(200);
  });
});

test("when another becomes admin, the former one gets 403 at once and the new one enters, without a restart", async () => {
  const startedAt = (await agent.target.status()).startedAt;
  const former = await loggedIn();
  await agent.apply({ kind: "setting", setting: "admin", to: "bob" });
  const refused = await former.get("/api/status");
  expect([refused.status, refused.json.error.code]).toEqual([403, "admin/not-admin"]);
  expect(refused.text).not.toMatch(/password/i);
  expect(former.cookies.has("__Host-firekeeper-session")).toBe(false);
  expect((await former.get("/api/status")).status).toBe(401);
  expect((await former.login("admin", "admin")).status).toBe(403);
  const bob = await loggedIn("bob");
  expect((await bob.get("/api/me")).json.admin).toBe("bob@localhost");
  await agent.apply({ kind: "setting", setting: "admin", to: null });
  expect((await bob.post("/api/apply", { plan: "x" })).status).toBe(403);
  await loggedIn();
  expect((await agent.target.status()).startedAt).toBe(startedAt);
});
