import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// seeds B24: contact cards and avatars come from the host's address book
let core: TestCore;
let agent: TestAgent;
beforeAll(async () => {
  core = await startTestCore({ users: ["bob"] });
  agent = await connectAgent(core);
});
afterEach(() => XmppClient.dropAll());
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const png = (more: string): Buffer => Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), Buffer.from(more)]);
const sha1 = (data: Buffer): string => createHash("sha1").update(data).digest("hex");
const four = "urn:ietf:params:xml:ns:vcard-4.0";
const pubsub = "http://jabber.org/protocol/pubsub";
const tempOf = async (client: XmppClient, of: string): Promise<string[]> =>
  ((await client.get("<vCard xmlns='vcard-temp'/>", of)).getChild("vCard", "vcard-temp")?.getChildElements() ?? [])
    .map(String)
    .sort();
const fourOf = async (client: XmppClient, of: string): Promise<string[]> =>
  ((await client.get(`<vcard xmlns='${four}'/>`, of)).getChild("vcard", four)?.getChildElements() ?? [])
    .map(String)
    .sort();
const itemOf = async (client: XmppClient, of: string, node: string) =>
  (await client.get(`<pubsub xmlns='${pubsub}'><items node='${node}'/></pubsub>`, of))
    .getChild("pubsub")
    ?.getChild("items")
    ?.getChild("item");

async function give(more: Record<string, unknown>): Promise<void> {
  const { sha1: one, sha256, sha512 } = await credentialsOf("alice");
  const credentials = { ...(one && { sha1: one }), ...(sha256 && { sha256 }), ...(sha512 && { sha512 }) };
  const account = { name: "alice", enabled: true, credentials, displayName: "Alice", ...more };
  await agent.apply({ kind: "account-set", account });
}
const hashOf = async () => (await agent.target.actual()).accounts.find(({ name }) => name === "alice")?.cardHash;
const presenceWith = (client: XmppClient, hash: string) =>
  client.next(
    "presence",
    (one) => one.getChild("x", "vcard-temp:x:update")?.getChildText("photo") === hash && one.attrs.from === client.jid,
  );

test("both forms of the card and the avatar are what the host has; a write of the person changes nothing of it", async () => {
  const picture = png("one");
  const card = {
    ...{ phone: "+33 1 23", mobile: "+33612", organisation: "Firekeeper", department: "Support" },
    ...{ title: "Head", url: "https://a.example", photo: picture.toString("base64") },
  };
  await give({ email: "alice@example.org", card });
  const bob = await core.login("bob");
  const temp = [
    "<EMAIL><INTERNET/><USERID>alice@example.org</USERID></EMAIL>",
    "<FN>Alice</FN>",
    "<ORG><ORGNAME>Firekeeper</ORGNAME><ORGUNIT>Support</ORGUNIT></ORG>",
    `<PHOTO><TYPE>image/png</TYPE><BINVAL>${picture.toString("base64")}</BINVAL></PHOTO>`,
    "<TEL><WORK/><CELL/><NUMBER>+33612</NUMBER></TEL>",
    "<TEL><WORK/><VOICE/><NUMBER>+33 1 23</NUMBER></TEL>",
    "<TITLE>Head</TITLE>",
    "<URL>https://a.example</URL>",
  ].sort();
  const work = (use: string) => `<parameters><type><text>work</text><text>${use}</text></type></parameters>`;
  const asFour = [
    "<email><text>alice@example.org</text></email>",
    "<fn><text>Alice</text></fn>",
    "<org><text>Firekeeper</text><text>Support</text></org>",
    `<tel>${work("cell")}<uri>tel:+33612</uri></tel>`,
    `<tel>${work("voice")}<text>+33 1 23</text></tel>`,
    "<title><text>Head</text></title>",
    "<url><uri>https://a.example</uri></url>",
  ].sort();
  // Before she ever logs in, too.
  expect(await tempOf(bob, "alice@localhost")).toEqual(temp);
  expect(await fourOf(bob, "alice@localhost")).toEqual(asFour);

  const alice = await core.login("alice");
  alice.presence();
  await presenceWith(alice, sha1(picture));
  const data = await itemOf(bob, "alice@localhost", "urn:xmpp:avatar:data");
  expect([data?.attrs.id, data?.getChildText("data")]).toEqual([sha1(picture), picture.toString("base64")]);

  const own = `<vCard xmlns='vcard-temp'><FN>Queen</FN><NICKNAME>al</NICKNAME><TITLE>Boss</TITLE><PHOTO><TYPE>image/png</TYPE><BINVAL>${png("own").toString("base64")}</BINVAL></PHOTO></vCard>`;
  expect((await alice.set(own)).attrs.type).toBe("result");
  expect(await tempOf(bob, "alice@localhost")).toEqual([...temp, "<NICKNAME>al</NICKNAME>"].sort());
  expect(await fourOf(bob, "alice@localhost")).toEqual([...asFour, "<nickname><text>al</text></nickname>"].sort());
  const node = await itemOf(bob, "alice@localhost", "urn:xmpp:vcard4");
  expect((node?.getChild("vcard", four)?.getChildElements() ?? []).map(String).sort()).toEqual(
    await fourOf(bob, "alice@localhost"),
  );
  // Nor does an avatar that she publishes stay.
  const mine = png("mine");
  const publish = (name: string, id: string, payload: string) =>
    alice.set(
      `<pubsub xmlns='${pubsub}'><publish node='${name}'><item id='${id}'>${payload}</item></publish></pubsub>`,
    );
  const text = mine.toString("base64");
  await publish("urn:xmpp:avatar:data", sha1(mine), `<data xmlns='urn:xmpp:avatar:data'>${text}</data>`);
  const info = `<info id='${sha1(mine)}' bytes='${mine.length}' type='image/png'/>`;
  await publish(
    "urn:xmpp:avatar:metadata",
    sha1(mine),
    `<metadata xmlns='urn:xmpp:avatar:metadata'>${info}</metadata>`,
  );
  const shown = async () => (await itemOf(bob, "alice@localhost", "urn:xmpp:avatar:metadata"))?.attrs.id;
  for (let i = 0; i < 20 && (await shown()) !== sha1(picture); i++) await alice.ping();
  expect(await shown()).toBe(sha1(picture));
  expect(await tempOf(bob, "alice@localhost")).toContain(temp.find((one) => one.startsWith("<PHOTO")));
});

