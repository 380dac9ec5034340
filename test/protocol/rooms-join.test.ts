import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import {
  at,
  body,
  configure,
  create,
  itemOf,
  join,
  muc,
  presenceOf,
  say,
  sendJoin,
  service,
  statusCodes,
} from "./rooms-fixture.ts";

// XEP-0045 §6, §7.1, §7.2, §7.6, §7.7, §7.14
let core: TestCore;
let number = 0;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "lobby"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const fresh = () => `room${++number}`;
const refusal = async (client: XmppClient, room: string, nick: string) =>
  errorCondition(await client.next("presence", presenceOf(room, nick, "error")));
const two = async () => [await core.login("alice"), await core.login("bob")] as const;

test("a new room is made for whoever enters, locked until it is configured", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  const self = await join(alice, room, "Alice");
  expect(statusCodes(self)).toEqual(["100", "110", "170", "201"]);
  expect(itemOf(self)).toMatchObject({ affiliation: "owner", role: "moderator", jid: alice.jid });
  sendJoin(bob, room, "Bob");
  expect(await refusal(bob, room, "Bob")).toBe("item-not-found");
  expect((await configure(alice, room)).attrs.type).toBe("result");
  expect(statusCodes(await join(bob, room, "Bob"))).toEqual(["100", "110", "170"]);
  expect(itemOf(await alice.next("presence", presenceOf(room, "Bob")))).toMatchObject({
    affiliation: "none",
    role: "participant",
    jid: bob.jid,
  });
});

test("whoever enters hears of the others, of himself, of the past and of the subject, in this order", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  say(alice, room, "one");
  await alice.next(body("one"));
  alice.send(`<message to='${at(room)}' type='groupchat'><subject>Talk &amp; tea</subject></message>`);
  await alice.next((stanza) => stanza.getChildText("subject") === "Talk & tea");
  sendJoin(bob, room, "Bob");
  await alice.next("presence", presenceOf(room, "Bob"));
  await bob.ping();
  const inbox = bob.connection.inbox.filter(({ attrs }) => String(attrs.from).startsWith(at(room)));
  expect(inbox.map((stanza) => [stanza.getName(), stanza.attrs.from])).toEqual([
    ["presence", at(room, "Alice")],
    ["presence", at(room, "Bob")],
    ["message", at(room, "Alice")],
    ["message", at(room, "Alice")],
  ]);
  expect(inbox[3]?.getChildText("subject")).toBe("Talk & tea");
  const past = inbox[2];
  expect(past?.getChild("delay", "urn:xmpp:delay")?.attrs.from).toBe(at(room));
  expect(past?.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs.by).toBe(at(room));
});

test("a room without a subject says so by an empty one", async () => {
  const alice = await core.login("alice");
  const room = fresh();
  sendJoin(alice, room, "Alice");
  const subject = await alice.next((stanza) => stanza.getChild("subject") !== undefined);
  expect([subject.getChildText("subject"), subject.attrs.from]).toEqual(["", at(room)]);
});

test.each([
  ["maxstanzas='1'", ["three"]],
  ["maxstanzas='0'", []],
  ["maxchars='0'", []],
  ["seconds='0'", []],
  ["since='2099-01-01T00:00:00Z'", []],
  ["since='1999-01-01T00:00:00Z'", ["one", "two", "three"]],
  ["maxstanzas='-7'", ["one", "two", "three"]],
])("the past is limited by %s", async (limit, expected) => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  for (const text of ["one", "two", "three"]) say(alice, room, text);
  await alice.next(body("three"));
  await join(bob, room, "Bob", `<history ${limit}/>`);
  const seen = bob.connection.inbox.flatMap((stanza) => stanza.getChildText("body") ?? []);
  expect(seen).toEqual(expected);
});

test("a password is asked for", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice", { passwordprotectedroom: "1", roomsecret: "tea" });
  for (const inside of ["", "<password>coffee</password>"]) {
    sendJoin(bob, room, "Bob", inside);
    expect(await refusal(bob, room, "Bob")).toBe("not-authorized");
  }
  expect(statusCodes(await join(bob, room, "Bob", "<password>tea</password>"))).toContain("110");
});

test("members only, banned, full: each has its condition", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice", { membersonly: "1", maxusers: "1" });
  sendJoin(bob, room, "Bob");
  expect(await refusal(bob, room, "Bob")).toBe("registration-required");
  const item = (affiliation: string) =>
    alice.set(`<query xmlns='${muc}#admin'><item affiliation='${affiliation}' jid='bob@localhost'/></query>`, at(room));
  await item("member");
  sendJoin(bob, room, "Bob");
  expect(await refusal(bob, room, "Bob")).toBe("service-unavailable");
  await item("admin");
  await join(bob, room, "Bob");
  await item("outcast");
  await bob.next("presence", presenceOf(room, "Bob", "unavailable"));
  sendJoin(bob, room, "Bob");
  expect(await refusal(bob, room, "Bob")).toBe("forbidden");
});

