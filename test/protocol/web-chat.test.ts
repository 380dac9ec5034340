/** The bundled web chat, as a browser asks for it; test/clients/web-chat.test.ts chats in one. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { neededFiles, openConverse, packagedConverse } from "../../xmpp-core/modules/web-chat/converse-files.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";

let core: TestCore;
let port: number;
const plainPort = await freePort();

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    domain: "chat.example",
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": String(plainPort),
      "httpbind.port.secure": String(port),
      "firekeeper.webchat.enabled": "true",
    },
  });
  await openConverse();
});
afterAll(() => core.close());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetchPage(port, path, { host: "chat.example", ...headers });

test("the page names this server's files alone, and allows nothing else", async () => {
  const { status, headers, body } = await get("/chat/");
  expect(status).toBe(200);
  const policy = String(headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval';");
  expect(policy).not.toMatch(/https?:|\*/);
  const named = [...body.matchAll(/(?:src|href)="(.*?)"/g)].map(([, address = ""]) => address);
  expect(named.length).toBeGreaterThan(3);
  for (const address of named) {
    expect(address).toMatch(/^\/chat\//);
    expect((await get(address)).status, address).toBe(200);
  }
  expect(body).not.toMatch(/<script>| on[a-z]+=/);
});

test("settings come from live values: the domain is fixed, registration as it is, nobody else is asked", async () => {
  const settings = async () => JSON.parse((await get("/chat/settings.json")).body);
  expect(await settings()).toMatchObject({
    locked_domain: "chat.example",
    muc_domain: "conference.chat.example",
    allow_registration: false,
    discover_connection_methods: false,
    muc_search_service: "",
  });
  await core.set({ "register.inband": "true" });
  expect((await settings()).allow_registration).toBe(true);
  await core.set({ "register.inband": null, "firekeeper.web.address": "https://www.chat.example/im" });
  expect((await settings()).assets_path).toMatch(/^\/im\/chat\/[0-9a-f]{12}\/$/);
  await core.set({ "firekeeper.web.address": null });
});

test("files are kept for good by browsers, packed where that is smaller, with the licence among them", async () => {
  const [, files = ""] = /src="(\/chat\/[0-9a-f]{12})\/converse/.exec((await get("/chat/")).body) ?? [];
  const script = await get(`${files}/converse.min.js`, { "accept-encoding": "br, gzip" });
  expect(script.headers).toMatchObject({
    "content-type": "text/javascript; charset=utf-8",
    "content-encoding": "gzip",
    "cache-control": "public, max-age=31536000, immutable",
  });
  expect((await get(`${files}/converse.min.js`, { "accept-encoding": "gzip;q=0" })).headers["content-encoding"]).toBe(
    undefined,
  );
  expect((await get(`${files}/LICENSE`)).body).toContain("Mozilla Public License");
  for (const path of [
    "package.json",
    "converse.js",
    "converse.min.js.map",
    "..%2fpackage.json",
    "%2e%2e/README.md",
    "",
  ])
    expect((await get(`${files}/${path}`)).status, path).toBe(404);
});

test("the package holds what the page needs", async () => {
  const paths = await neededFiles(packagedConverse() ?? "");
  for (const wanted of ["converse.min.js", "converse.min.css", "emoji.json", "images/favicon.ico"])
    expect(paths).toContain(wanted);
  for (const language of ["fr", "de"])
    expect(paths.some((path) => path.startsWith(`chunkjs/locales/${language}-`))).toBe(true);
  expect(paths.filter((path) => path.endsWith(".map"))).toEqual([]);
});

test("a page that asks for passwords is not shown without TLS", async () => {
  const answer = await fetch(`http://127.0.0.1:${plainPort}/chat/`, { redirect: "manual" });
  expect(answer.status).toBe(307);
  expect(answer.headers.get("location")).toBe(`https://chat.example:${port}/chat/`);
});

test("switched off there is none, and the public page does not name it", async () => {
  const told = async () => JSON.parse((await get("/portal.json")).body).web.chat;
  expect((await get("/chat/")).status).toBe(200);
  expect(await told()).toBe(`https://chat.example:${port}/chat/`);
  await core.set({ "firekeeper.webchat.enabled": "false" });
  expect(await told()).toBeNull();
  expect((await get("/chat/")).status).toBe(404);
  await core.set({ "firekeeper.webchat.enabled": "true" });
});
