import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0016, and XEP-0191 §5
const ns = "jabber:iq:privacy";
let core: TestCore;
let agent: TestAgent;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
  agent = await connectAgent(core);
});
beforeEach(async () => {
  XmppClient.dropAll();
  const fresh = await core.login("alice");
  await fresh.set(`<query xmlns='${ns}'><default/></query>`);
  for (const name of ["one", "two", "blocklist"]) await put(fresh, name);
  await fresh.set("<unblock xmlns='urn:xmpp:blocking'/>");
  await fresh.set("<offline xmlns='http://jabber.org/protocol/offline'><purge/></offline>");
  await fresh.close();
  [alice, bob] = await Promise.all([
    core.login("alice", { resource: "desk" }),
    core.login("bob", { resource: "phone" }),
  ]);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const set = (client: XmppClient, inside: string) => client.set(`<query xmlns='${ns}'>${inside}</query>`);
/** `deny` and `allow` in this order; "type=value kinds". */
const put = (client: XmppClient, name: string, ...rules: string[]) =>
  set(
    client,
    `<list name='${name}'>${rules
      .map((rule, order) => {
        const [action, what = "", ...kinds] = rule.split(" ");
        const [type, value] = what.split("=");
        const about = value === undefined ? [what, ...kinds].filter((kind) => kind !== "") : kinds;
        const whom = value === undefined ? "" : `type='${type}' value='${value}'`;
        return `<item ${whom} action='${action}' order='${order + 1}'>${about.map((kind) => `<${kind}/>`).join("")}</item>`;
      })
      .join("")}</list>`,
  );
const activate = (client: XmppClient, name?: string) =>
  set(client, name === undefined ? "<active/>" : `<active name='${name}'/>`);
const makeDefault = (client: XmppClient, name?: string) =>
  set(client, name === undefined ? "<default/>" : `<default name='${name}'/>`);
async function names(client: XmppClient) {
  const query = (await client.get(`<query xmlns='${ns}'/>`)).getChild("query", ns);
  const of = (kind: string) => query?.getChildren(kind).map(({ attrs }) => attrs.name);
  return { active: of("active"), default: of("default"), lists: of("list")?.sort() };
}
const itemsOf = async (client: XmppClient, name: string) =>
  (await client.get(`<query xmlns='${ns}'><list name='${name}'/></query>`))
    .getChild("query", ns)
    ?.getChild("list")
    ?.getChildren("item")
    .map(({ attrs, children }) =>
      [
        attrs.action,
        attrs.value ?? "*",
        attrs.order,
        ...children.map((one) => (typeof one === "string" ? "" : one.name)),
      ].join(" "),
    );
const blockList = async (client: XmppClient) =>
  (await client.get("<blocklist xmlns='urn:xmpp:blocking'/>"))
    .getChild("blocklist")
    ?.getChildren("item")
    .map(({ attrs }) => attrs.jid);

/** The condition of what comes back; "" if it arrived. */
async function outcome(from: XmppClient, to: string, receiver?: XmppClient): Promise<string> {
  const id = from.message(to, "hello");
  await from.ping();
  const back = from.connection.inbox.find((stanza) => stanza.attrs.id === id);
  if (back === undefined) await receiver?.next("message", (message) => message.attrs.id === id);
  return back === undefined ? "" : errorCondition(back);
}
const version = "<query xmlns='jabber:iq:version'/>";
/** The condition of what comes back to a request; "" if it arrived. */
async function asked(from: XmppClient, to: XmppClient): Promise<string> {
  const id = from.newId();
  from.send(`<iq type='get' id='${id}' to='${to.jid}'>${version}</iq>`);
  await from.ping();
  const back = from.connection.inbox.find((stanza) => stanza.attrs.id === id);
  if (back === undefined) await to.next("iq", (iq) => iq.attrs.id === id);
  return back === undefined ? "" : errorCondition(back);
}

test("lists are made, read in order, changed and removed; every device is told by name", async () => {
  const other = await core.login("alice", { resource: "other" });
  expect((await put(alice, "one", "deny jid=bob@localhost/phone message", "allow")).attrs.type).toBe("result");
  for (const client of [alice, other]) {
    const push = await client.next("iq", (iq) => iq.attrs.type === "set" && iq.getChild("query", ns) !== undefined);
    expect(push.getChild("query", ns)?.getChild("list")?.attrs).toMatchObject({ name: "one" });
  }
  expect(await itemsOf(alice, "one")).toEqual(["deny bob@localhost/phone 1 message", "allow * 2"]);
  expect(await names(alice)).toEqual({ active: [], default: [], lists: ["one"] });
  await activate(alice, "one");
  await makeDefault(alice, "one");
  expect(await names(alice)).toEqual({ active: ["one"], default: ["one"], lists: ["one"] });
  expect(await names(other)).toEqual({ active: [], default: ["one"], lists: ["one"] });
  expect(errorCondition(await put(alice, "one"))).toBe("conflict");
  expect(errorCondition(await makeDefault(alice))).toBe("conflict");
  await other.close();
  expect((await put(alice, "one")).attrs.type).toBe("result");
  expect(await names(alice)).toEqual({ active: [], default: [], lists: [] });
});

test.each([
  ["an unknown list", "<active name='none'/>", "item-not-found"],
  ["an unknown default", "<default name='none'/>", "item-not-found"],
  ["to remove an unknown list", "<list name='none'/>", "item-not-found"],
  ["two things at once", "<active/><default/>", "bad-request"],
  ["nothing", "", "bad-request"],
  [
    "the same order twice",
    "<list name='one'><item action='deny' order='1'/><item action='allow' order='1'/></list>",
    "bad-request",
  ],
  ["an order that is none", "<list name='one'><item action='deny' order='first'/></list>", "bad-request"],
  ["another action", "<list name='one'><item action='maybe' order='1'/></list>", "bad-request"],
  ["another type", "<list name='one'><item type='mood' value='x' action='deny' order='1'/></list>", "bad-request"],
  ["no address", "<list name='one'><item type='jid' value='@@' action='deny' order='1'/></list>", "bad-request"],
  [
    "another subscription",
    "<list name='one'><item type='subscription' value='x' action='deny' order='1'/></list>",
    "bad-request",
  ],
])("refused: %s", async (_name, inside, condition) => {
  expect(errorCondition(await set(alice, inside))).toBe(condition);
  expect(await names(alice)).toEqual({ active: [], default: [], lists: [] });
});

test.each([
  ["jid=bob@localhost", true],
  ["jid=bob@localhost/phone", true],
  ["jid=localhost", true],
  ["jid=localhost/phone", true],
  ["jid=bob@localhost/else", false],
  ["jid=else.example", false],
  ["subscription=none", true],
  ["subscription=both", false],
  ["group=Friends", false],
])("a message is denied by %s: %s", async (whom, denied) => {
  await put(alice, "one", `deny ${whom} message`);
  await activate(alice, "one");
  expect(await outcome(bob, alice.jid, denied ? undefined : alice)).toBe(denied ? "service-unavailable" : "");
  // Only messages are denied, and only those that come in.
  expect(await asked(bob, alice)).toBe("");
  expect(await outcome(alice, bob.jid, bob)).toBe("");
});

test("groups and subscriptions are those of the roster as it is now, also for somebody who is away", async () => {
  await put(alice, "one", "deny group=Foes", "allow group=Friends", "deny message");
  await makeDefault(alice, "one");
  expect(await outcome(bob, "alice@localhost")).toBe("service-unavailable");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Friends</group></item></query>");
  alice.presence();
  await alice.next("presence");
  expect(await outcome(bob, alice.jid, alice)).toBe("");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Foes</group></item></query>");
  expect(await outcome(bob, alice.jid)).toBe("service-unavailable");
  await alice.close();
  expect(await outcome(bob, "alice@localhost")).toBe("service-unavailable");
  await core.crash();
  bob = await core.login("bob");
  expect(await outcome(bob, "alice@localhost")).toBe("service-unavailable");
  alice = await core.login("alice");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query>");
});

test("the first rule that fits decides; what no rule fits passes; iq alone; everything in both directions", async () => {
  await put(alice, "one", "allow jid=bob@localhost", "deny");
  await activate(alice, "one");
  const carol = await core.login("carol", { resource: "c" });
  expect([await outcome(bob, alice.jid, alice), await outcome(carol, alice.jid)]).toEqual(["", "service-unavailable"]);
  expect(await outcome(alice, carol.jid)).toBe("not-acceptable");
  expect(await asked(carol, alice)).toBe("service-unavailable");
  expect(await asked(alice, carol)).toBe("service-unavailable");
  // The server and one's own devices are never shut out.
  expect((await alice.get(version, "localhost")).attrs.type).toBe("result");
  const other = await core.login("alice", { resource: "other" });
  expect(await outcome(other, alice.jid, alice)).toBe("");
  await put(alice, "one", "deny jid=bob@localhost iq");
  expect([await asked(bob, alice), await outcome(bob, alice.jid, alice)]).toEqual(["service-unavailable", ""]);
  await activate(alice);
  expect(await asked(bob, alice)).toBe("");
});

test("an active list is of one session; the default holds for others and for who is away", async () => {
  const other = await core.login("alice", { resource: "other" });
  for (const client of [alice, other]) {
    client.presence();
    await client.next("presence");
  }
  await put(alice, "one", "deny jid=bob@localhost message");
  await activate(alice, "one");
  await other.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  await alice.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  expect(await outcome(bob, "alice@localhost", other)).toBe("");
  await alice.none("message", "neither the message nor a copy", bob);
  expect(await outcome(bob, alice.jid)).toBe("service-unavailable");
  await activate(other, "one");
  expect(await outcome(bob, "alice@localhost")).toBe("service-unavailable");
});

test("presence-in and presence-out: who is hidden is gone for the other, and comes back", async () => {
  const carol = await core.login("carol", { resource: "c" });
  await befriend(alice, carol);
  carol.presence();
  await alice.next("presence", (one) => one.attrs.from === carol.jid);
  alice.connection.inbox.splice(0);
  carol.connection.inbox.splice(0);
  await put(alice, "one", "deny jid=carol@localhost presence-out");
  await activate(alice, "one");
  await carol.next("presence", (one) => one.attrs.from === alice.jid && one.attrs.type === "unavailable");
  alice.presence("<show>away</show>");
  alice.presence("<show>dnd</show>", `to='${carol.jid}'`);
  await carol.none("presence", (one) => one.attrs.from === alice.jid, alice);
  await activate(alice);
  await carol.next("presence", (one) => one.attrs.from === alice.jid && one.getChildText("show") === "away");
  await put(alice, "two", "deny jid=carol@localhost presence-in");
  await activate(alice, "two");
  await alice.ping();
  alice.connection.inbox.splice(0);
  carol.presence("<show>xa</show>");
  await alice.none("presence", (one) => one.attrs.from === carol.jid, carol);
  await activate(alice);
  await alice.next("presence", (one) => one.attrs.from === carol.jid && one.getChildText("show") === "xa");
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='carol@localhost' subscription='remove'/></query>");
});

async function befriend(one: XmppClient, other: XmppClient): Promise<void> {
  for (const client of [one, other]) {
    await client.roster();
    client.presence();
    await client.next("presence");
  }
  one.presence("", `type='subscribe' to='${other.bare}'`);
  await other.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  other.presence("", `type='subscribed' to='${one.bare}'`);
  other.presence("", `type='subscribe' to='${one.bare}'`);
  await one.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  one.presence("", `type='subscribed' to='${other.bare}'`);
  await other.next("presence", (stanza) => stanza.attrs.type === "subscribed");
  await Promise.all([one.ping(), other.ping()]);
}

test("the block list is the head of the default list, whichever of the two is changed", async () => {
  await alice.get("<blocklist xmlns='urn:xmpp:blocking'/>");
  await alice.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  expect(await names(alice)).toEqual({ active: [], default: ["blocklist"], lists: ["blocklist"] });
  expect(await itemsOf(alice, "blocklist")).toEqual(["deny bob@localhost 0"]);
  await alice.next("iq", (iq) => iq.getChild("block", "urn:xmpp:blocking") !== undefined);
  // By the list one is blocked and another unblocked; the rules behind stay rules.
  await put(alice, "blocklist", "deny jid=carol@localhost", "deny subscription=to message", "deny jid=x@localhost");
  await alice.next(
    "iq",
    (iq) => iq.getChild("block", "urn:xmpp:blocking")?.getChild("item")?.attrs.jid === "carol@localhost",
  );
  await alice.next(
    "iq",
    (iq) => iq.getChild("unblock", "urn:xmpp:blocking")?.getChild("item")?.attrs.jid === "bob@localhost",
  );
  expect(await blockList(alice)).toEqual(["carol@localhost"]);
  expect(await outcome(bob, alice.jid, alice)).toBe("");
  await alice.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  const shown = await itemsOf(alice, "blocklist");
  expect(shown?.map((item) => item.replace(/ \d+/, "")).sort()).toEqual(
    ["deny carol@localhost", "deny bob@localhost", "deny to message", "deny x@localhost"].sort(),
  );
  expect(new Set(shown?.map((item) => item.split(" ")[2])).size).toBe(4);
  // Another default list unblocks nobody; an active list neither.
  await put(alice, "two", "allow");
  await makeDefault(alice, "two");
  await activate(alice, "one").then(() => activate(alice, "two"));
  expect(await outcome(bob, alice.jid)).toBe("service-unavailable");
});

test("lists outlive a crash, and follow who is renamed", async () => {
  await put(alice, "one", "allow jid=bob@localhost/x", "deny jid=carol@localhost/y message");
  await makeDefault(alice, "one");
  await agent.apply({ kind: "account-rename", from: "carol", account: { name: "caroline", enabled: true } });
  await core.crash();
  alice = await core.login("alice");
  expect(await itemsOf(alice, "one")).toEqual(["allow bob@localhost/x 1", "deny caroline@localhost/y 2 message"]);
  expect((await names(alice)).default).toEqual(["one"]);
  await core.rename("new.example", null);
  const under = await core.login("alice", { domain: "new.example" });
  expect((await itemsOf(under, "one"))?.[0]).toBe("allow bob@new.example/x 1");
  await core.rename("localhost", null);
  await agent.apply({ kind: "account-rename", from: "caroline", account: { name: "carol", enabled: true } });
});

test("names that are names of objects, and bounds", async () => {
  expect((await put(alice, "__proto__", "deny jid=bob@localhost message")).attrs.type).toBe("result");
  expect((await activate(alice, "constructor")).attrs.type).toBe("error");
  expect((await names(alice)).lists).toEqual(["__proto__"]);
  await put(alice, "__proto__");
  const many = Array.from({ length: 1001 }, (_, i) => `deny jid=p${i}@localhost message`);
  expect(errorCondition(await put(alice, "one", ...many))).toBe("bad-request");
  await Promise.all(Array.from({ length: 50 }, (_, i) => put(alice, `n${i}`, "allow")));
  expect(errorCondition(await put(alice, "one", "allow"))).toBe("resource-constraint");
  await Promise.all(Array.from({ length: 50 }, (_, i) => put(alice, `n${i}`)));
});
