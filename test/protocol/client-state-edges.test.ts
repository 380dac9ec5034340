import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { sasl2 } from "../support/sasl2.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** What goes wrong around clients that do not look or are away only when things come together. */
const clock = manualClock();
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({
    users: ["alice", "bob"],
    clock,
    properties: { "firekeeper.push.interval": "0", "xmpp.client.idle": "-1" },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const text = (stanza: Element): string | null => stanza.getChildText("body");
const session = (user: string, resource: string) => {
  const { accounts, names, sessions } = core.server;
  const account = accounts.get(names.primary.id, user);
  return account && sessions.get(account, resource);
};
const turn = (): Promise<void> => new Promise((next) => setImmediate(next));
async function away(client: XmppClient, user: string): Promise<void> {
  const [, resource = ""] = client.jid.split("/");
  client.drop();
  while (session(user, resource)?.carrier !== undefined) await turn();
}

test("a message as deep and as full of names as one may be reaches who does not look, as a copy too", async () => {
  const desk = await core.login("alice", { resource: "desk" });
  const phone = await core.login("alice", { resource: "phone", sm: true });
  await phone.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.ping();
  const bob = await core.login("bob");
  const deep = `${"<d>".repeat(63)}${"</d>".repeat(63)}`;
  const wide = Array.from({ length: 1000 }, (_, i) => `<w xmlns='urn:w:${i}'/>`).join("");
  for (const [name, inside] of Object.entries({ deep, wide })) {
    bob.message("alice@localhost/desk", name, inside);
    expect(text(await desk.next("message"))).toBe(name);
    expect((await phone.next("message")).toString()).toContain(`<body>${name}</body>`);
  }
  await bob.ping();
});

test("of two connections that resume one session at once, one has it and the other is told", async () => {
  const phone = await core.login("alice", { resource: "phone", sm: true });
  await away(phone, "alice");
  const where = { host: "127.0.0.1", port: core.port, domain: "localhost", user: "alice", password: "alice" };
  const both = [await XmppClient.connect(where), await XmppClient.connect(where)];
  for (const client of both) await client.authenticate(where);
  for (const client of both) client.send(`<resume xmlns='${sasl2.sm}' previd='${phone.resumption?.id}' h='0'/>`);
  const told = (client: XmppClient): Promise<string> => client.streamError().then(() => "told");
  for (const client of both) await client.next((m) => m.is("resumed", sasl2.sm));
  const outcomes = await Promise.race(both.map((client, i) => told(client).then(() => i)));
  const left = both[1 - outcomes];
  await left?.ping();
  expect(session("alice", "phone")?.carrier).toBeDefined();
});

test("who asks a client that never comes back after a crash is told so in the end", async () => {
  const phone = await core.login("alice", { resource: "phone", sm: true });
  await core.server.storage.write([]);
  await core.crash();
  const bob = await core.login("bob");
  const answer = bob.get("<query xmlns='jabber:iq:version'/>", phone.jid);
  await bob.ping();
  clock.pass(660_000);
  expect((await answer).attrs.type).toBe("error");
});

test("what waited for an app comes although it cannot be called any more when the server is back", async () => {
  const app = await core.login("alice", { resource: "app", sm: true });
  await app.set("<enable xmlns='urn:xmpp:push:0' jid='pubsub.localhost' node='n'/>");
  await away(app, "alice");
  const bob = await core.login("bob", { resource: "bob" });
  const receipt = (id: number): void =>
    bob.send(`<message to='${app.jid}' type='chat'><received xmlns='urn:xmpp:receipts' id='${id}'/></message>`);
  receipt(1);
  const desk = await core.login("alice", { resource: "desk" });
  await desk.set("<disable xmlns='urn:xmpp:push:0' jid='pubsub.localhost'/>");
  await bob.ping();
  await core.restart();
  receipt(2);
  await bob.ping();
  await app.resume();
  const ids = [await app.next("message"), await app.next("message")].map((m) => m.getChild("received")?.attrs.id);
  expect(ids).toEqual(["1", "2"]);
});

test("what waited, came and was acknowledged does not come again after a crash", async () => {
  const phone = await core.login("alice", { resource: "phone", sm: true });
  phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.ping();
  const bob = await core.login("bob");
  bob.send(`<message to='${phone.jid}' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`);
  await bob.ping();
  phone.send("<active xmlns='urn:xmpp:csi:0'/>");
  await phone.next("message");
  phone.ack();
  await phone.ping();
  await core.server.storage.write([]);
  await core.crash();
  await phone.resume();
  await phone.none("message");
});

test("a call that goes to a client which gets a copy of the same message turns no numbers round", async () => {
  const phone = await core.login("alice", { resource: "phone", sm: true });
  const service = await core.login("alice", { resource: "service", sm: true });
  service.acks = "withheld";
  await service.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  await phone.set(`<enable xmlns='urn:xmpp:push:0' jid='${service.jid}' node='n'/>`);
  phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.ping();
  const bob = await core.login("bob");
  bob.message(phone.jid, "said");
  const first = await service.next((m) => m.is("iq") || m.is("message"));
  const second = await service.next((m) => m.is("iq") || m.is("message"));
  expect([first.getName(), second.getName()].sort()).toEqual(["iq", "message"]);
  // It has the first only when the server dies.
  await core.server.storage.write([]);
  await core.crash();
  service.connection.inbox.length = 0;
  await service.resume(service.handled - 1);
  await service.ping();
  const again = service.connection.inbox.filter((m) => m.is("message"));
  expect(again.length).toBe(second.is("message") ? 1 : 0);
});
