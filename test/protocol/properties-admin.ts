/** Proofs of the properties of console and REST. */
import { get as getHttp } from "node:http";
import { get as getHttps } from "node:https";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { expect } from "vitest";
import { freePort } from "../support/core.ts";
import type { Proof } from "./properties-world.ts";

/** Status of the console's liveness page, or the error's code. */
function status(host: string, port: number, secure = false): Promise<number | string> {
  return new Promise((resolve) => {
    const asked = (secure ? getHttps : getHttp)(
      { host, port, path: "/health/live", agent: false, rejectUnauthorized: false },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      },
    );
    asked.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

/** The first line of the answer to a request that a proxy at 127.0.0.9 passes on for a client. */
async function introduced(port: number, client: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.9" });
  socket.write(`PROXY TCP4 ${client} 127.0.0.1 50000 9090\r\nGET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  for await (const chunk of socket) return String(chunk).split("\r\n")[0] ?? "";
  return "";
}

export const adminProofs: Record<string, Proof> = {
  async "adminConsole.port"(world) {
    const [first, second] = [await freePort(), await freePort()];
    await world.set({ "adminConsole.port": String(first) });
    expect(await status("127.0.0.1", first)).toBe(200);
    await world.set({ "adminConsole.port": String(second) });
    expect([await status("127.0.0.1", first), await status("127.0.0.1", second)]).toEqual(["ECONNREFUSED", 200]);
    await world.set({ "adminConsole.port": "-1" });
    expect(await status("127.0.0.1", second)).toBe("ECONNREFUSED");
  },
  async "adminConsole.securePort"(world) {
    const port = await freePort();
    expect(await status("127.0.0.1", port, true)).toBe("ECONNREFUSED");
    await world.set({ "adminConsole.securePort": String(port) });
    expect(await status("127.0.0.1", port, true)).toBe(200);
  },
  async "firekeeper.admin.plain-http-from"(world) {
    const outside = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ internal, family }) => !internal && family === "IPv4")?.address;
    // A machine without a network has nobody but itself to show the redirect to.
    if (outside === undefined) return;
    const [port, securePort] = [await freePort(), await freePort()];
    await world.set({
      "adminConsole.port": String(port),
      "adminConsole.securePort": String(securePort),
      "network.interface": outside,
    });
    expect(await status(outside, port)).toBe(308);
    await world.set({ "firekeeper.admin.plain-http-from": `${outside}/32` });
    expect(await status(outside, port)).toBe(200);
  },
  async "firekeeper.admin.proxy-protocol-from"(world) {
    const [port, securePort] = [await freePort(), await freePort()];
    await world.set({ "adminConsole.port": String(port), "adminConsole.securePort": String(securePort) });
    expect(await introduced(port, "192.0.2.1")).toContain("400");
    await world.set({ "firekeeper.admin.proxy-protocol-from": "127.0.0.9" });
    // Only this machine may use plain HTTP, and that is not where the client is.
    expect(await introduced(port, "192.0.2.1")).toContain("308");
    expect(await introduced(port, "127.0.0.1")).toContain("200");
  },
};
