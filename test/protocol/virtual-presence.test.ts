/** Presence that a component shows for people and teams. docs/components.md; the rows M27, M36, M37 and M49 of the host's needs. */
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { groups, type SharedGroupChange } from "../../xmpp-core/modules/points.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
const open = new Set<TestComponent>();
const join = async (label: string): Promise<TestComponent> => {
  const component = await TestComponent.join(port, label, "secret");
  open.add(component);
  return component;
};

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    properties: {
      ...takesComponents(port, "secret"),
      "firekeeper.component.grants": "pbx:virtual-presence",
    },
  });
  await share("Sales", ["alice", "bob"]);
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

async function share(name: string, who: string[]): Promise<void> {
  const { accounts, names, core: parts, storage } = core.server;
  const add = who.flatMap((each) => accounts.get(names.primary.id, each) ?? []);
  const changes: SharedGroupChange[] = [
    { kind: "set", origin: "host", group: { name, displayName: name, showInRoster: "onlyGroup", groupList: [] } },
    { kind: "members", group: name, add, remove: [] },
  ];
  const prepared = parts.offered(groups)[0]?.prepare(changes);
  await storage.write(prepared?.writes ?? []);
  prepared?.done();
}

async function addTeam(name: string, displayName: string): Promise<void> {
  const { accounts, names, storage, handlers } = core.server;
  const facts = { name, displayName, hostId: undefined, email: undefined, enabled: true, contact: true };
  const rest = { origin: "host", keptUntil: undefined, probe: false } as const;
  const { account, writes } = accounts.create(names.primary, { ...facts, ...rest }, Date.now());
  await storage.write(writes);
  for (const each of handlers) each.account?.created?.(account);
}

const set = (pbx: TestComponent, inside: string, attributes = ""): Promise<Element> =>
  pbx.iq(
    "set",
    "localhost",
    `<presences xmlns='urn:firekeeper:virtual-presence:0' ${attributes}>${inside}</presences>`,
  );
const busy = (from = "bob@localhost/phone", status = "on the phone"): string =>
  `<presence xmlns='jabber:client' from='${from}'><show>dnd</show><status>${status}</status><priority>50</priority></presence>`;
const free = (from = "bob@localhost/phone"): string => `<presence xmlns='jabber:client' from='${from}'/>`;
const off = (from = "bob@localhost/phone"): string =>
  `<presence xmlns='jabber:client' from='${from}' type='unavailable'/>`;
const from = (address: string) => (stanza: Element) => stanza.attrs.from === address;
const online = async (name: string, resource = "desk"): Promise<XmppClient> => {
  const client = await core.login(name, { resource });
  client.presence();
  await client.next("presence", from(`${name}@localhost/${resource}`));
  return client;
};

test("a colleague sees the telephone ring, be busy and go, and nobody chats with it (M36)", async () => {
  const pbx = await join("pbx");
  const alice = await online("alice");
  expect((await set(pbx, busy())).attrs.type).toBe("result");
  const seen = await alice.next("presence", from("bob@localhost/phone"));
  expect(seen.attrs.to).toBe("alice@localhost");
  expect(seen.getChildText("show")).toBe("dnd");
  expect(seen.getChildText("status")).toBe("on the phone");
  // No client chooses it for a chat.
  expect(seen.getChildren("priority").map((priority) => priority.getText())).toEqual(["-1"]);
  // The person himself sees it as one more resource, and it is no session of his.
  const again = await online("alice", "again");
  expect((await again.next("presence", from("bob@localhost/phone"))).getChildText("show")).toBe("dnd");
  for (const to of ["bob@localhost", "bob@localhost/phone"]) alice.message(to, `to ${to}`);
  const asked = await alice.get("<query xmlns='jabber:iq:version'/>", "bob@localhost/phone");
  expect(asked.attrs.type).toBe("error");
  expect(core.server.sessions.size).toBe(2);
  const bob = await online("bob");
  expect((await bob.next("presence", from("bob@localhost/phone"))).getChildText("show")).toBe("dnd");
  expect((await bob.next("message")).getChildText("body")).toBe("to bob@localhost");
  expect((await bob.next("message")).getChildText("body")).toBe("to bob@localhost/phone");
  await set(pbx, off());
  expect((await alice.next("presence", from("bob@localhost/phone"))).attrs.type).toBe("unavailable");
  await pbx.connection.inbox.every((stanza) => expect(stanza.getName()).not.toBe("message"));
});

