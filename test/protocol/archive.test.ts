import type { Element } from "ltx";
import { afterEach, beforeEach, expect, test } from "vitest";
import { write } from "../../xmpp-core/storage/statement.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0313, XEP-0359
const mam = "urn:xmpp:mam:2";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
});
afterEach(() => core.close());

interface Entry {
  id: string;
  body: string | null | undefined;
  from: string;
  to: string;
  stamp: string;
}

async function archiveOf(
  client: XmppClient,
  inside = "",
): Promise<{ entries: Entry[]; fin: Element; answer: Element }> {
  const answer = await client.set(`<query xmlns='${mam}' queryid='q'>${inside}</query>`);
  const entries: Entry[] = [];
  for (;;) {
    const place = client.connection.inbox.findIndex((stanza) => stanza.getChild("result", mam) !== undefined);
    if (place < 0) break;
    const [stanza] = client.connection.inbox.splice(place, 1);
    const result = stanza?.getChild("result", mam);
    const forwarded = result?.getChild("forwarded", "urn:xmpp:forward:0");
    const message = forwarded?.getChild("message", "jabber:client");
    entries.push({
      id: result?.attrs.id,
      body: message?.getChildText("body"),
      from: message?.attrs.from,
      to: message?.attrs.to,
      stamp: forwarded?.getChild("delay", "urn:xmpp:delay")?.attrs.stamp,
    });
  }
  return { entries, fin: answer.getChild("fin", mam) as Element, answer };
}
const form = (fields: Record<string, string>) =>
  `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${mam}</value></field>${Object.entries(fields)
    .map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
    .join("")}</x>`;
const page = (inside: string) => `<set xmlns='http://jabber.org/protocol/rsm'>${inside}</set>`;

async function talk(count: number): Promise<void> {
  for (let i = 1; i <= count; i++) alice.message("bob@localhost/phone", `m${i}`);
  await bob.next("message", (message) => message.getChildText("body") === `m${count}`);
}

test("both people find the conversation, under the id that the message came with", async () => {
  alice.message("bob@localhost/phone", "kept");
  const live = await bob.next("message");
  const id = live.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs;
  expect(id).toMatchObject({ by: "bob@localhost" });
  for (const client of [alice, bob]) {
    const { entries, fin } = await archiveOf(client);
    expect(entries).toMatchObject([
      { id: id?.id, body: "kept", from: "alice@localhost/desk", to: "bob@localhost/phone" },
    ]);
    expect(fin.attrs.complete).toBe("true");
  }
});

test("pages forwards, backwards, and the last page", async () => {
  await talk(5);
  const first = await archiveOf(bob, page("<max>2</max>"));
  expect(first.entries.map(({ body }) => body)).toEqual(["m1", "m2"]);
  expect(first.fin.attrs.complete).toBeUndefined();
  expect(first.fin.getChild("set")?.getChildText("count")).toBe("5");
  const next = await archiveOf(bob, page(`<max>2</max><after>${first.entries[1]?.id}</after>`));
  expect(next.entries.map(({ body }) => body)).toEqual(["m3", "m4"]);
  const last = await archiveOf(bob, page("<max>2</max><before/>"));
  expect(last.entries.map(({ body }) => body)).toEqual(["m4", "m5"]);
  const before = await archiveOf(bob, page(`<max>9</max><before>${last.entries[0]?.id}</before>`));
  expect(before.entries.map(({ body }) => body)).toEqual(["m1", "m2", "m3"]);
  expect(before.fin.attrs.complete).toBe("true");
});

