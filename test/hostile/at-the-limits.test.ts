import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { limitsAfterLogin } from "../../xmpp-core/xml/limits.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/**
 * Stanzas as deep and as full of names as anybody may send. What the server makes of them (copies, archive pages,
 * events, rooms, another name of the domain) is deeper still, and it reads that again: no exception may be left.
 */
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"], properties: { "xmpp.client.idle": "-1" } });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const room = "deep@conference.localhost";
const nested = (depth: number): string => `${"<d>".repeat(depth)}${"</d>".repeat(depth)}`;
const names = (count: number): string => Array.from({ length: count }, (_, i) => `<w xmlns='urn:w:${i}'/>`).join("");

/** Every kind of stanza that carries something of the sender's, around `inside`, which is so many levels down. */
const kinds: {
  readonly what: string;
  readonly levels: number;
  readonly names: number;
  write(inside: string): string;
}[] = [
  { what: "presence", levels: 1, names: 0, write: (inside) => `<presence>${inside}</presence>` },
  {
    what: "directed presence",
    levels: 1,
    names: 0,
    write: (inside) => `<presence to='alice@localhost/phone'>${inside}</presence>`,
  },
  {
    what: "subscription",
    levels: 1,
    names: 0,
    write: (inside) => `<presence type='subscribe' to='carol@localhost'>${inside}</presence>`,
  },
  { what: "room presence", levels: 1, names: 0, write: (inside) => `<presence to='${room}/bob'>${inside}</presence>` },
  ...["alice@localhost", "alice@localhost/phone", "alice@localhost/desk", "carol@localhost"].map((to) => ({
    what: `message to ${to}`,
    levels: 1,
    names: 0,
    write: (inside: string) => `<message to='${to}' type='chat'><body>bob@localhost</body>${inside}</message>`,
  })),
  {
    what: "room message",
    levels: 1,
    names: 0,
    write: (inside) => `<message to='${room}' type='groupchat'><body>phone</body>${inside}</message>`,
  },
  {
    what: "room whisper",
    levels: 1,
    names: 0,
    write: (inside) => `<message to='${room}/phone' type='chat'><body>x</body>${inside}</message>`,
  },
  {
    what: "request to a client",
    levels: 2,
    names: 1,
    write: (inside) => `<iq type='set' id='c' to='alice@localhost/phone'><q xmlns='urn:q'>${inside}</q></iq>`,
  },
  {
    what: "request to an occupant",
    levels: 2,
    names: 1,
    write: (inside) => `<iq type='set' id='o' to='${room}/phone'><q xmlns='urn:q'>${inside}</q></iq>`,
  },
  {
    what: "own event",
    levels: 4,
    names: 1,
    write: (inside) =>
      `<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x:deep'><item id='1'>${inside}</item></publish></pubsub></iq>`,
  },
  {
    what: "bookmark",
    levels: 6,
    names: 2,
    write: (inside) =>
      `<iq type='set' id='b'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='${room}'><conference xmlns='urn:xmpp:bookmarks:1'><extensions>${inside}</extensions></conference></item></publish></pubsub></iq>`,
  },
  {
    what: "private storage",
    levels: 3,
    names: 2,
    write: (inside) =>
      `<iq type='set' id='s'><query xmlns='jabber:iq:private'><s xmlns='urn:s'>${inside}</s></query></iq>`,
  },
  {
    what: "card",
    levels: 2,
    names: 1,
    write: (inside) => `<iq type='set' id='v'><vCard xmlns='vcard-temp'>${inside}</vCard></iq>`,
  },
  {
    what: "push options",
    levels: 3,
    names: 2,
    write: (inside) =>
      `<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='pubsub.localhost' node='n'><x xmlns='jabber:x:data'>${inside}</x></enable></iq>`,
  },
];

test.each(["deep", "wide"] as const)(
  "as %s as may be, each kind of stanza is taken and leaves a server that answers",
  async (how) => {
    const bob = await core.login("bob", { resource: "bob" });
    const desk = await core.login("alice", { resource: "desk" });
    const phone = await core.login("alice", { resource: "phone", sm: true });
    await phone.roster();
    await bob.roster();
    for (const client of [desk, phone, bob]) client.presence();
    bob.presence("<x xmlns='http://jabber.org/protocol/muc'/>", `to='${room}/bob'`);
    await bob.next("message", (m) => m.getChild("subject") !== undefined);
    await bob.set(
      "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
      room,
    );
    phone.presence("<x xmlns='http://jabber.org/protocol/muc'/>", `to='${room}/phone'`);
    await phone.next("message", (m) => m.getChild("subject") !== undefined);
    phone.presence("", "type='subscribe' to='bob@localhost'");
    bob.presence("", "type='subscribed' to='alice@localhost'");
    await phone.set("<enable xmlns='urn:xmpp:carbons:2'/>");
    phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
    await phone.ping();
    for (const kind of kinds) {
      const inside =
        how === "deep" ? nested(limitsAfterLogin.depth - kind.levels) : names(limitsAfterLogin.namespaces - kind.names);
      bob.send(kind.write(inside));
      await bob.ping();
    }
    await phone.ping();
    await phone.get(`<query xmlns='urn:xmpp:mam:2'/>`);
    await bob.set(`<query xmlns='urn:xmpp:mam:2'/>`);
    await phone.set(`<query xmlns='urn:xmpp:mam:2'/>`);
    await phone.set(`<query xmlns='urn:xmpp:mam:2'/>`, room);
    for (const [query, to] of [
      ["<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:x:deep'/></pubsub>", ""],
      ["<query xmlns='jabber:iq:private'><s xmlns='urn:s'/></query>", ""],
      ["<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>", ""],
      ["<vCard xmlns='vcard-temp'/>", ""],
    ] as const)
      await bob.get(query, to);
    // Whoever was away gets it late, and others see it under another name.
    await core.rename("chat.example", null);
    const late = await XmppClient.login({
      host: "127.0.0.1",
      port: core.port,
      domain: "chat.example",
      user: "carol",
      password: "carol",
    });
    late.presence();
    await late.next("message");
    for (const to of ["", room.replace("localhost", "chat.example")])
      await late.set(`<query xmlns='urn:xmpp:mam:2'/>`, to);
    late.message("bob@chat.example", "hello chat.example", how === "deep" ? nested(63) : names(1024));
    expect(
      (await bob.next("message", (m) => m.getChildText("body")?.startsWith("hello") === true)).attrs.from,
    ).toContain("carol@localhost");
    await late.set("<enable xmlns='urn:xmpp:push:0' jid='alice@chat.example/phone' node='x'/>");
    await core.crash();
    await phone.resume();
    await phone.ping();
    await core.rename("localhost", null);
  },
);
