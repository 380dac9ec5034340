import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import {
  affiliate,
  configure,
  create,
  event,
  fetch,
  form,
  ids,
  isEvent,
  item,
  ownerNs,
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

// XEP-0060 at the service
const at = "pubsub.localhost";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
let node = "";
let nodes = 0;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
});
beforeEach(async () => {
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
  for (const each of [alice, bob]) each.presence();
  node = `node-${++nodes}`;
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

test("a node is created, published to, read, purged and deleted, and its subscribers hear of it", async () => {
  expect((await create(alice, at, node)).attrs.type).toBe("result");
  expect(refusal(await create(alice, at, node))).toBe("conflict");
  const answer = await subscribe(bob, at, node);
  expect(subscription(answer)).toMatchObject({ node, jid: "bob@localhost", subscription: "subscribed" });
  expect(subscription(answer).subid).toMatch(/.+/);
  const published = await publish(alice, at, node, item("one", "first & <last>"));
  expect(published.getChild("pubsub")?.getChild("publish")?.getChild("item")?.attrs.id).toBe("one");
  const message = await event(bob, node);
  expect(message.attrs).toMatchObject({ from: at, to: "bob@localhost", type: "headline" });
  expect(told(message)).toBe("items one");
  expect(message.toString()).toContain('<entry xmlns="urn:example">first &amp; &lt;last&gt;</entry>');
  expect(message.toString()).toContain('publisher="alice@localhost"');
  await publish(alice, at, node, item("two"));
  await publish(alice, at, node, item("one", "again"));
  expect(ids(await fetch(bob, at, node))).toEqual(["two", "one"]);
  expect(told(await event(bob, node))).toBe("items two");
  expect(told(await event(bob, node))).toBe("items one");
  await alice.set(request(`<retract node='${node}' notify='1'><item id='two'/></retract>`), at);
  expect(told(await event(bob, node))).toBe("items -two");
  expect(refusal(await alice.set(request(`<retract node='${node}'><item id='two'/></retract>`), at))).toBe(
    "item-not-found",
  );
  await alice.set(ownerRequest(`<purge node='${node}'/>`), at);
  expect(told(await event(bob, node))).toBe("purge");
  expect(ids(await fetch(bob, at, node))).toEqual([]);
  await alice.set(ownerRequest(`<delete node='${node}'><redirect uri='xmpp:x'/></delete>`), at);
  const gone = await event(bob, node);
  expect(told(gone)).toBe("delete");
  expect(gone.toString()).toContain('<redirect uri="xmpp:x"/>');
  expect(refusal(await fetch(bob, at, node))).toBe("item-not-found");
});

test("an instant node gets a name; a node published to that is not there is made", async () => {
  const made = await create(alice, at, undefined);
  const name = made.getChild("pubsub")?.getChild("create")?.attrs.node;
  expect(name).toMatch(/.{10}/);
  await publish(alice, at, node, item("a"), { access_model: "whitelist", title: "Mine" });
  expect(refusal(await fetch(bob, at, node))).toBe("not-allowed closed-node");
  expect(refusal(await publish(alice, at, node, item("b"), { access_model: "open" }))).toBe(
    "conflict precondition-not-met",
  );
  expect(
    (await publish(alice, at, node, item("b"), { access_model: "whitelist", persist_items: "true" })).attrs.type,
  ).toBe("result");
  expect(refusal(await publish(alice, at, node, item("c"), { unheard_of: "1" }))).toBe("conflict precondition-not-met");
  expect(ids(await fetch(alice, at, node))).toEqual(["a", "b"]);
});

test("items are asked for by id, by number and by page", async () => {
  await create(alice, at, node);
  for (const id of ["a", "b", "c", "d", "e"]) await publish(alice, at, node, item(id));
  const page = async (inside: string) => {
    const answer = await fetch(alice, at, node, "", "", rsm(inside));
    const set = answer.getChild("pubsub")?.getChild("set");
    return [
      ids(answer).join(""),
      set?.getChildText("first"),
      set?.getChildText("last"),
      set?.getChildText("count"),
      set?.getChild("first")?.attrs.index,
    ];
  };
  expect(ids(await fetch(alice, at, node, "<item id='d'/><item id='b'/>"))).toEqual(["b", "d"]);
  expect(ids(await fetch(alice, at, node, "", "max_items='2'"))).toEqual(["d", "e"]);
  expect(await page("<max>2</max>")).toEqual(["ab", "a", "b", "5", "0"]);
  expect(await page("<max>2</max><after>b</after>")).toEqual(["cd", "c", "d", "5", "2"]);
  expect(await page("<max>2</max><before/>")).toEqual(["de", "d", "e", "5", "3"]);
  expect(await page("<max>2</max><before>d</before>")).toEqual(["bc", "b", "c", "5", "1"]);
  expect(await page("<max>2</max><index>3</index>")).toEqual(["de", "d", "e", "5", "3"]);
  expect(await page("<max>0</max>")).toEqual(["", null, null, "5", undefined]);
  expect(refusal(await fetch(alice, at, node, "<item id='zz'/>"))).toBe("item-not-found");
  expect(refusal(await fetch(alice, at, node, "", "", rsm("<after>zz</after>")))).toBe("item-not-found");
  await core.set({ "xmpp.pubsub.order.descending": "true" });
  expect(await page("<max>2</max>")).toEqual(["ed", "e", "d", "5", "0"]);
  expect(await page("<max>2</max><after>d</after>")).toEqual(["cb", "c", "b", "5", "2"]);
  expect(await page("<max>2</max><before/>")).toEqual(["ba", "b", "a", "5", "3"]);
  expect(ids(await fetch(alice, at, node, "", "max_items='2'"))).toEqual(["e", "d"]);
  await core.set({ "xmpp.pubsub.order.descending": null, "xmpp.pubsub.fetch.max": "3" });
  const cut = await fetch(alice, at, node);
  expect(ids(cut)).toEqual(["a", "b", "c"]);
  expect(cut.getChild("pubsub")?.getChild("set")?.getChildText("count")).toBe("5");
  await core.set({ "xmpp.pubsub.fetch.max": null });
});

test("a full node gives its oldest away, tells of it, or takes no more, as it is configured", async () => {
  await create(alice, at, node, { max_items: "2" });
  await subscribe(bob, at, node);
  for (const id of ["a", "b", "c"]) await publish(alice, at, node, item(id));
  expect(ids(await fetch(alice, at, node))).toEqual(["b", "c"]);
  await configure(alice, at, node, { publish_node_full: "reject-new" });
  expect(refusal(await publish(alice, at, node, item("d")))).toBe("conflict node-full");
  expect((await publish(alice, at, node, item("c", "anew"))).attrs.type).toBe("result");
  await configure(alice, at, node, { publish_node_full: "retract-oldest" });
  await publish(alice, at, node, item("d"));
  expect(ids(await fetch(alice, at, node))).toEqual(["c", "d"]);
  const heard: string[] = [];
  while (heard.at(-1) !== "items -b") heard.push(told(await event(bob, node)));
  expect(heard).toEqual(["items a", "items b", "items c", "items c", "items d", "items -b"]);
  await configure(alice, at, node, { max_items: "1" });
  expect(ids(await fetch(alice, at, node))).toEqual(["d"]);
});

test("what does not fit the node is refused with the condition that says why", async () => {
  await create(alice, at, node, { max_payload_size: "100" });
  const refused = async (items: string) => refusal(await publish(alice, at, node, items));
  expect(await refused("")).toBe("bad-request item-required");
  expect(await refused("<item id='a'/>")).toBe("bad-request payload-required");
  expect(await refused("<item id='a'><x xmlns='a'/><y xmlns='a'/></item>")).toBe("bad-request invalid-payload");
  expect(await refused(item("a", "x".repeat(100)))).toBe("not-acceptable payload-too-big");
  expect(await refused(item("a".repeat(1025)))).toBe("not-acceptable");
  await configure(alice, at, node, { persist_items: "0", deliver_payloads: "0" });
  await subscribe(bob, at, node);
  expect(await refused(item("a"))).toBe("bad-request item-forbidden");
  expect((await publish(alice, at, node, "")).attrs.type).toBe("result");
  expect(told(await event(bob, node))).toBe("items");
  expect(refusal(await fetch(alice, at, node))).toBe("feature-not-implemented unsupported persistent-items");
  expect(refusal(await bob.set(ownerRequest(`<delete node='${node}'/>`), at))).toBe("forbidden");
  expect(refusal(await publish(bob, at, node, ""))).toBe("forbidden");
  expect(refusal(await alice.get(request("<items/>"), at))).toBe("bad-request nodeid-required");
  expect(refusal(await create(alice, at, `${node}-b`, { access_model: "presence" }))).toBe(
    "not-acceptable unsupported-access-model",
  );
  expect(refusal(await create(alice, at, `${node}-b`, { nonsense: "1" }))).toBe("not-acceptable");
});

test("the configuration is shown as a form, changed by one, and a change is told if the node says so", async () => {
  await create(alice, at, node);
  await subscribe(bob, at, node);
  const asked = await alice.get(ownerRequest(`<configure node='${node}'/>`), at);
  const fields = asked.getChild("pubsub", ownerNs)?.getChild("configure")?.getChild("x")?.getChildren("field") ?? [];
  const values = new Map(fields.map((field) => [field.attrs.var, field.getChildText("value")]));
  expect(values.get("FORM_TYPE")).toBe(`${pubsubNs}#node_config`);
  expect(values.get("pubsub#access_model")).toBe("open");
  expect(values.get("pubsub#max_items")).toBe("max");
  await configure(alice, at, node, {
    title: "A & B",
    notify_config: "true",
    contact: ["bob@localhost", "x@y.example"],
  });
  const message = await event(bob, node);
  expect(told(message)).toBe("configuration");
  expect(message.toString()).toContain("<value>A &amp; B</value>");
  const info = await bob.get(`<query xmlns='http://jabber.org/protocol/disco#info' node='${node}'/>`, at);
  const meta = new Map(
    info
      .getChild("query")
      ?.getChild("x")
      ?.getChildren("field")
      .map((field) => [field.attrs.var, field.getChildren("value").map((value) => value.getText())]),
  );
  expect(meta.get("pubsub#title")).toEqual(["A & B"]);
  expect(meta.get("pubsub#contact")).toEqual(["bob@localhost", "x@y.example"]);
  expect(meta.get("pubsub#owner")).toEqual(["alice@localhost"]);
  expect(meta.get("pubsub#num_subscribers")).toEqual(["1"]);
  const defaults = await alice.get(ownerRequest("<default/>"), at);
  expect(defaults.toString()).toContain('var="pubsub#persist_items"');
  expect(refusal(await configure(bob, at, node, { title: "x" }))).toBe("forbidden");
});

test("subscriptions have options and an end, and are asked for and given up by their id", async () => {
  await create(alice, at, node);
  const one = subscription(await subscribe(bob, at, node, bob.jid, { deliver: "0" }));
  expect(subscription(await subscribe(bob, at, node, bob.jid)).subid).toBe(one.subid);
  await publish(alice, at, node, item("a"));
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
  const options = `<options node='${node}' jid='${bob.jid}'/>`;
  expect((await bob.get(request(options), at)).toString()).toContain("<value>0</value>");
  await bob.set(request(options.replace("/>", `>${form("subscribe_options", { deliver: "1" })}</options>`)), at);
  await publish(alice, at, node, item("b"));
  expect((await event(bob, node)).attrs.to).toBe(bob.jid);
  const list = await bob.get(request("<subscriptions/>"), at);
  expect(
    list
      .getChild("pubsub")
      ?.getChild("subscriptions")
      ?.getChildren("subscription")
      .map(({ attrs }) => attrs.subid),
  ).toContain(one.subid);
  const leave = (more: string) => bob.set(request(`<unsubscribe node='${node}' ${more}/>`), at);
  expect(refusal(await leave(""))).toBe("bad-request jid-required");
  expect(refusal(await leave("jid='bob@localhost'"))).toBe("unexpected-request not-subscribed");
  expect(refusal(await leave("jid='alice@localhost'"))).toBe("forbidden");
  expect(refusal(await leave(`jid='${bob.jid}' subid='no'`))).toBe("not-acceptable invalid-subid");
  expect((await leave(`jid='${bob.jid}' subid='${one.subid}'`)).attrs.type).toBe("result");
  await publish(alice, at, node, item("c"));
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
  expect(refusal(await subscribe(bob, at, node, "alice@localhost"))).toBe("bad-request invalid-jid");
  expect(refusal(await subscribe(bob, at, node, bob.bare, { expire: "2001-01-01T00:00:00Z" }))).toBe(
    "bad-request invalid-options",
  );
  expect(refusal(await subscribe(bob, at, node, bob.bare, { digest: "1" }))).toBe("bad-request invalid-options");
  await configure(alice, at, node, { subscribe: "0" });
  expect(refusal(await subscribe(bob, at, node))).toBe("feature-not-implemented unsupported subscribe");
});

test("with several subscriptions an event comes once and names them all", async () => {
  await core.set({ "xmpp.pubsub.multiple-subscriptions": "true" });
  await create(alice, at, node);
  const [one, two] = [await subscribe(bob, at, node), await subscribe(bob, at, node)].map(
    (each) => subscription(each).subid,
  );
  expect(one).not.toBe(two);
  await publish(alice, at, node, item("a"));
  const message = await event(bob, node);
  const headers = message.getChild("headers", "http://jabber.org/protocol/shim")?.getChildren("header") ?? [];
  expect(headers.map((header) => header.getText()).sort()).toEqual([one, two].sort());
  await bob.none((stanza) => isEvent(stanza, node));
  expect(refusal(await bob.set(request(`<unsubscribe node='${node}' jid='${bob.bare}'/>`), at))).toBe(
    "bad-request subid-required",
  );
  await core.set({ "xmpp.pubsub.multiple-subscriptions": null });
});

test("an owner approves who wants to subscribe", async () => {
  await create(alice, at, node, { access_model: "authorize" });
  expect(refusal(await fetch(bob, at, node))).toBe("not-authorized not-subscribed");
  expect(subscription(await subscribe(bob, at, node)).subscription).toBe("pending");
  expect(refusal(await subscribe(bob, at, node))).toBe("not-authorized pending-subscription");
  const asked = await alice.next((stanza) => stanza.is("message") && stanza.getChild("x") !== undefined, "request");
  expect(asked.attrs.from).toBe(at);
  const values = Object.fromEntries(
    (asked.getChild("x")?.getChildren("field") ?? []).map((field) => [
      field.attrs.var,
      field.getChildText("value") ?? "",
    ]),
  );
  expect(values).toMatchObject({ "pubsub#node": node, "pubsub#subscriber_jid": "bob@localhost" });
  const reply = (by: XmppClient, allow: string) =>
    by.send(
      `<message to='${at}'>${form("subscribe_authorization", { node, subid: values["pubsub#subid"] ?? "", subscriber_jid: "bob@localhost", allow })}</message>`,
    );
  reply(bob, "1");
  await bob.none((stanza) => isEvent(stanza, node));
  const again = await alice.set(
    `<command xmlns='http://jabber.org/protocol/commands' node='${pubsubNs}#get-pending' action='execute'/>`,
    at,
  );
  expect(again.toString()).toContain(`<value>${node}</value>`);
  await alice.set(
    `<command xmlns='http://jabber.org/protocol/commands' node='${pubsubNs}#get-pending'>${form("subscribe_authorization", { node })}</command>`,
    at,
  );
  await alice.next((stanza) => stanza.is("message") && stanza.getChild("x") !== undefined, "request");
  reply(alice, "true");
  expect((await event(bob, node)).toString()).toContain('subscription="subscribed"');
  expect(ids(await fetch(bob, at, node))).toEqual([]);
  const carol = await core.login("carol");
  carol.presence();
  await subscribe(carol, at, node);
  await alice.set(
    ownerRequest(
      `<subscriptions node='${node}'><subscription jid='bob@localhost' subscription='none'/></subscriptions>`,
    ),
    at,
  );
  expect((await event(bob, node)).toString()).toContain('subscription="none"');
  expect(refusal(await fetch(bob, at, node))).toBe("not-authorized not-subscribed");
});

test("affiliations decide who may publish, read and own; a node keeps an owner", async () => {
  await create(alice, at, node, { access_model: "whitelist" });
  const carol = await core.login("carol");
  expect(refusal(await subscribe(bob, at, node))).toBe("not-allowed closed-node");
  await affiliate(alice, at, node, { "bob@localhost": "publisher", "carol@localhost": "publish-only" });
  expect((await publish(bob, at, node, item("of-bob"))).attrs.type).toBe("result");
  expect((await publish(carol, at, node, item("of-carol"))).attrs.type).toBe("result");
  expect(refusal(await fetch(carol, at, node))).toBe("forbidden");
  const retract = (by: XmppClient, id: string) =>
    by.set(request(`<retract node='${node}'><item id='${id}'/></retract>`), at);
  expect(refusal(await retract(carol, "of-bob"))).toBe("forbidden");
  expect((await retract(carol, "of-carol")).attrs.type).toBe("result");
  expect(refusal(await affiliate(alice, at, node, { "alice@localhost": "none" }))).toBe("not-acceptable");
  await affiliate(alice, at, node, { "bob@localhost": "owner" });
  expect((await affiliate(bob, at, node, { "alice@localhost": "none" })).attrs.type).toBe("result");
  expect(refusal(await fetch(alice, at, node))).toBe("not-allowed closed-node");
  const own = await bob.get(request("<affiliations/>"), at);
  expect(own.toString()).toContain(`<affiliation node="${node}" affiliation="owner"/>`);
  await affiliate(bob, at, node, { "alice@localhost": "member" });
  await subscribe(alice, at, node);
  expect(told(await event(alice, node))).toBe("items of-bob");
  await affiliate(bob, at, node, { "alice@localhost": "outcast" });
  expect((await event(alice, node)).toString()).toContain('subscription="none"');
  expect(refusal(await fetch(alice, at, node))).toBe("forbidden");
  expect(refusal(await affiliate(alice, at, node, { "alice@localhost": "owner" }))).toBe("forbidden");
});

test("who has lost the right hears nothing more", async () => {
  await create(alice, at, node, { access_model: "whitelist" });
  await affiliate(alice, at, node, { "bob@localhost": "member" });
  await subscribe(bob, at, node);
  await publish(alice, at, node, item("a"));
  expect(told(await event(bob, node))).toBe("items a");
  await affiliate(alice, at, node, { "bob@localhost": "none" });
  await publish(alice, at, node, item("b"));
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
});

test("everybody may publish, or subscribers only, if the node says so", async () => {
  await create(alice, at, node, { publish_model: "open" });
  expect((await publish(bob, at, node, item("a"))).attrs.type).toBe("result");
  await configure(alice, at, node, { publish_model: "subscribers" });
  expect(refusal(await publish(bob, at, node, item("b")))).toBe("forbidden");
  await subscribe(bob, at, node);
  expect((await publish(bob, at, node, item("b"))).attrs.type).toBe("result");
});

test("what an older form of a node lets in is judged by the present one, at the moment of delivery", async () => {
  await create(alice, at, node, { presence_based_delivery: "1", deliver_payloads: "1", notify_sub: "1" });
  await subscribe(bob, at, node);
  expect((await event(alice, node)).toString()).toContain('subscription="subscribed"');
  await configure(alice, at, node, { deliver_payloads: "0" });
  await publish(alice, at, node, item("a"));
  const message = await event(bob, node);
  expect(message.toString()).toContain('<item id="a"');
  expect(message.toString()).not.toContain("urn:example");
  await configure(alice, at, node, { deliver_notifications: "0" });
  await publish(alice, at, node, item("b"));
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
  await configure(alice, at, node, { deliver_notifications: "1", notify_retract: "0", notify_delete: "0" });
  await alice.set(request(`<retract node='${node}'><item id='b'/></retract>`), at);
  await alice.set(ownerRequest(`<purge node='${node}'/>`), at);
  await alice.set(ownerRequest(`<delete node='${node}'/>`), at);
  await bob.none((stanza) => isEvent(stanza, node), undefined, alice);
});

test("a new subscriber gets the last item, stamped", async () => {
  await create(alice, at, node);
  await publish(alice, at, node, item("a") + item("b"));
  await subscribe(bob, at, node);
  const message = await event(bob, node);
  expect(told(message)).toBe("items b");
  expect(message.getChild("delay", "urn:xmpp:delay")?.attrs.stamp).toMatch(/^20/);
});

test("discovery lists the nodes one may know of and their items, page by page", async () => {
  for (const [name, model] of [
    ["a", "open"],
    ["b", "whitelist"],
    ["c", "authorize"],
  ])
    await create(alice, at, `${node}/${name}`, { access_model: model ?? "", title: `T ${name}` });
  await publish(alice, at, `${node}/a`, item("one") + item("two"));
  const items = async (by: XmppClient, of = "", inside = "") => {
    const answer = await by.get(
      `<query xmlns='http://jabber.org/protocol/disco#items'${of === "" ? "" : ` node='${of}'`}>${inside}</query>`,
      at,
    );
    if (answer.attrs.type === "error") return refusal(answer);
    return (
      answer
        .getChild("query")
        ?.getChildren("item")
        .map(({ attrs }) => attrs.node ?? attrs.name) ?? []
    );
  };
  const mine = (names: readonly string[] | string) => [names].flat().filter((name) => name.startsWith(`${node}/`));
  expect(mine(await items(alice))).toEqual([`${node}/a`, `${node}/b`, `${node}/c`]);
  expect(mine(await items(bob))).toEqual([`${node}/a`, `${node}/c`]);
  expect(await items(bob, "", rsm(`<max>1</max><after>${node}/a</after>`))).toEqual([`${node}/c`]);
  expect(await items(bob, "", rsm(`<max>1</max><before>${node}/c</before>`))).toEqual([`${node}/a`]);
  expect(await items(bob, `${node}/a`)).toEqual(["one", "two"]);
  expect(await items(bob, `${node}/a`, rsm("<max>1</max><before/>"))).toEqual(["two"]);
  expect(await items(bob, `${node}/b`)).toBe("not-allowed closed-node");
  const info = await bob.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", at);
  expect(info.toString()).toContain('<identity category="pubsub" type="service"');
  expect(info.toString()).toContain(`<feature var="${pubsubNs}#publish-options"/>`);
});

test("nodes, items and subscriptions outlive a crash; what was answered is there", async () => {
  await create(alice, at, node, { title: "kept" });
  await subscribe(bob, at, node, "bob@localhost");
  await publish(alice, at, node, item("a"));
  await core.crash();
  alice = await core.login("alice");
  bob = await core.login("bob");
  bob.presence();
  expect(ids(await fetch(bob, at, node))).toEqual(["a"]);
  await publish(alice, at, node, item("b"));
  expect(told(await event(bob, node))).toBe("items b");
});

test("a subscriber of type normal who is away finds what has a body when he comes", async () => {
  await create(alice, at, node, { notification_type: "normal" });
  await subscribe(bob, at, node);
  await bob.close();
  await publish(alice, at, node, item("a"));
  await alice.ping();
  bob = await core.login("bob");
  bob.presence();
  const message = await event(bob, node);
  expect(message.attrs.type).toBeUndefined();
  expect(message.getChild("delay", "urn:xmpp:delay")).toBeDefined();
});
