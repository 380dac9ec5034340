/** The public page of a domain and its JSON: what people type, from live values. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PortalFacts, portalDocument } from "../../xmpp-core/modules/portal/facts.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";

let core: TestCore;
let port: number;

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    domain: "chat.example",
    users: ["alice"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": "-1",
      "httpbind.port.secure": String(port),
      "xmpp.proxy.enabled": "true",
      "xmpp.proxy.port": String(await freePort()),
    },
  });
});
afterAll(() => core.close());

const get = (path: string, headers: Record<string, string> = {}) =>
  fetchPage(port, path, { host: "chat.example", ...headers });

async function facts(host = "chat.example"): Promise<PortalFacts> {
  const { status, body } = await get("/portal.json", { host });
  expect(status).toBe(200);
  return portalDocument.parse(JSON.parse(body));
}

describe("what to type", () => {
  test("is the same in the page and in the JSON, which keeps its schema", async () => {
    const { status, headers, body } = await get("/");
    const told = await facts();
    expect([status, headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    expect(told).toMatchObject({
      domain: "chat.example",
      address: "name@chat.example",
      client: { starttls: { port: core.port }, directTls: { port: core.directPort }, selfSigned: true },
      registration: { open: false, page: null },
      onion: null,
    });
    const services = Object.fromEntries(told.services.map((service) => [service.kind, service]));
    expect(services).toMatchObject({
      rooms: { address: "conference.chat.example" },
      search: { address: "search.chat.example" },
      "file-proxy": { address: "proxy.chat.example", port: expect.any(Number) },
    });
    for (const value of [
      told.address,
      ...[core.port, core.directPort].map(String),
      ...told.services.map(({ address }) => address),
      told.web.websocket ?? "none",
      told.web.bosh ?? "none",
    ])
      expect(body).toContain(`<code>${value}</code>`);
    expect(body).toContain(`port ${services["file-proxy"]?.port}`);
  });

  test("follows ports, services, registration and contacts at once", async () => {
    const other = String(await freePort());
    await core.set({
      "xmpp.socket.ssl.active": "false",
      "xmpp.proxy.port": other,
      "plugin.search.serviceName": "people",
      "register.inband": "true",
      "firekeeper.contact.support": "mailto:help@chat.example",
    });
    const told = await facts();
    expect(told).toMatchObject({
      client: { directTls: null },
      registration: { open: true },
      contact: { support: ["mailto:help@chat.example"] },
    });
    expect(told.services).toContainEqual({ kind: "file-proxy", address: "proxy.chat.example", port: Number(other) });
    expect(told.services).toContainEqual({ kind: "search", address: "people.chat.example" });
    const { body } = await get("/");
    expect(body).toContain('<a href="mailto:help@chat.example">help@chat.example</a>');
    expect(body).toContain("Anybody may make an account");
    expect(body).not.toContain(`<code>${core.directPort}</code>`);
    await core.set({
      "xmpp.socket.ssl.active": null,
      "plugin.search.serviceName": null,
      "register.inband": null,
      "firekeeper.contact.support": null,
      "plugin.search.serviceEnabled": "false",
    });
    expect((await facts()).services.map(({ kind }) => kind)).not.toContain("search");
    await core.set({ "plugin.search.serviceEnabled": null });
  });

  test("G8: follows the external address and the host name at once", async () => {
    const { settings } = core.server;
    const external = async (value: string | null) => {
      await core.server.storage.write(settings.setHost("external-address", value));
    };
    expect((await facts()).client).toMatchObject({ host: "chat.example", addresses: [] });
    await external("203.0.113.7, 2001:db8::7");
    expect((await facts()).client).toMatchObject({
      host: "203.0.113.7",
      typeHost: true,
      addresses: ["203.0.113.7", "2001:db8::7"],
    });
    expect((await get("/")).body).toContain("<code>203.0.113.7</code>");
    await external("203.0.113.9");
    expect((await get("/")).body).toContain("<code>203.0.113.9</code>");
    await core.set({ fqdn: "host.example" });
    expect((await facts()).client.host).toBe("host.example");
    await core.set({ fqdn: null });
    await external(null);
  });

  test("G8: follows the address of the web ports", async () => {
    await core.set({ "firekeeper.web.address": "https://www.chat.example/im" });
    const told = await facts();
    expect(told.web).toMatchObject({ websocket: "wss://www.chat.example/im/ws/" });
    expect(told.certificates).toBe("https://www.chat.example/im/certificates");
    const { body } = await get("/");
    expect(body).toContain('href="/im/guide/gajim"');
    expect(body).toMatch(/href="\/im\/portal\.css\?/);
    await core.set({ "firekeeper.web.address": null });
  });
});

describe("the page speaks", () => {
  test.each([
    ["fr-CH, fr;q=0.9, en;q=0.8", "fr", "Ce qu’il faut saisir"],
    ["es, de-AT;q=0.7, en;q=0.3", "de", "Was Sie eingeben"],
    ["ja", "en", "What to type"],
  ])("for %s: %s", async (accepted, language, sentence) => {
    const { headers, body } = await get("/", { "accept-language": accepted });
    expect(headers["content-language"]).toBe(language);
    expect(headers.vary).toBe("accept-language");
    expect(body).toContain(`<html lang="${language}">`);
    expect(body).toContain(sentence);
  });

  test("the language of a link, which goes on in its links", async () => {
    const { body } = await get("/?lang=de", { "accept-language": "fr" });
    expect(body).toContain('<html lang="de">');
    expect(body).toContain('href="/guide/gajim?lang=de"');
    expect((await get("/?lang=xx", { "accept-language": "fr" })).headers["content-language"]).toBe("fr");
  });
});

describe("browsers", () => {
  test("ask again and hear that nothing changed", async () => {
    const { headers } = await get("/portal.json");
    expect(headers["cache-control"]).toBe("no-cache");
    const again = await get("/portal.json", { "if-none-match": `"other", W/${headers.etag}` });
    expect([again.status, again.body]).toEqual([304, ""]);
    await core.set({ "xmpp.proxy.enabled": "false" });
    expect((await get("/portal.json", { "if-none-match": String(headers.etag) })).status).toBe(200);
    await core.set({ "xmpp.proxy.enabled": "true" });
  });

  test("may read the JSON from any page, and run nothing", async () => {
    const { headers } = await get("/portal.json", { origin: "https://elsewhere.example" });
    expect(headers["access-control-allow-origin"]).toBe("*");
    const page = await get("/", { origin: "https://elsewhere.example" });
    expect(page.headers["access-control-allow-origin"]).toBeUndefined();
    expect(page.headers["content-security-policy"]).toContain("default-src 'none'");
    expect(page.body).not.toMatch(/<script|style=|javascript:| on[a-z]+=/i);
  });
});

test("names the one under which it was asked, after a change of domain too", async () => {
  await core.rename("new.example", null);
  expect(await facts("new.example")).toMatchObject({ domain: "new.example", address: "name@new.example" });
  expect(await facts("chat.example")).toMatchObject({ domain: "chat.example" });
  expect(await facts(`conference.CHAT.example:${port}`)).toMatchObject({ domain: "chat.example" });
  expect((await facts("evil.example")).domain).toBe("new.example");
});

test("shows nobody, and no secret", async () => {
  for (const path of ["/", "/portal.json", "/certificates.json"]) {
    const { body } = await get(path);
    expect(body).not.toMatch(/alice|PRIVATE|BEGIN/);
  }
});
