import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import {
  affiliate,
  configure,
  event,
  fetch,
  form,
  ids,
  isEvent,
  item,
  ownerRequest,
  publish,
  pubsubNs,
  refusal,
  request,
  rsm,
  subscribe,
  subscription,
  told,
} from "../support/pubsub.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0163, XEP-0222, XEP-0223
const info = "http://jabber.org/protocol/disco#info";
let core: TestCore;
let nodes = 0;
let node = "";
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  for (const each of [alice, bob]) {
    await each.roster();
    each.presence();
  }
  for (const [one, other] of [
    [alice, bob],
    [bob, alice],
  ] as const) {
    one.presence("", `type='subscribe' to='${other.bare}'`);
    await other.next("presence", (presence) => presence.attrs.type === "subscribe");
    other.presence("", `type='subscribed' to='${one.bare}'`);
    await one.next("presence", (presence) => presence.attrs.type === "subscribed");
  }
  XmppClient.dropAll();
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

/** Logs in and says by XEP-0115 which nodes are wanted. */
async function online(user: string, resource: string, ...wanted: readonly string[]): Promise<XmppClient> {
  const client = await core.login(user, { resource });
  await client.roster();
  const features = wanted.map((each) => `${each}+notify`).sort();
  const ver = createHash("sha1")
    .update(`client/pc//x<${features.map((each) => `${each}<`).join("")}`)
    .digest("base64");
  client.presence(`<c xmlns='http://jabber.org/protocol/caps' node='https://x.example' hash='sha-1' ver='${ver}'/>`);
  await client.next("presence", (presence) => presence.attrs.from === client.jid);
  await client.ping();
  const asks = (stanza: Element): boolean =>
    stanza.is("iq") && stanza.attrs.type === "get" && stanza.getChild("query", info) !== undefined;
  const asked = client.connection.inbox.find(asks);
  if (asked === undefined) return client;
  await client.next(asks);
  const list = features.map((each) => `<feature var='${each}'/>`).join("");
  client.send(
    `<iq type='result' id='${asked.attrs.id}' to='${asked.attrs.from}'><query xmlns='${info}' node='https://x.example#${ver}'><identity category='client' type='pc' name='x'/>${list}</query></iq>`,
  );
  await client.ping();
  return client;
}
const fresh = (): string => {
  node = `urn:example:${++nodes}`;
  return node;
};

test("what one publishes reaches contacts and own devices that want it, with the resource it came from, and nobody else", async () => {
  fresh();
  const alice = await online("alice", "desk", node);
  const phone = await online("alice", "phone", node);
  const bob = await online("bob", "home", node);
  const deaf = await online("bob", "deaf");
  const carol = await online("carol", "x", node);
  expect((await publish(alice, "", node, item("current"))).attrs.type).toBe("result");
  for (const client of [alice, phone, bob]) {
    const message = await event(client, node);
    expect(told(message)).toBe("items current");
    expect(message.attrs).toMatchObject({ from: "alice@localhost", to: client.jid, type: "headline" });
    const reply = message.getChild("addresses", "http://jabber.org/protocol/address")?.getChild("address");
    expect(reply?.attrs).toMatchObject({ type: "replyto", jid: "alice@localhost/desk" });
  }
  for (const client of [deaf, carol]) await client.none((stanza) => isEvent(stanza, node), undefined, alice);
  expect(ids(await fetch(bob, "alice@localhost", node))).toEqual(["current"]);
  expect(refusal(await fetch(carol, "alice@localhost", node))).toBe("not-authorized presence-subscription-required");
  expect(refusal(await publish(bob, "alice@localhost", node, item("forged")))).toBe("forbidden");
  expect(refusal(await publish(bob, "alice@localhost", "urn:example:new", item("forged")))).toBe("forbidden");
  expect(refusal(await fetch(bob, "nobody@localhost", node))).toBe("service-unavailable");
});

test("whoever comes online gets the last items of contacts and of himself, stamped, once", async () => {
  fresh();
  const alice = await online("alice", "desk");
  await publish(alice, "", node, item("old"));
  await publish(alice, "", node, item("new"));
  for (const user of ["bob", "alice"]) {
    const client = await online(user, "late", node);
    const message = await event(client, node);
    expect(told(message)).toBe("items new");
    expect(message.attrs.from).toBe("alice@localhost");
    expect(message.getChild("delay", "urn:xmpp:delay")).toBeDefined();
    client.presence("<show>away</show>");
    await client.none((stanza) => isEvent(stanza, node));
  }
  const carol = await online("carol", "late", node);
  await carol.none((stanza) => isEvent(stanza, node));
  await configure(alice, "", node, { send_last_published_item: "on_sub" });
  const again = await online("bob", "again", node);
  await again.none((stanza) => isEvent(stanza, node));
});

