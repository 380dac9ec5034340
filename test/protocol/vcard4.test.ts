import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0292, XEP-0054
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const four = "urn:ietf:params:xml:ns:vcard-4.0";
const pubsub = "http://jabber.org/protocol/pubsub";
const tempOf = async (client: XmppClient, of = ""): Promise<string[]> =>
  ((await client.get("<vCard xmlns='vcard-temp'/>", of)).getChild("vCard", "vcard-temp")?.getChildElements() ?? [])
    .map(String)
    .sort();
const fourOf = async (client: XmppClient, of = ""): Promise<string[]> =>
  ((await client.get(`<vcard xmlns='${four}'/>`, of)).getChild("vcard", four)?.getChildElements() ?? [])
    .map(String)
    .sort();
const nodeOf = async (client: XmppClient, of = ""): Promise<string[]> =>
  (
    (await client.get(`<pubsub xmlns='${pubsub}'><items node='urn:xmpp:vcard4'/></pubsub>`, of))
      .getChild("pubsub")
      ?.getChild("items")
      ?.getChild("item")
      ?.getChild("vcard", four)
      ?.getChildElements() ?? []
  )
    .map(String)
    .sort();
const publish = (client: XmppClient, inside: string, access: string) =>
  client.set(
    `<pubsub xmlns='${pubsub}'><publish node='urn:xmpp:vcard4'><item id='x'><vcard xmlns='${four}'>${inside}</vcard></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${pubsub}#publish-options</value></field><field var='pubsub#access_model'><value>${access}</value></field></x></publish-options></pubsub>`,
  );

const temp = [
  "<ADR><HOME/><STREET>1 Way</STREET><LOCALITY>Nancy</LOCALITY><CTRY>France</CTRY></ADR>",
  "<BDAY>1990-01-02</BDAY>",
  "<EMAIL><INTERNET/><WORK/><USERID>al@example.org</USERID></EMAIL>",
  "<FN>Alice</FN>",
  "<N><FAMILY>Martin</FAMILY><GIVEN>Alice</GIVEN></N>",
  "<NICKNAME>al</NICKNAME>",
  "<NOTE>a &amp; b</NOTE>",
  "<ORG><ORGNAME>Firekeeper</ORGNAME><ORGUNIT>Support</ORGUNIT></ORG>",
  "<TEL><WORK/><VOICE/><NUMBER>+33123</NUMBER></TEL>",
  "<TEL><CELL/><NUMBER>06 12 34</NUMBER></TEL>",
  "<TITLE>Head</TITLE>",
  "<URL>https://a.example</URL>",
].sort();
const asFour = [
  "<adr><parameters><type><text>home</text></type></parameters><street>1 Way</street><locality>Nancy</locality><country>France</country></adr>",
  "<bday><date>1990-01-02</date></bday>",
  "<email><parameters><type><text>work</text></type></parameters><text>al@example.org</text></email>",
  "<fn><text>Alice</text></fn>",
  "<n><surname>Martin</surname><given>Alice</given></n>",
  "<nickname><text>al</text></nickname>",
  "<note><text>a &amp; b</text></note>",
  "<org><text>Firekeeper</text><text>Support</text></org>",
  "<tel><parameters><type><text>work</text><text>voice</text></type></parameters><uri>tel:+33123</uri></tel>",
  "<tel><parameters><type><text>cell</text></type></parameters><text>06 12 34</text></tel>",
  "<title><text>Head</text></title>",
  "<url><uri>https://a.example</uri></url>",
].sort();

test("a card in the one form is read in the other, by request and in the node, and what only one can say stays", async () => {
  const alice = await core.login("alice");
  const bob = await core.login("bob");
  const own = "<PRODID>x</PRODID>";
  expect((await alice.set(`<vCard xmlns='vcard-temp'>${temp.join("")}${own}</vCard>`)).attrs.type).toBe("result");
  expect(await tempOf(bob, "alice@localhost")).toEqual([...temp, own].sort());
  expect(await fourOf(bob, "alice@localhost")).toEqual(asFour);
  expect(await nodeOf(bob, "alice@localhost")).toEqual(asFour);
  const more = [
    ...asFour.filter((one) => !/^<(fn|bday)/.test(one)),
    "<fn><text>Ally</text></fn>",
    "<gender><sex>F</sex></gender>",
  ];
  expect((await alice.set(`<vcard xmlns='${four}'>${more.join("")}</vcard>`)).attrs.type).toBe("result");
  const changed = temp.filter((one) => !/^<(FN|BDAY)/.test(one));
  expect(await tempOf(bob, "alice@localhost")).toEqual([...changed, "<FN>Ally</FN>", own].sort());
  expect(await nodeOf(bob, "alice@localhost")).toEqual(more.sort());
  await core.crash();
  const later = await core.login("bob");
  expect(await fourOf(later, "alice@localhost")).toEqual(more.sort());
});

test("a node that is not open is not shown in the other form", async () => {
  const bob = await core.login("bob");
  expect((await publish(bob, "<fn><text>Secret</text></fn>", "presence")).attrs.type).toBe("result");
  const carol = await core.login("carol");
  expect(errorCondition(await carol.get("<vCard xmlns='vcard-temp'/>", "bob@localhost"))).toBe("service-unavailable");
  expect(errorCondition(await carol.get(`<vcard xmlns='${four}'/>`, "bob@localhost"))).toBe("item-not-found");
  expect(await fourOf(bob)).toEqual(["<fn><text>Secret</text></fn>"]);
  // Nor does it tell who exists.
  expect(errorCondition(await carol.get(`<vcard xmlns='${four}'/>`, "nobody@localhost"))).toBe("item-not-found");
  const forged = `<vcard xmlns='${four}'><fn><text>forged</text></fn></vcard>`;
  expect((await carol.set(forged, "bob@localhost")).attrs.type).toBe("error");
});

test("an open node shows in vcard-temp, and the host's fields stand in it whatever is published", async () => {
  const { accounts, names } = core.server;
  const account = accounts.get(names.primary.id, "carol");
  if (account === undefined) throw new Error("no carol");
  account.displayName = "Carol Host";
  const carol = await core.login("carol");
  await publish(carol, "<fn><text>Queen</text></fn><title><text>T</text></title>", "open");
  const dave = await core.login("dave");
  for (let i = 0; i < 20 && (await nodeOf(dave, "carol@localhost"))[0]?.includes("Queen"); i++) await dave.ping();
  const shown = ["<fn><text>Carol Host</text></fn>", "<title><text>T</text></title>"];
  expect(await nodeOf(dave, "carol@localhost")).toEqual(shown);
  expect(await fourOf(dave, "carol@localhost")).toEqual(shown);
  expect(await tempOf(dave, "carol@localhost")).toEqual(["<FN>Carol Host</FN>", "<TITLE>T</TITLE>"]);
});