test("a nickname is one person's, whose devices share it", async () => {
  const [alice, bob] = await two();
  const phone = await core.login("alice");
  const room = fresh();
  await create(alice, room, "Alice");
  sendJoin(bob, room, "Alice");
  expect(await refusal(bob, room, "Alice")).toBe("conflict");
  await join(bob, room, "Bob");
  await join(phone, room, "Alice");
  say(bob, room, "to both");
  await Promise.all([alice, phone].map((device) => device.next(body("to both"))));
  await alice.close();
  // The other device is still there, so nobody left.
  const still = await bob.next("presence", (p) => p.attrs.from === at(room, "Alice") && itemOf(p).jid === phone.jid);
  expect(still.attrs.type).toBeUndefined();
  await phone.close();
  await bob.next("presence", presenceOf(room, "Alice", "unavailable"));
});

test("a nickname is changed for all to see, and not to one that is taken", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  await join(bob, room, "Bob");
  bob.send(`<presence to='${at(room, "Alice")}'/>`);
  expect(await refusal(bob, room, "Alice")).toBe("conflict");
  bob.send(`<presence to='${at(room, "Robert")}'/>`);
  const gone = await alice.next("presence", presenceOf(room, "Bob", "unavailable"));
  expect([statusCodes(gone), itemOf(gone).nick]).toEqual([["303"], "Robert"]);
  await alice.next("presence", presenceOf(room, "Robert"));
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual(["110", "303"]);
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Robert")))).toContain("110");
  expect((await configure(alice, room, { "x-muc#roomconfig_canchangenick": "0" })).attrs.type).toBe("result");
  bob.send(`<presence to='${at(room, "Bobby")}'/>`);
  expect(await refusal(bob, room, "Bobby")).toBe("not-acceptable");
});

test("presence is passed on, without what only the room may say", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  await join(bob, room, "Bob");
  await alice.next("presence", presenceOf(room, "Bob"));
  const forged = `<x xmlns='${muc}#user'><item affiliation='owner' role='moderator'/></x><occupant-id xmlns='urn:xmpp:occupant-id:0' id='me'/><hats xmlns='urn:xmpp:hats:0'/>`;
  bob.send(`<presence to='${at(room, "Bob")}'><show>away</show>${forged}</presence>`);
  const seen = await alice.next("presence", (p) => p.getChildText("show") === "away");
  expect(seen.getChildElements().map((child) => child.getName())).toEqual(["show", "x", "occupant-id"]);
  expect(itemOf(seen).affiliation).toBe("none");
});

test("who leaves is told so, and a room nobody keeps is gone", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  await join(bob, room, "Bob");
  bob.send(`<presence to='${at(room, "Bob")}' type='unavailable'><status>tired</status></presence>`);
  const left = await alice.next("presence", presenceOf(room, "Bob", "unavailable"));
  expect([left.getChildText("status"), itemOf(left).role, statusCodes(left)]).toEqual(["tired", "none", []]);
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual(["110"]);
  alice.send("<presence type='unavailable'/>");
  await alice.next("presence", presenceOf(room, "Alice", "unavailable"));
  expect(errorCondition(await bob.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at(room)))).toBe(
    "item-not-found",
  );
});

test("a client of the old protocol enters without <x/>, one of today that strayed is told that it is out", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice");
  const caps = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='x'/>";
  bob.send(`<presence to='${at(room, "Bob")}'>${caps}</presence>`);
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual([
    "110",
    "307",
    "333",
  ]);
  bob.send(`<presence to='${at(room, "Bob")}'/>`);
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob")))).toContain("110");
});

test("a room is entered under a nickname, and names like __proto__ are names", async () => {
  const alice = await core.login("alice");
  alice.send(`<presence to='${at(fresh())}'><x xmlns='${muc}'/></presence>`);
  expect(errorCondition(await alice.next("presence", (p) => p.attrs.type === "error"))).toBe("jid-malformed");
  const self = await join(alice, "__proto__", "__proto__");
  expect(itemOf(self).affiliation).toBe("owner");
  await configure(alice, "__proto__", { __proto__: "x", "constructor#": "y" });
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", service);
  expect(items.toString()).toContain(at("__proto__"));
});

