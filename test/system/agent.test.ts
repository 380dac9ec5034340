/** The loop from outside: a host file, the command line's socket, and a server behind the control contract. */
import { afterEach, expect, test } from "vitest";
import type { RevisionLine } from "../../agent/apply/journal.ts";
import { CodedError } from "../../agent/errors.ts";
import { type AgentFixture, agentFixture, entries, type Host } from "./agent-fixture.ts";

const open: AgentFixture[] = [];
afterEach(async () => {
  for (const fixture of open.splice(0)) await fixture.close();
});

async function running(host: Host, env?: Record<string, string>): Promise<AgentFixture> {
  const fixture = await agentFixture(host, env);
  open.push(fixture);
  await fixture.start();
  return fixture;
}

const alice = { name: "alice", password: "x" };
const bob = { name: "bob", password: "x" };
const admin = { name: "admin", password: "x" };
const users = [admin, alice, bob];
const base = { settings: { "sys.xmpp.domain": "localhost" }, users };

function setting(key: string, value: string): Record<string, unknown> {
  return { change: { kind: "setting-set", key: `sys.xmpp.properties.${key}`, value } };
}

test("the first start of a home applies what the host says, and a second look plans nothing", async () => {
  const agent = await running({
    ...base,
    roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] }],
  });
  const { world, revision, proven } = agent.core.stored;
  expect(world.settings.domain).toBe("localhost");
  expect(world.accounts.map((one) => one.name).sort()).toEqual(["admin", "alice", "bob"]);
  expect(world.groups).toMatchObject([{ name: "Sales", members: ["alice", "bob"] }]);
  expect([revision, proven]).toEqual([1, 1]);
  expect(entries(await agent.journal()).map((one) => one.is)).toEqual(["intent", "applied", "proven"]);
  expect((await agent.ask("plan")).plan).toMatchObject({ revision: 1, impact: "none", changes: [] });
});

test("in manual mode even the first start of a home needs no person, the next change does", async () => {
  const agent = await running(base, { FIREKEEPER_APPLY: "manual" });
  expect(agent.core.stored.revision).toBe(1);
  const edited = await agent.ask<{ outcome: string }>("store-edit", setting("xmpp.client.idle", "5"));
  expect(edited.outcome).toContain("1 change waits for firekeeper apply");
  expect(agent.core.stored.revision).toBe(1);
  const status = await agent.status();
  expect(status.pending).toMatchObject([{ subject: "property xmpp.client.idle", to: "5" }]);
  expect(await agent.ask("apply")).toMatchObject({ is: "applied", revision: 2 });
  expect(agent.core.stored).toMatchObject({ revision: 2, proven: 2 });
});

