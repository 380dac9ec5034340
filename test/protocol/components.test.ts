/** External components: how they connect, who they may speak as, and what passes. XEP-0114 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
const open = new Set<TestComponent>();
const join = async (to: string, secret = "secret"): Promise<TestComponent> => {
  const component = await TestComponent.join(port, to, secret);
  open.add(component);
  return component;
};

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "secret"),
      "firekeeper.component.secrets": "sms:another",
    },
  });
});
afterEach(async () => {
  XmppClient.dropAll();
  for (const component of open) {
    component.connection.end();
    await component.connection.ended;
  }
  open.clear();
});
afterAll(() => core.close());

const online = async (name: string): Promise<XmppClient> => {
  const client = await core.login(name);
  client.presence();
  await client.next("presence");
  return client;
};
const condition = (stanza: { getChild(name: string): { children: unknown[] } | undefined }): string =>
  String((stanza.getChild("error")?.children as { name: string }[] | undefined)?.[0]?.name);

test("a component joins under its full name or its label, and its secret decides", async () => {
  const irc = await join("irc.localhost");
  expect(irc.connection.header?.attrs).toMatchObject({ from: "irc.localhost", xmlns: "jabber:component:accept" });
  await join("icq");
  await join("sms.localhost", "another");
  const wrong = await TestComponent.open(port, "fax.localhost");
  wrong.handshake("not it");
  expect(await wrong.streamError()).toBe("not-authorized");
  const shared = await TestComponent.open(port, "sms");
  shared.handshake("secret");
  expect(await shared.streamError()).toBe("not-authorized");
});

test("a name that is none, the server's own or in use is refused", async () => {
  for (const to of ["irc.elsewhere", "localhost", "a.b.localhost", "x@irc.localhost", "_.localhost", "__proto__"])
    expect(await (await TestComponent.open(port, to)).streamError(), to).toBe("host-unknown");
  expect(await (await TestComponent.open(port, "proxy.localhost")).streamError()).toBe("conflict");
  await join("irc");
  const second = await TestComponent.open(port, "irc.localhost");
  second.handshake("secret");
  expect(await second.streamError()).toBe("conflict");
});

test("messages pass both ways, with their archive and copies", async () => {
  const irc = await join("irc");
  const alice = await online("alice");
  const other = await core.login("alice", { resource: "other" });
  await other.set("<enable xmlns='urn:xmpp:carbons:2'/>");
  alice.message("room@irc.localhost/nick", "hello");
  const heard = await irc.next("message");
  expect(heard.attrs).toMatchObject({ from: alice.jid, to: "room@irc.localhost/nick", type: "chat" });
  expect(heard.getChildText("body")).toBe("hello");
  await other.next("message", (stanza) => stanza.getChild("sent", "urn:xmpp:carbons:2") !== undefined);
  irc.send(`<message from='room@irc.localhost/nick' to='alice@localhost' type='chat'><body>hi</body></message>`);
  expect((await alice.next("message")).attrs.from).toBe("room@irc.localhost/nick");
  // With the namespace spelt out, as some libraries write it.
  irc.send(
    `<message xmlns='jabber:component:accept' from='irc.localhost' to='${alice.jid}' type='chat'><body>there</body></message>`,
  );
  const spelt = await alice.next("message");
  expect(spelt.getChildText("body")).toBe("there");
  const archive = await alice.set("<query xmlns='urn:xmpp:mam:2'/>");
  expect(archive.attrs.type).toBe("result");
  const results = alice.connection.inbox.filter((stanza) => stanza.getChild("result", "urn:xmpp:mam:2") !== undefined);
  expect(results.length).toBe(3);
});

test("requests pass both ways and the server lists the component", async () => {
  const irc = await join("irc");
  const alice = await online("alice");
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost");
  expect(
    items
      .getChild("query")
      ?.getChildren("item")
      .map((item) => item.attrs.jid),
  ).toContain("irc.localhost");
  const asking = alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "irc.localhost");
  const asked = await irc.next("iq");
  expect(asked.attrs).toMatchObject({ from: alice.jid, to: "irc.localhost", type: "get" });
  irc.send(
    `<iq type='result' id='${asked.attrs.id}' from='irc.localhost' to='${alice.jid}'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='gateway' type='irc'/></query></iq>`,
  );
  expect((await asking).getChild("query")?.getChild("identity")?.attrs.category).toBe("gateway");
  // Towards the server, and towards a client.
  await irc.ping();
  const version = irc.iq("get", alice.jid, "<query xmlns='urn:example'/>", "bot@irc.localhost/x");
  const question = await alice.next("iq");
  expect(question.attrs.from).toBe("bot@irc.localhost/x");
  alice.send(`<iq type='result' id='${question.attrs.id}' to='bot@irc.localhost/x'/>`);
  expect((await version).attrs).toMatchObject({ type: "result", from: alice.jid });
});

test("who is away is still a service: requests and messages are refused, also after a restart", async () => {
  const irc = await join("irc");
  const alice = await online("alice");
  const asking = alice.get("<query xmlns='urn:example'/>", "irc.localhost");
  await irc.next("iq");
  irc.send("</stream:stream>");
  expect(condition(await asking)).toBe("service-unavailable");
  expect(condition(await alice.get("<ping xmlns='urn:xmpp:ping'/>", "irc.localhost"))).toBe("service-unavailable");
  await core.restart();
  alice.message("x@irc.localhost", "hello");
  expect(condition(await alice.next("message"))).toBe("service-unavailable");
});

test("an orderly restart ends a component's stream, its questions are answered, and it comes back", async () => {
  const irc = await join("irc");
  const alice = await online("alice");
  const asking = alice.get("<query xmlns='urn:example'/>", "irc.localhost");
  await irc.next("iq");
  await core.restart();
  expect(condition(await asking)).toBe("service-unavailable");
  expect((await irc.connection.ended).streamEnded).toBe(true);
  const again = await join("irc");
  alice.message("x@irc.localhost", "back");
  expect((await again.next("message")).getChildText("body")).toBe("back");
});

test("a sender that is not the component's ends the stream, and so does none", async () => {
  for (const from of ["alice@localhost", "irc.localhost.elsewhere", "x@sms.localhost", "localhost"]) {
    const irc = await join("irc");
    irc.send(`<message from='${from}' to='bob@localhost'><body>forged</body></message>`);
    expect(await irc.streamError(), from).toBe("invalid-from");
    await irc.connection.ended;
  }
  const irc = await join("irc");
  irc.send("<message to='bob@localhost'><body>nobody's</body></message>");
  expect(await irc.streamError()).toBe("improper-addressing");
});

test("lists of components decide at once", async () => {
  const irc = await join("irc");
  await core.set({ "firekeeper.component.denied": "irc" });
  expect(await irc.streamError()).toBe("not-authorized");
  await core.set({ "firekeeper.component.denied": null, "xmpp.component.permission": "whitelist" });
  const refused = await TestComponent.open(port, "irc");
  refused.handshake("secret");
  expect(await refused.streamError()).toBe("not-authorized");
  await join("sms", "another");
  await core.set({ "firekeeper.component.allowed": "irc" });
  await join("irc");
  await core.set({ "xmpp.component.permission": null, "firekeeper.component.allowed": null });
});

test("after a change of the domain a component goes on under the name it knows", async () => {
  const irc = await join("irc.localhost");
  await core.rename("example.test", null);
  const bob = await core.login("bob", { domain: "example.test" });
  bob.message("x@irc.example.test", "hello");
  const heard = await irc.next("message");
  expect(heard.attrs).toMatchObject({ from: bob.jid.replace("example.test", "localhost"), to: "x@irc.localhost" });
  irc.send(`<message from='x@irc.localhost' to='${heard.attrs.from}' type='chat'><body>hi</body></message>`);
  expect((await bob.next("message")).attrs).toMatchObject({ from: "x@irc.example.test", to: bob.jid });
  await core.rename("localhost", null);
});
