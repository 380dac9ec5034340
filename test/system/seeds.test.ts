import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { askAgent } from "../../agent/agent-socket-client.ts";
import type { HostChange } from "../../agent/store/host-change.ts";
import { credentialsOf } from "../support/core.ts";
import { type HostYaml, type Service, startService } from "../support/processes.ts";
import { contacts, errorCondition, ns } from "../support/stanzas.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";

/** What admins of the replaced systems rely on: one service in manual mode, driven by the command line. */
let service: Service;
beforeAll(async () => {
  const users = await Promise.all(
    ["admin", "alice", "bob", "carol"].map(async (name) => ({ name, credentials: await credentialsOf(name) })),
  );
  service = await startService({
    domain: "example.org",
    env: { FIREKEEPER_APPLY: "manual" },
    host: {
      users: [
        ...users,
        { name: "Olsen", credentials: await credentialsOf("olsen") },
        { name: "nobody" },
        { name: "gone", credentials: await credentialsOf("gone"), enabled: false },
      ],
    },
  });
});
afterAll(() => service.stop());
afterEach(() => XmppClient.dropAll());

const login = (user: string, more: { password?: string; resource?: string } = {}) =>
  XmppClient.login({
    host: service.host,
    port: service.ports.plain,
    domain: service.domain,
    user,
    password: user,
    ...more,
  });
/** Logged in, with the roster asked for, as clients are that show a contact list. */
async function online(user: string): Promise<XmppClient> {
  const client = await login(user);
  await client.roster();
  client.presence();
  await client.ping();
  return client;
}
/** What `firekeeper settings` and `firekeeper apply` do, without the time that a process takes. */
const change = (change: HostChange) => askAgent(service.home, "store-edit", { change });
const apply = () => askAgent(service.home, "apply");
const edit = async (change: (host: HostYaml) => HostYaml) =>
  service.writeHost(change(parse(await service.readHost()) as HostYaml));
const groupsOf = async (client: XmppClient, name: string) =>
  (await client.roster()).contacts.get(`${name}@${service.domain}`)?.groups;
/** The pushes that came, as name → groups, and none twice. */
async function pushes(client: XmppClient): Promise<Record<string, string[]>> {
  await client.ping();
  const { inbox } = client.connection;
  const items = inbox.flatMap((stanza) => {
    const query = stanza.attrs.type === "set" ? stanza.getChild("query", ns.roster) : undefined;
    return query === undefined ? [] : contacts(query);
  });
  expect(new Set(items.map(([jid]) => jid)).size).toBe(items.length);
  inbox.splice(0, inbox.length, ...inbox.filter((stanza) => !stanza.is("iq")));
  return Object.fromEntries(
    items.map(([jid, item]) => [jid.split("@")[0] ?? "", item.subscription === "remove" ? ["removed"] : item.groups]),
  );
}

test("a key nobody knows can be added by its full name and is in the list, in the plan and in status (M2)", async () => {
  await service.run(["settings", "set", "sys.xmpp.properties.foo.bar", "baz"]);
  expect(await service.run(["settings", "list", "--search", "foo"])).toContain("sys.xmpp.properties.foo.bar");
  const planned = await service.cli(["plan"]);
  expect(planned.stdout).toMatch(/foo\.bar.*set baz/);
  expect(planned.stdout).toMatch(/foo\.bar.*unknown|unknown.*foo\.bar/i);
  await apply();
  expect(await service.run(["status"])).toMatch(/foo\.bar.*unknown|unknown.*foo\.bar/i);
});

test("saving is not applying: in manual mode an edit waits, plan exits 2 and shows it, Apply makes it active (M3)", async () => {
  const storage = async () =>
    (await (await login("alice")).get("<query xmlns='jabber:iq:private'><x xmlns='test:x'/></query>")).attrs.type;
  await change({ kind: "setting-set", key: "sys.xmpp.properties.xmpp.privateStorageEnabled", value: "false" });
  expect(await storage()).toBe("result");
  expect(await service.cli(["plan"])).toMatchObject({
    code: 2,
    stdout: expect.stringContaining("xmpp.privateStorageEnabled"),
  });
  expect(await service.run(["status"])).toMatch(/1 changes? waits?/);
  await apply();
  expect(await storage()).toBe("error");
  await change({ kind: "setting-unset", key: "sys.xmpp.properties.xmpp.privateStorageEnabled" });
  await apply();
  expect(await storage()).toBe("result");
});

test("an apply of the roster reaches clients at once and restarts nothing; the setting goes on waiting (M4)", async () => {
  const alice = await online("alice");
  const core = service.pid("core");
  await change({ kind: "setting-set", key: "sys.xmpp.java_options", value: "-Xmx300m" });
  await service.run(["roles", "add", "xmpp.group", "Sales", "alice", "bob"]);
  await service.run(["apply", "--scope", "roster"]);
  expect(await pushes(alice)).toEqual({ bob: ["Sales"] });
  expect(service.pid("core")).toBe(core);
  expect(await service.cli(["plan"])).toMatchObject({ code: 2, stdout: expect.stringContaining("restart") });
  await change({ kind: "setting-unset", key: "sys.xmpp.java_options" });
  expect((await service.cli(["plan"])).code).toBe(0);
});

test("a key of Openfire's caches is taken, and it is said that it has no effect (M18)", async () => {
  await change({ kind: "setting-set", key: "sys.xmpp.properties.cache.vcardCache.size", value: "1048576" });
  await apply();
  expect(await service.run(["status"])).toMatch(/cache\.vcardCache\.size.*(no|without) effect/i);
  await change({ kind: "setting-unset", key: "sys.xmpp.properties.cache.vcardCache.size" });
  await apply();
});

