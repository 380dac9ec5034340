/** Proofs of the properties of search, contact lists, contact addresses, last activity, outages and web presence. */
import { expect } from "vitest";
import { groups, type SharedGroupChange } from "../../xmpp-core/modules/points.ts";
import type { Account } from "../../xmpp-core/routing/accounts.ts";
import { read } from "../../xmpp-core/storage/statement.ts";
import { command, runCommand } from "../support/commands.ts";
import { consoleClient } from "../support/console-client.ts";
import { freePort } from "../support/core.ts";
import type { Proof, World } from "./properties-world.ts";

const search = "jabber:iq:search";
const webPresence = "urn:firekeeper:web-presence";

/** User names that a search for `text` finds. */
async function found(world: World, text: string, host = "search.localhost"): Promise<string[] | undefined> {
  const alice = await world.login("alice");
  const field = (name: string, value: string) => `<field var='${name}'><value>${value}</value></field>`;
  const form = `<x xmlns='jabber:x:data' type='submit'>${field("FORM_TYPE", search)}${field("search", text)}</x>`;
  const answer = await alice.set(`<query xmlns='${search}'>${form}</query>`, host);
  await alice.close();
  if (answer.attrs.type === "error") return undefined;
  const items = answer.getChild("query", search)?.getChild("x", "jabber:x:data")?.getChildren("item") ?? [];
  return items.flatMap((item) => {
    const jid = item.getChildren("field").find(({ attrs }) => attrs.var === "jid");
    return jid?.getChildText("value") ?? [];
  });
}

/** Everything that disco#info of the server says. */
async function info(world: World): Promise<string> {
  const alice = await world.login("alice");
  const answer = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
  await alice.close();
  return answer.toString();
}

async function web(world: World): Promise<ReturnType<typeof consoleClient>> {
  const port = await freePort();
  await world.set({ "adminConsole.port": String(port) });
  return consoleClient(port);
}

const contact = (kind: string): [string, Proof] => [
  `firekeeper.contact.${kind}`,
  async (world) => {
    expect(await info(world)).not.toContain(`${kind}-addresses`);
    await world.set({ [`firekeeper.contact.${kind}`]: `mailto:${kind}@example.org` });
    expect(await info(world)).toContain(`mailto:${kind}@example.org`);
  },
];

const outage = (key: string, value: string, shown: unknown, by: string): [string, Proof] => [
  `firekeeper.outage.${key}`,
  async (world) => {
    const page = await web(world);
    await world.set({ "firekeeper.outage.beginning": "2027-01-01T00:00:00Z" });
    const before = (await page.get("/service-status.json")).json[by];
    await world.set({ [`firekeeper.outage.${key}`]: value });
    expect((await page.get("/service-status.json")).json[by]).toEqual(shown);
    expect(before).not.toEqual(shown);
  },
];

