import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { type FakeDirectory, fakeHttp } from "../support/fake-directories.ts";
import { authenticate, condition } from "../support/sasl2.ts";
import { type LoginRefused, XmppClient } from "../support/xmpp-client.ts";

// By crypt(3) and slappasswd.
const right = "pencil sharpener";
const bcrypt = "$2b$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe";
const ssha = "{SSHA}gWKS3Z9eX/P2o7pGuv8brJ83Q3Kyq7I+";

let core: TestCore;
let agent: TestAgent;
let directory: FakeDirectory | undefined;
beforeEach(async () => {
  core = await startTestCore({ users: ["bob"] });
  agent = await connectAgent(core);
});
afterEach(async () => {
  await agent.target.close();
  await core.close();
  await directory?.close();
  directory = undefined;
});

const set = (name: string, more: Record<string, unknown>) =>
  agent.apply({ kind: "account-set", account: { name, enabled: true, ...more } });
const mechanisms = async (): Promise<string[]> => {
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
  return (
    client.features
      ?.getChild("mechanisms")
      ?.getChildElements()
      .map((one) => one.text()) ?? []
  );
};
const refused = (user: string, more: Record<string, unknown>) =>
  core.login(user, more).then(
    () => "in",
    (error: LoginRefused) => error.message.replace(/^.*?<failure[^>]*>|<\/failure>$/g, ""),
  );
const standing = async () => (await agent.target.actual()).settings.passwords;

test("an account that has a hash alone: PLAIN alone is offered, the first login makes keys, and a person decides to offer SCRAM again", async () => {
  expect(await mechanisms()).not.toContain("PLAIN");
  await set("alice", { passwordHash: bcrypt });
  expect(await mechanisms()).toEqual(["PLAIN"]);
  expect(await standing()).toEqual({ hashed: 1, derived: 0, live: 0, plainAlone: true });
  expect((await agent.target.status()).weakens.join()).toContain("1 accounts have only a hash");
  expect(await refused("alice", { password: "wrong" })).toContain("<not-authorized");
  await (await core.login("bob")).close();
  await (await core.login("alice", { password: right })).close();
  expect(await standing()).toEqual({ hashed: 0, derived: 1, live: 0, plainAlone: true });
  // By itself nothing is offered again; and keys outlive a crash.
  expect(await mechanisms()).toEqual(["PLAIN"]);
  await agent.set({ "firekeeper.sasl.plain-alone": "never" });
  await agent.target.close();
  await core.crash();
  agent = await connectAgent(core);
  expect(await mechanisms()).toContain("SCRAM-SHA-256-PLUS");
  expect(await mechanisms()).not.toContain("PLAIN");
  await (await core.login("alice", { password: right, mechanism: "SCRAM-SHA-256" })).close();
  expect(await refused("alice", { password: "wrong", mechanism: "SCRAM-SHA-256" })).toContain("<not-authorized");
});

test("keys go with the hash they came from, and the same hash again keeps them", async () => {
  await set("alice", { passwordHash: bcrypt });
  await (await core.login("alice", { password: right })).close();
  await agent.set({ "firekeeper.sasl.plain-alone": "never" });
  await set("alice", { passwordHash: bcrypt, displayName: "Alice" });
  expect(await standing()).toMatchObject({ hashed: 0, derived: 1 });
  await (await core.login("alice", { password: right, mechanism: "SCRAM-SHA-512" })).close();
  const another = execFileSync("openssl", ["passwd", "-6", "another pencil"]).toString().trim();
  await set("alice", { passwordHash: another });
  expect(await standing()).toMatchObject({ hashed: 1, derived: 0 });
  for (const mechanism of ["SCRAM-SHA-512", "PLAIN"])
    expect(await refused("alice", { password: right, mechanism })).toContain("<not-authorized");
  await (await core.login("alice", { password: "another pencil", mechanism: "PLAIN" })).close();
  // Keys from the host are its own: nothing is left of the hash.
  const { sha1, sha256, sha512 } = await credentialsOf("alice");
  await set("alice", { credentials: { sha1, sha256, sha512 } });
  expect(await standing()).toMatchObject({ hashed: 0, derived: 0, live: 0 });
  await (await core.login("alice", { mechanism: "SCRAM-SHA-1" })).close();
});

