import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import {
  admin,
  at,
  body,
  configure,
  create,
  form,
  itemOf,
  join,
  muc,
  presenceOf,
  say,
  sendJoin,
  service,
  statusCodes,
} from "./rooms-fixture.ts";

// XEP-0045 §5, §6, §8 to §10
let core: TestCore;
let number = 0;
let alice: XmppClient;
let bob: XmppClient;
let carol: XmppClient;
let room: string;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

/** Alice's room with Bob and Carol in it. */
async function inside(fields: Record<string, string | readonly string[]> = {}): Promise<void> {
  room = `plenum${++number}`;
  [alice, bob, carol] = [await core.login("alice"), await core.login("bob"), await core.login("carol")];
  await create(alice, room, "Alice", fields);
  await join(bob, room, "Bob");
  await join(carol, room, "Carol");
  await alice.next("presence", presenceOf(room, "Carol"));
}
const affiliate = (by: XmppClient, name: string, affiliation: string, reason = "") =>
  admin(by, room, `<item affiliation='${affiliation}' jid='${name}@localhost'>${reason}</item>`);
const role = (by: XmppClient, nick: string, wanted: string, reason = "") =>
  admin(by, room, `<item role='${wanted}' nick='${nick}'>${reason}</item>`);
const verdict = (answer: Awaited<ReturnType<typeof admin>>): string =>
  answer.attrs.type === "result" ? "done" : errorCondition(answer);
const list = async (by: XmppClient, which: string): Promise<string[] | string> => {
  const answer = await admin(by, room, `<item ${which}/>`, "get");
  if (answer.attrs.type === "error") return errorCondition(answer);
  const items = answer.getChild("query", `${muc}#admin`)?.getChildren("item") ?? [];
  return items.map(({ attrs }) => String(attrs.nick ?? attrs.jid)).sort();
};

test("a moderator kicks; who, why and by whom is told to all", async () => {
  await inside();
  expect(verdict(await role(bob, "Carol", "none"))).toBe("forbidden");
  expect(verdict(await role(alice, "Carol", "none", "<reason>rude</reason>"))).toBe("done");
  const self = await carol.next("presence", presenceOf(room, "Carol", "unavailable"));
  expect([statusCodes(self), itemOf(self).role]).toEqual([["110", "307"], "none"]);
  const seen = await bob.next("presence", presenceOf(room, "Carol", "unavailable"));
  expect(statusCodes(seen)).toEqual(["307"]);
  expect(seen.toString()).toMatch(/<actor nick="Alice"\/><reason>rude/);
  await join(carol, room, "Carol");
  expect(verdict(await role(alice, "Nobody", "none"))).toBe("item-not-found");
});

test("nobody of higher standing is kicked, made mute or degraded, and nobody kicks himself", async () => {
  await inside();
  await affiliate(alice, "bob", "admin");
  expect(verdict(await role(bob, "Alice", "none"))).toBe("not-allowed");
  expect(verdict(await role(bob, "Alice", "visitor"))).toBe("not-allowed");
  expect(verdict(await role(alice, "Bob", "participant"))).toBe("not-allowed");
  expect(verdict(await role(alice, "Alice", "none"))).toBe("conflict");
  await role(alice, "Carol", "moderator");
  expect(verdict(await role(carol, "Bob", "visitor"))).toBe("not-allowed");
  expect(verdict(await role(alice, "Carol", "participant"))).toBe("done");
});

test("voice is granted and taken, moderators are made by admins", async () => {
  await inside({ moderatedroom: "1" });
  expect(itemOf(await alice.next("presence", presenceOf(room, "Bob"))).role).toBe("visitor");
  expect(verdict(await role(alice, "Bob", "participant"))).toBe("done");
  await bob.next("presence", (p) => presenceOf(room, "Bob")(p) && itemOf(p).role === "participant");
  expect(verdict(await role(alice, "Bob", "moderator"))).toBe("done");
  expect(verdict(await role(bob, "Carol", "moderator"))).toBe("forbidden");
  expect(verdict(await role(bob, "Carol", "participant"))).toBe("done");
  // Not from one's own kind. §8.4
  expect(verdict(await role(bob, "Carol", "visitor"))).toBe("not-allowed");
  expect(verdict(await role(alice, "Carol", "visitor"))).toBe("done");
  expect(await list(bob, "role='visitor'")).toEqual(["Carol"]);
});

