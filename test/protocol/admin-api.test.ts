/** What the admin can see and do in the console, over HTTP as the browser does it. */
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ConsoleAgent, connectConsoleAgent, plannedOutcome } from "../support/console-agent.ts";
import { type ConsoleClient, consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let port: number;
let admin: ConsoleClient;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["admin", "alice", "bob"],
    properties: { "adminConsole.securePort": String(port), "xmpp.privateStorageEnabled": "true" },
  });
  admin = consoleClient(port, { secure: true });
  await admin.login("admin", "admin");
});
afterAll(() => core.close());

const change = {
  subject: "group Sales",
  action: "add",
  from: null,
  to: "alice",
  impact: "live",
  source: "roles: Sales",
};

describe("without an agent", () => {
  test("status is there and says so", async () => {
    const { status, json } = await admin.get("/api/status");
    expect(status).toBe(200);
    expect(json).toMatchObject({ agent: null, ready: [], server: { domain: "localhost", accounts: 3, storage: "ok" } });
    expect(json.server.listeners.map((each: { name: string }) => each.name)).toEqual(["c2s", "c2s-tls", "admin-tls"]);
    expect(json.server.certificates[0].sha256).toMatch(/^[0-9A-Fa-f:]{64,95}$/);
  });

  test.each([
    ["GET", "/api/plan", undefined],
    ["GET", "/api/history", undefined],
    ["GET", "/api/fleet", undefined],
    ["POST", "/api/apply", { plan: "x" }],
    ["POST", "/api/rollback", { revision: 1 }],
    ["POST", "/api/resume", {}],
  ])("%s %s says that there is none", async (method, path, body) => {
    const { status, json } = await admin.ask(method, path, body);
    expect([status, json.error.code]).toEqual([503, "control/no-agent"]);
    expect(json.error.hint).toBe("Start the agent: it plans and applies what the host's settings say.");
  });
});

