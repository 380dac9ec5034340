/** Requests of HTTP that could be read in two ways, that never end, or that ask for what is not there. docs/web.md */
import { once } from "node:events";
import { Agent } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, envelope } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { frame, handshake, shake } from "../support/websocket.ts";

const clock = manualClock();
let core: TestCore;
let port: number;

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    clock,
    properties: { "httpbind.enabled": "true", "httpbind.port.plain": String(port), "httpbind.port.secure": "-1" },
  });
});
afterAll(() => core.close());

/** All that comes until the server closes. */
function raw(...pieces: (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      for (const piece of pieces) socket.write(piece);
    });
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", () => undefined);
    socket.once("close", () => resolve(text));
  });
}
const statuses = (text: string): string[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status ?? "");
const host = "Host: localhost\r\n";

test("a length that is said twice, or in two ways, ends the connection and hides no second request", async () => {
  const smuggled = `GET /.well-known/host-meta HTTP/1.1\r\n${host}\r\n`;
  const lengths = [
    `Content-Length: ${smuggled.length}\r\nTransfer-Encoding: chunked\r\n`,
    `Transfer-Encoding: chunked\r\nContent-Length: ${smuggled.length}\r\n`,
    `Content-Length: 5\r\nContent-Length: 6\r\n`,
    `Content-Length: +5\r\n`,
    `Content-Length: 5, 5\r\n`,
    `Transfer-Encoding: identity, chunked, x\r\n`,
    `Transfer-Encoding : chunked\r\n`,
    `Transfer-Encoding:\u000bchunked\r\n`,
  ];
  for (const length of lengths) {
    const text = await raw(`POST /http-bind/ HTTP/1.1\r\n${host}${length}\r\n0\r\n\r\n${smuggled}`);
    expect(statuses(text), length).toEqual(["400"]);
  }
  for (const head of ["Host: a\r\nHost: b\r\n", ""])
    expect(statuses(await raw(`GET /.well-known/host-meta HTTP/1.1\r\n${head}\r\n`)), head).toEqual(["400"]);
});

test("heads without end are cut off", async () => {
  const line = `X-A: ${"a".repeat(1000)}\r\n`;
  expect(statuses(await raw(`GET / HTTP/1.1\r\n${host}${line.repeat(20)}\r\n`))).toEqual(["431"]);
  expect(statuses(await raw(`GET /${"a".repeat(20_000)} HTTP/1.1\r\n${host}\r\n`))).toEqual(["431"]);
  expect(statuses(await raw("\u0000\u0001\u0002 garbage\r\n\r\n"))).toEqual(["400"]);
  expect(statuses(await raw("<stream:stream xmlns='jabber:client'>"))).toEqual(["400"]);
  expect(statuses(await raw(Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0])))).toEqual(["400"]);
});

test("paths that lead out, however they are written, lead nowhere", async () => {
  const dots = ["..", ".", "%2e%2e", "%2E%2e", ".%2e", "%u002e%u002e", "%252e%252e", "..;", "..%00", "%c0%ae%c0%ae"];
  const agent = new Agent({ keepAlive: true });
  const slashes = ["/", "\\", "%2f", "%5c", "//", "%252f"];
  for (const dot of dots)
    for (const slash of slashes)
      for (const path of [
        `/${dot}${slash}${dot}${slash}etc/passwd`,
        `/.well-known/${dot}${slash}ws`,
        `/http-bind/${dot}`,
      ]) {
        const { status, text } = await ask({ host: "127.0.0.1", port, plain: true }, { path, method: "GET", agent });
        expect([404, 405], path).toContain(status);
        expect(text, path).not.toContain("root:");
      }
  agent.destroy();
  for (const target of ["http://evil.example/ws/", "*", "ws", "//ws/", "/ws//", "/.well-known//host-meta"])
    expect(statuses(await raw(`GET ${target} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`))[0], target).toMatch(
      /^40[04]$/,
    );
});

