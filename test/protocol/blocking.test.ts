import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0191
const ns = "urn:xmpp:blocking";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
});
afterEach(() => core.close());

const change = (client: XmppClient, what: "block" | "unblock", ...jids: string[]) =>
  client.set(`<${what} xmlns='${ns}'>${jids.map((jid) => `<item jid='${jid}'/>`).join("")}</${what}>`);
const listOf = async (client: XmppClient) =>
  (await client.get(`<blocklist xmlns='${ns}'/>`))
    .getChild("blocklist", ns)
    ?.getChildren("item")
    .map(({ attrs }) => attrs.jid);

async function refused(client: XmppClient, to: string): Promise<string> {
  const id = client.message(to, "hello");
  await client.ping();
  const back = client.connection.inbox.find((stanza) => stanza.attrs.id === id);
  return back === undefined ? "" : errorCondition(back);
}

test.each([
  ["the bare address", "bob@localhost"],
  ["the full address", "bob@localhost/phone"],
  ["the whole domain", "localhost"],
  ["that resource of the domain", "localhost/phone"],
])("whoever is blocked by %s gets nothing through, messages and requests alike", async (_name, jid) => {
  expect(await refused(bob, alice.jid)).toBe("");
  await alice.next("message");
  expect((await change(alice, "block", jid)).attrs.type).toBe("result");
  expect([await refused(bob, alice.jid), await refused(bob, "alice@localhost")]).toEqual(
    Array(2).fill("service-unavailable"),
  );
  expect(errorCondition(await bob.get("<query xmlns='jabber:iq:version'/>", alice.jid))).toBe("service-unavailable");
  await alice.none(() => true, "anything", bob);
  await change(alice, "unblock", jid);
  expect(await refused(bob, alice.jid)).toBe("");
});

test("another resource is not meant by a full address", async () => {
  await change(alice, "block", "bob@localhost/tablet", "localhost/tablet");
  expect(await refused(bob, alice.jid)).toBe("");
});

test("one does not write to whom one has blocked, and is told why", async () => {
  await change(alice, "block", "bob@localhost");
  const id = alice.message("bob@localhost", "oops");
  const back = await alice.next("message", (message) => message.attrs.id === id);
  expect(errorCondition(back)).toBe("not-acceptable");
  expect(back.getChild("error")?.getChild("blocked", "urn:xmpp:blocking:errors")).toBeDefined();
});

test("nothing of a blocked person waits until one comes back", async () => {
  await change(alice, "block", "bob@localhost");
  await alice.close();
  expect(await refused(bob, "alice@localhost")).toBe("service-unavailable");
  alice = await core.login("alice");
  alice.presence();
  await alice.set("<query xmlns='urn:xmpp:mam:2'/>");
  await alice.none("message");
});

test("the list is told to whoever asked for it, and outlives a crash", async () => {
  const phone = await core.login("alice", { resource: "phone" });
  expect(await listOf(phone)).toEqual([]);
  await change(alice, "block", "bob@localhost", "example.org");
  const push = await phone.next("iq", (iq) => iq.getChild("block", ns) !== undefined);
  expect(push.attrs).toMatchObject({ type: "set", from: "alice@localhost" });
  expect(
    push
      .getChild("block", ns)
      ?.getChildren("item")
      .map(({ attrs }) => attrs.jid),
  ).toEqual(["bob@localhost", "example.org"]);
  await alice.none("iq", (iq) => iq.attrs.type === "set");
  await core.crash();
  alice = await core.login("alice");
  bob = await core.login("bob");
  expect((await listOf(alice))?.sort()).toEqual(["bob@localhost", "example.org"]);
  expect(await refused(bob, "alice@localhost")).toBe("service-unavailable");
  await change(alice, "unblock");
  expect(await listOf(alice)).toEqual([]);
});

test("requests that mean nothing are refused", async () => {
  expect(errorCondition(await change(alice, "block"))).toBe("bad-request");
  expect(errorCondition(await change(alice, "block", "a@b@c"))).toBe("jid-malformed");
  expect((await alice.set(`<block xmlns='${ns}'><item jid='x@y'/></block>`, "bob@localhost")).attrs.type).toBe("error");
  expect(await listOf(bob)).toEqual([]);
});

test("a full list can still be changed", async () => {
  const names = Array.from({ length: 5000 }, (_, at) => `u${at}@example.org`);
  for (let blocked = 0; blocked < names.length; blocked += 500)
    expect((await change(alice, "block", ...names.slice(blocked, blocked + 500))).attrs.type).toBe("result");
  expect(errorCondition(await change(alice, "block", "one-more@example.org"))).toBe("policy-violation");
  expect((await change(alice, "block", "u1@example.org")).attrs.type).toBe("result");
});

test("the list follows a change of the domain", async () => {
  await change(alice, "block", "bob@localhost");
  await core.rename("new.example", null);
  expect(await refused(bob, "alice@localhost")).toBe("service-unavailable");
  alice = await core.login("alice", { domain: "new.example" });
  expect(await listOf(alice)).toEqual(["bob@new.example"]);
});

test("a device that is back after a crash is told the whole list, for the pushes it was to get are lost", async () => {
  const managed = await core.login("alice", { resource: "managed", sm: true });
  await managed.get(`<blocklist xmlns='${ns}'/>`);
  managed.drop();
  await change(alice, "block", "bob@localhost");
  await core.crash();
  await managed.resume();
  const push = (what: string) => managed.next((stanza) => stanza.attrs.type === "set" && !!stanza.getChild(what, ns));
  expect((await push("unblock")).getChild("unblock", ns)?.getChildElements()).toEqual([]);
  const items = (await push("block")).getChild("block", ns)?.getChildren("item");
  expect(items?.map(({ attrs }) => attrs.jid)).toEqual(["bob@localhost"]);
});
