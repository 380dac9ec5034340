import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { mam, readArchive } from "../support/mam.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// What the server carries without understanding it (XEP-0258, XEP-0131), and what it is asked to do with it (XEP-0334)
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
});
beforeEach(async () => {
  XmppClient.dropAll();
  [alice, bob] = await Promise.all([
    core.login("alice", { resource: "desk" }),
    core.login("bob", { resource: "phone" }),
  ]);
});
afterAll(() => core.close());

const label =
  "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking fgcolor='black' bgcolor=\"red\">SECRET  \u00e9&#x20;&gt;</displaymarking><label><esssecuritylabel xmlns='urn:xmpp:sec-label:ess:0'>MQYCAQIGASk=</esssecuritylabel></label><equivalentlabel/></securitylabel>";
const headers =
  "<headers xmlns='http://jabber.org/protocol/shim'><header name='Urgency'>high</header><header  name='Keywords'>a, b</header></headers>";
/** How often the bytes came in so far. */
const times = (client: XmppClient, bytes: string): number => client.transcript().split(bytes).length - 1;

test.each([
  ["a security label", label],
  ["headers", headers],
  ["both, and the hint to store", `${headers}${label}<store xmlns='urn:xmpp:hints'/>`],
])(
  "%s: byte for byte as it was written, live, in a copy, from offline storage and from both archives",
  async (_name, bytes) => {
    const send = (to: string) => alice.send(`<message to='${to}' type='chat' id='x'><body>b</body>${bytes}</message>`);
    const tablet = await core.login("bob", { resource: "tablet" });
    await tablet.set("<enable xmlns='urn:xmpp:carbons:2'/>");
    send(bob.jid);
    await bob.next("message");
    expect(times(bob, bytes)).toBe(1);
    await tablet.next("message");
    expect(times(tablet, bytes)).toBe(1);
    expect(await last(bob, bytes)).toBe(2);
    // What alice sent herself stands in her transcript as well.
    expect(await last(alice, bytes)).toBe(2);
    await Promise.all([bob.close(), tablet.close()]);
    send("bob@localhost");
    await alice.ping();
    bob = await core.login("bob");
    bob.presence();
    await bob.next("message");
    expect(times(bob, bytes)).toBe(1);
  },
);

async function last(client: XmppClient, bytes: string): Promise<number> {
  await readArchive(client, "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>");
  return times(client, bytes);
}

test("under another name of the domain the label stays as it was written", async () => {
  const about =
    "<securitylabel xmlns='urn:xmpp:sec-label:0'><displaymarking>for bob@localhost only</displaymarking></securitylabel>";
  alice.send(`<message to='${bob.jid}' type='chat'><body>b</body>${about}</message>`);
  await bob.next("message");
  await core.rename("new.example", null);
  const under = await core.login("bob", { domain: "new.example" });
  expect(await last(under, about)).toBe(1);
  await core.rename("localhost", null);
});

const body = "<body>said</body>";
const marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
const hint = (name: string) => `<${name} xmlns='urn:xmpp:hints'/>`;
test.each([
  ["a body", body, { archived: true, offline: true, copied: true }],
  ["no-store", `${body}${hint("no-store")}`, { archived: false, offline: false, copied: true }],
  ["no-permanent-store", `${body}${hint("no-permanent-store")}`, { archived: false, offline: false, copied: true }],
  ["no-copy", `${body}${hint("no-copy")}`, { archived: true, offline: true, copied: false }],
  [
    "no-store and no-copy",
    `${body}${hint("no-store")}${hint("no-copy")}`,
    { archived: false, offline: false, copied: false },
  ],
  ["store without a body", hint("store"), { archived: true, offline: true, copied: true }],
  [
    "store of a chat state",
    `<active xmlns='http://jabber.org/protocol/chatstates'/>${hint("store")}`,
    { archived: true, offline: true, copied: true },
  ],
  [
    "a chat state",
    "<active xmlns='http://jabber.org/protocol/chatstates'/>",
    { archived: false, offline: false, copied: true },
  ],
  ["a marker", marker, { archived: true, offline: true, copied: true }],
  ["a hint that nobody knows", `${body}${hint("no-thing")}`, { archived: true, offline: true, copied: true }],
])("hints: %s", async (_name, inside, wanted) => {
  const id = `h${Math.random()}`;
  const send = (to: string) => alice.send(`<message to='${to}' type='chat' id='${id}'>${inside}</message>`);
  const tablet = await core.login("bob", { resource: "tablet" });
  await tablet.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  send(bob.jid);
  await bob.next("message", (message) => message.attrs.id === id);
  await tablet.ping();
  const copied = tablet.connection.inbox.some((stanza) => stanza.toString().includes(id));
  const { messages } = await readArchive(bob);
  const archived = messages.some((message) => message.attrs.id === id);
  await Promise.all([bob.close(), tablet.close()]);
  send("bob@localhost");
  await alice.ping();
  const late = await core.login("bob");
  late.presence();
  await late.set(`<query xmlns='${mam}'/>`);
  await late.ping();
  const offline = late.connection.inbox.some((stanza) => stanza.attrs.id === id);
  expect({ archived, offline, copied }).toEqual(wanted);
});
