import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { affiliate, archive, bodies, codesOf, configure, join, makeRoom, mucNs, say } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// What a room knows of people beyond affiliations: reserved nicknames, hats; and what it looks like.
let core: TestCore;
let ann: XmppClient;
let ben: XmppClient;
let cid: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["ann", "ben", "cid"] });
  const login = (user: string) => core.login(user, { resource: "home" });
  [ann, ben, cid] = await Promise.all([login("ann"), login("ben"), login("cid")]);
  for (const client of [ann, ben, cid]) client.presence();
});
afterAll(() => core.close());

let number = 0;
let room = "";
beforeEach(async () => {
  room = `r${++number}@conference.localhost`;
  await makeRoom(ann, room, "Ann", { persistentroom: "1" });
});

const info = async (client: XmppClient, node = ""): Promise<Element> => {
  const at = node === "" ? "" : ` node='${node}'`;
  const answer = await client.get(`<query xmlns='http://jabber.org/protocol/disco#info'${at}/>`, room);
  return answer.getChild("query") as Element;
};
const infoField = (query: Element, name: string): string[] | undefined =>
  query
    .getChild("x", "jabber:x:data")
    ?.getChildren("field")
    .find((each) => each.attrs.var === name)
    ?.getChildren("value")
    .map((each) => each.getText());

describe("registration, XEP-0045 §7.10", () => {
  const register = (client: XmppClient, nick: string) =>
    client.set(
      `<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>
        <field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#register</value></field>
        <field var='muc#register_roomnick'><value>${nick}</value></field></x></query>`,
      room,
    );
  const ask = (client: XmppClient) => client.get("<query xmlns='jabber:iq:register'/>", room);
  const ownNick = async (client: XmppClient) =>
    (await info(client, "x-roomuser-item")).getChild("identity")?.attrs.name;

  test("a form, then a nickname of one's own and membership; others do not get it, also after a restart", async () => {
    const form = (await ask(ben)).getChild("query")?.getChild("x", "jabber:x:data");
    expect(form?.getChildren("field").map((each) => each.attrs.var)).toContain("muc#register_roomnick");
    expect(await ownNick(ben)).toBeUndefined();
    expect((await register(ben, "Benny")).attrs.type).toBe("result");
    expect((await ask(ben)).getChild("query")?.getChildText("username")).toBe("Benny");
    expect(errorCondition(await register(cid, "Benny"))).toBe("conflict");
    await core.restart();
    await expect(join(cid, room, "Benny")).rejects.toThrow("conflict");
    expect(await ownNick(ben)).toBe("Benny");
    const own = await join(ben, room, "Benny");
    expect(own.getChild("x", mucNs.user)?.getChild("item")?.attrs.affiliation).toBe("member");
    // Nobody takes it by a change of nick either.
    await join(cid, room, "Cid");
    cid.send(`<presence to='${room}/Benny'/>`);
    expect(errorCondition(await cid.next("presence", (each) => each.attrs.type === "error"))).toBe("conflict");
  });

  test("where registered nicknames must be used, another one is refused", async () => {
    await register(ben, "Benny");
    await join(ben, room, "other");
    ben.send(`<presence type='unavailable' to='${room}/other'/>`);
    await configure(ann, room, { "x-muc#roomconfig_reservednick": "1" });
    await expect(join(ben, room, "third")).rejects.toThrow("not-acceptable");
    await join(ben, room, "Benny");
  });

  test("a ban, the end of membership and unregistering free the nickname", async () => {
    await register(ben, "Benny");
    await affiliate(ann, room, "ben@localhost", "outcast");
    expect(errorCondition(await ask(ben))).toBe("forbidden");
    expect((await register(cid, "Benny")).attrs.type).toBe("result");
    expect((await cid.set("<query xmlns='jabber:iq:register'><remove/></query>", room)).attrs.type).toBe("result");
    expect((await register(ann, "Benny")).attrs.type).toBe("result");
    expect((await join(cid, room, "Cid")).getChild("x", mucNs.user)?.getChild("item")?.attrs.affiliation).toBe("none");
  });

  test("it lets nobody into a room for members, and there is none where it is off", async () => {
    await configure(ann, room, { membersonly: "1" });
    expect(errorCondition(await register(ben, "Ben"))).toBe("not-allowed");
    await configure(ann, room, { membersonly: "0", "x-muc#roomconfig_registration": "0" });
    expect(errorCondition(await ask(ben))).toBe("service-unavailable");
    expect(errorCondition(await register(ann, "__proto__"))).toBe("");
    expect(await ownNick(ann)).toBe("__proto__");
  });
});

