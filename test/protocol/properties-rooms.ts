/** Proofs of the properties of rooms. */
import type { Element } from "ltx";
import { expect } from "vitest";
import { read } from "../../xmpp-core/storage/statement.ts";
import { archive, bodies, codesOf, configuration, configure, join, makeRoom, say } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const dayMs = 24 * 3600 * 1000;
const key = (name: string): string => `firekeeper.muc.${name}`;
let rooms = 0;
const fresh = (): string => `p${++rooms}@conference.localhost`;

const items = async (client: XmppClient, at: string): Promise<string> =>
  (await client.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", at)).toString();
const features = async (client: XmppClient, at: string): Promise<string[]> =>
  (await client.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at))
    .getChild("query")
    ?.getChildren("feature")
    .map((each) => each.attrs.var) ?? [];

/** That a field of a new room's configuration follows a property. */
function newRoomHas(field: string, before: string[], value: string, after: string[]): (name: string) => Proof {
  return (name) => async (world) => {
    const alice = await world.login("alice");
    const of = async () => {
      const room = fresh();
      await join(alice, room, "Alice");
      const found = (await configuration(alice, room)).get(field);
      await alice.set("<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>", room);
      return found;
    };
    expect(await of()).toEqual(before);
    await world.set({ [key(name)]: value });
    expect(await of()).toEqual(after);
  };
}
const bit = (field: string, before: "0" | "1") =>
  newRoomHas(field, [before], before === "0" ? "true" : "false", [before === "0" ? "1" : "0"]);
const everybody = ["moderator", "participant", "visitor"];
const without = (role: string) =>
  newRoomHas(
    "muc#roomconfig_presencebroadcast",
    everybody,
    "false",
    everybody.filter((each) => each !== role),
  );
const newRooms: Record<string, (name: string) => Proof> = {
  "room.publicRoom": bit("muc#roomconfig_publicroom", "1"),
  "room.persistent": bit("muc#roomconfig_persistentroom", "0"),
  "room.moderated": bit("muc#roomconfig_moderatedroom", "0"),
  "room.membersOnly": bit("muc#roomconfig_membersonly", "0"),
  "room.canOccupantsInvite": bit("muc#roomconfig_allowinvites", "0"),
  "room.canOccupantsChangeSubject": bit("muc#roomconfig_changesubject", "0"),
  "room.canAnyoneDiscoverJID": newRoomHas("muc#roomconfig_whois", ["anyone"], "false", ["moderators"]),
  "room.canChangeNickname": bit("x-muc#roomconfig_canchangenick", "1"),
  "room.registrationEnabled": bit("x-muc#roomconfig_registration", "1"),
  "room.loginRestrictedToNickname": bit("x-muc#roomconfig_reservednick", "0"),
  "room.logEnabled": bit("muc#roomconfig_enablelogging", "1"),
  "room.broadcastModerator": without("moderator"),
  "room.broadcastParticipant": without("participant"),
  "room.broadcastVisitor": without("visitor"),
  "room.maxUsers": newRoomHas("muc#roomconfig_maxusers", ["30"], "7", ["7"]),
  "room.allowpm": newRoomHas("muc#roomconfig_allowpm", ["anyone"], "none", ["none"]),
};

async function shownPast(world: World, room: string): Promise<string[]> {
  const bob = await world.login("bob");
  await join(bob, room, `Bob${++rooms}`);
  const found = bob.connection.inbox.filter((each: Element) => each.getChild("delay") !== undefined);
  await bob.close();
  return found.map((each) => each.getChildText("body") ?? "");
}

const groupchats = read<[], { payload: Uint8Array }>("SELECT payload FROM stanza WHERE type = 'groupchat'");
/** How many messages of rooms with this text are on disk. */
async function stored(world: World, client: XmppClient, body: string): Promise<number> {
  await client.ping();
  await world.swept();
  const rows = await world.core.server.storage.read(groupchats);
  return rows.filter(({ payload }) => Buffer.from(payload).includes(body)).length;
}

async function tries(client: XmppClient): Promise<string> {
  return join(client, fresh(), "Me").then(
    () => "made",
    (error: Error) => error.message,
  );
}

