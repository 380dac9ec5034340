import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../xmpp-core/clock.ts";
import type { Change } from "../../xmpp-core/control/contract.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const dayMs = 24 * 3600 * 1000;
let core: TestCore;
let agent: TestAgent;
/** Days that the server's clock is ahead; `tick` lets a minute's work run. */
let days = 0;
let tick: (() => void)[] = [];
const clock = {
  ...systemClock,
  now: () => Date.now() + days * dayMs,
  every(ms: number, work: () => void) {
    if (ms !== 60_000) return systemClock.every(ms, work);
    tick.push(work);
    return () => {
      tick = tick.filter((each) => each !== work);
    };
  },
};
beforeEach(async () => {
  days = 0;
  tick = [];
  core = await startTestCore({ domain: "old.example", users: ["alice", "bob", "carol"], clock });
  agent = await connectAgent(core);
});
afterEach(async () => {
  await agent.target.close();
  await core.close();
});

const domain = (to: string): Change => ({ kind: "setting", setting: "domain", to });
const saying = (body: string | RegExp) => (message: { getChildText(name: string): string | null }) =>
  typeof body === "string" ? message.getChildText("body") === body : body.test(message.getChildText("body") ?? "");

async function online(user: string, under: string): Promise<XmppClient> {
  const client = await core.login(user, { domain: under });
  client.presence();
  await client.ping();
  return client;
}

test("two names, one service: who is online stays, hears of the new name once, and talks to who comes under it", async () => {
  const alice = await online("alice", "old.example");
  const answer = await agent.apply(domain("new.example"));
  expect(answer).toMatchObject({
    restarting: false,
    done: [expect.stringContaining("old.example stays an alias of new.example until")],
  });
  const notice = await alice.next("message", saying(/alice@new\.example/));
  expect(notice.attrs).toMatchObject({ from: "old.example", to: alice.jid, type: "headline" });
  const bob = await online("bob", "new.example");
  expect(bob.jid).toContain("bob@new.example/");
  expect(bob.certificate?.checkHost("new.example")).toBeDefined();
  bob.message("alice@new.example", "to the new name");
  expect((await alice.next("message", saying("to the new name"))).attrs.from).toBe(
    bob.jid.replace("new.example", "old.example"),
  );
  alice.message("bob@old.example", "to the old name");
  expect((await bob.next("message", saying("to the old name"))).attrs.from).toBe(
    alice.jid.replace("old.example", "new.example"),
  );
  const second = await online("alice", "old.example");
  await second.none("message", saying(/now called/));
  const carol = await online("carol", "old.example");
  await carol.next("message", saying(/carol@new\.example/));
  await (await online("carol", "old.example")).none("message", saying(/now called/));
  await bob.none("message", saying(/now called/));
  const { aliases } = await agent.target.status();
  expect(aliases).toMatchObject([{ name: "old.example", sessions: 4 }]);
  expect(Date.parse(aliases[0]?.until ?? "")).toBeGreaterThan(Date.now() + 89 * dayMs);
  await core.restart();
  await agent.target.ready(5000);
  expect(await agent.target.status()).toMatchObject({
    domain: "new.example",
    aliases: [{ name: "old.example", sessions: 4, until: aliases[0]?.until }],
  });
  alice.message("bob@old.example", "still");
  await bob.next("message", saying("still"));
  await (await online("carol", "old.example")).none("message", saying(/now called/));
});

test("the former name ends after its time: whoever is under it is told the new one", async () => {
  const alice = await online("alice", "old.example");
  await agent.apply(domain("new.example"));
  days = 89;
  for (const work of tick) work();
  await alice.ping();
  days = 91;
  for (const work of tick) work();
  expect(await alice.streamError()).toBe("host-gone");
  await expect.poll(() => agent.events).toContainEqual({ event: "changed", part: "settings" });
  expect((await agent.target.status()).aliases).toEqual([]);
  await expect(core.login("alice", { domain: "old.example" })).rejects.toThrow(/host-gone.*new\.example/s);
  await core.login("alice", { domain: "new.example" });
});