test("a renamed person keeps nickname and hat; whoever bears a freed name has neither, nor the past of the one before", async () => {
  await core.addUser("eve");
  const eve = await core.login("eve", { resource: "home" });
  await configure(ann, room, { "firekeeper#preset": "ad-hoc", "x-muc#roomconfig_registration": "1" });
  await affiliate(ann, room, "eve@localhost", "member");
  const registered = `<query xmlns='jabber:iq:register'><username>Evie</username></query>`;
  expect((await eve.set(registered, room)).attrs.type).toBe("result");
  const hat = (action: string, fields: string) =>
    ann.set(
      `<command xmlns='http://jabber.org/protocol/commands' node='urn:xmpp:hats:commands:${action}'>
        <x xmlns='jabber:x:data' type='submit'><field var='hats#uri'><value>u:h</value></field>${fields}</x></command>`,
      room,
    );
  await hat("create", "<field var='hats#title'><value>Host</value></field>");
  await hat("assign", "<field var='hats#jid'><value>eve@localhost</value></field>");
  await say(ann, room, "for those who are here");
  const { accounts, names, storage, handlers } = core.server;
  const account = accounts.get(names.primary.id, "eve");
  if (account === undefined) throw new Error("no eve");
  await storage.write(accounts.rename(account, "evelyn"));
  for (const each of handlers) each.account?.renamed?.(account, "eve");
  expect((await eve.get("<query xmlns='jabber:iq:register'/>", room)).toString()).toContain(
    "<username>Evie</username>",
  );
  expect((await hat("list-assigned", "")).toString()).toContain("<value>evelyn@localhost</value>");
  expect(bodies(await archive(eve, room))).toEqual(["for those who are here"]);
  const writes = handlers.flatMap((each) => each.account?.setAside?.(account) ?? []);
  await storage.write([...writes, ...accounts.setAside(account)]);
  eve.drop();
  await core.addUser("evelyn");
  const other = await core.login("evelyn", { resource: "home" });
  await affiliate(ann, room, "evelyn@localhost", "member");
  expect(bodies(await archive(other, room))).toEqual([]);
  expect((await other.get("<query xmlns='jabber:iq:register'/>", room)).toString()).not.toContain("Evie");
  expect((await hat("list-assigned", "")).toString()).not.toContain("evelyn");
});

describe("avatars, XEP-0486", () => {
  const picture = Buffer.from("not really a picture");
  const hash = createHash("sha1").update(picture).digest("hex");
  const card = `<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>${picture.toString("base64")}</BINVAL></PHOTO></vCard>`;

  test("owners set it, everybody is told, finds its hash and reads it, after a restart too; an empty card takes it away", async () => {
    await join(ben, room, "Ben");
    expect(errorCondition(await ben.set(card, room))).toBe("forbidden");
    expect((await ann.set(card, room)).attrs.type).toBe("result");
    await ben.next("message", (each) => codesOf(each).includes(104));
    await core.restart();
    expect(infoField(await info(cid), "muc#roominfo_avatarhash")).toEqual([hash]);
    const read = (await cid.get("<vCard xmlns='vcard-temp'/>", room)).getChild("vCard")?.getChild("PHOTO");
    expect(read?.getChildText("BINVAL")).toBe(picture.toString("base64"));
    await ann.set("<vCard xmlns='vcard-temp'/>", room);
    expect(infoField(await info(cid), "muc#roominfo_avatarhash")).toBeUndefined();
  });

  test("a card without limits is refused", async () => {
    const huge = `<vCard xmlns='vcard-temp'><NOTE>${"x".repeat(256 * 1024)}</NOTE></vCard>`;
    expect(errorCondition(await ann.set(huge, room))).toBe("policy-violation");
  });
});

describe("hats, XEP-0317", () => {
  const uri = "http://schemas.example/hats#host";
  const run = (client: XmppClient, action: string, fields: Record<string, string> = {}) => {
    const all = Object.entries(fields).map(
      ([key, value]) => `<field var='hats#${key}'><value>${value}</value></field>`,
    );
    const form = all.length === 0 ? "" : `<x xmlns='jabber:x:data' type='submit'>${all.join("")}</x>`;
    const node = `urn:xmpp:hats:commands:${action}`;
    return client.set(`<command xmlns='http://jabber.org/protocol/commands' node='${node}'>${form}</command>`, room);
  };
  const hatsOf = (presence: Element): string[] =>
    presence
      .getChild("hats", "urn:xmpp:hats:0")
      ?.getChildren("hat")
      .map((each) => each.attrs.title) ?? [];
  const fromBen = (stanza: Element): boolean => stanza.attrs.from === `${room}/Ben`;

  test("made, given, seen by all and by newcomers, kept over a restart, taken away", async () => {
    await join(ben, room, "Ben");
    expect(errorCondition(await run(ben, "create", { uri, title: "Host" }))).toBe("forbidden");
    const form = (await run(ann, "create")).getChild("command");
    expect(form?.attrs.status).toBe("executing");
    expect((await run(ann, "create", { uri, title: "Host", hue: "327.25" })).getChild("command")?.attrs.status).toBe(
      "completed",
    );
    expect(infoField(await info(cid), "hats#hash")?.[0]).toMatch(/^[0-9a-f]{40}$/);
    ann.connection.inbox.splice(0);
    await run(ann, "assign", { uri, jid: "ben@localhost" });
    expect(hatsOf(await ann.next("presence", fromBen))).toEqual(["Host"]);
    await core.restart();
    await join(cid, room, "Cid");
    expect(hatsOf(await cid.next("presence", fromBen))).toEqual(["Host"]);
    const rows = (await run(ann, "list-assigned")).getChild("command")?.getChild("x")?.getChildren("item") ?? [];
    expect(rows.map((each) => each.getChild("field")?.getChildText("value"))).toEqual(["ben@localhost"]);
    await run(ann, "destroy", { uri });
    expect(hatsOf(await cid.next("presence", fromBen))).toEqual([]);
    expect(errorCondition(await run(ann, "assign", { uri, jid: "ben@localhost" }))).toBe("item-not-found");
  });

  test("nobody puts a hat on himself", async () => {
    await join(ben, room, "Ben");
    ann.connection.inbox.splice(0);
    ben.send(`<presence to='${room}/Ben'><hats xmlns='urn:xmpp:hats:0'><hat uri='u' title='King'/></hats></presence>`);
    expect(hatsOf(await ann.next("presence", fromBen))).toEqual([]);
  });
});
