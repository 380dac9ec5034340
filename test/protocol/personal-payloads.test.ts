import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// What people publish about themselves passes untouched: XEP-0107, 0108, 0118, 0172, 0384, 0490, 0492, 0373
let core: TestCore;
let alice: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

/** Node, item id and payload, in the one form in which XML is written here. */
const payloads: readonly (readonly [node: string, id: string, payload: string])[] = [
  [
    "http://jabber.org/protocol/nick",
    "current",
    `<nick xmlns="http://jabber.org/protocol/nick">Ishmael &amp; Co</nick>`,
  ],
  [
    "http://jabber.org/protocol/tune",
    "current",
    `<tune xmlns="http://jabber.org/protocol/tune"><artist>Yes</artist><length>686</length> <title>Heart of the Sunrise</title></tune>`,
  ],
  [
    "http://jabber.org/protocol/mood",
    "current",
    `<mood xmlns="http://jabber.org/protocol/mood"><happy/><text>Yay, the mood spec has been approved!</text></mood>`,
  ],
  [
    "http://jabber.org/protocol/activity",
    "current",
    `<activity xmlns="http://jabber.org/protocol/activity"><relaxing><partying/></relaxing><text xml:lang="en">My nurse's birthday!</text></activity>`,
  ],
  [
    "urn:xmpp:mds:displayed:0",
    "room@conference.elsewhere.example",
    `<displayed xmlns="urn:xmpp:mds:displayed:0"><stanza-id xmlns="urn:xmpp:sid:0" by="room@conference.elsewhere.example" id="0f71"/></displayed>`,
  ],
  [
    "urn:xmpp:bookmarks:1",
    "room@conference.elsewhere.example",
    `<conference xmlns="urn:xmpp:bookmarks:1" name="R" autojoin="1"><extensions><notify xmlns="urn:xmpp:notification-settings:1"><never/></notify></extensions></conference>`,
  ],
  [
    "eu.siacs.conversations.axolotl.devicelist",
    "current",
    `<list xmlns="eu.siacs.conversations.axolotl"><device id="1871"/><device id="2"/></list>`,
  ],
  [
    "eu.siacs.conversations.axolotl.bundles:1871",
    "current",
    `<bundle xmlns="eu.siacs.conversations.axolotl"><signedPreKeyPublic signedPreKeyId="1">BASE64==</signedPreKeyPublic><prekeys><preKeyPublic preKeyId="1">QUFB</preKeyPublic></prekeys></bundle>`,
  ],
  [
    "urn:xmpp:omemo:2:devices",
    "current",
    `<devices xmlns="urn:xmpp:omemo:2"><device id="7" label="Phone &lt;1&gt;"/></devices>`,
  ],
  [
    "urn:xmpp:omemo:2:bundles",
    "7",
    `<bundle xmlns="urn:xmpp:omemo:2"><spk id="0">AA==</spk><spks>AQ==</spks><ik>Ag==</ik><prekeys><pk id="0">Aw==</pk></prekeys></bundle>`,
  ],
  [
    "urn:xmpp:openpgp:0:public-keys",
    "2019-01-01T00:00:00Z",
    `<public-keys-list xmlns="urn:xmpp:openpgp:0"><pubkey-metadata v4-fingerprint="13" date="2018-03-01T15:26:12Z"/></public-keys-list>`,
  ],
];

const pubsub = "http://jabber.org/protocol/pubsub";

/** Logs in and asks to be told of these nodes. */
async function wanting(nodes: readonly string[]): Promise<XmppClient> {
  const client = await core.login("alice", { resource: "other", sm: true });
  const features = nodes.map((node) => `${node}+notify`).sort();
  const ver = createHash("sha1")
    .update(`client/pc//x<${features.join("<")}<`)
    .digest("base64");
  client.presence(`<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://x' ver='${ver}'/>`);
  const asked = await client.next((one) => one.is("iq") && one.attrs.type === "get", "question");
  const told = features.map((one) => `<feature var='${one}'/>`).join("");
  client.send(
    `<iq type='result' id='${asked.attrs.id}' to='${asked.attrs.from}'><query xmlns='http://jabber.org/protocol/disco#info' node='https://x#${ver}'><identity category='client' type='pc' name='x'/>${told}</query></iq>`,
  );
  await client.ping();
  return client;
}
const isEvent = (node: string) => (stanza: { getChild(name: string): unknown; toString(): string }) =>
  stanza.getChild("event") !== undefined && stanza.toString().includes(`node="${node}"`);
const occurrences = (text: string, part: string): number => text.split(part).length - 1;

test("each payload reaches another device that asked for it byte for byte, and is read so after a restart", async () => {
  const other = await wanting(payloads.map(([node]) => node));
  alice = await core.login("alice", { resource: "desk" });
  for (const [node, id, payload] of payloads) {
    const item = `<item id='${id}'>${payload}</item>`;
    const answer = await alice.set(`<pubsub xmlns='${pubsub}'><publish node='${node}'>${item}</publish></pubsub>`);
    expect([node, answer.attrs.type]).toEqual([node, "result"]);
    await other.next("message", isEvent(node));
    // The transcript has the bytes as they came.
    expect([node, occurrences(other.transcript(), payload)]).toEqual([node, 1]);
  }
  await core.restart();
  const later = await core.login("alice", { resource: "later" });
  for (const [node, , payload] of payloads) {
    await later.get(`<pubsub xmlns='${pubsub}'><items node='${node}'/></pubsub>`);
    expect([node, occurrences(later.transcript(), payload)]).toEqual([node, 1]);
  }
});

test("whoever did not ask is not told, and whoever asks for more later is told then", async () => {
  const other = await wanting(["http://jabber.org/protocol/nick"]);
  alice = await core.login("alice", { resource: "desk" });
  const publish = (node: string, payload: string) =>
    alice.set(
      `<pubsub xmlns='${pubsub}'><publish node='${node}'><item id='current'>${payload}</item></publish></pubsub>`,
    );
  await publish("http://jabber.org/protocol/mood", "<mood xmlns='http://jabber.org/protocol/mood'><sad/></mood>");
  await publish("http://jabber.org/protocol/nick", "<nick xmlns='http://jabber.org/protocol/nick'>N</nick>");
  await other.next("message", isEvent("http://jabber.org/protocol/nick"));
  await other.none("message", isEvent("http://jabber.org/protocol/mood"), alice);
});
