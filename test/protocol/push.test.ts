import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { command, formFields } from "../support/commands.ts";
import { takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { PushService, tidyPush } from "../support/push-service.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const clock = manualClock();
let core: TestCore;
let service: PushService;
let port: number;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    clock,
    properties: {
      ...takesComponents(port, "secret"),
      "xmpp.client.idle": "-1",
      "xmpp.component.idle": "-1",
      "firekeeper.push.interval": "0",
    },
  });
  service = await PushService.join(port, "secret");
});
afterEach(() => tidyPush(core, clock));
afterAll(async () => {
  await service.leave();
  await core.close();
});

const ns = "urn:xmpp:push:0";
const enable = (client: XmppClient, node: string, form = "") =>
  client.set(`<enable xmlns='${ns}' jid='push.localhost' node='${node}'>${form}</enable>`);
const secretForm =
  "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='secret'><value>s3 &amp; &lt;t</value></field></x>";
const inactive = async (client: XmppClient): Promise<void> => {
  client.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await client.ping();
};

async function phone(node = "phone", sm = true): Promise<XmppClient> {
  const client = await core.login("alice", { resource: node, sm });
  client.presence();
  expect((await enable(client, node)).attrs.type).toBe("result");
  return client;
}
const away = async (client: XmppClient, user = "alice"): Promise<void> => {
  const { accounts, names, sessions } = core.server;
  const account = accounts.get(names.primary.id, user);
  const session = account && sessions.get(account, client.jid.split("/")[1] ?? "");
  client.drop();
  while (session?.carrier !== undefined) await new Promise((next) => setImmediate(next));
};

test("the account says that apps may have themselves called", async () => {
  const alice = await core.login("alice");
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "alice@localhost");
  expect(info.toString()).toContain(`var="${ns}"`);
});

test("an app that is gone is called for what is said to it, with the options it gave and nothing of the message", async () => {
  const app = await core.login("alice", { resource: "gone" });
  await enable(app, "gone", secretForm);
  await app.close();
  const bob = await core.login("bob");
  const desk = await core.login("alice", { resource: "desk" });
  desk.presence();
  bob.message("alice@localhost", "hello");
  const call = await service.call();
  expect(call).toMatchObject({ from: "localhost", node: "gone" });
  expect(call.summary).toEqual({ FORM_TYPE: "urn:xmpp:push:summary", "message-count": "1" });
  expect(call.options).toEqual({
    FORM_TYPE: "http://jabber.org/protocol/pubsub#publish-options",
    secret: "s3 & <t",
  });
  // Typing, receipts and what one's own other device says are no reason.
  bob.send(
    "<message to='alice@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
  );
  bob.send("<message to='alice@localhost' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>");
  desk.message("alice@localhost", "a note to myself");
  desk.message("bob@localhost", "hello bob");
  await bob.ping();
  await desk.ping();
  await service.quiet();
});

test("who looks is not called; who does not look or is away is, while others are online", async () => {
  const app = await phone();
  const desk = await core.login("alice", { resource: "desk" });
  desk.presence();
  const bob = await core.login("bob");
  bob.message("alice@localhost", "one");
  await app.next("message");
  await service.quiet();
  await inactive(app);
  bob.message("alice@localhost", "two");
  await app.next("message");
  expect((await service.call()).summary["message-count"]).toBe("1");
  await away(app);
  bob.message("alice@localhost", "three");
  expect((await service.call()).summary["message-count"]).toBe("2");
  // What goes to the other device alone comes as a copy.
  await app.resume();
  await app.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  await away(app);
  bob.message("alice@localhost/desk", "four");
  // Being back, it has seen what was there.
  expect((await service.call()).summary["message-count"]).toBe("1");
  desk.message("bob@localhost", "five");
  await desk.ping();
  await service.quiet();
  expect((await desk.next("message", (m) => m.getChildText("body") === "four")).attrs.type).toBe("chat");
});

test("what went into a connection that was dead already is a reason to call", async () => {
  const app = await phone();
  app.acks = "withheld";
  const bob = await core.login("bob");
  bob.message("alice@localhost", "lost");
  await app.next("message");
  await service.quiet();
  await away(app);
  expect((await service.call()).node).toBe("phone");
  await service.quiet();
});

