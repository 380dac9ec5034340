/** People and teams, from the host's file to what their clients see. docs/people.md. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Element } from "ltx";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import type { OutcomeDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import type { PlanDocument } from "../../agent/plan/types.ts";
import type { AgentProcess } from "../../agent/start.ts";
import { startAgentOn } from "../support/agent-on-core.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

interface Person {
  name: string;
  id: string;
  displayName?: string;
  aliases?: string[];
}
interface Host {
  people: Person[];
  roles?: { name: string; types: string[]; members: string[] | "all"; teams?: string[] }[];
  teams?: { id: string; name: string; extension?: string; kind?: string; members?: unknown[] }[];
  aliasDomains?: string;
}

let core: TestCore;
let agent: AgentProcess;
let last: Host;

/** One host for the whole file: starting a service costs more than all that is asked of it here. */
beforeAll(async () => {
  core = await startTestCore({});
  await write({ people: [person("alice", "1"), person("bob", "2"), person("carol", "3")] });
  agent = await startAgentOn(core, 10);
});
afterAll(async () => {
  await agent.stop("test");
  await core.close();
});

const person = (name: string, id: string, more: Partial<Person> = {}): Person => ({ name, id, ...more });

/** The password is the id: it stays with the person. */
async function write({ people, roles = [], teams = [], aliasDomains }: Host): Promise<void> {
  last = { people, roles, teams, ...(aliasDomains === undefined ? {} : { aliasDomains }) };
  const properties = {
    "network.interface": "127.0.0.1",
    "xmpp.socket.plain.port": String(core.port),
    "xmpp.socket.ssl.port": String(core.directPort),
    "xmpp.proxy.enabled": "false",
    "httpbind.enabled": "false",
    "adminConsole.port": "-1",
    "adminConsole.securePort": "-1",
  };
  const settings = {
    "sys.xmpp.domain": core.domain,
    ...(aliasDomains === undefined ? {} : { "sys.xmpp.aliasdomains": aliasDomains }),
    ...Object.fromEntries(Object.entries(properties).map(([key, value]) => [`sys.xmpp.properties.${key}`, value])),
  };
  const users = await Promise.all(people.map(async (one) => ({ ...one, credentials: await credentialsOf(one.id) })));
  await writeFile(join(core.home, "host.yaml"), `${stringify({ settings, roles, users, teams })}...\n`, {
    mode: 0o600,
  });
}

/** Writes the host's file and has it applied; what the plan said. */
async function host(next: Partial<Host>): Promise<PlanDocument> {
  await write({ ...last, ...next });
  const { plan } = (await askAgent(core.home, "plan")) as OutcomeDocument;
  await askAgent(core.home, "apply");
  return plan as PlanDocument;
}

/** The core is replaced, and the agent has found the new one. */
async function restart(): Promise<void> {
  await core.restart();
  await vi.waitFor(() => askAgent(core.home, "plan"), { interval: 20, timeout: 10_000 });
}

const login = (user: string, id: string, more = {}) => core.login(user, { password: id, ...more });
const group = (name: string, members: string[], teams?: string[]) => ({
  ...{ name, types: ["xmpp.group"], members },
  ...(teams === undefined ? {} : { teams }),
});
const bareOf = (address: string) => address.replace(/\/.*/, "");
const body = (text: string) => (message: Element) => message.getChildText("body") === text;
const items = (push: Element) =>
  push
    .getChild("query")
    ?.getChildren("item")
    .map(({ attrs }) => attrs);
const pushOf = (jid: string) => (iq: Element) => items(iq)?.some((item) => item.jid === jid) === true;

/** Sender and recipient of each message in the archive, without resources. */
async function archived(client: XmppClient, peer?: string): Promise<string[]> {
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const fields = field("FORM_TYPE", "urn:xmpp:mam:2") + (peer === undefined ? "" : field("with", peer));
  await client.set(`<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>${fields}</x></query>`);
  return client.connection.inbox.splice(0).flatMap((stanza) => {
    const message = stanza
      .getChild("result", "urn:xmpp:mam:2")
      ?.getChild("forwarded", "urn:xmpp:forward:0")
      ?.getChild("message", "jabber:client");
    return message === undefined ? [] : [`${bareOf(message.attrs.from)} > ${bareOf(message.attrs.to)}`];
  });
}

async function refusal(client: XmppClient, to: string): Promise<string> {
  const id = client.message(to, "hello");
  return errorCondition(await client.next("message", (message) => message.attrs.id === id));
}

