/** Proofs of the properties of client streams: ports, TLS, logins, limits, stream management. */
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import { freePort } from "../support/core.ts";
import { ns } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import { makeCertificate } from "./gate-fixture.ts";
import type { Proof, World } from "./properties-world.ts";

const refused = "ECONNREFUSED";
const mechanisms = (client: XmppClient): string[] =>
  (client.features?.getChild("mechanisms", ns.sasl)?.getChildren("mechanism") ?? []).map((one) => one.getText());
const offers = (client: XmppClient, name: string): boolean =>
  client.features?.getChildElements().some((child) => child.getName() === name) === true;

/** Opens that many connections at once and says how many the server speaks with. */
async function admitted(world: World, count: number): Promise<number> {
  const open = Array.from({ length: count }, () => {
    const socket = connect(world.core.port, "127.0.0.1");
    const spoken = new Promise<boolean>((resolve) => {
      socket.once("data", (chunk) => resolve(chunk.includes("stream:features") || chunk.includes("<?xml")));
      socket.once("close", () => resolve(false));
      socket.on("error", () => undefined);
    });
    socket.write(
      `<stream:stream xmlns='jabber:client' xmlns:stream='${"http://etherx.jabber.org/streams"}' to='localhost' version='1.0'>`,
    );
    return { socket, spoken };
  });
  const spoken = await Promise.all(open.map((each) => each.spoken));
  const gone = open.map(
    ({ socket }) =>
      new Promise<void>((resolve) => (socket.destroyed ? resolve() : socket.once("close", () => resolve()))),
  );
  for (const { socket } of open) socket.destroy();
  await Promise.all(gone);
  return spoken.filter(Boolean).length;
}

/** Iterations that a login of nobody is told. */
async function iterations(world: World): Promise<string> {
  const client = await world.connect();
  client.send(
    `<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-256'>${Buffer.from("n,,n=nobody,r=abc").toString("base64")}</auth>`,
  );
  const challenge = Buffer.from((await client.next("challenge")).getText(), "base64").toString();
  client.drop();
  return /i=(\d+)/.exec(challenge)?.[1] ?? "none";
}

async function ownCertificate(world: World): Promise<{ chain: string; key: string; serial: string }> {
  const made = await makeCertificate("localhost");
  const [chain, key] = [join(world.core.home, "own-chain.pem"), join(world.core.home, "own-key.pem")];
  await writeFile(chain, made.chain);
  await writeFile(key, made.key);
  const { X509Certificate } = await import("node:crypto");
  return { chain, key, serial: new X509Certificate(made.chain).serialNumber };
}
const shownSerial = async (world: World): Promise<string | undefined> =>
  (await world.connect()).certificate?.serialNumber;

const rate = "xmpp.ratelimit.newconnections.c2s";