test("a ban puts out, keeps out, and is lifted", async () => {
  await inside();
  expect(verdict(await affiliate(bob, "carol", "outcast"))).toBe("forbidden");
  expect(verdict(await affiliate(alice, "alice", "outcast"))).toBe("conflict");
  expect(verdict(await affiliate(alice, "carol", "outcast", "<reason>spam</reason>"))).toBe("done");
  const self = await carol.next("presence", presenceOf(room, "Carol", "unavailable"));
  expect([statusCodes(self), itemOf(self).affiliation]).toEqual([["110", "301"], "outcast"]);
  expect(await list(alice, "affiliation='outcast'")).toEqual(["carol@localhost"]);
  expect(verdict(await affiliate(alice, "carol", "none"))).toBe("done");
  await join(carol, room, "Carol");
});

test("a whole domain is banned", async () => {
  await inside();
  expect(verdict(await admin(alice, room, "<item affiliation='outcast' jid='localhost'/>"))).toBe("done");
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual(["110", "301"]);
  sendJoin(bob, room, "Bob");
  expect(errorCondition(await bob.next("presence", presenceOf(room, "Bob", "error")))).toBe("forbidden");
  expect(verdict(await admin(alice, room, "<item affiliation='member' jid='localhost'/>"))).toBe("bad-request");
});

test("membership lost in a room for members means leaving it", async () => {
  await inside();
  await affiliate(alice, "bob", "member");
  await configure(alice, room, { membersonly: "1" });
  expect(statusCodes(await carol.next("presence", presenceOf(room, "Carol", "unavailable")))).toEqual(["110", "322"]);
  await affiliate(alice, "bob", "none");
  expect(statusCodes(await bob.next("presence", presenceOf(room, "Bob", "unavailable")))).toEqual(["110", "321"]);
});

test("admins keep members and bans, owners keep admins and owners, and one owner stays", async () => {
  await inside();
  await affiliate(alice, "bob", "admin");
  const moderator = (p: Parameters<typeof itemOf>[0]) => presenceOf(room, "Bob")(p) && itemOf(p).role === "moderator";
  await bob.next("presence", moderator);
  expect(verdict(await affiliate(bob, "carol", "member"))).toBe("done");
  expect(verdict(await affiliate(bob, "carol", "admin"))).toBe("forbidden");
  expect(verdict(await affiliate(bob, "carol", "owner"))).toBe("forbidden");
  expect(verdict(await affiliate(bob, "alice", "outcast"))).toBe("not-allowed");
  expect(verdict(await affiliate(bob, "alice", "member"))).toBe("forbidden");
  expect(verdict(await affiliate(alice, "alice", "admin"))).toBe("conflict");
  // All or nothing: the second line is refused, so the first does not hold either.
  const both = "<item affiliation='none' jid='carol@localhost'/><item affiliation='owner' jid='dave@localhost'/>";
  expect(verdict(await admin(bob, room, both))).toBe("forbidden");
  expect(await list(alice, "affiliation='member'")).toEqual(["carol@localhost"]);
  expect(verdict(await affiliate(alice, "carol", "owner"))).toBe("done");
  expect(verdict(await affiliate(alice, "alice", "none"))).toBe("done");
  expect(await list(carol, "affiliation='owner'")).toEqual(["carol@localhost"]);
});

