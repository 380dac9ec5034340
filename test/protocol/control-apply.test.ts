import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Change, CredentialsText } from "../../xmpp-core/control/contract.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { credentialsOf, freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: TestAgent;
let full = false;
beforeEach(async () => {
  full = false;
  core = await startTestCore({ users: ["alice", "bob"], testing: { failWrites: () => full } });
  agent = await connectAgent(core);
});
afterEach(async () => {
  full = false;
  await agent.target.close();
  await core.close();
});

const keys = async (password: string): Promise<CredentialsText> => {
  const { sha1, sha256, sha512 } = await credentialsOf(password);
  return { ...(sha1 && { sha1 }), ...(sha256 && { sha256 }), ...(sha512 && { sha512 }) };
};
const account = async (name: string, more: Record<string, unknown> = {}) =>
  ({ kind: "account-set", account: { name, enabled: true, credentials: await keys(name), ...more } }) as const;
const names = async () => (await agent.target.actual()).accounts.map(({ name }) => name);

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const taker = createServer()
      .once("error", () => resolve(false))
      .listen(port, "127.0.0.1", () => taker.close(() => resolve(true)));
  });

describe("revisions", () => {
  test("an apply makes a revision, a proof proves it, both outlive a crash", async () => {
    const answer = await agent.set({ "xmpp.client.idle": " 70000 " });
    expect(answer).toMatchObject({ revision: 1, restarting: false });
    expect(await agent.target.revisions()).toEqual({ revision: 1, proven: 0 });
    await agent.target.prove(1);
    await core.crash();
    await agent.target.ready(5000);
    expect(await agent.target.revisions()).toEqual({ revision: 1, proven: 1 });
    const { properties } = (await agent.target.actual()).settings;
    expect(properties).toContainEqual({ key: "xmpp.client.idle", value: "70000", origin: "host", secret: false });
  });

  test("an apply that expects another revision changes nothing", async () => {
    await agent.set({ "xmpp.client.idle": "70000" });
    const stale = { expected: 0, revision: 2, by: "a test", changes: [], aliasDays: 90 };
    await expect(agent.target.apply(stale)).rejects.toMatchObject({
      code: "control/stale-revision",
      fields: { current: 1 },
    });
    await expect(agent.target.apply({ ...stale, expected: 1, revision: 1 })).rejects.toMatchObject({
      code: "control/revision-order",
    });
    await expect(agent.target.prove(7)).rejects.toMatchObject({ code: "control/stale-revision" });
  });

  test("after two failed boots the proven revision comes back: settings, groups, supervisors; never accounts or the domain", async () => {
    await agent.apply(
      await account("carol"),
      { kind: "setting", setting: "property:xmpp.client.idle", to: "70000" },
      { kind: "group-set", group: { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup", groupList: [] } },
      { kind: "group-members", group: "Sales", add: ["alice", "bob"], remove: [] },
      { kind: "supervisor", name: "alice", grant: true },
    );
    await agent.target.prove(1);
    const before = await agent.target.actual();
    await agent.apply(
      await account("dora"),
      { kind: "setting", setting: "property:xmpp.client.idle", to: "80000" },
      { kind: "setting", setting: "admin", to: "bob" },
      { kind: "group-members", group: "Sales", add: [], remove: ["bob"] },
      { kind: "group-set", group: { name: "New", displayName: "New", showInRoster: "everybody", groupList: [] } },
      { kind: "supervisor", name: "alice", grant: false },
      { kind: "supervisor", name: "bob", grant: true },
    );
    await core.restart("proven");
    await agent.target.ready(5000);
    const status = await agent.target.status();
    expect(status).toMatchObject({ revision: 1, proven: 1, fellBackFrom: 2 });
    expect(status.notices.join()).toContain("Revision 2 did not start");
    const after = await agent.target.actual();
    expect(after.settings).toEqual(before.settings);
    expect(after.groups).toEqual(before.groups);
    expect(after.supervisors).toEqual(["alice"]);
    expect(after.accounts.map(({ name }) => name)).toContain("dora");
    await core.restart();
    await agent.target.ready(5000);
    expect(await agent.target.status()).toMatchObject({ revision: 1, fellBackFrom: 2 });
    await agent.set({ "xmpp.client.idle": "90000" });
    expect(await agent.target.status()).not.toHaveProperty("fellBackFrom");
  });

  test("the successor is told its revision and its heap limit", async () => {
    const answer = await agent.apply({ kind: "setting", setting: "runtime-options", to: "-Xmx300m" });
    expect(answer.restarting).toBe(true);
    expect(JSON.parse(await readFile(join(core.home, "boot.json"), "utf8"))).toEqual({ heapMb: 300, revision: 1 });
    await agent.target.ready(10_000);
    await core.restarted();
    await agent.apply({ kind: "setting", setting: "runtime-options", to: null });
    expect(JSON.parse(await readFile(join(core.home, "boot.json"), "utf8"))).toEqual({ revision: 2 });
    await agent.target.ready(10_000);
    await core.restarted();
  });
});

describe("a failure before the commit changes nothing", () => {
  const everything = async (): Promise<Change[]> => [
    await account("carol"),
    { kind: "account-set", account: { name: "alice", enabled: false } },
    { kind: "account-rename", from: "bob", account: { name: "robert", enabled: true } },
    {
      kind: "group-set",
      group: { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup", groupList: [] },
    },
    { kind: "group-members", group: "Sales", add: ["carol"], remove: [] },
    { kind: "supervisor", name: "carol", grant: true },
    { kind: "setting", setting: "domain", to: "new.example" },
    { kind: "setting", setting: "property:xmpp.client.idle", to: "70000" },
  ];

  test("a full disk: old accounts, groups, names, settings and ports are in force, and it works when there is room again", async () => {
    const alice = await core.login("alice");
    const before = await agent.target.actual();
    const port = String(await freePort());
    const all = [
      ...(await everything()),
      { kind: "setting", setting: "property:xmpp.socket.plain.port", to: port } as const,
    ];
    full = true;
    await expect(agent.apply(...all)).rejects.toMatchObject({ code: "storage/failing" });
    expect(await agent.target.actual()).toEqual(before);
    expect((await agent.target.status()).listeners[0]?.port).toBe(core.port);
    expect(await isFree(Number(port))).toBe(true);
    await alice.ping();
    full = false;
    await expect.poll(() => core.server.storage.health, { timeout: 10_000 }).toBe("ok");
    expect(await agent.apply(...all)).toMatchObject({ revision: 1 });
    expect(await names()).toEqual(["alice", "carol", "robert"]);
    expect((await agent.target.status()).listeners[0]?.port).toBe(Number(port));
  });

  test("a port that is taken: the error names key and port, and what else was asked for is not done", async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
    });
    const before = await agent.target.actual();
    const refused = agent.apply(...(await everything()), {
      kind: "setting",
      setting: "property:xmpp.socket.plain.port",
      to: String(port),
    });
    await expect(refused).rejects.toMatchObject({
      code: "gate/port-taken",
      message: expect.stringContaining("xmpp.socket.plain.port"),
      fields: { port },
    });
    expect(await agent.target.actual()).toEqual(before);
    other.close();
    expect(await core.login("alice")).toBeDefined();
  });

  test("a certificate that cannot be read: the error names the file", async () => {
    const before = await agent.target.actual();
    const refused = agent.set({
      "firekeeper.certificate.chain": "/nowhere/chain.pem",
      "firekeeper.certificate.key": "/nowhere/key.pem",
    });
    await expect(refused).rejects.toMatchObject({
      code: "certificate/unreadable",
      fields: { file: "/nowhere/chain.pem" },
    });
    expect(await agent.target.actual()).toEqual(before);
  });

  test.each<[string, Change, string]>([
    [
      "a value that cannot be read",
      { kind: "setting", setting: "property:xmpp.client.idle", to: "soon" },
      "property/value",
    ],
    ["a setting that does not exist", { kind: "setting", setting: "colour", to: "red" }, "control/unknown-setting"],
    [
      "an account that does not exist",
      { kind: "account-remove", name: "nobody", keepDays: 1 },
      "control/unknown-account",
    ],
    [
      "a member that does not exist",
      { kind: "group-members", group: "Sales", add: ["nobody"], remove: [] },
      "control/unknown-account",
    ],
    [
      "a name that is not canonical",
      { kind: "account-set", account: { name: "Carol", enabled: true } },
      "control/name",
    ],
    [
      "keys that are none",
      { kind: "account-set", account: { name: "eve", enabled: true, credentials: { sha1: "x" } } },
      "auth/bad-keys",
    ],
  ])("%s", async (_what, change, code) => {
    const before = await agent.target.actual();
    await expect(agent.apply(await account("carol"), change)).rejects.toMatchObject({ code });
    expect(await agent.target.actual()).toEqual(before);
    expect(await agent.target.revisions()).toEqual({ revision: 0, proven: 0 });
    await expect(core.login("carol")).rejects.toThrow("not-authorized");
  });
});