describe("with an agent", () => {
  let agent: ConsoleAgent;
  beforeEach(async () => {
    agent = await connectConsoleAgent(core);
  });
  afterEach(() => agent.close());

  const asks = () => agent.events.flatMap((event) => (event.event === "console" ? [event.ask] : []));

  test("status shows what it said of itself", async () => {
    await agent.tell({ mode: "manual", pending: 3, held: "rolled back." });
    const { json } = await admin.get("/api/status");
    expect(json.agent).toEqual({
      mode: "manual",
      pending: 3,
      held: "rolled back.",
      store: "host.yaml",
      lastError: null,
    });
  });

  test("the plan that was shown is applied, in the admin's name", async () => {
    agent.answer = ({ ask }) =>
      ask === "plan"
        ? plannedOutcome([change])
        : plannedOutcome([change], { is: "applied", revision: 8, done: ["2 pushes."] });
    const shown = (await admin.get("/api/plan")).json;
    expect(shown).toMatchObject({ id: expect.stringMatching(/^[\w-]{43}$/), plan: { changes: [change] } });
    expect(shown.removals).toBeUndefined();
    const order = { plan: shown.id, scope: "roster", adopt: ["carol"] };
    const applied = await admin.post("/api/apply", order);
    expect([applied.status, applied.json]).toMatchObject([200, { is: "applied", revision: 8, done: ["2 pushes."] }]);
    expect(agent.events.at(-1)).toMatchObject({
      admin: "admin@localhost",
      ask: "apply",
      with: { snapshot: "sha256:aaaa", scope: "roster", adopt: ["carol"] },
    });
  });

  test.each([
    [
      "the host's settings changed",
      (plan: ReturnType<typeof plannedOutcome>["plan"]) => ({ ...plan, snapshot: "sha256:bbbb" }),
    ],
    ["the server changed", (plan: ReturnType<typeof plannedOutcome>["plan"]) => ({ ...plan, revision: 9 })],
    [
      "another change joined",
      (plan: ReturnType<typeof plannedOutcome>["plan"]) => ({
        ...plan,
        changes: [change, { ...change, subject: "account dora" }],
      }),
    ],
  ])("nothing is applied when %s since", async (_what, edit) => {
    agent.answer = () => plannedOutcome([change]);
    const { id } = (await admin.get("/api/plan")).json;
    const first = plannedOutcome([change]);
    agent.answer = () => ({ ...first, plan: edit(first.plan) });
    const refused = await admin.post("/api/apply", { plan: id });
    expect([refused.status, refused.json.error.code]).toEqual([409, "admin/plan-changed"]);
    expect(asks()).not.toContain("apply");
  });

  test("many removals are shown with the number that confirms them, and refused without it", async () => {
    const why = [
      "This removes 12 of 40 accounts, so nothing is applied.",
      "If that is meant: firekeeper apply --removals 12",
    ];
    agent.answer = ({ ask, with: given }) => {
      if (ask === "plan") return plannedOutcome([change], { why });
      if (given.removals === 12) return plannedOutcome([change], { is: "applied", revision: 8 });
      throw Object.assign(new Error(why[0]), { code: "apply/removes-much", hint: why[1] });
    };
    const { id, removals } = (await admin.get("/api/plan")).json;
    expect(removals).toBe(12);
    const refused = await admin.post("/api/apply", { plan: id });
    expect([refused.status, refused.json.error]).toEqual([
      409,
      { code: "apply/removes-much", message: why[0], hint: why[1] },
    ]);
    expect((await admin.post("/api/apply", { plan: id, removals })).json.is).toBe("applied");
  });

  test("history, rollback and resume reach it", async () => {
    const revision = {
      revision: 7,
      at: "2026-11-21T08:00:00Z",
      by: "agent",
      cause: "host.yaml changed",
      impact: "live",
      changes: [change],
      result: "proven",
    };
    agent.answer = ({ ask }) => (ask === "history" ? [revision] : plannedOutcome([], { is: "applied", revision: 9 }));
    expect((await admin.get("/api/history")).json).toEqual([revision]);
    expect((await admin.post("/api/rollback", { revision: 7 })).json).toMatchObject({ is: "applied", revision: 9 });
    expect(agent.events.at(-1)).toMatchObject({
      ask: "rollback",
      admin: "admin@localhost",
      with: { revision: 7, accounts: false },
    });
    expect((await admin.post("/api/resume")).status).toBe(200);
    expect(agent.events.at(-1)).toMatchObject({ ask: "resume", admin: "admin@localhost" });
  });

  test("the fleet is told to the admin alone, and null where there is none", async () => {
    const report = {
      ...{ domain: "north.example.org", aliases: [], revision: 7, proven: 7, pending: 2, rejected: 0, held: false },
      ...{ frozen: true, error: null, certificateDays: 20, sessions: 3, accounts: 9, program: "1.0.0" },
    };
    const branches = [
      { branch: "north", heard: "2026-11-21T08:00:00.000Z", stale: false, report },
      { branch: "south", heard: null, stale: true, report: null },
    ];
    const document = { branches, conflicts: ["a conflict"], warnings: ["a warning"] };
    agent.answer = () => document;
    const { status, json } = await consoleClient(port, { secure: true }).get("/api/fleet");
    expect([status, json.error.code]).toEqual([401, "admin/not-logged-in"]);
    expect(asks()).toEqual([]);
    expect((await admin.get("/api/fleet")).json).toEqual(document);
    expect(agent.events.at(-1)).toMatchObject({ ask: "fleet", admin: "admin@localhost" });
    agent.answer = () => null;
    const none = await admin.get("/api/fleet");
    expect([none.status, none.json]).toEqual([200, null]);
    agent.answer = () => ({ branches: "<script>" });
    expect((await admin.get("/api/fleet")).status).toBe(502);
  });

  test("an answer that is none is not passed on", async () => {
    agent.answer = () => ({ plan: "<script>" });
    const { status, json } = await admin.get("/api/plan");
    expect([status, json.error.code]).toEqual([502, "admin/agent-answer"]);
  });

  test("a session is listed, ended, and written down with the admin's name", async () => {
    const alice = await core.login("alice", { resource: "desk" });
    const { json } = await admin.get("/api/sessions");
    expect(json).toMatchObject({ total: 1, sessions: [{ address: alice.jid, account: "alice", connected: true }] });
    expect((await admin.post("/api/sessions/end", { address: alice.jid })).status).toBe(200);
    expect(await alice.ended).toMatchObject({ streamEnded: true });
    expect(await agent.heard((event) => event.event === "used-right")).toEqual({
      ...{ event: "used-right", who: "admin@localhost", what: "end session", on: alice.jid },
    });
    expect((await admin.get("/api/sessions")).json).toEqual({ total: 0, sessions: [] });
    const again = await admin.post("/api/sessions/end", { address: alice.jid });
    expect([again.status, again.json.error.code]).toEqual([404, "admin/unknown-session"]);
  });

  test("a session that waits to be resumed is ended, too", async () => {
    const bob = await core.login("bob", { resource: "phone", sm: true });
    const address = bob.jid;
    bob.drop();
    await expect.poll(async () => (await admin.get("/api/sessions")).json.sessions[0]?.connected).toBe(false);
    expect((await admin.post("/api/sessions/end", { address })).status).toBe(200);
    expect((await admin.get("/api/sessions")).json.total).toBe(0);
  });
});