test("each app is called once for a message, by what it enabled last; disabling ends it, for one or for all", async () => {
  const one = await phone("one");
  const two = await phone("two");
  await enable(two, "two", secretForm);
  for (const app of [one, two]) await away(app);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "for both");
  const calls = [await service.call(), await service.call()];
  expect(calls.map(({ node, options }) => [node, options?.secret])).toEqual([
    ["one", undefined],
    ["two", "s3 & <t"],
  ]);
  const desk = await core.login("alice", { resource: "desk" });
  await desk.set(`<disable xmlns='${ns}' jid='push.localhost' node='one'/>`);
  bob.message("alice@localhost", "for two");
  expect((await service.call()).node).toBe("two");
  await desk.set(`<disable xmlns='${ns}' jid='push.localhost'/>`);
  bob.message("alice@localhost", "for nobody");
  await bob.ping();
  await service.quiet();
});

test("a room calls when it mentions the person; an app that never was available is called as well", async () => {
  const app = await phone();
  const bob = await core.login("bob", { resource: "bob" });
  const room = "den@conference.localhost";
  for (const [client, nick] of [
    [bob, "bob"],
    [app, "Al"],
  ] as const) {
    client.presence("<x xmlns='http://jabber.org/protocol/muc'/>", `to='${room}/${nick}'`);
    await client.next("message", (m) => m.getChild("subject") !== undefined);
    if (client === bob)
      await bob.set(
        "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
        room,
      );
  }
  await away(app);
  for (const text of ["nothing for her", "Al, where are you?"])
    bob.send(`<message to='${room}' type='groupchat'><body>${text}</body></message>`);
  expect((await service.call()).summary["message-count"]).toBe("1");
  await service.quiet();
  const shy = await core.login("alice", { resource: "shy", sm: true });
  await enable(shy, "phone");
  await away(shy);
  bob.message("alice@localhost/elsewhere", "hello");
  expect((await service.call()).node).toBe("phone");
});

test("who wrote and what is told by property only", async () => {
  const app = await phone();
  await away(app);
  const bob = await core.login("bob", { resource: "b" });
  await core.set({ "firekeeper.push.sender": "true" });
  bob.message("alice@localhost", "secret plan");
  expect((await service.call()).summary).toMatchObject({ "last-message-sender": "bob@localhost/b" });
  await core.set({ "firekeeper.push.sender": null, "firekeeper.push.body": "true" });
  bob.message("alice@localhost", "secret plan");
  const { summary } = await service.call();
  expect([summary["last-message-body"], summary["last-message-sender"]]).toEqual(["secret plan", undefined]);
  await core.set({ "firekeeper.push.body": null });
});

test("what comes within the interval, or before the service has answered, is told in one call", async () => {
  const app = await phone();
  await away(app);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "1");
  const open = await service.call("nothing");
  for (const text of ["2", "3", "4"]) bob.message("alice@localhost", text);
  await bob.ping();
  await service.quiet();
  service.component.send(`<iq type='result' id='${open.id}' from='push.localhost' to='${open.from}'/>`);
  expect((await service.call()).summary["message-count"]).toBe("4");
  await service.quiet();
  await core.set({ "firekeeper.push.interval": null });
  bob.message("alice@localhost", "5");
  expect((await service.call()).summary["message-count"]).toBe("5");
  await service.component.ping();
  bob.message("alice@localhost", "6");
  bob.message("alice@localhost", "7");
  await bob.ping();
  await service.quiet();
  clock.pass(1000);
  expect((await service.call()).summary["message-count"]).toBe("7");
  await core.set({ "firekeeper.push.interval": "0" });
});

test("a service that never answers is asked again, with growing pauses; one that is not there is not given up", async () => {
  const app = await phone();
  await away(app);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "1");
  await service.call("nothing");
  bob.message("alice@localhost", "2");
  await bob.ping();
  clock.pass(60_000);
  await service.quiet();
  clock.pass(1000);
  expect((await service.call("resource-constraint")).summary["message-count"]).toBe("2");
  await service.component.ping();
  bob.message("alice@localhost", "3");
  await bob.ping();
  clock.pass(1000);
  await service.quiet();
  clock.pass(1000);
  expect((await service.call()).summary["message-count"]).toBe("3");
});

