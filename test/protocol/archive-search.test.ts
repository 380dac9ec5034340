import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { mamForm, readArchive } from "../support/mam.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { makeRoom, say as sayInRoom } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0431, and what becomes of old messages
const dayMs = 24 * 3600 * 1000;
let core: TestCore;
let agent: TestAgent;
let clock: ManualClock;
let alice: XmppClient;
let bob: XmppClient;
let carol: XmppClient;
beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({ users: ["alice", "bob", "carol"], clock, properties: { "xmpp.client.idle": "-1" } });
  agent = await connectAgent(core);
});
beforeEach(async () => {
  XmppClient.dropAll();
  [alice, bob, carol] = await Promise.all([core.login("alice"), core.login("bob"), core.login("carol")]);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const find = (client: XmppClient, words: string, fields: Record<string, string> = {}, page = "") =>
  readArchive(client, mamForm({ "{urn:xmpp:fulltext:0}fulltext": words, ...fields }) + page);
async function say(from: XmppClient, to: XmppClient, body: string, more = ""): Promise<void> {
  from.message(to.jid, body, more);
  await to.next("message");
}
const rows = (sql: string) => {
  const database = loadDriver().open(`${core.home}/core.db`, { readOnly: true });
  try {
    return database.prepare(sql).rows([]);
  } finally {
    database.close();
  }
};

test("finds messages by their words, whole ones, all of them, whatever the accents and capitals", async () => {
  await say(alice, bob, "The Grüne Lampe is broken");
  await say(bob, alice, "which lamp? the green one &amp; the red one".replace("&amp;", "and"));
  await say(carol, bob, "lampe lampe");
  expect((await find(alice, "lampe")).bodies).toEqual(["The Grüne Lampe is broken"]);
  expect((await find(bob, "LAMPE")).bodies).toEqual(["The Grüne Lampe is broken", "lampe lampe"]);
  expect((await find(bob, "grune lampe")).bodies).toHaveLength(1);
  expect((await find(bob, "lam")).bodies).toEqual([]);
  expect((await find(carol, "lamp")).bodies).toEqual([]);
  const page = await find(bob, "lampe", {}, "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>");
  expect([page.bodies, page.fin?.attrs.complete]).toEqual([["lampe lampe"], undefined]);
  expect(page.fin?.getChild("set")?.getChildText("count")).toBe("2");
  expect((await find(bob, "lampe", { with: "alice@localhost" })).bodies).toEqual(["The Grüne Lampe is broken"]);
});

test.each([
  ['"', "body:grune", "owners : o1", "lampe OR carol", "NEAR(a b)", "a*", "lampe NOT x", "'; DROP TABLE", "-"],
])("what looks like the index's own language is only words", async (...words) => {
  for (const one of words) {
    const { answer, bodies } = await find(alice, one.replaceAll("&", "&amp;"));
    expect([one, answer.attrs.type, bodies]).toEqual([one, "result", []]);
  }
  expect(errorCondition((await find(alice, "x".repeat(1001))).answer)).toBe("bad-request");
});

test("encrypted messages are never indexed, nor what stands in for them", async () => {
  const inside = [
    "<encrypted xmlns='eu.siacs.conversations.axolotl'><payload>c2VjcmV0</payload></encrypted>",
    "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:x'/>",
    "<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>",
  ];
  for (const more of inside) await say(alice, bob, "zanzibar stands in", more);
  await say(alice, bob, "?OTR:zanzibar");
  await say(alice, bob, "plain zanzibar");
  expect((await find(bob, "zanzibar")).bodies).toEqual(["plain zanzibar"]);
});

test("off: the field is unknown and the index empty; on again: everything is found", async () => {
  await say(alice, bob, "remember capybara");
  expect((await find(bob, "capybara")).bodies).toHaveLength(1);
  await agent.set({ "firekeeper.archive.search.enabled": "false" });
  expect(errorCondition((await find(bob, "capybara")).answer)).toBe("feature-not-implemented");
  await expect.poll(() => rows("SELECT count(*) FROM archive_text")).toEqual([[0]]);
  await agent.set({ "firekeeper.archive.search.enabled": "true" });
  expect((await find(bob, "capybara")).bodies).toHaveLength(1);
});

test("thirty days: older messages go at the next run with their words, and the journal hears of it", async () => {
  await say(alice, bob, "ancient quokka");
  await find(bob, "quokka");
  clock.pass(20 * dayMs);
  await say(alice, bob, "recent quokka");
  await find(bob, "quokka");
  const before = rows("SELECT count(*) FROM stanza")[0]?.[0] as number;
  agent.events.length = 0;
  await agent.set({ "firekeeper.archive.days": "30" });
  clock.pass(11 * dayMs);
  await expect
    .poll(() => agent.events.find((event) => event.event === "used-right"))
    .toEqual({
      ...{ event: "used-right", who: "server", what: "purge archives" },
      on: `${before - 1} messages older than 30 days`,
    });
  expect((await readArchive(alice)).bodies).toEqual(["recent quokka"]);
  expect((await find(bob, "quokka")).bodies).toEqual(["recent quokka"]);
  expect(rows("SELECT count(*) FROM stanza")).toEqual([[1]]);
  await expect.poll(() => rows("SELECT count(*) FROM archive_text")).toEqual([[1]]);
});

test("what rooms forget for its age stands in the journal as well", async () => {
  const room = "den@conference.localhost";
  await makeRoom(alice, room, "Alice", { persistentroom: "1" });
  await sayInRoom(alice, room, "an old burrow");
  agent.events.length = 0;
  await agent.set({ "firekeeper.muc.archive.days": "2" });
  clock.pass(3 * dayMs);
  const journaled = () => agent.events.find((event) => event.event === "used-right" && event.what.endsWith("of rooms"));
  await expect.poll(journaled).toMatchObject({ who: "server", on: "1 message older than 2 days" });
});

test("people empty their own archive by a command; the other side keeps what it has", async () => {
  await say(alice, bob, "a wombat");
  const command = (inside: string, attributes: string) =>
    alice.set(
      `<command xmlns='http://jabber.org/protocol/commands' node='urn:firekeeper:archive#clear' ${attributes}>${inside}</command>`,
      "localhost",
    );
  const asked = (await command("", "action='execute'")).getChild("command");
  expect(asked?.getChild("x", "jabber:x:data")?.getChildText("instructions")).toContain("deleted");
  const answer = (yes: string) =>
    command(
      `<x xmlns='jabber:x:data' type='submit'><field var='confirm'><value>${yes}</value></field></x>`,
      `sessionid='${asked?.attrs.sessionid}' action='complete'`,
    );
  const done = await answer("1");
  expect(done.getChild("command")?.attrs.status).toBe("completed");
  expect((await readArchive(alice)).bodies).toEqual([]);
  expect((await find(alice, "wombat")).bodies).toEqual([]);
  expect((await find(bob, "wombat")).bodies).toEqual(["a wombat"]);
  await say(alice, bob, "afterwards");
  expect((await readArchive(alice)).bodies).toEqual(["afterwards"]);
});

test("a message that nobody keeps is gone from the disk once nobody waits for it", async () => {
  const never = "<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>";
  await Promise.all([alice.set(never), bob.set(never)]);
  await bob.close();
  alice.message("bob@localhost", "ephemeral axolotl");
  await alice.ping();
  const there = () => rows("SELECT count(*) FROM stanza WHERE instr(payload, 'ephemeral')");
  clock.pass(3600_000);
  await core.server.storage.bulk((step) => step(() => []));
  expect(there()).toEqual([[1]]);
  bob = await core.login("bob");
  bob.presence();
  await bob.next("message");
  await bob.ping();
  clock.pass(3600_000);
  await expect.poll(there).toEqual([[0]]);
});