test("what is checked against stands in no answer and no log; a hash that cannot be checked is refused", async () => {
  await set("alice", { passwordHash: ssha });
  await (await core.login("alice", { password: right })).close();
  const told = JSON.stringify([await agent.target.actual(), await agent.target.status()]);
  expect(told).not.toContain("SSHA");
  expect((await agent.target.actual()).accounts[0]?.credentialsHash).toMatch(/^sha256:[0-9a-f]{64}$/);
  await expect(set("carol", { passwordHash: "$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/" })).rejects.toThrow("bcrypt");
  await expect(set("carol", { passwordHash: `$2b$15$${"a".repeat(53)}` })).rejects.toThrow("at most 14");
});

test("who has none of the allowed roles learns so only by the right password, however he logs in (B23)", async () => {
  await agent.apply({
    kind: "account-set",
    account: { name: "alice", enabled: false, barred: true, passwordHash: ssha },
  });
  await agent.apply({ kind: "account-set", account: { name: "carol", enabled: false, passwordHash: bcrypt } });
  await set("dora", { passwordHash: ssha });
  expect(await refused("alice", { password: right })).toMatch(/<account-disabled.*Chat is not enabled for you\./);
  expect(await refused("carol", { password: right })).toMatch(/<account-disabled.*This account is disabled\./);
  const inOneStep = async (password: string) => {
    const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
    const failure = await authenticate(client, { user: "alice", password, mechanism: "PLAIN" });
    return [condition(failure), failure.getChildText("text")];
  };
  expect(await inOneStep(right)).toEqual(["account-disabled", "Chat is not enabled for you."]);
  expect((await inOneStep("wrong"))[0]).toBe("not-authorized");
  const wrong = await refused("alice", { password: "wrong" });
  expect(wrong).toContain("<not-authorized");
  expect([await refused("carol", { password: "wrong" }), await refused("nobody", { password: "wrong" })]).toEqual([
    wrong,
    wrong,
  ]);
  const accounts = (await agent.target.actual()).accounts.map(({ name, enabled, barred }) => [name, enabled, barred]);
  expect(accounts).toEqual(
    expect.arrayContaining([
      ["alice", false, true],
      ["carol", false, undefined],
    ]),
  );
});

test("a directory judges those whom the host knows, is asked about nobody else, and is nobody's fault when it is away", async () => {
  directory = await fakeHttp();
  directory.right = "directory's";
  await agent.set({ "firekeeper.auth.http.url": `http://127.0.0.1:${directory.port}/` });
  await set("alice", { passwordFrom: "http" });
  expect(await mechanisms()).toEqual(["PLAIN"]);
  const alice = await core.login("alice", { password: "directory's" });
  expect(await refused("ghost", { password: "directory's" })).toContain("<not-authorized");
  expect(await refused("alice", { password: "wrong" })).toContain("<not-authorized");
  expect(await refused("alice", { password: "wrong" })).toContain("<not-authorized");
  expect(directory.asked.map((line) => JSON.parse(line.slice(2)))).toEqual([
    { user: "alice", password: "directory's" },
    { user: "alice", password: "wrong" },
  ]);
  directory.right = undefined;
  expect(await refused("alice", { password: "unheard" })).toContain("<temporary-auth-failure");
  // No keys are made of what belongs to the directory.
  expect(await standing()).toMatchObject({ live: 1, derived: 0 });
  await alice.ping();
  const checks = (await agent.target.checkLogin?.({ name: "alice", password: "unheard too" })) ?? [];
  expect(checks.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(["directory", "password"]);
});

test("a check of a login says what fails, and nothing that is secret", async () => {
  await set("alice", { passwordHash: bcrypt });
  const check = async (name: string, password?: string) => {
    const checks = (await agent.target.checkLogin?.({ name, ...(password === undefined ? {} : { password }) })) ?? [];
    expect(JSON.stringify(checks)).not.toMatch(/\$2b\$|pencil/);
    return checks.map(({ check, ok }) => `${check} ${ok ? "ok" : "fails"}`);
  };
  expect(await check("alice@localhost", right)).toEqual([
    "account ok",
    "enabled ok",
    "password source ok",
    "offered ok",
    "password ok",
  ]);
  expect((await check("ALICE", "wrong")).at(-1)).toBe("password fails");
  expect(await check("bob")).toEqual(["account ok", "enabled ok", "password source ok"]);
  expect(await check("nobody", right)).toEqual(["account fails"]);
  expect(await check("@")).toEqual(["name fails"]);
  await agent.apply({ kind: "account-set", account: { name: "dora", enabled: false, barred: true } });
  expect(await check("dora")).toEqual(["account ok", "allowed fails", "password source fails"]);
});
