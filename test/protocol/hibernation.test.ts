import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { write } from "../../xmpp-core/storage/statement.ts";
import { takesComponents } from "../support/component.ts";
import { subscribe } from "../support/contacts.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { mam } from "../support/mam.ts";
import { manualClock } from "../support/manual-clock.ts";
import { PushService, tidyPush } from "../support/push-service.ts";
import { authenticate, bindElement, sasl2 } from "../support/sasl2.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** Sessions of apps that can be called: kept for days without a connection. docs/mobile.md */
const clock = manualClock();
const minutes = 60_000;
const days = 24 * 60 * minutes;
let core: TestCore;
let service: PushService;
let port: number;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    clock,
    properties: {
      ...takesComponents(port, "secret"),
      "xmpp.client.idle": "-1",
      "xmpp.component.idle": "-1",
      "firekeeper.push.interval": "0",
      "stream.management.requestFrequency": "1000",
    },
  });
  service = await PushService.join(port, "secret");
  await subscribe(core, "alice", "bob");
});
afterEach(() => tidyPush(core, clock));
afterAll(async () => {
  await service.leave();
  await core.close();
});

const session = (resource = "app") => {
  const { accounts, names, sessions } = core.server;
  const account = accounts.get(names.primary.id, "alice");
  return account && sessions.get(account, resource);
};
async function away(client: XmppClient, resource = "app"): Promise<void> {
  client.drop();
  while (session(resource)?.carrier !== undefined) await new Promise((next) => setImmediate(next));
}
async function app(enabled = true): Promise<XmppClient> {
  const client = await core.login("alice", { resource: "app", sm: true });
  client.presence();
  if (enabled) await client.set("<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='app'/>");
  await client.ping();
  client.ack();
  await client.ping();
  client.connection.inbox.length = 0;
  return client;
}
const text = (stanza: Element): string =>
  stanza.getChildText("body") ?? /<body>([^<]*)</.exec(stanza.toString())?.[1] ?? "";
/** Messages that came until a ping was answered. */
async function messages(client: XmppClient): Promise<Element[]> {
  await client.ping();
  return client.connection.inbox.filter((stanza) => stanza.is("message"));
}

test("the session of an app that can be called waits for days, any other as long as ever", async () => {
  const client = await app();
  await away(client);
  clock.pass(2 * days);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "after two days");
  expect((await service.call()).node).toBe("app");
  expect((await client.attemptResume()).getName()).toBe("resumed");
  expect(text(await client.next("message"))).toBe("after two days");
  await client.set("<disable xmlns='urn:xmpp:push:0' jid='push.localhost'/>");
  await away(client);
  clock.pass(11 * minutes);
  expect((await client.attemptResume()).getName()).toBe("failed");
});

test("what memory did not keep is read from disk when the client is back: in order, counted, with id and stamp", async () => {
  const client = await app();
  await client.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  const desk = await core.login("alice", { resource: "desk" });
  desk.presence("<priority>5</priority>");
  await client.ping();
  client.ack();
  await client.ping();
  const handled = client.handled;
  const bob = await core.login("bob", { resource: "bob" });
  await away(client);
  client.connection.inbox.length = 0;
  for (let i = 0; i < 20; i++) bob.message("alice@localhost", `message ${i}`);
  bob.message("alice@localhost/desk", "to the desk");
  await bob.ping();
  desk.message("bob@localhost/bob", "from the desk");
  await bob.next("message");
  await service.call();
  await core.set({ "firekeeper.push.queue-bytes": "0" });
  clock.pass(1000);
  expect(session()?.outbound.shedIds).toHaveLength(22);
  // One of them has gone from the disk as well; what the client counts must stay right.
  const lost = session()?.outbound.shedIds[3] ?? 0;
  await core.server.storage.write([write<[number]>("DELETE FROM stanza WHERE id = ?").with(lost)]);
  bob.message("alice@localhost", "kept in memory");
  await bob.ping();
  await client.resume(handled);
  await client.next("message", (m) => text(m) === "kept in memory");
  const came = client.connection.inbox.filter((stanza) => stanza.is("message"));
  expect(came.map(text)).toEqual([
    ...Array.from({ length: 20 }, (_, i) => (i === 3 ? "" : `message ${i}`)),
    ...["to the desk", "from the desk"],
  ]);
  expect(came[0]?.getChild("stanza-id")?.attrs.id).toMatch(/^\d+$/);
  expect(came[0]?.getChild("delay")).toBeDefined();
  expect([came[20], came[21]].map((m) => m?.getChildElements()[0]?.getName())).toEqual(["received", "sent"]);
  // A count that the server did not expect ends the stream.
  client.ack();
  await client.ping();
  expect(session()?.outbound.unacknowledged).toBeLessThanOrEqual(1);
  await core.set({ "firekeeper.push.queue-bytes": null });
});