test("a call that a service could not take is made again, without a further message, until the app is back", async () => {
  const app = await phone();
  await away(app);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "only this");
  for (const pause of [1000, 2000, 4000]) {
    await service.call("resource-constraint");
    await service.component.ping();
    clock.pass(pause - 1);
    await service.quiet();
    clock.pass(1);
  }
  await service.call("resource-constraint");
  await service.component.ping();
  await app.resume();
  clock.pass(600_000);
  await service.quiet();
});

test("after three permanent errors in a row it is given up, until its owner logs in again", async () => {
  const app = await phone();
  await away(app);
  const bob = await core.login("bob");
  const write = async (answer?: string): Promise<void> => {
    bob.message("alice@localhost", "hello");
    await service.call(answer);
    await service.component.ping();
  };
  await write("item-not-found");
  await write("item-not-found");
  await write();
  for (let i = 0; i < 3; i++) await write("item-not-found");
  bob.message("alice@localhost", "in vain");
  await bob.ping();
  await service.quiet();
  const desk = await core.login("alice", { resource: "desk" });
  await desk.ping();
  await write();
});

test("registrations outlive restarts and crashes, and follow the names of the domain and of the account", async () => {
  const app = await core.login("carol", { resource: "old", sm: true });
  app.presence();
  await enable(app, "kept", secretForm);
  await away(app, "carol");
  await core.restart();
  service = await PushService.join(port, "secret");
  const say = async (): Promise<void> => {
    const bob = await core.login("bob");
    bob.message("carol@localhost", "hello");
    expect((await service.call()).options?.secret).toBe("s3 & <t");
    await bob.close();
  };
  await say();
  await core.crash();
  service = await PushService.join(port, "secret");
  // It is called again for what it was called for before, since nobody knows whether it was.
  clock.pass(1000);
  await service.call();
  await service.component.ping();
  await say();
  await core.rename("example.test", null);
  await say();
  await core.rename("localhost", null);
  const carol = await core.login("carol", { resource: "new" });
  await carol.close();
});

test("the owner sees and removes what is registered by a command", async () => {
  const app = await phone("listed");
  await away(app);
  const desk = await core.login("alice", { resource: "desk" });
  const form = await command(desk, "urn:firekeeper:push");
  expect(form.toString()).toContain("push.localhost, since");
  const key = /<option[^>]*><value>([^<]+)</.exec(form.toString())?.[1] ?? "";
  expect(formFields(form).has("remove")).toBe(true);
  const done = await command(desk, "urn:firekeeper:push", { remove: [key] }, form.getChild("command")?.attrs.sessionid);
  expect(done.toString()).toContain("One app is not called any more.");
  const bob = await core.login("bob");
  bob.message("alice@localhost", "hello");
  await bob.ping();
  await service.quiet();
});

test("a service takes its node back by a message; nobody else does", async () => {
  const app = await phone("back");
  await away(app);
  const bob = await core.login("bob");
  const withdrawal =
    "<pubsub xmlns='http://jabber.org/protocol/pubsub' node='back'><affiliation jid='alice@localhost' affiliation='none'/></pubsub>";
  bob.send(`<message to='alice@localhost'>${withdrawal}</message>`);
  bob.message("alice@localhost", "hello");
  await service.call();
  await service.component.ping();
  service.component.send(`<message from='push.localhost' to='alice@localhost'>${withdrawal}</message>`);
  await service.component.ping();
  bob.message("alice@localhost", "hello");
  await bob.ping();
  await service.quiet();
});

test("who is blocked and what is refused is no reason to call", async () => {
  const app = await phone();
  await app.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  await away(app);
  const bob = await core.login("bob");
  bob.message("alice@localhost", "let me in");
  await bob.next("message", (m) => m.attrs.type === "error");
  bob.send("<message to='alice@localhost/phone' type='error'><body>x</body></message>");
  await bob.ping();
  await service.quiet();
  const desk = await core.login("alice", { resource: "desk" });
  await desk.set("<unblock xmlns='urn:xmpp:blocking'/>");
});

test("with the property off nobody can enable it", async () => {
  await core.set({ "firekeeper.push.enabled": "false" });
  const app = await core.login("alice");
  expect((await enable(app, "off")).attrs.type).toBe("error");
  await core.set({ "firekeeper.push.enabled": null });
});
