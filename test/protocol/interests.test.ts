import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0115, XEP-0390, XEP-0163 §4.3
const info = "http://jabber.org/protocol/disco#info";
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const query = (features: readonly string[], more = ""): string =>
  `<identity category='client' type='pc' name='x'/>${features.map((one) => `<feature var='${one}'/>`).join("")}${more}`;
const base64 = (algorithm: string, text: string): string => createHash(algorithm).update(text).digest("base64");
/** XEP-0115 §5.1 for `query(features)`, features sorted. */
const ver = (features: readonly string[]): string => base64("sha1", `client/pc//x<${features.join("<")}<`);
/** XEP-0390 §4.1 for `query(features)`. */
const hash2 = (features: readonly string[]): string =>
  base64("sha256", `${features.map((one) => `${one}\x1f`).join("")}\x1cclient\x1fpc\x1f\x1fx\x1f\x1e\x1c\x1c`);
const caps = (hash: string, algorithm = "sha-1"): string =>
  `<c xmlns='http://jabber.org/protocol/caps' node='https://x.example' hash='${algorithm}' ver='${hash}'/>`;
const caps2 = (hash: string): string =>
  `<c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>${hash}</hash></c>`;

const isQuestion = (stanza: Element): boolean =>
  stanza.is("iq") && stanza.attrs.type === "get" && stanza.getChild("query", info) !== undefined;

/** Takes the question for the client's capabilities and answers it. */
async function answer(client: XmppClient, inside: string): Promise<string> {
  const asked = await client.next(isQuestion, "question for capabilities");
  const node: string = asked.getChild("query", info)?.attrs.node;
  client.send(
    `<iq type='result' id='${asked.attrs.id}' to='${asked.attrs.from}'><query xmlns='${info}' node='${node}'>${inside}</query></iq>`,
  );
  await client.ping();
  return node;
}

test("a hash that is true is asked for once, by whoever bears it, and after a crash by nobody", async () => {
  const features = ["urn:one", "urn:one+notify"];
  const alice = await core.login("alice");
  alice.presence(caps(ver(features)));
  expect(await answer(alice, query(features))).toBe(`https://x.example#${ver(features)}`);
  const bob = await core.login("bob");
  bob.presence(caps(ver(features)));
  await bob.none(isQuestion);
  await core.crash();
  const carol = await core.login("carol");
  carol.presence(`<show>away</show>${caps(ver(features))}`);
  await carol.none(isQuestion);
});

test("a hash of XEP-0390 is preferred, and asked for under its own node", async () => {
  const features = ["urn:two", "urn:two+notify"];
  const alice = await core.login("alice");
  alice.presence(caps(ver(features)) + caps2(hash2(features)));
  expect(await answer(alice, query(features))).toBe(`urn:xmpp:caps#sha-256.${hash2(features)}`);
  const bob = await core.login("bob");
  bob.presence(caps2(hash2(features)));
  await bob.none(isQuestion);
});

const poisons: readonly [what: string, announced: string, answered: string][] = [
  ["another hash", caps(ver(["urn:a+notify"])), query(["urn:b+notify"])],
  ["features twice", caps(ver(["urn:c", "urn:c"])), query(["urn:c", "urn:c"])],
  ["a feature that holds two", caps(ver(["urn:d", "urn:d+notify"])), query(["urn:d&lt;urn:d+notify"])],
  [
    "features disguised as a form",
    caps(ver(["urn:e", "urn:f+notify"])),
    query(
      ["urn:e"],
      "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:f+notify</value></field></x>",
    ),
  ],
  ["an unknown hash function", caps("abc", "crc-32"), query(["urn:g"])],
  ["no hash at all", "<c xmlns='http://jabber.org/protocol/caps' node='urn:old' ver='1.0'/>", query(["urn:h"])],
  ["something that XEP-0390 does not hash", caps2(hash2(["urn:i"])), query(["urn:i"], "<more xmlns='urn:more'/>")],
];
test.each(poisons)("%s: the answer counts for nobody else", async (_, announced, answered) => {
  const alice = await core.login("alice");
  alice.presence(announced);
  await answer(alice, answered);
  const bob = await core.login("bob");
  bob.presence(announced);
  await answer(bob, answered);
  // Nor is the same client asked again while it says the same.
  bob.presence(`<show>away</show>${announced}`);
  await bob.none(isQuestion);
});

test("whoever shows no capabilities is not asked; who shows others is asked again", async () => {
  const alice = await core.login("alice");
  alice.presence();
  await alice.none(isQuestion);
  alice.presence(caps(ver(["urn:j"])));
  await answer(alice, query(["urn:j"]));
  alice.presence(caps(ver(["urn:k"])));
  expect(await answer(alice, query(["urn:k"]))).toBe(`https://x.example#${ver(["urn:k"])}`);
});

test("a question that a restart interrupts is asked again", async () => {
  const alice = await core.login("alice", { sm: true });
  alice.presence(caps(ver(["urn:l"])));
  await alice.next(isQuestion);
  await core.restart();
  await answer(alice, query(["urn:l"]));
  await core.restart();
  await alice.none(isQuestion);
});

test("one person cannot drive out what others brought", async () => {
  const features = ["urn:kept"];
  const bob = await core.login("bob");
  bob.presence(caps(ver(features)));
  await answer(bob, query(features));
  const alice = await core.login("alice");
  for (let i = 0; i < 22; i++) {
    alice.presence(caps(ver([`urn:flood:${i}`])));
    await answer(alice, query([`urn:flood:${i}`]));
  }
  const carol = await core.login("carol");
  carol.presence(caps(ver(features)));
  await carol.none(isQuestion);
  // Her own oldest went instead.
  carol.presence(caps(ver(["urn:flood:0"])));
  await answer(carol, query(["urn:flood:0"]));
  carol.presence(caps(ver(["urn:flood:21"])));
  await carol.none(isQuestion);
});

test("the server's own hash of XEP-0390 stands in its stream features and is answered", async () => {
  const alice = await core.login("alice");
  const hash = alice.features?.getChild("c", "urn:xmpp:caps")?.getChild("hash", "urn:xmpp:hashes:2");
  expect(hash?.attrs.algo).toBe("sha-256");
  const node = `urn:xmpp:caps#sha-256.${hash?.getText()}`;
  const told = await alice.get(`<query xmlns='${info}' node='${node}'/>`, "localhost");
  const found = told.getChild("query", info);
  expect(found?.attrs.node).toBe(node);
  const features = (found?.getChildren("feature") ?? []).map((one) => `${one.attrs.var}\x1f`).sort();
  expect(features).toContain("urn:xmpp:caps\x1f");
  const identities = (found?.getChildren("identity") ?? [])
    .map(({ attrs }) => `${attrs.category}\x1f${attrs.type}\x1f\x1f${attrs.name ?? ""}\x1f\x1e`)
    .sort();
  const forms = (found?.getChildren("x", "jabber:x:data") ?? []).map((form) => {
    const fields = form.getChildren("field").map((field) => {
      const values = field.getChildren("value").map((value) => `${value.getText()}\x1f`);
      return `${field.attrs.var}\x1f${values.sort().join("")}\x1e`;
    });
    return `${fields.sort().join("")}\x1d`;
  });
  const text = `${features.join("")}\x1c${identities.join("")}\x1c${forms.sort().join("")}\x1c`;
  expect(hash?.getText()).toBe(base64("sha256", text));
});
