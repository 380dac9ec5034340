/** Proofs of the properties of modules. */
import { connect } from "node:net";
import { expect } from "vitest";
import { read } from "../../xmpp-core/storage/statement.ts";
import { freePort } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const dayMs = 24 * 3600 * 1000;
const privateData = "<query xmlns='jabber:iq:private'><notes xmlns='urn:notes'>n</notes></query>";
const streamhosts = "<query xmlns='http://jabber.org/protocol/bytestreams'/>";

const newcomer = (name: string): string =>
  `<query xmlns='jabber:iq:register'><username>${name}</username><password>${name}</password></query>`;

/** Bodies that wait for somebody who comes. */
async function waiting(world: World, user: string): Promise<string[]> {
  const client = await world.login(user);
  client.presence();
  // Read behind the messages that wait: its answer comes when they have been handed over.
  await client.set("<query xmlns='urn:xmpp:mam:2'/>");
  const found = client.connection.inbox.map((stanza) => stanza.getChildText("body")).filter((body) => body !== null);
  await client.close();
  return found as string[];
}

/** Sends to somebody who is away; says whether it came back. */
async function bounces(client: XmppClient, to: string, body: string): Promise<boolean> {
  const id = client.message(to, body);
  await client.ping();
  return client.connection.inbox.some((stanza) => stanza.attrs.id === id && stanza.attrs.type === "error");
}

async function archived(client: XmppClient): Promise<number> {
  const answer = await client.set("<query xmlns='urn:xmpp:mam:2'/>");
  expect(answer.attrs.type).toBe("result");
  const isResult = (stanza: { getChild(name: string, ns: string): unknown }) =>
    stanza.getChild("result", "urn:xmpp:mam:2") !== undefined;
  const found = client.connection.inbox.filter(isResult).length;
  client.connection.inbox.splice(0);
  return found;
}

const reachable = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(socket.destroy() !== undefined));
    socket.once("error", () => resolve(false));
  });

const versioned = (client: XmppClient): boolean =>
  client.features?.getChild("ver", "urn:xmpp:features:rosterver") !== undefined;

/** Registration without letters to copy, and with short passwords. */
const freely = { "firekeeper.register.captcha": "false", "firekeeper.password.least-length": "1" };