test("what a stranger claims in headers of proxies has no effect", async () => {
  const claims = { forwarded: "for=127.0.0.9;proto=https;host=evil.example", "x-forwarded-proto": "https" };
  const headers = { ...claims, "x-forwarded-for": "127.0.0.9", "x-forwarded-host": "evil.example" };
  const to = { host: "127.0.0.1", port, plain: true };
  const { body } = await ask(to, { body: envelope({ rid: 1, to: "localhost" }), headers });
  expect(body.getChild("features")?.getChildElements()).toEqual([]);
  expect((await ask(to, { method: "GET", path: "/.well-known/host-meta", headers })).text).not.toContain("evil");
});

/** What a connection may still take for what it is about to say; seconds. */
const patience = 30;
/** Until so many connections have just begun to be waited for. */
const waitedFor = (connections: number): Promise<unknown> =>
  expect.poll(() => clock.waits().filter((ms) => ms === patience * 1000).length, { timeout: 10_000 }).toBe(connections);
const pass = (seconds: number): void => clock.pass(seconds * 1000);

async function opened(): Promise<{ socket: Socket; text(): string; closed: Promise<unknown> }> {
  const socket = connect({ port, host: "127.0.0.1" });
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  // Who has said nothing yet is the gate's.
  socket.write("\r\n");
  return { socket, text: () => text, closed };
}

test("a head that comes drop by drop has no more time than one that comes at once", async () => {
  // What earlier tests left open is over.
  pass(patience);
  const slow = await opened();
  slow.socket.write("GET /.well-known/host-meta HTTP/1.1\r\n");
  await waitedFor(1);
  for (const letter of "X-A: ") {
    pass(patience / 10);
    slow.socket.write(letter);
  }
  const other = await opened();
  await waitedFor(1);
  pass(patience / 2);
  await slow.closed;
  expect(slow.text()).toBe("");
  other.socket.write(`GET /.well-known/host-meta HTTP/1.1\r\n${host}\r\n`);
  await once(other.socket, "data");
  expect(other.text()).toContain("200 OK");
  // Nor has the next one on the same connection, whoever is silent before it.
  await waitedFor(1);
  pass(patience);
  await other.closed;
});

test("a body that comes drop by drop is not waited for, however long it is to be", async () => {
  const slow = await opened();
  await waitedFor(1);
  pass(patience / 2);
  slow.socket.write(`POST /http-bind/ HTTP/1.1\r\n${host}Content-Length: 10000\r\n\r\n<body`);
  await waitedFor(1);
  for (let part = 0; part < 9; part++) {
    slow.socket.write(" ".repeat(100));
    pass(patience / 10);
  }
  pass(patience / 10);
  await slow.closed;
  const chunked = await opened();
  await waitedFor(1);
  pass(1);
  chunked.socket.write(`POST /http-bind/ HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n1\r\n<\r\n`);
  await waitedFor(1);
  pass(patience);
  await chunked.closed;
  expect(slow.text() + chunked.text()).toBe("");
});

test("who waits for an answer, or speaks WebSocket, is not cut off with them", async () => {
  const bosh = await opened();
  const request = (body: string): string =>
    `POST /http-bind/ HTTP/1.1\r\n${host}Content-Length: ${body.length}\r\n\r\n${body}`;
  bosh.socket.write(request(envelope({ rid: 1, to: "localhost", hold: 1, wait: 50, ver: "1.11" })));
  await once(bosh.socket, "data");
  const sid = /sid=['"]([^'"]+)/.exec(bosh.text())?.[1] ?? "";
  await waitedFor(1);
  bosh.socket.write(request(envelope({ rid: 2, sid })));
  await waitedFor(0);
  const web = await opened();
  await waitedFor(1);
  expect((await shake(web.socket, handshake())).status).toBe(101);
  await waitedFor(0);
  pass(patience + 1);
  web.socket.resume();
  web.socket.write(frame(9, "here"));
  await once(web.socket, "data");
  expect(web.text()).toContain("here");
  const answered = once(bosh.socket, "data");
  pass(patience - 10);
  await answered;
  expect(statuses(bosh.text())).toEqual(["200", "200"]);
  // Until somebody logs in, a WebSocket has as long as any other stream.
  pass(patience);
  await web.closed;
  expect(web.text()).toContain("connection-timeout");
  bosh.socket.destroy();
});
