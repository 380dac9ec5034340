/** The webhook of the HTTP store, called by everybody but the host: it denies, stays up, and still hears the host. */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { listenWebhook, type Webhook } from "../../agent/store/http/webhook.ts";
import { exchange } from "../support/raw-exchange.ts";

const secret = "the-secret-of-the-webhook";
let now = Date.UTC(2026, 0, 1);
let webhook: Webhook;
let calls = 0;
const refusals: string[] = [];

beforeAll(async () => {
  webhook = await listenWebhook({
    path: "/hook",
    address: "127.0.0.1",
    port: 0,
    secret: async () => secret,
    called: () => {
      calls += 1;
    },
    refused: (why) => refusals.push(why),
    now: () => now,
    requestMs: 400,
    mostFailures: 8,
  });
});
afterAll(() => webhook.close());
beforeEach(() => {
  // Another minute: no failure of the test before counts.
  now += 60_001;
  calls = 0;
  refusals.length = 0;
});

function signature(body: string, { time = Math.floor(now / 1000), key = secret } = {}): string {
  return `t=${time},v1=${createHmac("sha256", key).update(`${time}.${body}`).digest("hex")}`;
}

interface Call {
  readonly path?: string;
  readonly method?: string;
  readonly body?: string;
  readonly signed?: string | undefined;
}

