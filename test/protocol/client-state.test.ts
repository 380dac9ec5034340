import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { subscribe } from "../support/contacts.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { authenticate, bindElement } from "../support/sasl2.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const clock = manualClock();
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"], clock });
  await subscribe(core, "alice", "bob");
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const csi = "urn:xmpp:csi:0";
const inactive = (client: XmppClient): void => client.send(`<inactive xmlns='${csi}'/>`);
const active = (client: XmppClient): void => client.send(`<active xmlns='${csi}'/>`);
const state = (name: string): string => `<${name} xmlns='http://jabber.org/protocol/chatstates'/>`;
const body = (stanza: Element): string | null => stanza.getChildText("body");

/** What is in the inbox already. */
function take(client: XmppClient, matches: (stanza: Element) => boolean): Element | undefined {
  const { inbox } = client.connection;
  const at = inbox.findIndex(matches);
  return at < 0 ? undefined : inbox.splice(at, 1)[0];
}

/** Everything that came until the client's next ping was answered, in order, in short. */
async function arrived(client: XmppClient): Promise<string[]> {
  const found: string[] = [];
  await client.ping();
  for (;;) {
    const stanza = take(client, (m) => m.is("message") || m.is("presence"));
    if (stanza === undefined) return found;
    found.push(short(stanza));
  }
}

function short(stanza: Element): string {
  const words = stanza.getChildElements().map((child) => child.getText() || child.getName());
  return `${stanza.attrs.from.split("/")[1] ?? stanza.attrs.from} ${stanza.attrs.type ?? stanza.getName()} ${words[0] ?? ""}`.trim();
}

/** Alice's phone, inactive, and bob, whose presence it has seen. */
async function phoneAndBob(sm = false): Promise<{ phone: XmppClient; bob: XmppClient }> {
  const phone = await core.login("alice", { resource: "phone", sm });
  phone.presence();
  const bob = await core.login("bob", { resource: "bob" });
  bob.presence();
  await phone.next("presence", (stanza) => stanza.attrs.from === "bob@localhost/bob");
  await arrived(phone);
  inactive(phone);
  await phone.ping();
  return { phone, bob };
}

test("the feature is offered to who has logged in", async () => {
  const phone = await core.login("alice");
  expect(phone.features?.getChild("csi", csi)).toBeDefined();
});

test("presence and typing wait, the newest of each; what is said comes at once and behind what came before it", async () => {
  const { phone, bob } = await phoneAndBob();
  bob.presence("<show>away</show>");
  bob.presence("<show>dnd</show>");
  bob.send(`<message to='alice@localhost' type='chat'>${state("composing")}</message>`);
  bob.send(`<message to='alice@localhost' type='chat'>${state("paused")}</message>`);
  await bob.ping();
  await phone.none("presence");
  await phone.none("message");
  bob.message("alice@localhost", "hello");
  const message = await phone.next("message", (stanza) => body(stanza) !== null);
  expect(body(message)).toBe("hello");
  // From the same sender: in the order in which they were said.
  expect(await arrived(phone)).toEqual(["bob presence dnd", "bob chat paused"]);
});

test("a client that binds in one step may begin inactive", async () => {
  const where = { host: "127.0.0.1", port: core.port, domain: core.domain };
  const phone = await XmppClient.connect(where);
  expect(phone.features?.toString()).toContain(`<feature var="${csi}"/>`);
  await authenticate(phone, { user: "alice", inside: bindElement(`<inactive xmlns='${csi}'/>`) });
  const bob = await core.login("bob");
  bob.send(`<message to='${phone.jid}' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`);
  await bob.ping();
  await phone.none("message");
  active(phone);
  await phone.next("message");
});

test("what one sends does not bring what waits of others", async () => {
  const { phone, bob } = await phoneAndBob();
  const carol = await core.login("carol", { resource: "carol" });
  bob.presence("<show>away</show>");
  await bob.ping();
  carol.message("alice@localhost", "from carol");
  await phone.next("message");
  await phone.none("presence");
  active(phone);
  expect(await arrived(phone)).toEqual(["bob presence away"]);
});

