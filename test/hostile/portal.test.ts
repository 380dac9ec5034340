/** The public pages and the web chat, asked by people who want something else. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";
import { rawConnection } from "./doors.ts";

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
      "firekeeper.webchat.enabled": "true",
    },
  });
});
afterAll(() => core.close());

const paths = [
  "/",
  "/portal.json",
  "/guide",
  "/guide/pidgin",
  "/certificates",
  "/certificates.json",
  "/chat/",
] as const;

/** The whole answer to bytes that no HTTP library sends. */
async function raw(request: string): Promise<string> {
  const connection = await rawConnection(port, "direct", { alpn: ["http/1.1"] });
  connection.write(request);
  return connection.everything;
}

describe("a Host header", () => {
  const hosts = [
    "evil.example",
    "chat.example.evil.example",
    'chat.example"><script>alert(1)</script>',
    "chat.example@evil.example",
    "chat.example/evil",
    "__proto__",
    "constructor",
    "[::1]",
    "127.0.0.1:7443",
    "xn--a",
    "chat.example%00.evil.example",
    `${"a.".repeat(200)}example`,
    "",
  ];
  test.each(hosts)("%j names nothing: the primary domain answers", async (host) => {
    for (const path of ["/", "/portal.json", "/chat/settings.json"]) {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      const [head = ""] = answer.split("\r\n\r\n", 1);
      if (!/^HTTP\/1\.1 200/.test(head)) {
        expect(head).toMatch(/^HTTP\/1\.1 400/);
        continue;
      }
      expect(answer).not.toMatch(/evil|<script>alert|__proto__/);
      expect(head).not.toMatch(/location:/i);
      expect(answer).toContain("chat.example");
    }
  });

  test("twice, forwarded, or as the request's own address: no link leads away", async () => {
    for (const extra of [
      "Host: evil.example\r\n",
      "X-Forwarded-Host: evil.example\r\n",
      "Forwarded: host=evil.example;proto=https\r\n",
      "X-Original-URL: /admin\r\n",
      "X-Rewrite-URL: /admin\r\n",
    ]) {
      const answer = await raw(`GET / HTTP/1.1\r\nHost: chat.example\r\n${extra}Connection: close\r\n\r\n`);
      expect(answer, extra).not.toMatch(/evil|admin"/);
      expect(answer, extra).toMatch(/^HTTP\/1\.1 (200|400)/);
    }
    const absolute = await raw("GET https://evil.example/ HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n");
    expect(absolute).toMatch(/^HTTP\/1\.1 (400|404)/);
  });
});

describe("a language", () => {
  test.each([
    ["many", Array.from({ length: 500 }, (_, at) => `x${at % 10};q=0.${at % 1000}`).join(",")],
    ["a long one", `${"a".repeat(7000)}`],
    ["weights that are none", "fr;q=NaN,de;q=1e9,en;q=-1"],
    ["markup", 'fr"><script>alert(1)</script>'],
    ["prototypes", "__proto__, constructor;q=1"],
    ["commas", ",".repeat(8000)],
  ])("header of %s is bounded, and the page is in one of ours", async (_name, accepted) => {
    const { status, headers, body } = await fetchPage(port, "/guide/gajim", { "accept-language": accepted });
    expect(status).toBe(200);
    expect(["en", "fr", "de"]).toContain(headers["content-language"]);
    expect(body).not.toContain("<script>");
  });

  test.each(["__proto__", "constructor", "en%00", "%22%3E%3Cscript%3E", "../de", "EN"])(
    "?lang=%s is none",
    async (lang) => {
      const { headers, body } = await fetchPage(port, `/guide/gajim?lang=${lang}`, { "accept-language": "fr" });
      expect(headers["content-language"]).toBe("fr");
      expect(body).not.toMatch(/<script>|__proto__/);
    },
  );
});

describe("a path", () => {
  test.each([
    "/guide/__proto__",
    "/guide/constructor",
    "/guide/gajim/more",
    "/guide/..%2fportal",
    "/guide/%2e%2e/portal.json",
    "/guide/gajim%00",
    "/guide//gajim",
    "/certificates/../core.db",
    "/certificates.json/x",
    "/portal.css/x",
    "/chat/../core.db",
    "/chat/%2e%2e/%2e%2e/core.db",
    "/chat/start.js/x",
    "/chat/000000000000/converse.min.js",
    "/chat/__proto__/constructor",
    "/portal.json%2f",
    "/%70ortal.json/..",
    "/\\portal.json",
  ])("%s leads nowhere, and says the same as any other", async (path) => {
    const { status, body } = await fetchPage(port, path);
    expect(status).toBe(404);
    expect(body.length).toBeLessThan(100);
    expect(body).not.toContain(path.slice(1, 20));
  });

  test.each(["POST", "PUT", "DELETE", "PATCH", "TRACE"])("%s changes nothing", async (method) => {
    for (const path of ["/", "/guide/pidgin", "/chat/"])
      expect((await fetchPage(port, path, {}, method)).status).toBe(405);
  });
});

test("what an admin has typed stands there as text", async () => {
  const nasty = "https://help.example/%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
  await core.set({ "firekeeper.contact.support": `${nasty}, mailto:a&b'c@chat.example` });
  const { body } = await fetchPage(port, "/");
  expect(body).not.toMatch(/<script|&b'c/);
  expect(body).toContain("a&amp;b");
  await core.set({ "firekeeper.contact.support": null });
});

test("hundreds of requests in one breath leave it as it was", async () => {
  const before = (await fetchPage(port, "/portal.json")).body;
  const many = Array.from({ length: 300 }, (_, at) => {
    const last = at === 299 ? "Connection: close\r\n" : "";
    return `GET ${paths[at % paths.length]} HTTP/1.1\r\nHost: h${at}.example\r\n${last}\r\n`;
  });
  const answers = await raw(many.join(""));
  expect(answers.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(many.length);
  expect((await fetchPage(port, "/portal.json")).body).toBe(before);
  await (await core.login("alice")).ping();
});
