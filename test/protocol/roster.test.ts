import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { countable } from "../../xmpp-core/modules/points.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { contacts, errorCondition, isRosterPush, ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// RFC 6121 §2, XEP-0237
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave", "erin", "frank", "grace"] });
});
afterAll(() => core.close());
afterEach(() => XmppClient.dropAll());

const query = (inside: string): string => `<query xmlns='${ns.roster}'>${inside}</query>`;
const pushed = (stanza: import("ltx").Element) => {
  const found = stanza.getChild("query", ns.roster);
  return found === undefined ? [] : contacts(found).map(([, contact]) => contact);
};

async function login(user: string): Promise<XmppClient> {
  const client = await core.login(user);
  await client.roster();
  return client;
}

test("a new contact is pushed to every resource that asked for the roster, and to no other", async () => {
  const [one, two, silent] = [await login("alice"), await login("alice"), await core.login("alice")];
  const answer = await one.set(query("<item jid='bob@localhost/phone' name='Bob'><group>Friends</group></item>"));
  expect(answer.attrs.type).toBe("result");
  for (const client of [one, two]) {
    const push = await client.next("roster push");
    expect(push.attrs.from === undefined || push.attrs.from === "alice@localhost").toBe(true);
    expect(pushed(push)).toEqual([
      { jid: "bob@localhost", name: "Bob", subscription: "none", ask: "", groups: ["Friends"] },
    ]);
  }
  await silent.none("roster push", () => true, one);
  const { contacts: found } = await one.roster();
  expect([...found.values()]).toEqual([
    { jid: "bob@localhost", name: "Bob", subscription: "none", ask: "", groups: ["Friends"] },
  ]);
});

test("an item is changed and removed, and stays so after a restart of the server", async () => {
  const bob = await login("bob");
  await bob.set(query("<item jid='carol@localhost' name='C'><group>One</group></item>"));
  await bob.set(query("<item jid='carol@localhost' subscription='both' ask='subscribe'><group>Two</group></item>"));
  await bob.set(query("<item jid='gone@else.example'/>"));
  await bob.set(query("<item jid='gone@else.example' subscription='remove'/>"));
  const expected = [{ jid: "carol@localhost", name: "", subscription: "none", ask: "", groups: ["Two"] }];
  expect([...(await bob.roster()).contacts.values()]).toEqual(expected);
  await core.crash();
  const again = await core.login("bob");
  expect([...(await again.roster()).contacts.values()]).toEqual(expected);
});

describe("a roster set is refused", () => {
  test.each([
    ["two items", "<item jid='x@y'/><item jid='z@y'/>", "bad-request"],
    ["no item", "", "bad-request"],
    ["no address", "<item name='x'/>", "bad-request"],
    ["a group twice", "<item jid='x@y'><group>a</group><group>a</group></item>", "bad-request"],
    ["an empty group", "<item jid='x@y'><group/></item>", "not-acceptable"],
    ["a group too long", `<item jid='x@y'><group>${"g".repeat(1024)}</group></item>`, "not-acceptable"],
    ["a name too long", `<item jid='x@y' name='${"n".repeat(1024)}'/>`, "not-acceptable"],
    ["the own address", "<item jid='dave@localhost/else'/>", "not-allowed"],
    ["a malformed address", "<item jid='a b@localhost'/>", "jid-malformed"],
    ["a removal of nobody", "<item jid='nobody@localhost' subscription='remove'/>", "item-not-found"],
  ])("%s", async (_, item, condition) => {
    const dave = await login("dave");
    const answer = await dave.set(query(item));
    expect([answer.attrs.type, errorCondition(answer)]).toEqual(["error", condition]);
    expect((await dave.roster()).contacts.size).toBe(0);
  });

  test("a name alone, with the address that was meant", async () => {
    const dave = await login("dave");
    const answer = await dave.set(query("<item jid='bob'/>"));
    expect(errorCondition(answer)).toBe("jid-malformed");
    expect(answer.getChild("error")?.getChildText("text")).toContain("did you mean bob@localhost?");
  });

  test("in the name of another account", async () => {
    const dave = await login("dave");
    const answer = await dave.set(query("<item jid='x@y'/>"), "bob@localhost");
    expect(errorCondition(answer)).toBe("service-unavailable");
    const forged = await core.login("erin");
    dave.send(`<iq type='set' id='f1' to='${forged.jid}'>${query("<item jid='evil@else.example'/>")}</iq>`);
    const request = await forged.next("roster push");
    // It arrives as what it is: a request of another user, whom clients do not obey.
    expect(request.attrs.from).toBe(dave.jid);
  });
});