test("who is renamed keeps everything, and who bears the name afterwards inherits nothing", async () => {
  const people = [person("alice", "1"), person("bob", "2"), person("carol", "3")];
  await host({ people, roles: [group("Sales", ["alice", "bob"])] });
  const [alice, bob, carol] = [await login("alice", "1"), await login("bob", "2"), await login("carol", "3")];
  await alice.roster();
  alice.presence();
  bob.presence();
  await bob.set("<query xmlns='jabber:iq:private'><notes xmlns='test:notes'>milk</notes></query>");
  await bob.set("<query xmlns='jabber:iq:roster'><item jid='carol@localhost' name='C'/></query>");
  await carol.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  alice.message("bob@localhost", "before");
  await bob.next("message", body("before"));

  const renamed = [person("alice", "1"), person("robert", "2"), person("carol", "3")];
  const plan = await host({ people: renamed, roles: [group("Sales", ["alice", "robert"])] });
  expect(plan.changes.map(({ subject, action }) => `${action} ${subject}`)).toEqual(["rename account robert"]);
  await alice.next("iq", pushOf("robert@localhost"));
  alice.message("robert@localhost", "after");
  await bob.next("message", body("after"));
  const again = await login("robert", "2", { resource: "later" });
  // The archive follows by itself, in slices: both people find all of it under the new name, by either name.
  const both = Array(2).fill("alice@localhost > robert@localhost");
  await vi.waitFor(async () => expect(await archived(again)).toEqual(both), { interval: 20 });
  for (const peer of ["robert@localhost", "bob@localhost"]) expect(await archived(alice, peer)).toEqual(both);
  const notes = await again.get("<query xmlns='jabber:iq:private'><notes xmlns='test:notes'/></query>");
  expect(notes.getChild("query")?.getChildText("notes")).toBe("milk");
  expect((await again.roster()).contacts.get("carol@localhost")?.name).toBe("C");
  expect((await carol.get("<blocklist xmlns='urn:xmpp:blocking'/>")).getChild("blocklist")?.children).toMatchObject([
    { attrs: { jid: "robert@localhost" } },
  ]);
  expect(await refusal(again, "carol@localhost")).toBe("service-unavailable");

  await host({ people: [...renamed, person("bob", "4")] });
  const other = await login("bob", "4");
  expect(await archived(other)).toEqual([]);
  expect([...(await other.roster()).contacts.keys()]).toEqual([]);
  const none = await other.get("<query xmlns='jabber:iq:private'><notes xmlns='test:notes'/></query>");
  expect(none.getChild("query")?.getChildText("notes")).toBe("");
  // Carol has blocked the person, not the name.
  carol.presence();
  other.message("carol@localhost", "a stranger");
  await carol.next("message", body("a stranger"));

  // The name changes hands in one step: what was blocked under it is free.
  await carol.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  await host({ people: [...renamed, person("bob", "5")] });
  const third = await login("bob", "5");
  third.message("carol@localhost", "another stranger");
  await carol.next("message", body("another stranger"));
});

test("further addresses of a person lead to the one that is seen", async () => {
  const aliases = ["a.martin", "martin@alias.example"];
  const plan = await host({
    people: [person("alice", "1", { aliases }), person("bob", "2")],
    roles: [],
    aliasDomains: "alias.example, second.example",
  });
  expect(plan.rejected).toEqual([]);
  const change = plan.changes.find(({ subject }) => subject === "account alice");
  expect(change).toMatchObject({ action: "change", to: "also a.martin, martin@alias.example" });
  const bob = await login("bob", "2");
  const alice = await login("a.martin", "1");
  expect(alice.bare).toBe("alice@localhost");
  alice.presence();
  const written = ["a.martin@localhost", "a.martin@alias.example", "martin@alias.example", "alice@second.example"];
  for (const to of written) {
    bob.message(to, `to ${to}`);
    expect((await alice.next("message", body(`to ${to}`))).attrs.to).toBe("alice@localhost");
  }
  alice.message(bob.jid, "back");
  expect((await bob.next("message", body("back"))).attrs.from).toBe(alice.jid);
  expect(await archived(await login("alice", "1", { resource: "x" }))).toContain("bob@localhost > alice@localhost");
  // A full address under one domain says nothing of the others.
  expect(await refusal(bob, "martin@second.example")).toBe("service-unavailable");
  for (const user of ["martin@alias.example", "alice@alias.example", "a.martin@localhost"])
    expect((await login(user, "1", { resource: user })).bare).toBe("alice@localhost");

  // A stream to an alias domain gets its certificate, and the one address.
  const there = await login("alice", "1", { domain: "second.example", resource: "there" });
  expect([there.bare, there.certificate?.subjectAltName]).toEqual([
    "alice@localhost",
    expect.stringContaining("second.example"),
  ]);
  await there.close();

  await bob.roster();
  bob.send("<presence type='subscribe' to='martin@alias.example'/>");
  const asked = await alice.next("presence", ({ attrs }) => attrs.type === "subscribe");
  expect([asked.attrs.from, asked.attrs.to]).toEqual(["bob@localhost", "alice@localhost"]);
  expect(items(await bob.next("iq", pushOf("alice@localhost")))?.[0]).toMatchObject({ ask: "subscribe" });
  await bob.set("<block xmlns='urn:xmpp:blocking'><item jid='a.martin@second.example'/></block>");
  expect(await refusal(bob, "alice@localhost")).toBe("not-acceptable");

  // Nobody is told of a former name: these are permanent. Restarts keep them.
  expect(alice.connection.inbox.filter(({ attrs }) => attrs.from === "localhost" && attrs.type !== "result")).toEqual(
    [],
  );
  await restart();
  expect((await login("martin@alias.example", "1", { resource: "y" })).bare).toBe("alice@localhost");

  const without = await host({ people: [person("alice", "1"), person("bob", "2")] });
  expect(without.changes.find(({ subject }) => subject === "account alice")).toMatchObject({
    to: "no longer a.martin, martin@alias.example",
  });
  await expect(login("a.martin", "1")).rejects.toThrow("not-authorized");
});

