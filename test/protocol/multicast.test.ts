import type { Element } from "ltx";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { readArchive } from "../support/mam.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0033
const ns = "http://jabber.org/protocol/address";
const service = "multicast.localhost";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
let carol: XmppClient;
let dave: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave"] });
});
beforeEach(async () => {
  XmppClient.dropAll();
  [alice, bob, carol, dave] = (await Promise.all(
    ["alice", "bob", "carol", "dave"].map((name) => core.login(name, { resource: "r" })),
  )) as [XmppClient, XmppClient, XmppClient, XmppClient];
  for (const client of [bob, carol, dave]) {
    client.presence();
    await client.next("presence");
  }
});
afterAll(() => core.close());

type Address = Record<string, string>;
const addresses = (list: readonly Address[]) =>
  `<addresses xmlns='${ns}'>${list
    .map(
      (one) =>
        `<address ${Object.entries(one)
          .map(([name, value]) => `${name}='${value}'`)
          .join(" ")}/>`,
    )
    .join("")}</addresses>`;
const shown = (stanza: Element): Address[] =>
  stanza
    .getChild("addresses", ns)
    ?.getChildren("address")
    .map(({ attrs: { xmlns: _, ...rest } }) => rest as Address) ?? [];
const send = (list: readonly Address[], body = "to all", to = service) =>
  alice.send(`<message to='${to}' type='chat' id='m1'><body>${body}</body>${addresses(list)}</message>`);
const refusal = async () => errorCondition(await alice.next("message", (message) => message.attrs.type === "error"));

test("each gets one, knows the open ones, and of the hidden ones only himself", async () => {
  send([
    { type: "to", jid: "bob@localhost", desc: "Bob" },
    { type: "cc", jid: "carol@localhost" },
    { type: "bcc", jid: "dave@localhost" },
    { type: "bcc", jid: "bob@localhost" },
    { type: "to", jid: "bob@localhost" },
    { type: "replyto", jid: "alice@localhost/r" },
    { type: "noreply" },
    { type: "ofrom", jid: "ceo@localhost" },
  ]);
  const open = [
    { type: "to", jid: "bob@localhost", desc: "Bob", delivered: "true" },
    { type: "cc", jid: "carol@localhost", delivered: "true" },
    { type: "to", jid: "bob@localhost", delivered: "true" },
    { type: "replyto", jid: "alice@localhost/r" },
    { type: "noreply" },
  ];
  const [one, two, three] = await Promise.all([bob, carol, dave].map((client) => client.next("message")));
  expect(shown(one as Element)).toEqual(open);
  expect(shown(two as Element)).toEqual(open);
  expect(shown(three as Element)).toEqual([...open, { type: "bcc", jid: "dave@localhost" }]);
  expect(one?.attrs).toMatchObject({ from: "alice@localhost/r", to: "bob@localhost", type: "chat" });
  expect(one?.getChildText("body")).toBe("to all");
  await bob.none("message", "a second one", alice);
  // Each is a message of its own: in both archives, with its id.
  expect((await readArchive(dave)).bodies).toEqual(["to all"]);
  expect((await readArchive(alice)).messages.map(({ attrs }) => attrs.to)).toEqual(
    expect.arrayContaining(["bob@localhost", "carol@localhost", "dave@localhost"]),
  );
  expect((await readArchive(alice)).bodies).toHaveLength(3);
});

test("who is already marked as served gets nothing, and loops end", async () => {
  send([
    { type: "to", jid: "bob@localhost", delivered: "true" },
    { type: "to", jid: "carol@localhost" },
  ]);
  expect(shown(await carol.next("message"))).toHaveLength(2);
  await bob.none("message", "anything", alice);
  send([{ type: "to", jid: service }]);
  expect(await refusal()).toBe("forbidden");
});

test.each([
  [
    "a foreign address, and then nobody gets it",
    [
      { type: "to", jid: "bob@localhost" },
      { type: "cc", jid: "x@else.example" },
    ],
    "forbidden",
  ],
  ["no address", [{ type: "to", jid: "@@" }], "jid-malformed"],
  ["another kind of address", [{ type: "to", uri: "sip:bob@localhost" }], "jid-malformed"],
  ["nobody to send to", [{ type: "replyto", jid: "bob@localhost" }], "bad-request"],
  ["too many", Array.from({ length: 101 }, (_, i) => ({ type: "to", jid: `p${i}@localhost` })), "not-acceptable"],
])("refused: %s", async (_name, list, condition) => {
  send(list as Address[]);
  expect(await refusal()).toBe(condition);
  await bob.none("message", "anything", alice);
});

test("each copy meets the block lists, and an error names the address that it concerns", async () => {
  await carol.set("<block xmlns='urn:xmpp:blocking'><item jid='alice@localhost'/></block>");
  send([
    { type: "to", jid: "bob@localhost" },
    { type: "to", jid: "carol@localhost" },
  ]);
  await bob.next("message");
  const back = await alice.next("message", (message) => message.attrs.type === "error");
  expect([back.attrs.from, errorCondition(back)]).toEqual(["carol@localhost", "service-unavailable"]);
  await carol.none("message", "anything", alice);
  await carol.set("<unblock xmlns='urn:xmpp:blocking'/>");
});

test("presence for several, and its end for all of them", async () => {
  alice.send(
    `<presence to='${service}'><show>dnd</show>${addresses([
      { type: "to", jid: "bob@localhost" },
      { type: "bcc", jid: "carol@localhost" },
    ])}</presence>`,
  );
  for (const client of [bob, carol])
    expect((await client.next("presence", (one) => one.attrs.from === alice.jid)).getChildText("show")).toBe("dnd");
  await alice.close();
  for (const client of [bob, carol])
    await client.next("presence", (one) => one.attrs.from === "alice@localhost/r" && one.attrs.type === "unavailable");
});

test("it is found by discovery with its limit, and can be turned off", async () => {
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost");
  expect(items.toString()).toContain(`jid="${service}"`);
  const info = (await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", service)).getChild("query");
  expect(info?.getChildren("feature").map(({ attrs }) => attrs.var)).toContain(ns);
  const limit = info?.getChild("x", "jabber:x:data")?.getChildren("field") ?? [];
  expect(limit.map((one) => one.getChildText("value"))).toEqual([ns, "100"]);
  await core.set({ "firekeeper.multicast.recipients": "0" });
  send([{ type: "to", jid: "bob@localhost" }]);
  expect(await refusal()).toBe("remote-server-not-found");
  await core.set({ "firekeeper.multicast.recipients": "100" });
});