test("whoever begins to see a person gets his last items; who no longer may hears nothing more", async () => {
  fresh();
  const alice = await online("alice", "desk");
  await publish(alice, "", node, item("a"));
  const carol = await online("carol", "x", node);
  carol.presence("", "type='subscribe' to='alice@localhost'");
  await alice.next("presence", (presence) => presence.attrs.type === "subscribe");
  alice.presence("", "type='subscribed' to='carol@localhost'");
  expect(told(await event(carol, node))).toBe("items a");
  await publish(alice, "", node, item("b"));
  expect(told(await event(carol, node))).toBe("items b");
  alice.presence("", "type='unsubscribed' to='carol@localhost'");
  await carol.next("presence", (presence) => presence.attrs.type === "unsubscribed");
  await publish(alice, "", node, item("c"));
  await carol.none((stanza) => isEvent(stanza, node), undefined, alice);
  expect(refusal(await fetch(carol, "alice@localhost", node))).toBe("not-authorized presence-subscription-required");
});

test("a contact who is blocked hears nothing and is told nothing", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const bob = await online("bob", "home", node);
  await alice.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  await publish(alice, "", node, item("a"), { access_model: "open" });
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
  expect(refusal(await fetch(bob, "alice@localhost", node))).toBe("service-unavailable");
  await alice.set("<unblock xmlns='urn:xmpp:blocking'/>");
  expect(ids(await fetch(bob, "alice@localhost", node))).toEqual(["a"]);
});

test("publish-options make a node as they say, and are conditions afterwards", async () => {
  const devices = "eu.siacs.conversations.axolotl.devicelist";
  const alice = await online("alice", "desk");
  const carol = await online("carol", "x");
  // OMEMO clients of old send no options and rely on everybody reading it.
  await publish(alice, "", devices, `<item id='current'><list xmlns='eu.siacs.conversations.axolotl'/></item>`);
  expect(ids(await fetch(carol, "alice@localhost", devices))).toEqual(["current"]);
  const [open, closed] = [fresh(), fresh()];
  for (const id of ["1", "2", "3"])
    await publish(alice, "", open, item(id), { access_model: "open", max_items: "max" });
  expect(ids(await fetch(carol, "alice@localhost", open))).toEqual(["1", "2", "3"]);
  await publish(alice, "", closed, item("1"), { access_model: "whitelist", persist_items: "true" });
  expect(refusal(await fetch(await online("bob", "home"), "alice@localhost", closed))).toBe("not-allowed closed-node");
  expect(refusal(await publish(alice, "", closed, item("2"), { access_model: "open" }))).toBe(
    "conflict precondition-not-met",
  );
  await configure(alice, "", closed, { access_model: "open" });
  expect((await publish(alice, "", closed, item("2"), { access_model: "open" })).attrs.type).toBe("result");
});

test("a device that was cut off when the server died hears what changed meanwhile, once it is back", async () => {
  fresh();
  const bob = await online("bob", "desk");
  await publish(bob, "", node, item("a") + item("b") + item("c"), { max_items: "max", access_model: "whitelist" });
  const phone = await online("bob", "phone", node);
  await phone.enable();
  phone.connection.drop();
  await phone.ended;
  await bob.set(request(`<retract node='${node}'><item id='a'/></retract>`));
  await publish(bob, "", node, item("d"));
  await core.crash();
  phone.connection.inbox.length = 0;
  await phone.resume();
  expect(told(await event(phone, node))).toBe("items -a");
  expect(told(await event(phone, node))).toBe("items b c d");
});

test("bookmarks and read marks are private and many without any option", async () => {
  const alice = await online("alice", "desk", "urn:xmpp:bookmarks:1");
  const bob = await online("bob", "home", "urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0");
  for (const name of ["urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0"]) {
    for (const room of ["a@rooms.example", "b@rooms.example"]) await publish(alice, "", name, item(room));
    expect(ids(await fetch(alice, "", name))).toEqual(["a@rooms.example", "b@rooms.example"]);
    expect(refusal(await fetch(bob, "alice@localhost", name))).toBe("not-allowed closed-node");
  }
  expect(told(await event(alice, "urn:xmpp:bookmarks:1"))).toBe("items a@rooms.example");
  await bob.none((stanza) => isEvent(stanza), undefined, alice);
});

test("a node is for the contacts of some groups, if it says so", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const bob = await online("bob", "home", node);
  await publish(alice, "", node, item("a"), { access_model: "roster", roster_groups_allowed: "Friends" });
  expect(refusal(await fetch(bob, "alice@localhost", node))).toBe("not-authorized not-in-roster-group");
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost'><group>Friends</group></item></query>");
  expect(ids(await fetch(bob, "alice@localhost", node))).toEqual(["a"]);
  await publish(alice, "", node, item("b"));
  expect(told(await event(bob, node))).toBe("items b");
});

