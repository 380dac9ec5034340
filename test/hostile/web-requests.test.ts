/** Requests of HTTP that could be read in two ways, that never end, or that ask for what is not there. docs/web.md */
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, envelope } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let port: number;

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
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
  const slashes = ["/", "\\", "%2f", "%5c", "//", "%252f"];
  for (const dot of dots)
    for (const slash of slashes)
      for (const path of [
        `/${dot}${slash}${dot}${slash}etc/passwd`,
        `/.well-known/${dot}${slash}ws`,
        `/http-bind/${dot}`,
      ]) {
        const { status, text } = await ask({ host: "127.0.0.1", port, plain: true }, { path, method: "GET" });
        expect([404, 405], path).toContain(status);
        expect(text, path).not.toContain("root:");
      }
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
