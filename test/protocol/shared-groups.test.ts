import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { groups, type SharedGroupChange } from "../../xmpp-core/modules/points.ts";
import type { Account } from "../../xmpp-core/routing/accounts.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { contacts, errorCondition, ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// Openfire's shared groups
let core: TestCore;
const start = async (): Promise<void> => {
  core = await startTestCore({ users: ["alice", "bob", "carol", "dave"] });
};

/** One server for tests that leave nothing but groups behind. */
function oneServer(): void {
  beforeAll(start);
  afterEach(async () => {
    XmppClient.dropAll();
    const [point] = core.server.core.offered(groups);
    await apply(...(point?.list() ?? []).map(({ name }): SharedGroupChange => ({ kind: "remove", name })));
    await settled();
  });
  afterAll(() => core.close());
}

function aServerForEach(): void {
  beforeEach(start);
  afterEach(() => core.close());
}

type Show = "nobody" | "onlyGroup" | "everybody";

function account(name: string): Account {
  const { accounts, names } = core.server;
  const found = accounts.get(names.primary.id, name);
  if (found === undefined) throw new Error(`no account ${name}`);
  return found;
}

/** What an apply does: one transaction, then memory. */
async function apply(...changes: SharedGroupChange[]): Promise<void> {
  const [point] = core.server.core.offered(groups);
  if (point === undefined) throw new Error("no groups");
  const { writes, done } = point.prepare(changes);
  await core.server.storage.write(writes);
  done();
}

const set = (name: string, options: { display?: string; show?: Show; list?: string[] } = {}): SharedGroupChange => ({
  kind: "set",
  origin: "host",
  group: {
    name,
    displayName: options.display ?? name,
    showInRoster: options.show ?? "onlyGroup",
    groupList: options.list ?? [],
  },
});
const members = (group: string, add: string[], remove: string[] = [], all?: boolean): SharedGroupChange => ({
  ...{ kind: "members", group, all },
  add: add.map(account),
  remove: remove.map(account),
});

async function online(user: string): Promise<XmppClient> {
  const client = await core.login(user);
  await client.roster();
  client.presence();
  await client.next("presence", (stanza) => stanza.attrs.from === client.jid);
  return client;
}

/** "bob both Sales,Support", sorted. */
const lines = (query: Element | undefined): string[] =>
  (query === undefined ? [] : contacts(query))
    .map(([jid, { subscription, groups: names }]) => `${jid.split("@")[0]} ${subscription} ${names.join(",")}`.trim())
    .sort();

async function roster(client: XmppClient): Promise<string[]> {
  return lines((await client.get(`<query xmlns='${ns.roster}'/>`)).getChild("query"));
}

/** Every push so far. The second ping's answer comes after what the last turn of the server sent. */
async function pushes(client: XmppClient): Promise<string[]> {
  await settled();
  await client.ping();
  const { inbox } = client.connection;
  const found = inbox.filter((stanza) => stanza.is("iq") && stanza.attrs.type === "set");
  inbox.splice(0, inbox.length, ...inbox.filter((stanza) => !found.includes(stanza)));
  return found.flatMap((stanza) => lines(stanza.getChild("query")));
}

