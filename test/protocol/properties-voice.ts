/** Proofs of the properties of STUN and TURN. */
import { expect } from "vitest";
import type { Proof, World } from "./properties-world.ts";

const ns = "urn:xmpp:extdisco:2";
const secret = "0123456789abcdefghij";

/** Services that a client is told of, each as `type host:port/transport`. */
async function services(world: World): Promise<string[]> {
  const alice = await world.login("alice");
  const answer = await alice.get(`<services xmlns='${ns}'/>`, world.core.domain);
  await alice.close();
  return (answer.getChild("services", ns)?.getChildren("service") ?? []).map(
    ({ attrs }) => `${attrs.type} ${attrs.host}:${attrs.port}/${attrs.transport}`,
  );
}

/** A port that is offered once it is set, and no more once it is -1. */
const port = (key: string, type: string, transport: string): [string, Proof] => [
  key,
  async (world) => {
    await world.set({ "firekeeper.turn.secret": secret, [key]: "4000" });
    expect(await services(world)).toContain(`${type} localhost:4000/${transport}`);
    await world.set({ [key]: "-1" });
    expect((await services(world)).filter((each) => each.includes("4000"))).toEqual([]);
  },
];

export const voiceProofs: Record<string, Proof> = {
  async "firekeeper.turn.secret"(world) {
    expect(await services(world)).toEqual([]);
    await world.set({ "firekeeper.turn.secret": secret });
    expect(await services(world)).toContain("turn localhost:3478/udp");
  },
  async "firekeeper.turn.host"(world) {
    await world.set({ "firekeeper.turn.secret": secret, "firekeeper.turn.host": "turn.example.org" });
    expect(await services(world)).toContain("turn turn.example.org:3478/udp");
  },
  async "firekeeper.turn.ttl"(world) {
    await world.set({ "firekeeper.turn.secret": secret, "firekeeper.turn.ttl": "600" });
    const alice = await world.login("alice");
    const answer = await alice.get(`<services xmlns='${ns}' type='turn'/>`, world.core.domain);
    const [relay] = answer.getChild("services", ns)?.getChildren("service") ?? [];
    const left = Date.parse(relay?.attrs.expires) - world.now();
    expect(left).toBeLessThanOrEqual(600_000);
    await alice.close();
  },
  async "firekeeper.stun.host"(world) {
    await world.set({ "firekeeper.stun.host": "stun.example.org" });
    expect(await services(world)).toEqual(["stun stun.example.org:3478/udp"]);
  },
  ...Object.fromEntries([
    port("firekeeper.turn.port.udp", "turn", "udp"),
    port("firekeeper.turn.port.tcp", "turn", "tcp"),
    port("firekeeper.turn.port.tls", "turns", "tcp"),
    port("firekeeper.stun.port.udp", "stun", "udp"),
    port("firekeeper.stun.port.tcp", "stun", "tcp"),
    port("firekeeper.stun.port.tls", "stuns", "tcp"),
  ]),
};
