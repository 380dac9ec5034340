/** Proofs of the properties of clients that nobody looks at, and of those that are called by a push service. */
import type { Element } from "ltx";
import { expect } from "vitest";
import { jid } from "../../xmpp-core/jid/jid.ts";
import { parseStanza } from "../../xmpp-core/xml/document.ts";
import { limitsAfterLogin } from "../../xmpp-core/xml/limits.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const push = "urn:xmpp:push:0";
const mucNs = "http://jabber.org/protocol/muc";

/** Alice's phone, at which nobody looks, and bob. */
async function quiet(world: World): Promise<{ phone: XmppClient; bob: XmppClient }> {
  const phone = await world.login("alice", { resource: "phone" });
  const bob = await world.login("bob", { resource: "bob" });
  phone.send("<inactive xmlns='urn:xmpp:csi:0'/>");
  await phone.ping();
  return { phone, bob };
}

/** Says something that is not urgent, and whether it came. */
async function comes(phone: XmppClient, bob: XmppClient): Promise<boolean> {
  bob.send("<message to='alice@localhost/phone' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>");
  await bob.ping();
  await phone.ping();
  return phone.connection.inbox.some((stanza) => stanza.is("message"));
}

const waits =
  (key: string, value: string): Proof =>
  async (world) => {
    const { phone, bob } = await quiet(world);
    expect(await comes(phone, bob)).toBe(false);
    await world.set({ [key]: value });
    expect(await comes(phone, bob)).toBe(true);
  };

/** Alice's app, which bob's client calls; the app is away. */
async function away(world: World): Promise<XmppClient> {
  await world.set({ "firekeeper.push.interval": "0" });
  const service = await world.login("bob", { resource: "service" });
  const app = await world.login("alice", { resource: "app", sm: true });
  app.presence();
  await app.set(`<disable xmlns='${push}' jid='bob@localhost/service'/>`);
  await app.set(`<enable xmlns='${push}' jid='bob@localhost/service' node='app'/>`);
  app.ack();
  await app.ping();
  app.drop();
  while (sessionOf(world)?.carrier !== undefined) await new Promise((next) => setImmediate(next));
  return service;
}

const sessionOf = ({ core }: World) => {
  const { accounts, names, sessions } = core.server;
  const account = accounts.get(names.primary.id, "alice");
  return account && sessions.get(account, "app");
};

const isCall = (stanza: Element): boolean => stanza.is("iq") && stanza.getChild("pubsub") !== undefined;

/** From somebody else than the service: what that says is never a reason to call it. */
function write(world: World, text: string, more = "<no-store xmlns='urn:xmpp:hints'/>"): void {
  const { router, names } = world.core.server;
  const from = jid("", names.primary.name, "news");
  const to = jid("alice", names.primary.name, "");
  if (from === undefined || to === undefined) throw new Error("addresses");
  const xml = `<message type='chat'><body>${text}</body>${more}</message>`;
  expect(router.message(parseStanza(xml, "jabber:client", limitsAfterLogin), from, to)).toBeUndefined();
}

async function called(service: XmppClient, answer = "result"): Promise<string> {
  const call = await service.next(isCall);
  const back = `id='${call.attrs.id}' to='${call.attrs.from}'`;
  const error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
  service.send(answer === "result" ? `<iq type='result' ${back}/>` : `<iq type='error' ${back}>${error}</iq>`);
  await service.ping();
  return call.toString();
}

const tells =
  (key: string, what: string): Proof =>
  async (world) => {
    const service = await away(world);
    write(world, "the plan");
    expect(await called(service)).not.toContain(what);
    await world.set({ [key]: "true" });
    write(world, "the plan");
    expect(await called(service)).toContain(what);
  };