test("users with a password may log in without any role, others may not; the role type xmpp.connect is called obsolete (M22)", async () => {
  await login("alice");
  await expect(login("nobody")).rejects.toThrow(LoginRefused);
  await expect(login("nobody", { password: "" })).rejects.toThrow(LoginRefused);
  await expect(login("gone")).rejects.toThrow(/account-disabled|not-authorized/);
  await edit((host) => ({
    ...host,
    roles: [...(host.roles ?? []), { name: "Old", types: ["xmpp.connect"], members: ["alice"] }],
  }));
  expect((await service.cli(["plan"])).stdout).toMatch(/xmpp\.connect.*obsolete|obsolete.*xmpp\.connect/i);
  await service.run(["roles", "remove", "Old"]);
});

test("capitals in a name do not matter at login; two names that differ in nothing else are rejected, both named (M23)", async () => {
  for (const user of ["olsen", "OLSEN", "Olsen"])
    expect((await login(user, { password: "olsen" })).bare).toBe("olsen@example.org");
  const credentials = await credentialsOf("other");
  await edit((host) => ({ ...host, users: [...(host.users ?? []), { name: "olsen", credentials }] }));
  const { stdout } = await service.cli(["plan"]);
  expect(stdout).toMatch(/rejected/);
  expect(stdout).toMatch(/Olsen/);
  expect(stdout).toMatch(/\bolsen\b/);
  await login("olsen", { password: "olsen" });
  await edit((host) => ({ ...host, users: (host.users ?? []).filter(({ name }) => name !== "olsen") }));
  expect((await service.cli(["plan"])).code).toBe(0);
});

test("who is added to a contact list appears in the others' at once, without a new login (M26)", async () => {
  const [alice, bob, carol] = [await online("alice"), await online("bob"), await online("carol")];
  await service.run(["roles", "member", "add", "Sales", "carol"]);
  await apply();
  expect(await pushes(alice)).toEqual({ carol: ["Sales"] });
  expect(await pushes(bob)).toEqual({ carol: ["Sales"] });
  expect(await pushes(carol)).toEqual({ alice: ["Sales"], bob: ["Sales"] });
  await alice.next("presence", (presence) => presence.attrs.from === carol.jid);
});

test("a contact of several lists is there once, in each; leaving one keeps the others (M29)", async () => {
  await service.run(["roles", "add", "xmpp.group", "Support", "alice", "bob"]);
  await apply();
  const alice = await online("alice");
  expect(await groupsOf(alice, "bob")).toEqual(["Sales", "Support"]);
  await service.run(["roles", "member", "remove", "Sales", "bob"]);
  await apply();
  expect(await pushes(alice)).toEqual({ bob: ["Support"] });
  expect(await groupsOf(alice, "bob")).toEqual(["Support"]);
});

test("everybody is in the list of all; who is added to the store appears everywhere, in one push each (M28)", async () => {
  await service.run(["roles", "add", "xmpp.group", "Everybody", "all"]);
  await apply();
  const [alice, carol] = [await online("alice"), await online("carol")];
  await service.run(["users", "add", "dave", "--password-stdin"], "dave");
  await apply();
  expect(await pushes(alice)).toEqual({ dave: ["Everybody"] });
  expect(await pushes(carol)).toEqual({ dave: ["Everybody"] });
  const dave = await online("dave");
  expect(await groupsOf(dave, "alice")).toEqual(["Everybody"]);
  await service.run(["roles", "remove", "Everybody"]);
  await apply();
});

test("a role has several types at once: list and supervisor act, an unknown one is no error (M30)", async () => {
  const carol = await online("carol");
  const commands = () =>
    carol.get(
      "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
      "example.org",
    );
  const listing =
    "<command xmlns='http://jabber.org/protocol/commands' node='http://jabber.org/protocol/admin#get-online-users-list' action='execute'/>";
  expect(errorCondition(await carol.set(listing, "example.org"))).toBe("forbidden");
  await edit((host) => ({
    ...host,
    roles: [
      ...(host.roles ?? []),
      { name: "Desk", types: ["xmpp.group", "xmpp.supervisor", "pickup.group"], members: ["carol", "alice"] },
    ],
  }));
  const applied = await service.run(["apply"]);
  expect(applied).not.toMatch(/rejected/);
  expect(await groupsOf(carol, "alice")).toContain("Desk");
  expect((await commands()).toString()).toContain("admin#");
  expect((await carol.set(listing, "example.org")).attrs.type).toBe("result");
  expect(await service.readHost()).toContain("pickup.group");
});

test("the server's address need not be the domain: the certificate names both, and clients log in by either (B5)", async () => {
  await change({ kind: "setting-set", key: "sys.xmpp.properties.fqdn", value: "mail.example.com" });
  await apply();
  const alice = await login("alice");
  expect(alice.certificate?.checkHost("example.org")).toBeDefined();
  expect(alice.certificate?.checkHost("mail.example.com")).toBeDefined();
  expect(alice.bare).toBe("alice@example.org");
});

test("an automatic external address without servers to ask is rejected, and what is in force stays", async () => {
  await change({ kind: "setting-set", key: "sys.xmpp.externalip", value: "192.0.2.9" });
  await apply();
  await edit((host) => ({ ...host, settings: { ...host.settings, "sys.xmpp.externalip": "auto" } }));
  const { stdout } = await service.cli(["plan"]);
  expect(stdout).toMatch(/sys\.xmpp\.externalip = auto: must be .*FIREKEEPER_STUN/);
  const alice = await login("alice");
  const offered = await alice.get("<query xmlns='http://jabber.org/protocol/bytestreams'/>", "proxy.example.org");
  expect(offered.toString()).toContain('host="192.0.2.9"');
});