test("an alias of 0 days stays for ever", async () => {
  await agent.target.apply({ expected: 0, revision: 1, by: "a test", changes: [domain("new.example")], aliasDays: 0 });
  days = 100_000;
  for (const work of tick) work();
  expect((await agent.target.status()).aliases).toMatchObject([{ name: "old.example", until: null }]);
  await core.login("alice", { domain: "old.example" });
});

test("and back again", async () => {
  await agent.apply(domain("new.example"));
  const alice = await online("alice", "new.example");
  const answer = await agent.target.canonical({
    settings: { domain: "old.example", properties: {} },
    groups: [],
    supervisors: [],
    accounts: [],
  });
  expect(answer.migration).toMatchObject({
    from: "new.example",
    to: "old.example",
    accounts: 3,
    sessions: 1,
    foreignBecomingLocal: 0,
  });
  await agent.apply(domain("old.example"));
  await alice.next("message", saying(/alice@old\.example/));
  expect(await agent.target.status()).toMatchObject({
    domain: "old.example",
    aliases: [{ name: "new.example", sessions: 1 }],
  });
  await online("bob", "old.example");
});

test("a stored foreign address under the new name becomes the local one; one that is somebody else's blocks", async () => {
  const alice = await online("alice", "old.example");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='dora@new.example' name='Dora'/></query>");
  const wanted = { settings: { domain: "new.example", properties: {} }, groups: [], supervisors: [], accounts: [] };
  expect((await agent.target.canonical(wanted)).migration).toMatchObject({
    foreignBecomingLocal: 1,
    clashes: [],
    rosterItems: 1,
  });
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@new.example' name='Another Bob'/></query>");
  expect((await agent.target.canonical(wanted)).migration).toMatchObject({ foreignBecomingLocal: 2, clashes: ["bob"] });
  await expect(agent.apply(domain("new.example"))).rejects.toMatchObject({ code: "control/domain-clash" });
  expect((await agent.target.status()).domain).toBe("old.example");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@new.example' subscription='remove'/></query>");
  await agent.apply(domain("new.example"));
  const again = await online("alice", "new.example");
  expect([...(await again.roster()).contacts.keys()]).toEqual(["dora@new.example"]);
  expect([...(await alice.roster()).contacts.keys()]).toEqual(["dora@old.example"]);
});

test("the first name of a home that was never used leaves no alias", async () => {
  const fresh = await startTestCore({ domain: "first.example" });
  const other = await connectAgent(fresh);
  const wanted = { settings: { domain: "second.example", properties: {} }, groups: [], supervisors: [], accounts: [] };
  expect((await other.target.canonical(wanted)).settings[0]).toMatchObject({ impact: "live" });
  expect((await other.target.actual()).settings.fresh).toBe(true);
  await other.apply(domain("second.example"), { kind: "account-set", account: { name: "dora", enabled: true } });
  expect((await other.target.actual()).settings).toMatchObject({ domain: "second.example", aliases: [], fresh: false });
  await other.target.close();
  await fresh.close();
});

test("the data of who left is erased by the clock, and another of that name finds nothing", async () => {
  const carol = await online("carol", "old.example");
  await carol.set("<query xmlns='jabber:iq:roster'><item jid='x@far.example' name='Xavier'/></query>");
  await agent.apply({ kind: "account-remove", name: "carol", keepDays: 30 });
  days = 29;
  for (const work of tick) work();
  expect((await agent.target.actual()).accounts).toHaveLength(3);
  days = 31;
  for (const work of tick) work();
  await expect.poll(async () => (await agent.target.actual()).accounts.length).toBe(2);
  await expect.poll(() => agent.events).toContainEqual({ event: "changed", part: "accounts" });
  await core.addUser("carol");
  expect((await (await online("carol", "old.example")).roster()).contacts.size).toBe(0);
});
