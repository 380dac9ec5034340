import type { Element } from "ltx";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0160, XEP-0203
const dayMs = 24 * 3600 * 1000;
let core: TestCore;
let alice: XmppClient;
let ahead: number;
let periodic: Map<() => void, number>;

async function start(properties: Record<string, string> = {}): Promise<void> {
  ahead = 0;
  periodic = new Map();
  const clock = {
    now: () => Date.now() + ahead,
    after(ms: number, work: () => void) {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    every(ms: number, work: () => void) {
      periodic.set(work, ms);
      return () => void periodic.delete(work);
    },
  };
  core = await startTestCore({
    users: ["alice", "bob"],
    clock,
    properties: { "xmpp.client.idle": "-1", ...properties },
  });
  alice = await core.login("alice", { resource: "desk" });
}
beforeEach(() => start());
afterEach(() => core.close());

/** Lets time pass and runs what is due by it. */
function pass(ms: number): void {
  ahead += ms;
  for (const work of [...periodic.keys()]) work();
}

/** Until the server has seen that a connection is gone. */
const detached = (): Promise<void> =>
  expect.poll(() => [...core.server.sessions.all()].some(({ detachedAt }) => detachedAt !== undefined)).toBe(true);

const bodyOf = (message: Element): string => message.getChildText("body") ?? "";
const archiveQuery = "<query xmlns='urn:xmpp:mam:2'/>";

/** Says what waited for a session that becomes available, and takes it. */
async function collected(client: XmppClient): Promise<Element[]> {
  client.presence();
  await client.next("presence", (presence) => presence.attrs.from === client.jid);
  // Storage reads come back in their order: the answer to this one is behind what waited.
  await client.set(archiveQuery);
  await client.ping();
  const { inbox } = client.connection;
  const messages = inbox.filter((stanza) => stanza.is("message") && stanza.getChild("result") === undefined);
  inbox.splice(0);
  return messages;
}

async function bodies(client: XmppClient): Promise<string[]> {
  return (await collected(client)).map(bodyOf);
}

/** Sends to bob's bare address; what came back. */
async function send(...texts: string[]): Promise<string> {
  let id = "";
  for (const text of texts) id = alice.message("bob@localhost", text);
  await alice.ping();
  const back = alice.connection.inbox.find((stanza) => stanza.attrs.id === id);
  return back === undefined ? "" : errorCondition(back);
}

test("what came while nobody was there is handed over once, in order, with stamp and id, when somebody is", async () => {
  const before = Math.floor(Date.now() / 1000) * 1000;
  await send("one", "two", "three");
  pass(3_600_000);
  const bob = await core.login("bob", { resource: "phone" });
  await bob.none("message", undefined, alice);
  bob.presence("<priority>-1</priority>");
  await bob.none("message", undefined, alice);
  const messages = await collected(bob);
  expect(messages.map(bodyOf)).toEqual(["one", "two", "three"]);
  const ids = messages.map((message) => message.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs);
  expect(ids.map((id) => id?.by)).toEqual(Array(3).fill("bob@localhost"));
  for (const message of messages) {
    expect(message.attrs).toMatchObject({ from: "alice@localhost/desk", to: "bob@localhost", type: "chat" });
    const delay = message.getChild("delay", "urn:xmpp:delay")?.attrs ?? {};
    expect(delay.from).toBe("localhost");
    const stamp = Date.parse(delay.stamp);
    expect(stamp).toBeGreaterThanOrEqual(before);
    expect(stamp).toBeLessThanOrEqual(Date.now());
  }
  const archive = await bob.set(archiveQuery);
  expect(archive.getChild("fin")?.getChild("set")?.getChildText("last")).toBe(ids[2]?.id);
  await bob.close();
  expect(await bodies(await core.login("bob"))).toEqual([]);
});

test("two devices that come at once share what waited, and neither gets it twice", async () => {
  await send("one", "two");
  const [phone, tablet] = [await core.login("bob"), await core.login("bob")];
  phone.presence();
  tablet.presence();
  const got = [...(await bodies(phone)), ...(await bodies(tablet))];
  expect(got.sort()).toEqual(["one", "two"]);
});

test("chat states, headlines and what asks not to be stored are not kept", async () => {
  alice.send("<message to='bob@localhost' type='headline'><body>news</body></message>");
  for (const more of ["<no-store xmlns='urn:xmpp:hints'/>", "<no-permanent-store xmlns='urn:xmpp:hints'/>"])
    alice.message("bob@localhost", "passing", more);
  alice.send(
    "<message to='bob@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
  );
  alice.send("<message to='bob@localhost' type='groupchat'><body>room</body></message>");
  alice.send("<message to='bob@localhost' type='error'><body>wrong</body></message>");
  alice.send("<message to='bob@localhost'><body>kept</body></message>");
  await alice.ping();
  expect(await bodies(await core.login("bob"))).toEqual(["kept"]);
});

describe.each([
  ["with an archive", {}],
  ["without an archive", { "firekeeper.archive.enabled": "false" }],
])("%s", (_name, properties: Record<string, string>) => {
  beforeEach(async () => {
    await core.close();
    await start(properties);
  });

  test("what waits outlives a restart and a crash, and is not there twice", async () => {
    await send("before the restart");
    await core.restart();
    await send("before the crash");
    await core.crash();
    alice = await core.login("alice", { resource: "desk" });
    await send("after it");
    const bob = await core.login("bob", { sm: true });
    expect(await bodies(bob)).toEqual(["before the restart", "before the crash", "after it"]);
    await core.crash();
    expect(await bodies(await core.login("bob"))).toEqual([]);
  });

  test("handed over but not acknowledged: a crash gives it back to who resumes, and only to him", async () => {
    await send("one", "two");
    const bob = await core.login("bob", { resource: "phone", sm: true });
    bob.acks = "withheld";
    expect(await bodies(bob)).toEqual(["one", "two"]);
    await core.crash();
    const other = await core.login("bob", { resource: "tablet" });
    expect(await bodies(other)).toEqual([]);
    await bob.resume(0);
    for (const body of ["one", "two"]) expect(bodyOf(await bob.next("message"))).toBe(body);
  });

  test.each([["on its own"], ["behind a crash"]])(
    "a session that is not resumed in time leaves its messages, %s",
    async (how) => {
      const bob = await core.login("bob", { resource: "phone", sm: true });
      bob.acks = "withheld";
      bob.presence();
      await bob.next("presence");
      await bob.requestAck();
      alice.message("bob@localhost", "to the bare address");
      alice.message("bob@localhost/phone", "to the device");
      alice.message("bob@localhost/gone", "to one that is not there");
      expect(bodyOf(await bob.next("message", (message) => /not there/.test(bodyOf(message))))).not.toBe("");
      bob.drop();
      if (how === "behind a crash") await core.crash();
      else await detached();
      pass(700_000);
      expect((await bob.attemptResume()).getName()).toBe("failed");
      expect(await bodies(await core.login("bob"))).toEqual([
        "to the bare address",
        "to the device",
        "to one that is not there",
      ]);
    },
  );

  test("devices that are there get what the expired one was owed, but nothing that they had", async () => {
    const [bob, tablet] = [
      await core.login("bob", { resource: "phone", sm: true }),
      await core.login("bob", { resource: "tablet" }),
    ];
    bob.acks = "withheld";
    for (const client of [bob, tablet]) client.presence();
    await bob.next("presence", (presence) => presence.attrs.from === tablet.jid);
    await bob.ping();
    await tablet.ping();
    await send("to both");
    alice.message("bob@localhost/phone", "to the phone");
    await bob.next("message", (message) => bodyOf(message) === "to the phone");
    bob.drop();
    await detached();
    const late = await core.login("bob", { resource: "late" });
    pass(1000);
    expect(await bodies(late)).toEqual([]);
    expect(bodyOf(await tablet.next("message"))).toBe("to both");
    pass(700_000);
    expect(bodyOf(await tablet.next("message"))).toBe("to the phone");
    await tablet.none("message");
    for (const body of ["to both", "to the phone"]) expect(bodyOf(await late.next("message"))).toBe(body);
    await late.none("message");
    for (const client of [late, tablet]) await client.close();
    expect(await bodies(await core.login("bob"))).toEqual([]);
  });

  test("copies that an expired session did not take are nobody's messages", async () => {
    const tablet = await core.login("alice", { resource: "tablet", sm: true });
    tablet.acks = "withheld";
    await tablet.set("<enable xmlns='urn:xmpp:carbons:2'/>");
    const bob = await core.login("bob", { resource: "phone" });
    alice.message(bob.jid, "sent by alice");
    bob.message(alice.jid, "received by alice");
    await tablet.next("message", (message) => message.getChild("received") !== undefined);
    await alice.next("message");
    tablet.drop();
    await detached();
    pass(700_000);
    await alice.none("message");
    expect((await tablet.attemptResume()).getName()).toBe("failed");
    await alice.close();
    expect(await bodies(await core.login("alice"))).toEqual([]);
  });
});

describe("xmpp.offline.type", () => {
  const long = "x".repeat(900);
  test.each([
    ["bounce", ["service-unavailable", "service-unavailable"], []],
    ["drop", ["", ""], []],
    ["store", ["", ""], [long, "small"]],
    ["store_and_bounce", ["", "service-unavailable"], [long]],
    ["store_and_drop", ["", ""], [long]],
  ])("%s", async (type, answers, kept) => {
    await core.set({ "xmpp.offline.type": type, "xmpp.offline.quota": "1024" });
    expect([await send(long), await send("small")]).toEqual(answers);
    const bob = await core.login("bob");
    expect(await bodies(bob)).toEqual(kept);
    await bob.close();
    // Once it was taken there is room again.
    if (kept.length > 0) expect([await send("again"), await bodies(await core.login("bob"))]).toEqual(["", ["again"]]);
  });

  test("the quota counts what was stored before a restart, and of one person only", async () => {
    await core.addUser("carol");
    await core.set({ "xmpp.offline.quota": "1024" });
    await send(long);
    await core.crash();
    await core.set({ "xmpp.offline.quota": "1024" });
    alice = await core.login("alice");
    expect(await send("small")).toBe("service-unavailable");
    alice.message("carol@localhost", "hers");
    await alice.ping();
    expect(await bodies(await core.login("carol"))).toEqual(["hers"]);
  });

  test.each([
    ["bounce", "service-unavailable"],
    ["drop", ""],
  ])("%s holds for what a session did not take as well", async (type, answer) => {
    const bob = await core.login("bob", { resource: "phone", sm: true });
    bob.acks = "withheld";
    bob.presence();
    await bob.next("presence");
    await send("never taken");
    bob.drop();
    await core.set({ "xmpp.offline.type": type });
    await detached();
    pass(700_000);
    if (answer !== "")
      expect(errorCondition(await alice.next("message", (m) => m.attrs.type === "error"))).toBe(answer);
    await alice.none("message");
    await core.set({ "xmpp.offline.type": null });
    expect(await bodies(await core.login("bob"))).toEqual([]);
  });
});

test("old messages are cleaned away when that is wanted, younger ones stay", async () => {
  await core.set({ "xmpp.offline.autoclean.enabled": "true", "xmpp.offline.autoclean.daystolive": "10" });
  await send("old");
  pass(6 * dayMs);
  await send("young");
  pass(6 * dayMs);
  // Bulk work goes in the order of its beginning.
  await core.server.storage.bulk((step) => step(() => []));
  expect(await bodies(await core.login("bob"))).toEqual(["young"]);
});