export const roomProofs: Record<string, Proof> = {
  ...Object.fromEntries(Object.entries(newRooms).map(([name, proof]) => [key(name), proof(name)])),
  async "xmpp.muc.enabled"(world) {
    const alice = await world.login("alice");
    expect(await items(alice, "localhost")).toContain("conference.localhost");
    await world.set({ "xmpp.muc.enabled": "false" });
    expect(await items(alice, "localhost")).not.toContain("conference.localhost");
  },
  async "firekeeper.muc.services"(world) {
    const alice = await world.login("alice");
    await world.set({ "firekeeper.muc.services": "teams room.persistent=true" });
    await join(alice, "p@teams.localhost", "Alice");
    expect((await configuration(alice, "p@teams.localhost")).get("muc#roomconfig_persistentroom")).toEqual(["1"]);
    await expect(world.set({ "firekeeper.muc.services": "teams loud=1" })).rejects.toThrow("firekeeper.muc.services");
  },
  async "firekeeper.muc.preset"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    await world.set({ "firekeeper.muc.preset": "ad-hoc" });
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    await expect(join(bob, room, "Bob")).rejects.toThrow("registration-required");
  },
  async "firekeeper.muc.archive.enabled"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    await say(alice, room, "kept");
    await world.set({ "firekeeper.muc.archive.enabled": "false" });
    await say(alice, room, "not kept");
    expect(bodies(await archive(alice, room))).toEqual(["kept"]);
  },
  async "firekeeper.muc.archive.days"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice", { persistentroom: "1" });
    await say(alice, room, "old");
    await alice.ping();
    // The archive of two is another one (M39).
    alice.message("bob@localhost", "said to bob");
    // What no archive and nobody's past refers to goes as well.
    const unlogged = fresh();
    await makeRoom(alice, unlogged, "Alice", { enablelogging: "0" });
    await say(alice, unlogged, "of no archive");
    await alice.set("<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>", unlogged);
    expect(await stored(world, alice, "of no archive")).toBe(1);
    await world.set({ "firekeeper.muc.archive.days": "2", "xmpp.client.idle": "-1" });
    world.pass(3 * dayMs);
    await expect.poll(async () => bodies(await archive(alice, room))).toEqual([]);
    expect(bodies(await archive(alice, ""))).toContain("said to bob");
    expect(await shownPast(world, room)).toEqual([]);
    await expect.poll(() => stored(world, alice, "of no archive")).toBe(0);
    expect(await stored(world, alice, "old")).toBe(0);
  },
  async "firekeeper.muc.public-logs"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    const wish = async () => (await configure(alice, room, { "firekeeper#publiclog": "1" })).attrs.type;
    expect(await wish()).toBe("error");
    await world.set({ "firekeeper.muc.public-logs": "true" });
    expect(await wish()).toBe("result");
  },
  async "firekeeper.muc.room.preserveHistOnRoomDeletion"(world) {
    const alice = await world.login("alice");
    for (const [body, value, left] of [
      ["stays behind", null, 1],
      ["goes with it", "false", 0],
    ] as const) {
      await world.set({ "firekeeper.muc.room.preserveHistOnRoomDeletion": value });
      const room = fresh();
      await makeRoom(alice, room, "Alice", { persistentroom: "1" });
      await say(alice, room, body);
      await alice.set("<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>", room);
      await expect.poll(() => stored(world, alice, body)).toBe(left);
    }
  },
  async "firekeeper.muc.history.type"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    await say(alice, room, "before");
    expect(await shownPast(world, room)).toEqual(["before"]);
    await world.set({ "firekeeper.muc.history.type": "none" });
    expect(await shownPast(world, room)).toEqual([]);
  },
  async "firekeeper.muc.history.maxNumber"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    for (const body of ["one", "two", "three"]) await say(alice, room, body);
    await world.set({ "firekeeper.muc.history.maxNumber": "2" });
    expect(await shownPast(world, room)).toEqual(["two", "three"]);
  },
  async "firekeeper.muc.sysadmin.jid"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    expect(errorCondition(await configure(bob, room, { moderatedroom: "1" }))).toBe("forbidden");
    await world.set({ "firekeeper.muc.sysadmin.jid": "bob" });
    expect((await configure(bob, room, { moderatedroom: "1" })).attrs.type).toBe("result");
  },
  async "firekeeper.muc.discover.locked"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    const room = fresh();
    await join(alice, room, "Alice");
    expect(await items(bob, "conference.localhost")).toContain(room);
    await world.set({ "firekeeper.muc.discover.locked": "false" });
    expect(await items(bob, "conference.localhost")).not.toContain(room);
  },
  async "firekeeper.muc.discover.membersOnly"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    const room = fresh();
    await makeRoom(alice, room, "Alice", { membersonly: "1" });
    expect(await items(bob, "conference.localhost")).toContain(room);
    await world.set({ "firekeeper.muc.discover.membersOnly": "false" });
    expect(await items(bob, "conference.localhost")).not.toContain(room);
  },
  async "firekeeper.muc.create.anyone"(world) {
    const bob = await world.login("bob");
    expect(await tries(bob)).toBe("made");
    await world.set({ "firekeeper.muc.create.anyone": "true" });
    expect(await tries(bob)).toBe("not-allowed");
  },
  async "firekeeper.muc.create.all-registered"(world) {
    const bob = await world.login("bob");
    await world.set({ "firekeeper.muc.create.anyone": "true", "firekeeper.muc.create.all-registered": "true" });
    expect(await tries(bob)).toBe("made");
  },
  async "firekeeper.muc.create.jid"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    await world.set({ "firekeeper.muc.create.anyone": "true", "firekeeper.muc.create.jid": "bob@localhost" });
    expect([await tries(alice), await tries(bob)]).toEqual(["not-allowed", "made"]);
  },
  async "firekeeper.muc.tasks.user.idle"(world) {
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    await world.set({ "firekeeper.muc.tasks.user.idle": "600000", "xmpp.client.idle": "-1" });
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    await join(bob, room, "Bob");
    world.pass(400_000);
    await say(alice, room, "still here");
    world.pass(400_000);
    const gone = await alice.next("presence", (each) => each.attrs.type === "unavailable");
    expect([gone.attrs.from, codesOf(gone)]).toEqual([`${room}/Bob`, [307]]);
    await bob.ping();
    expect(bob.transcript()).toContain("silent for more than 600 seconds");
  },
  async "admin.mucRoom.timeoutKickReason"(world) {
    const alice = await world.login("alice");
    await world.set({
      ...{ "firekeeper.muc.tasks.user.idle": "600000", "xmpp.client.idle": "-1" },
      "admin.mucRoom.timeoutKickReason": "Asleep?",
    });
    await makeRoom(alice, fresh(), "Alice");
    world.pass(700_000);
    const gone = await alice.next("presence", (each) => codesOf(each).includes(307));
    expect(gone.toString()).toContain("Asleep?");
  },
  async "xmpp.muc.presence.overwrite-to-room"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    const answer = (): Promise<Element> => {
      alice.send(`<presence to='${room}'><show>away</show></presence>`);
      return alice.next("presence", (each) => each.attrs.type === "error" || each.getChild("show") !== undefined);
    };
    expect((await answer()).attrs.from).toBe(`${room}/Alice`);
    await world.set({ "xmpp.muc.presence.overwrite-to-room": "false" });
    expect(errorCondition(await answer())).toBe("jid-malformed");
  },
  async "xmpp.muc.vcard.enabled"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    expect(await features(alice, room)).toContain("vcard-temp");
    await world.set({ "xmpp.muc.vcard.enabled": "false" });
    expect(await features(alice, room)).not.toContain("vcard-temp");
    expect(errorCondition(await alice.set("<vCard xmlns='vcard-temp'/>", room))).toBe("service-unavailable");
  },
  async "xmpp.muc.vcard.presence-advertising.enabled"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    const card = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>aGVsbG8=</BINVAL></PHOTO></vCard>";
    const fromRoom = (each: Element): boolean => each.is("presence") && each.attrs.from === room;
    await alice.set(card, room);
    await alice.none(fromRoom);
    await world.set({ "xmpp.muc.vcard.presence-advertising.enabled": "true" });
    await alice.set(card, room);
    const told = await alice.next(fromRoom, "presence of the room");
    expect(told.getChild("x", "vcard-temp:x:update")?.getChildText("photo")).toMatch(/^[0-9a-f]{40}$/);
  },
  async "xmpp.muc.extendedchannelsearch.enabled"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice", { roomname: "Garden club" });
    const search = (word: string) =>
      alice.get(
        `<search xmlns='urn:xmpp:channel-search:0:search'><x xmlns='jabber:x:data' type='submit'>
          <field var='q'><value>${word}</value></field></x></search>`,
        "conference.localhost",
      );
    expect((await search("garden")).toString()).toContain(room);
    expect((await search("kitchen")).toString()).not.toContain(room);
    await configure(alice, room, { publicroom: "0" });
    expect((await search("garden")).toString()).not.toContain(room);
    await world.set({ "xmpp.muc.extendedchannelsearch.enabled": "false" });
    expect(errorCondition(await search("garden"))).toBe("service-unavailable");
  },
  async "firekeeper.muc.messages-per-second"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    await makeRoom(alice, room, "Alice");
    const refused = async (): Promise<boolean> => {
      for (let i = 0; i < 12; i++) alice.send(`<message type='groupchat' to='${room}'><body>${i}</body></message>`);
      await alice.ping();
      return alice.connection.inbox.some((each) => each.is("message") && each.attrs.type === "error");
    };
    expect(await refused()).toBe(false);
    await world.set({ "firekeeper.muc.messages-per-second": "1" });
    expect(await refused()).toBe(true);
  },
  async "firekeeper.muc.joins-per-second"(world) {
    const alice = await world.login("alice");
    const room = fresh();
    const refused = async (): Promise<boolean> => {
      for (let i = 0; i < 110; i++)
        alice.send(`<presence to='${room}/n${i}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
      await alice.ping();
      return alice.connection.inbox.some((each) => errorCondition(each) === "resource-constraint");
    };
    expect(await refused()).toBe(false);
    await world.set({ "firekeeper.muc.joins-per-second": "1" });
    expect(await refused()).toBe(true);
  },
  async "firekeeper.muc.test-room"(world) {
    const alice = await world.login("alice");
    const greeted = async (nick: string): Promise<boolean> => {
      const room = "localhost@conference.localhost";
      alice.send(`<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
      await alice.next("presence", (each) => each.attrs.from === `${room}/${nick}`);
      await alice.ping();
      alice.send(`<presence to='${room}/${nick}' type='unavailable'/>`);
      await alice.ping();
      return alice.connection.inbox.some((each) => each.getChildText("body")?.includes(`You are in, ${nick}`) === true);
    };
    expect(await greeted("one")).toBe(true);
    await world.set({ "firekeeper.muc.test-room": "false" });
    expect(await greeted("two")).toBe(false);
  },
};
