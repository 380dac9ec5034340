/** Proofs of the properties of nodes. */
import { expect } from "vitest";
import {
  create,
  event,
  fetch,
  ids,
  isEvent,
  item,
  ownerRequest,
  publish,
  refusal,
  request,
  rsm,
  subscribe,
  subscription,
} from "../support/pubsub.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const at = "pubsub.localhost";
let nodes = 0;
const fresh = (): string => `proof-${++nodes}`;
const outcome = (answer: { attrs: { type?: string } }): string | undefined => answer.attrs.type;

async function both(world: World): Promise<[alice: XmppClient, bob: XmppClient]> {
  const [alice, bob] = [await world.login("alice"), await world.login("bob")];
  for (const each of [alice, bob]) each.presence();
  return [alice, bob];
}
async function order(alice: XmppClient, node: string): Promise<string> {
  for (const id of ["a", "b", "c"]) await publish(alice, at, node, item(id));
  return ids(await fetch(alice, at, node)).join("");
}

export const pubsubProofs: Readonly<Record<string, Proof>> = {
  async "xmpp.pep.enabled"(world) {
    const alice = await world.login("alice");
    expect(outcome(await publish(alice, "", fresh(), item("a")))).toBe("result");
    await world.set({ "xmpp.pep.enabled": "false" });
    expect(refusal(await publish(alice, "", fresh(), item("a")))).toBe("service-unavailable");
    const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "alice@localhost");
    expect(info.toString()).not.toContain("pubsub");
  },
  async "xmpp.pubsub.enabled"(world) {
    const alice = await world.login("alice");
    expect(outcome(await create(alice, at, fresh()))).toBe("result");
    await world.set({ "xmpp.pubsub.enabled": "false" });
    expect(outcome(await create(alice, at, fresh()))).toBe("error");
    const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost");
    expect(items.toString()).not.toContain(at);
  },
  async "xmpp.pubsub.service"(world) {
    const alice = await world.login("alice");
    const node = fresh();
    await create(alice, at, node);
    await world.set({ "xmpp.pubsub.service": "nodes" });
    expect(ids(await fetch(alice, "nodes.localhost", node))).toEqual([]);
    expect(outcome(await fetch(alice, at, node))).toBe("error");
  },
  async "xmpp.pubsub.create.anyone"(world) {
    const [, bob] = await both(world);
    expect(outcome(await create(bob, at, fresh()))).toBe("result");
    await world.set({ "xmpp.pubsub.create.anyone": "false" });
    expect(refusal(await create(bob, at, fresh()))).toBe("forbidden");
    expect(refusal(await publish(bob, at, fresh(), item("a")))).toBe("forbidden");
  },
  async "xmpp.pubsub.create.jid"(world) {
    const [, bob] = await both(world);
    await world.set({ "xmpp.pubsub.create.anyone": "false", "xmpp.pubsub.create.jid": "bob@localhost" });
    expect(outcome(await create(bob, at, fresh()))).toBe("result");
  },
  async "xmpp.pubsub.sysadmin.jid"(world) {
    const [alice, bob] = await both(world);
    const node = fresh();
    await create(alice, at, node, { access_model: "whitelist" });
    expect(refusal(await fetch(bob, at, node))).toBe("not-allowed closed-node");
    await world.set({ "xmpp.pubsub.sysadmin.jid": "bob@localhost" });
    expect(ids(await fetch(bob, at, node))).toEqual([]);
  },
  async "xmpp.pubsub.multiple-subscriptions"(world) {
    const [alice, bob] = await both(world);
    const node = fresh();
    await create(alice, at, node);
    const again = async () => subscription(await subscribe(bob, at, node)).subid;
    const first = await again();
    expect(await again()).toBe(first);
    await world.set({ "xmpp.pubsub.multiple-subscriptions": "true" });
    expect(await again()).not.toBe(first);
  },
  async "xmpp.pubsub.order.descending"(world) {
    const alice = await world.login("alice");
    expect(await order(alice, fresh())).toBe("abc");
    await world.set({ "xmpp.pubsub.order.descending": "true" });
    expect(await order(alice, fresh())).toBe("cba");
  },
  async "xmpp.pubsub.fetch.max"(world) {
    const alice = await world.login("alice");
    await world.set({ "xmpp.pubsub.fetch.max": "2" });
    const node = fresh();
    expect(await order(alice, node)).toBe("ab");
    expect(ids(await fetch(alice, at, node, "", "", rsm("<max>10</max><after>b</after>")))).toEqual(["c"]);
  },
  async "xmpp.pubsub.purge.timer"(world) {
    const [alice, bob] = await both(world);
    const node = fresh();
    await world.set({ "xmpp.pubsub.purge.timer": "4321", "xmpp.client.idle": "-1" });
    expect(world.periods()).toContain(4_321_000);
    await create(alice, at, node, { item_expire: "60" });
    await publish(alice, at, node, item("a"));
    const expire = new Date(world.now() + 365 * 24 * 3_600_000).toISOString();
    await subscribe(bob, at, node, bob.bare, { expire });
    await event(bob, node);
    world.pass(366 * 24 * 3_600_000);
    expect((await event(bob, node)).toString()).toContain('subscription="none"');
    expect(ids(await fetch(alice, at, node))).toEqual([]);
  },
  async "xmpp.pubsub.disable-delayed-delivery"(world) {
    const [alice, bob] = await both(world);
    const node = fresh();
    await publish(alice, at, node, item("a"));
    await world.set({ "xmpp.pubsub.disable-delayed-delivery": "true" });
    await subscribe(bob, at, node);
    expect((await event(bob, node)).getChild("delay")).toBeUndefined();
  },
  async "firekeeper.pubsub.max-nodes"(world) {
    const alice = await world.login("alice");
    await create(alice, at, fresh());
    await publish(alice, "", fresh(), item("a"));
    await world.set({ "firekeeper.pubsub.max-nodes": "1" });
    expect(refusal(await create(alice, at, fresh()))).toBe("not-allowed max-nodes-exceeded");
    expect(refusal(await publish(alice, "", fresh(), item("a")))).toBe("not-allowed max-nodes-exceeded");
  },
  async "firekeeper.pubsub.max-items"(world) {
    const alice = await world.login("alice");
    await world.set({ "firekeeper.pubsub.max-items": "2" });
    expect(await order(alice, fresh())).toBe("bc");
  },
  async "firekeeper.pubsub.max-payload-size"(world) {
    const alice = await world.login("alice");
    const node = fresh();
    expect(outcome(await publish(alice, at, node, item("a", "x".repeat(1100))))).toBe("result");
    await world.set({ "firekeeper.pubsub.max-payload-size": "1024" });
    expect(refusal(await publish(alice, at, node, item("a", "x".repeat(1100))))).toBe("not-acceptable payload-too-big");
  },
  async "firekeeper.pubsub.max-bytes"(world) {
    const alice = await world.login("alice");
    const node = fresh();
    const big = (id: string) => publish(alice, "", node, item(id, "x".repeat(30_000)), { max_items: "max" });
    await world.set({ "firekeeper.pubsub.max-bytes": "65536" });
    for (const id of ["a", "b"]) expect(outcome(await big(id))).toBe("result");
    expect(refusal(await big("c"))).toBe("resource-constraint");
    // What is replaced, taken away or deleted makes room, on every way.
    await publish(alice, "", node, item("a", "small"));
    expect(outcome(await big("c"))).toBe("result");
    expect(refusal(await big("d"))).toBe("resource-constraint");
    await alice.set(request(`<retract node='${node}'><item id='c'/></retract>`));
    expect(outcome(await big("d"))).toBe("result");
    await alice.set(ownerRequest(`<delete node='${node}'/>`));
    for (const id of ["a", "b"]) expect(outcome(await big(id))).toBe("result");
  },
  async "firekeeper.pubsub.max-subscriptions"(world) {
    const [alice, bob] = await both(world);
    const node = fresh();
    await create(alice, at, node);
    await world.set({ "firekeeper.pubsub.max-subscriptions": "1" });
    expect(outcome(await subscribe(bob, at, node))).toBe("result");
    expect(refusal(await subscribe(alice, at, node))).toBe("policy-violation too-many-subscriptions");
    await publish(alice, at, node, item("a"));
    await event(bob, node);
    await alice.none((stanza) => isEvent(stanza, node));
  },
};
