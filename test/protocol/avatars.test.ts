import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0084, XEP-0153, XEP-0398
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave", "erin"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const png = (more: string): Buffer =>
  Buffer.concat([
    Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
    Buffer.from([0, 0, 0, 64, 0, 0, 0, 32]),
    Buffer.from(more),
  ]);
const sha1 = (data: Buffer): string => createHash("sha1").update(data).digest("hex");
const photo = (data: Buffer): string =>
  `<PHOTO><TYPE>image/png</TYPE><BINVAL>${data.toString("base64")}</BINVAL></PHOTO>`;
const setCard = (client: XmppClient, inside: string) => client.set(`<vCard xmlns='vcard-temp'>${inside}</vCard>`);
const cardOf = async (client: XmppClient, of: string) =>
  (await client.get("<vCard xmlns='vcard-temp'/>", of)).getChild("vCard", "vcard-temp");
const photoOf = async (client: XmppClient, of: string): Promise<string | undefined> =>
  (await cardOf(client, of))?.getChild("PHOTO")?.getChildText("BINVAL") ?? undefined;

const options = (access: string): string =>
  `<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='pubsub#access_model'><value>${access}</value></field></x></publish-options>`;
async function publish(client: XmppClient, node: string, id: string, payload: string, access = "open"): Promise<void> {
  const answer = await client.set(
    `<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='${node}'><item id='${id}'>${payload}</item></publish>${options(access)}</pubsub>`,
  );
  expect(answer.attrs.type).toBe("result");
}
const publishData = (client: XmppClient, data: Buffer, id = sha1(data), access?: string) =>
  publish(
    client,
    "urn:xmpp:avatar:data",
    id,
    `<data xmlns='urn:xmpp:avatar:data'>${data.toString("base64")}</data>`,
    access,
  );
const publishMetadata = (client: XmppClient, id: string, infos: string, access?: string) =>
  publish(
    client,
    "urn:xmpp:avatar:metadata",
    id,
    `<metadata xmlns='urn:xmpp:avatar:metadata'>${infos}</metadata>`,
    access,
  );
const info = (data: Buffer, type = "image/png"): string =>
  `<info bytes='${data.length}' id='${sha1(data)}' type='${type}'/>`;
const item = async (client: XmppClient, of: string, node: string): Promise<Element | undefined> =>
  (await client.get(`<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='${node}'/></pubsub>`, of))
    .getChild("pubsub")
    ?.getChild("items")
    ?.getChild("item");

const shownPhoto = (presence: Element): string | undefined =>
  presence.getChild("x", "vcard-temp:x:update")?.getChildText("photo") ?? undefined;
const presenceWith = (client: XmppClient, hash: string | undefined) =>
  client.next("presence", (stanza) => shownPhoto(stanza) === hash && stanza.attrs.from === client.jid);

test("a published avatar is the photo of the card, and its hash goes out with presence that says nothing of it", async () => {
  const alice = await core.login("alice");
  alice.presence();
  await presenceWith(alice, undefined);
  const picture = png("one");
  await publishData(alice, picture);
  const elsewhere = `<info bytes='9' id='${"0".repeat(40)}' type='image/png' url='https://a.example/x'/>`;
  await publishMetadata(alice, sha1(picture), elsewhere + info(picture));
  await presenceWith(alice, sha1(picture));
  const bob = await core.login("bob");
  expect(await photoOf(bob, "alice@localhost")).toBe(picture.toString("base64"));
  // An empty element is overwritten, one with another hash too, the client's word that there is none is not.
  alice.presence("<show>away</show><x xmlns='vcard-temp:x:update'/>");
  expect(shownPhoto(await alice.next("presence", (one) => one.getChildText("show") === "away"))).toBe(sha1(picture));
  alice.presence("<show>xa</show><x xmlns='vcard-temp:x:update'><photo>abc</photo></x>");
  const xa = await alice.next("presence", (one) => one.getChildText("show") === "xa");
  expect(xa.getChildren("x", "vcard-temp:x:update").map((one) => one.getChildText("photo"))).toEqual([sha1(picture)]);
  alice.presence("<show>dnd</show><x xmlns='vcard-temp:x:update'><photo/></x>");
  expect(shownPhoto(await alice.next("presence", (one) => one.getChildText("show") === "dnd"))).toBe("");
  // Directed presence has it, too.
  bob.presence();
  await bob.ping();
  alice.presence("<show>chat</show>", "to='bob@localhost'");
  expect(shownPhoto(await bob.next("presence", (one) => one.getChildText("show") === "chat"))).toBe(sha1(picture));
  await core.restart();
  const again = await core.login("alice", { resource: "again" });
  again.presence();
  await presenceWith(again, sha1(picture));
});

