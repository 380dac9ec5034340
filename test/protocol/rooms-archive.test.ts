import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { affiliate, archive, bodies, configure, idIn, join, makeRoom, mucNs, say } from "../support/rooms.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0313 §8.4: the archive of a room, at its address; docs/rooms.md "Conversations".
let core: TestCore;
let ann: XmppClient;
let ben: XmppClient;
let cid: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["ann", "ben", "cid", "dot"] });
  const login = (user: string) => core.login(user, { resource: "home" });
  [ann, ben, cid] = await Promise.all([login("ann"), login("ben"), login("cid")]);
  for (const client of [ann, ben, cid]) client.presence();
});
afterAll(() => core.close());

const at = (name: string): string => `${name}@conference.localhost`;
const leave = async (client: XmppClient, room: string, nick: string): Promise<void> => {
  client.send(`<presence type='unavailable' to='${room}/${nick}'/>`);
  await client.next("presence", (each) => each.attrs.type === "unavailable" && each.attrs.from === `${room}/${nick}`);
};

describe("what is in it", () => {
  test("each message once, from the occupant, under the id that the room gave it, without `to`", async () => {
    const room = at("once");
    await makeRoom(ann, room, "Ann", { persistentroom: "1" });
    await join(ben, room, "Ben");
    const first = await say(ann, room, "one");
    const second = await say(ben, room, "two", "<x xmlns='http://jabber.org/protocol/muc#user'><item jid='x@y'/></x>");
    ben.send(`<message type='chat' to='${room}/Ann'><body>between us</body></message>`);
    ben.send(
      `<message type='groupchat' to='${room}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    );
    const page = await archive(ben, room);
    expect(page.answer.attrs.from).toBe(room);
    expect(bodies(page)).toEqual(["one", "two"]);
    expect(page.messages.map(({ id }) => id)).toEqual([idIn(first, room), idIn(second, room)]);
    const [one, two] = page.messages.map(({ message }) => message);
    expect([one?.attrs.from, one?.attrs.type, one?.attrs.to]).toEqual([`${room}/Ann`, "groupchat", undefined]);
    // XEP-0313 §8.4: what the sender wrote of itself is gone, what the room knows stands there.
    expect(two?.getChildren("x", mucNs.user).length).toBe(1);
    expect(two?.getChild("x", mucNs.user)?.getChild("item")?.attrs.jid).toBe(ben.jid);
    expect(two?.getChild("occupant-id", mucNs.occupantId)?.attrs.id).toBe(
      second.getChild("occupant-id", mucNs.occupantId)?.attrs.id,
    );
  });

  test("real addresses only for those who may see them, in the results and in `with`", async () => {
    const room = at("masked");
    await makeRoom(ann, room, "Ann", { persistentroom: "1", whois: "moderators" });
    await join(ben, room, "Ben");
    await say(ann, room, "from ann");
    await say(ben, room, "from ben");
    const jids = async (client: XmppClient) =>
      (await archive(client, room)).messages.map(
        ({ message }) => message.getChild("x", mucNs.user)?.getChild("item")?.attrs.jid,
      );
    expect(await jids(ben)).toEqual([undefined, undefined]);
    expect(await jids(ann)).toEqual([ann.jid, ben.jid]);
    expect(bodies(await archive(ann, room, { with: "ben@localhost" }))).toEqual(["from ben"]);
    expect(bodies(await archive(ben, room, { with: "ann@localhost" }))).toEqual([]);
    expect(bodies(await archive(ben, room, { with: `${room}/Ann` }))).toEqual(["from ann"]);
  });

  test("pages both ways, counts, bounds, ids; an unknown id is an error", async () => {
    const room = at("pages");
    await makeRoom(ann, room, "Ann", { persistentroom: "1" });
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(idIn(await say(ann, room, `n${i}`), room));
    const first = await archive(ann, room, {}, "<max>2</max>");
    expect(bodies(first)).toEqual(["n0", "n1"]);
    expect(first.answer.getChild("fin")?.getChild("set")?.getChildText("count")).toBe("5");
    expect(bodies(await archive(ann, room, {}, `<max>2</max><after>${ids[1]}</after>`))).toEqual(["n2", "n3"]);
    expect(bodies(await archive(ann, room, {}, "<max>2</max><before/>"))).toEqual(["n3", "n4"]);
    expect(bodies(await archive(ann, room, {}, `<max>2</max><before>${ids[3]}</before>`))).toEqual(["n1", "n2"]);
    expect(bodies(await archive(ann, room, { "after-id": ids[1] ?? "", "before-id": ids[4] ?? "" }))).toEqual([
      "n2",
      "n3",
    ]);
    expect(bodies(await archive(ann, room, { ids: ids[2] ?? "" }))).toEqual(["n2"]);
    expect((await archive(ann, room, {}, "<after>17</after>")).condition).toBe("item-not-found");
    const edges = await ann.get(`<metadata xmlns='${mucNs.archive}'/>`, room);
    expect(edges.getChild("metadata")?.getChild("start")?.attrs.id).toBe(ids[0]);
    expect(edges.getChild("metadata")?.getChild("end")?.attrs.id).toBe(ids[4]);
  });

  test("history on joining and archive agree; both outlive a restart", async () => {
    const room = at("agree");
    await makeRoom(ann, room, "Ann", { persistentroom: "1" });
    const before = idIn(await say(ann, room, "before"), room);
    await core.restart();
    const after = idIn(await say(ann, room, "after"), room);
    await join(cid, room, "Cid");
    const history = cid.connection.inbox.filter((each) => each.is("message") && each.getChild("delay") !== undefined);
    cid.connection.inbox.splice(0);
    expect(history.map((each) => [each.getChildText("body"), idIn(each, room)])).toEqual([
      ["before", before],
      ["after", after],
    ]);
    expect((await archive(cid, room)).messages.map(({ id }) => id)).toEqual([before, after]);
  });

  test("a room that keeps no archive has none, and says so", async () => {
    const room = at("unlogged");
    await makeRoom(ann, room, "Ann", { enablelogging: "0" });
    await say(ann, room, "not kept");
    expect(bodies(await archive(ann, room))).toEqual([]);
    const features = async (): Promise<string[]> =>
      (await ann.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", room))
        .getChild("query")
        ?.getChildren("feature")
        .map((each) => each.attrs.var) ?? [];
    expect(await features()).not.toContain(mucNs.archive);
    await configure(ann, room, { enablelogging: "1" });
    expect(await features()).toContain(mucNs.archive);
    await say(ann, room, "kept");
    expect(bodies(await archive(ann, room))).toEqual(["kept"]);
  });
});

describe("who may read it", () => {
  test("members of a members-only room, nobody who is banned, and who is in a room with a password", async () => {
    const room = at("closed");
    await makeRoom(ann, room, "Ann", { persistentroom: "1", membersonly: "1" });
    await say(ann, room, "inside");
    expect((await archive(ben, room)).condition).toBe("forbidden");
    await affiliate(ann, room, "ben@localhost", "member");
    expect(bodies(await archive(ben, room))).toEqual(["inside"]);
    await affiliate(ann, room, "ben@localhost", "outcast");
    expect((await archive(ben, room)).condition).toBe("forbidden");
    await configure(ann, room, { membersonly: "0", passwordprotectedroom: "1", roomsecret: "open" });
    expect((await archive(cid, room)).condition).toBe("forbidden");
    await join(cid, room, "Cid", "<password>open</password>");
    expect(bodies(await archive(cid, room))).toEqual(["inside"]);
    expect((await archive(cid, at("nowhere"))).condition).toBe("item-not-found");
  });

  test("a conversation: by invitation only, each participant invites, newcomers see nothing older (B31, M40)", async () => {
    const room = at("talk");
    await makeRoom(ann, room, "Ann", { "firekeeper#preset": "ad-hoc" });
    await expect(join(ben, room, "Ben")).rejects.toThrow("registration-required");
    await affiliate(ann, room, "ben@localhost", "member");
    await join(ben, room, "Ben");
    const old = idIn(await say(ann, room, "old"), room);
    const invite = `<invite to='cid@localhost'/>`;
    ben.send(`<message to='${room}'><x xmlns='${mucNs.user}'>${invite}</x></message>`);
    await cid.next("message", (each) => each.getChild("x", mucNs.user)?.getChild("invite") !== undefined);
    await join(cid, room, "Cid");
    expect(cid.connection.inbox.filter((each) => each.getChildText("body") === "old")).toEqual([]);
    await say(ann, room, "new");
    expect(bodies(await archive(cid, room))).toEqual(["new"]);
    expect((await archive(cid, room, {}, `<after>${old}</after>`)).condition).toBe("item-not-found");
    expect(bodies(await archive(ben, room))).toEqual(["old", "new"]);
    await core.restart();
    expect(bodies(await archive(cid, room))).toEqual(["new"]);
    // He who left and is invited again begins anew.
    await affiliate(ann, room, "cid@localhost", "none");
    await affiliate(ann, room, "cid@localhost", "member");
    expect(bodies(await archive(cid, room))).toEqual([]);
    // Kept although everybody is gone, and not shown to others.
    await leave(ben, room, "Ben");
    await leave(ann, room, "Ann");
    const dot = await core.login("dot");
    const items = async (client: XmppClient): Promise<string> =>
      (await client.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "conference.localhost")).toString();
    expect([(await items(ben)).includes(room), (await items(dot)).includes(room)]).toEqual([true, false]);
    await join(ann, room, "Ann");
  });
});

test("a renamed domain changes nothing: the archive is read under the new name", async () => {
  const room = at("moved");
  await makeRoom(ann, room, "Ann", { persistentroom: "1" });
  await say(ann, room, "said at the old name");
  await core.rename("chat.example", null);
  const dot = await core.login("dot", { domain: "chat.example" });
  const page = await archive(dot, "moved@conference.chat.example");
  expect(page.messages.map(({ message }) => message.attrs.from)).toEqual(["moved@conference.chat.example/Ann"]);
  expect(page.messages[0]?.message.getChild("x", mucNs.user)?.getChild("item")?.attrs.jid).toBe(
    "ann@chat.example/home",
  );
});