export const moduleProofs: Record<string, Proof> = {
  async "xmpp.client.roster.active"(world) {
    const alice = await world.login("alice");
    expect((await alice.get("<query xmlns='jabber:iq:roster'/>")).attrs.type).toBe("result");
    await world.set({ "xmpp.client.roster.active": "false" });
    expect((await alice.get("<query xmlns='jabber:iq:roster'/>")).attrs.type).toBe("error");
  },
  async "xmpp.client.roster.versioning.active"(world) {
    expect(versioned(await world.login("alice"))).toBe(true);
    await world.set({ "xmpp.client.roster.versioning.active": "false" });
    const alice = await world.login("alice");
    expect(versioned(alice)).toBe(false);
    expect((await alice.roster("")).version).toBeUndefined();
  },
  async "firekeeper.archive.enabled"(world) {
    const alice = await world.login("alice");
    await world.set({ "firekeeper.archive.enabled": "false" });
    const before = await archived(alice);
    alice.message("bob@localhost", "not kept");
    await alice.ping();
    expect(await archived(alice)).toBe(before);
    await world.set({ "firekeeper.archive.enabled": "true" });
    alice.message("bob@localhost", "kept");
    await alice.ping();
    expect(await archived(alice)).toBe(before + 1);
  },
  async "firekeeper.archive.default"(world) {
    const alice = await world.login("alice");
    await world.set({ "firekeeper.archive.default": "never" });
    const before = await archived(alice);
    alice.message("bob@localhost", "not kept");
    await alice.ping();
    expect(await archived(alice)).toBe(before);
    await alice.set("<prefs xmlns='urn:xmpp:mam:2' default='always'/>");
    alice.message("bob@localhost", "kept");
    await alice.ping();
    expect(await archived(alice)).toBe(before + 1);
  },
  async "firekeeper.archive.search.enabled"(world) {
    const alice = await world.login("alice");
    const form = async () => (await alice.get("<query xmlns='urn:xmpp:mam:2'/>")).toString();
    expect(await form()).toContain("{urn:xmpp:fulltext:0}fulltext");
    await world.set({ "firekeeper.archive.search.enabled": "false" });
    expect(await form()).not.toContain("fulltext");
  },
  async "firekeeper.archive.days"(world) {
    const alice = await world.login("alice");
    await alice.ping();
    alice.message("bob@localhost", "old");
    await alice.ping();
    expect(await archived(alice)).toBeGreaterThan(0);
    await world.set({ "firekeeper.archive.days": "2", "xmpp.client.idle": "-1" });
    world.pass(3 * dayMs);
    const again = await world.login("alice");
    await expect.poll(() => archived(again)).toBe(0);
    expect(await waiting(world, "bob")).toContain("old");
  },
  async "firekeeper.reports.days"(world) {
    const alice = await world.login("alice");
    await world.set({ "xmpp.client.idle": "-1", "firekeeper.reports.days": "2" });
    const report = "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/>";
    await alice.set(`<block xmlns='urn:xmpp:blocking'><item jid='x@localhost'>${report}</item></block>`);
    const count = read<[], { number: number }>("SELECT count(*) AS number FROM abuse_report");
    const kept = async () => (await world.core.server.storage.read(count))[0]?.number;
    expect(await kept()).toBe(1);
    world.pass(3 * dayMs);
    await expect.poll(kept).toBe(0);
    await (await world.login("alice")).set("<unblock xmlns='urn:xmpp:blocking'/>");
  },
  async "firekeeper.multicast.recipients"(world) {
    const alice = await world.login("alice");
    const to = ["alice", "bob"].map((name) => `<address type='to' jid='${name}@localhost'/>`).join("");
    const send = async () => {
      alice.send(
        `<message to='multicast.localhost' id='m'><addresses xmlns='http://jabber.org/protocol/address'>${to}</addresses><body>x</body></message>`,
      );
      await alice.ping();
      return alice.connection.inbox.some((stanza) => stanza.attrs.id === "m" && stanza.attrs.type === "error");
    };
    expect(await send()).toBe(false);
    await world.set({ "firekeeper.multicast.recipients": "1" });
    expect(await send()).toBe(true);
    await waiting(world, "bob");
  },
  async "xmpp.offline.type"(world) {
    const alice = await world.login("alice");
    expect(await bounces(alice, "bob@localhost", "kept")).toBe(false);
    expect(await waiting(world, "bob")).toEqual(["kept"]);
    await world.set({ "xmpp.offline.type": "bounce" });
    expect(await bounces(alice, "bob@localhost", "returned")).toBe(true);
    await world.set({ "xmpp.offline.type": "drop" });
    expect(await bounces(alice, "bob@localhost", "dropped")).toBe(false);
    expect(await waiting(world, "bob")).toEqual([]);
  },
  async "xmpp.offline.quota"(world) {
    const alice = await world.login("alice");
    await world.set({ "xmpp.offline.quota": "1000" });
    expect(await bounces(alice, "bob@localhost", "x".repeat(500))).toBe(false);
    expect(await bounces(alice, "bob@localhost", "x".repeat(500))).toBe(true);
    await waiting(world, "bob");
  },
  async "xmpp.offline.autoclean.enabled"(world) {
    const alice = await world.login("alice");
    await world.set({ "xmpp.offline.autoclean.daystolive": "1", "xmpp.client.idle": "-1" });
    alice.message("bob@localhost", "stays");
    await alice.ping();
    world.pass(2 * dayMs);
    expect(await waiting(world, "bob")).toEqual(["stays"]);
    const again = await world.login("alice");
    again.message("bob@localhost", "goes");
    await again.ping();
    await world.set({ "xmpp.offline.autoclean.enabled": "true" });
    world.pass(2 * dayMs);
    await world.swept();
    expect(await waiting(world, "bob")).toEqual([]);
  },
  async "xmpp.offline.autoclean.daystolive"(world) {
    await world.set({ "xmpp.offline.autoclean.enabled": "true", "xmpp.offline.autoclean.daystolive": "5" });
    const alice = await world.login("alice");
    alice.message("bob@localhost", "four days");
    await alice.ping();
    world.pass(4 * dayMs);
    expect(await waiting(world, "bob")).toEqual(["four days"]);
    const again = await world.login("alice");
    again.message("bob@localhost", "four days again");
    await again.ping();
    await world.set({ "xmpp.offline.autoclean.daystolive": "3" });
    world.pass(4 * dayMs);
    await world.swept();
    expect(await waiting(world, "bob")).toEqual([]);
  },
  async "xmpp.offline.autoclean.checkinterval"(world) {
    const before = world.periods();
    await world.set({ "xmpp.offline.autoclean.checkinterval": "7" });
    expect(before).toContain(30 * 60_000);
    expect(world.periods()).toContain(7 * 60_000);
    expect(world.periods()).not.toContain(30 * 60_000);
  },
  async "xmpp.privateStorageEnabled"(world) {
    const alice = await world.login("alice");
    expect((await alice.set(privateData)).attrs.type).toBe("result");
    await world.set({ "xmpp.privateStorageEnabled": "false" });
    expect((await alice.set(privateData)).attrs.type).toBe("error");
  },
  async "xmpp.proxy.enabled"(world) {
    const port = await freePort();
    await world.set({ "xmpp.proxy.port": String(port) });
    expect(await reachable(port)).toBe(false);
    await world.set({ "xmpp.proxy.enabled": "true" });
    expect(await reachable(port)).toBe(true);
  },
  async "firekeeper.proxy.proxy-protocol-from"(world) {
    const port = await freePort();
    await world.set({ "xmpp.proxy.enabled": "true", "xmpp.proxy.port": String(port) });
    const greeted = async (): Promise<string> => {
      const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.9" }).on("error", () => undefined);
      socket.write(Buffer.concat([Buffer.from("PROXY UNKNOWN\r\n"), Buffer.from([5, 1, 0])]));
      for await (const chunk of socket) return chunk.toString("hex");
      return "";
    };
    expect(await greeted()).not.toBe("0500");
    await world.set({ "firekeeper.proxy.proxy-protocol-from": "127.0.0.0/24" });
    expect(await greeted()).toBe("0500");
  },
  async "xmpp.proxy.service"(world) {
    const alice = await world.login("alice");
    const services = async () =>
      (await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost"))
        .getChild("query")
        ?.getChildren("item")
        .map((item) => item.attrs.jid);
    const offered = async (at: string) =>
      (await alice.get(streamhosts, at)).getChild("query")?.getChild("streamhost")?.attrs.jid;
    await world.set({ "xmpp.proxy.enabled": "true", "xmpp.proxy.port": String(await freePort()) });
    expect(await services()).toContain("proxy.localhost");
    await world.set({ "xmpp.proxy.service": "Files" });
    expect(await services()).toContain("files.localhost");
    expect(await offered("files.localhost")).toBe("files.localhost");
    expect(await offered("proxy.localhost")).toBeUndefined();
    expect((await world.connect()).certificate?.checkHost("files.localhost")).toBeDefined();
    await expect(world.set({ "xmpp.proxy.service": "two.labels" })).rejects.toThrow("xmpp.proxy.service must be");
  },
  async "register.inband"(world) {
    expect((await (await world.connect()).set(newcomer("first"))).attrs.type).toBe("error");
    await world.set({ "register.inband": "true", ...freely });
    expect((await (await world.connect()).set(newcomer("first"))).attrs.type).toBe("result");
    await world.login("first");
  },
  async "register.password"(world) {
    await world.set({ "register.inband": "true", ...freely });
    await (await world.connect()).set(newcomer("second"));
    const second = await world.login("second");
    await world.set({ "register.password": "false" });
    expect((await second.set(newcomer("second"))).attrs.type).toBe("error");
    await world.set({ "register.password": "true" });
    expect((await second.set(newcomer("second"))).attrs.type).toBe("result");
  },
  async "xmpp.proxy.port"(world) {
    const [first, second] = [await freePort(), await freePort()];
    await world.set({ "xmpp.proxy.enabled": "true", "xmpp.proxy.port": String(first) });
    await world.set({ "xmpp.proxy.port": String(second) });
    expect([await reachable(first), await reachable(second)]).toEqual([false, true]);
    const alice = await world.login("alice");
    const answer = await alice.get(streamhosts, "proxy.localhost");
    expect(answer.getChild("query")?.getChild("streamhost")?.attrs.port).toBe(String(second));
  },
  async "xmpp.proxy.externalip"(world) {
    await world.set({ "xmpp.proxy.enabled": "true", "xmpp.proxy.port": String(await freePort()) });
    const alice = await world.login("alice");
    const host = async () =>
      (await alice.get(streamhosts, "proxy.localhost")).getChild("query")?.getChild("streamhost")?.attrs.host;
    await world.agent.apply({ kind: "setting", setting: "external-address", to: "203.0.113.9" });
    expect(await host()).toBe("203.0.113.9");
    await world.set({ "xmpp.proxy.externalip": "198.51.100.4" });
    expect(await host()).toBe("198.51.100.4");
    await world.agent.apply({ kind: "setting", setting: "external-address", to: null });
  },
};
