import type { Element } from "ltx";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0013
const ns = "http://jabber.org/protocol/offline";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
});
beforeEach(async () => {
  XmppClient.dropAll();
  alice = await core.login("alice", { resource: "desk" });
  for (const body of ["one", "two", "three"]) alice.message("bob@localhost", body);
  await alice.ping();
  bob = await core.login("bob", { resource: "phone" });
  return async () => void (await (await core.login("bob")).set(`<offline xmlns='${ns}'><purge/></offline>`));
});
afterAll(() => core.close());

const waiting = async (client: XmppClient) => {
  const answer = await client.get(`<query xmlns='http://jabber.org/protocol/disco#info' node='${ns}'/>`);
  const query = answer.getChild("query");
  const fields = query?.getChild("x", "jabber:x:data")?.getChildren("field") ?? [];
  expect(query?.getChild("identity")?.attrs).toMatchObject({ category: "automation", type: "message-list" });
  return Number(fields.find(({ attrs }) => attrs.var === "number_of_messages")?.getChildText("value"));
};
const headers = async (client: XmppClient) =>
  (await client.get(`<query xmlns='http://jabber.org/protocol/disco#items' node='${ns}'/>`))
    .getChild("query")
    ?.getChildren("item")
    .map(({ attrs }) => attrs as { jid: string; node: string; name: string }) ?? [];
const items = (action: string, ...nodes: string[]) =>
  `<offline xmlns='${ns}'>${nodes.map((node) => `<item action='${action}' node='${node}'/>`).join("")}</offline>`;
const bodies = (client: XmppClient): (string | null | undefined)[] =>
  client.connection.inbox.filter((stanza) => stanza.getName() === "message").map((one) => one.getChildText("body"));
const nodeIn = (message: Element | undefined) => message?.getChild("offline", ns)?.getChild("item")?.attrs.node;

test("who asks before presence is not flooded, sees what waits, and takes what he wants", async () => {
  expect(await waiting(bob)).toBe(3);
  const found = await headers(bob);
  expect(found.map(({ jid, name }) => [jid, name])).toEqual(Array(3).fill(["bob@localhost", "alice@localhost/desk"]));
  bob.presence();
  await bob.ping();
  expect(bodies(bob)).toEqual([]);
  const [first, second, third] = found.map(({ node }) => node) as [string, string, string];
  expect((await bob.get(items("view", second))).attrs.type).toBe("result");
  const viewed = bob.connection.inbox.find((stanza) => stanza.getName() === "message");
  expect([viewed?.getChildText("body"), nodeIn(viewed)]).toEqual(["two", second]);
  expect(viewed?.getChild("delay", "urn:xmpp:delay")).toBeDefined();
  expect((await bob.set(items("remove", first, third))).attrs.type).toBe("result");
  expect(await waiting(bob)).toBe(1);
  // New messages come as ever.
  alice.message("bob@localhost", "live");
  await bob.next("message", (message) => message.getChildText("body") === "live");
  // What was left waits for the next one who does not ask.
  await bob.close();
  const plain = await core.login("bob");
  plain.presence();
  await plain.next("message", (message) => message.getChildText("body") === "two");
});

test("all at once: fetched in order, still there, and gone when purged", async () => {
  expect((await bob.get(`<offline xmlns='${ns}'><fetch/></offline>`)).attrs.type).toBe("result");
  expect(bodies(bob)).toEqual(["one", "two", "three"]);
  expect(await waiting(bob)).toBe(3);
  expect((await bob.set(`<offline xmlns='${ns}'><purge/></offline>`)).attrs.type).toBe("result");
  expect(await waiting(bob)).toBe(0);
  await bob.close();
  const plain = await core.login("bob");
  plain.presence();
  await plain.none("message");
});

test("what is removed frees its room in the quota", async () => {
  await core.set({ "xmpp.offline.quota": "1000" });
  const back = async (): Promise<string> => {
    const id = alice.message("bob@localhost", "x".repeat(700));
    await alice.ping();
    const error = alice.connection.inbox.find((stanza) => stanza.attrs.id === id);
    return error === undefined ? "" : errorCondition(error);
  };
  expect(await back()).toBe("service-unavailable");
  await bob.set(`<offline xmlns='${ns}'><purge/></offline>`);
  expect(await back()).toBe("");
  await core.set({ "xmpp.offline.quota": "102400" });
});

test("who does not ask gets everything; nobody sees what waits for others; an unknown one is an error", async () => {
  expect(errorCondition(await bob.get(items("view", "0000000000000001")))).toBe("item-not-found");
  expect(errorCondition(await bob.set(items("remove", "__proto__")))).toBe("item-not-found");
  expect(errorCondition(await alice.get(items("view", "1"), "bob@localhost"))).toBe("service-unavailable");
  const disco = `<query xmlns='http://jabber.org/protocol/disco#items' node='${ns}'/>`;
  expect((await alice.get(disco, "bob@localhost")).attrs.type).toBe("error");
  await bob.close();
  const plain = await core.login("bob");
  plain.presence();
  await plain.next("message", (message) => message.getChildText("body") === "three");
  expect(bodies(plain)).toEqual(["one", "two"]);
  const server = await plain.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
  expect(server.toString()).toContain(`var="${ns}"`);
});
