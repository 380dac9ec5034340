import type { Element } from "ltx";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { affiliate, archive, configure, idIn, join, makeRoom, mucNs, say } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0424 and XEP-0425 in rooms: taking back what was said.
const now = "urn:xmpp:message-retract:1";
const moderation = "urn:xmpp:message-moderate:1";
const before = {
  fasten: "urn:xmpp:fasten:0",
  moderate: "urn:xmpp:message-moderate:0",
  retract: "urn:xmpp:message-retract:0",
};

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
  room = `m${++number}@conference.localhost`;
  await makeRoom(ann, room, "Ann", { persistentroom: "1", whois: "moderators" });
  await join(ben, room, "Ben");
  for (const client of [ann, ben, cid]) client.connection.inbox.splice(0);
});

const moderate = (client: XmppClient, id: string, inside = `<retract xmlns='${now}'/><reason>rude</reason>`) =>
  client.set(`<moderate xmlns='${moderation}' id='${id}'>${inside}</moderate>`, room);
const retraction = (stanza: Element): boolean => stanza.getChild("retract", now) !== undefined;
const occupantId = (stanza: Element | undefined): string | undefined =>
  stanza?.getChild("occupant-id", mucNs.occupantId)?.attrs.id;

test("a moderator takes back what somebody said: told to all, a tombstone in the archive, no history, after a restart too", async () => {
  const rude = await say(ben, room, "rude words");
  const id = idIn(rude, room);
  expect((await moderate(ann, id)).attrs.type).toBe("result");
  const told = await ben.next("message", retraction);
  expect([told.attrs.from, told.attrs.type]).toEqual([room, "groupchat"]);
  const retract = told.getChild("retract", now);
  expect(retract?.attrs.id).toBe(id);
  const moderated = retract?.getChild("moderated", moderation);
  expect(moderated?.attrs.by).toBe(`${room}/Ann`);
  expect(occupantId(moderated)).toBeDefined();
  expect(retract?.getChildText("reason")).toBe("rude");
  // As clients of version 0.2 know it.
  const older = told.getChild("apply-to", before.fasten);
  expect(older?.attrs.id).toBe(id);
  expect(older?.getChild("moderated", before.moderate)?.getChild("retract", before.retract)).toBeDefined();
  await core.restart();
  const page = await archive(ben, room);
  expect(page.messages.map((each) => each.id)).toEqual([id, idIn(told, room)]);
  const stone = page.messages[0]?.message;
  expect(stone?.toString()).not.toContain("rude words");
  expect(stone?.getChild("retracted", now)?.getChild("moderated", moderation)?.attrs.by).toBe(`${room}/Ann`);
  expect(occupantId(stone)).toBe(occupantId(rude));
  expect(stone?.attrs.from).toBe(`${room}/Ben`);
  expect(page.messages[1]?.message.getChild("retract", now)?.attrs.id).toBe(id);
  await join(cid, room, "Cid");
  expect(cid.connection.inbox.some((each) => each.toString().includes("rude words"))).toBe(false);
});

test("version 0.2 of the request is understood", async () => {
  const id = idIn(await say(ben, room, "rude"), room);
  const inside = `<moderate xmlns='${before.moderate}'><retract xmlns='${before.retract}'/><reason>no</reason></moderate>`;
  expect((await ann.set(`<apply-to xmlns='${before.fasten}' id='${id}'>${inside}</apply-to>`, room)).attrs.type).toBe(
    "result",
  );
  expect((await ben.next("message", retraction)).getChild("retract", now)?.attrs.id).toBe(id);
});

test("by right only, and only what this room knows", async () => {
  const id = idIn(await say(ann, room, "stays"), room);
  expect(errorCondition(await moderate(ben, id))).toBe("forbidden");
  expect(errorCondition(await moderate(cid, id))).toBe("forbidden");
  expect(errorCondition(await moderate(ann, "17"))).toBe("item-not-found");
  expect(errorCondition(await moderate(ann, "__proto__"))).toBe("item-not-found");
  expect(errorCondition(await moderate(ann, id, ""))).toBe("feature-not-implemented");
  const other = `other${number}@conference.localhost`;
  await makeRoom(ben, other, "Ben", { persistentroom: "1" });
  const elsewhere = idIn(await say(ben, other, "elsewhere"), other);
  expect(errorCondition(await moderate(ann, elsewhere))).toBe("item-not-found");
  await ben.none("message", retraction, ann);
  expect((await archive(ann, room)).messages[0]?.message.getChildText("body")).toBe("stays");
});

test("its author takes back his own words and nobody else's", async () => {
  const own = idIn(await say(ben, room, "own"), room);
  const foreign = idIn(await say(ann, room, "foreign"), room);
  const retract = (id: string) => `<retract xmlns='${now}' id='${id}'/><store xmlns='urn:xmpp:hints'/>`;
  const first = await say(ben, room, "/me retracted", retract(own));
  await say(ben, room, "/me retracted", retract(foreign));
  const page = await archive(ann, room);
  const [one, two, three] = page.messages.map(({ message }) => message);
  expect(one?.getChildText("body")).toBeNull();
  // XEP-0424 §4: the tombstone names the retraction.
  expect(one?.getChild("retracted", now)?.attrs.id).toBe(first.attrs.id);
  expect(two?.getChildText("body")).toBe("foreign");
  expect(three?.getChild("retract", now)?.attrs.id).toBe(own);
  await affiliate(ann, room, "cid@localhost", "member");
  await join(cid, room, "Cid");
  const heard = cid.connection.inbox.map((each) => each.getChildText("body"));
  expect(heard).toContain("foreign");
  expect(heard).not.toContain("own");
});

test("nobody but the room says that it was moderated", async () => {
  const id = idIn(await say(ann, room, "mine"), room);
  const forged = `<retract xmlns='${now}' id='${id}'><moderated xmlns='${moderation}' by='${room}/Ann'/></retract>`;
  const seen = await say(ben, room, "forged", forged);
  expect(seen.attrs.from).toBe(`${room}/Ben`);
  expect((await archive(ann, room)).messages[0]?.message.getChildText("body")).toBe("mine");
});

test("slow mode: a pause between two messages of one occupant, none for moderators and for typing (XEP-0500)", async () => {
  expect(errorCondition(await configure(ann, room, { slow_mode_duration: "soon" }))).toBe("not-acceptable");
  await configure(ann, room, { slow_mode_duration: "3600" });
  const info = await cid.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", room);
  const field = (each: Element): boolean => each.attrs.var === "muc#roominfo_slow_mode_duration";
  expect(info.getChild("query")?.getChild("x")?.getChildren("field").find(field)?.getChildText("value")).toBe("3600");
  await say(ann, room, "one");
  await say(ann, room, "two");
  await say(ben, room, "first");
  const refused = await say(ben, room, "second");
  expect([refused.attrs.type, errorCondition(refused)]).toEqual(["error", "policy-violation"]);
  ben.send(`<message type='groupchat' to='${room}'><active xmlns='http://jabber.org/protocol/chatstates'/></message>`);
  await ann.next("message", (each) => each.getChild("active") !== undefined);
});