test("active brings what waits before the answer to a ping that follows", async () => {
  const { phone, bob } = await phoneAndBob();
  bob.presence("<show>xa</show>");
  await bob.ping();
  active(phone);
  expect(await arrived(phone)).toEqual(["bob presence xa"]);
  bob.presence("<show>away</show>");
  expect((await phone.next("presence")).getChildText("show")).toBe("away");
});

test("receipts and markers wait, each of them; calls, invitations and encrypted messages do not", async () => {
  const { phone, bob } = await phoneAndBob();
  const send = (inside: string, type = "chat"): void =>
    bob.send(`<message to='alice@localhost/phone' type='${type}'>${inside}</message>`);
  send("<received xmlns='urn:xmpp:receipts' id='1'/>");
  send("<received xmlns='urn:xmpp:receipts' id='2'/>");
  send("<displayed xmlns='urn:xmpp:chat-markers:0' id='2'/>");
  await bob.ping();
  await phone.none("message");
  active(phone);
  expect(await arrived(phone)).toEqual(["bob chat received", "bob chat received", "bob chat displayed"]);
  inactive(phone);
  send("<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>");
  send("<x xmlns='jabber:x:conference' jid='room@conference.localhost'/>", "normal");
  send("<encrypted xmlns='eu.siacs.conversations.axolotl'/>");
  send("<unheard-of xmlns='urn:x'/>");
  await bob.ping();
  expect((await arrived(phone)).map((line) => line.split(" ")[2])).toEqual([
    ...["propose", "x", "encrypted", "unheard-of"],
  ]);
});

test("copies of what the own other device says come at once, its typing waits", async () => {
  const { phone, bob } = await phoneAndBob();
  await phone.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  const desk = await core.login("alice", { resource: "desk" });
  desk.send(`<message to='bob@localhost/bob' type='chat'>${state("composing")}</message>`);
  await desk.ping();
  await phone.none("message");
  desk.message("bob@localhost/bob", "from the desk");
  const copies = [await phone.next("message"), await phone.next("message")];
  expect(copies.map((copy) => copy.toString().includes("from the desk"))).toEqual([false, true]);
  // What somebody writes to the other device is judged by what it is.
  bob.send(`<message to='alice@localhost/desk' type='chat'>${state("composing")}</message>`);
  await bob.ping();
  await phone.none("message");
  bob.message("alice@localhost/desk", "to the desk");
  expect((await phone.next("message", (m) => m.toString().includes("to the desk"))).attrs.from).toBe("alice@localhost");
});

test("of what contacts publish the newest of each item waits", async () => {
  const { phone, bob } = await phoneAndBob();
  const publish = (node: string, id: string, text: string): Promise<Element> =>
    phone.set(
      `<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='${node}'><item id='${id}'><x xmlns='urn:x'>${text}</x></item></publish></pubsub>`,
    );
  const desk = await core.login("alice", {
    resource: "desk",
  });
  desk.presence("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:n' ver='x'/>");
  const query = await desk.next("iq", (iq) => iq.getChild("query") !== undefined && iq.attrs.type === "get");
  const wants = ["urn:x:notes", "http://jabber.org/protocol/tune"].map((node) => `<feature var='${node}+notify'/>`);
  desk.send(
    `<iq type='result' id='${query.attrs.id}' to='${query.attrs.from}'><query xmlns='http://jabber.org/protocol/disco#info'>${wants.join("")}</query></iq>`,
  );
  await publish("urn:x:notes", "first", "warm up");
  await desk.next("message");
  inactive(desk);
  await desk.ping();
  await publish("urn:x:notes", "a", "1");
  await publish("urn:x:notes", "b", "2");
  await publish("urn:x:notes", "a", "3");
  await publish("http://jabber.org/protocol/tune", "one", "song 1");
  await publish("http://jabber.org/protocol/tune", "two", "song 2");
  await desk.none("message");
  active(desk);
  await desk.ping();
  const texts: string[] = [];
  const isMessage = (m: Element): boolean => m.is("message");
  for (let m = take(desk, isMessage); m !== undefined; m = take(desk, isMessage)) texts.push(text(m));
  expect(texts).toEqual(["2", "3", "song 2"]);
  await bob.close();

  function text(message: Element): string {
    return /<x [^>]*>([^<]*)</.exec(message.toString())?.[1] ?? "";
  }
});

