import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { read } from "../../xmpp-core/storage/statement.ts";
import { takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { PushService } from "../support/push-service.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// Clients and push services that want more than their share of calls, memory or disk.
const clock = manualClock();
const push = "urn:xmpp:push:0";
let core: TestCore;
let service: PushService;
beforeAll(async () => {
  const port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "mallory"],
    clock,
    properties: {
      ...takesComponents(port, "secret"),
      "xmpp.component.idle": "-1",
      "xmpp.offline.type": "store",
      "xmpp.client.idle": "-1",
      "firekeeper.push.interval": "0",
      "firekeeper.client.stanzas-per-second": "1000000",
    },
  });
  service = await PushService.join(port, "secret");
});
afterEach(async () => {
  XmppClient.dropAll();
  const alice = await core.login("alice", { resource: "tidy" });
  for (const jid of ["push.localhost", "mallory@localhost/service"])
    await alice.set(`<disable xmlns='${push}' jid='${jid}'/>`);
  await alice.close();
});
afterAll(async () => {
  await service.leave();
  await core.close();
});

const enable = (client: XmppClient, node: string, jid = "push.localhost", inside = ""): Promise<Element> =>
  client.set(`<enable xmlns='${push}' jid='${jid}' node='${node}'>${inside}</enable>`);
const rows = async (): Promise<number> => {
  const count = read<[], { number: number }>("SELECT count(*) AS number FROM push");
  return (await core.server.storage.read(count))[0]?.number ?? -1;
};
async function gone(node: string, jid?: string): Promise<void> {
  const app = await core.login("alice", { resource: "app" });
  expect((await enable(app, node, jid)).attrs.type).toBe("result");
  await app.close();
}

test("a thousand registrations leave as many as one person may have, the newest", async () => {
  for (let i = 0; i < 5; i++) await gone(`old ${i}`);
  const app = await core.login("alice", { resource: "app" });
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => enable(app, `node ${i}`)));
  expect(answers.filter(({ attrs }) => attrs.type === "result")).toHaveLength(20);
  expect(answers[999]?.getChild("error")?.children.toString()).toContain("resource-constraint");
  expect(await rows()).toBe(20);
  // The same again and again is one row.
  for (let i = 0; i < 100; i++) void enable(app, "node 0");
  await app.ping();
  expect(await rows()).toBe(20);
});

test("nodes and forms that are too large, and addresses that are none, are refused", async () => {
  const app = await core.login("alice");
  const field = `<field var='secret'><value>${"x".repeat(5000)}</value></field>`;
  const form = `<x xmlns='jabber:x:data' type='submit'>${field}</x>`;
  const fields = `<x xmlns='jabber:x:data' type='submit'>${"<field var='a'/>".repeat(1000)}</x>`;
  for (const answer of [
    await enable(app, "n".repeat(2000)),
    await enable(app, "node", "push.localhost", form),
    await enable(app, "node", "push.localhost", fields),
    await enable(app, "node", "@"),
    await app.set(`<enable xmlns='${push}'/>`),
    await app.set(`<disable xmlns='${push}'/>`),
  ])
    expect(answer.attrs.type).toBe("error");
  expect(await rows()).toBe(0);
});

test("a service that answers each call with a message is not called for it, whoever speaks behind it", async () => {
  await gone("loop");
  const bob = await core.login("bob");
  bob.message("alice@localhost", "hello");
  await service.call();
  for (const from of ["push.localhost", "echo@push.localhost/x"])
    service.component.send(`<message from='${from}' to='alice@localhost' type='chat'><body>again</body></message>`);
  await service.quiet();
});

test("a service that never answers has one call and one that waits, however much comes", async () => {
  await gone("silent");
  const bob = await core.login("bob");
  for (let i = 0; i < 1000; i++) bob.message("alice@localhost", "hello");
  await bob.ping();
  await service.call("nothing");
  await service.quiet();
  const before = clock.waits().length;
  for (let i = 0; i < 1000; i++) bob.message("alice@localhost", "hello");
  await bob.ping();
  expect(clock.waits().length).toBe(before);
  clock.pass(60_000);
  clock.pass(1000);
  expect((await service.call()).summary["message-count"]).toBe("2000");
});

test("nobody but the service answers for it", async () => {
  const mallory = await core.login("mallory", { resource: "service" });
  const other = await core.login("mallory", { resource: "other" });
  await gone("client", "mallory@localhost/service");
  const bob = await core.login("bob");
  const forge = async (): Promise<void> => {
    bob.message("alice@localhost", "hello");
    const call = await mallory.next((stanza) => stanza.is("iq") && stanza.getChild("pubsub") !== undefined);
    const error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for (const forger of [other, bob])
      forger.send(`<iq type='error' id='${call.attrs.id}' to='localhost'>${error}</iq>`);
    await other.ping();
    await bob.ping();
    mallory.send(`<iq type='result' id='${call.attrs.id}' to='localhost'/>`);
    await mallory.ping();
  };
  // Were the errors taken, it would be given up after three.
  for (let i = 0; i < 5; i++) await forge();
});

test("registrations that lead nowhere, to oneself or to the server cost nothing but themselves", async () => {
  const bob = await core.login("bob");
  const desk = await core.login("alice", { resource: "desk" });
  for (const jid of [
    ...["localhost", "alice@localhost", "bob@localhost", "nobody@localhost"],
    ...["elsewhere.example", "pubsub.localhost"],
  ]) {
    const app = await core.login("alice", { resource: "app" });
    await enable(app, "here", jid);
    await app.close();
    for (let i = 0; i < 10; i++) bob.message("alice@localhost", "hello");
    await bob.ping();
    await desk.set(`<disable xmlns='${push}' jid='${jid}'/>`);
    expect(await rows()).toBe(0);
  }
});

test("a client that changes its mind a hundred thousand times gets what is its own, once", async () => {
  const phone = await core.login("alice", { resource: "phone" });
  const bob = await core.login("bob");
  const one = "<inactive xmlns='urn:xmpp:csi:0'/><active xmlns='urn:xmpp:csi:0'/>".repeat(1000);
  for (let i = 0; i < 50; i++) phone.send(one);
  for (let i = 0; i < 50; i++)
    bob.send(
      `<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='${i}'/></message>`,
    );
  await bob.ping();
  await phone.ping();
  const ids = phone.connection.inbox.map((stanza) => stanza.getChild("received")?.attrs.id).filter(Boolean);
  expect(ids).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
});

test("while nobody looks, a flood is held back within bounds", async () => {
  const phone = await core.login("alice", { resource: "phone" });
  const mallory = await core.login("mallory");
  phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.ping();
  const filler = "x".repeat(1000);
  for (let i = 0; i < 1000; i++)
    mallory.send(
      `<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='${i}${filler}'/></message>`,
    );
  await mallory.ping();
  const { accounts, names, sessions } = core.server;
  const alice = accounts.get(names.primary.id, "alice");
  const held = (alice && sessions.get(alice, "phone"))?.outbound.heldBack ?? [];
  expect(held.length).toBeLessThanOrEqual(500);
  expect(held.reduce((sum, { data }) => sum + data.length, 0)).toBeLessThanOrEqual(262_144);
  await phone.ping();
  expect(phone.connection.inbox.filter((stanza) => stanza.is("message")).length + held.length).toBe(1000);
});
