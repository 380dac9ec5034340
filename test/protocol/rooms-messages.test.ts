import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { at, body, configure, create, join, muc, presenceOf, say, service, statusCodes } from "./rooms-fixture.ts";

// XEP-0045 §7.4, §7.5, §7.8, §7.13, §8.1, §8.6, §17; XEP-0359, XEP-0410, XEP-0421
let core: TestCore;
let number = 0;
let alice: XmppClient;
let bob: XmppClient;
let room: string;
/** As Alice saw it. */
let bobsPresence: Element;
let refuseWrites = false;
beforeAll(async () => {
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    testing: { failWrites: () => refuseWrites },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const user = `${muc}#user`;
const occupantIdOf = (stanza: Element) => stanza.getChild("occupant-id", "urn:xmpp:occupant-id:0")?.attrs.id;
const refusalOf = async (client: XmppClient, id: string) =>
  errorCondition(await client.next("message", (m) => m.attrs.id === id && m.attrs.type === "error"));

/** Alice's room, with Bob in it. */
async function inside(fields: Record<string, string | readonly string[]> = {}): Promise<void> {
  room = `talk${++number}`;
  [alice, bob] = [await core.login("alice"), await core.login("bob")];
  await create(alice, room, "Alice", fields);
  await join(bob, room, "Bob");
  bobsPresence = await alice.next("presence", presenceOf(room, "Bob"));
}

test("everybody gets what is said, with the room's id of it and the occupant's, whatever the sender made of them", async () => {
  await inside();
  const forged = [
    `<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='${at(room)}'/>`,
    `<stanza-id xmlns='urn:xmpp:sid:0' id='2' by='else@where.example'/>`,
    "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/><occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>",
    `<x xmlns='${user}'><status code='110'/></x>`,
    "<delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/>",
    "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/></message></forwarded>",
    "<origin-id xmlns='urn:xmpp:sid:0' id='mine'/>",
  ].join("");
  bob.send(`<message to='${at(room)}' type='groupchat' id='m1'><body>hi &amp; ho</body>${forged}</message>`);
  const [one, other] = [await alice.next(body("hi & ho")), await bob.next(body("hi & ho"))];
  expect([one.attrs.id, one.attrs.from, one.attrs.to, one.attrs.type]).toEqual([
    "m1",
    at(room, "Bob"),
    alice.jid,
    "groupchat",
  ]);
  expect(one.toString()).not.toMatch(/forged|status|2001|id="[12]"/);
  expect(one.toString()).toContain("origin-id");
  const ids = one.getChildren("stanza-id", "urn:xmpp:sid:0");
  expect(ids.map(({ attrs }) => attrs.by)).toEqual([at(room)]);
  expect(other.getChild("stanza-id")?.attrs.id).toBe(ids[0]?.attrs.id);
  expect(one.getChildren("occupant-id").length).toBe(1);
  expect(occupantIdOf(one)).toBe(occupantIdOf(bobsPresence));
});

test("who is not in the room is not heard, and where there is no room nobody is", async () => {
  await inside();
  const carol = await core.login("carol");
  expect(await refusalOf(carol, say(carol, room, "psst"))).toBe("not-acceptable");
  expect(await refusalOf(carol, say(carol, "nowhere", "hello"))).toBe("item-not-found");
  const id = carol.newId();
  carol.send(`<message to='${at(room, "Alice")}' type='chat' id='${id}'><body>psst</body></message>`);
  expect(await refusalOf(carol, id)).toBe("not-acceptable");
  await alice.none(body("psst"), "nothing", carol);
});

test("without voice nobody speaks, until a moderator grants what was asked for", async () => {
  await inside({ moderatedroom: "1" });
  expect(await refusalOf(bob, say(bob, room, "me too"))).toBe("forbidden");
  const request = (fields: string) =>
    `<message to='${at(room)}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${muc}#request</value></field>${fields}</x></message>`;
  bob.send(request("<field var='muc#role'><value>participant</value></field>"));
  const asked = await alice.next("message", (m) => m.getChild("x", "jabber:x:data") !== undefined);
  expect(asked.toString()).toContain(bob.jid);
  const granted =
    "<field var='muc#roomnick'><value>Bob</value></field><field var='muc#request_allow'><value>1</value></field>";
  // Not by himself.
  bob.send(request(granted));
  expect(errorCondition(await bob.next("message", (m) => m.attrs.type === "error"))).toBe("forbidden");
  alice.send(request(granted));
  await alice.next("presence", (p) => p.toString().includes('role="participant"'));
  say(bob, room, "at last");
  await alice.next(body("at last"));
});

test("the subject is for moderators, and for participants if the room says so", async () => {
  await inside();
  const subject = (text: string, id = bob.newId()): string => {
    bob.send(`<message to='${at(room)}' type='groupchat' id='${id}'><subject>${text}</subject></message>`);
    return id;
  };
  expect(await refusalOf(bob, subject("mine"))).toBe("forbidden");
  await configure(alice, room, { changesubject: "1" });
  subject("ours");
  const told = await alice.next((m) => m.getChildText("subject") === "ours");
  expect(told.attrs.from).toBe(at(room, "Bob"));
  // With a body it is a message that has a subject.
  bob.send(`<message to='${at(room)}' type='groupchat'><subject>x</subject><body>y</body></message>`);
  await alice.next(body("y"));
  const carol = await core.login("carol");
  carol.send(`<presence to='${at(room, "Carol")}'><x xmlns='${muc}'/></presence>`);
  const now = await carol.next((m) => m.getChild("subject") !== undefined && m.getChild("body") === undefined);
  expect([now.getChildText("subject"), now.attrs.from]).toEqual(["ours", at(room, "Bob")]);
});

test("a private message reaches the nickname's devices, marked, and is in each archive once", async () => {
  await inside();
  const tablet = await core.login("bob");
  await join(tablet, room, "Bob");
  // It has its own copy from the room, so it needs none of the other's.
  await tablet.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  const id = alice.newId();
  alice.send(
    `<message to='${at(room, "Bob")}' type='chat' id='${id}'><body>secret</body><x xmlns='${user}'/></message>`,
  );
  for (const device of [bob, tablet]) {
    const got = await device.next(body("secret"));
    expect([got.attrs.from, got.attrs.type, got.attrs.id]).toEqual([at(room, "Alice"), "chat", id]);
    expect(got.getChildren("x", user).length).toBe(1);
  }
  await tablet.none("message", (m) => m.toString().includes("secret"), alice);
  for (const client of [bob, alice]) {
    const fin = await client.set("<query xmlns='urn:xmpp:mam:2'/>");
    expect(fin.toString()).toContain("<fin");
    expect(client.connection.inbox.filter((m) => m.toString().includes("secret")).length).toBe(1);
  }
  alice.send(`<message to='${at(room, "Nobody")}' type='chat' id='p2'><body>x</body></message>`);
  expect(await refusalOf(alice, "p2")).toBe("item-not-found");
  alice.send(`<message to='${at(room, "Bob")}' type='groupchat' id='p3'><body>x</body></message>`);
  expect(await refusalOf(alice, "p3")).toBe("bad-request");
});

test.each([
  ["anyone", true],
  ["participants", true],
  ["moderators", false],
  ["none", false],
])("private messages by participants when %s may", async (allowed, passes) => {
  await inside({ allowpm: allowed });
  bob.send(`<message to='${at(room, "Alice")}' type='chat' id='pm'><body>pm</body></message>`);
  if (passes) await alice.next(body("pm"));
  else expect(await refusalOf(bob, "pm")).toBe("forbidden");
});

test("an invitation goes through the room, makes a member where it must, and comes back declined", async () => {
  await inside({ membersonly: "0", whois: "moderators", passwordprotectedroom: "0" });
  await configure(alice, room, { membersonly: "1" });
  const carol = await core.login("carol");
  carol.presence();
  const invite = (client: XmppClient, id = client.newId()): string => {
    client.send(
      `<message to='${at(room)}' id='${id}'><x xmlns='${user}'><invite to='carol@localhost'><reason>tea</reason></invite></x></message>`,
    );
    return id;
  };
  const gone = invite(bob);
  expect(await refusalOf(bob, gone)).toBe("not-acceptable");
  invite(alice);
  const got = await carol.next("message", (m) => m.getChild("x", user) !== undefined);
  const inner = got.getChild("x", user)?.getChild("invite");
  expect([got.attrs.from, inner?.attrs.from, inner?.getChildText("reason")]).toEqual([
    at(room),
    at(room, "Alice"),
    "tea",
  ]);
  carol.send(
    `<message to='${at(room)}'><x xmlns='${user}'><decline to='${at(room, "Alice")}'><reason>no</reason></decline></x></message>`,
  );
  const declined = await alice.next("message", (m) => m.toString().includes("<decline"));
  expect(declined.getChild("x", user)?.getChild("decline")?.attrs.from).toBe("carol@localhost");
  bob.presence();
  await bob.next("presence", (p) => p.attrs.from === bob.jid);
  // A decline is no way to write to somebody who has nothing to do with the room.
  carol.send(`<message to='${at(room)}'><x xmlns='${user}'><decline to='bob@localhost'/></x></message>`);
  await bob.none("message", (m) => m.toString().includes("decline"), carol);
  await join(carol, room, "Carol");
});

test("a mere member does not invite where only admins do", async () => {
  await inside();
  await alice.set(`<query xmlns='${muc}#admin'><item affiliation='member' jid='bob@localhost'/></query>`, at(room));
  await configure(alice, room, { membersonly: "1" });
  const send = () =>
    bob.send(`<message to='${at(room)}' id='inv'><x xmlns='${user}'><invite to='carol@localhost'/></x></message>`);
  send();
  expect(await refusalOf(bob, "inv")).toBe("forbidden");
  await configure(alice, room, { allowinvites: "1" });
  const carol = await core.login("carol");
  send();
  carol.presence();
  await carol.next("message", (m) => m.toString().includes("<invite"));
  await join(carol, room, "Carol");
});

test("who wrote privately hears that it could not be read", async () => {
  await inside();
  alice.send(`<message to='${at(room, "Bob")}' type='chat' id='pm7'><body>pm</body></message>`);
  await bob.next(body("pm"));
  bob.send(
    `<message to='${at(room, "Alice")}' type='error' id='pm7'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
  );
  const back = await alice.next("message", (m) => m.attrs.id === "pm7");
  expect([back.attrs.from, errorCondition(back)]).toEqual([at(room, "Bob"), "service-unavailable"]);
});

test("the vCard of an occupant is that of his account, and names nobody", async () => {
  await inside({ whois: "moderators" });
  await alice.set("<vCard xmlns='vcard-temp'><FN>Alice of the room</FN></vCard>");
  const card = await bob.get("<vCard xmlns='vcard-temp'/>", at(room, "Alice"));
  expect([card.attrs.type, card.attrs.from, card.attrs.to]).toEqual(["result", at(room, "Alice"), bob.jid]);
  expect(card.toString()).toContain("Alice of the room");
  expect(card.toString()).not.toContain("alice@localhost");
  const outside = await core.login("carol");
  expect(errorCondition(await outside.get("<vCard xmlns='vcard-temp'/>", at(room, "Alice")))).toBe("bad-request");
});

test("nothing is taken out of what people say", async () => {
  await inside();
  const traffic = `<query xmlns='http://jabber.org/protocol/disco#info' node='${muc}#traffic'/>`;
  expect(errorCondition(await bob.get(traffic, at(room)))).toBe("service-unavailable");
  const nowhere = "<query xmlns='http://jabber.org/protocol/disco#info' node='nowhere'/>";
  expect(errorCondition(await bob.get(nowhere, at(room)))).toBe("item-not-found");
});

// XEP-0410 §3.3
test("a self-ping is answered by the service; outside it says that one is out", async () => {
  await inside();
  bob.answers = false;
  const ping = "<ping xmlns='urn:xmpp:ping'/>";
  expect((await bob.get(ping, at(room, "Bob"))).attrs.type).toBe("result");
  expect(errorCondition(await bob.get(ping, at(room, "Nobody")))).toBe("item-not-found");
  const carol = await core.login("carol");
  expect(errorCondition(await carol.get(ping, at(room, "Bob")))).toBe("not-acceptable");
  const info = await carol.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at(room));
  expect(info.toString()).toContain("muc#self-ping-optimization");
  await bob.none(
    "iq",
    (iq) => iq.attrs.type === "get" && iq.getChild("ping") !== undefined && iq.attrs.from !== "localhost",
  );
});

test("one occupant asks another through the room, and only the one who was asked answers", async () => {
  await inside();
  const carol = await core.login("carol");
  await join(carol, room, "Carol");
  const answer = alice.get("<query xmlns='jabber:iq:version'/>", at(room, "Bob"));
  const asked = await bob.next("iq", (iq) => iq.attrs.type === "get");
  expect([asked.attrs.from, asked.attrs.to]).toEqual([at(room, "Alice"), bob.jid]);
  const reply = "<query xmlns='jabber:iq:version'><name>Swift</name></query>";
  carol.send(
    `<iq type='result' id='${asked.attrs.id}' to='${at(room, "Alice")}'>${reply.replace("Swift", "Forged")}</iq>`,
  );
  await carol.ping();
  bob.send(`<iq type='result' id='${asked.attrs.id}' to='${at(room, "Alice")}'>${reply}</iq>`);
  const got = await answer;
  expect([got.attrs.from, got.toString()]).toEqual([at(room, "Bob"), expect.stringContaining("Swift")]);
  expect(errorCondition(await bob.get("<query xmlns='jabber:iq:version'/>", at(room, "Nobody")))).toBe(
    "item-not-found",
  );
  const outside = await core.login("carol");
  expect(errorCondition(await outside.get("<query xmlns='jabber:iq:version'/>", at(room, "Bob")))).toBe("bad-request");
});

test("who waits for an occupant that leaves is told", async () => {
  await inside();
  const answer = alice.get("<query xmlns='jabber:iq:version'/>", at(room, "Bob"));
  await bob.next("iq", (iq) => iq.attrs.type === "get");
  bob.drop();
  expect(errorCondition(await answer)).toBe("recipient-unavailable");
});

// ej#3661
test("an error takes somebody out only if it says that nobody is there, and not over a private message", async () => {
  await inside();
  alice.send(`<message to='${at(room, "Bob")}' type='chat' id='pm9'><body>pm</body></message>`);
  await bob.next(body("pm"));
  const error = (id: string, type: string, condition: string) =>
    bob.send(
      `<message to='${at(room, "Alice")}' type='error' id='${id}'><error type='${type}'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>`,
    );
  error("pm9", "cancel", "recipient-unavailable");
  error("m", "wait", "recipient-unavailable");
  error("m", "cancel", "feature-not-implemented");
  say(bob, room, "still here");
  await alice.next(body("still here"));
  error("m", "cancel", "gone");
  expect(statusCodes(await alice.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual(["333"]);
});

test("a flood is bounded", async () => {
  await inside();
  await core.set({ "firekeeper.muc.messages-per-second": "1" });
  for (let i = 0; i < 12; i++) say(bob, room, `flood ${i}`, `f${i}`);
  expect(errorCondition(await bob.next("message", (m) => m.attrs.type === "error"))).toBe("resource-constraint");
  await core.set({ "firekeeper.muc.messages-per-second": null });
});

test("what means nothing later is passed on and not kept", async () => {
  await inside();
  bob.send(
    `<message to='${at(room)}' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
  );
  const got = await alice.next("message", (m) => m.toString().includes("composing"));
  expect(got.getChild("stanza-id")).toBeDefined();
  const carol = await core.login("carol");
  await join(carol, room, "Carol");
  expect(carol.connection.inbox.some((m) => m.toString().includes("composing"))).toBe(false);
});

test("a name that nobody has yet", async () => {
  const carol = await core.login("carol");
  const names = [];
  for (let i = 0; i < 2; i++)
    names.push((await carol.get(`<unique xmlns='${muc}#unique'/>`, service)).getChildText("unique"));
  expect(names[0]).toMatch(/^[a-z0-9]{20,}$/);
  expect(names[0]).not.toBe(names[1]);
});

test("if the disk takes nothing, the sender is told and nobody has seen it", async () => {
  await inside();
  refuseWrites = true;
  const id = say(bob, room, "lost");
  expect(await refusalOf(bob, id)).toBe("resource-constraint");
  refuseWrites = false;
  expect(alice.connection.inbox.some(body("lost"))).toBe(false);
});
