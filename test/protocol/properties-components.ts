/** Proofs of the properties of components. */
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { connect as connectTls } from "node:tls";
import { expect } from "vitest";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort } from "../support/core.ts";
import type { Proof, World } from "./properties-world.ts";

const header =
  "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.localhost'>";

/** What the server says first to who connects and opens a stream; "" if it says nothing or is not there. */
function greeting(port: number, kind: "clear" | "tls", from = "127.0.0.1", host = "127.0.0.1"): Promise<string> {
  const tcp = connect({ port, host, localAddress: from });
  const socket = kind === "clear" ? tcp : connectTls({ socket: tcp, rejectUnauthorized: false });
  return new Promise((resolve) => {
    let heard = "";
    const done = (): void => {
      tcp.destroy();
      resolve(heard);
    };
    for (const one of [tcp, socket]) one.on("error", done);
    socket.on("close", done);
    socket.on("data", (chunk) => {
      heard += chunk.toString();
      if (heard.includes(" from=") || heard.includes("</stream:stream>")) done();
    });
    socket.write(header);
  });
}

async function opened(world: World, more: Record<string, string> = {}): Promise<number> {
  const port = await freePort();
  await world.set({
    ...takesComponents(port, "secret"),
    ...more,
  });
  return port;
}

/** Whether a component gets in; the connection is closed again. */
async function isLetIn(port: number, label: string, secret: string): Promise<boolean> {
  const component = await TestComponent.open(port, label);
  component.handshake(secret);
  const answer = await component.next(() => true);
  component.connection.end();
  await component.connection.ended;
  return answer.getName() === "handshake";
}

const presences = "<presences xmlns='urn:firekeeper:virtual-presence:0'/>";