test("the photo of a card is published in both nodes; without it the metadata says that there is none", async () => {
  const bob = await core.login("bob");
  bob.presence();
  const picture = png("two");
  await setCard(bob, `<FN>Bob</FN>${photo(picture)}`);
  await presenceWith(bob, sha1(picture));
  const data = await item(bob, "bob@localhost", "urn:xmpp:avatar:data");
  expect([data?.attrs.id, data?.getChildText("data")]).toEqual([sha1(picture), picture.toString("base64")]);
  const metadata = await item(bob, "bob@localhost", "urn:xmpp:avatar:metadata");
  expect(metadata?.getChild("metadata")?.getChild("info")?.attrs).toEqual({
    ...{ id: sha1(picture), bytes: String(picture.length), type: "image/png", width: "64", height: "32" },
  });
  await setCard(bob, "<FN>Bob</FN>");
  await presenceWith(bob, "");
  const none = await item(bob, "bob@localhost", "urn:xmpp:avatar:metadata");
  expect(none?.getChild("metadata", "urn:xmpp:avatar:metadata")?.getChildElements()).toEqual([]);
  await setCard(bob, `<FN>Bob</FN>${photo(picture)}`);
  await presenceWith(bob, sha1(picture));
});

test("an avatar that is switched off leaves the card, the rest of it stays", async () => {
  const carol = await core.login("carol");
  carol.presence();
  const picture = png("three");
  await setCard(carol, `<FN>Carol</FN><X-OWN xmlns='urn:own'>kept</X-OWN>${photo(picture)}`);
  await presenceWith(carol, sha1(picture));
  await publishMetadata(carol, "none", "");
  await presenceWith(carol, "");
  const card = await cardOf(carol, "");
  expect(card?.getChildElements().map((one) => one.toString())).toEqual([
    "<FN>Carol</FN>",
    '<X-OWN xmlns="urn:own">kept</X-OWN>',
  ]);
});

test("what is not open to all, or is not what its id says, does not go into the card", async () => {
  const dave = await core.login("dave");
  dave.presence();
  const picture = png("four");
  await publishData(dave, picture, "1".repeat(40), "presence");
  await publishMetadata(dave, "1".repeat(40), `<info bytes='1' id='${"1".repeat(40)}' type='image/png'/>`, "presence");
  await publishData(dave, picture, sha1(picture), "presence");
  await publishMetadata(dave, sha1(picture), info(picture), "presence");
  const erin = await core.login("erin");
  erin.presence();
  const forged = "2".repeat(40);
  await publishData(erin, picture, forged);
  await publishMetadata(erin, forged, `<info bytes='1' id='${forged}' type='image/png'/>`);
  const jpeg = Buffer.from("ffd8ffe0", "hex");
  await publishData(erin, jpeg);
  await publishMetadata(erin, sha1(jpeg), info(jpeg, "image/jpeg"));
  // The second one arrived, so the first was looked at before.
  await presenceWith(erin, sha1(jpeg));
  expect((await cardOf(erin, ""))?.getChild("PHOTO")?.getChildText("TYPE")).toBe("image/jpeg");
  expect(await photoOf(dave, "")).toBeUndefined();
  dave.presence("<show>away</show>");
  expect(shownPhoto(await dave.next("presence", (one) => one.getChildText("show") === "away"))).toBeUndefined();
});

test("the account says that it converts", async () => {
  const alice = await core.login("alice");
  const told = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "alice@localhost");
  const features = (told.getChild("query")?.getChildren("feature") ?? []).map(({ attrs }) => attrs.var);
  expect(features).toContain("urn:xmpp:pep-vcard-conversion:0");
  expect(features).toContain("urn:ietf:params:xml:ns:vcard-4.0");
});
