/** Contacts behind components, as gateways have them: subscriptions, presence and probes both ways. RFC 6121 §3, §4 */
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { command, formFields } from "../support/commands.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
const open = new Set<TestComponent>();
async function join(label = "irc"): Promise<TestComponent> {
  const component = await TestComponent.join(port, label, "secret");
  open.add(component);
  return component;
}

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    properties: {
      ...takesComponents(port, "secret"),
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
  await expect.poll(() => core.server.sessions.size).toBe(0);
});
afterAll(() => core.close());

const kind =
  (type: string | undefined, from?: string) =>
  (stanza: Element): boolean =>
    stanza.is("presence") && stanza.attrs.type === type && (from === undefined || stanza.attrs.from === from);
async function online(name: string, resource = "pc"): Promise<XmppClient> {
  const client = await core.login(name, { resource });
  await client.roster();
  client.presence();
  await client.next("presence", kind(undefined, `${name}@localhost/${resource}`));
  return client;
}
const nick = "nick@irc.localhost";
const item = async (client: XmppClient, jid = nick) => (await client.roster()).contacts.get(jid);

test("user and contact subscribe to each other, and see each other come and go", async () => {
  const irc = await join();
  const alice = await online("alice");
  alice.presence("<status>please</status>", `type='subscribe' to='${nick}' id='s1'`);
  const asked = await irc.next(kind("subscribe"));
  expect(asked.attrs).toMatchObject({ from: "alice@localhost", to: nick, id: "s1" });
  expect(asked.getChildText("status")).toBe("please");
  await alice.next("roster push", (push) => push.getChild("query")?.getChild("item")?.attrs.ask === "subscribe");
  irc.send(`<presence type='subscribed' from='${nick}' to='alice@localhost'/>`);
  await alice.next(kind("subscribed", nick));
  await alice.next("roster push", (push) => push.getChild("query")?.getChild("item")?.attrs.subscription === "to");
  irc.send(`<presence from='${nick}/x' to='alice@localhost'><show>away</show></presence>`);
  expect((await alice.next(kind(undefined, `${nick}/x`))).getChildText("show")).toBe("away");
  // And the other way round.
  irc.send(`<presence type='subscribe' from='${nick}' to='alice@localhost' id='q'/>`);
  await alice.next(kind("subscribe", nick));
  alice.presence("", `type='subscribed' to='${nick}'`);
  expect((await irc.next(kind("subscribed"))).attrs.from).toBe("alice@localhost");
  expect((await irc.next(kind(undefined))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
  expect((await item(alice))?.subscription).toBe("both");
  alice.presence("<show>dnd</show>");
  expect((await irc.next(kind(undefined))).getChildText("show")).toBe("dnd");
  await alice.close();
  expect((await irc.next(kind("unavailable"))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
});

test("whoever logs in asks for the presence of contacts; after a restart and a reconnection too", async () => {
  const irc = await join();
  const alice = await online("alice");
  expect((await irc.next(kind("probe"))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
  expect((await irc.next(kind(undefined))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
  irc.send(`<presence from='${nick}/x' to='alice@localhost'/>`);
  await alice.next(kind(undefined, `${nick}/x`));
  await core.restart();
  const again = await join();
  expect((await again.next(kind("probe"))).attrs.to).toBe(nick);
  expect((await again.next(kind(undefined))).attrs.from).toBe("alice@localhost/pc");
  again.drop();
  // The way to them is gone, and with it whoever was seen there.
  expect((await alice.next(kind("unavailable", nick))).attrs.to).toBe("alice@localhost");
});

test("a probe of a contact is answered, one of anybody else as if nobody were there", async () => {
  const irc = await join();
  irc.send(`<presence type='probe' from='${nick}' to='alice@localhost'/>`);
  expect((await irc.next("presence")).attrs).toMatchObject({ type: "unavailable", from: "alice@localhost", to: nick });
  await online("alice");
  await irc.next(kind(undefined));
  irc.send(`<presence type='probe' from='${nick}/x' to='alice@localhost'/>`);
  expect((await irc.next(kind(undefined))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
  for (const to of ["bob@localhost", "nobody@localhost", "__proto__@localhost"]) {
    irc.send(`<presence type='probe' from='${nick}' to='${to}'/>`);
    expect((await irc.next(kind("unsubscribed"))).attrs).toMatchObject({ from: to, to: nick });
  }
  irc.send(`<presence type='subscribe' from='${nick}' to='nobody@localhost'/>`);
  expect((await irc.next(kind("unsubscribed"))).attrs.from).toBe("nobody@localhost");
});

test("a request waits for who is away, also over a restart, and is answered later", async () => {
  const irc = await join();
  irc.send(`<presence type='subscribe' from='${nick}' to='bob@localhost'><status>me</status></presence>`);
  await irc.ping();
  await core.restart();
  const again = await join();
  const bob = await online("bob");
  expect((await bob.next(kind("subscribe", nick))).getChildText("status")).toBe("me");
  bob.presence("", `type='unsubscribed' to='${nick}'`);
  expect((await again.next(kind("unsubscribed"))).attrs.from).toBe("bob@localhost");
  // Approved beforehand, it needs nobody.
  bob.presence("", "type='subscribed' to='other@irc.localhost'");
  await bob.ping();
  again.send("<presence type='subscribe' from='other@irc.localhost' to='bob@localhost'/>");
  expect((await again.next(kind("subscribed"))).attrs.to).toBe("other@irc.localhost");
  expect((await again.next(kind(undefined))).attrs.from).toBe("bob@localhost/pc");
});

test("a contact that ends it, and a contact that is removed, see and are seen no more", async () => {
  const irc = await join();
  const alice = await online("alice");
  await irc.next(kind(undefined));
  irc.send(`<presence type='unsubscribe' from='${nick}' to='alice@localhost'/>`);
  expect((await irc.next(kind("unavailable"))).attrs).toMatchObject({ from: "alice@localhost/pc", to: nick });
  expect((await item(alice))?.subscription).toBe("to");
  alice.presence("<show>xa</show>");
  await alice.ping();
  await irc.ping();
  expect(irc.connection.inbox.filter(kind(undefined))).toEqual([]);
  await alice.set(`<query xmlns='jabber:iq:roster'><item jid='${nick}' subscription='remove'/></query>`);
  expect((await irc.next(kind("unsubscribe"))).attrs).toMatchObject({ from: "alice@localhost", to: nick });
  expect(await item(alice)).toBeUndefined();
});

test("who is blocked hears nothing and is not heard", async () => {
  const irc = await join();
  const carol = await online("carol");
  carol.presence("", `type='subscribed' to='${nick}'`);
  await carol.ping();
  irc.send(`<presence type='subscribe' from='${nick}' to='carol@localhost'/>`);
  await irc.next(kind(undefined));
  await carol.set("<block xmlns='urn:xmpp:blocking'><item jid='irc.localhost'/></block>");
  carol.presence("<show>dnd</show>");
  await carol.ping();
  irc.send(
    `<presence from='${nick}/x' to='carol@localhost'/><presence type='probe' from='${nick}' to='carol@localhost'/>`,
  );
  irc.send("<presence type='subscribe' from='new@irc.localhost' to='carol@localhost'/>");
  expect((await irc.next(kind("unsubscribed"))).attrs.from).toBe("carol@localhost");
  await irc.ping();
  expect(irc.connection.inbox.filter((stanza) => stanza.getChildText("show") === "dnd")).toEqual([]);
  await carol.none("presence", (stanza) => stanza.attrs.from.includes("irc."));
  carol.presence("", `type='subscribe' to='${nick}'`);
  expect((await carol.next(kind("error", nick))).getChild("error")?.getChild("not-acceptable")).toBeDefined();
});

test("nobody can subscribe to a component that is away, nor to the services of the server", async () => {
  (await join()).drop();
  const alice = await online("alice");
  for (const to of [nick, "proxy.localhost"]) {
    alice.presence("", `type='subscribe' to='${to}'`);
    await alice.next(kind("error", to));
  }
  expect(await item(alice)).toBeUndefined();
});

test("who was invited is a contact at once, once; a token of somebody else asks as usual (XEP-0379)", async () => {
  let irc = await join();
  const guest = "guest@irc.localhost";
  let [alice, bob] = [await online("alice"), await online("bob")];
  const tokenOf = async (who: XmppClient) =>
    /preauth=([\w-]{22})/.exec(formFields(await command(who, "urn:xmpp:invite#invite")).get("uri")?.[0] ?? "")?.[1];
  const [token, foreign] = [await tokenOf(alice), await tokenOf(bob)];
  const ask = (from: string, shown: string | undefined) =>
    irc.send(
      `<presence type='subscribe' from='${from}' to='alice@localhost'><preauth xmlns='urn:xmpp:pars:0' token='${shown}'/></presence>`,
    );
  ask(guest, token);
  expect((await irc.next(kind("subscribed"))).attrs).toMatchObject({ from: "alice@localhost", to: guest });
  expect((await irc.next(kind("subscribe"))).attrs).toMatchObject({ from: "alice@localhost", to: guest });
  await irc.next((one) => kind(undefined, "alice@localhost/pc")(one) && one.attrs.to === guest);
  await alice.next("roster push", (push) => push.getChild("query")?.getChild("item")?.attrs.subscription === "from");
  irc.send(`<presence type='subscribed' from='${guest}' to='alice@localhost'/>`);
  await alice.next("roster push", (push) => push.getChild("query")?.getChild("item")?.attrs.subscription === "both");
  await core.crash();
  [alice, bob, irc] = [await online("alice"), await online("bob"), await join()];
  for (const [who, shown] of [
    ["late@irc.localhost", token],
    ["third@irc.localhost", foreign],
  ]) {
    ask(who ?? "", shown);
    await alice.next(kind("subscribe", who));
    expect(await item(alice, who)).toBeUndefined();
  }
});
