import type { Element } from "ltx";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { groups, rightsChanged } from "../../xmpp-core/modules/points.ts";
import type { Account } from "../../xmpp-core/routing/accounts.ts";
import { command, runCommand as run } from "../support/commands.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// docs/settings.md: role type xmpp.supervisor; XEP-0133
let core: TestCore;
let uses: string[];
beforeEach(async () => {
  core = await startTestCore({ users: ["admin", "carol", "alice", "bob"] });
  await grant("carol", true);
  uses = [];
  core.server.rights.onUsed(({ who, what, on }) => uses.push(`${who} ${what} ${on}`));
});
afterEach(() => core.close());

const own = "urn:firekeeper:supervisor";
const admin = "http://jabber.org/protocol/admin";
const nodes = [
  `${own}#watch-presence`,
  `${own}#stop-watching`,
  `${own}#sessions`,
  `${own}#announce-to-group`,
  `${admin}#get-online-users-list`,
  `${admin}#end-user-session`,
  `${admin}#announce`,
];

function account(name: string): Account {
  const { accounts, names } = core.server;
  const found = accounts.get(names.primary.id, name);
  if (found === undefined) throw new Error(`no account ${name}`);
  return found;
}

/** What control does when the role comes or goes. */
async function grant(name: string, granted: boolean): Promise<void> {
  const { write, enter } = core.server.rights.grant(account(name).id, granted);
  await core.server.storage.write([write]);
  enter();
  for (const told of core.server.core.offered(rightsChanged)) told.rightsChanged();
}

async function online(user: string, options: { sm?: boolean } = {}): Promise<XmppClient> {
  const client = await core.login(user, options);
  await client.roster();
  client.presence();
  await client.next("presence", (stanza) => stanza.attrs.from === client.jid);
  return client;
}

const note = (answer: Element): string => answer.getChild("command")?.getChildText("note") ?? answer.toString();

describe("only supervisors and the admin", () => {
  test.each(nodes)("%s", async (node) => {
    const [alice, boss, carol] = [await online("alice"), await online("admin"), await online("carol")];
    const refused = await command(alice, node);
    expect([refused.attrs.type, errorCondition(refused)]).toEqual(["error", "forbidden"]);
    for (const client of [boss, carol]) expect((await command(client, node)).attrs.type).toBe("result");
    await grant("carol", false);
    expect(errorCondition(await command(carol, node))).toBe("forbidden");
  });
});

