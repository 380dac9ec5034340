/** Proofs of the properties of the public pages. */
import { expect } from "vitest";
import { freePort } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";
import type { Proof, World } from "./properties-world.ts";

async function webPort(world: World): Promise<number> {
  const port = await freePort();
  await world.set({ "httpbind.port.secure": String(port), "httpbind.enabled": "true" });
  return port;
}

export const portalProofs: Record<string, Proof> = {
  async "firekeeper.portal.enabled"(world) {
    const port = await webPort(world);
    const shown = async () =>
      Promise.all(["/", "/portal.json", "/certificates"].map(async (path) => (await fetchPage(port, path)).status));
    expect(await shown()).toEqual([200, 200, 200]);
    await world.set({ "firekeeper.portal.enabled": "false" });
    expect(await shown()).toEqual([404, 404, 404]);
  },
  async "firekeeper.portal.clients"(world) {
    const port = await webPort(world);
    const order = async () =>
      [...(await fetchPage(port, "/guide")).body.matchAll(/<li><a href="\/guide\/(\w+)/g)].map(([, client]) => client);
    expect((await order())[0]).toBe("gajim");
    expect((await fetchPage(port, "/guide/gajim")).status).toBe(200);
    await world.set({ "firekeeper.portal.clients": "spark, Pidgin" });
    expect(await order()).toEqual(["spark", "pidgin"]);
    expect((await fetchPage(port, "/guide/gajim")).status).toBe(404);
  },
  async "firekeeper.portal.onion"(world) {
    const port = await webPort(world);
    const onion = `${"a2".repeat(28)}.onion`;
    expect((await fetchPage(port, "/guide/pidgin")).body).not.toContain("Tor:");
    await world.set({ "firekeeper.portal.onion": onion });
    expect((await fetchPage(port, "/guide/pidgin")).body).toContain(`<code>${onion}</code>`);
    expect((await fetchPage(port, "/")).body).toContain(onion);
  },
  async "firekeeper.webchat.enabled"(world) {
    const port = await webPort(world);
    expect((await fetchPage(port, "/chat/")).status).toBe(404);
    await world.set({ "firekeeper.webchat.enabled": "true" });
    expect((await fetchPage(port, "/chat/settings.json")).body).toContain('"locked_domain"');
  },
};
