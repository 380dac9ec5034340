import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0280
const ns = "urn:xmpp:carbons:2";
let core: TestCore;
let desk: XmppClient;
let tablet: XmppClient;
let bob: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  desk = await core.login("alice", { resource: "desk" });
  tablet = await core.login("alice", { resource: "tablet" });
  bob = await core.login("bob", { resource: "phone" });
  await tablet.set(`<enable xmlns='${ns}'/>`);
});
afterEach(() => core.close());

test("the other device sees what was sent and what was received, with the archive's ids", async () => {
  desk.message(bob.jid, "sent");
  const sent = await tablet.next("message");
  expect(sent.attrs).toMatchObject({ from: "alice@localhost", to: "alice@localhost/tablet" });
  const inner = sent
    .getChild("sent", ns)
    ?.getChild("forwarded", "urn:xmpp:forward:0")
    ?.getChild("message", "jabber:client");
  expect(inner?.attrs).toMatchObject({ from: "alice@localhost/desk", to: "bob@localhost/phone" });
  expect(inner?.getChild("stanza-id")?.attrs.by).toBe("alice@localhost");
  bob.message(desk.jid, "received");
  const received = await tablet.next("message");
  const copy = received.getChild("received", ns)?.getChild("forwarded")?.getChild("message");
  expect(copy?.getChildText("body")).toBe("received");
  await desk.next("message");
  await desk.none("message");
});

test.each([
  ["private", `<private xmlns='${ns}'/>`],
  ["no-copy", "<no-copy xmlns='urn:xmpp:hints'/>"],
])("%s messages are not copied", async (_name, more) => {
  desk.message(bob.jid, "secret", more);
  const got = await bob.next("message");
  expect(got.getChild("private", ns)).toBeUndefined();
  await tablet.none("message", undefined, desk);
});

test("after disabling nothing is copied", async () => {
  await tablet.set(`<disable xmlns='${ns}'/>`);
  desk.message(bob.jid, "x");
  await bob.next("message");
  await tablet.none("message", undefined, desk);
});

test("a restart keeps carbons on, and a crash too for a managed session", async () => {
  await core.restart();
  desk.message(bob.jid, "after restart");
  await tablet.next("message", (message) => message.getChild("sent", ns) !== undefined);
  const managed = await core.login("alice", { resource: "managed", sm: true });
  await managed.set(`<enable xmlns='${ns}'/>`);
  await managed.requestAck();
  managed.drop();
  await core.crash();
  await managed.resume();
  const again = await core.login("alice", { resource: "desk" });
  again.message("bob@localhost", "x");
  await managed.next("message", (message) => message.getChild("sent", ns) !== undefined);
});

test("a copy lost in a crash comes again as a copy", async () => {
  const managed = await core.login("alice", { resource: "managed", sm: true });
  managed.acks = "withheld";
  await managed.set(`<enable xmlns='${ns}'/>`);
  desk.message(bob.jid, "copied");
  await managed.next("message");
  managed.drop();
  await core.crash();
  await managed.resume(1);
  const again = await managed.next("message");
  expect(again.getChild("sent", ns)?.getChild("forwarded")?.getChild("message")?.getChildText("body")).toBe("copied");
});

test("copies of what is said before a device is back from a crash wait for it, once it was told that they are on", async () => {
  const managed = await core.login("alice", { resource: "managed", sm: true });
  expect((await managed.set(`<enable xmlns='${ns}'/>`)).attrs.type).toBe("result");
  await core.crash();
  const again = await core.login("alice", { resource: "desk" });
  again.message("bob@localhost", "meanwhile");
  await again.ping();
  await managed.resume();
  const copy = (await managed.next("message")).getChild("sent", ns)?.getChild("forwarded")?.getChild("message");
  expect(copy?.getChildText("body")).toBe("meanwhile");
});