export const streamProofs: Record<string, Proof> = {
  async "sasl.mechs"(world) {
    expect(mechanisms(await world.connect())).toContain("SCRAM-SHA-256-PLUS");
    await world.set({ "sasl.mechs": "SCRAM-SHA-1,PLAIN" });
    expect(mechanisms(await world.connect())).toEqual(["SCRAM-SHA-1", "PLAIN"]);
    await world.login("alice", { mechanism: "PLAIN" });
  },
  async "sasl.scram-sha-1.iteration-count"(world) {
    expect(await iterations(world)).toBe("4096");
    await world.set({ "sasl.scram-sha-1.iteration-count": "5000" });
    expect(await iterations(world)).toBe("5000");
  },
  async "firekeeper.certificate.chain"(world) {
    const own = await ownCertificate(world);
    await world.set({ "firekeeper.certificate.key": own.key });
    expect(await shownSerial(world)).not.toBe(own.serial);
    await world.set({ "firekeeper.certificate.chain": own.chain });
    expect(await shownSerial(world)).toBe(own.serial);
  },
  async "firekeeper.certificate.key"(world) {
    const own = await ownCertificate(world);
    await world.set({ "firekeeper.certificate.chain": own.chain });
    expect(await shownSerial(world)).not.toBe(own.serial);
    await world.set({ "firekeeper.certificate.key": own.key });
    expect(await shownSerial(world)).toBe(own.serial);
  },
  async "xmpp.socket.plain.active"(world) {
    await world.login("alice");
    await world.set({ "xmpp.socket.plain.active": "false" });
    await expect(world.login("alice")).rejects.toThrow(refused);
  },
  async "xmpp.socket.plain.port"(world) {
    const port = await freePort();
    await world.set({ "xmpp.socket.plain.port": String(port) });
    await world.login("alice", { port });
    await expect(world.login("alice")).rejects.toThrow(refused);
  },
  async "xmpp.socket.ssl.active"(world) {
    const direct = { tls: "direct", port: world.core.directPort } as const;
    await world.login("alice", direct);
    await world.set({ "xmpp.socket.ssl.active": "false" });
    await expect(world.login("alice", direct)).rejects.toThrow(refused);
  },
  async "xmpp.socket.ssl.port"(world) {
    const port = await freePort();
    await world.set({ "xmpp.socket.ssl.port": String(port) });
    await world.login("alice", { tls: "direct", port });
    await expect(world.login("alice", { tls: "direct", port: world.core.directPort })).rejects.toThrow(refused);
  },
  async "network.interface"(world) {
    await expect(world.login("alice", { host: "127.0.0.2" })).rejects.toThrow(refused);
    await world.set({ "network.interface": "127.0.0.2" });
    await world.login("alice", { host: "127.0.0.2" });
    await expect(world.login("alice")).rejects.toThrow(refused);
  },
  async "xmpp.client.tls.policy"(world) {
    expect(mechanisms(await world.connect({ tls: "none" }))).toEqual([]);
    await world.set({ "xmpp.client.tls.policy": "optional" });
    const optional = await world.connect({ tls: "none" });
    expect(mechanisms(optional)).toContain("SCRAM-SHA-256");
    expect(mechanisms(optional)).not.toContain("PLAIN");
    expect(offers(optional, "starttls")).toBe(true);
    await world.set({ "xmpp.client.tls.policy": "disabled" });
    expect(offers(await world.connect({ tls: "none" }), "starttls")).toBe(false);
  },
  async fqdn(world) {
    const there = { domain: "machine.example" };
    await expect(world.connect(there)).rejects.toThrow("host-unknown");
    await world.set({ fqdn: "machine.example" });
    expect((await world.connect(there)).certificate?.checkHost("machine.example")).toBeDefined();
    // Its old name, as Openfire reads it still.
    await world.set({ fqdn: null, "xmpp.fqdn": "old.example" });
    await expect(world.connect(there)).rejects.toThrow("host-unknown");
    await world.connect({ domain: "old.example" });
  },
  async "xmpp.client.validate.host"(world) {
    await world.connect({ domain: "127.0.0.1" });
    await world.set({ "xmpp.client.validate.host": "true" });
    await expect(world.connect({ domain: "127.0.0.1" })).rejects.toThrow("host-unknown");
  },
  async "xmpp.client.idle"(world) {
    const alice = await world.login("alice");
    world.pass(20_000);
    await alice.ping();
    await world.set({ "xmpp.client.idle": "10000" });
    world.pass(20_000);
    await alice.ended;
  },
  async "xmpp.client.idle.ping"(world) {
    await world.set({ "xmpp.client.idle": "10000" });
    const isPing = (stanza: { getChild(name: string, ns: string): unknown }) =>
      stanza.getChild("ping", ns.ping) !== undefined;
    const alice = await world.login("alice");
    world.pass(6_000);
    await alice.next(isPing, "ping");
    await world.set({ "xmpp.client.idle.ping": "false" });
    world.pass(6_000);
    await alice.none(isPing);
  },
  async "xmpp.client.preauth.timeout"(world) {
    const slow = await world.connect();
    world.pass(7_000);
    await world.set({ "xmpp.client.preauth.timeout": "5000" });
    world.pass(1);
    expect(await slow.streamError()).toBe("connection-timeout");
  },
  async "xmpp.session.conflict-limit"(world) {
    const first = await world.login("alice", { resource: "desk" });
    const second = await world.login("alice", { resource: "desk" });
    expect(await first.streamError()).toBe("conflict");
    await world.set({ "xmpp.session.conflict-limit": "-1" });
    await expect(world.login("alice", { resource: "desk" })).rejects.toThrow("conflict");
    await second.ping();
  },
  async "xmpp.client.login.allowed"(world) {
    await world.set({ "xmpp.client.login.allowed": "192.0.2.0/24" });
    await expect(world.connect()).rejects.toThrow("not-authorized");
    await world.set({ "xmpp.client.login.allowed": "192.0.2.0/24, 127.0.0.1" });
    await world.login("alice");
  },
  async "xmpp.client.login.blocked"(world) {
    await world.set({ "xmpp.client.login.blocked": "127.0.0.0/8" });
    await expect(world.connect()).rejects.toThrow("not-authorized");
  },
  async [`${rate}.enabled`](world) {
    await world.set({ [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "1" });
    expect(await admitted(world, 20)).toBe(20);
    await world.set({ [`${rate}.enabled`]: "true" });
    expect(await admitted(world, 20)).toBeLessThan(20);
  },
  async [`${rate}.permits_per_second`](world) {
    await world.set({ [`${rate}.enabled`]: "true", [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "1" });
    expect(await admitted(world, 20)).toBeLessThan(20);
    await world.set({ [`${rate}.permits_per_second`]: "1000000", [`${rate}.max_burst`]: "1000000" });
    expect(await admitted(world, 20)).toBe(20);
    await world.set({ [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "1000000" });
    await admitted(world, 20);
    await world.set({ [`${rate}.max_burst`]: "1" });
    expect(await admitted(world, 20)).toBeLessThan(20);
  },
  async [`${rate}.max_burst`](world) {
    await world.set({ [`${rate}.enabled`]: "true", [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "100" });
    expect(await admitted(world, 20)).toBe(20);
    await world.set({ [`${rate}.max_burst`]: "2" });
    expect(await admitted(world, 20)).toBeLessThan(20);
  },
  async "xmpp.ratelimit.newconnections.logging.suppress"(world) {
    await world.set({ "xmpp.ratelimit.newconnections.logging.suppress": "0" });
    await world.set({ "firekeeper.client.connections-per-address": "1" });
    const lines = async (): Promise<number> => {
      const before = world.refusals();
      expect(await admitted(world, 4)).toBe(1);
      return world.refusals() - before;
    };
    expect(await lines()).toBe(3);
    await world.set({ "xmpp.ratelimit.newconnections.logging.suppress": "3600000" });
    expect(await lines()).toBe(0);
  },
  async "firekeeper.client.connections-per-address"(world) {
    await world.set({ "firekeeper.client.connections-per-address": "3" });
    expect(await admitted(world, 5)).toBe(3);
  },
  async "firekeeper.client.trusted-networks"(world) {
    await world.set({ "firekeeper.client.connections-per-address": "3" });
    for (const networks of ["127.0.0.0/8", "127.0.0.1-127.0.0.9"]) {
      await world.set({ "firekeeper.client.trusted-networks": networks });
      expect(await admitted(world, 5)).toBe(5);
    }
  },
  async "firekeeper.client.proxy-protocol-from"(world) {
    await world.set({ "firekeeper.client.proxy-protocol-from": "127.0.0.9" });
    await world.login("alice");
    await expect(world.connect({ from: "127.0.0.9" })).rejects.toThrow();
    // The client that the proxy names may not log in from there: it counts, not the proxy.
    await world.set({ "xmpp.client.login.blocked": "192.0.2.0/24" });
    expect(await introduced(world, "192.0.2.1")).toContain("<not-authorized");
    expect(await introduced(world, "198.51.100.1")).toContain("<stream:features");
  },
  async "firekeeper.client.refuse-on"(world) {
    await world.set({ "network.interface": null });
    const before = await world.login("alice");
    await world.set({ "firekeeper.client.refuse-on": "127.0.0.1" });
    await expect(world.login("alice")).rejects.toThrow("Client connections are not allowed on this address");
    await expect(world.connect({ tls: "direct", port: world.core.directPort })).rejects.toThrow("policy-violation");
    await world.login("bob", { host: "127.0.0.2" });
    await before.ping();
    await world.set({ "firekeeper.client.refuse-on": null });
    await world.login("alice", { resource: "again" });
  },
  async "xmpp.parser.buffer.size"(world) {
    const large = "x".repeat(20_000);
    const before = await world.login("alice");
    before.message("bob@localhost", large);
    await before.ping();
    await world.set({ "xmpp.parser.buffer.size": "10000" });
    const alice = await world.login("alice");
    alice.message("bob@localhost", large);
    expect(await alice.streamError()).toBe("policy-violation");
  },
  "firekeeper.client.stanzas-per-second": (world) =>
    slowed(world, { "firekeeper.client.stanzas-per-second": "1" }, 50, "hi"),
  "firekeeper.client.bytes-per-second": (world) =>
    slowed(world, { "firekeeper.client.bytes-per-second": "1024" }, 1, "x".repeat(50_000)),
  async "stream.management.active"(world) {
    expect(offers(await world.login("alice"), "sm")).toBe(true);
    await world.set({ "stream.management.active": "false" });
    const alice = await world.login("alice");
    expect(offers(alice, "sm")).toBe(false);
    await expect(alice.enable()).rejects.toThrow();
  },
  async "stream.management.requestFrequency"(world) {
    const asked = async (): Promise<boolean> => {
      const alice = await world.login("alice", { sm: true });
      await alice.ping();
      return /<r[ /]/.test(alice.transcript());
    };
    await world.set({ "stream.management.requestFrequency": "1" });
    expect(await asked()).toBe(true);
    await world.set({ "stream.management.requestFrequency": "0" });
    expect(await asked()).toBe(false);
  },
  async "stream.management.unsolicitedAckFrequency"(world) {
    const told = async (): Promise<string[]> => {
      const alice = await world.login("alice", { sm: true });
      for (const to of ["bob@localhost", "nobody@localhost"]) alice.message(to, "counted");
      for (let sent = 0; sent < 3; sent++) await alice.ping();
      return alice.connection.inbox.filter((each) => each.is("a", ns.sm)).map((each) => each.attrs.h);
    };
    expect(await told()).toEqual([]);
    await world.set({ "stream.management.unsolicitedAckFrequency": "2" });
    expect(await told()).toEqual(["2", "4"]);
  },
  async "stream.management.location.enabled"(world) {
    const told = async (direct = false): Promise<string | undefined> => {
      const way = direct ? ({ tls: "direct", port: world.core.directPort } as const) : {};
      const alice = await world.login("alice", way);
      return (await alice.enable()).attrs.location;
    };
    expect(await told()).toBeUndefined();
    await world.set({ fqdn: "machine.example" });
    expect(await told()).toBe(`machine.example:${world.core.port}`);
    expect(await told(true)).toBe(`machine.example:${world.core.directPort}`);
    await world.set({ "stream.management.location.enabled": "false" });
    expect(await told()).toBeUndefined();
  },
  async "stream.management.max-unacked"(world) {
    const alice = await world.login("alice", { sm: true });
    alice.acks = "withheld";
    for (let count = 0; count < 5; count++) await alice.ping();
    world.pass(1);
    await alice.ping();
    await world.set({ "stream.management.max-unacked": "3" });
    world.pass(1);
    expect(await alice.streamError()).toBe("resource-constraint");
  },
  async "stream.management.max-server.enabled"(world) {
    const told = async () => (await world.login("alice", { sm: true })).resumption?.max;
    expect(await told()).toBe(600);
    await world.set({ "stream.management.max-server.enabled": "false" });
    expect(await told()).toBeUndefined();
  },
  async "xmpp.session.detach.timeout"(world) {
    const detached = async () => (await world.agent.target.status()).detachedSessions;
    world.pass(3_600_000);
    expect(await detached()).toBe(0);
    const alice = await world.login("alice", { sm: true });
    alice.drop();
    await expect.poll(detached).toBe(1);
    world.pass(70_000);
    expect(await detached()).toBe(1);
    await world.set({ "xmpp.session.detach.timeout": "60000" });
    const bob = await world.login("bob", { sm: true });
    expect(bob.resumption?.max).toBe(60);
    bob.drop();
    await expect.poll(detached).toBe(2);
    world.pass(70_000);
    expect((await bob.attemptResume()).getName()).toBe("failed");
  },
};

/** What a client hears that comes through a proxy at 127.0.0.9: up to features or an error. */
async function introduced(world: World, client: string): Promise<string> {
  const socket = connect({ port: world.core.port, host: "127.0.0.1", localAddress: "127.0.0.9" });
  const open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost'";
  socket.write(`PROXY TCP4 ${client} 198.51.100.7 50000 5222\r\n${open} version='1.0'>`);
  let heard = "";
  for await (const chunk of socket) {
    heard += String(chunk);
    if (/<stream:(features|error)/.test(heard)) break;
  }
  return heard;
}

/** Who sends more than its share is read more slowly: the answer comes only when time has passed. */
async function slowed(world: World, limit: Record<string, string>, count: number, body: string): Promise<void> {
  const bob = await world.login("bob");
  const before = await world.login("alice");
  for (let sent = 0; sent < count; sent++) before.message("nobody@localhost", body);
  await before.ping();
  await world.set({ ...limit, "xmpp.client.idle": "-1" });
  const alice = await world.login("alice");
  world.freeze();
  for (let sent = 0; sent < count; sent++) alice.message("nobody@localhost", body);
  alice.send("<iq type='get' id='behind' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
  await expect.poll(() => world.frozen()).toBeGreaterThan(0);
  await bob.ping();
  expect(alice.transcript()).not.toMatch(/<<.*id=.behind/);
  world.pass(3_600_000);
  world.thaw();
  await alice.next("iq", (iq) => iq.attrs.id === "behind");
}
