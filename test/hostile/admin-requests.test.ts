/** What attackers send to console and API. */
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtConsole } from "../../xmpp-core/admin/console-files.ts";
import { adminRoutes } from "../../xmpp-core/admin/routes.ts";
import { systemClock } from "../../xmpp-core/clock.ts";
import { type ConsoleAgent, connectConsoleAgent, plannedOutcome } from "../support/console-agent.ts";
import { type ConsoleClient, consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: ConsoleAgent;
let port: number;
let securePort: number;
let admin: ConsoleClient;
/** Ends the patience of the server with slow clients. */
const impatience = new Set<() => void>();
beforeAll(async () => {
  [port, securePort] = [await freePort(), await freePort()];
  core = await startTestCore({
    users: ["admin", "alice"],
    properties: { "adminConsole.port": String(port), "adminConsole.securePort": String(securePort) },
    clock: {
      ...systemClock,
      after(ms, work) {
        if (ms !== 30_000) return systemClock.after(ms, work);
        impatience.add(work);
        return () => impatience.delete(work);
      },
    },
  });
  agent = await connectConsoleAgent(core, () => plannedOutcome([]));
  admin = consoleClient(securePort, { secure: true });
  await admin.login("admin", "admin");
});
afterAll(async () => {
  await agent.close();
  await core.close();
});

/** Only declared, never called. */
const routes = adminRoutes({} as never);
const open = ["/health/live", "/health/ready", "/api/login"];

function raw(bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString()));
  });
}

describe("without a session", () => {
  test.each(
    routes.filter(({ path }) => !open.includes(path) && path !== "/metrics").map(({ method, path }) => [method, path]),
  )("%s %s is refused", async (method, path) => {
    for (const method_ of method === "GET" ? ["GET", "HEAD"] : [method]) {
      const reply = await consoleClient(port).ask(method_, path, method_ === "POST" ? {} : undefined);
      expect(reply.status).toBe(401);
      expect(reply.headers["content-type"]).toMatch(/^application\/json/);
    }
  });

  test("nothing but the routes answers, by whatever method", async () => {
    const methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"];
    const known = new Set(routes.map(({ method, path }) => `${method} ${path}`));
    for (const path of new Set(routes.map((route) => route.path)))
      for (const method of methods) {
        if (known.has(`${method === "HEAD" ? "GET" : method} ${path}`)) continue;
        expect((await consoleClient(port).ask(method, path)).status, `${method} ${path}`).toBe(404);
      }
  });

  test("the files of the login page are there, as they were built, and nothing beside them", async () => {
    const files = readdirSync(join(builtConsole(), "assets"));
    expect(files.length).toBeGreaterThan(2);
    for (const path of ["/", ...files.map((name) => `/assets/${name}`)])
      expect((await consoleClient(port).get(path)).status, path).toBe(200);
    for (const path of [
      "/assets",
      "/assets/",
      "/index.html",
      "/assets/../index.html",
      "/console-files.js",
      "/assets/x.js",
      "/package.json",
    ])
      expect((await consoleClient(port).get(path)).status, path).toBe(404);
  });
});

describe("paths", () => {
  const escapes = [
    ...[
      "..",
      "%2e%2e",
      "%2E%2E",
      ".%2e",
      "%252e%252e",
      "%u002e%u002e",
      "%c0%ae%c0%ae",
      "..;",
      "%2e%2e;x=y",
      "..%00",
      "..%09",
    ],
    ...["..%5c", "..\\", "%uff0e%uff0e", "%ef%bc%8e%ef%bc%8e", "..%c0%af", ".%00.", "..."],
  ];
  const roads = escapes.flatMap((dots) => [
    `/assets/${dots}/api/status`,
    `/health/live/${dots}/${dots}/api/status`,
    `/setup/setup-s/${dots}/${dots}/api/status`,
    `/health/${dots}/api/properties`,
    `/api/login/${dots}/status`,
    `/${dots}/api/status`,
    `/${dots}/${dots}/${dots}/etc/passwd`,
    `/assets/${dots}%2f${dots}%2fapi%2fstatus`,
  ]);
  const others = [
    ...[
      "//api/status",
      "/api//status",
      "/api/status/",
      "/api/./status",
      "/api/status;",
      "/api/status;jsessionid=1",
      "/api;/status",
    ],
    ...[
      "/api/status%20",
      "/api/status%00",
      "/api/status%3f",
      "/api%2fstatus",
      "/%61pi/status",
      "/%2561pi/status",
      "/API/status",
    ],
    ...[
      "/api/Status",
      "/api\\status",
      "\\api\\status",
      "/api/status%23",
      "/api/status/%2e",
      "/api/status/..",
      "/api/status.json",
    ],
    ...[
      "/health/live;/api/status",
      "/health/live/../../api/status",
      "/health/live%2f..%2f..%2fapi%2fstatus",
      "/health/live/",
    ],
    ...[
      "/.",
      "/..",
      "/.env",
      "/.git/config",
      "/api/.",
      "/api/__proto__",
      "/constructor",
      "/api/status&x",
      "/api/status\u00e9",
    ],
  ];

  test("are routes literally, or nothing: no session gets further by another spelling", async () => {
    for (const path of [...roads, ...others]) {
      const stranger = await raw(
        Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`, "latin1"),
      );
      expect(stranger, path).toMatch(/^HTTP\/1\.1 (?:400|401|404) /);
    }
    expect(roads.length + others.length).toBeGreaterThan(150);
  });

  test("are routes literally for the admin, too", async () => {
    const me = consoleClient(port);
    await me.login("admin", "admin");
    const cookie = [...me.cookies].map((pair) => pair.join("=")).join("; ");
    const ask = (target: string) =>
      raw(
        Buffer.from(
          `GET ${target} HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
          "latin1",
        ),
      );
    expect(await ask("/api/status")).toMatch(/^HTTP\/1\.1 200 /);
    expect(await ask("/api/status?x=../y")).toMatch(/^HTTP\/1\.1 200 /);
    for (const path of [...roads, ...others]) expect(await ask(path), path).toMatch(/^HTTP\/1\.1 (?:400|404) /);
    for (const target of ["http://localhost/api/status", "*", "localhost:80"])
      expect(await ask(target), target).toMatch(/^HTTP\/1\.1 (?:400|404) /);
  });
});

