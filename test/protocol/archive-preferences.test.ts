import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { mam, mamForm, readArchive } from "../support/mam.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0441, and what of XEP-0313 is not in archive.test.ts
let core: TestCore;
let agent: TestAgent;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave"] });
  agent = await connectAgent(core);
});
beforeEach(async () => {
  XmppClient.dropAll();
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
  await prefer(alice, "always");
  await prefer(bob, "always");
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const list = (jids: readonly string[]) => jids.map((jid) => `<jid>${jid}</jid>`).join("");
const prefer = (client: XmppClient, policy: string, always: readonly string[] = [], never: readonly string[] = []) =>
  client.set(
    `<prefs xmlns='${mam}' default='${policy}'><always>${list(always)}</always><never>${list(never)}</never></prefs>`,
  );
async function preferences(client: XmppClient) {
  const prefs = (await client.get(`<prefs xmlns='${mam}'/>`)).getChild("prefs", mam);
  const jids = (name: string) =>
    prefs
      ?.getChild(name)
      ?.getChildren("jid")
      .map((jid) => jid.getText());
  return { policy: prefs?.attrs.default, always: jids("always"), never: jids("never") };
}
let said = 0;
/** Sends a message to a client and says in whose archives it is, and whether it came with an id. */
async function kept(from: XmppClient, to: XmppClient, address = to.jid) {
  const body = `said ${++said}`;
  from.message(address, body);
  const live = await to.next("message", (message) => message.getChildText("body") === body);
  const has = async (client: XmppClient) =>
    (await readArchive(client, "<set xmlns='http://jabber.org/protocol/rsm'><before/></set>")).bodies.includes(body);
  return {
    sender: await has(from),
    recipient: await has(to),
    id: live.getChild("stanza-id", "urn:xmpp:sid:0") !== undefined,
  };
}
const both = { sender: true, recipient: true, id: true };
const none = { sender: false, recipient: false, id: false };

test("each side decides for itself, and a message that is not archived carries no id", async () => {
  expect(await preferences(bob)).toEqual({ policy: "always", always: [], never: [] });
  expect(await kept(alice, bob)).toEqual(both);
  await prefer(bob, "never");
  expect(await kept(alice, bob)).toEqual({ sender: true, recipient: false, id: false });
  await prefer(alice, "never");
  expect(await kept(alice, bob)).toEqual(none);
  await prefer(bob, "always");
  expect(await kept(alice, bob)).toEqual({ sender: false, recipient: true, id: true });
});

test("lists win over the default, a full address over the bare one", async () => {
  const answer = await prefer(bob, "never", ["alice@localhost"], ["alice@localhost/desk", "dave@localhost"]);
  expect(answer.getChild("prefs", mam)?.attrs.default).toBe("never");
  expect(await preferences(bob)).toEqual({
    ...{ policy: "never", always: ["alice@localhost"] },
    never: expect.arrayContaining(["alice@localhost/desk", "dave@localhost"]),
  });
  expect((await kept(alice, bob)).recipient).toBe(false);
  const other = await core.login("alice", { resource: "tablet" });
  expect((await kept(other, bob)).recipient).toBe(true);
});

test("roster: only contacts, also those of somebody who is away, and from the moment they are contacts", async () => {
  await prefer(bob, "roster");
  expect((await kept(alice, bob)).recipient).toBe(false);
  await bob.set("<query xmlns='jabber:iq:roster'><item jid='alice@localhost'/></query>");
  expect((await kept(alice, bob)).recipient).toBe(true);
  await bob.close();
  alice.message("bob@localhost", "while away");
  const carol = await core.login("carol");
  carol.message("bob@localhost", "from a stranger");
  await Promise.all([alice.ping(), carol.ping()]);
  bob = await core.login("bob", { resource: "phone" });
  bob.presence();
  await bob.next("message", (message) => message.getChildText("body") === "from a stranger");
  expect((await readArchive(bob)).bodies.slice(-1)).toEqual(["while away"]);
});

test("offline storage and stream management do not depend on the archive", async () => {
  await prefer(bob, "never");
  await prefer(alice, "never");
  await bob.close();
  alice.message("bob@localhost", "kept for you");
  await alice.ping();
  bob = await core.login("bob", { resource: "phone", sm: true });
  bob.acks = "withheld";
  bob.presence();
  const late = await bob.next("message");
  expect(late.getChildText("body")).toBe("kept for you");
  expect(late.getChild("stanza-id", "urn:xmpp:sid:0")).toBeUndefined();
  expect(late.getChild("delay", "urn:xmpp:delay")).toBeDefined();
  alice.message(bob.jid, "not acknowledged");
  await bob.next("message");
  await core.crash();
  await bob.resume(0);
  const again = [await bob.next("message"), await bob.next("message")];
  expect(again.map((message) => message.getChildText("body"))).toEqual(["kept for you", "not acknowledged"]);
  expect(again.some((message) => message.getChild("stanza-id", "urn:xmpp:sid:0"))).toBe(false);
});

test("a copy for another device carries an id only if its person keeps the message", async () => {
  const tablet = await core.login("bob", { resource: "tablet" });
  await tablet.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  await prefer(bob, "never");
  await kept(alice, bob);
  const copy = await tablet.next("message");
  const inner = copy.getChild("received", "urn:xmpp:carbons:2")?.getChild("forwarded", "urn:xmpp:forward:0");
  expect(inner?.getChild("message", "jabber:client")?.getChild("stanza-id", "urn:xmpp:sid:0")).toBeUndefined();
});

test("what makes no sense is refused: another word, no address, too many of them, somebody else's", async () => {
  expect(errorCondition(await prefer(alice, "sometimes"))).toBe("bad-request");
  expect(errorCondition(await prefer(alice, "never", ["@@"]))).toBe("bad-request");
  const many = Array.from({ length: 1001 }, (_, i) => `p${i}@localhost`);
  expect(errorCondition(await prefer(alice, "never", many))).toBe("policy-violation");
  expect(errorCondition(await alice.get(`<prefs xmlns='${mam}'/>`, "bob@localhost"))).toBe("service-unavailable");
  expect((await preferences(alice)).policy).toBe("always");
});

test("the lists are there after a restart, under another name of a person and of the domain", async () => {
  await prefer(bob, "never", ["carol@localhost"], ["dave@localhost/x"]);
  await agent.apply({ kind: "account-rename", from: "carol", account: { name: "caroline", enabled: true } });
  await core.crash();
  bob = await core.login("bob");
  expect(await preferences(bob)).toEqual({
    policy: "never",
    always: ["caroline@localhost"],
    never: ["dave@localhost/x"],
  });
  await core.rename("new.example", null);
  const again = await core.login("bob", { domain: "new.example" });
  expect((await preferences(again)).always).toEqual(["caroline@new.example"]);
  await core.rename("localhost", null);
});

test("the form shows the fields, and a field that nobody knows is not ignored", async () => {
  const form = (await alice.get(`<query xmlns='${mam}'/>`)).getChild("query", mam)?.getChild("x", "jabber:x:data");
  const fields = form?.getChildren("field") ?? [];
  expect(fields.map(({ attrs }) => attrs.var)).toEqual([
    ...["FORM_TYPE", "with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"],
    "{urn:xmpp:fulltext:0}fulltext",
  ]);
  const ids = fields.find(({ attrs }) => attrs.var === "ids");
  expect(ids?.getChild("validate", "http://jabber.org/protocol/xdata-validate")?.getChild("open")).toBeDefined();
  expect(errorCondition((await readArchive(alice, mamForm({ weather: "fine" }))).answer)).toBe(
    "feature-not-implemented",
  );
  expect((await readArchive(alice, mamForm({ "include-groupchat": "false" }))).answer.attrs.type).toBe("result");
  const features = (await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "alice@localhost"))
    .getChild("query")
    ?.getChildren("feature")
    .map(({ attrs }) => attrs.var);
  expect(features).toEqual(
    expect.arrayContaining([mam, `${mam}#extended`, `${mam}#groupchat-field`, "urn:xmpp:fulltext:0"]),
  );
});

test("a flipped page holds the same messages the other way round, with the same edges", async () => {
  for (let i = 0; i < 3; i++) await kept(alice, bob);
  const last = "<set xmlns='http://jabber.org/protocol/rsm'><max>3</max><before/></set>";
  const plain = await readArchive(bob, last);
  const flipped = await readArchive(bob, `${last}<flip-page/>`);
  expect(flipped.ids).toEqual([...plain.ids].reverse());
  const edge = (page: typeof plain, name: string) => page.fin?.getChild("set")?.getChildText(name);
  expect([edge(flipped, "first"), edge(flipped, "last")]).toEqual([plain.ids[0], plain.ids[2]]);
});