/** Until the changes applied before have been told. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  await core.server.storage.write([]);
  await new Promise((resolve) => setImmediate(resolve));
}

describe("members", () => {
  aServerForEach();

  test("a new group appears in the rosters of its members at once, with presence", async () => {
    const [alice, bob, dave] = [await online("alice"), await online("bob"), await online("dave")];
    await apply(set("Sales"), members("Sales", ["alice", "bob", "carol"]));
    expect((await pushes(alice)).sort()).toEqual(["bob both Sales", "carol both Sales"]);
    expect((await pushes(bob)).sort()).toEqual(["alice both Sales", "carol both Sales"]);
    expect(await pushes(dave)).toEqual([]);
    await alice.next("presence", (stanza) => stanza.attrs.from === bob.jid);
    await bob.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    await dave.none("presence");
    expect(await roster(alice)).toEqual(["bob both Sales", "carol both Sales"]);
    // Carol logs in later and is seen by both, without a subscription of her own.
    const carol = await online("carol");
    await alice.next("presence", (stanza) => stanza.attrs.from === carol.jid);
    await carol.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    await core.crash();
    const later = await core.login("alice");
    expect(await roster(later)).toEqual(["bob both Sales", "carol both Sales"]);
  });

  test("removing a member and the group ends contact and presence", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob", "carol"]));
    const [alice, bob, carol] = [await online("alice"), await online("bob"), await online("carol")];
    await pushes(alice);
    await apply(members("Sales", [], ["carol"]));
    expect(await pushes(alice)).toEqual(["carol remove"]);
    expect((await pushes(carol)).sort()).toEqual(["alice remove", "bob remove"]);
    await alice.next("presence", (stanza) => stanza.attrs.from === carol.jid && stanza.attrs.type === "unavailable");
    await carol.next("presence", (stanza) => stanza.attrs.from === alice.jid && stanza.attrs.type === "unavailable");
    await apply({ kind: "remove", name: "Sales" });
    expect(await pushes(alice)).toEqual(["bob remove"]);
    expect(await pushes(bob)).toEqual(["carol remove", "alice remove"]);
    await bob.next("presence", (stanza) => stanza.attrs.from === alice.jid && stanza.attrs.type === "unavailable");
    expect(await roster(bob)).toEqual([]);
  });

  test("one apply that changes several groups gives one push for each contact", async () => {
    const alice = await online("alice");
    await apply(
      set("Sales"),
      members("Sales", ["alice", "bob"]),
      set("Support"),
      members("Support", ["alice", "bob"]),
      set("Support", { display: "Help" }),
    );
    expect(await pushes(alice)).toEqual(["bob both Help,Sales"]);
    await apply({ kind: "remove", name: "Sales" });
    expect(await pushes(alice)).toEqual(["bob both Help"]);
    await apply(set("Support", { display: "Support" }));
    expect(await pushes(alice)).toEqual(["bob both Support"]);
    // What changes nothing is not told.
    await apply(set("Support", { display: "Support" }), members("Support", ["bob"]));
    expect(await pushes(alice)).toEqual([]);
  });

  test("all: a new user appears everywhere in the same apply, once, also with a group of his own", async () => {
    await apply(set("Everyone"), members("Everyone", [], [], true), set("Sales"), members("Sales", ["alice", "bob"]));
    const [alice, carol] = [await online("alice"), await online("carol")];
    expect(await roster(carol)).toEqual(["alice both Everyone", "bob both Everyone", "dave both Everyone"]);
    const { accounts, names, storage, handlers } = core.server;
    const facts = { name: "erin", hostId: undefined, displayName: "Erin E.", email: undefined, enabled: true };
    const made = accounts.create(names.primary, { ...facts, origin: "host", keptUntil: undefined, probe: false }, 0);
    const [point] = core.server.core.offered(groups);
    const prepared = point?.prepare([members("Sales", ["erin"])]);
    await storage.write([...made.writes, ...(prepared?.writes ?? [])]);
    for (const each of handlers) each.account?.created?.(made.account);
    prepared?.done();
    expect(await pushes(alice)).toEqual(["erin both Everyone,Sales"]);
    expect(await pushes(carol)).toEqual(["erin both Everyone"]);
    expect((await alice.roster()).contacts.get("erin@localhost")?.name).toBe("Erin E.");
  });

  test("a disabled account leaves the rosters and comes back, a new display name is pushed", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const alice = await online("alice");
    const bob = account("bob");
    const change = async (work: () => void): Promise<void> => {
      work();
      await core.server.storage.write(core.server.accounts.save(bob));
      for (const each of core.server.handlers) each.account?.changed?.(bob);
    };
    await change(() => {
      bob.enabled = false;
    });
    expect(await pushes(alice)).toEqual(["bob remove"]);
    await change(() => {
      bob.enabled = true;
    });
    expect(await pushes(alice)).toEqual(["bob both Sales"]);
    await change(() => {
      bob.displayName = "Robert";
    });
    await settled();
    const push = await alice.next("roster push");
    expect(push.getChild("query")?.getChild("item")?.attrs.name).toBe("Robert");
  });

  test("a renamed member is pushed under both names", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const alice = await online("alice");
    const bob = account("bob");
    await core.server.storage.write(core.server.accounts.rename(bob, "robert"));
    for (const each of core.server.handlers) each.account?.renamed?.(bob, "bob");
    expect(await pushes(alice)).toEqual(["bob remove", "robert both Sales"]);
    expect(await roster(alice)).toEqual(["robert both Sales"]);
  });

  test("a removed account leaves groups and rosters; another one of that name has nothing of it", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const alice = await online("alice");
    await alice.set(`<query xmlns='${ns.roster}'><item jid='bob@localhost' name='Bobby'/></query>`);
    const bobClient = await online("bob");
    for (const [from, kind, to] of [
      [alice, "subscribe", "dave@localhost"],
      [bobClient, "subscribe", "dave@localhost"],
    ] as const)
      from.presence("", `type='${kind}' to='${to}'`);
    await bobClient.close();
    await pushes(alice);
    const bob = account("bob");
    const writes = core.server.handlers.flatMap((each) => each.account?.removed?.(bob) ?? []);
    await core.server.storage.write([...writes, ...core.server.accounts.remove(bob)]);
    const push = await alice.next("iq", (stanza) => stanza.attrs.type === "set");
    expect(lines(push.getChild("query"))).toEqual(["bob none"]);
    expect(new Set(await pushes(alice)).size).toBeLessThan(2);
    await core.addUser("bob");
    expect(await roster(alice)).toEqual(["bob none", "dave none"]);
    const dave = await core.login("dave");
    await dave.roster();
    dave.presence();
    await dave.next(
      "presence",
      (stanza) => stanza.attrs.type === "subscribe" && stanza.attrs.from === "alice@localhost",
    );
    await dave.none("presence", (stanza) => stanza.attrs.from === "bob@localhost");
  });
});

describe("who sees a group", () => {
  oneServer();

  // facts: sharedRoster.showInRoster and groupList; a is in the group under test, b in the other
  test.each<[string, { show: Show; list?: string[] }, { show: Show; list?: string[] }, a: string[], b: string[]]>([
    ["nobody, nobody", { show: "nobody" }, { show: "nobody" }, [], []],
    ["onlyGroup each", { show: "onlyGroup" }, { show: "onlyGroup" }, [], []],
    ["everybody, nobody", { show: "everybody" }, { show: "nobody" }, [], ["alice to A"]],
    ["everybody, onlyGroup", { show: "everybody" }, { show: "onlyGroup" }, [], ["alice to A"]],
    ["everybody both", { show: "everybody" }, { show: "everybody" }, ["bob both B"], ["alice both A"]],
    ["A lists B", { show: "onlyGroup", list: ["B"] }, { show: "onlyGroup" }, [], ["alice to A"]],
    ["A lists B, B is not shared", { show: "onlyGroup", list: ["B"] }, { show: "nobody" }, [], ["alice to A"]],
    [
      "each lists the other",
      { show: "onlyGroup", list: ["B"] },
      { show: "onlyGroup", list: ["A"] },
      ["bob both B"],
      ["alice both A"],
    ],
    [
      "A is for everybody, B lists A",
      { show: "everybody" },
      { show: "onlyGroup", list: ["A"] },
      ["bob both B"],
      ["alice both A"],
    ],
    ["A lists what is not there", { show: "onlyGroup", list: ["Bx"] }, { show: "onlyGroup" }, [], []],
  ])("%s", async (_, a, b, alices, bobs) => {
    const [alice, bob] = [await online("alice"), await online("bob")];
    await apply(set("A", a), set("B", b), members("A", ["alice"]), members("B", ["bob"]));
    expect(await roster(alice)).toEqual(alices);
    expect(await roster(bob)).toEqual(bobs);
    expect([await pushes(alice), await pushes(bob)]).toEqual([alices, bobs]);
    // Presence goes where it is seen and nowhere else.
    alice.presence("<show>away</show>");
    bob.presence("<show>away</show>");
    await Promise.all([alice.ping(), bob.ping()]);
    if (alices.length > 0)
      await alice.next("presence", (stanza) => stanza.attrs.from === bob.jid && stanza.getChild("show") !== undefined);
    else await alice.none("presence", (stanza) => stanza.attrs.from === bob.jid);
    if (bobs.length > 0)
      await bob.next("presence", (stanza) => stanza.attrs.from === alice.jid && stanza.getChild("show") !== undefined);
    else await bob.none("presence", (stanza) => stanza.attrs.from === alice.jid);
  });

  test("without a display name the contact is there and the group is not", async () => {
    await apply(set("Sales", { display: "" }), members("Sales", ["alice", "bob"]));
    expect(await roster(await core.login("alice"))).toEqual(["bob both"]);
  });

  test("a changed groupList is pushed to those who begin and cease to see", async () => {
    await apply(set("A"), set("B"), members("A", ["alice"]), members("B", ["bob"]));
    const [alice, bob] = [await online("alice"), await online("bob")];
    await apply(set("A", { list: ["B"] }));
    expect([await pushes(alice), await pushes(bob)]).toEqual([[], ["alice to A"]]);
    await bob.next("presence", (stanza) => stanza.attrs.from === alice.jid);
    await apply(set("A"));
    expect([await pushes(alice), await pushes(bob)]).toEqual([[], ["alice remove"]]);
  });
});

describe("what control asks", () => {
  oneServer();

  test("groups are listed in order, as they are on disk too", async () => {
    await apply(
      set("B", { display: "Bees", show: "everybody" }),
      set("A", { list: ["B", "C"] }),
      members("A", ["carol", "bob"]),
    );
    await apply(set("C", { show: "nobody" }), members("C", [], [], true), members("A", [], ["bob"]));
    const list = () => core.server.core.offered(groups)[0]?.list();
    const expected = [
      {
        name: "A",
        displayName: "A",
        showInRoster: "onlyGroup",
        groupList: ["B", "C"],
        members: ["carol"],
        origin: "host",
      },
      { name: "B", displayName: "Bees", showInRoster: "everybody", groupList: [], members: [], origin: "host" },
      { name: "C", displayName: "C", showInRoster: "nobody", groupList: [], members: "all", origin: "host" },
    ];
    expect(list()).toEqual(expected);
    await core.crash();
    expect(list()).toEqual(expected);
    await apply(members("C", ["alice"], [], false));
    expect(list()?.[2]?.members).toEqual(["alice"]);
  });

  test("a change of a group that is not there is refused whole, nothing is changed before `done`", async () => {
    const [point] = core.server.core.offered(groups);
    expect(() => point?.prepare([set("A"), members("Nowhere", ["bob"])])).toThrow(/no group "Nowhere"/);
    point?.prepare([set("A")]);
    expect(point?.list()).toEqual([]);
  });
});

describe("own items and shared contacts", () => {
  oneServer();

  const item = (inside: string): string => `<query xmlns='${ns.roster}'>${inside}</query>`;

  test("a nickname and a personal group are kept beside the shared one, and the shared contact stays", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const alice = await online("alice");
    await alice.set(item("<item jid='bob@localhost' name='Bobby'><group>Sales</group><group>Mine</group></item>"));
    expect(await pushes(alice)).toEqual(["bob both Mine,Sales"]);
    expect((await alice.roster()).contacts.get("bob@localhost")?.name).toBe("Bobby");
    const refused = await alice.set(item("<item jid='bob@localhost' subscription='remove'/>"));
    expect(errorCondition(refused)).toBe("not-acceptable");
    await apply({ kind: "remove", name: "Sales" });
    expect(await pushes(alice)).toEqual(["bob none Mine"]);
    expect(errorCondition(await alice.set(item("<item jid='bob@localhost' subscription='remove'/>")))).toBe("");
  });

  test("removing a shared contact and joining a shared group by hand is refused", async () => {
    await apply(set("Sales", { display: "Sales team" }), members("Sales", ["alice", "bob"]));
    const alice = await online("alice");
    expect(errorCondition(await alice.set(item("<item jid='bob@localhost' subscription='remove'/>")))).toBe(
      "not-acceptable",
    );
    const joined = await alice.set(item("<item jid='carol@localhost'><group>Sales team</group></item>"));
    expect(errorCondition(joined)).toBe("not-acceptable");
    expect(await roster(alice)).toEqual(["bob both Sales team"]);
  });

  test("no subscription stanzas pass between shared contacts", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const [alice, bob] = [await online("alice"), await online("bob")];
    alice.presence("", "type='subscribe' to='bob@localhost'");
    alice.presence("", "type='unsubscribe' to='bob@localhost'");
    await bob.none("presence", (stanza) => /subscribe/.test(stanza.attrs.type ?? ""), alice);
    expect(await roster(alice)).toEqual(["bob both Sales"]);
  });

  test("a roster version covers shared contacts, also over a restart", async () => {
    await apply(set("Sales"), members("Sales", ["alice", "bob"]));
    const first = await core.login("alice");
    const { version = "" } = await first.roster("");
    await core.crash();
    const again = await core.login("alice");
    expect((await again.get(`<query xmlns='${ns.roster}' ver='${version}'/>`)).getChild("query")).toBeUndefined();
    await apply(members("Sales", ["carol"]));
    const now = await again.roster(version);
    expect([...now.contacts.keys()].sort()).toEqual(["bob@localhost", "carol@localhost"]);
    const push = await again.next("roster push");
    expect(push.getChild("query")?.attrs.ver).toBe(now.version);
  });
});

describe("a large group", () => {
  aServerForEach();

  test("10,000 members: a new one is one push for each who is online, and nothing is read at login", async () => {
    const { accounts, names, storage } = core.server;
    const facts = {
      hostId: undefined,
      displayName: undefined,
      email: undefined,
      enabled: true,
      origin: "host" as const,
    };
    const made = Array.from({ length: 10_000 }, (_, number) =>
      accounts.create(names.primary, { ...facts, name: `member${number}`, keptUntil: undefined, probe: false }, 0),
    );
    await storage.write(made.flatMap(({ writes }) => writes));
    await core.crash();
    const all = Array.from({ length: 10_000 }, (_, number) => `member${number}`);
    await apply(set("Big"), members("Big", [...all, "alice", "bob", "carol"]));
    const clients = [await online("alice"), await online("bob"), await online("carol")];
    // What the server does for one more member is counted by what it sends: a push and nothing else.
    for (const client of clients) {
      await client.ping();
      client.connection.inbox.length = 0;
    }
    await apply(members("Big", ["dave"]));
    for (const client of clients) {
      expect(await pushes(client)).toEqual(["dave both Big"]);
      expect(client.connection.inbox).toEqual([]);
    }
    const reads: string[] = [];
    const original = core.server.storage.read;
    const { storage: watched } = core.server.core;
    Object.assign(watched, {
      read: (statement: { sql: string }, ...rest: []) => {
        reads.push(statement.sql);
        return (original as (...all: unknown[]) => Promise<unknown[]>)(statement, ...rest);
      },
    });
    const dave = await online("dave");
    expect((await dave.roster()).contacts.size).toBe(10_003);
    expect(reads.filter((sql) => /shared_group/.test(sql))).toEqual([]);
    expect(reads.some((sql) => /roster_item/.test(sql))).toBe(true);
    Object.assign(watched, { read: original });
  });
});