// CVE-2021-37601
test("lists are for those who may read them", async () => {
  await inside({ whois: "moderators" });
  const dave = await core.login("dave");
  for (const affiliation of ["owner", "admin", "member", "outcast"]) {
    expect(await list(dave, `affiliation='${affiliation}'`)).toBe("forbidden");
    expect(await list(bob, `affiliation='${affiliation}'`)).toBe("forbidden");
  }
  expect(await list(bob, "role='moderator'")).toBe("forbidden");
  await configure(alice, room, { whois: "anyone", membersonly: "0" });
  expect(await list(bob, "affiliation='owner'")).toEqual(["alice@localhost"]);
  expect(await list(bob, "affiliation='member'")).toEqual([]);
  expect(await list(bob, "affiliation='outcast'")).toBe("forbidden");
  expect(await list(dave, "affiliation='owner'")).toBe("forbidden");
  const items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
  // Who is there is no secret where anybody may come in, and for those inside elsewhere.
  for (const [fields, listed] of [
    [{}, true],
    [{ publicroom: "0" }, false],
    [{ publicroom: "1", passwordprotectedroom: "1", roomsecret: "tea" }, false],
    [{ passwordprotectedroom: "0", presencebroadcast: ["participant"] }, false],
  ] as const) {
    await configure(alice, room, fields);
    expect([fields, (await dave.get(items, at(room))).toString().includes(at(room, "Alice"))]).toEqual([
      fields,
      listed,
    ]);
  }
  expect((await dave.get(items, at(room))).toString()).toContain(at(room, "Bob"));
  await affiliate(alice, "bob", "member");
  await configure(alice, room, { presencebroadcast: ["moderator"], membersonly: "1" });
  expect((await dave.get(items, at(room))).getChild("query")?.children.length).toBe(0);
  expect((await bob.get(items, at(room))).toString()).toContain(at(room, "Alice"));
});

test.each([
  "<item/>",
  "<item role='moderator' affiliation='owner' nick='Bob'/>",
  "<item role='king' nick='Bob'/>",
  "<item affiliation='king' jid='bob@localhost'/>",
  "<item role='visitor'/>",
  "",
])("a request like %s is none", async (items) => {
  await inside();
  expect(verdict(await admin(alice, room, items))).toBe("bad-request");
});

test("forged and foreign forms change nothing", async () => {
  await inside();
  expect(errorCondition(await configure(bob, room, { moderatedroom: "1" }))).toBe("forbidden");
  expect(errorCondition(await alice.set(`<query xmlns='${muc}#owner'/>`, at(room)))).toBe("bad-request");
  for (const wrong of [
    { whois: "everybody" },
    { maxusers: "-5" },
    { passwordprotectedroom: "1", roomsecret: "" },
    { publicroom: "maybe" },
    { roomname: "x".repeat(300) },
    { roomowners: "@@" },
    { presencebroadcast: ["moderator", "king"] },
  ])
    expect([wrong, errorCondition(await configure(alice, room, wrong as never))]).toEqual([wrong, "not-acceptable"]);
  expect(errorCondition(await configure(alice, room, { roomowners: [] }))).toBe("conflict");
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`f#${i}`, "x"]));
  expect(errorCondition(await configure(alice, room, many))).toBe("not-acceptable");
  const other = form({}).replace("#roomconfig", "#register");
  expect(errorCondition(await alice.set(`<query xmlns='${muc}#owner'>${other}</query>`, at(room)))).toBe(
    "not-acceptable",
  );
});

test("the form comes back as it was submitted, and a part of it changes a part", async () => {
  await inside({ roomname: "Team Room", roomdesc: "for the team", moderatedroom: "1", maxusers: "50" });
  await configure(alice, room, { lang: "fr", roomadmins: ["bob@localhost"], roomowners: ["alice@localhost"] });
  const answer = await alice.get(`<query xmlns='${muc}#owner'/>`, at(room));
  const fields = new Map(
    (answer.getChild("query")?.getChild("x")?.getChildren("field") ?? []).map((field) => [
      String(field.attrs.var).replace("muc#roomconfig_", ""),
      field.getChildren("value").map((value) => value.getText()),
    ]),
  );
  expect(Object.fromEntries(fields)).toMatchObject({
    ...{ FORM_TYPE: [`${muc}#roomconfig`], roomname: ["Team Room"], roomdesc: ["for the team"], lang: ["fr"] },
    ...{ moderatedroom: ["1"], maxusers: ["50"], publicroom: ["1"], roomadmins: ["bob@localhost"] },
    ...{ roomowners: ["alice@localhost"], presencebroadcast: ["moderator", "participant", "visitor"] },
  });
  // G7: the name shown is another one than the address.
  const items = await carol.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", service);
  expect(items.toString()).toContain(`jid="${at(room)}" name="Team Room"`);
  const info = (await carol.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at(room))).toString();
  for (const feature of [
    "muc_public",
    "muc_open",
    "muc_moderated",
    "muc_nonanonymous",
    "muc_unsecured",
    "muc_temporary",
  ])
    expect(info).toContain(`"${feature}"`);
  expect(info).toContain("muc#roominfo_description");
});