describe("requests forged in the admin's browser", () => {
  const changing = routes.filter(({ method }) => method === "POST").map(({ path }) => path);

  test.each(changing)("POST %s needs the token of this very session", async (path) => {
    const other = consoleClient(securePort, { secure: true });
    await other.login("admin", "admin");
    const asked = agent.events.length;
    for (const token of ["", other.csrf, `${admin.csrf}x`, admin.csrf.toLowerCase()]) {
      const reply = await admin.post(path, {}, { "x-csrf-token": token });
      expect([reply.status, reply.json.error.code]).toEqual([403, "admin/forged"]);
    }
    expect(agent.events.length).toBe(asked);
    expect((await admin.get("/api/me")).status).toBe(200);
  });

  test.each([
    ["another site", { origin: "https://evil.example" }],
    ["another port of this host", { origin: "https://127.0.0.1:1" }],
    ["a sandboxed frame", { origin: "null" }],
    ["a site that the browser names", { "sec-fetch-site": "cross-site" }],
    ["a sister site", { "sec-fetch-site": "same-site" }],
    ["the address bar", { "sec-fetch-site": "none" }],
  ])("from %s are refused, even with the token", async (_what, headers) => {
    const reply = await admin.post("/api/resume", {}, headers);
    expect([reply.status, reply.json.error.code]).toEqual([403, "admin/forged"]);
  });

  test("the console's own are not", async () => {
    const headers = { origin: `https://127.0.0.1:${securePort}`, "sec-fetch-site": "same-origin" };
    expect((await admin.post("/api/resume", {}, headers)).status).toBe(200);
  });

  test("no other origin is told that it may ask", async () => {
    const asking = { origin: "https://evil.example", "access-control-request-method": "POST" };
    for (const method of ["OPTIONS", "GET"]) {
      const { headers } = await admin.ask(method, "/api/status", undefined, asking);
      expect(Object.keys(headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });
});

test("every answer, whatever it is, keeps browsers from framing, sniffing, storing and running what is not ours", async () => {
  const client = consoleClient(port);
  const replies = [
    await client.get("/"),
    await client.get("/api/login"),
    await client.get("/api/me"),
    await client.get("/nothing"),
    await client.get("/%2e"),
    await client.post("/api/login", "x".repeat(70_000)),
    await client.get("/", { host: "evil.example" }),
    await admin.get("/api/status"),
  ];
  expect(replies.map(({ status }) => status)).toEqual([200, 200, 401, 404, 404, 403, 421, 200]);
  for (const { headers } of replies) {
    const policy = String(headers["content-security-policy"]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
    });
  }
  expect((await client.get("/")).text).not.toMatch(/<script>|<style|style=|onload=|https?:\/\//);
});

describe("bodies and heads", () => {
  test.each([
    ["64 KiB and more", "x".repeat(65_537), {}, 413],
    ["text", "user=admin", { "content-type": "text/plain" }, 415],
    ["a form", "user=admin", { "content-type": "application/x-www-form-urlencoded" }, 415],
    ["no JSON", "{", {}, 400],
    ["a poisoned prototype", '{"plan":"x","__proto__":{"admin":true}}', {}, 400],
    ["fields that are none", '{"plan":"x","force":true}', {}, 400],
    ["a list", "[]", {}, 400],
    ["null", "null", {}, 400],
    ["numbers for names", '{"plan":7}', {}, 400],
  ])("%s are refused", async (_what, body, headers, status) => {
    const reply = await admin.post("/api/apply", body, headers);
    expect([reply.status, reply.json.error.code]).toEqual([status, "admin/bad-request"]);
  });

  test("what was sent is not said back", async () => {
    const client = consoleClient(port);
    client.csrf = (await client.get("/api/login")).json.csrf;
    const reply = await client.post("/api/login", { user: "admin", password: { secret: "t0psecret" } });
    expect(reply.status).toBe(400);
    expect(reply.text).not.toContain("t0psecret");
  });

  test.each([
    ["a head of 9 KiB", `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(9000)}\r\n\r\n`, 431],
    [
      "two lengths",
      "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      400,
    ],
    [
      "length and chunks",
      "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["a bare line feed", "GET / HTTP/1.1\nHost: localhost\n\n", 400],
    ["a blank before the colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400],
    ["no HTTP", "<?xml version='1.0'?><stream:stream>", 400],
    ["TLS", Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]), 400],
  ])("%s ends the connection", async (_what, bytes, status) => {
    expect(await raw(bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  });

  test.each([
    ["head", "GET / HTTP/1.1\r\nHost: loc"],
    [
      "body",
      "POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    ],
    ["next request", "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"],
  ])("a client that never finishes its %s is dropped", async (_what, bytes) => {
    const before = new Set(impatience);
    const ended = raw(bytes).catch(() => "reset");
    await expect.poll(() => [...impatience].some((each) => !before.has(each))).toBe(true);
    // What was sent arrives before the server loses its patience.
    await consoleClient(port).get("/health/live");
    for (const work of [...impatience]) if (!before.has(work)) work();
    expect(await ended).toBeDefined();
  });

  test("the server goes on", async () => {
    expect((await admin.get("/api/status")).status).toBe(200);
  });
});