export const componentProofs: Record<string, Proof> = {
  async "xmpp.component.socket.active"(world) {
    const port = await opened(world);
    expect(await greeting(port, "clear")).toContain("from=");
    await world.set({ "xmpp.component.socket.active": "false" });
    expect(await greeting(port, "clear")).toBe("");
  },
  async "xmpp.component.socket.port"(world) {
    const port = await opened(world);
    expect(await greeting(port, "clear")).toContain("from=");
  },
  async "xmpp.component.ssl.active"(world) {
    const direct = await freePort();
    await opened(world, { "xmpp.component.ssl.port": String(direct) });
    expect(await greeting(direct, "tls")).toBe("");
    await world.set({ "xmpp.component.ssl.active": "true" });
    expect(await greeting(direct, "tls")).toContain("from=");
  },
  async "xmpp.component.ssl.port"(world) {
    const direct = await freePort();
    await opened(world, { "xmpp.component.ssl.port": String(direct), "xmpp.component.ssl.active": "true" });
    expect(await greeting(direct, "tls")).toContain("from=");
    expect(await greeting(direct, "clear")).toBe("");
  },
  async "xmpp.component.tls.policy"(world) {
    const port = await opened(world);
    expect(await greeting(port, "tls")).toContain("from=");
    expect(await greeting(port, "clear")).toContain("from=");
    await world.set({ "xmpp.component.tls.policy": "required" });
    expect(await greeting(port, "clear")).toBe("");
    await world.set({ "xmpp.component.tls.policy": "disabled" });
    expect(await greeting(port, "tls")).not.toContain("from=");
  },
  async "firekeeper.component.clear-from"(world) {
    // Needs an address that is no loopback address; a machine without network has none.
    const here = Object.values(networkInterfaces()).flat();
    const address = here.find((one) => one?.family === "IPv4" && !one.internal)?.address;
    if (address === undefined) return;
    const port = await opened(world, { "network.interface": address });
    expect(await greeting(port, "clear", address, address)).toContain("policy-violation");
    expect(await greeting(port, "tls", address, address)).toContain("from=");
    await world.set({ "firekeeper.component.clear-from": `${address}/32` });
    expect(await greeting(port, "clear", address, address)).toContain("from=");
  },
  async "xmpp.component.defaultSecret"(world) {
    const port = await opened(world, { "xmpp.component.defaultSecret": "first" });
    expect(await isLetIn(port, "irc", "first")).toBe(true);
    await world.set({ "xmpp.component.defaultSecret": "second" });
    expect(await isLetIn(port, "irc", "first")).toBe(false);
    expect(await isLetIn(port, "irc", "second")).toBe(true);
    await world.set({ "xmpp.component.defaultSecret": null });
    expect(await greeting(port, "clear")).toBe("");
  },
  async "firekeeper.component.secrets"(world) {
    const port = await opened(world, { "xmpp.component.defaultSecret": "secret" });
    expect(await isLetIn(port, "sms", "secret")).toBe(true);
    await world.set({ "firekeeper.component.secrets": "sms:own" });
    expect(await isLetIn(port, "sms", "secret")).toBe(false);
    expect(await isLetIn(port, "sms", "own")).toBe(true);
  },
  async "xmpp.component.permission"(world) {
    const port = await opened(world);
    expect(await isLetIn(port, "irc", "secret")).toBe(true);
    await world.set({ "xmpp.component.permission": "whitelist" });
    expect(await isLetIn(port, "irc", "secret")).toBe(false);
  },
  async "firekeeper.component.allowed"(world) {
    const port = await opened(world, { "xmpp.component.permission": "whitelist" });
    expect(await isLetIn(port, "irc", "secret")).toBe(false);
    await world.set({ "firekeeper.component.allowed": "irc" });
    expect(await isLetIn(port, "irc", "secret")).toBe(true);
  },
  async "firekeeper.component.denied"(world) {
    const port = await opened(world);
    expect(await isLetIn(port, "irc", "secret")).toBe(true);
    await world.set({ "firekeeper.component.denied": "irc" });
    expect(await isLetIn(port, "irc", "secret")).toBe(false);
  },
  async "xmpp.component.idle"(world) {
    const port = await opened(world, { "xmpp.client.idle": "-1" });
    const irc = await TestComponent.join(port, "irc", "secret");
    irc.connection.onStanza = () => true;
    await world.set({ "xmpp.component.idle": "10000" });
    world.pass(6000);
    await irc.next("iq", (stanza) => stanza.getChild("ping", "urn:xmpp:ping") !== undefined);
    world.pass(6000);
    expect(await irc.streamError()).toBe("connection-timeout");
  },
  async "firekeeper.component.grants"(world) {
    const port = await opened(world);
    const pbx = await TestComponent.join(port, "pbx", "secret");
    expect((await pbx.iq("set", "localhost", presences)).attrs.type).toBe("error");
    await world.set({ "firekeeper.component.grants": "pbx:virtual-presence" });
    expect((await pbx.iq("set", "localhost", presences)).attrs.type).toBe("result");
    for (const wrong of [
      "pbx",
      "pbx:everything",
      "pbx:roster=all",
      "p.b:directory",
      "pbx:delegate=urn:ietf:params:xml:ns:xmpp-bind",
    ])
      await expect(world.set({ "firekeeper.component.grants": wrong })).rejects.toThrow("must be");
    pbx.connection.end();
  },
  async "roster.shownumbers"(world) {
    const port = await opened(world, { "firekeeper.component.grants": "pbx:setting=roster.shownumbers" });
    const pbx = await TestComponent.join(port, "pbx", "secret");
    const asked = await pbx.iq("get", "localhost", "<settings xmlns='urn:firekeeper:host:0'/>");
    expect(asked.getChild("settings")?.getChild("setting")?.attrs).toMatchObject({ value: "false" });
    await world.set({ "roster.shownumbers": "true" });
    const told = await pbx.next("iq", (stanza) => stanza.getChild("settings") !== undefined);
    expect(told.getChild("settings")?.getChild("setting")?.attrs).toMatchObject({
      key: "roster.shownumbers",
      value: "true",
    });
    pbx.connection.end();
  },
};
