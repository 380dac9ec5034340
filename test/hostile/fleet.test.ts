/** The fleet listener, called by everybody but a branch: it denies, stays up, and still hears and tells the branch. */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { listenFleet } from "../../agent/fleet/listen.ts";
import { signatureDigest } from "../../agent/network/signed-request.ts";
import { exchange } from "../support/raw-exchange.ts";

const secret = "n".repeat(64);
let now = Date.UTC(2026, 0, 1);
let listener: Awaited<ReturnType<typeof listenFleet>>;
let heard = 0;

beforeAll(async () => {
  listener = await listenFleet({
    address: "127.0.0.1",
    port: 0,
    secrets: new Map([["north", secret]]),
    last: () => 0,
    heard: async () => {
      heard += 1;
    },
    settings: async () => ({ body: '{"settings":{}}', etag: '"1"' }),
    now: () => now,
    requestMs: 400,
  });
});
afterAll(() => listener.close());
beforeEach(() => {
  // Another minute: no failure of the test before counts.
  now += 60_001;
});

interface Call {
  readonly path?: string;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
}

function signed(body: string, { at = Math.floor(now / 1000), key = secret, branch = "north" } = {}) {
  const digest = signatureDigest(key, String(at), body).toString("hex");
  return { "X-Firekeeper-Branch": branch, "X-Firekeeper-Signature": `t=${at},v1=${digest}` };
}

async function call({ path = "/fleet/settings", method = "GET", body = "", headers = signed(body) }: Call = {}) {
  const sent = method === "GET" || method === "HEAD" ? {} : { body };
  const response = await fetch(`http://127.0.0.1:${listener.port}${path}`, { method, headers, ...sent });
  return { status: response.status, text: await response.text() };
}

const raw = (bytes: string | Buffer) => exchange(listener.port, bytes);

const good = async () => expect(await call()).toEqual({ status: 200, text: '{"settings":{}}' });
const report = { path: "/fleet/report", method: "POST" };
const at = (seconds: number) => Math.floor(now / 1000) + seconds;
const huge = "x".repeat(64 * 1024 + 1);

const bad: readonly (readonly [string, () => Call, number])[] = [
  ["no signature", () => ({ headers: { "X-Firekeeper-Branch": "north" } }), 401],
  ["no branch", () => ({ headers: { ...signed(""), "X-Firekeeper-Branch": "" } }), 401],
  ["a malformed signature", () => ({ headers: { ...signed(""), "X-Firekeeper-Signature": "v1=zz" } }), 401],
  ["another key", () => ({ headers: signed("", { key: "s".repeat(64) }) }), 401],
  ["an unknown branch", () => ({ headers: signed("", { branch: "west" }) }), 401],
  ["a branch named as a method", () => ({ headers: signed("", { branch: "constructor" }) }), 401],
  ["a time long ago", () => ({ headers: signed("", { at: at(-301) }) }), 401],
  ["a time far ahead", () => ({ headers: signed("", { at: at(301) }) }), 401],
  ["settings by POST", () => ({ method: "POST" }), 405],
  ["settings by HEAD", () => ({ method: "HEAD" }), 405],
  ["a report by GET", () => ({ path: "/fleet/report" }), 405],
  ["a report by DELETE", () => ({ ...report, method: "DELETE" }), 405],
  ["another path", () => ({ path: "/" }), 404],
  ["a longer path", () => ({ path: "/fleet/settings/" }), 404],
  ["a query", () => ({ path: "/fleet/settings?x" }), 404],
  ["a path that means the same", () => ({ path: "/fleet/%73ettings" }), 404],
  ["a report without a signature", () => ({ ...report, body: "{}", headers: {} }), 401],
  ["a report that is none", () => ({ ...report, body: "{}" }), 400],
  ["a report that is no JSON", () => ({ ...report, body: "\u0000<xml/>" }), 400],
  ["the signature of a question for settings", () => ({ ...report, body: "" }), 400],
  ["a huge report, signed", () => ({ ...report, body: huge }), 413],
];

test.each(bad)("%s is refused, and the next good call answered", async (_, given, status) => {
  const answer = await call(given());
  expect(answer).toEqual({ status, text: "" });
  expect(heard).toBe(0);
  await good();
});

test("a question for settings carries nothing", async () => {
  const head = Object.entries(signed("x")).map(([name, value]) => `${name}: ${value}\r\n`);
  const answer = await raw(`GET /fleet/settings HTTP/1.1\r\nHost: x\r\n${head.join("")}Content-Length: 1\r\n\r\nx`);
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  await good();
});

test("a huge body is not read to its end, whether its size is told or not", async () => {
  const head = Object.entries(signed("")).map(([name, value]) => `${name}: ${value}\r\n`);
  const start = `POST /fleet/report HTTP/1.1\r\nHost: x\r\n${head.join("")}`;
  expect(await raw(`${start}Content-Length: 1000000000\r\n\r\nxxx`)).toMatch(/^HTTP\/1\.1 413 /);
  const chunk = `8000\r\n${"x".repeat(0x8000)}\r\n`;
  expect(await raw(`${start}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`)).toMatch(/^HTTP\/1\.1 413 /);
  await good();
});

test.each([
  ["what is no HTTP", "\u0016\u0003\u0001\u0000\u0000\r\n\r\n", /^HTTP\/1\.1 400 /],
  ["a stream header", "<?xml version='1.0'?><stream:stream>\r\n\r\n", /^HTTP\/1\.1 400 /],
  ["huge headers", `GET /fleet/settings HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ["two lengths", "POST /fleet/report HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", / 400 /],
  ["a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", /^$/],
  ["a head that never ends", "GET /fleet/settings HTTP/1.1\r\nHost: x\r\n", /^HTTP\/1\.1 408 /],
])("%s is cut off, and the next good call answered", async (_, bytes, answer) => {
  expect(await raw(bytes)).toMatch(answer);
  await good();
});

test("a body that never ends is cut off", async () => {
  const head = Object.entries(signed("x")).map(([name, value]) => `${name}: ${value}\r\n`);
  const start = `POST /fleet/report HTTP/1.1\r\nHost: x\r\n${head.join("")}`;
  expect(await raw(`${start}Content-Length: 10\r\n\r\nx`)).not.toMatch(/ 20[04] /);
  await good();
});

test("after many failures a branch is answered all the same", async () => {
  const statuses: number[] = [];
  for (let tries = 0; tries < 32; tries += 1) statuses.push((await call({ headers: {} })).status);
  expect([statuses[0], statuses[31]]).toEqual([401, 429]);
  await good();
});