test("filters by contact, resource, time and ids", async () => {
  await talk(2);
  const carol = await core.login("carol");
  carol.message("bob@localhost/phone", "from carol");
  await bob.next("message", (message) => message.getChildText("body") === "from carol");
  const all = (await archiveOf(bob)).entries;
  expect(all.map(({ body }) => body)).toEqual(["m1", "m2", "from carol"]);
  const bodies = async (fields: Record<string, string>) =>
    (await archiveOf(bob, form(fields))).entries.map(({ body }) => body);
  expect(await bodies({ with: "carol@localhost" })).toEqual(["from carol"]);
  expect(await bodies({ with: "alice@localhost/desk" })).toEqual(["m1", "m2"]);
  expect(await bodies({ with: "alice@localhost/elsewhere" })).toEqual([]);
  expect(await bodies({ start: all[2]?.stamp ?? "", with: "carol@localhost" })).toEqual(["from carol"]);
  expect(await bodies({ end: "2001-01-01T00:00:00Z" })).toEqual([]);
  expect(await bodies({ "after-id": all[0]?.id ?? "" })).toEqual(["m2", "from carol"]);
  expect(await bodies({ ids: all[1]?.id ?? "" })).toEqual(["m2"]);
});

test("an id that is not in the archive is an error, a bad date too", async () => {
  await talk(1);
  for (const inside of [page("<after>123</after>"), form({ "after-id": "zzz" })])
    expect((await archiveOf(bob, inside)).answer.getChild("error")?.getChild("item-not-found")).toBeTruthy();
  expect(
    (await archiveOf(bob, form({ start: "yesterday" }))).answer.getChild("error")?.getChild("bad-request"),
  ).toBeTruthy();
});

test("nobody reads somebody else's archive", async () => {
  const answer = await alice.set(`<query xmlns='${mam}'/>`, "bob@localhost");
  expect(answer.attrs.type).toBe("error");
});

test("forged ids are taken away, chat states and no-store messages are not kept", async () => {
  alice.send(
    "<message to='bob@localhost/phone' type='chat'><body>x</body><stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='forged'/></message>",
  );
  const got = await bob.next("message");
  const ids = got.getChildren("stanza-id");
  expect(ids).toHaveLength(1);
  expect(ids[0]?.attrs.id).not.toBe("forged");
  alice.send(
    "<message to='bob@localhost/phone' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
  );
  alice.send(
    "<message to='bob@localhost/phone' type='chat'><body>y</body><no-store xmlns='urn:xmpp:hints'/></message>",
  );
  await bob.next("message", (message) => message.getChildText("body") === "y");
  expect((await archiveOf(bob)).entries.map(({ body }) => body)).toEqual(["x"]);
});

test("firekeeper.archive.enabled off: nothing new is kept", async () => {
  await core.set({ "firekeeper.archive.enabled": "false" });
  await talk(1);
  expect((await archiveOf(bob)).entries).toEqual([]);
});

test("the archive survives a crash", async () => {
  await talk(3);
  await core.crash();
  bob = await core.login("bob");
  expect((await archiveOf(bob)).entries).toHaveLength(3);
  const metadata = await bob.get(`<metadata xmlns='${mam}'/>`);
  expect(metadata.getChild("metadata", mam)?.getChildElements()).toHaveLength(2);
});

test("a page of a large archive bears no count; whoever asks for the count alone gets it", async () => {
  await talk(1);
  const { accounts, names, storage } = core.server;
  const many = write<[number: number, bob: number]>(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
     INSERT INTO stanza (id, epoch, sender, recipient, type, recipient_archive, payload)
     SELECT (SELECT max(id) FROM stanza) + i, 1, 'alice@/desk', 'bob@', 'chat', ?, '<body>again</body>' FROM n`,
  );
  await storage.write([many.with(10_000, accounts.get(names.primary.id, "bob")?.id ?? 0)]);
  const count = ({ answer }: { answer: Element }) =>
    answer.getChild("fin", mam)?.getChild("set")?.getChildText("count") ?? undefined;
  const set = (inside: string) => `<set xmlns='http://jabber.org/protocol/rsm'>${inside}</set>`;
  const page = await archiveOf(bob, set("<max>2</max><before/>"));
  expect(page.entries.map(({ body }) => body)).toEqual(["again", "again"]);
  expect(count(page)).toBeUndefined();
  expect(count(await archiveOf(bob, set("<max>0</max>")))).toBe("10001");
});