test("entering again with <x/> brings everything again", async () => {
  const alice = await core.login("alice");
  const room = fresh();
  await create(alice, room, "Alice");
  say(alice, room, "said");
  await alice.next(body("said"));
  const self = await join(alice, room, "Alice");
  expect(statusCodes(self)).toEqual(["100", "110", "170"]);
  await alice.next(body("said"));
});

test("in a semi-anonymous room only moderators see real addresses", async () => {
  const [alice, bob] = await two();
  const carol = await core.login("carol");
  const room = fresh();
  await create(alice, room, "Alice", { whois: "moderators" });
  expect(statusCodes(await join(bob, room, "Bob"))).toEqual(["110", "170"]);
  await join(carol, room, "Carol");
  expect(itemOf(await alice.next("presence", presenceOf(room, "Bob"))).jid).toBe(bob.jid);
  expect(itemOf(await carol.next("presence", presenceOf(room, "Bob"))).jid).toBeUndefined();
  expect((await carol.next("presence", presenceOf(room, "Alice"))).toString()).not.toContain(alice.jid);
});

test("roles whose presence is not told are invisible", async () => {
  const [alice, bob] = await two();
  const room = fresh();
  await create(alice, room, "Alice", { moderatedroom: "1", presencebroadcast: ["moderator", "participant"] });
  await join(bob, room, "Bob");
  await alice.none("presence", presenceOf(room, "Bob") as never, bob);
  expect(alice.connection.inbox.filter(presenceOf(room, "Bob"))).toEqual([]);
});

// R5, R6, R8, G7
test("whoever looks for a room at the domain is told where it is, whether or not somebody bears the name", async () => {
  const [alice, bob] = await two();
  const owner = await core.login("carol");
  for (const room of ["lobby", "nobodys"]) {
    await create(owner, room, "Carol");
    bob.send(`<presence to='${room}@localhost/Bob'><x xmlns='${muc}'/></presence>`);
    const told = await bob.next("presence", (p) => p.attrs.from === `${room}@localhost/Bob`);
    expect(errorCondition(told)).toBe("gone");
    expect(told.toString()).toContain(`xmpp:${at(room)}?join`);
    bob.send(`<message type='groupchat' to='${room}@localhost'><body>hello</body></message>`);
    expect((await bob.next("message")).toString()).toContain(at(room));
  }
  const answers = [];
  await configure(owner, "lobby", { publicroom: "0" });
  for (const room of ["lobby", "alice", "nobodyatall"]) {
    bob.send(`<presence to='${room}@localhost/Bob'><x xmlns='${muc}'/></presence>`);
    const told = await bob.next("presence", (p) => p.attrs.from === `${room}@localhost/Bob`);
    answers.push(told.getChild("error")?.toString());
  }
  expect(answers[0]).toContain("@conference.localhost");
  expect(new Set(answers).size).toBe(1);
  await alice.ping();
});

test("a room's name with a space is refused with one without", async () => {
  const alice = await core.login("alice");
  alice.send(`<presence to='team room@${service}/Alice'><x xmlns='${muc}'/></presence>`);
  const told = await alice.next("presence", (p) => p.attrs.type === "error");
  expect(errorCondition(told)).toBe("jid-malformed");
  expect(told.toString()).toContain(`team-room@${service}`);
});

test("joins are bounded", async () => {
  await core.set({ "firekeeper.muc.joins-per-second": "1" });
  const alice = await core.login("alice");
  for (let i = 0; i < 102; i++) alice.send(`<presence to='flood@${service}/n${i}'><x xmlns='${muc}'/></presence>`);
  const refused = await alice.next("presence", (p) => p.attrs.type === "error");
  expect(errorCondition(refused)).toBe("resource-constraint");
  await core.set({ "firekeeper.muc.joins-per-second": null });
});

// R9
test("the room named like the domain greets whoever tries it, and keeps nothing", async () => {
  const [alice, bob] = await two();
  const self = await join(alice, "localhost", "Alice");
  expect([statusCodes(self), itemOf(self).affiliation]).toEqual([["100", "110"], "none"]);
  await alice.next((m) => m.getChildText("body")?.startsWith("You are in, Alice") === true);
  say(alice, "localhost", "does it work?");
  await alice.next(body("does it work?"));
  sendJoin(bob, "localhost", "Bob");
  await bob.next((m) => m.getChildText("subject")?.includes("Nothing that is said is kept") === true);
  await bob.next((m) => m.getChildText("body")?.startsWith("You are in, Bob") === true);
  expect(bob.connection.inbox.some(body("does it work?"))).toBe(false);
  const items = await bob.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", service);
  expect(items.toString()).toContain(`jid="${at("localhost")}" name="Test room"`);
});
