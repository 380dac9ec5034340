/** Proofs of the properties of the ports for browsers. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect } from "vitest";
import { ask, type BoshAnswer, BoshSession, type Creation, envelope } from "../support/bosh.ts";
import { freePort } from "../support/core.ts";
import { seen } from "../support/websocket.ts";
import type { Proof, World } from "./properties-world.ts";

/** What one request gets, or the code of the failure to connect. */
async function status(port: number, secure: boolean): Promise<number | string> {
  const { request } = secure ? await import("node:https") : await import("node:http");
  return new Promise((resolve) => {
    const asked = request(
      { host: "127.0.0.1", port, path: "/none", agent: false, rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    asked.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    asked.end();
  });
}

/** The first line of the answer to a request that a proxy at 127.0.0.9 passes on for a client. */
async function introduced(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.9" });
  socket.write("PROXY TCP4 192.0.2.1 127.0.0.1 50000 7070\r\nGET /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
  for await (const chunk of socket) return String(chunk).split("\r\n")[0] ?? "";
  return "";
}

/** Opens one of the two ports, and sets what else. */
async function opened(world: World, which: "plain" | "secure", more: Record<string, string> = {}): Promise<number> {
  const port = await freePort();
  const other = which === "plain" ? "secure" : "plain";
  await world.set({
    [`httpbind.port.${which}`]: String(port),
    [`httpbind.port.${other}`]: "-1",
    "httpbind.enabled": "true",
    ...more,
  });
  return port;
}

const viaWebSocket = (port: number) => ({ port, via: "websocket" }) as const;

/** A BOSH session that nobody has logged in on, and what was agreed. */
async function boshSession(world: World, properties: Record<string, string>, creation: Creation = {}) {
  const session = new BoshSession({ host: "127.0.0.1", port: await opened(world, "secure", properties) });
  const { attrs } = await session.create(creation);
  return { session, attrs };
}
const reason = ({ body }: BoshAnswer): string | undefined => body.attrs.condition;

/** Headers of the answer to what a page of example.org asks before it speaks BOSH. */
async function preflight(port: number) {
  const headers = { origin: "https://example.org", "access-control-request-method": "POST" };
  return (await ask({ host: "127.0.0.1", port }, { method: "OPTIONS", headers })).headers;
}

/** Whether a login is offered in clear to who says that it comes over TLS, from 127.0.0.9. */
async function believed(port: number, headers: Record<string, string>): Promise<boolean> {
  const to = { host: "127.0.0.1", port, plain: true, from: "127.0.0.9" };
  const { body } = await ask(to, { body: envelope({ rid: 1, to: "localhost" }), headers });
  return body.getChild("features")?.getChild("mechanisms") !== undefined;
}
const trusting = { "httpbind.forwarded.enabled": "true", "httpbind.forwarded.trusted.proxies": "127.0.0.9" };

/** Where host-meta says that BOSH is spoken, to who comes from 127.0.0.9. */
async function told(port: number, headers: Record<string, string>): Promise<string> {
  const to = { host: "127.0.0.1", port, plain: true, from: "127.0.0.9" };
  return (await ask(to, { method: "GET", path: "/.well-known/host-meta.json", headers })).text;
}

/** While the domain has a second name. */
async function renamed(world: World, work: () => Promise<void>): Promise<void> {
  await world.core.rename("second.example", null);
  try {
    await work();
  } finally {
    await world.core.rename("localhost", Date.now() - 1);
  }
}

export const webProofs: Record<string, Proof> = {
  async "httpbind.enabled"(world) {
    const port = await freePort();
    await world.set({ "httpbind.port.plain": String(port), "httpbind.enabled": "true" });
    expect(await status(port, false)).toBe(404);
    await world.set({ "httpbind.enabled": "false" });
    expect(await status(port, false)).toBe("ECONNREFUSED");
  },
  async "httpbind.port.plain"(world) {
    const [first, second] = [await freePort(), await freePort()];
    await world.set({ "httpbind.port.plain": String(first), "httpbind.enabled": "true" });
    expect(await status(first, false)).toBe(404);
    await world.set({ "httpbind.port.plain": String(second) });
    expect([await status(first, false), await status(second, false)]).toEqual(["ECONNREFUSED", 404]);
  },
  async "httpbind.port.secure"(world) {
    const port = await freePort();
    expect(await status(port, true)).toBe("ECONNREFUSED");
    await world.set({ "httpbind.port.secure": String(port), "httpbind.enabled": "true" });
    expect(await status(port, true)).toBe(404);
  },
  async "firekeeper.web.proxy-protocol-from"(world) {
    const port = await freePort();
    await world.set({ "httpbind.port.plain": String(port), "httpbind.enabled": "true" });
    expect(await introduced(port)).toContain("400");
    await world.set({ "firekeeper.web.proxy-protocol-from": "127.0.0.9" });
    expect(await introduced(port)).toContain("404");
  },
  async "firekeeper.web.address"(world) {
    const alice = await world.login("alice");
    await world.set({ "firekeeper.outage.beginning": "2026-12-01T00:00:00Z" });
    await world.set({ "firekeeper.web.address": "https://chat.example.org/" });
    const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", world.core.domain);
    expect(info.toString()).toContain("https://chat.example.org/service-status.json");
  },
  async "firekeeper.web.connections-per-address"(world) {
    const port = await opened(world, "plain");
    const first = connect({ port, host: "127.0.0.1" });
    await once(first, "connect");
    expect(await status(port, false)).toBe(404);
    await world.set({ "firekeeper.web.connections-per-address": "1" });
    expect(await status(port, false)).not.toBe(404);
    first.destroy();
  },
  async "firekeeper.web.channel-binding"(world) {
    const port = await opened(world, "secure");
    const offers = async () => (await world.connect(viaWebSocket(port))).features?.toString() ?? "";
    expect(await offers()).not.toContain("-PLUS");
    await world.set({ "firekeeper.web.channel-binding": "true" });
    expect(await offers()).toContain("-PLUS");
  },
  async "xmpp.websocket.frame.ping.enabled"(world) {
    const alice = await world.login("alice", viaWebSocket(await opened(world, "secure")));
    const before = seen.pings;
    world.pass(31_000);
    await alice.ping();
    expect(seen.pings).toBe(before + 1);
    await world.set({ "xmpp.websocket.frame.ping.enabled": "false" });
    world.pass(31_000);
    await alice.ping();
    expect(seen.pings).toBe(before + 1);
  },
  async "xmpp.websocket.frame.ping.interval"(world) {
    const alice = await world.login("alice", viaWebSocket(await opened(world, "secure")));
    const before = seen.pings;
    world.pass(11_000);
    await alice.ping();
    expect(seen.pings).toBe(before);
    await world.set({ "xmpp.websocket.frame.ping.interval": "10" });
    world.pass(11_000);
    await alice.ping();
    expect(seen.pings).toBe(before + 1);
  },
  async "xmpp.httpbind.client.idle"(world) {
    const { session, attrs } = await boshSession(world, { "xmpp.httpbind.client.idle": "20" });
    expect(attrs.inactivity).toBe("20");
    world.pass(21_000);
    expect(reason(await session.send())).toBe("item-not-found");
  },
  async "xmpp.httpbind.client.idle.polling"(world) {
    const { session, attrs } = await boshSession(world, { "xmpp.httpbind.client.idle.polling": "20" }, { hold: 0 });
    expect(attrs.inactivity).toBe("20");
    world.pass(15_000);
    expect(reason(await session.send())).toBeUndefined();
    world.pass(21_000);
    expect(reason(await session.send())).toBe("item-not-found");
  },
  async "xmpp.httpbind.client.maxpause"(world) {
    const { session, attrs } = await boshSession(world, { "xmpp.httpbind.client.maxpause": "10" });
    expect(attrs.maxpause).toBe("10");
    expect(reason(await session.send("", { pause: 10 }))).toBeUndefined();
    expect(reason(await session.send("", { pause: 11 }))).toBe("policy-violation");
  },
  async "xmpp.httpbind.client.maxpause.ignore-invalid"(world) {
    const ignoring = { "xmpp.httpbind.client.maxpause.ignore-invalid": "true" };
    const { session } = await boshSession(world, ignoring, { hold: 0 });
    expect(reason(await session.send("", { pause: 301 }))).toBeUndefined();
    await world.set({ "xmpp.httpbind.client.maxpause.ignore-invalid": "false" });
    expect(reason(await session.send("", { pause: 301 }))).toBe("policy-violation");
  },
  async "xmpp.httpbind.client.requests.ignoreOveractivity"(world) {
    const ignoring = { "xmpp.httpbind.client.requests.ignoreOveractivity": "true" };
    const { session } = await boshSession(world, ignoring, { hold: 0 });
    for (const _ of [1, 2, 3]) expect(reason(await session.send())).toBeUndefined();
    await world.set({ "xmpp.httpbind.client.requests.ignoreOveractivity": "false" });
    expect(reason(await session.send())).toBe("policy-violation");
  },
  async "xmpp.httpbind.client.requests.max"(world) {
    const { attrs } = await boshSession(world, { "xmpp.httpbind.client.requests.max": "4" }, { hold: 9 });
    expect([attrs.hold, attrs.requests]).toEqual(["3", "4"]);
  },
  async "xmpp.httpbind.client.requests.polling"(world) {
    const { session, attrs } = await boshSession(world, { "xmpp.httpbind.client.requests.polling": "9" }, { hold: 0 });
    expect(attrs.polling).toBe("9");
    expect(reason(await session.send())).toBeUndefined();
    world.pass(9_000);
    expect(reason(await session.send())).toBeUndefined();
    world.pass(6_000);
    expect(reason(await session.send())).toBe("policy-violation");
  },
  async "xmpp.httpbind.client.requests.wait"(world) {
    const { session, attrs } = await boshSession(world, { "xmpp.httpbind.client.requests.wait": "0" });
    expect([attrs.wait, attrs.hold]).toEqual(["0", "0"]);
    expect((await session.send()).body.children).toEqual([]);
  },
  async "httpbind.CORS.enabled"(world) {
    const port = await opened(world, "secure");
    expect((await preflight(port))["access-control-allow-origin"]).toBe("*");
    await world.set({ "httpbind.CORS.enabled": "false" });
    expect((await preflight(port))["access-control-allow-origin"]).toBeUndefined();
  },
  async "httpbind.CORS.domains"(world) {
    const port = await opened(world, "secure", { "httpbind.CORS.domains": "https://example.org" });
    expect((await preflight(port))["access-control-allow-origin"]).toBe("https://example.org");
    await world.set({ "httpbind.CORS.domains": "https://example.com" });
    expect((await preflight(port))["access-control-allow-origin"]).toBeUndefined();
  },
  async "httpbind.CORS.headers"(world) {
    const port = await opened(world, "secure", { "httpbind.CORS.headers": "Content-Type,X-Own" });
    expect((await preflight(port))["access-control-allow-headers"]).toBe("Content-Type, X-Own");
  },
  async "httpbind.CORS.max_age"(world) {
    const port = await opened(world, "secure", { "httpbind.CORS.max_age": "77" });
    expect((await preflight(port))["access-control-max-age"]).toBe("77");
  },
  async "httpbind.CSP.enabled"(world) {
    const port = await opened(world, "secure");
    expect((await preflight(port))["content-security-policy"]).toContain("default-src");
    await world.set({ "httpbind.CSP.enabled": "false" });
    expect((await preflight(port))["content-security-policy"]).toBeUndefined();
  },
  async "httpbind.CSP.responsevalue"(world) {
    const port = await opened(world, "secure", { "httpbind.CSP.responsevalue": "default-src 'self'" });
    expect((await preflight(port))["content-security-policy"]).toBe("default-src 'self'");
  },
  async "httpbind.forwarded.enabled"(world) {
    const port = await opened(world, "plain", trusting);
    expect(await believed(port, { "x-forwarded-proto": "https" })).toBe(true);
    await world.set({ "httpbind.forwarded.enabled": "false" });
    expect(await believed(port, { "x-forwarded-proto": "https" })).toBe(false);
  },
  async "httpbind.forwarded.trusted.proxies"(world) {
    const port = await opened(world, "plain", { ...trusting, "httpbind.forwarded.trusted.proxies": "127.0.0.8" });
    expect(await believed(port, { "x-forwarded-proto": "https" })).toBe(false);
    await world.set({ "httpbind.forwarded.trusted.proxies": "127.0.0.8,127.0.0.9" });
    expect(await believed(port, { "x-forwarded-proto": "https" })).toBe(true);
  },
  async "httpbind.forwarded.header"(world) {
    const port = await opened(world, "plain", { ...trusting, "httpbind.forwarded.header": "X-Own" });
    expect(await believed(port, { forwarded: "proto=https" })).toBe(false);
    expect(await believed(port, { "x-own": "for=192.0.2.1;proto=https" })).toBe(true);
  },
  async "httpbind.forwarded.for.header"(world) {
    const port = await opened(world, "plain", { ...trusting, "xmpp.client.login.blocked": "192.0.2.1" });
    const from = (header: string) => believed(port, { "x-forwarded-proto": "https", [header]: "192.0.2.1" });
    expect(await from("x-forwarded-for")).toBe(false);
    await world.set({ "httpbind.forwarded.for.header": "X-Real-IP" });
    expect(await from("x-forwarded-for")).toBe(true);
    expect(await from("x-real-ip")).toBe(false);
  },
  async "httpbind.forwarded.host.header"(world) {
    const port = await opened(world, "plain", { ...trusting, "httpbind.port.secure": String(await freePort()) });
    await renamed(world, async () => {
      expect(await told(port, { "x-forwarded-host": "localhost:1" })).toContain("https://localhost:");
      await world.set({ "httpbind.forwarded.host.header": "X-Own" });
      expect(await told(port, { host: "second.example", "x-forwarded-host": "localhost" })).toContain("second.example");
      expect(await told(port, { host: "second.example", "x-own": "localhost" })).toContain("https://localhost:");
    });
  },
  async "httpbind.forwarded.host.name"(world) {
    const port = await opened(world, "plain", { ...trusting, "httpbind.port.secure": String(await freePort()) });
    await renamed(world, async () => {
      expect(await told(port, { host: "second.example" })).toContain("second.example");
      await world.set({ "httpbind.forwarded.host.name": "localhost" });
      expect(await told(port, { host: "second.example" })).toContain("https://localhost:");
    });
  },
};
