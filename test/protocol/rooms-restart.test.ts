import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import { admin, at, body, create, itemOf, join, muc, presenceOf, say, statusCodes } from "./rooms-fixture.ts";

// XEP-0045 over restarts, crashes and changes of names; XEP-0421 §4.1
let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
});
afterEach(() => core.close());

const occupantId = (stanza: Parameters<typeof itemOf>[0]) =>
  stanza.getChild("occupant-id", "urn:xmpp:occupant-id:0")?.attrs.id;
const ofRoom = (stanza: { attrs: Record<string, string> }) => String(stanza.attrs.from).includes("@conference.");

test("an orderly restart is heard by nobody: all are in, and know what they knew", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob", { sm: true })];
  await create(alice, "team", "Alice", { roomname: "Team", moderatedroom: "1" });
  await join(bob, "team", "Bob");
  await admin(alice, "team", "<item role='participant' nick='Bob'/>");
  bob.send(`<presence to='${at("team", "Bob")}'><show>dnd</show></presence>`);
  await alice.next("presence", (p) => p.getChildText("show") === "dnd");
  say(alice, "team", "before");
  await bob.next(body("before"));
  alice.send(`<message to='${at("team")}' type='groupchat'><subject>Plans</subject></message>`);
  await bob.next((m) => m.getChildText("subject") === "Plans");
  for (const client of [alice, bob]) client.connection.inbox.length = 0;
  await core.restart();
  await alice.ping();
  await bob.ping();
  for (const client of [alice, bob]) expect(client.connection.inbox.filter(ofRoom)).toEqual([]);
  const id = say(bob, "team", "after");
  const got = await alice.next(body("after"));
  expect([got.attrs.from, got.attrs.id]).toEqual([at("team", "Bob"), id]);
  const carol = await core.login("carol");
  carol.send(`<presence to='${at("team", "Carol")}'><x xmlns='${muc}'/></presence>`);
  const bobs = await carol.next("presence", presenceOf("team", "Bob"));
  expect([bobs.getChildText("show"), itemOf(bobs).role, itemOf(bobs).jid]).toEqual(["dnd", "participant", bob.jid]);
  expect(occupantId(bobs)).toBe(occupantId(got));
  const seen = [await carol.next(body("before")), await carol.next(body("after"))];
  expect(seen.map((message) => occupantId(message) !== undefined)).toEqual([true, true]);
  await carol.next((m) => m.getChildText("subject") === "Plans");
});

test("after a crash managed occupants are in again and get what they missed, others have left", async () => {
  const alice = await core.login("alice", { sm: true, resource: "desk" });
  const [bob, carol] = [await core.login("bob", { sm: true }), await core.login("carol")];
  await create(alice, "team", "Alice");
  await join(bob, "team", "Bob");
  await join(carol, "team", "Carol");
  await alice.next("presence", presenceOf("team", "Carol"));
  bob.acks = "withheld";
  const id = say(alice, "team", "on its way");
  const first = await bob.next(body("on its way"));
  const handled = bob.handled - 1;
  await core.crash();
  await alice.resume();
  const left = await alice.next("presence", presenceOf("team", "Carol", "unavailable"));
  expect(statusCodes(left)).toEqual(["333"]);
  bob.acks = "prompt";
  await bob.resume(handled);
  const again = await bob.next(body("on its way"));
  expect([again.attrs.from, again.attrs.to, again.attrs.id, again.attrs.type]).toEqual([
    at("team", "Alice"),
    bob.jid,
    id,
    "groupchat",
  ]);
  expect(again.getChild("stanza-id")?.attrs).toMatchObject({
    by: at("team"),
    id: first.getChild("stanza-id")?.attrs.id,
  });
  expect(occupantId(again)).toBe(occupantId(first));
  expect(again.getChild("delay")?.attrs.from).toBe(at("team"));
  // Presence afresh, as for everybody he sees.
  await bob.next("presence", (p) => presenceOf("team", "Bob")(p) && statusCodes(p).includes("110"));
  say(bob, "team", "here again");
  await alice.next(body("here again"));
});

test("who left while somebody was cut off is gone for him, though a crash took what he was told", async () => {
  const [alice, bob] = [await core.login("alice", { sm: true }), await core.login("bob", { sm: true })];
  const carol = await core.login("carol");
  await create(alice, "team", "Alice", { persistentroom: "1" });
  await join(bob, "team", "Bob");
  await join(carol, "team", "Carol");
  await bob.next("presence", presenceOf("team", "Carol"));
  bob.drop();
  carol.send(`<presence to='${at("team", "Carol")}' type='unavailable'/>`);
  await alice.next("presence", presenceOf("team", "Carol", "unavailable"));
  await core.crash();
  await bob.resume();
  await bob.next("presence", presenceOf("team", "Carol", "unavailable"));
});

