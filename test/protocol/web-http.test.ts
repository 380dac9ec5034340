/** The HTTP front of the ports for browsers: proxies that are believed, and what every answer carries. docs/web.md */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, envelope } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let securePort: number;
const proxy = "127.0.0.9";

beforeAll(async () => {
  [port, securePort] = [await freePort(), await freePort()];
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": String(port),
      "httpbind.port.secure": String(securePort),
      "httpbind.forwarded.enabled": "true",
      "httpbind.forwarded.trusted.proxies": `${proxy},127.0.0.10`,
    },
  });
});
afterAll(() => core.close());

/** Whether a login is offered to who asks from `from` with these headers. */
async function offered(headers: Record<string, string>, from = proxy, at = port): Promise<boolean> {
  const to = { host: "127.0.0.1", port: at, plain: at === port, from };
  const { body } = await ask(to, { body: envelope({ rid: 1, to: "localhost" }), headers });
  return body.getChild("features")?.getChild("mechanisms") !== undefined;
}

test("TLS at a proxy counts if the proxy is one of ours, and nobody else is believed", async () => {
  const claims: Record<string, string>[] = [
    { forwarded: "for=192.0.2.1;proto=https" },
    { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https" },
  ];
  for (const claim of claims) {
    expect(await offered(claim)).toBe(true);
    expect(await offered(claim, "127.0.0.1")).toBe(false);
  }
  expect(await offered({ "x-forwarded-proto": "https" })).toBe(true);
  expect(await offered({})).toBe(false);
  expect(await offered({ forwarded: "for=192.0.2.1;proto=http" })).toBe(false);
  // The browser's side counts, not ours.
  expect(await offered({ forwarded: "for=192.0.2.1;proto=http" }, proxy, securePort)).toBe(false);
  // What a client wrote in front of the proxy's own word is hearsay.
  expect(await offered({ forwarded: "for=192.0.2.9;proto=https, for=192.0.2.1;proto=http" })).toBe(false);
  expect(await offered({ "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https, http" })).toBe(false);
  await core.set({ "httpbind.forwarded.enabled": "false" });
  expect(await offered(claims[0] ?? {})).toBe(false);
  await core.set({ "httpbind.forwarded.enabled": "true" });
});

test("the client's address is that which the last of our proxies saw", async () => {
  const seen = async (headers: Record<string, string>, from = proxy): Promise<string | undefined> => {
    const where = {
      host: "127.0.0.1",
      port,
      domain: "localhost",
      via: "websocket",
      tls: "none",
      from,
      headers,
    } as const;
    const alice = await XmppClient.login({ ...where, user: "alice", password: "alice" });
    const [session] = [...core.server.sessions.all()].filter(({ address }) => address === alice.jid);
    const address = session?.carrier?.remote.address;
    await alice.close();
    return address;
  };
  const secure = { "x-forwarded-proto": "https" };
  expect(await seen({ forwarded: 'for="[2001:db8::1]:4711";proto=https' })).toBe("2001:db8::1");
  expect(await seen({ ...secure, "x-forwarded-for": "198.51.100.7, 192.0.2.1, 127.0.0.10" })).toBe("192.0.2.1");
  expect(await seen({ ...secure, "x-forwarded-for": "192.0.2.1:80" })).toBe("192.0.2.1");
  expect(await seen({ forwarded: "for=unknown;proto=https" })).toBe(proxy);
  // A proxy that writes one kind of headers lets the other through, as the client wrote it.
  const others: Record<string, string>[] = [{ "x-forwarded-for": "192.0.2.4" }, { "x-forwarded-proto": "http" }];
  for (const more of others)
    await expect(seen({ forwarded: "for=192.0.2.3;proto=https", ...more })).rejects.toThrow("400");
});

test("what every answer carries, and what the properties change of it", async () => {
  const none = () => ask({ host: "127.0.0.1", port, plain: true }, { method: "GET", path: "/none" });
  const usual = await none();
  expect(usual.headers["content-security-policy"]).toContain("default-src 'none'");
  expect(usual.headers["x-content-type-options"]).toBe("nosniff");
  expect(usual.headers["set-cookie"]).toBeUndefined();
  await core.set({ "httpbind.CSP.responsevalue": "default-src 'self'" });
  expect((await none()).headers["content-security-policy"]).toBe("default-src 'self'");
  await core.set({ "httpbind.CSP.enabled": "false" });
  expect((await none()).headers["content-security-policy"]).toBeUndefined();
  await core.set({ "httpbind.CSP.enabled": null, "httpbind.CSP.responsevalue": null });
});

test("a request may come in pieces, after asking, and several on one connection", async () => {
  const socket = connect({ host: "127.0.0.1", port });
  socket.setEncoding("utf8");
  let text = "";
  const until = async (pattern: RegExp): Promise<void> => {
    while (!pattern.test(text)) text += String((await once(socket, "data"))[0]);
  };
  const head =
    "POST /http-bind/ HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
  socket.write(head);
  await until(/^HTTP\/1\.1 100/);
  const body = envelope({ rid: 1, to: "localhost" });
  const [first, second] = [body.slice(0, 9), body.slice(9)];
  socket.write(`${first.length.toString(16)}\r\n${first}\r\n`);
  socket.write(`${second.length.toString(16)}\r\n${second}\r\n0\r\n\r\n`);
  await until(/<\/body>/);
  text = "";
  socket.write(
    "HEAD /.well-known/host-meta HTTP/1.1\r\nHost: localhost\r\n\r\nOPTIONS /http-bind/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
  );
  await until(/HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 204 [\s\S]*\r\n\r\n/);
  expect(text).not.toContain("<XRD");
  expect(text).toMatch(/allow: GET, POST, HEAD, OPTIONS/i);
  socket.destroy();
});