describe("versioning", () => {
  test("is offered, and a known version gives an empty result", async () => {
    const erin = await core.login("erin");
    expect(erin.features?.getChild("ver", "urn:xmpp:features:rosterver")).toBeDefined();
    expect(erin.features?.getChild("sub", "urn:xmpp:features:pre-approval")).toBeDefined();
    const { version } = await erin.roster("");
    expect(version).toBeTruthy();
    const answer = await erin.get(`<query xmlns='${ns.roster}' ver='${version}'/>`);
    expect(answer.getChild("query")).toBeUndefined();
  });

  test("an older version gives the changes since as pushes behind an empty result", async () => {
    const erin = await core.login("erin");
    await erin.roster("");
    await erin.set(query("<item jid='one@else.example'/>"));
    await erin.set(query("<item jid='two@else.example'/>"));
    const last = await erin.next("roster push", (push) => pushed(push)[0]?.jid === "two@else.example");
    const version = last.getChild("query")?.attrs.ver;
    await erin.close();
    const other = await core.login("erin");
    await other.set(query("<item jid='one@else.example' subscription='remove'/>"));
    await other.set(query("<item jid='three@else.example'/>"));
    const again = await core.login("erin");
    const answer = await again.get(`<query xmlns='${ns.roster}' ver='${version}'/>`);
    expect(answer.getChild("query")).toBeUndefined();
    const first = await again.next("roster push");
    expect(pushed(first)).toMatchObject([{ jid: "one@else.example", subscription: "remove" }]);
    const second = await again.next("roster push");
    expect(pushed(second)).toMatchObject([{ jid: "three@else.example" }]);
    const now = second.getChild("query")?.attrs.ver;
    expect((await again.get(`<query xmlns='${ns.roster}' ver='${now}'/>`)).getChild("query")).toBeUndefined();
    await again.none("roster push");
    // The story is over half way only for who stopped half way.
    const half = first.getChild("query")?.attrs.ver;
    expect((await again.roster(half)).contacts.size).toBe(2);
  });

  test("the versions of somebody who makes them up give the whole roster", async () => {
    const frank = await login("frank");
    await frank.set(query("<item jid='one@else.example'/>"));
    for (const version of ["7", "1.99999.0", "1.0", "__proto__", "1.-1.0"])
      expect((await frank.roster(version)).contacts.size, version).toBe(1);
  });

  test("turned off, it is neither offered nor done", async () => {
    await core.set({ "xmpp.client.roster.versioning.active": "false" });
    const frank = await core.login("frank");
    expect(frank.features?.getChild("ver", "urn:xmpp:features:rosterver")).toBeUndefined();
    const { version, contacts: found } = await frank.roster("");
    expect([version, found.size]).toEqual([undefined, 1]);
    await core.set({ "xmpp.client.roster.versioning.active": null });
  });
});

test("xmpp.client.roster.active=false: there are no contact lists and nobody sees others", async () => {
  await core.set({ "xmpp.client.roster.active": "false" });
  const grace = await core.login("grace");
  expect(errorCondition(await grace.get(query("")))).toBe("service-unavailable");
  expect(errorCondition(await grace.set(query("<item jid='x@y'/>")))).toBe("service-unavailable");
  grace.presence("", "type='subscribe' to='alice@localhost'");
  expect(errorCondition(await grace.next("presence"))).toBe("service-unavailable");
  await core.set({ "xmpp.client.roster.active": null });
  expect((await grace.roster()).contacts.size).toBe(0);
});