export const serviceProofs: Record<string, Proof> = {
  async "plugin.search.serviceEnabled"(world) {
    expect(await found(world, "bob")).toEqual(["bob@localhost"]);
    await world.set({ "plugin.search.serviceEnabled": "false" });
    expect(await found(world, "bob")).toBeUndefined();
  },
  async "plugin.search.serviceName"(world) {
    expect(await found(world, "bob", "people.localhost")).toBeUndefined();
    await world.set({ "plugin.search.serviceName": "people" });
    expect(await found(world, "bob", "people.localhost")).toEqual(["bob@localhost"]);
  },
  async "plugin.search.excludedFields"(world) {
    await world.set({ "plugin.search.excludedFields": "Username" });
    expect(await found(world, "bob")).toEqual([]);
  },
  async "plugin.search.groupOnly"(world) {
    expect(await found(world, "bob")).toEqual(["bob@localhost"]);
    await world.set({ "plugin.search.groupOnly": "true" });
    expect(await found(world, "bob")).toEqual([]);
  },
  async "firekeeper.search.excluded-users"(world) {
    await world.set({ "firekeeper.search.excluded-users": "bob" });
    expect(await found(world, "bob")).toEqual([]);
  },
  ...Object.fromEntries(["abuse", "admin", "feedback", "sales", "security", "status", "support"].map(contact)),
  async "firekeeper.last-activity.kept"(world) {
    const all = read<[], { login_at: number }>("SELECT login_at FROM last_activity");
    const kept = async () => (await world.core.server.storage.read(all)).length > 0;
    await world.login("alice");
    expect(await kept()).toBe(true);
    await world.set({ "firekeeper.last-activity.kept": "nothing" });
    await expect.poll(kept).toBe(false);
    await world.login("bob");
    expect(await kept()).toBe(false);
  },
  async "firekeeper.outage.addresses"(world) {
    await world.set({ "firekeeper.outage.addresses": "https://status.example.net/xmpp.json" });
    expect(await info(world)).toContain("https://status.example.net/xmpp.json");
  },
  async "firekeeper.outage.beginning"(world) {
    const page = await web(world);
    expect((await page.get("/service-status.json")).json).toEqual({});
    await world.set({ "firekeeper.outage.beginning": "2027-01-01T00:00:00Z" });
    expect((await page.get("/service-status.json")).json.beginning).toBe("2027-01-01T00:00:00Z");
  },
  ...Object.fromEntries([
    outage("expected-end", "2027-01-01T01:00:00Z", "2027-01-01T01:00:00Z", "expected_end"),
    outage("message", "New disks.", { default: "New disks." }, "message"),
    outage("planned", "false", false, "planned"),
  ]),
  async "xmpp.client.limits.advertisement.disabled"(world) {
    const limited = async () => {
      const [stranger, alice] = [await world.connect(), await world.login("alice")];
      const told = [stranger, alice].map((each) => each.features?.toString().includes("urn:xmpp:stream-limits:0"));
      await Promise.all([stranger.close(), alice.close()]);
      return told;
    };
    expect(await limited()).toEqual([true, true]);
    await world.set({ "xmpp.client.limits.advertisement.disabled": "true" });
    expect(await limited()).toEqual([false, false]);
  },
  async "xmpp.command.limit"(world) {
    await world.set({ "firekeeper.web-presence.enabled": "true", "xmpp.command.limit": "1" });
    const alice = await world.login("alice");
    const begin = async () => (await command(alice, webPresence)).attrs.type;
    expect([await begin(), await begin()]).toEqual(["result", "error"]);
    await world.set({ "xmpp.command.limit": "2" });
    expect(await begin()).toBe("result");
  },
  async "xmpp.command.timeout"(world) {
    await world.set({ "firekeeper.web-presence.enabled": "true", "xmpp.command.timeout": "60000" });
    const alice = await world.login("alice");
    const answered = async (after: number) => {
      const id = (await command(alice, webPresence)).getChild("command")?.attrs.sessionid;
      world.pass(after);
      return (await command(alice, webPresence, { shown: ["0"] }, id)).attrs.type;
    };
    expect([await answered(50_000), await answered(70_000)]).toEqual(["result", "error"]);
  },
  async "firekeeper.web-presence.enabled"(world) {
    const page = await web(world);
    expect((await page.get("/status/alice/text")).status).toBe(404);
    await world.set({ "firekeeper.web-presence.enabled": "true" });
    const alice = await world.login("alice");
    alice.presence();
    await runCommand(alice, webPresence, { shown: ["1"] });
    expect((await page.get("/status/alice/text")).text).toBe("online\n");
    await command(alice, webPresence, { shown: ["0"] });
  },
  // seeds M38: "Name (Extension)", as the host chose
  async "firekeeper.roster.contact-name"(world) {
    const { core, accounts, names, storage } = world.core.server;
    const person = (name: string) => accounts.get(names.primary.id, name) as Account;
    const [point] = core.offered(groups);
    const group = { name: "Desk", displayName: "Desk", showInRoster: "onlyGroup", groupList: [] } as const;
    const apply = async (...changes: SharedGroupChange[]) => {
      const prepared = point?.prepare(changes);
      await storage.write(prepared?.writes ?? []);
      prepared?.done();
    };
    await apply({ kind: "set", group, origin: "local" });
    await apply({ kind: "members", group: "Desk", add: [person("alice"), person("bob")], remove: [] });
    const alice = await world.login("alice");
    expect((await alice.roster()).contacts.get("bob@localhost")?.name).toBe("bob");
    await world.set({ "firekeeper.roster.contact-name": "{name} at work[ ({phone})]" });
    const push = await alice.next("iq", (stanza) => stanza.attrs.type === "set");
    expect(push.getChild("query")?.getChild("item")?.attrs.name).toBe("bob at work");
    await apply({ kind: "remove", name: "Desk" });
  },
};