test("who may not see a person does not see the telephone, and who is blocked does not either", async () => {
  const pbx = await join("pbx");
  const [alice, carol] = [await online("alice"), await online("carol")];
  await set(pbx, busy());
  await alice.next("presence", from("bob@localhost/phone"));
  await carol.none("presence", from("bob@localhost/phone"), alice);
  carol.presence("", "type='probe' to='bob@localhost'");
  await carol.none("presence", from("bob@localhost/phone"));
  alice.presence("", "type='probe' to='bob@localhost'");
  expect((await alice.next("presence", from("bob@localhost/phone"))).getChildText("show")).toBe("dnd");
  await alice.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  await set(pbx, free());
  await pbx.ping();
  await alice.none("presence", from("bob@localhost/phone"));
  await alice.set("<unblock xmlns='urn:xmpp:blocking'/>");
  expect((await alice.next("presence", from("bob@localhost/phone"))).attrs.type).toBeUndefined();
});

test("a team has presence though nobody can log in as it (M27)", async () => {
  await addTeam("q_1", "Support");
  await share("Queue", ["alice", "q_1"]);
  const pbx = await join("pbx");
  const alice = await online("alice");
  const { contacts } = await alice.roster();
  expect(contacts.get("q_1@localhost")?.name).toBe("Support");
  await set(pbx, busy("q_1@localhost/queue", "3 waiting"));
  expect((await alice.next("presence", from("q_1@localhost/queue"))).getChildText("status")).toBe("3 waiting");
  const late = await online("alice", "late");
  await late.next("presence", from("q_1@localhost/queue"));
  alice.message("q_1@localhost", "hello");
  expect((await alice.next("message")).attrs.type).toBe("error");
  await expect(core.login("q_1")).rejects.toThrow("not-authorized");
});

test("killed, the telephones go; back, they are as the component says, without ghosts (M49)", async () => {
  const pbx = await join("pbx");
  const alice = await online("alice");
  await set(pbx, `${busy()}${busy("alice@localhost/phone")}`);
  await alice.next("presence", from("bob@localhost/phone"));
  await alice.next("presence", from("alice@localhost/phone"));
  pbx.drop();
  expect((await alice.next("presence", from("bob@localhost/phone"))).attrs.type).toBe("unavailable");
  expect((await alice.next("presence", from("alice@localhost/phone"))).attrs.type).toBe("unavailable");
  const again = await join("pbx");
  await set(again, busy());
  await set(again, `${free("alice@localhost/phone")}`, "whole='true'");
  const last = alice.connection.inbox.filter(from("bob@localhost/phone"));
  expect(last).toHaveLength(2);
  expect(last.map((stanza) => stanza.attrs.type)).toEqual([undefined, "unavailable"]);
  expect((await alice.next("presence", from("alice@localhost/phone"))).attrs.type).toBeUndefined();
});

test("clients that outlive a restart of the server see no ghosts", async () => {
  const pbx = await join("pbx");
  const alice = await online("alice");
  await set(pbx, `${busy()}${busy("alice@localhost/phone")}`);
  await alice.next("presence", from("bob@localhost/phone"));
  await alice.next("presence", from("alice@localhost/phone"));
  await core.restart();
  const again = await join("pbx");
  await set(again, free("alice@localhost/phone"));
  expect((await alice.next("presence", from("alice@localhost/phone"))).attrs.type).toBeUndefined();
  expect((await alice.next("presence", from("bob@localhost/phone"))).attrs.type).toBe("unavailable");
  await alice.none("presence", from("alice@localhost/phone"));
});