test("nothing is told of a change that could not be stored", async () => {
  let fail = false;
  const failing = await startTestCore({ users: ["alice"], testing: { failWrites: () => fail } });
  try {
    const alice = await failing.login("alice");
    await alice.roster();
    fail = true;
    const answer = await alice.set(query("<item jid='bob@localhost'/>"));
    expect(errorCondition(answer)).toBe("resource-constraint");
    expect(alice.connection.inbox.some(isRosterPush)).toBe(false);
    fail = false;
    const { storage } = failing.server;
    await new Promise<void>((resolve) => {
      if (storage.health === "ok") resolve();
      else storage.onHealth((health) => health === "ok" && resolve());
    });
    expect((await alice.roster()).contacts.size).toBe(0);
  } finally {
    await failing.close();
  }
});

test("what changed while a client was away is pushed again when the server crashed before it came back", async () => {
  const away = await core.login("grace", { sm: true });
  await away.set(query("<item jid='old@else.example'/>"));
  await away.roster();
  await away.requestAck();
  away.drop();
  const other = await login("grace");
  await other.set(query("<item jid='new@else.example' name='New'/>"));
  await other.set(query("<item jid='old@else.example' subscription='remove'/>"));
  await core.crash();
  await away.resume();
  const changed = [await away.next("roster push"), await away.next("roster push")].flatMap(pushed);
  expect(changed.map(({ jid, subscription }) => `${jid} ${subscription}`).sort()).toEqual([
    "new@else.example none",
    "old@else.example remove",
  ]);
});

describe("another name of the domain", () => {
  test("shows the same roster under the new name, and takes foreign contacts under it over as own", async () => {
    const other = await startTestCore({ users: ["alice", "bob", "carol"] });
    try {
      const { names, storage } = other.server;
      const alice = await other.login("alice");
      const bob = await other.login("bob");
      for (const client of [alice, bob]) {
        await client.roster();
        client.presence();
      }
      alice.presence("", "type='subscribe' to='bob@localhost'");
      await bob.next("presence", (stanza) => stanza.attrs.type === "subscribe");
      bob.presence("", "type='subscribed' to='alice@localhost'");
      await alice.next("presence", (stanza) => stanza.attrs.from === bob.jid);
      for (const jid of ["carol@new.example", "alice@new.example", "bob@new.example", "dora@else.example"])
        await alice.set(query(`<item jid='${jid}'/>`));
      const { version } = await alice.roster("");

      const [items] = other.server.core.offered(countable).filter(({ what }) => what === "rosterItems");
      expect(await items?.count()).toBe(6);
      const foreign = ["alice@new.example", "bob@new.example", "carol@new.example"];
      expect(await items?.foreignUnder?.("new.example")).toEqual(foreign);
      const { writes, enter } = names.renaming("new.example", { now: Date.now(), aliasUntil: null });
      await storage.write([...writes, ...(items?.localise?.("new.example") ?? [])]);
      enter();
      expect(await items?.count()).toBe(4);

      const before = await alice.roster(version);
      expect([...before.contacts.keys()].sort()).toEqual(["bob@localhost", "carol@localhost", "dora@else.example"]);
      expect(before.contacts.get("bob@localhost")?.subscription).toBe("to");
      const later = await other.login("alice", { domain: "new.example" });
      const after = await later.roster(before.version);
      expect([...after.contacts.keys()].sort()).toEqual(["bob@new.example", "carol@new.example", "dora@else.example"]);
      // Each sees the other under the name he came by.
      later.presence();
      await later.next("presence", (stanza) => stanza.attrs.from === bob.jid.replace("localhost", "new.example"));
      bob.presence("<show>away</show>");
      await alice.next("presence", (stanza) => stanza.attrs.from === bob.jid && stanza.getChild("show") !== undefined);
    } finally {
      await other.close();
    }
  });
});