test("in auto mode an edit of the file is live without anybody asking", async () => {
  const agent = await running(base);
  const pushed = new Promise<void>((resolve) => {
    agent.core.hooks.afterCommit = resolve;
  });
  await agent.write({ ...base, roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice"] }] });
  await pushed;
  expect(agent.core.stored.world.groups).toMatchObject([{ name: "Sales", members: ["alice"] }]);
});

test("an apply of the roster leaves settings pending", async () => {
  const agent = await running(base, { FIREKEEPER_APPLY: "manual" });
  await agent.ask("store-edit", setting("storage.engine", "other"));
  await agent.ask("store-edit", { change: { kind: "role-add", type: "xmpp.group", name: "Sales", members: ["bob"] } });
  expect(await agent.ask("apply", { scope: "roster" })).toMatchObject({ is: "applied" });
  const status = await agent.status();
  expect(agent.core.stored.world.groups).toHaveLength(1);
  expect(status.pending).toMatchObject([{ subject: "property storage.engine" }]);
  expect((await agent.ask("plan")).plan.changes).toMatchObject([
    { subject: "property storage.engine", impact: "restart" },
  ]);
});

test("a change of domain waits for a person, also in auto mode, and everything else does not", async () => {
  const agent = await running(base);
  await agent.write({
    ...base,
    settings: { "sys.xmpp.domain": "new.example", "sys.xmpp.properties.xmpp.client.idle": "5" },
  });
  // Whoever is first applies it: this look, or the one that the file itself woke.
  await agent.ask("resume");
  expect(agent.core.stored.world.settings.properties).toMatchObject([{ key: "xmpp.client.idle", value: "5" }]);
  expect(agent.core.stored.world.settings.domain).toBe("localhost");
  const { plan } = await agent.ask("plan");
  expect(plan).toMatchObject({
    impact: "migrate",
    changes: [{ subject: "domain", from: "localhost", to: "new.example" }],
  });
  expect(plan.notices.map((one) => one.message).join("\n")).toContain("3 accounts");
  await agent.ask("apply");
  expect(agent.core.stored.world.settings).toMatchObject({ domain: "new.example", aliases: [{ name: "localhost" }] });
});

test("a domain that vanishes from the store stays, and the plan says why", async () => {
  const agent = await running(base);
  await agent.write({ ...base, settings: {} });
  const { plan } = await agent.ask("plan");
  expect(plan.changes).toEqual([]);
  expect(plan.rejected).toMatchObject([{ key: "sys.xmpp.domain", value: "mobydick" }]);
  expect(agent.core.stored.world.settings.domain).toBe("localhost");
});

test("a file that cannot be read keeps the last good state and names the line", async () => {
  const agent = await running(base);
  const { writeFile } = await import("node:fs/promises");
  await writeFile(`${agent.home}/host.yaml`, "settings:\n  sys.xmpp.domain: [\n...\n");
  const { plan } = await agent.ask("plan");
  expect(plan.changes).toEqual([]);
  expect(plan.notices[0]?.message).toMatch(/host\.yaml:\d+:\d+/);
  expect(agent.core.stored.world.accounts).toHaveLength(3);
});

test("one bad value blocks that one change", async () => {
  const agent = await running(base);
  await agent.write({
    ...base,
    settings: {
      ...base.settings,
      "sys.xmpp.properties.xmpp.client.idle": "soon",
      "sys.xmpp.properties.xmpp.client.roster.active": "false",
    },
  });
  expect(await agent.ask("resume")).toMatchObject({
    plan: { rejected: [{ key: "sys.xmpp.properties.xmpp.client.idle", value: "soon", rule: "a whole number" }] },
  });
  expect(agent.core.stored.world.settings.properties.map((one) => one.key)).toEqual(["xmpp.client.roster.active"]);
});

test("a store that lost its users waits for the number of removals; what was removed by command does not", async () => {
  const many = Array.from({ length: 30 }, (_, at) => ({ name: `user${at}`, password: "x" }));
  const agent = await running({ ...base, users: [...users, ...many] });
  await agent.write(base);
  await expect(agent.ask("apply")).rejects.toMatchObject({
    code: "apply/removes-much",
    hint: expect.stringContaining("--removals 30"),
  });
  await expect(agent.ask("apply", { removals: 29 })).rejects.toMatchObject({ code: "apply/removes-much" });
  expect(agent.core.stored.world.accounts.filter((one) => one.keptUntil)).toEqual([]);
  expect(await agent.ask("apply", { removals: 30 })).toMatchObject({ is: "applied" });
  expect(agent.core.stored.world.accounts.filter((one) => one.keptUntil)).toHaveLength(30);
});

test("users removed one by one through the command line are confirmed by that", async () => {
  const many = Array.from({ length: 12 }, (_, at) => ({ name: `user${at}`, password: "x" }));
  const agent = await running({ ...base, users: [...users, ...many] }, { FIREKEEPER_APPLY: "manual" });
  for (const { name } of many) await agent.ask("store-edit", { change: { kind: "user-remove", name } });
  expect(await agent.ask("apply")).toMatchObject({ is: "applied" });
});

test("what the server refuses changes nothing, is journaled, and is not tried again with every look", async () => {
  const agent = await running(base);
  const edited = await agent.ask<{ outcome: string }>("store-edit", setting("standin.refuse", "yes"));
  expect(edited.outcome).toContain("Port 5222 is taken");
  const { applies } = agent.core.stored;
  expect((await agent.ask("resume")).is).toBe("waiting");
  expect(agent.core.stored.applies).toBe(applies);
  await expect(agent.ask("apply")).rejects.toMatchObject({ code: "listeners/port-taken" });
  expect(agent.core.stored.revision).toBe(1);
  expect(entries(await agent.journal()).at(-1)).toMatchObject({ is: "undone", revision: 3 });
  expect((await agent.status()).lastError).toMatchObject({ code: "listeners/port-taken" });
});

test("a change that breaks the server is taken back, and the agent holds until the store changes", async () => {
  const agent = await running(base);
  const edited = await agent.ask<{ outcome: string }>("store-edit", setting("standin.break", "yes"));
  expect(edited.outcome).toContain("revision 1 is in force again");
  const { world, revision, proven } = agent.core.stored;
  expect(world.settings.properties).toEqual([]);
  expect([revision, proven]).toEqual([3, 3]);
  await expect(agent.ask("apply")).rejects.toMatchObject({ code: "apply/held" });
  expect((await agent.status()).held).toContain("it was told to break");
  await agent.ask("store-edit", { change: { kind: "setting-unset", key: "sys.xmpp.properties.standin.break" } });
  expect((await agent.status()).held).toBeNull();
  const kinds = entries(await agent.journal()).map((one) => one.is);
  expect(kinds.slice(3)).toEqual([
    "edited",
    "intent",
    "applied",
    "broken",
    "intent",
    "applied",
    "proven",
    "held",
    "edited",
    "resumed",
  ]);
});

test("what the server says it did and did not do is noticed", async () => {
  const agent = await running(base);
  const edited = await agent.ask<{ outcome: string }>("store-edit", setting("standin.forget", "yes"));
  expect(edited.outcome).toContain("the server still reports");
});

test("rollback returns settings and roles but no password, and holds until resume", async () => {
  const agent = await running({ ...base, roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice"] }] });
  await agent.write({
    settings: { ...base.settings, "sys.xmpp.properties.xmpp.client.idle": "5" },
    users: [admin, alice],
    roles: [{ name: "Sales", types: ["xmpp.group"], members: "all" }],
  });
  await agent.ask("resume");
  const hashes = () => agent.core.stored.world.accounts.map((one) => [one.name, one.credentialsHash, one.keptUntil]);
  const before = hashes();
  const back = await agent.ask("rollback", { revision: 1 });
  expect(back).toMatchObject({ is: "applied", revision: 3 });
  expect(back.plan.notices).toContainEqual(
    expect.objectContaining({ code: "plan/stays-removed", message: expect.stringContaining("bob") }),
  );
  expect(agent.core.stored.world.groups).toMatchObject([{ members: ["alice"] }]);
  expect(agent.core.stored.world.settings.properties).toEqual([]);
  expect(hashes()).toEqual(before);
  expect((await agent.status()).held).toContain("rolled back to revision 1");
  await expect(agent.ask("apply")).rejects.toMatchObject({ code: "apply/held" });
  await agent.ask("rollback", { revision: 1, accounts: true });
  expect(agent.core.stored.world.accounts.find((one) => one.name === "bob")).toMatchObject({ enabled: true });
  await agent.ask("resume");
  expect(agent.core.stored.world.groups).toMatchObject([{ members: "all" }]);
});

test("rollback leaves every secret as it is", async () => {
  const secret = (value: string, more = {}) => ({
    ...base,
    settings: { ...base.settings, "sys.xmpp.properties.plugin.restapi.secret": value, ...more },
  });
  const agent = await running(secret("one"));
  await agent.write(secret("two", { "sys.xmpp.properties.xmpp.client.idle": "5" }));
  await agent.ask("resume");
  const standing = () => agent.core.stored.world.settings.properties.find((one) => one.secret)?.value;
  const two = standing();
  await agent.ask("rollback", { revision: 1 });
  expect(agent.core.stored.world.settings.properties).toHaveLength(1);
  expect(standing()).toBe(two);
});

test("history and show tell who did what; the journal holds neither keys nor secrets", async () => {
  const agent = await running(base);
  await agent.ask("store-edit", setting("plugin.restapi.secret", "hunter2-secret"));
  const history = await agent.ask<RevisionLine[]>("history");
  expect(history).toMatchObject([
    {
      revision: 2,
      result: "proven",
      by: expect.stringMatching(/^local user .+ \(claimed\)$/),
      changes: [{ to: "(secret)" }],
    },
    { revision: 1, result: "proven", by: "agent" },
  ]);
  expect(await agent.ask("show", { revision: 1 })).toMatchObject({ content: { settings: { domain: "localhost" } } });
  await expect(agent.ask("show", { revision: 9 })).rejects.toBeInstanceOf(CodedError);
  const journal = await agent.journal();
  expect(journal).not.toContain("hunter2-secret");
  expect(journal).not.toContain("SCRAM-SHA-256$");
  expect(journal).not.toContain("sha256:");
});

test("a local account waits until a person says that the host may have it", async () => {
  const fixture = await agentFixture(base);
  open.push(fixture);
  fixture.core.change((world) => world.accounts.push({ name: "bob", enabled: true, origin: "local" }));
  await fixture.start();
  expect(fixture.core.stored.world.accounts).toContainEqual({ name: "bob", enabled: true, origin: "local" });
  const { plan } = await fixture.ask("plan");
  expect(plan.rejected).toMatchObject([{ key: "users: bob", hint: expect.stringContaining("apply --adopt bob") }]);
  await fixture.ask("apply", { adopt: ["bob"] });
  expect(fixture.core.stored.world.accounts.find((one) => one.name === "bob")).toMatchObject({ origin: "host" });
});

test("the console asks through the server and its admin stands in the journal", async () => {
  const agent = await running(base, { FIREKEEPER_APPLY: "manual" });
  await agent.ask("store-edit", setting("xmpp.client.idle", "5"));
  expect(await agent.core.console("plan")).toMatchObject({
    ok: { plan: { changes: [{ subject: "property xmpp.client.idle" }] } },
  });
  expect(agent.core.told.at(-1)).toMatchObject({ mode: "manual", pending: 1, held: null });
  expect(await agent.core.console("apply")).toMatchObject({ ok: { is: "applied", revision: 2 } });
  expect(await agent.core.console("history")).toMatchObject({ ok: [{ by: "admin@localhost" }, {}] });
  expect(await agent.core.console("rollback", { revision: 7 })).toMatchObject({
    error: { code: "rollback/unknown-revision" },
  });
  expect(await agent.core.console("status")).toMatchObject({ ok: { mode: "manual" } });
});

test("a use of rights on the server goes into the journal", async () => {
  const agent = await running(base);
  agent.core.tell({ event: "used-right", who: "carol@localhost", what: "end-session", on: "bob@localhost/x" });
  await agent.ask("plan");
  expect(await agent.journal()).toContain('"who":"carol@localhost"');
});

test("an agent that was away plans nothing when it returns", async () => {
  const agent = await running(base);
  await agent.stop();
  await agent.start();
  expect((await agent.ask("plan")).plan.changes).toEqual([]);
  expect(agent.core.stored.applies).toBe(1);
});

test("a lost journal is begun anew from what the server has", async () => {
  const agent = await running(base);
  await agent.stop();
  const { rm } = await import("node:fs/promises");
  await rm(`${agent.home}/journal.jsonl`);
  await agent.start();
  expect(entries(await agent.journal())).toMatchObject([
    { is: "found", revision: 1 },
    { is: "proven", revision: 1 },
  ]);
  expect(agent.core.stored.applies).toBe(1);
});

test("a host name as external address is followed when DNS says something else", async () => {
  const fixture = await agentFixture({
    ...base,
    settings: { ...base.settings, "sys.xmpp.externalip": "vpn.example.org" },
  });
  open.push(fixture);
  let answer: { address: string; ttl: number }[] = [{ address: "192.0.2.1", ttl: 0 }];
  const clock = { lookups: 0 };
  await fixture.start({
    resolver: {
      resolve4: async () => {
        clock.lookups++;
        return answer;
      },
      resolve6: () => Promise.reject(new Error("ENODATA")),
    },
  });
  expect(fixture.core.stored.world.settings.externalAddress).toEqual({ value: "192.0.2.1", origin: "host" });
  answer = [{ address: "192.0.2.2", ttl: 0 }];
  const moved = new Promise<void>((resolve) => {
    fixture.core.hooks.afterCommit = resolve;
  });
  await moved;
  expect(fixture.core.stored.world.settings.externalAddress.value).toBe("192.0.2.2");
});
