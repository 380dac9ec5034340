/** Proofs of the properties of uploaded files. */
import { expect } from "vitest";
import { TestComponent } from "../support/component.ts";
import { freePort } from "../support/core.ts";
import { askSlot, http, slotOf, upload, uploaded } from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const day = 24 * 3600_000;

/** Alice on a server whose ports for browsers are open, with as much disk as there is. */
async function uploader(world: World): Promise<XmppClient> {
  const ports = { "httpbind.port.plain": String(await freePort()), "httpbind.port.secure": String(await freePort()) };
  await world.set({ ...ports, "httpbind.enabled": "true", "firekeeper.upload.keep-free-bytes": "0" });
  return world.login("alice");
}

const refused = async (client: XmppClient, size: number, purpose = ""): Promise<boolean> => {
  const kind = purpose === "" ? "" : `<${purpose} xmlns='urn:xmpp:http:upload:purpose:0'/>`;
  return (await askSlot(client, { size, purpose: kind })).attrs.type === "error";
};

/** Slots that were not used are gone, for the proofs behind this one. */
const forgotten = (world: World): void => world.pass(300_001);

const limit = (key: string, value: string, size: number, purpose = ""): [string, Proof] => [
  key,
  async (world) => {
    const alice = await uploader(world);
    expect(await refused(alice, size, purpose)).toBe(false);
    forgotten(world);
    await world.set({ [key]: value });
    expect(await refused(alice, size, purpose)).toBe(true);
  },
];

const announced = (key: string, value: string, shown: string): [string, Proof] => [
  key,
  async (world) => {
    const alice = await uploader(world);
    const address = async () => slotOf(await askSlot(alice, { size: 1 })).get;
    expect(await address()).not.toContain(shown);
    await world.set({ [key]: value });
    expect(await address()).toContain(shown);
    forgotten(world);
  },
];

export const uploadProofs: Record<string, Proof> = {
  async "firekeeper.upload.enabled"(world) {
    const alice = await uploader(world);
    expect(await refused(alice, 1)).toBe(false);
    await world.set({ "firekeeper.upload.enabled": "false" });
    expect(await refused(alice, 1)).toBe(true);
    forgotten(world);
  },
  async "firekeeper.upload.service"(world) {
    const alice = await uploader(world);
    const asked = async () => (await askSlot(alice, { size: 1, to: "files.localhost" })).attrs.type;
    expect(await asked()).toBe("error");
    await world.set({ "firekeeper.upload.service": "files" });
    expect(await asked()).toBe("result");
    forgotten(world);
  },
  ...Object.fromEntries([
    limit("plugin.httpfileupload.maxFileSize", "1000", 2000),
    limit("firekeeper.upload.user-bytes", "1000", 2000),
    limit("firekeeper.upload.day-bytes", "1000", 2000),
    limit("firekeeper.upload.all-bytes", "1000", 2000),
    limit("firekeeper.upload.profile-bytes", "1000", 2000, "profile"),
    limit("firekeeper.upload.permanent-bytes", "1000", 2000, "permanent"),
    limit("firekeeper.upload.keep-free-bytes", String(2 ** 49), 2000),
    announced("plugin.httpfileupload.announcedWebProtocol", "http", "http://localhost"),
    announced("plugin.httpfileupload.announcedWebHost", "up.example.org", "https://up.example.org:"),
    announced("plugin.httpfileupload.announcedWebPort", "8443", "https://localhost:8443/"),
  ]),
  async "firekeeper.upload.components"(world) {
    await uploader(world);
    const port = await freePort();
    const more = { "xmpp.component.ssl.active": "false", "xmpp.component.defaultSecret": "secret" };
    await world.set({ "xmpp.component.socket.port": String(port), ...more });
    const irc = await TestComponent.join(port, "irc.localhost", "secret");
    const ask = () => irc.iq("get", "upload.localhost", `<request xmlns='${upload}' filename='a' size='1'/>`);
    expect((await ask()).getChild("error")?.getChild("forbidden")).toBeDefined();
    await world.set({ "firekeeper.upload.components": "irc" });
    expect((await ask()).attrs.type).toBe("result");
    forgotten(world);
    irc.connection.end();
  },
  async "firekeeper.upload.days"(world) {
    const alice = await uploader(world);
    await world.set({ "firekeeper.upload.days": "1" });
    const link = await uploaded(alice, "x");
    const found = async () => (await http("GET", link)).status;
    expect(await found()).toBe(200);
    world.pass(day);
    expect(await found()).toBe(404);
  },
};
