/** Where a browser that knows only a domain finds WebSocket and BOSH. XEP-0156 */
import { parse } from "ltx";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Facts } from "../../agent/doctor/facts.ts";
import { checkWeb } from "../../agent/doctor/web.ts";
import { ask } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
const ports = { plain: 0, secure: 0, admin: 0, adminSecure: 0 };

beforeAll(async () => {
  for (const name of ["plain", "secure", "admin", "adminSecure"] as const) ports[name] = await freePort();
  core = await startTestCore({
    domain: "old.example",
    users: ["alice"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.secure": String(ports.secure),
      "httpbind.port.plain": String(ports.plain),
      "adminConsole.port": String(ports.admin),
      "adminConsole.securePort": String(ports.adminSecure),
    },
  });
});
afterAll(() => core.close());

const websocket = "urn:xmpp:alt-connections:websocket";
const xbosh = "urn:xmpp:alt-connections:xbosh";
const get = (port: number, file: string, host = "old.example", plain = false) =>
  ask({ host: "127.0.0.1", port, plain }, { method: "GET", path: `/.well-known/${file}`, headers: { host } });

async function links(host?: string): Promise<Record<string, string>> {
  const { text } = await get(ports.secure, "host-meta.json", host);
  const { links: found } = JSON.parse(text) as { links: { rel: string; href: string }[] };
  return Object.fromEntries(found.map(({ rel, href }) => [rel, href]));
}

test("both forms say the same on every port, to pages of every site", async () => {
  const expected = {
    [websocket]: `wss://old.example:${ports.secure}/ws/`,
    [xbosh]: `https://old.example:${ports.secure}/http-bind/`,
  };
  expect(await links()).toEqual(expected);
  for (const [port, plain] of [
    [ports.secure, false],
    [ports.plain, true],
    [ports.adminSecure, false],
    [ports.admin, true],
  ] as const) {
    const host = port === ports.admin ? "127.0.0.1" : "old.example";
    const xml = await get(port, "host-meta", host, plain);
    expect([xml.status, xml.headers["content-type"]]).toEqual([200, "application/xrd+xml; charset=utf-8"]);
    const document = parse(xml.text);
    expect(document.is("XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0")).toBe(true);
    const found = document.getChildren("Link").map(({ attrs }) => [attrs.rel, attrs.href]);
    expect(Object.fromEntries(found)).toEqual(expected);
    const json = await get(port, "host-meta.json", host, plain);
    expect(json.headers["content-type"]).toBe("application/json; charset=utf-8");
    for (const { headers } of [xml, json]) expect(headers["access-control-allow-origin"]).toBe("*");
  }
  for (const path of ["host-meta.xml", "host-meta/more", ""]) expect((await get(ports.secure, path)).status).toBe(404);
});

test("every live name is told its own address, and nobody is told a name that he made up", async () => {
  await core.rename("new.example", null);
  const at = async (host: string) => (await links(host))[xbosh];
  expect(await at("new.example")).toBe(`https://new.example:${ports.secure}/http-bind/`);
  expect(await at(`OLD.example:${ports.secure}`)).toBe(`https://old.example:${ports.secure}/http-bind/`);
  expect(await at("evil.example")).toBe(`https://new.example:${ports.secure}/http-bind/`);
  expect(await at("conference.new.example")).toBe(`https://new.example:${ports.secure}/http-bind/`);
});

test("it follows the settings at once", async () => {
  await core.set({ fqdn: "xmpp.example" });
  expect((await links())[websocket]).toBe(`wss://xmpp.example:${ports.secure}/ws/`);
  await core.set({ "firekeeper.web.address": "https://chat.example" });
  expect(await links()).toEqual({ [websocket]: "wss://chat.example/ws/", [xbosh]: "https://chat.example/http-bind/" });
  await core.set({ "firekeeper.web.address": null, fqdn: null });
});

test("doctor follows what is promised as a browser does, and says where that leads nowhere", async () => {
  const listener = { name: "web-tls", address: "127.0.0.1", port: ports.secure, state: "open" };
  const look = (more: object = {}) =>
    checkWeb({
      ...{ domain: "old.example", place: { probeHost: "127.0.0.1" } },
      server: { listeners: [{ ...listener, ...more }] },
    } as unknown as Facts);
  const found = async () => (await look()).map(({ standing, of, found: what }) => [standing, of, what] as const);
  const address = "firekeeper.web.address";

  await core.set({ [address]: `https://127.0.0.1:${ports.secure}` });
  const distrust = "Answers, but browsers do not trust the certificate: DEPTH_ZERO_SELF_SIGNED_CERT.";
  expect(await found()).toEqual([
    ["warn", `wss://127.0.0.1:${ports.secure}/ws/`, distrust],
    ["warn", `https://127.0.0.1:${ports.secure}/http-bind/`, distrust],
  ]);
  await core.set({ [address]: `https://127.0.0.1:${await freePort()}` });
  for (const [standing, , what] of await found())
    expect([standing, what]).toEqual(["fail", expect.stringMatching("ECONN")]);
  await core.set({ [address]: `https://127.0.0.1:${ports.adminSecure}` });
  expect((await found()).map(([standing, , what]) => [standing, what])).toEqual([
    ["fail", "No WebSocket of XMPP: it was answered with 404."],
    ["fail", "No BOSH: it was answered with 404."],
  ]);
  await core.set({ [address]: null });
  expect((await look({ state: "closed" })).map(({ standing }) => standing)).toEqual(["skipped"]);
});
