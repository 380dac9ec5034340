import { afterAll, beforeAll, expect, test } from "vitest";
import { groups } from "../../xmpp-core/modules/points.ts";
import type { Account } from "../../xmpp-core/routing/accounts.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// What Spark asks when it logs in: each must be answered or refused, since silence costs it a timeout.
const sharedGroup = "http://www.jivesoftware.org/protocol/sharedgroup";
let core: TestCore;
let alice: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
  const [all] = core.server.core.offered(groups);
  const account = (name: string) => core.server.accounts.get(1, name) as Account;
  const group = (name: string, displayName: string) =>
    ({ kind: "set", group: { name, displayName, showInRoster: "onlyGroup", groupList: [] }, origin: "host" }) as const;
  const member = (name: string, ...members: string[]) =>
    ({ kind: "members", group: name, add: members.map(account), remove: [] }) as const;
  const { writes, done } = all?.prepare([
    group("sales", "Sales & more"),
    group("hidden", "Others"),
    member("sales", "alice", "bob"),
    member("hidden", "carol"),
  ]) ?? { writes: [], done: () => undefined };
  await core.server.storage.write(writes);
  done();
  alice = await core.login("alice", { resource: "spark" });
});
afterAll(() => core.close());

test("the names of the shared groups one sees come by either address, and of no others", async () => {
  for (const to of ["", "localhost"]) {
    const answer = await alice.get(`<sharedgroup xmlns='${sharedGroup}'/>`, to);
    const names = answer
      .getChild("sharedgroup", sharedGroup)
      ?.getChildren("group")
      .map((group) => group.getText());
    expect(names, to).toEqual(["Sales & more"]);
  }
  const carol = await core.login("carol");
  const hers = await carol.get(`<sharedgroup xmlns='${sharedGroup}'/>`);
  expect(
    hers
      .getChild("sharedgroup")
      ?.getChildren("group")
      .map((group) => group.getText()),
  ).toEqual(["Others"]);
  expect((await alice.get(`<sharedgroup xmlns='${sharedGroup}'/>`, "carol@localhost")).attrs.type).toBe("error");
  expect((await alice.set(`<sharedgroup xmlns='${sharedGroup}'/>`)).attrs.type).toBe("error");
});

test("its login finds what it needs: discovery, every listed service, roster with groups, card, private data", async () => {
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
  for (const feature of [sharedGroup, "jabber:iq:private", "jabber:iq:last", "vcard-temp", "jabber:iq:roster"])
    expect(info.toString()).toContain(`var="${feature}"`);
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost");
  expect(items.attrs.type).toBe("result");
  const services =
    items
      .getChild("query")
      ?.getChildren("item")
      .filter(({ attrs }) => attrs.node === undefined) ?? [];
  expect(services.length).toBeGreaterThan(0);
  for (const { attrs } of services) {
    const one = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", String(attrs.jid));
    expect(one.getChild("query")?.getChild("identity"), String(attrs.jid)).toBeDefined();
  }
  expect((await alice.roster()).contacts.get("bob@localhost")?.groups).toEqual(["Sales & more"]);
  expect((await alice.get("<vCard xmlns='vcard-temp'/>")).attrs.type).toBe("result");
  for (const kept of [
    "<storage xmlns='storage:bookmarks'/>",
    "<scratchpad xmlns='scratchpad:notes'/>",
    "<scratchpad xmlns='scratchpad:tasks'/>",
    "<personal_settings xmlns='jive:user:settings'/>",
    "<gateways xmlns='http://www.jivesoftware.org/spark'/>",
  ])
    expect((await alice.get(`<query xmlns='jabber:iq:private'>${kept}</query>`)).attrs.type, kept).toBe("result");
});

test("what is not here is refused at once", async () => {
  const there = "localhost";
  for (const [payload, to] of [
    ["<query xmlns='jabber:iq:gateway'/>", there],
    ["<query xmlns='jabber:iq:spark'/>", "updater.localhost"],
    ["<query xmlns='http://jabber.org/protocol/disco#info'/>", "manager.localhost"],
    ["<workgroups xmlns='http://jivesoftware.com/protocol/workgroup' jid='alice@localhost'/>", "workgroup.localhost"],
    ["<phone-request xmlns='http://jivesoftware.com/xmlns/phone'/>", there],
    ["<sipark xmlns='http://www.jivesoftware.com/protocol/sipark'/>", there],
    ["<event xmlns='http://www.jivesoftware.com/protocol/log'/>", there],
    ["<rtpbridge xmlns='http://www.jivesoftware.com/protocol/rtpbridge'/>", "rtpbridge.localhost"],
    ["<prefs xmlns='http://jabber.org/protocol/disco#publish'/>", ""],
  ] as const)
    expect(errorCondition(await alice.get(payload, to)), payload).toMatch(
      /^(service-unavailable|remote-server-not-found|item-not-found)$/,
    );
});