test("a room that a crash leaves empty goes, unless it is kept", async () => {
  const bob = await core.login("bob");
  await create(bob, "gone", "Bob");
  await create(bob, "kept", "Bob", { persistentroom: "1" });
  await core.crash();
  const carol = await core.login("carol");
  const info = (room: string) => carol.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at(room));
  expect(errorCondition(await info("gone"))).toBe("item-not-found");
  expect((await info("kept")).attrs.type).toBe("result");
});

test("two names of the domain: one room, each sees it under its own", async () => {
  const alice = await core.login("alice", { sm: true });
  await create(alice, "team", "Alice", { persistentroom: "1" });
  await core.rename("chat.example", null);
  const login = (user: string): Promise<XmppClient> => core.login(user, { domain: "chat.example" });
  const bob = await login("bob");
  const there = "team@conference.chat.example";
  bob.send(`<presence to='${there}/Bob'><x xmlns='${muc}'/></presence>`);
  const alices = await bob.next("presence", (p) => p.attrs.from === `${there}/Alice`);
  expect(itemOf(alices).jid).toBe(alice.jid.replace("localhost", "chat.example"));
  const bobs = await alice.next("presence", presenceOf("team", "Bob"));
  expect(itemOf(bobs).jid).toBe(bob.jid.replace("chat.example", "localhost"));
  bob.send(`<message to='${there}' type='groupchat'><body>hello</body></message>`);
  const got = await alice.next(body("hello"));
  expect([got.attrs.from, got.getChild("stanza-id")?.attrs.by]).toEqual([at("team", "Bob"), at("team")]);
  expect(occupantId(got)).toBe(occupantId(bobs));
  say(alice, "team", "welcome");
  expect((await bob.next(body("welcome"))).attrs.from).toBe(`${there}/Alice`);
  await core.restart();
  say(alice, "team", "still");
  expect((await bob.next(body("still"))).attrs.from).toBe(`${there}/Alice`);
});

test("whoever gets another name stays in the room with his rights and occupant id, and a name set aside has none", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  await create(alice, "team", "Alice", { persistentroom: "1" });
  const before = occupantId(await join(bob, "team", "Bob"));
  await admin(alice, "team", "<item affiliation='admin' jid='bob@localhost'/>");
  const { accounts, names, storage, handlers } = core.server;
  const account = accounts.get(names.primary.id, "bob");
  if (account === undefined) throw new Error("no bob");
  await storage.write(accounts.rename(account, "robert"));
  for (const each of handlers) each.account?.renamed?.(account, "bob");
  say(bob, "team", "me again");
  expect(occupantId(await alice.next(body("me again")))).toBe(before);
  const admins = () => admin(alice, "team", "<item affiliation='admin'/>", "get");
  expect((await admins()).toString()).toContain("robert@localhost");
  await core.restart();
  expect((await admins()).toString()).toContain("robert@localhost");
  say(bob, "team", "and again");
  expect(occupantId(await alice.next(body("and again")))).toBe(before);
  const robert = core.server.accounts.get(names.primary.id, "robert");
  if (robert === undefined) throw new Error("no robert");
  await core.server.storage.write([
    ...core.server.handlers.flatMap((each) => each.account?.setAside?.(robert) ?? []),
    ...core.server.accounts.setAside(robert),
  ]);
  expect((await admins()).toString()).not.toContain("robert");
});

test("more rooms than presence remembers: whoever goes leaves all of them", async () => {
  await core.set({ "firekeeper.muc.joins-per-second": "0" });
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  await create(alice, "first", "Alice");
  await join(bob, "first", "Bob");
  const directed = Array.from({ length: 1001 }, (_, i) => `<presence to='carol@localhost/r${i}'/>`);
  bob.presence();
  for (const presence of directed) bob.send(presence);
  await bob.ping();
  bob.send("<presence type='unavailable'/>");
  await alice.next("presence", presenceOf("first", "Bob", "unavailable"));
});

// R7
test("the service gets another name: who is in stays, bookmarks of the former one go on leading there", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  await create(alice, "team", "Alice", { persistentroom: "1" });
  await join(bob, "team", "Bob");
  await core.set({ "firekeeper.muc.services": "conference subdomain=chat" });
  const now = "team@chat.localhost";
  say(alice, "team", "who is here?");
  expect((await bob.next(body("who is here?"))).attrs.from).toBe(`${now}/Alice`);
  const carol = await core.login("carol");
  carol.send(`<presence to='${at("team", "Carol")}'><x xmlns='${muc}'/></presence>`);
  for (const nick of ["Alice", "Bob", "Carol"])
    await carol.next("presence", (p) => p.attrs.from === `${now}/${nick}` && p.attrs.type === undefined);
  await carol.next(body("who is here?"));
});
