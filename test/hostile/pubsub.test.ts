import type { Element } from "ltx";
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
  type Options,
  ownerRequest,
  publish,
  refusal,
  request,
  rsm,
  subscribe,
} from "../support/pubsub.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// Who wants what is not his, and requests that no honest client sends. CVE-2018-6591, CVE-2023-28686, CVE-2011-4320
const at = "pubsub.localhost";
let core: TestCore;
let alice: XmppClient;
let mallory: XmppClient;
let nodes = 0;
let node = "";
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "mallory"] });
});
beforeEach(async () => {
  [alice, mallory] = [await core.login("alice", { resource: "desk" }), await core.login("mallory")];
  for (const each of [alice, mallory]) each.presence();
  node = `hostile-${++nodes}`;
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

test("a stranger can neither read, list, write nor manage a person's private nodes", async () => {
  const whose = "alice@localhost";
  for (const name of ["urn:xmpp:bookmarks:1", "urn:example:private", "urn:example:presence"]) {
    const options = name.endsWith("private") ? { access_model: "whitelist" } : undefined;
    await publish(alice, "", name, item("secret@rooms.example"), options);
    const attempts: Promise<Element>[] = [
      fetch(mallory, whose, name),
      fetch(mallory, whose, name, "<item id='secret@rooms.example'/>"),
      publish(mallory, whose, name, item("forged")),
      publish(mallory, whose, name, item("forged"), { access_model: "open" }),
      subscribe(mallory, whose, name),
      configure(mallory, whose, name, { access_model: "open" }),
      affiliate(mallory, whose, name, { "mallory@localhost": "owner" }),
      create(mallory, whose, `${name}/mine`),
      ...["items", "info"].map((what) =>
        mallory.get(`<query xmlns='http://jabber.org/protocol/disco#${what}' node='${name}'/>`, whose),
      ),
      mallory.set(request(`<retract node='${name}'><item id='secret@rooms.example'/></retract>`), whose),
      mallory.get(ownerRequest(`<configure node='${name}'/>`), whose),
      mallory.get(ownerRequest(`<subscriptions node='${name}'/>`), whose),
      mallory.get(ownerRequest(`<affiliations node='${name}'/>`), whose),
      ...["delete", "purge"].map((what) => mallory.set(ownerRequest(`<${what} node='${name}'/>`), whose)),
    ];
    for (const answer of await Promise.all(attempts)) {
      expect(answer.attrs.type).toBe("error");
      expect(answer.toString()).not.toContain("secret");
    }
    expect(ids(await fetch(alice, "", name))).toEqual(["secret@rooms.example"]);
  }
  await mallory.none((stanza) => isEvent(stanza), undefined, alice);
});

test("a forged from, and an event sent as if by the service, change nothing", async () => {
  await create(alice, at, node);
  mallory.send(
    `<message to='alice@localhost' type='headline' from='${at}'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='${node}'>${item("forged")}</items></event></message>`,
  );
  expect(await mallory.streamError()).toBe("invalid-from");
  await alice.none((stanza) => isEvent(stanza, node));
});

test("no text reaches SQL: ids, names and cursors are what they are", async () => {
  const evil = [
    "' OR '1'='1",
    "'; DROP TABLE pubsub_item; --",
    '") UNION SELECT 1,2,3,4,5,6,7 --',
    "%",
    "__proto__",
    "constructor",
    '["a","b"]',
    "0",
    "🎻\u0085",
    "#1",
  ];
  for (const name of evil) {
    const own = `${node}${name}`;
    await create(alice, at, own, { title: name });
    for (const id of evil) await publish(alice, at, own, item(id));
    expect(ids(await fetch(alice, at, own))).toEqual(evil);
    const wanted = item(name).replace(/>.*/s, "/>");
    expect(ids(await fetch(alice, at, own, wanted))).toEqual([name]);
    expect(refusal(await fetch(alice, at, `${own}' OR 1=1 --`))).toBe("item-not-found");
  }
  const own = `${node}${evil[0]}`;
  const after = await fetch(alice, at, own, "", "", rsm("<after>' OR '1'='1</after>"));
  expect(ids(after)).toEqual(evil.slice(1));
  expect(refusal(await fetch(alice, at, own, "", "", rsm("<after>nobody</after>")))).toBe("item-not-found");
  await publish(alice, "", "urn:xmpp:bookmarks:1", evil.map((id) => item(id)).join(""));
  expect(ids(await fetch(alice, "", "urn:xmpp:bookmarks:1"))).toEqual(expect.arrayContaining(evil));
});

test("numbers that are none, negative or huge are refused or bounded", async () => {
  await create(alice, at, node);
  await publish(alice, at, node, item("a") + item("b"));
  for (const max of ["-1", "1e3", "x", "99999999999999999999", " "])
    expect(refusal(await fetch(alice, at, node, "", "", rsm(`<max>${max}</max>`)))).toBe("bad-request");
  expect(ids(await fetch(alice, at, node, "", "", rsm("<max>999999999999</max>")))).toEqual(["a", "b"]);
  expect(refusal(await fetch(alice, at, node, "", "", rsm("<index>5</index>")))).toBe("item-not-found");
  for (const most of ["-1", "x", "1.5"])
    expect(refusal(await fetch(alice, at, node, "", `max_items='${most}'`))).toBe("bad-request");
  const wrong: readonly Options[] = [
    { max_items: "-1" },
    { max_items: "1e9" },
    { item_expire: "soon" },
    { access_model: "Open" },
    { persist_items: "yes" },
    { title: "x".repeat(2000) },
    { title: ["a", "b"] },
    { contact: "@@" },
    { __proto__x: "1" },
    { constructor_: "1" },
  ];
  for (const config of wrong) expect(refusal(await configure(alice, at, node, config))).toBe("not-acceptable");
  expect((await configure(alice, at, node, { max_items: "999999999999" })).attrs.type).toBe("result");
  const own = `<field var='FORM_TYPE'><value>${"http://jabber.org/protocol/pubsub#node_config"}</value></field>`;
  for (const name of ["pubsub#__proto__", "__proto__", "pubsub#hasOwnProperty", ""]) {
    const given = `<configure node='${node}'><x xmlns='jabber:x:data' type='submit'>${own}<field var='${name}'><value>1</value></field></x></configure>`;
    expect(refusal(await alice.set(ownerRequest(given), at))).toBe("not-acceptable");
  }
});

test("requests that make no sense are refused, and the session goes on", async () => {
  for (const inside of [
    "",
    "<nonsense/>",
    "<items/>",
    "<publish/>",
    "<retract/>",
    "<subscribe/>",
    "<options/>",
    "<collection/>",
  ])
    for (const type of ["get", "set"]) {
      const answer = await alice.iq(`<iq type='${type}' to='${at}'>${request(inside)}</iq>`);
      expect([inside, answer.attrs.type]).toEqual([inside, "error"]);
    }
  const many = Array.from({ length: 501 }, (_, i) => item(`i${i}`)).join("");
  expect(refusal(await publish(alice, at, node, many))).toBe("not-acceptable");
  expect(refusal(await fetch(alice, at, "x".repeat(1025)))).toBe("not-acceptable");
  alice.send(`<message to='${at}'>${form("subscribe_authorization", { node: "no", allow: "1" })}</message>`);
  alice.send(`<message to='${at}' type='error'><x xmlns='jabber:x:data'/></message>`);
  alice.send(`<presence to='${at}'/>`);
  alice.send(`<iq type='result' id='x' to='${at}'/>`);
  await alice.ping();
});

test("the service in its own list of subscribers makes no loop", async () => {
  await create(alice, at, node, { notification_type: "normal" });
  const list = [at, `alice@localhost/desk`, "localhost", "nobody@localhost"].map(
    (jid) => `<subscription jid='${jid}' subscription='subscribed'/>`,
  );
  await alice.set(ownerRequest(`<subscriptions node='${node}'>${list.join("")}</subscriptions>`), at);
  await publish(alice, at, node, item("a"));
  await event(alice, node);
  await publish(alice, at, node, item("b"));
  const heard: Element[] = [];
  for (let i = 0; i < 2; i++) heard.push(await event(alice, node));
  await alice.none((stanza) => isEvent(stanza, node));
});

test("who was subscribed by a node's owner against his will shuts the service out", async () => {
  await create(mallory, at, node);
  const list = `<subscriptions node='${node}'><subscription jid='alice@localhost' subscription='subscribed'/></subscriptions>`;
  await mallory.set(ownerRequest(list), at);
  await publish(mallory, at, node, item("spam"));
  await alice.next((stanza) => isEvent(stanza) && stanza.toString().includes("spam"));
  await alice.set(`<block xmlns='urn:xmpp:blocking'><item jid='${at}'/></block>`);
  await publish(mallory, at, node, item("more"));
  await alice.none((stanza) => stanza.toString().includes("more"), undefined, mallory);
  await alice.set("<unblock xmlns='urn:xmpp:blocking'/>");
});

test("one entity holds a bounded number of subscriptions", async () => {
  await create(alice, at, node);
  const outcomes: string[] = [];
  for (let i = 0; i < 22; i++) outcomes.push((await subscribe(mallory, at, node, `mallory@localhost/${i}`)).attrs.type);
  expect(outcomes.filter((type) => type === "result")).toHaveLength(20);
  expect(refusal(await subscribe(mallory, at, node, "mallory@localhost/last"))).toBe(
    "policy-violation too-many-subscriptions",
  );
});
