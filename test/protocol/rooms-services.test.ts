import type { Element } from "ltx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseServices } from "../../xmpp-core/modules/rooms/service-properties.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { archive, bodies, configuration, join, makeRoom, say } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// Room services as properties have them: several, renamed, closed, each with its own rules. docs/rooms.md
let core: TestCore;
let ann: XmppClient;
let ben: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["ann", "ben"] });
  [ann, ben] = await Promise.all([core.login("ann", { resource: "home" }), core.login("ben", { resource: "home" })]);
});
afterAll(() => core.close());

const items = async (client: XmppClient, at: string): Promise<Map<string, string>> => {
  const answer = await client.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", at);
  const found = answer.getChild("query")?.getChildren("item") ?? [];
  return new Map(found.map((each: Element) => [each.attrs.jid, each.attrs.name]));
};

test("a second service with its own rules beside the first", async () => {
  await core.set({
    "firekeeper.muc.services":
      'teams description="Team rooms" room.persistent=true create.anyone=true create.jid=ann; hidden isHidden=true',
  });
  const listed = await items(ann, "localhost");
  expect(listed.get("teams.localhost")).toBe("Team rooms");
  expect([...listed.keys()]).toContain("conference.localhost");
  expect([...listed.keys()]).not.toContain("hidden.localhost");
  await expect(join(ben, "bens@teams.localhost", "Ben")).rejects.toThrow("not-allowed");
  await join(ben, "bens@conference.localhost", "Ben");
  await join(ann, "anns@teams.localhost", "Ann");
  expect((await configuration(ann, "anns@teams.localhost")).get("muc#roomconfig_persistentroom")).toEqual(["1"]);
  await join(ann, "anns@conference.localhost", "Ann");
  expect((await configuration(ann, "anns@conference.localhost")).get("muc#roomconfig_persistentroom")).toEqual(["0"]);
  await makeRoom(ann, "anns@hidden.localhost", "Ann");
  expect([...(await items(ann, "hidden.localhost")).keys()]).toEqual(["anns@hidden.localhost"]);
});

test("a service gets another label: old addresses lead there, occupants stay (R7)", async () => {
  await makeRoom(ann, "lobby@conference.localhost", "Ann", { persistentroom: "1" });
  await say(ann, "lobby@conference.localhost", "before");
  await core.set({ "firekeeper.muc.services": "conference subdomain=chat former=rooms" });
  expect([...(await items(ann, "localhost")).keys()]).toContain("chat.localhost");
  ann.connection.inbox.splice(0);
  // By the label of before, by a still older one, and by the present one.
  ben.send("<presence to='lobby@conference.localhost/Ben'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
  const seen = await ann.next("presence", (each) => each.attrs.from.endsWith("/Ben"));
  expect(seen.attrs.from).toBe("lobby@chat.localhost/Ben");
  expect(bodies(await archive(ann, "lobby@rooms.localhost"))).toEqual(["before"]);
  await say(ann, "lobby@chat.localhost", "after");
  await core.restart();
  expect(bodies(await archive(ben, "lobby@chat.localhost"))).toEqual(["before", "after"]);
  await core.set({ "firekeeper.muc.services": null });
  expect([...(await items(ann, "localhost")).keys()]).toContain("conference.localhost");
});

test("a service that is closed keeps its rooms for when it is open again", async () => {
  await makeRoom(ann, "kept@conference.localhost", "Ann", { persistentroom: "1" });
  await core.set({ "xmpp.muc.enabled": "false" });
  expect([...(await items(ann, "localhost")).keys()]).not.toContain("conference.localhost");
  const refused = await ann.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "kept@conference.localhost");
  expect(errorCondition(refused)).not.toBe("");
  await core.set({ "xmpp.muc.enabled": null });
  await join(ann, "kept@conference.localhost", "Ann");
  expect((await configuration(ann, "kept@conference.localhost")).get("muc#roomconfig_persistentroom")).toEqual(["1"]);
});

test("what is written for services is read whole or refused with the reason", () => {
  const refusals: [string, string][] = [
    ["two.labels", "cannot be a service's name"],
    ["teams subdomain=a b=c", "b is not known"],
    ["teams room.persistent=perhaps", "room.persistent must be true or false"],
    ["teams; teams", "named twice"],
    ["teams; other subdomain=teams", "one label"],
    ["teams loud", "not written as key=value"],
  ];
  for (const [given, why] of refusals) expect(parseServices(given), given).toContain(why);
  expect(parseServices('teams former=a,b description="A b; no"')).toContain("not written");
  expect(parseServices("")).toEqual([]);
});
