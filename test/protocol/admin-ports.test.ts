/** The two doors of the console, health and metrics. docs/architecture.md "Three processes" */
import { createServer, connect as dial, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

/** An address of this machine that is not loopback: who comes from it is a stranger. */
const ownAddress = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
if (ownAddress === undefined)
  console.warn("admin-ports.test.ts: strangers are not tested, this machine has only loopback");

let core: TestCore;
let agent: TestAgent;
let port: number;
let securePort: number;
beforeAll(async () => {
  [port, securePort] = [await freePort(), await freePort()];
  core = await startTestCore({
    users: ["admin", "alice"],
    properties: {
      "adminConsole.port": String(port),
      "adminConsole.securePort": String(securePort),
      ...(ownAddress === undefined ? {} : { "network.interface": "0.0.0.0" }),
    },
  });
  agent = await connectAgent(core);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

/** Sends bytes and resolves with everything that comes until the end. */
function raw(host: string, at: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = dial(at, host, () => socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(Buffer.concat(chunks).toString()));
  });
}

describe.skipIf(ownAddress === undefined)("a stranger on the plain port", () => {
  const host = ownAddress ?? "";

  test.each(["/", "/api/me", "/health/live", "/metrics", "/api/plan?x=1&y=%20", "/..%2f"])(
    "is sent to HTTPS from %s",
    async (path) => {
      const reply = await consoleClient(port, { host }).get(path, { host: `chat.example.org:${port}` });
      expect([reply.status, reply.headers.location]).toEqual([308, `https://chat.example.org:${securePort}${path}`]);
      expect(reply.text).toBe("The console speaks HTTPS.\n");
    },
  );

  test("gets no session for the right password, and none for a cookie that is good", async () => {
    const local = consoleClient(port);
    await local.login("admin", "admin");
    const stranger = consoleClient(port, { host });
    for (const [name, value] of local.cookies) stranger.cookies.set(name, value);
    stranger.csrf = local.csrf;
    expect((await stranger.get("/api/me")).status).toBe(308);
    const logins = () => core.server.report.metrics.getSingleMetricAsString("firekeeper_admin_logins_total");
    const before = await logins();
    const reply = await stranger.post("/api/login", { user: "admin", password: "admin" });
    expect([reply.status, reply.headers["set-cookie"]]).toEqual([308, undefined]);
    expect(await logins()).toBe(before);
  });

  test("is not asked for the body it announces", async () => {
    const head = `POST /api/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n`;
    const answer = await raw(host, port, head);
    expect(answer).toMatch(/^HTTP\/1\.1 308 /);
  });

  test.each([
    ["none", undefined, "localhost"],
    ["one with a path", "evil.example/x", "localhost"],
    ["one with credentials", "user@evil.example", "localhost"],
    ["one of IPv6", "[2001:db8::1]:9090", "[2001:db8::1]"],
  ])("with %s as Host stays with a name that can be one", async (_what, given, name) => {
    const answer = await raw(
      host,
      port,
      `GET / HTTP/1.${given === undefined ? 0 : 1}\r\n${given === undefined ? "" : `Host: ${given}\r\n`}\r\n`,
    );
    expect(answer).toContain(`https://${name}:${securePort}/\r\n`);
  });

  test("is let in where the setting names it, shown as weakening, and out again", async () => {
    const stranger = consoleClient(port, { host });
    await agent.set({ "firekeeper.admin.plain-http-from": `10.0.0.0/8, ${host}` });
    expect((await stranger.login("admin", "admin")).status).toBe(200);
    expect((await agent.target.status()).weakens.join()).toContain(host);
    expect((await stranger.get("/metrics")).status).toBe(200); // as the admin
    expect((await consoleClient(port, { host }).get("/metrics")).status).toBe(401);
    await agent.set({ "firekeeper.admin.plain-http-from": null });
    expect((await stranger.get("/api/me")).status).toBe(308);
  });

  test("is told when HTTPS is off", async () => {
    await agent.set({ "adminConsole.securePort": "-1" });
    const reply = await consoleClient(port, { host }).get("/");
    expect([reply.status, reply.headers.location]).toEqual([403, undefined]);
    await agent.set({ "adminConsole.securePort": String(securePort) });
    expect((await consoleClient(port, { host }).get("/")).status).toBe(308);
  });

  test("has the console over HTTPS", async () => {
    const stranger = consoleClient(securePort, { secure: true, host });
    expect((await stranger.login("admin", "admin")).status).toBe(200);
    expect((await consoleClient(securePort, { secure: true, host }).get("/metrics")).status).toBe(401);
  });
});

test("a page of a stranger whose name leads to this machine gets nothing (DNS rebinding)", async () => {
  const browser = consoleClient(port);
  for (const path of ["/", "/api/login", "/metrics", "/health/ready"]) {
    const reply = await browser.get(path, { host: `evil.example:${port}` });
    expect([reply.status, reply.json.error.code], path).toEqual([421, "admin/wrong-host"]);
  }
  for (const host of ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:9090"])
    expect((await browser.get("/health/live", { host })).status, host).toBe(200);
  expect((await browser.get("/health/live", { host: "me.example" })).status).toBe(421);
  await agent.set({ fqdn: "me.example" });
  expect((await browser.get("/health/live", { host: "me.example" })).status).toBe(200);
});

test("the secure port speaks nothing but TLS", async () => {
  expect(await raw("127.0.0.1", securePort, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").catch(() => "")).not.toContain(
    "HTTP/1.1 2",
  );
});

test("the ports follow their properties", async () => {
  const [plain, secure] = [await freePort(), await freePort()];
  await agent.set({ "adminConsole.port": String(plain), "adminConsole.securePort": String(secure) });
  expect((await consoleClient(plain).get("/health/live")).json).toEqual({ live: true });
  expect((await consoleClient(secure, { secure: true }).get("/health/live")).json).toEqual({ live: true });
  await expect(consoleClient(port).get("/health/live")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await agent.set({ "adminConsole.port": "-1" });
  await expect(consoleClient(plain).get("/health/live")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await agent.set({ "adminConsole.port": String(port), "adminConsole.securePort": String(securePort) });
});

describe("health and metrics", () => {
  test("say that a user can log in, to everyone", async () => {
    const monitor = consoleClient(port);
    expect((await monitor.get("/health/live")).json).toEqual({ live: true });
    const ready = await monitor.get("/health/ready");
    expect([ready.status, ready.json]).toEqual([200, { ready: true, missing: [] }]);
    expect((await monitor.ask("HEAD", "/health/ready")).status).toBe(200);
  });

  test("readiness is lost with a client port", async () => {
    const taken = await freePort();
    const holder = await new Promise<Server>((resolve) => {
      const server = createServer().listen(taken, "127.0.0.1", () => resolve(server));
    });
    const [at, client] = [await freePort(), await freePort()];
    const other = await startTestCore({
      properties: {
        "adminConsole.port": String(at),
        "xmpp.socket.plain.port": String(taken),
        "xmpp.socket.ssl.port": String(client),
      },
    });
    const ready = await consoleClient(at).get("/health/ready");
    expect([ready.status, ready.json]).toEqual([503, { ready: false, missing: ["listeners"] }]);
    expect((await consoleClient(at).get("/health/live")).status).toBe(200);
    holder.close();
    await other.close();
  });

  test("metrics are for this machine and the admin", async () => {
    const alice = await core.login("alice");
    const { status, text, headers } = await consoleClient(port).get("/metrics");
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(text).toMatch(/^firekeeper_sessions 1$/m);
    expect(text).toMatch(/^firekeeper_ready 1$/m);
    expect(text).toMatch(/^firekeeper_logins_total\{mechanism="SCRAM-SHA-512-PLUS"\} \d+$/m);
    expect(text).not.toContain(alice.bare);
    for (const header of ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
      expect((await consoleClient(port).get("/metrics", { [header]: "127.0.0.1" })).status, header).toBe(401);
    const admin = consoleClient(securePort, { secure: true });
    await admin.login("admin", "admin");
    expect((await admin.get("/metrics", { via: "a proxy" })).status).toBe(200);
  });
});

test("an orderly restart answers who waits, closes the connections, and the successor answers again", async () => {
  const admin = consoleClient(securePort, { secure: true });
  await admin.login("admin", "admin");
  const idle = raw("127.0.0.1", port, "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const waiting = admin.get("/api/plan");
  await expect.poll(() => agent.events.some((event) => event.event === "console" && event.ask === "plan")).toBe(true);
  const alice = await core.login("alice", { resource: "stays" });
  await core.restart();
  const told = await waiting;
  expect([told.status, told.json.error.code]).toEqual([503, "admin/leaving"]);
  expect(told.headers["content-security-policy"]).toBeDefined();
  expect(await idle).toMatch(/^HTTP\/1\.1 200 /);
  expect((await consoleClient(securePort, { secure: true }).get("/health/live")).status).toBe(200);
  expect((await admin.get("/api/me")).status).toBe(401);
  await alice.ping();
});
