import { stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { probe } from "../../agent/apply/verify.ts";
import { openCore } from "../../agent/target/core.ts";
import type { DesiredState } from "../../xmpp-core/control/contract.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: TestAgent;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  agent = await connectAgent(core);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const nothing: DesiredState = { settings: { properties: {} }, groups: [], supervisors: [], accounts: [] };

/** Writes bytes to the control socket and resolves with all answers once the server has closed. */
function hostile(bytes: string | Buffer): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(core.home, "control.sock"));
    const lines: Record<string, unknown>[] = [];
    createInterface({ input: socket }).on("line", (line) => lines.push(JSON.parse(line)));
    socket.on("connect", () => socket.write(bytes));
    socket.on("error", reject);
    socket.on("close", () => resolve(lines));
  });
}

test("the greeting says who is there", async () => {
  const greeting = await agent.target.ready(1000);
  expect(greeting).toMatchObject({ version: { major: 1, minor: 0 }, revision: 0, proven: 0, pid: process.pid });
  expect(greeting.instance).toMatch(/^[0-9a-f-]{36}$/);
  expect((await stat(join(core.home, "control.sock"))).mode & 0o777).toBe(0o600);
});

test("one agent at a time: the second is told who holds the server", async () => {
  const second = openCore({
    socket: join(core.home, "control.sock"),
    agent: "another",
    events: { event: () => undefined, greeted: () => undefined, lost: () => undefined },
  });
  const refused = expect(second.ready(5000)).rejects;
  await refused.toMatchObject({ code: "control/held", fields: { holder: "the test" } });
  await second.close();
});

test.each([
  ["text", "hello?\n", "control/malformed"],
  ["a document that is no request", '{"id":1}\n', "control/malformed"],
  ["an unknown request", '{"id":1,"ask":"shutdown","with":{}}\n', "control/unknown-request"],
  ["a name from the prototype", '{"id":1,"ask":"constructor","with":{}}\n', "control/unknown-request"],
  ["a request before the greeting", '{"id":1,"ask":"status","with":{}}\n', "control/not-greeted"],
  ["a malformed greeting", '{"id":1,"ask":"hello","with":{"agent":7}}\n', "control/malformed"],
  [
    "another major version",
    '{"id":1,"ask":"hello","with":{"agent":"x","version":{"major":2,"minor":0}}}\n',
    "control/version",
  ],
  ["a line without end", Buffer.alloc(70_000, "a"), "control/line-too-long"],
])("%s is answered with the reason, and closed", async (_what, bytes, code) => {
  expect(await hostile(bytes)).toMatchObject([{ error: { code } }]);
  expect((await agent.target.status()).domain).toBe("localhost");
});

test("a refused request names the place and never the value", async () => {
  const own = await connectAgent(core, "never").catch((error: unknown) => error);
  expect(own).toMatchObject({ code: "control/held" });
  const [line] = await hostile(
    '{"id":1,"ask":"hello","with":{"agent":"x","version":{"major":"topsecret","minor":0}}}\n',
  );
  expect(JSON.stringify(line)).not.toContain("topsecret");
  expect(line).toMatchObject({ error: { fields: { where: "version.major" } } });
});

test("status, sessions and actual state say what runs", async () => {
  const alice = await core.login("alice", { resource: "desk" });
  const status = await agent.target.status();
  expect(status).toMatchObject({ domain: "localhost", revision: 0, sessions: 1, accounts: 2, storage: "ok" });
  expect(status.listeners.map(({ name, port, state }) => [name, port, state])).toEqual([
    ["c2s", core.port, "open"],
    ["c2s-tls", core.directPort, "open"],
  ]);
  expect(status.certificates).toMatchObject([{ name: "localhost", selfSigned: true }]);
  const [session] = await agent.target.sessions();
  expect(session).toMatchObject({
    address: alice.jid,
    account: "alice",
    connected: true,
    tls: expect.stringMatching(/^TLS/),
  });
  const actual = await agent.target.actual();
  expect(actual.accounts.map(({ name }) => name)).toEqual(["alice", "bob"]);
  expect(await agent.target.sessions(0)).toEqual([]);
  await alice.close();
});

test("verification logs in with an account that nobody else sees", async () => {
  const seen = await probe(agent.target);
  expect(seen.filter(({ green }) => !green)).toEqual([]);
  expect(seen.map(({ name }) => name)).toContain("login c2s-tls");
  const { name, password } = await agent.target.openProbe();
  const inside = await core.login(name, { password });
  inside.presence();
  await inside.ping();
  expect(await agent.target.status()).toMatchObject({ accounts: 2, sessions: 0 });
  expect(await agent.target.sessions()).toEqual([]);
  expect((await agent.target.actual()).accounts).toHaveLength(2);
  expect(core.server.storage.health).toBe("ok");
  await agent.target.closeProbe(name);
  expect(await inside.streamError()).toBe("not-authorized");
  await expect(core.login(name, { password })).rejects.toThrow("not-authorized");
});