test("a team in a role is a contact of the group, and no account", async () => {
  const people = [person("alice", "1"), person("bob", "2")];
  await host({ people, roles: [group("Sales", ["alice"])], aliasDomains: "" });
  const alice = await login("alice", "1");
  expect((await alice.roster()).contacts.size).toBe(0);
  const teams = [{ id: "1", name: "Support", extension: "7001", kind: "queue", members: [{ user: "bob" }, "alice"] }];
  const plan = await host({ teams, roles: [group("Sales", ["alice"], ["1"])] });
  expect(plan.changes).toMatchObject([
    { subject: "contact q_1", action: "add", to: "Support (7001)" },
    {
      ...{ subject: "group Sales", action: "teams", to: "q_1" },
      effects: [{ gains: true, who: ["alice"], what: "the team Support (7001) in the group Sales" }],
    },
  ]);
  expect(items(await alice.next("iq", pushOf("q_1@localhost")))).toMatchObject([
    { name: "Support (7001)", subscription: "both" },
  ]);
  // Its members are not the group's.
  expect([...(await alice.roster()).contacts.keys()]).toEqual(["q_1@localhost"]);
  expect(await refusal(alice, "q_1@localhost")).toBe("service-unavailable");
  const asked = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "q_1@localhost");
  expect(errorCondition(asked)).toBe("service-unavailable");
  await expect(login("q_1", "1")).rejects.toThrow("not-authorized");
  const status = (await askAgent(core.home, "status")) as { server?: { accounts?: number } };
  expect(JSON.stringify(status)).not.toContain("q_1");
  expect([...core.server.accounts.all()].map(({ name }) => name)).not.toContain("q_1");

  await host({ teams: [{ id: "1", name: "Help", kind: "queue" }] });
  expect(items(await alice.next("iq", pushOf("q_1@localhost")))).toMatchObject([{ name: "Help" }]);
  const clash = await host({ people: [...people, person("q_1", "9")] });
  expect(clash.changes).toEqual([]);
  expect(clash.rejected.map(({ key }) => key)).toEqual(["teams: q_1", "users: q_1"]);
  await restart();
  expect((await alice.roster()).contacts.get("q_1@localhost")?.name).toBe("Help");
  // Everybody is in a role of all, but not the teams of other roles.
  const everybody = { name: "Everybody", types: ["xmpp.group"], members: "all" as const };
  await host({ people, roles: [everybody, { ...group("Sales", ["alice"], ["1"]), members: "all" }] });
  expect([...(await alice.roster()).contacts.keys()].sort()).toContain("q_1@localhost");
  const bob = await login("bob", "2");
  expect((await bob.roster()).contacts.get("q_1@localhost")).toMatchObject({ subscription: "both", groups: ["Sales"] });

  const gone = await host({ roles: [everybody, { name: "Sales", types: ["xmpp.group"], members: "all" }] });
  expect(gone.changes.map(({ subject, action }) => `${action} ${subject}`)).toEqual([
    "teams group Sales",
    "remove contact q_1",
  ]);
  expect(items(await bob.next("iq", pushOf("q_1@localhost")))).toMatchObject([{ subscription: "remove" }]);
  // A rollback brings the team back, whatever the host says since.
  const { revision } = (await askAgent(core.home, "status")) as { revision: number };
  await askAgent(core.home, "rollback", { revision: revision - 1 });
  expect(items(await bob.next("iq", pushOf("q_1@localhost")))).toMatchObject([{ name: "Help", subscription: "both" }]);
  await askAgent(core.home, "resume");
});

test("a role of three types: two act here, the third costs nothing", async () => {
  const people = [person("alice", "1"), person("bob", "2")];
  const types = ["xmpp.group", "xmpp.supervisor", "location.group"];
  const plan = await host({ people, teams: [], roles: [{ name: "Desk", types, members: ["alice", "bob"] }] });
  expect(plan.rejected).toEqual([]);
  expect(plan.notices.map(({ message }) => message).join()).toContain("location.group");
  const alice = await login("alice", "1");
  expect([...(await alice.roster()).contacts.keys()]).toEqual(["bob@localhost"]);
  expect([...core.server.rights.supervisors()].length).toBe(2);
});