export const mobileProofs: Record<string, Proof> = {
  async "xmpp.client.csi.enabled"(world) {
    const offered = async () => (await world.login("alice")).features?.getChild("csi", "urn:xmpp:csi:0") !== undefined;
    expect(await offered()).toBe(true);
    const { phone, bob } = await quiet(world);
    expect(await comes(phone, bob)).toBe(false);
    await world.set({ "xmpp.client.csi.enabled": "false" });
    expect(await offered()).toBe(false);
    expect(await comes(phone, bob)).toBe(true);
  },
  "xmpp.client.csi.delay.enabled": waits("xmpp.client.csi.delay.enabled", "false"),
  "xmpp.client.csi.delay.queue.capacity": waits("xmpp.client.csi.delay.queue.capacity", "0"),
  "firekeeper.csi.queue-bytes": waits("firekeeper.csi.queue-bytes", "1"),
  async "xmpp.client.csi.delay.max-duration"(world) {
    const { phone, bob } = await quiet(world);
    expect(await comes(phone, bob)).toBe(false);
    world.pass(1000);
    world.pass(2000);
    await phone.none("message");
    await world.set({ "xmpp.client.csi.delay.max-duration": "5000" });
    world.pass(3000);
    await phone.next("message");
  },
  async "firekeeper.csi.idle"(world) {
    const isPing = (stanza: Element): boolean => stanza.getChild("ping", "urn:xmpp:ping") !== undefined;
    await world.set({ "xmpp.client.idle": "10000", "firekeeper.csi.idle": "100000" });
    const phone = await world.login("alice", { resource: "phone", sm: true });
    // Neither one at which somebody looks, nor one that could not come back, is spared.
    const desk = await world.login("alice", { resource: "desk", sm: true });
    const simple = await world.login("alice", { resource: "simple" });
    for (const client of [phone, simple]) client.send("<inactive xmlns='urn:xmpp:csi:0'/>");
    for (const client of [phone, simple, desk]) await client.ping();
    for (const client of [desk, simple]) {
      client.answers = false;
      client.acks = "withheld";
    }
    world.pass(6000);
    for (const client of [desk, simple]) await client.next(isPing);
    world.pass(6000);
    for (const client of [desk, simple]) await client.ended;
    await phone.none(isPing);
    world.pass(50_000);
    await phone.next(isPing);
    await phone.ping();
    await world.set({ "firekeeper.csi.idle": "-1" });
    world.pass(3_600_000);
    await phone.ping();
    // Never shorter than that of others.
    await world.set({ "xmpp.client.idle": "20000", "firekeeper.csi.idle": "1" });
    world.pass(5000);
    await phone.ping();
    world.pass(30_000);
    await phone.ended;
  },
  async "firekeeper.csi.rooms-urgent"(world) {
    const { phone, bob } = await quiet(world);
    const room = "lounge@conference.localhost";
    for (const [client, nick] of [
      [bob, "bob"],
      [phone, "al"],
    ] as const) {
      client.presence(`<x xmlns='${mucNs}'/>`, `to='${room}/${nick}'`);
      await client.next("message", (m) => m.getChild("subject") !== undefined);
      if (client === bob)
        await bob.set(`<query xmlns='${mucNs}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`, room);
    }
    const say = (text: string): void =>
      bob.send(`<message to='${room}' type='groupchat'><body>${text}</body></message>`);
    say("one");
    await bob.next("message", (m) => m.getChildText("body") === "one");
    await phone.none("message");
    await world.set({ "firekeeper.csi.rooms-urgent": "true" });
    say("two");
    await phone.next("message", (m) => m.getChildText("body") === "two");
  },
  async "firekeeper.push.enabled"(world) {
    const alice = await world.login("alice");
    const offered = async (): Promise<boolean> =>
      (await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>")).toString().includes(push);
    expect(await offered()).toBe(true);
    await world.set({ "firekeeper.push.enabled": "false" });
    expect(await offered()).toBe(false);
  },
  async "firekeeper.push.registrations"(world) {
    const alice = await world.login("alice");
    const enable = async (node: string): Promise<string> =>
      (await alice.set(`<enable xmlns='${push}' jid='bob@localhost/service' node='${node}'/>`)).attrs.type;
    expect([await enable("1"), await enable("2")]).toEqual(["result", "result"]);
    await world.set({ "firekeeper.push.registrations": "2" });
    expect(await enable("3")).toBe("error");
    await alice.set(`<disable xmlns='${push}' jid='bob@localhost/service'/>`);
  },
  async "firekeeper.push.interval"(world) {
    const service = await away(world);
    write(world, "one");
    await called(service);
    write(world, "two");
    await called(service);
    await world.set({ "firekeeper.push.interval": "3600000" });
    write(world, "three");
    await called(service);
    write(world, "four");
    await service.none(isCall);
  },
  "firekeeper.push.sender": tells("firekeeper.push.sender", "localhost/news"),
  "firekeeper.push.body": tells("firekeeper.push.body", "the plan"),
  async "firekeeper.push.give-up-after"(world) {
    const service = await away(world);
    write(world, "one");
    await called(service, "error");
    write(world, "two");
    await called(service, "error");
    await world.set({ "firekeeper.push.give-up-after": "2" });
    write(world, "three");
    await service.none(isCall);
  },
  async "firekeeper.push.hibernation"(world) {
    await away(world);
    world.pass(20 * 60_000);
    expect(sessionOf(world)).toBeDefined();
    world.pass(4 * 24 * 3600_000);
    expect(sessionOf(world)).toBeUndefined();
    await world.set({ "firekeeper.push.hibernation": "0" });
    await away(world);
    world.pass(20 * 60_000);
    expect(sessionOf(world)).toBeUndefined();
  },
  async "firekeeper.push.queue-bytes"(world) {
    await away(world);
    write(world, "kept in memory", "");
    await world.core.server.storage.write([]);
    world.pass(1000);
    expect(sessionOf(world)?.outbound.shedIds).toEqual([]);
    await world.set({ "firekeeper.push.queue-bytes": "0" });
    world.pass(1000);
    expect(sessionOf(world)?.outbound.shedIds).toHaveLength(1);
  },
};