describe("watching presence", () => {
  test("on request everybody is seen, now and later, and nobody is told", async () => {
    const [carol, alice] = [await online("carol"), await online("alice")];
    await carol.none("presence");
    expect(note(await command(carol, `${own}#watch-presence`))).toBe(
      "You see the presence of everybody; 1 are online.",
    );
    await carol.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    const bob = await online("bob");
    await carol.next("presence", (stanza) => stanza.attrs.from === bob.jid && stanza.attrs.type === undefined);
    bob.presence("<show>dnd</show>");
    await carol.next("presence", (stanza) => stanza.getChildText("show") === "dnd");
    await bob.close();
    await carol.next("presence", (stanza) => stanza.attrs.from === bob.jid && stanza.attrs.type === "unavailable");
    await alice.none("presence", (stanza) => stanza.attrs.from !== alice.jid, carol);
    expect((await carol.roster()).contacts.size).toBe(0);
    expect(uses).toEqual(["carol@localhost watch presence localhost"]);
  });

  test("it stops on request, and at once with the role", async () => {
    const [carol, boss, alice] = [await online("carol"), await online("admin"), await online("alice")];
    for (const client of [carol, boss]) {
      await command(client, `${own}#watch-presence`);
      await client.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    }
    await command(boss, `${own}#stop-watching`);
    await grant("carol", false);
    for (const client of [carol, boss])
      await client.next("presence", (stanza) => stanza.attrs.from === alice.jid && stanza.attrs.type === "unavailable");
    alice.presence("<show>away</show>");
    for (const client of [carol, boss])
      await client.none("presence", (stanza) => stanza.attrs.from === alice.jid, alice);
  });

  test("it goes on after a crash for a session that resumes, unless the role is gone", async () => {
    const [carol, boss] = [await online("carol", { sm: true }), await online("admin", { sm: true })];
    for (const client of [carol, boss]) {
      await command(client, `${own}#watch-presence`);
      await client.requestAck();
    }
    const lost = core.server.rights.grant(account("carol").id, false);
    await core.server.storage.write([lost.write]);
    await core.crash();
    await boss.resume();
    await carol.resume();
    const alice = await online("alice");
    await boss.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    await carol.none("presence", (stanza) => stanza.attrs.from === alice.jid, alice);
  });

  test("a contact's presence comes once", async () => {
    const [point] = core.server.core.offered(groups);
    const set = { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup" as const, groupList: [] };
    const prepared = point?.prepare([
      { kind: "set", group: set, origin: "host" },
      { kind: "members", group: "Sales", add: [account("carol"), account("alice")], remove: [] },
    ]);
    await core.server.storage.write(prepared?.writes ?? []);
    prepared?.done();
    const [carol, alice] = [await online("carol"), await online("alice")];
    await command(carol, `${own}#watch-presence`);
    alice.presence("<show>xa</show>");
    await alice.ping();
    await carol.ping();
    expect(carol.connection.inbox.filter((stanza) => stanza.getChildText("show") === "xa").length).toBe(1);
  });
});

test("sessions are listed, and online users", async () => {
  const [carol, alice, bob] = [await online("carol"), await online("alice"), await core.login("bob")];
  const listed =
    (await command(carol, `${own}#sessions`)).getChild("command")?.getChild("x")?.getChildren("item") ?? [];
  const rows = listed.map((item) =>
    Object.fromEntries(item.getChildren("field").map((one) => [one.attrs.var, one.getChildText("value")])),
  );
  expect(rows.map(({ jid, available }) => `${jid} ${available}`).sort()).toEqual(
    [`${carol.jid} 1`, `${alice.jid} 1`, `${bob.jid} 0`].sort(),
  );
  const users = await run(carol, `${admin}#get-online-users-list`, { max_items: ["25"] });
  const found = users
    .getChild("command")
    ?.getChild("x")
    ?.getChildren("field")
    .find(({ attrs }) => attrs.var === "onlineuserjids");
  expect(found?.getChildren("value").map((value) => value.getText())).toEqual(["alice@localhost", "carol@localhost"]);
});

test("sessions of others are ended, one by its full address, all by the bare one", async () => {
  const carol = await online("carol");
  const [one, two, bob] = [await online("alice"), await online("alice"), await online("bob")];
  expect(note(await run(carol, `${admin}#end-user-session`, { accountjids: [one.jid] }))).toBe("1 session ended.");
  await one.ended;
  await two.ping();
  await run(carol, `${admin}#end-user-session`, { accountjids: ["alice@localhost", bob.jid] });
  await Promise.all([two.ended, bob.ended]);
  expect(uses).toEqual([
    `carol@localhost end sessions ${one.jid}`,
    `carol@localhost end sessions alice@localhost, ${bob.jid}`,
  ]);
});

test("announcements come from the service, to all who are online or to a group", async () => {
  const [carol, alice, bob] = [await online("carol"), await online("alice"), await online("bob")];
  expect(note(await run(carol, `${admin}#announce`, { announcement: ["Lunch", "at <noon>"] }))).toBe(
    "Announced to 3 users.",
  );
  for (const client of [alice, bob]) {
    const message = await client.next("message");
    expect([message.attrs.from, message.getChildText("body")]).toEqual(["localhost", "Lunch\nat <noon>"]);
  }
  const [point] = core.server.core.offered(groups);
  const prepared = point?.prepare([
    { kind: "set", group: { name: "Sales", displayName: "", showInRoster: "nobody", groupList: [] }, origin: "host" },
    { kind: "members", group: "Sales", add: [account("bob")], remove: [] },
  ]);
  await core.server.storage.write(prepared?.writes ?? []);
  prepared?.done();
  await run(carol, `${own}#announce-to-group`, { group: ["Sales"], announcement: ["Sold"] });
  expect((await bob.next("message")).getChildText("body")).toBe("Sold");
  await alice.none("message", () => true, carol);
  const nowhere = await command(carol, `${own}#announce-to-group`, { group: ["Nobody"], announcement: ["x"] });
  expect(errorCondition(nowhere)).toBe("item-not-found");
  expect(uses.map((use) => use.replace("carol@localhost ", ""))).toEqual(["announce localhost", "announce Sales"]);
});
