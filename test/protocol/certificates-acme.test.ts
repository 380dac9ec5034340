import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import {
  agent,
  authority,
  clock,
  core,
  domain,
  hour,
  httpPort,
  metrics,
  shown,
  stageForEach,
  status,
  turnOn,
} from "../support/acme-fixture.ts";
import { freePort } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

stageForEach();

describe("a certificate by ACME", () => {
  test("is ordered once, also when nonces are refused, and replaces the one in use under open connections", async () => {
    const alice = await core.login("alice");
    expect((await shown())?.issuer).not.toContain("Test authority");
    authority.behaviour.badNonces = 3;
    await turnOn();
    const ordered = await status(({ source }) => source === "acme");
    expect((await shown())?.fingerprint256).toBe(ordered.sha256);
    expect(ordered).toMatchObject({ names: [domain], selfSigned: false });
    expect(ordered.daysLeft).toBeGreaterThan(88);
    await alice.ping();
    await core.server.serving.refresh();
    clock.pass(hour);
    expect(authority.issued).toHaveLength(1);
    expect(await metrics()).toMatch(
      /firekeeper_certificate_expiry_seconds\{name="chat\.example\.org",source="acme"\} 77[0-9]{5}/,
    );
    expect(await metrics()).toContain('firekeeper_certificate_orders_total{result="issued"} 1');
  });

  test("is not ordered for what nobody issues for, and status says so; a private authority may", async () => {
    await agent.set({ "firekeeper.acme.names": "host.local,10.0.0.7,mobydick,a.test", fqdn: "mail.example.org" });
    await turnOn();
    await status(({ source }) => source === "acme");
    expect(authority.issued.map(({ names }) => names)).toEqual([[domain, "mail.example.org"]]);
    const notices = core.server.serving.notices().join("\n");
    for (const name of ["host.local", "10.0.0.7", "mobydick", "a.test"])
      expect(notices).toContain(`No certificate is ordered for ${name}.`);
  });

  test("that is for another name than asked is not served", async () => {
    authority.behaviour.names = ["evil.example.org"];
    await turnOn();
    expect((await status(({ problem }) => problem !== undefined)).problem).toContain("does not cover chat.example.org");
    expect((await shown())?.checkHost("evil.example.org")).toBeUndefined();
  });
});

describe("the port for challenges", () => {
  const token = "t".repeat(43);
  const ask = (bytes: string | Buffer): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(httpPort, "127.0.0.1");
      let said = "";
      socket.on("data", (chunk) => (said += chunk));
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(said));
      socket.write(bytes);
    });
  const get = (path: string): Promise<string> => ask(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);

  test("is open while an order is pending and answers for its token alone", async () => {
    let proceed: () => void = () => undefined;
    // The authority asks for nothing of its own: the proof stays to be looked at.
    authority.behaviour.token = token;
    const looked = new Promise<void>((resolve) => (proceed = resolve));
    const proofs: string[] = [];
    const real = authority.behaviour.httpPort;
    const { createServer } = await import("node:http");
    const between = createServer((_request, response) => {
      void (async () => {
        const path = `/.well-known/acme-challenge/${token}`;
        proofs.push(await get(path));
        for (const wrong of [
          "/",
          "/.well-known/acme-challenge/",
          `/.well-known/acme-challenge/${"u".repeat(43)}`,
          `/.well-known/acme-challenge/../acme-challenge/${token}`,
          `/.well-known/acme-challenge/%2e%2e/${token}`,
          `${path}?x=1`,
          `${path}/`,
          `/x${path}`,
          `http://x${path}`,
          "/.well-known/acme-challenge/../../../../etc/passwd",
        ])
          expect(await get(wrong), wrong).toMatch(/^HTTP\/1\.1 404 /);
        for (const request of [`POST ${path} HTTP/1.1\r\n\r\n`, `HEAD ${path} HTTP/1.1\r\n\r\n`, `GET ${path}\r\n\r\n`])
          expect(await ask(request), request).toMatch(/^HTTP\/1\.1 404 /);
        expect(await ask(`GET ${path} HTTP/1.1\r\nX: ${"x".repeat(8000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
        expect(await ask(Buffer.alloc(70_000, 0x16))).toMatch(/^HTTP\/1\.1 431 |^$/);
        // Who sends half a request is sent away.
        const waits = () => clock.waits().includes(10_000);
        await expect.poll(waits, { interval: 5, timeout: 8000 }).toBe(false);
        const slow = ask("GET /.well-known");
        await expect.poll(waits, { interval: 5, timeout: 8000 }).toBe(true);
        clock.pass(10_000);
        expect(await slow).toBe("");
        const asked = await fetch(`http://127.0.0.1:${real}${path}`);
        response.end(await asked.text());
      })().then(proceed, (error: Error) => {
        response.end("failed");
        proofs.push(error.message);
        proceed();
      });
    });
    await new Promise<void>((done) => between.listen(0, "127.0.0.1", done));
    authority.behaviour.httpPort = (between.address() as { port: number }).port;
    await expect(fetch(`http://127.0.0.1:${httpPort}/`)).rejects.toThrow();
    await turnOn();
    await looked;
    await status(({ source }) => source === "acme");
    between.close();
    expect(proofs).toHaveLength(1);
    expect(proofs[0]).toMatch(new RegExp(`^HTTP/1\\.1 200 OK\\r\\n[^]*\\r\\n\\r\\n${token}\\.[A-Za-z0-9_-]{43}$`));
    expect(proofs[0]).toContain("content-type: application/octet-stream");
    await expect(fetch(`http://127.0.0.1:${httpPort}/`)).rejects.toThrow();
  });

  test("that cannot be had is said, and an apply that moves ports meanwhile is not disturbed", async () => {
    const { createServer } = await import("node:net");
    const holder = createServer().listen(httpPort);
    await new Promise((done) => holder.once("listening", done));
    await turnOn();
    expect((await status(({ problem }) => problem !== undefined)).problem).toContain(String(httpPort));
    await new Promise((done) => holder.close(done));
    let release: () => void = () => undefined;
    authority.behaviour.hold = new Promise((resolve) => (release = resolve));
    await agent.set({ "firekeeper.acme.email": "ops@example.org" });
    const moved = await freePort();
    const moving = agent.set({ "xmpp.socket.plain.port": String(moved) });
    release();
    await moving;
    const client = await XmppClient.connect({ host: "127.0.0.1", port: moved, domain });
    client.drop();
    await status(({ source }) => source === "acme");
    await agent.set({ "xmpp.socket.plain.port": String(core.port) });
  });
});