test("of a contact who came and went a hundred times, one presence waits", async () => {
  const client = await app();
  await away(client);
  const bob = await core.login("bob", { resource: "bob" });
  for (let i = 0; i < 100; i++) bob.presence(`<status>${i}</status>`);
  await bob.ping();
  await client.resume();
  await client.ping();
  const came = client.connection.inbox.filter(
    (stanza) => stanza.is("presence") && stanza.attrs.from === "bob@localhost/bob",
  );
  expect(came.map((presence) => presence.getChildText("status"))).toEqual(["99"]);
});

test.each(["restart", "crash"] as const)(
  "it outlives a %s: it is called, and what it is owed is there once",
  async (how) => {
    const client = await app();
    await away(client);
    const bob = await core.login("bob", { resource: "bob" });
    bob.presence("<status>before</status>");
    bob.message("alice@localhost", "before");
    await service.call();
    await service.component.ping();
    bob.send("<message to='alice@localhost' type='chat'><received xmlns='urn:xmpp:receipts' id='held'/></message>");
    await bob.ping();
    if (how === "restart") await core.restart();
    else await core.crash();
    service = await PushService.join(port, "secret");
    clock.pass(1000);
    // Whether it had been called when the server was killed nobody knows.
    if (how === "crash") expect((await service.call()).summary["message-count"]).toBe("2");
    await service.quiet();
    clock.pass(2 * days);
    const again = await core.login("bob", { resource: "again" });
    again.message("alice@localhost", "after");
    await service.call();
    await client.resume();
    const came = await messages(client);
    expect(came.map((m) => text(m) || m.getChild("received")?.attrs.id).sort()).toEqual(["after", "before", "held"]);
    expect(came.map(text).filter((body) => body !== "")).toEqual(["before", "after"]);
    client.ack();
    await client.ping();
    expect(session()?.outbound.unacknowledged).toBeLessThanOrEqual(1);
    // The next crash brings nothing of it back.
    await core.crash();
    service = await PushService.join(port, "secret");
    client.connection.inbox.length = 0;
    await client.resume();
    expect(await messages(client)).toEqual([]);
  },
);

test("who comes too late is told what was handled and where the archive ends, and reads on from what he had", async () => {
  const client = await app();
  const bob = await core.login("bob");
  bob.message("alice@localhost", "seen");
  const seen = (await client.next("message")).getChild("stanza-id")?.attrs.id;
  client.ack();
  await client.ping();
  const { id } = client.resumption ?? { id: "" };
  const handled = Number(await client.requestAck());
  await away(client);
  bob.message("alice@localhost", "missed 1");
  bob.message("alice@localhost", "missed 2");
  await bob.ping();
  await service.call();
  clock.pass(4 * days);
  expect(session()).toBeUndefined();
  const late = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "localhost" });
  const resume = `<resume xmlns='${sasl2.sm}' previd='${id}' h='${client.handled}'/>`;
  const success = await authenticate(late, { user: "alice", inside: `${resume}${bindElement()}` });
  expect(Number(success.getChild("failed", sasl2.sm)?.attrs.h)).toBe(handled);
  const end = success.getChild("bound", sasl2.bind)?.getChild("metadata", mam)?.getChild("end")?.attrs.id;
  const page = `<set xmlns='http://jabber.org/protocol/rsm'><after>${seen}</after></set>`;
  await late.set(`<query xmlns='${mam}'>${page}</query>`);
  const results = late.connection.inbox.filter((m) => m.getChild("result", mam) !== undefined);
  expect(results.map(text)).toEqual(["missed 1", "missed 2"]);
  expect(results.at(-1)?.getChild("result", mam)?.attrs.id).toBe(end);
});

test("too much for the session ends it as if it were late: its count is told, its messages wait", async () => {
  const client = await app();
  await away(client);
  await core.set({ "stream.management.max-unacked": "5" });
  const bob = await core.login("bob");
  for (let i = 0; i < 8; i++) bob.message("alice@localhost", `${i}`);
  await bob.ping();
  await service.call();
  clock.pass(1000);
  expect(session()).toBeUndefined();
  const failed = await client.attemptResume();
  expect([failed.getName(), failed.attrs.h !== undefined]).toEqual(["failed", true]);
  await core.set({ "stream.management.max-unacked": null });
  const next = await core.login("alice", { resource: "next" });
  next.presence();
  for (let i = 0; i < 8; i++) expect(text(await next.next("message"))).toBe(String(i));
});

test("an app that logs in anew leaves no session behind that waits for days", async () => {
  const client = await app();
  await away(client);
  const anew = await core.login("alice", { resource: "anew", sm: true });
  await anew.set("<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='app'/>");
  clock.pass(11 * minutes);
  expect(session()).toBeUndefined();
  expect(session("anew")).toBeDefined();
});

test("a resumption that comes to nothing leaves a session that waits, is called and ends in its time", async () => {
  const client = await app();
  await expect(client.attemptResume(client.handled + 1000)).rejects.toThrow("undefined-condition");
  expect([session()?.carrier, session()?.detachedAt]).toEqual([undefined, expect.any(Number)]);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "hello");
  await service.call();
  clock.pass(4 * days);
  expect(session()).toBeUndefined();
});