test("rooms wait unless they mention the person, are members-only, or a property says all of it is urgent", async () => {
  const { phone, bob } = await phoneAndBob();
  const room = "tea@conference.localhost";
  const join = async (client: XmppClient, nick: string): Promise<void> => {
    client.presence("<x xmlns='http://jabber.org/protocol/muc'/>", `to='${room}/${nick}'`);
    await client.next("message", (m) => m.getChild("subject") !== undefined);
  };
  await join(bob, "bob");
  await bob.set(
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
    room,
  );
  // Its own entering comes whole although it is inactive.
  await join(phone, "Al");
  await arrived(phone);
  const say = (text: string): void => bob.send(`<message to='${room}' type='groupchat'><body>${text}</body></message>`);
  say("nothing for her");
  say("also not for alfred");
  await bob.next("message", (m) => body(m) === "also not for alfred");
  await phone.none("message");
  say("AL: come here");
  await phone.next("message", (m) => body(m) === "AL: come here");
  expect(await arrived(phone)).toEqual(["bob groupchat nothing for her", "bob groupchat also not for alfred"]);
  await core.set({ "firekeeper.csi.rooms-urgent": "true" });
  say("urgent now");
  await phone.next("message", (m) => body(m) === "urgent now");
  await core.set({ "firekeeper.csi.rooms-urgent": null });
  say("not urgent");
  await bob.next("message", (m) => body(m) === "not urgent");
  await phone.none("message");
  const form = (name: string, value: string): string => `<field var='${name}'><value>${value}</value></field>`;
  await bob.set(
    `<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member' jid='alice@localhost'/></query>`,
    room,
  );
  await bob.set(
    `<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>${form("FORM_TYPE", "http://jabber.org/protocol/muc#roomconfig")}${form("muc#roomconfig_membersonly", "1")}</x></query>`,
    room,
  );
  say("among ourselves");
  await phone.next("message", (m) => body(m) === "among ourselves");
  // Being thrown out is no news that waits.
  await bob.set(`<query xmlns='http://jabber.org/protocol/muc#admin'><item role='none' nick='Al'/></query>`, room);
  await phone.next("presence", (p) => p.toString().includes('code="307"') || p.toString().includes("code='307'"));
});

test("with stream management nothing is counted that was replaced, and <r/> brings what waits", async () => {
  const { phone, bob } = await phoneAndBob(true);
  for (const show of ["away", "dnd", "xa"]) bob.presence(`<show>${show}</show>`);
  bob.send(`<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`);
  await bob.ping();
  await phone.none((m) => m.is("presence") || m.is("message"));
  await phone.requestAck();
  expect([short(await phone.next("presence")), short(await phone.next("message"))]).toEqual([
    "bob presence xa",
    "bob chat received",
  ]);
  // A wrong count would end the stream.
  phone.ack();
  await phone.ping();
  expect(core.server.sessions.get(accountOf("alice"), "phone")?.outbound.unacknowledged).toBeLessThanOrEqual(1);
});

test("a resumed stream is active again, and what waited comes behind what was lost", async () => {
  const { phone, bob } = await phoneAndBob(true);
  phone.acks = "withheld";
  bob.message("alice@localhost", "one");
  await phone.next("message");
  bob.presence("<show>away</show>");
  bob.send(`<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='r'/></message>`);
  await bob.ping();
  phone.drop();
  await detached("alice", "phone");
  bob.presence("<show>dnd</show>");
  await bob.ping();
  await phone.resume(phone.handled - 1);
  expect(body(await phone.next("message"))).toBe("one");
  expect(await arrived(phone)).toEqual(["bob chat received", "bob presence dnd"]);
  bob.presence("<show>xa</show>");
  expect((await phone.next("presence")).getChildText("show")).toBe("xa");
});

