/** Proofs of the properties of the ports for browsers. */
import { connect } from "node:net";
import { expect } from "vitest";
import { freePort } from "../support/core.ts";
import type { Proof } from "./properties-world.ts";

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
};
