/** What attackers send to the agent's metrics. */
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readMetricsAddress } from "../../agent/metrics/address.ts";
import { serveMetrics } from "../../agent/metrics/listener.ts";
import { freePort } from "../support/core.ts";

let port: number;
let asked = 0;
let stop: () => Promise<void>;
beforeAll(async () => {
  port = await freePort();
  stop = await serveMetrics(
    { address: "127.0.0.1", port, text: "here" },
    {
      contentType: "text/plain",
      async metrics() {
        asked++;
        return "numbers\n";
      },
      obstacles: async () => [],
    },
    { headersMs: 200, idleMs: 300, connections: 4 },
  );
});
afterAll(() => stop());

/** All that comes until the other side ends it. */
function raw(bytes: string, onOpen: (socket: ReturnType<typeof connect>) => void = () => {}): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(bytes);
      onOpen(socket);
    });
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
}
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
const ask = async (method: string, path: string, more = "") =>
  statusOf(await raw(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${more}\r\n`));

test("nothing but three paths answers, by GET alone", async () => {
  for (const path of ["/metrics", "/health/live", "/health/ready"]) {
    expect(await ask("GET", path), path).toBe(200);
    for (const method of ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
      expect(await ask(method, path), `${method} ${path}`).toBe(405);
  }
  const others = ["/", "/metrics/", "/metrics?x=1", "//metrics", "/METRICS", "/./metrics", "/health/../metrics", "*"];
  for (const path of [...others, "/%6detrics", "http://x/metrics", "/metrics%00", "/health"])
    expect([400, 404], path).toContain(await ask("GET", path));
});

test("no body is read, and what could be one is not taken for a request", async () => {
  const before = asked;
  const smuggled = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  const answer = await raw(`GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`);
  expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 405"]);
  const chunked = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
  expect([400, 405]).toContain(await ask("GET", "/metrics", chunked));
  expect(asked).toBe(before);
});

test("headers are bounded", async () => {
  expect(await ask("GET", "/metrics", `X: ${"a".repeat(9_000)}\r\n`)).toBe(431);
  expect(await ask("GET", `/${"a".repeat(9_000)}`)).toBe(431);
});

test.each([
  ["says nothing", ""],
  ["stops within the first line", "GET /met"],
  ["stops within the headers", "GET /metrics HTTP/1.1\r\nHost: x\r\nX: "],
  ["asks and stays", "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"],
])("who %s is sent away", async (_what, bytes) => {
  expect(await raw(bytes)).not.toContain("numbers");
});

test("who sends byte by byte is sent away, too", async () => {
  let timer: NodeJS.Timeout | undefined;
  await raw("GET /metrics HTTP/1.1\r\nX: ", (socket) => {
    timer = setInterval(() => socket.write("a"), 20);
  });
  clearInterval(timer);
});

test("many connections at once are bounded, and afterwards it answers", async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, () => raw("GET /metr")));
  expect(answers.join("")).not.toContain("numbers");
  expect(await ask("GET", "/metrics")).toBe(200);
});

test.each([
  "9464",
  ":9464",
  "localhost:9464",
  "127.0.0.1",
  "127.0.0.1:0",
  "127.0.0.1:65536",
  "127.1:9464",
  "[127.0.0.1]:9464",
  "::1:9464",
  "127.0.0.1:9464/x",
])("%s is no address to serve at", (text) => {
  expect(readMetricsAddress(text)).toBeUndefined();
});

test("an address of either family is one", () => {
  expect(readMetricsAddress("127.0.0.1:9464")).toMatchObject({ address: "127.0.0.1", port: 9464 });
  expect(readMetricsAddress("[::1]:9464")).toMatchObject({ address: "::1", port: 9464 });
});