describe("properties", () => {
  const listed = async (key: string) =>
    (await admin.get("/api/properties?all=1")).json.properties.find((each: { key: string }) => each.key === key);

  /** Whether somebody listens there. */
  const isOpen = (at: number): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(at, "127.0.0.1");
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });

  test("are listed with their owner, and the key of the host that owns them", async () => {
    expect(await listed("adminConsole.securePort")).toMatchObject({
      ...{
        owner: "host",
        path: "sys.xmpp.properties.adminConsole.securePort",
        value: String(port),
        impact: "listener",
      },
    });
    expect(await listed("xmpp.session.conflict-limit")).toMatchObject({ owner: null, value: "0", type: "integer" });
    const short = (await admin.get("/api/properties")).json.properties as { effect: string; stored: boolean }[];
    expect(short.every((each) => each.effect === "honoured" || each.stored)).toBe(true);
  });

  test("a local value is in force at once, persists, tells the agent, and goes again", async () => {
    const agent = await connectConsoleAgent(core);
    const key = "xmpp.socket.ssl.active";
    expect(await isOpen(core.directPort)).toBe(true);
    const set = await admin.post("/api/properties", { key, value: " FALSE" });
    expect([set.status, set.json]).toEqual([200, { done: ["The listener c2s-tls was closed."], restarting: false }]);
    expect(await isOpen(core.directPort)).toBe(false);
    expect(await listed(key)).toMatchObject({ owner: "local", value: "false" });
    await agent.heard((event) => event.event === "changed" && event.part === "settings");
    expect(await agent.heard((event) => event.event === "used-right")).toMatchObject({ what: "set property", on: key });
    await agent.close();
    await core.restart();
    expect(await isOpen(core.directPort)).toBe(false);
    expect((await admin.login("admin", "admin")).status).toBe(200);
    expect((await admin.post("/api/properties", { key, value: null })).status).toBe(200);
    expect(await listed(key)).toMatchObject({ owner: null, value: "true" });
    expect(await isOpen(core.directPort)).toBe(true);
  });

  test("what the host owns is refused with its path there", async () => {
    const key = "xmpp.privateStorageEnabled";
    for (const value of ["false", null]) {
      const { status, json } = await admin.post("/api/properties", { key, value });
      expect(status).toBe(409);
      expect(json.error).toMatchObject({
        code: "settings/owned-by-host",
        fields: { owner: "host", path: "sys.xmpp.properties.xmpp.privateStorageEnabled" },
      });
      expect(json.error.hint).toContain("sys.xmpp.properties.xmpp.privateStorageEnabled");
    }
    expect(await listed(key)).toMatchObject({ owner: "host", value: "true" });
  });

  test("a value that cannot be read is refused with the rule and a suggestion", async () => {
    const { status, json } = await admin.post("/api/properties", { key: "xmpp.client.idle", value: "6 minutes" });
    expect(status).toBe(422);
    expect(json.error).toMatchObject({
      ...{ code: "property/value", message: "xmpp.client.idle must be a whole number of milliseconds, or -1." },
      hint: "6 minutes would be 360000.",
    });
    expect(await listed("xmpp.client.idle")).toMatchObject({ owner: null });
  });

  test("what has another home is refused and named", async () => {
    const { status, json } = await admin.post("/api/properties", { key: "xmpp.domain", value: "x.example" });
    expect([status, json.error.code, json.error.hint]).toEqual([
      422,
      "property/reserved",
      "Set sys.xmpp.domain instead.",
    ]);
  });

  test("a secret is stored and never shown", async () => {
    const key = "plugin.restapi.secret";
    expect((await admin.post("/api/properties", { key, value: "t0psecret" })).status).toBe(200);
    expect(core.server.settings.local(`property:${key}`)).toBe("t0psecret");
    const { text } = await admin.get("/api/properties?all=1");
    expect(text).not.toContain("t0psecret");
    expect(await listed(key)).toMatchObject({ secret: true, stored: true, owner: "local" });
    await admin.post("/api/properties", { key, value: null });
  });
});
