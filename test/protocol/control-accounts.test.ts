import { afterEach, beforeEach, expect, test } from "vitest";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: TestAgent;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  agent = await connectAgent(core);
});
afterEach(async () => {
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

test("created, with another password, disabled, enabled again", async () => {
  await agent.apply(await account("carol", { displayName: "Carol King", email: "carol@example.org", id: "7" }));
  const carol = await core.login("carol");
  const [first] = (await agent.target.actual()).accounts.filter(({ name }) => name === "carol");
  expect(first).toMatchObject({
    id: "7",
    displayName: "Carol King",
    email: "carol@example.org",
    origin: "host",
    enabled: true,
  });
  expect(first?.credentialsHash).toMatch(/^sha256:[0-9a-f]{64}$/);
  await agent.apply(await account("carol", { credentials: await keys("other") }));
  await expect(core.login("carol")).rejects.toThrow("not-authorized");
  await (await core.login("carol", { password: "other" })).close();
  const done = await agent.apply({
    kind: "account-set",
    account: { name: "carol", enabled: false, credentials: await keys("other") },
  });
  expect(done.done).toContain("1 session of carol ended.");
  expect(await carol.streamError()).toBe("not-authorized");
  await expect(core.login("carol", { password: "other" })).rejects.toThrow("account-disabled");
  await agent.apply({ kind: "account-set", account: { name: "carol", enabled: true }, keepCredentials: true });
  await core.login("carol", { password: "other" });
});

test("without keys nobody logs in", async () => {
  await agent.apply({ kind: "account-set", account: { name: "alice", enabled: true } });
  await expect(core.login("alice")).rejects.toThrow("not-authorized");
  expect((await agent.target.actual()).accounts[0]).not.toHaveProperty("credentialsHash");
});

test("removed: sessions end, everything stays; who returns finds it; the clock erases what does not return", async () => {
  await agent.apply(await account("carol", { id: "7" }));
  const carol = await core.login("carol");
  carol.set("<query xmlns='jabber:iq:roster'><item jid='x@far.example' name='Xavier'/></query>");
  await carol.ping();
  await agent.apply({ kind: "account-remove", name: "carol", keepDays: 30 });
  expect(await carol.streamError()).toBe("not-authorized");
  const kept = (await agent.target.actual()).accounts.find(({ name }) => name === "carol");
  expect(kept?.enabled).toBe(false);
  expect(Date.parse(kept?.keptUntil ?? "")).toBeGreaterThan(Date.now() + 29 * 24 * 3600 * 1000);
  await agent.apply(await account("carol", { id: "7" }));
  const again = await core.login("carol");
  expect((await again.roster()).contacts.get("x@far.example")?.name).toBe("Xavier");
  expect((await agent.target.actual()).accounts.find(({ name }) => name === "carol")).not.toHaveProperty("keptUntil");
});

test("another id under the same name is another person, who finds nothing of the former one but memberships", async () => {
  await agent.apply(
    await account("carol", { id: "7" }),
    { kind: "group-set", group: { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup", groupList: [] } },
    { kind: "group-members", group: "Sales", add: ["carol", "bob"], remove: [] },
    { kind: "supervisor", name: "carol", grant: true },
  );
  const carol = await core.login("carol");
  await carol.set("<query xmlns='jabber:iq:roster'><item jid='x@far.example' name='Xavier'/></query>");
  await agent.apply(await account("carol", { id: "8" }));
  expect(await carol.streamError()).toBe("not-authorized");
  const other = await core.login("carol");
  expect([...(await other.roster()).contacts.keys()]).toEqual(["bob@localhost"]);
  expect(await names()).toEqual(["alice", "bob", "carol"]);
  const { groups, supervisors } = await agent.target.actual();
  expect(groups[0]?.members).toEqual(["bob", "carol"]);
  expect(supervisors).toEqual(["carol"]);
  await core.restart();
  await agent.target.ready(5000);
  expect((await agent.target.actual()).groups[0]?.members).toEqual(["bob", "carol"]);
});

test("renamed: the session goes on, the former name still leads there, until somebody bears it", async () => {
  const alice = await core.login("alice");
  const bob = await core.login("bob");
  bob.presence();
  alice.presence();
  await agent.apply({ kind: "account-rename", from: "bob", account: { name: "robert", enabled: true } });
  alice.message("bob@localhost", "to the old name");
  await bob.next("message", (message) => message.getChildText("body") === "to the old name");
  alice.message("robert@localhost", "to the new name");
  await bob.next("message", (message) => message.getChildText("body") === "to the new name");
  await core.login("robert", { password: "bob" });
  await agent.apply(await account("bob"));
  const other = await core.login("bob");
  other.presence();
  await other.ping();
  alice.message("bob@localhost", "to another");
  await other.next("message", (message) => message.getChildText("body") === "to another");
});

test("a local account is left alone until somebody says adopt", async () => {
  const local = core.server.accounts.get(1, "alice");
  if (local === undefined) throw new Error("no alice");
  local.origin = "local";
  const alice = await core.login("alice");
  await expect(agent.apply(await account("alice"))).rejects.toMatchObject({ code: "control/local-account" });
  await expect(agent.apply({ kind: "account-remove", name: "alice", keepDays: 1 })).rejects.toMatchObject({
    code: "control/local-account",
  });
  await agent.apply({ ...(await account("alice")), adopt: true });
  expect(await alice.streamError()).toBe("not-authorized");
  expect((await agent.target.actual()).accounts[0]).toMatchObject({ name: "alice", origin: "host" });
  await core.login("alice");
});