test("an agent that is gone takes its probes along", async () => {
  const { name, password } = await agent.target.openProbe();
  await agent.target.close();
  agent = await connectAgent(core);
  await expect(core.login(name, { password })).rejects.toThrow("not-authorized");
});

test("what the console asks goes to the agent, and its answer back", async () => {
  const control = core.server.control();
  if (control === undefined) throw new Error("not open");
  await agent.target.tell({ mode: "manual", held: null, pending: 2, store: "host.yaml", lastError: null });
  expect(control.agent()).toMatchObject({ mode: "manual", pending: 2 });
  const asked = control.askAgent("admin@localhost", "plan", {});
  await expect.poll(() => agent.events.length).toBeGreaterThan(0);
  const event = agent.events.at(-1);
  if (event?.event !== "console") throw new Error("no console event");
  expect(event).toMatchObject({ ask: "plan", admin: "admin@localhost" });
  await agent.target.answer(event.number, { ok: { changes: [] } });
  expect(await asked).toEqual({ changes: [] });
  const refused = expect(control.askAgent("admin@localhost", "apply", {})).rejects.toMatchObject({ code: "plan/held" });
  await expect.poll(() => agent.events.length).toBeGreaterThan(1);
  await agent.target.answer(event.number + 1, { error: { code: "plan/held", message: "Held." } });
  await refused;
});

test("a use of rights is told for the journal", async () => {
  core.server.rights.used("carol@localhost", "end session", "bob@localhost/desk");
  await expect.poll(() => agent.events.at(-1)).toMatchObject({ event: "used-right", what: "end session" });
});

test("the server's own form of settings and names", async () => {
  const answer = await agent.target.canonical({
    settings: {
      domain: "Chat.EXAMPLE.org.",
      admin: " Alice ",
      externalAddress: "2001:DB8::1",
      runtimeOptions: "-Xmx1g -XX:+UseG1GC",
      properties: {
        "xmpp.client.idle": " 60000",
        "stream.management.active": "TRUE",
        "xmpp.domain": "x",
        "no.such.key": "1",
      },
    },
    groups: [{ name: " Sales  Team ", displayName: "Sales", showInRoster: "onlyGroup", groupList: [], members: "all" }],
    supervisors: [],
    accounts: [
      { name: "Ulrike", enabled: true },
      { name: "a@b", enabled: true },
    ],
  });
  const by = new Map(answer.settings.map((one) => [one.setting, one]));
  expect(by.get("domain")).toMatchObject({ value: "chat.example.org", impact: "migrate", notes: [] });
  expect(by.get("admin")).toMatchObject({ value: "alice", impact: "live" });
  expect(by.get("external-address")).toMatchObject({ value: "2001:db8::1", impact: "live" });
  expect(by.get("runtime-options")).toMatchObject({
    value: "-Xmx1024m -XX:+UseG1GC",
    impact: "restart",
    notes: ["-XX:+UseG1GC has no effect here."],
  });
  expect(by.get("property:xmpp.client.idle")).toMatchObject({ value: "60000", effect: "honoured" });
  expect(by.get("property:stream.management.active")).toMatchObject({ value: "true" });
  expect(by.get("property:xmpp.domain")?.rejected?.code).toBe("property/reserved");
  expect(by.get("property:no.such.key")).toMatchObject({ value: "1", effect: "unknown" });
  expect(answer.accounts).toMatchObject([{ name: "ulrike" }, { name: null, rejected: { code: "accounts/name" } }]);
  expect(answer.groups).toMatchObject([{ given: " Sales  Team ", name: "Sales Team" }]);
  expect(answer.migration).toMatchObject({ from: "localhost", to: "chat.example.org", accounts: 2, clashes: [] });
});

test.each([
  ["domain", { domain: "a b" }],
  ["domain", { domain: "192.0.2.1" }],
  ["admin", { admin: "alice@localhost" }],
  ["external-address", { externalAddress: "auto" }],
  ["external-address", { externalAddress: "http://x" }],
  ["runtime-options", { runtimeOptions: "-Xmx3k" }],
  ["runtime-options", { runtimeOptions: "-Xmxlots" }],
])("%s is rejected with rule and hint: %o", async (setting, given) => {
  const answer = await agent.target.canonical({ ...nothing, settings: { ...given, properties: {} } });
  const found = answer.settings.find((one) => one.setting === setting);
  expect(found).toMatchObject({
    value: null,
    rejected: { rule: expect.any(String), hint: expect.stringMatching(/.\.$/) },
  });
});

test("a name of one label is taken, and what it costs is said", async () => {
  const answer = await agent.target.canonical({ ...nothing, settings: { domain: "mobydick", properties: {} } });
  expect(answer.settings.find(({ setting }) => setting === "domain")?.notes).toEqual([expect.stringContaining("SRV")]);
});