test("who sees no presence subscribes to an open node, and an owner's approval opens another", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const carol = await online("carol", "x");
  await publish(alice, "", node, item("a"), { access_model: "open", send_last_published_item: "never" });
  expect(subscription(await subscribe(carol, "alice@localhost", node)).subscription).toBe("subscribed");
  await publish(alice, "", node, item("b"));
  const message = await event(carol, node);
  expect(message.attrs).toMatchObject({ from: "alice@localhost", to: "carol@localhost" });
  expect(message.getChild("addresses")).toBeUndefined();
  await configure(alice, "", node, { access_model: "authorize" });
  await carol.set(request(`<unsubscribe node='${node}' jid='carol@localhost'/>`), "alice@localhost");
  expect(subscription(await subscribe(carol, "alice@localhost", node)).subscription).toBe("pending");
  const asked = await alice.next((stanza) => stanza.is("message") && stanza.getChild("x") !== undefined, "request");
  expect(asked.attrs.from).toBe("alice@localhost");
  alice.send(
    `<message to='alice@localhost'>${form("subscribe_authorization", { node, subscriber_jid: "carol@localhost", allow: "1" })}</message>`,
  );
  expect((await event(carol, node)).toString()).toContain('subscription="subscribed"');
  expect(ids(await fetch(carol, "alice@localhost", node))).toEqual(["b"]);
});

test("a member of the whitelist reads and hears; the owner stays owner", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const bob = await online("bob", "home", node);
  await publish(alice, "", node, item("a"), { access_model: "whitelist" });
  await affiliate(alice, "", node, { "bob@localhost": "member" });
  expect(ids(await fetch(bob, "alice@localhost", node))).toEqual(["a"]);
  await publish(alice, "", node, item("b"));
  expect(told(await event(bob, node))).toBe("items b");
  expect(refusal(await affiliate(alice, "", node, { "alice@localhost": "none" }))).toBe("not-acceptable");
  expect(refusal(await bob.get(ownerRequest(`<configure node='${node}'/>`), "alice@localhost"))).toBe("forbidden");
  await alice.set(ownerRequest(`<delete node='${node}'/>`));
  expect(told(await event(bob, node))).toBe("delete");
});

test("the account says what clients look for, and lists its nodes to those who may know of them", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const bob = await online("bob", "home");
  await publish(alice, "", node, item("a"));
  await publish(alice, "", `${node}/private`, item("a"), { access_model: "whitelist" });
  for (const to of ["alice@localhost", "localhost"]) {
    const answer = (await alice.get(`<query xmlns='${info}'/>`, to)).toString();
    expect(answer).toContain('<identity category="pubsub" type="pep"/>');
    for (const feature of [
      ...[
        "publish-options",
        "auto-create",
        "persistent-items",
        "multi-items",
        "item-ids",
        "config-node-max",
        "subscribe",
      ],
      ...[
        "auto-subscribe",
        "filtered-notifications",
        "last-published",
        "presence-notifications",
        "retrieve-items",
        "rsm",
      ],
      ...["access-presence", "access-open", "access-whitelist", "access-roster", "create-nodes", "retract-items"],
    ])
      expect(answer).toContain(`<feature var="${pubsubNs}#${feature}"/>`);
  }
  const listed = async (by: XmppClient) =>
    (await by.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "alice@localhost"))
      .getChild("query")
      ?.getChildren("item")
      .map(({ attrs }) => attrs.node) ?? [];
  expect(await listed(alice)).toEqual(expect.arrayContaining([node, `${node}/private`]));
  expect(await listed(bob)).toContain(node);
  expect(await listed(bob)).not.toContain(`${node}/private`);
  for (const id of ["b", "c"]) await publish(alice, "", `${node}/many`, item(id), { max_items: "max" });
  const page = await bob.get(
    `<query xmlns='http://jabber.org/protocol/disco#items' node='${node}/many'>${rsm("<max>1</max>")}</query>`,
    "alice@localhost",
  );
  expect(page.getChild("query")?.getChild("item")?.attrs.name).toBe("b");
  expect(page.getChild("query")?.getChild("set")?.getChildText("count")).toBe("2");
  const closed = `<query xmlns='http://jabber.org/protocol/disco#items' node='${node}/private'/>`;
  expect(refusal(await bob.get(closed, "alice@localhost"))).toBe("not-allowed closed-node");
  const ofNode = await bob.get(`<query xmlns='${info}' node='${node}'/>`, "alice@localhost");
  expect(ofNode.toString()).toContain('<identity category="pubsub" type="leaf"/>');
});

test("payloads of any kind come back as they were published", async () => {
  fresh();
  const alice = await online("alice", "desk");
  const payload =
    "<t:tune xmlns:t='http://jabber.org/protocol/tune' xmlns:a='urn:a' a:b='&lt;&quot;'> <t:artist>Ysaÿe &amp; 🎻</t:artist>\n<x xmlns='urn:x'><y xmlns=''/></x></t:tune>";
  await publish(alice, "", node, `<item id='__proto__'>${payload}</item>`);
  const back = (await fetch(alice, "", node)).getChild("pubsub")?.getChild("items")?.getChild("item");
  expect(back?.attrs.id).toBe("__proto__");
  const tune = back?.getChildElements()[0];
  expect(tune?.getNS()).toBe("http://jabber.org/protocol/tune");
  expect(tune?.attrs["a:b"]).toBe('<"');
  expect(tune?.getText()).toBe(" \n");
  expect(tune?.getChildText("artist")).toBe("Ysaÿe & 🎻");
  expect(tune?.toString()).toContain('<y xmlns=""/>');
  expect(refusal(await publish(alice, "", node, "<item><x xmlns=''/></item>"))).toBe("bad-request invalid-payload");
});