test("an orderly restart keeps what waits waiting, and replaces it by what is newer afterwards", async () => {
  const { phone, bob } = await phoneAndBob(true);
  bob.presence("<show>away</show>");
  bob.send(`<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='r'/></message>`);
  await bob.ping();
  await core.restart();
  bob.presence("<show>dnd</show>");
  await bob.ping();
  await phone.none("presence");
  active(phone);
  expect(await arrived(phone)).toEqual(["bob chat received", "bob presence dnd"]);
  phone.ack();
  await phone.ping();
});

test("after kill -9 what is durable is there, once, and in the order in which it was said", async () => {
  const { phone, bob } = await phoneAndBob(true);
  const receipt = (id: number): void =>
    bob.send(
      `<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='${id}'/></message>`,
    );
  receipt(1);
  await bob.ping();
  // Another's message overtakes it, and is acknowledged: the count that covers its number says nothing of what waits.
  const carol = await core.login("carol");
  carol.message("alice@localhost/phone", "overtakes");
  await phone.next("message");
  phone.ack();
  await phone.ping();
  receipt(2);
  await bob.ping();
  await core.server.storage.write([]);
  await core.crash();
  await phone.resume();
  const ids = [await phone.next("message"), await phone.next("message")].map((m) => m.getChild("received")?.attrs.id);
  expect(ids).toEqual(["1", "2"]);
  phone.ack();
  await phone.none("message");
  await core.crash();
  await phone.resume();
  await phone.none("message");
});

test("too many, too large or too old: then everything goes out", async () => {
  const { phone, bob } = await phoneAndBob();
  const receipts = (n: number, more = ""): void => {
    for (let i = 0; i < n; i++)
      bob.send(
        `<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='${i}${more}'/></message>`,
      );
  };
  await core.set({ "xmpp.client.csi.delay.queue.capacity": "3" });
  receipts(3);
  await bob.ping();
  await phone.none("message");
  receipts(1);
  await bob.ping();
  expect(await arrived(phone)).toHaveLength(4);
  await core.set({ "xmpp.client.csi.delay.queue.capacity": null, "firekeeper.csi.queue-bytes": "2000" });
  receipts(1);
  await bob.ping();
  await phone.none("message");
  receipts(1, "x".repeat(2000));
  await bob.ping();
  expect(await arrived(phone)).toHaveLength(2);
  await core.set({ "firekeeper.csi.queue-bytes": null, "xmpp.client.csi.delay.max-duration": "1" });
  receipts(1);
  await bob.ping();
  // Once to see that something waits, once that it has for too long.
  clock.pass(1000);
  clock.pass(1000);
  await phone.next("message");
  await core.set({ "xmpp.client.csi.delay.max-duration": null, "xmpp.client.csi.delay.enabled": "false" });
  bob.presence("<show>away</show>");
  await phone.next("presence");
  await core.set({ "xmpp.client.csi.delay.enabled": null });
});

test("what waits for a session that ends goes to who is left", async () => {
  const { phone, bob } = await phoneAndBob();
  bob.send(`<message to='alice@localhost' type='chat'><received xmlns='urn:xmpp:receipts' id='kept'/></message>`);
  await bob.ping();
  phone.drop();
  await gone("alice", "phone");
  const next = await core.login("alice", { resource: "next" });
  next.presence();
  const message = await next.next("message");
  expect(message.getChild("received")?.attrs.id).toBe("kept");
});

function accountOf(name: string) {
  const { accounts, names } = core.server;
  const account = accounts.get(names.primary.id, name);
  if (account === undefined) throw new Error(`no account ${name}`);
  return account;
}

/** Waits until the server has noticed that the connection is gone. */
async function detached(name: string, resource: string): Promise<void> {
  const { sessions } = core.server;
  while (sessions.get(accountOf(name), resource)?.carrier !== undefined)
    await new Promise((next) => setImmediate(next));
}

async function gone(name: string, resource: string): Promise<void> {
  while (core.server.sessions.get(accountOf(name), resource) !== undefined)
    await new Promise((next) => setImmediate(next));
}