async function call({ path = "/hook", method = "POST", body = "{}", signed = signature(body) }: Call = {}) {
  const headers: Record<string, string> = signed === "" ? {} : { "X-Firekeeper-Signature": signed };
  const sent = method === "GET" || method === "HEAD" ? {} : { body };
  const response = await fetch(`http://127.0.0.1:${webhook.port}${path}`, { method, headers, ...sent });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

const raw = (bytes: string | Buffer) => exchange(webhook.port, bytes);

test("a signed call is taken, once", async () => {
  const signed = signature('{"id":1}');
  expect(await call({ body: '{"id":1}', signed })).toMatchObject({ status: 202, text: "Looking again.\n" });
  expect(await call({ body: '{"id":1}', signed })).toMatchObject({ status: 409 });
  const second = signature('{"id":2}');
  const old = `v1=${"0".repeat(64)}`;
  expect(await call({ body: '{"id":2}', signed: second.replace(",", `,${old},v0=x,`) })).toMatchObject({ status: 202 });
  // The same digest in capitals is the same call.
  const capitals = second.replace(/v1=.*/, (hex) => `v1=${hex.slice(3).toUpperCase()}`);
  expect(await call({ body: '{"id":2}', signed: capitals })).toMatchObject({ status: 409 });
  expect(calls).toBe(2);
});

const at = (seconds: number) => Math.floor(now / 1000) + seconds;
const bad: readonly (readonly [string, () => Call, number])[] = [
  ["no signature", () => ({ signed: "" }), 401],
  ["a malformed one", () => ({ signed: "v1=zz" }), 401],
  ["another secret", () => ({ signed: signature("{}", { key: "something else" }) }), 401],
  ["another body", () => ({ body: "[]", signed: signature("{}") }), 401],
  ["another time than signed", () => ({ signed: signature("{}").replace(/t=\d+/, `t=${at(1)}`) }), 401],
  ["a time long ago", () => ({ signed: signature("{}", { time: at(-301) }) }), 401],
  ["a time far ahead", () => ({ signed: signature("{}", { time: at(301) }) }), 401],
  ["another method", () => ({ method: "GET" }), 405],
  ["PUT", () => ({ method: "PUT" }), 405],
  ["another path", () => ({ path: "/" }), 404],
  ["a longer path", () => ({ path: "/hook/" }), 404],
  ["a query", () => ({ path: "/hook?x" }), 404],
  ["a path that means the same", () => ({ path: "/%68ook" }), 404],
  ["a huge body, signed", () => ({ body: "x".repeat(64 * 1024 + 1) }), 413],
];

test.each(bad)("%s is refused, and tells nothing", async (_, given, status) => {
  const answer = await call(given());
  expect(answer.status).toBe(status);
  expect(answer.headers.get("connection")).toBe("close");
  expect([calls, refusals]).toEqual([0, [answer.text.trim()]]);
  expect(answer.text).not.toContain(secret);
  expect(await call({ body: `{"after":"${status} ${calls} ${Math.random()}"}` })).toMatchObject({ status: 202 });
});

test("the largest body that is allowed is taken", async () => {
  expect(await call({ body: "x".repeat(64 * 1024) })).toMatchObject({ status: 202 });
});

test("a huge body is not read to its end, whether its size is told or not", async () => {
  const head = `POST /hook HTTP/1.1\r\nHost: x\r\nX-Firekeeper-Signature: ${signature("")}\r\n`;
  expect(await raw(`${head}Content-Length: 1000000000\r\n\r\nxxx`)).toMatch(/^HTTP\/1\.1 413 /);
  const chunk = `8000\r\n${"x".repeat(0x8000)}\r\n`;
  expect(await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(3)}`)).toMatch(/^HTTP\/1\.1 413 /);
  expect(calls).toBe(0);
});

test("heads and bodies that come too slowly are cut off", async () => {
  const head = `POST /hook HTTP/1.1\r\nHost: x\r\nX-Firekeeper-Signature: ${signature("{}")}\r\n`;
  const [slowHead, slowBody] = await Promise.all([raw(head), raw(`${head}Content-Length: 2\r\n\r\n{`)]);
  expect(slowHead).toMatch(/^HTTP\/1\.1 408 /);
  expect(slowBody).toMatch(/^(HTTP\/1\.1 408 |$)/);
  expect([calls, (await call({ body: "after slowness" })).status]).toEqual([0, 202]);
});

const garbage: readonly (string | Buffer)[] = [
  "\r\n\r\n\r\nhello\r\n\r\n",
  "GET\r\n\r\n",
  "POST /hook HTTP/9.9\r\n\r\n",
  "POST /hook HTTP/1.1\r\n\r\n",
  "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
  "POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "POST /hook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  `POST /hook HTTP/1.1\r\nHost: x\r\nA: ${"a".repeat(20_000)}\r\n\r\n`,
  `POST /${"a".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  "POST /hook HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}",
  "CONNECT /hook HTTP/1.1\r\nHost: x\r\n\r\n",
  "POST /hook HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  Buffer.alloc(100_000, 0xff),
];

test("bytes that are no call end their connection and nothing else", async () => {
  const answers = await Promise.all(garbage.map(raw));
  for (const answer of answers) expect(answer).toMatch(/^(HTTP\/1\.1 (400|401|404|405|408|417|429|431) |$)/);
  expect([calls, (await call({ body: "after garbage" })).status]).toEqual([0, 202]);
});

test("a hundred failures are told a few times, and the host is heard all the while", async () => {
  const answers: Awaited<ReturnType<typeof call>>[] = [];
  // A few at once: on a busy machine a hundred would run into the time that one call may take.
  for (let round = 0; round < 25; round++)
    answers.push(...(await Promise.all(Array.from({ length: 4 }, () => call({ signed: "" })))));
  expect(answers.filter(({ status }) => status === 401)).toHaveLength(8);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(92);
  expect(refusals).toHaveLength(8);
  expect((await call({ body: "in between" })).status).toBe(202);
  now += 60_001;
  expect((await call({ signed: "" })).status).toBe(401);
});

test("a port that is taken is named", async () => {
  const options = { path: "/hook", address: "127.0.0.1", port: webhook.port, secret: async () => secret };
  const opening = listenWebhook({ ...options, called: () => {}, refused: () => {} });
  await expect(opening).rejects.toMatchObject({
    code: "store/webhook-port",
    message: expect.stringContaining(`127.0.0.1:${webhook.port} (EADDRINUSE)`),
  });
});