test("only who has the right sets it, for whom there is, and no further than one presence goes", async () => {
  const other = await join("fax");
  const refused = async (component: TestComponent, inside: string): Promise<string> =>
    String((await set(component, inside)).getChild("error")?.getChildElements()[0]?.getName());
  expect(await refused(other, busy())).toBe("forbidden");
  const pbx = await join("pbx");
  for (const bad of [
    busy("bob@localhost"),
    busy("localhost/phone"),
    busy("bob@elsewhere/phone"),
    busy("x@pbx.localhost/phone"),
    "<presence from='bob@localhost/phone'/>",
    "<presence xmlns='jabber:client'/>",
    "<presence xmlns='jabber:client' from='bob@localhost/phone' type='subscribe'/>",
    busy("bob@localhost/phone", "x".repeat(5000)),
    free().repeat(1001),
  ])
    expect(await refused(pbx, bad), bad.slice(0, 100)).toBe("bad-request");
  expect(await refused(pbx, busy("__proto__@localhost/phone"))).toBe("item-not-found");
  const alice = await online("alice");
  expect(
    (await alice.set(`<presences xmlns='urn:firekeeper:virtual-presence:0'>${busy()}</presences>`, "localhost")).attrs
      .type,
  ).toBe("error");
  await set(pbx, busy("bob@localhost/__proto__"));
  expect((await alice.next("presence", from("bob@localhost/__proto__"))).getChildText("show")).toBe("dnd");
  await core.set({ "firekeeper.component.grants": "pbx:virtual-presence,fax:virtual-presence" });
  expect(await refused(other, off("bob@localhost/__proto__"))).toBe("conflict");
  await core.set({ "firekeeper.component.grants": "fax:virtual-presence" });
  expect((await alice.next("presence", from("bob@localhost/__proto__"))).attrs.type).toBe("unavailable");
  await core.set({ "firekeeper.component.grants": "pbx:virtual-presence" });
});

test("a client that takes the resource speaks for itself", async () => {
  const pbx = await join("pbx");
  const alice = await online("alice");
  await set(pbx, busy());
  await alice.next("presence", from("bob@localhost/phone"));
  const bob = await core.login("bob", { resource: "phone" });
  bob.presence("<show>xa</show>");
  expect((await alice.next("presence", from("bob@localhost/phone"))).getChildText("show")).toBe("xa");
  await set(pbx, busy("bob@localhost/phone", "other"));
  await alice.none("presence", from("bob@localhost/phone"));
  await bob.close();
  expect((await alice.next("presence", from("bob@localhost/phone"))).attrs.type).toBe("unavailable");
  expect((await alice.next("presence", from("bob@localhost/phone"))).getChildText("status")).toBe("other");
});

// What a colleague's client shows: the best of the person's clients, and only without one the telephone. docs/components.md
const people = { offline: undefined, available: "", away: "<show>away</show>" } as const;
const phones = { off: undefined, free: "", busy: "<show>dnd</show>" } as const;
const table: [person: keyof typeof people, phone: keyof typeof phones, shown: string, telephone: string][] = [
  ["offline", "off", "offline", "offline"],
  ["offline", "free", "available", "available"],
  ["offline", "busy", "dnd", "dnd"],
  ["available", "off", "available", "offline"],
  ["available", "free", "available", "available"],
  ["available", "busy", "available", "dnd"],
  ["away", "off", "away", "offline"],
  ["away", "free", "away", "available"],
  ["away", "busy", "away", "dnd"],
];
test.each(table)(
  "person %s, telephone %s: shown as %s, the telephone as %s (M37)",
  async (person, phone, shown, telephone) => {
    const pbx = await join("pbx");
    const client = people[person] === undefined ? undefined : await core.login("bob", { resource: "pc" });
    client?.presence(people[person]);
    await client?.ping();
    const inside =
      phones[phone] === undefined
        ? off()
        : `<presence xmlns='jabber:client' from='bob@localhost/phone'>${phones[phone]}</presence>`;
    await set(pbx, inside);
    const alice = await online("alice");
    await alice.ping();
    const resources = alice.connection.inbox.filter(
      (stanza) => stanza.is("presence") && stanza.attrs.from.startsWith("bob@"),
    );
    const showOf = (stanza: Element | undefined): string =>
      stanza === undefined ? "offline" : (stanza.getChildText("show") ?? "available");
    const best = [...resources].sort(
      (one, other) => Number(other.getChildText("priority") ?? 0) - Number(one.getChildText("priority") ?? 0),
    )[0];
    expect(showOf(best)).toBe(shown);
    expect(showOf(resources.find(from("bob@localhost/phone")))).toBe(telephone);
    await client?.close();
  },
);
