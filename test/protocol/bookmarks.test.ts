import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0402, XEP-0048, XEP-0049
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave", "erin"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const pubsub = "http://jabber.org/protocol/pubsub";
const native = "urn:xmpp:bookmarks:1";
const legacy = "storage:bookmarks";

const publish = (client: XmppClient, node: string, id: string, payload: string) =>
  client.set(`<pubsub xmlns='${pubsub}'><publish node='${node}'><item id='${id}'>${payload}</item></publish></pubsub>`);
const retract = (client: XmppClient, id: string) =>
  client.set(`<pubsub xmlns='${pubsub}'><retract node='${native}' notify='true'><item id='${id}'/></retract></pubsub>`);
const itemsOf = async (client: XmppClient, node: string): Promise<Element[]> =>
  (await client.get(`<pubsub xmlns='${pubsub}'><items node='${node}'/></pubsub>`))
    .getChild("pubsub")
    ?.getChild("items")
    ?.getChildren("item") ?? [];
const nativeOf = async (client: XmppClient): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await itemsOf(client, native)).map((item) => [item.attrs.id, String(item.getChildElements()[0])]),
  );
const listOf = async (client: XmppClient): Promise<string[]> =>
  children(
    (await client.get(`<query xmlns='jabber:iq:private'><storage xmlns='${legacy}'/></query>`))
      .getChild("query")
      ?.getChild("storage", legacy),
  );
const children = (element: Element | undefined): string[] => (element?.getChildElements() ?? []).map(String).sort();
const setList = (client: XmppClient, inside: string) =>
  client.set(`<query xmlns='jabber:iq:private'><storage xmlns='${legacy}'>${inside}</storage></query>`);

/** Shows capabilities with these wishes, and answers for them. */
async function wanting(user: string, ...nodes: string[]): Promise<XmppClient> {
  const client = await core.login(user);
  const features = nodes.map((node) => `${node}+notify`).sort();
  const ver = createHash("sha1")
    .update(`client/pc//x<${features.join("<")}<`)
    .digest("base64");
  client.presence(`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://x' ver='${ver}'/>`);
  const info = "http://jabber.org/protocol/disco#info";
  const asked = await client.next((one) => one.is("iq") && one.attrs.type === "get", "question");
  const told = features.map((one) => `<feature var='${one}'/>`).join("");
  client.send(
    `<iq type='result' id='${asked.attrs.id}' to='${asked.attrs.from}'><query xmlns='${info}' node='https://x#${ver}'><identity category='client' type='pc' name='x'/>${told}</query></iq>`,
  );
  await client.ping();
  return client;
}
const event = (client: XmppClient, node: string) =>
  client
    .next("message", (one) => one.getChild("event")?.getChild("items")?.attrs.node === node)
    .then((one) => one.getChild("event")?.getChild("items") as Element);

test("what one way is written is read by all, and those who asked are told", async () => {
  const modern = await wanting("alice", native);
  const older = await wanting("alice", legacy);
  const oldest = await core.login("alice");
  const room = "<nick>Al</nick><password>s&lt;</password><extensions><pin xmlns='urn:pin'/></extensions>";
  await publish(
    modern,
    native,
    "team@conference.localhost",
    `<conference xmlns='${native}' name='Team' autojoin='1'>${room}</conference>`,
  );
  expect(await listOf(oldest)).toEqual([
    '<conference jid="team@conference.localhost" name="Team" autojoin="true"><nick>Al</nick><password>s&lt;</password><pin xmlns="urn:pin"/></conference>',
  ]);
  const list = await event(older, legacy);
  expect(children(list.getChild("item")?.getChild("storage", legacy))).toEqual(await listOf(oldest));
  // The oldest one knows no pins: it renames the room, adds another and a page.
  await setList(
    oldest,
    "<conference jid='team@conference.localhost' name='The Team' autojoin='true'><nick>Al</nick><password>s&lt;</password></conference>" +
      "<conference jid='Other@conference.localhost'/><url name='x' url='https://x.example'/>",
  );
  expect(await nativeOf(modern)).toEqual({
    "team@conference.localhost": `<conference xmlns="${native}" name="The Team" autojoin="true"><nick>Al</nick><password>s&lt;</password><extensions><pin xmlns="urn:pin"/></extensions></conference>`,
    "other@conference.localhost": `<conference xmlns="${native}"/>`,
  });
  const told: string[] = [];
  while (told.length < 3) told.push(...(await event(modern, native)).getChildren("item").map((one) => one.attrs.id));
  expect(told.sort()).toEqual(["other@conference.localhost", "team@conference.localhost", "team@conference.localhost"]);
  expect((await listOf(oldest)).filter((one) => one.startsWith("<url"))).toEqual([
    '<url name="x" url="https://x.example"/>',
  ]);
  // The older one drops a room by its node: only that room is told of.
  await event(older, legacy);
  const present = (await itemsOf(older, legacy))[0]?.getChild("storage", legacy);
  const rest = children(present).filter((one) => !one.includes("team@"));
  expect(rest).toEqual(['<conference jid="other@conference.localhost"/>']);
  await publish(older, legacy, "current", `<storage xmlns='${legacy}'>${rest.join("")}</storage>`);
  const gone = await event(modern, native);
  expect(gone.getChildElements().map((one) => [one.getName(), one.attrs.id])).toEqual([
    ["retract", "team@conference.localhost"],
  ]);
  await modern.none("message", () => true, older);
  await retract(modern, "other@conference.localhost");
  expect(await listOf(oldest)).toEqual(['<url name="x" url="https://x.example"/>']);
});