test.each([
  [{ enablelogging: "0" }, ["171"]],
  [{ whois: "moderators" }, ["173"]],
  [{ roomdesc: "new" }, ["104"]],
  [{ whois: "moderators", roomname: "new" }, ["104", "173"]],
])("those in the room hear of the change %o", async (fields, codes) => {
  await inside();
  await configure(alice, room, fields as never);
  expect(statusCodes(await bob.next("message", (m) => statusCodes(m).length > 0))).toEqual(codes);
});

test("a reserved room that is cancelled is gone, an instant one is open", async () => {
  alice = await core.login("alice");
  room = `maybe${++number}`;
  await join(alice, room, "Alice");
  await alice.set(`<query xmlns='${muc}#owner'>${form({}, "cancel")}</query>`, at(room));
  await alice.next("presence", presenceOf(room, "Alice", "unavailable"));
  const info = () => alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at(room));
  expect(errorCondition(await info())).toBe("item-not-found");
  await join(alice, room, "Alice");
  await alice.set(`<query xmlns='${muc}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`, at(room));
  bob = await core.login("bob");
  await join(bob, room, "Bob");
});

test("a room that ends says where to go", async () => {
  await inside({ persistentroom: "1" });
  const destroy = `<destroy jid='${at("elsewhere")}'><reason>moved</reason><password>tea</password></destroy>`;
  const ask = (client: XmppClient) => client.set(`<query xmlns='${muc}#owner'>${destroy}</query>`, at(room));
  expect(errorCondition(await ask(bob))).toBe("forbidden");
  expect((await ask(alice)).attrs.type).toBe("result");
  const told = await bob.next("presence", presenceOf(room, "Bob", "unavailable"));
  expect(itemOf(told)).toMatchObject({ affiliation: "none", role: "none" });
  expect(told.toString()).toMatch(
    /<destroy jid="elsewhere@conference.localhost"><password>tea<\/password><reason>moved/,
  );
  expect(errorCondition(await ask(alice))).toBe("item-not-found");
});

test("the directory is paged, and holds what may be known", async () => {
  await inside();
  const prefix = `dir${number}-`;
  for (const name of ["a", "b", "c"]) {
    await create(alice, `${prefix}${name}`, "Alice");
    await configure(alice, `${prefix}${name}`, name === "b" ? { publicroom: "0" } : {});
  }
  const page = async (client: XmppClient, rsm: string) => {
    const answer = await client.get(
      `<query xmlns='http://jabber.org/protocol/disco#items'><set xmlns='http://jabber.org/protocol/rsm'>${rsm}</set></query>`,
      service,
    );
    if (answer.attrs.type === "error") return errorCondition(answer);
    const items = answer.getChild("query")?.getChildren("item") ?? [];
    return items.map(({ attrs }) => String(attrs.jid).split("@")[0]);
  };
  expect(await page(bob, `<max>2</max><after>${at(`${prefix}a`)}</after>`)).toEqual([`${prefix}c`, room].sort());
  expect(await page(alice, `<max>1</max><after>${at(`${prefix}a`)}</after>`)).toEqual([`${prefix}b`]);
  expect(await page(alice, `<max>1</max><before>${at(`${prefix}c`)}</before>`)).toEqual([`${prefix}b`]);
  expect(await page(alice, "<max>0</max>")).toEqual([]);
  expect(await page(alice, "<max>9</max><after>nothing@x</after>")).toBe("item-not-found");
  expect(await page(alice, "<max>-1</max>")).toBe("bad-request");
});

test("a change of affiliation is told of somebody who is not there", async () => {
  await inside();
  await affiliate(alice, "dave", "member");
  const told = await bob.next("message", (m) => itemOf(m).affiliation === "member");
  expect([told.attrs.from, itemOf(told).jid]).toEqual([at(room), "dave@localhost"]);
  say(bob, room, "welcome");
  await alice.next(body("welcome"));
});