describe("settings", () => {
  test("a port moves: old connections stay, new ones come to the new port", async () => {
    const alice = await core.login("alice");
    const port = await freePort();
    const answer = await agent.set({ "xmpp.socket.plain.port": String(port) });
    expect(answer.done).toEqual([expect.stringContaining(`c2s is on port ${port}`)]);
    await alice.ping();
    await core.login("bob", { port });
    await expect(core.login("bob")).rejects.toThrow("ECONNREFUSED");
    await agent.set({ "xmpp.socket.ssl.active": "false" });
    await expect(core.login("bob", { tls: "direct", port: core.directPort })).rejects.toThrow("ECONNREFUSED");
    expect((await agent.target.status()).listeners.map(({ name }) => name)).toEqual(["c2s"]);
  });

  test("what the host lets go of returns to the local value, what the host owns is refused to others", async () => {
    const control = core.server.control();
    const set = (to: string | null) => control?.setLocal(new Map([["property:xmpp.client.idle", to]]));
    await set("50000");
    await expect.poll(() => agent.events).toContainEqual({ event: "changed", part: "settings" });
    await agent.set({ "xmpp.client.idle": "70000" });
    const listed = async () =>
      (await agent.target.actual()).settings.properties.find(({ key }) => key === "xmpp.client.idle");
    expect(await listed()).toMatchObject({ value: "70000", origin: "host", beneath: "50000" });
    await expect(set("60000")).rejects.toMatchObject({ code: "settings/owned-by-host" });
    await agent.set({ "xmpp.client.idle": null });
    expect(await listed()).toMatchObject({ value: "50000", origin: "local" });
    await expect(set("soon")).rejects.toMatchObject({ code: "property/value" });
    await set(null);
    expect(await listed()).toBeUndefined();
  });

  test("secrets are told as hashes", async () => {
    await agent.set({ "plugin.restapi.secret": "hush" });
    const found = (await agent.target.actual()).settings.properties.find(({ key }) => key === "plugin.restapi.secret");
    expect(found).toMatchObject({ secret: true, value: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) });
    expect(JSON.stringify(await agent.target.status())).not.toContain("hush");
  });

  test("status names what weakens, what has no effect, what is not yet honoured and what is unknown", async () => {
    await agent.set({
      "xmpp.client.tls.policy": "optional",
      "xmpp.parser.buffer.sizes": "1",
      "sasl.mechs": "SCRAM-SHA-256,CRAM-MD5",
    });
    const { weakens, notices } = await agent.target.status();
    expect(weakens.join("\n")).toContain("xmpp.client.tls.policy:");
    expect(notices.join("\n")).toMatch(/xmpp\.parser\.buffer\.sizes is unknown/);
    expect(notices.join("\n")).toMatch(/sasl\.mechs: CRAM-MD5 has no effect/);
  });

  test("a stored value that a later release cannot read leaves the default in force, and status says which", async () => {
    await core.server.storage.write(core.server.settings.setHost("property:xmpp.client.idle", "soon"));
    await core.restart();
    await agent.target.ready(5000);
    const { notices } = await agent.target.status();
    expect(notices.join("\n")).toMatch(/xmpp\.client\.idle cannot be read and its default is in force: .*milliseconds/);
  });

  test("the admin moves at once", async () => {
    const [alice, bob] = ["alice", "bob"].map((name) => core.server.accounts.get(1, name)?.id ?? 0);
    const lost: number[] = [];
    core.server.rights.onLost((id) => lost.push(id));
    await agent.apply({ kind: "setting", setting: "admin", to: "bob" });
    expect([alice, bob].map((id) => core.server.rights.isAdmin(id ?? 0))).toEqual([false, true]);
    await agent.apply({ kind: "setting", setting: "admin", to: "alice" });
    expect([alice, bob].map((id) => core.server.rights.isAdmin(id ?? 0))).toEqual([true, false]);
    expect(lost).toEqual([bob]);
  });
});

test("a group is there at once and seen as a member sees it", async () => {
  await agent.apply(
    {
      kind: "group-set",
      group: { name: "Sales", displayName: "Sales Team", showInRoster: "onlyGroup", groupList: [] },
    },
    { kind: "group-members", group: "Sales", add: ["alice", "bob"], remove: [] },
  );
  expect(await agent.target.groupView("Sales")).toEqual({ exists: true, displayName: "Sales Team", members: 2 });
  const alice = await core.login("alice");
  expect((await alice.roster()).contacts.get("bob@localhost")?.groups).toEqual(["Sales Team"]);
  await agent.apply({ kind: "group-members", group: "Sales", add: [], remove: ["bob"] });
  await alice.next("roster push");
  await agent.apply({ kind: "group-remove", name: "Sales" });
  expect((await agent.target.groupView("Sales")).exists).toBe(false);
});