test("changes in quick succession do not take each other back", async () => {
  const modern = await core.login("bob");
  const ids = Array.from({ length: 12 }, (_, i) => `r${i}@conference.localhost`);
  await Promise.all(ids.map((id) => publish(modern, native, id, `<conference xmlns='${native}'/>`)));
  await Promise.all(ids.slice(6).map((id) => retract(modern, id)));
  expect(Object.keys(await nativeOf(modern)).sort()).toEqual(ids.slice(0, 6).sort());
  // Whatever the list's node said meanwhile is no wish of the client.
  for (let i = 0; i < 5; i++) await modern.ping();
  expect(Object.keys(await nativeOf(modern)).sort()).toEqual(ids.slice(0, 6).sort());
  const list = (await itemsOf(modern, legacy))[0]?.getChild("storage", legacy);
  expect(children(list).length).toBe(6);
});

test("nobody else reads them, and both ways are announced at account and server", async () => {
  const carol = await core.login("carol");
  const dave = await core.login("dave");
  await setList(carol, "<conference jid='secret@conference.localhost'/>");
  for (const node of [native, legacy]) {
    const answer = await dave.get(`<pubsub xmlns='${pubsub}'><items node='${node}'/></pubsub>`, "carol@localhost");
    expect(answer.attrs.type).toBe("error");
  }
  for (const to of ["carol@localhost", "localhost"]) {
    const told = await carol.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", to);
    const features = (told.getChild("query")?.getChildren("feature") ?? []).map(({ attrs }) => attrs.var);
    expect(features).toContain(`${native}#compat`);
    expect(features).toContain(`${native}#compat-pep`);
  }
});

test("a list of earlier times becomes bookmarks at the next login and takes none away", async () => {
  const dave = await core.login("dave");
  await publish(dave, native, "new@conference.localhost", `<conference xmlns='${native}'/>`);
  const { storage, accounts, names } = core.server;
  const id = accounts.get(names.primary.id, "dave")?.id ?? 0;
  const list = `<storage xmlns="${legacy}"><conference jid="old@conference.localhost" name="Old"/><url name="u" url="https://u"/></storage>`;
  const { write } = await import("../../xmpp-core/storage/storage.ts");
  const put = write<[number, Buffer]>(
    "INSERT OR REPLACE INTO private_storage (account, ns, name, epoch, payload) VALUES (?, 'storage:bookmarks', 'storage', 1, ?)",
  );
  await storage.write([put.with(id, Buffer.from(list))]);
  await core.restart();
  const again = await core.login("dave");
  for (let i = 0; i < 20 && Object.keys(await nativeOf(again)).length < 2; i++) await again.ping();
  expect(await nativeOf(again)).toEqual({
    "new@conference.localhost": `<conference xmlns="${native}"/>`,
    "old@conference.localhost": `<conference xmlns="${native}" name="Old"/>`,
  });
  expect((await listOf(again)).length).toBe(3);
});

test("rooms follow a change of the domain, in every way they are read", async () => {
  const erin = await core.login("erin");
  await publish(erin, native, "team@conference.localhost", `<conference xmlns='${native}'/>`);
  await publish(erin, native, "team@rooms.elsewhere.example", `<conference xmlns='${native}'/>`);
  await core.rename("new.example", null);
  const later = await core.login("erin", { domain: "new.example" });
  const seen = ["team@conference.new.example", "team@rooms.elsewhere.example"];
  expect(Object.keys(await nativeOf(later)).sort()).toEqual(seen);
  expect(await listOf(later)).toEqual(seen.map((jid) => `<conference jid="${jid}"/>`));
  expect(await listOf(erin)).toContain('<conference jid="team@conference.localhost"/>');
  const list = (await itemsOf(later, legacy))[0]?.getChild("storage", legacy);
  expect(children(list)).toEqual(seen.map((jid) => `<conference jid="${jid}"/>`));
  // Under either name the same room is meant.
  await setList(erin, "<conference jid='team@conference.localhost' name='T'/>");
  expect(await nativeOf(later)).toEqual({ "team@conference.new.example": `<conference xmlns="${native}" name="T"/>` });
});