test("a change of the host shows at once, also after a restart; what it no longer says is gone", async () => {
  const second = png("two");
  await give({ card: { title: "Chief", photo: second.toString("base64") } });
  const before = await hashOf();
  const alice = await core.login("alice");
  alice.presence();
  await presenceWith(alice, sha1(second));
  await agent.target.close();
  await core.restart();
  agent = await connectAgent(core);
  expect(await hashOf()).toBe(before);
  const bob = await core.login("bob");
  expect(await fourOf(bob, "alice@localhost")).toEqual([
    "<fn><text>Alice</text></fn>",
    "<nickname><text>al</text></nickname>",
    "<title><text>Chief</text></title>",
  ]);
  const third = png("three");
  await give({ card: { title: "Chief", photo: third.toString("base64") } });
  await presenceWith(alice, sha1(third));
  await give({});
  await presenceWith(alice, "");
  expect(await hashOf()).toBeUndefined();
  expect(await tempOf(bob, "alice@localhost")).toEqual(["<FN>Alice</FN>", "<NICKNAME>al</NICKNAME>"]);
});

test("picture and card follow a new name, and another person under the old one has neither", async () => {
  const picture = png("four");
  const { sha1: one, sha256, sha512 } = await credentialsOf("alice");
  const credentials = { ...(one && { sha1: one }), ...(sha256 && { sha256 }), ...(sha512 && { sha512 }) };
  const account = { enabled: true, credentials, displayName: "Alice", card: { photo: picture.toString("base64") } };
  await agent.apply({ kind: "account-set", account: { ...account, name: "alice", id: "1" } });
  await agent.apply({ kind: "account-rename", from: "alice", account: { ...account, name: "alicia", id: "1" } });
  const alicia = await core.login("alicia", { password: "alice" });
  alicia.presence();
  await presenceWith(alicia, sha1(picture));
  const bob = await core.login("bob");
  const shown = await tempOf(bob, "alicia@localhost");
  expect(shown.some((each) => each.includes(picture.toString("base64")))).toBe(true);
  // Somebody else gets her name: what she had is set aside.
  const other = { name: "alicia", id: "2", enabled: true, credentials };
  await agent.apply({ kind: "account-set", account: other });
  const later = await core.login("alicia", { password: "alice" });
  later.presence();
  const own = await later.next("presence", (each) => each.attrs.from === later.jid);
  expect(own.getChild("x", "vcard-temp:x:update")).toBeUndefined();
  expect(await tempOf(later, "")).toEqual([]);
  expect(await fourOf(later, "")).toEqual([]);
  expect(await itemOf(later, "", "urn:xmpp:avatar:metadata")).toBeUndefined();
});
