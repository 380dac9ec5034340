/** Behind a TCP proxy that speaks the PROXY protocol: the client it names is the one that counts, and only its word is taken. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { ListenSpec } from "../../xmpp-core/frames.ts";
import { inProcessGate } from "../../xmpp-core/transport/in-process.ts";
import { binaryHeader, makeCertificate, Peer, recorder } from "./gate-fixture.ts";

const proxy = "127.0.0.9";
const header = (client: string) => `PROXY TCP4 ${client} 198.51.100.7 50000 5222\r\n`;
const spec: ListenSpec = {
  name: "c2s",
  port: 0,
  addresses: ["127.0.0.1"],
  tls: "detect",
  proxies: ["127.0.0.8-127.0.0.9"],
  limits: { perAddress: 2 },
};
let certificate: Awaited<ReturnType<typeof makeCertificate>>;
beforeAll(async () => {
  certificate = await makeCertificate("example.org");
});

async function serve() {
  const refused: Record<string, unknown>[] = [];
  const report = (_level: string, event: string, fields: Record<string, unknown> = {}) => {
    if (event === "connections-refused") refused.push(fields);
  };
  const { gate, close } = await inProcessGate({ handshakeMs: 300, report });
  onTestFinished(() => close());
  await gate.certificates({ certificates: [certificate], default: "example.org" });
  const core = recorder();
  gate.onConnection("c2s", core.accept);
  const { port } = await gate.listen({ ...spec, limits: { ...spec.limits, reportEveryMs: 0 } });
  gate.ready();
  const dial = async (from: string): Promise<Peer> => {
    const socket = connect({ port, host: "127.0.0.1", localAddress: from });
    await once(socket, "connect");
    return new Peer(socket);
  };
  return { gate, port, dial, refused, ...core };
}

const opened: Socket[] = [];
afterAll(() => {
  for (const socket of opened) socket.destroy();
});

test("the client that the proxy names is the one the server knows, and its first bytes are its own", async () => {
  const { dial, seen } = await serve();
  const peer = await dial(proxy);
  peer.socket.write(`${header("192.0.2.1")}hello`);
  await peer.until("hello");
  expect(seen[0]?.connection.remote).toEqual({ address: "192.0.2.1", port: 50000 });
  expect(seen[0]?.connection.local).toEqual({ address: "198.51.100.7", port: 5222 });
  expect(Buffer.concat(seen[0]?.chunks ?? []).toString()).toBe("hello");
});

test("byte by byte, with the hello behind it, and before direct TLS", async () => {
  const { port, dial, seen, until } = await serve();
  const slow = await dial(proxy);
  for (const byte of `${header("192.0.2.2")}hello`) {
    slow.socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await slow.until("hello");
  const socket = connect({ port, host: "127.0.0.1", localAddress: proxy });
  opened.push(socket);
  await once(socket, "connect");
  const binary = Buffer.from([192, 0, 2, 3, 198, 51, 100, 7, 0xdc, 4, 0x14, 0x66]);
  socket.write(binaryHeader(0x21, 0x11, binary));
  const tls = connectTls({ socket, rejectUnauthorized: false });
  await once(tls, "secureConnect");
  tls.write("direct");
  await until(() => seen[1]?.chunks.length === 1);
  expect(seen[1]?.connection.tls?.version).toBe("TLSv1.3");
  expect(seen.map(({ connection }) => connection.remote.address)).toEqual(["192.0.2.2", "192.0.2.3"]);
});

test("the limits are the client's: one that has too many is refused, another behind the same proxy is not", async () => {
  const { dial, refused } = await serve();
  const clients = await Promise.all(
    ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(async (client) => {
      const peer = await dial(proxy);
      peer.socket.write(`${header(client)}x`);
      return peer;
    }),
  );
  const spoken = await Promise.all(clients.map((peer) => peer.until("x").catch(() => "")));
  expect(spoken.filter((text) => text === "x")).toHaveLength(3);
  expect(spoken[3]).toBe("x");
  expect(refused).toMatchObject([{ listener: "c2s", address: "192.0.2.1", limit: "per-address", count: 1 }]);
});

test("a proxy that speaks for itself is known by its own address", async () => {
  const { dial, seen } = await serve();
  for (const start of [binaryHeader(0x20, 0x00, Buffer.alloc(0)), Buffer.from("PROXY UNKNOWN\r\n")]) {
    const peer = await dial(proxy);
    peer.socket.write(Buffer.concat([start, Buffer.from("check")]));
    await peer.until("check");
  }
  expect(seen.map(({ connection }) => connection.remote.address)).toEqual([proxy, proxy]);
});

test("somebody who is no trusted proxy is known by his own address, and his header is input like any other", async () => {
  const { dial, seen } = await serve();
  const spoof = await dial("127.0.0.5");
  spoof.socket.write(`${header("192.0.2.1")}hello`);
  await spoof.until("hello");
  expect(seen[0]?.connection.remote.address).toBe("127.0.0.5");
  expect(spoof.text).toBe(`${header("192.0.2.1")}hello`);
});

test.each([
  ["no header", "<stream:stream>", "garbled"],
  ["a garbled one", "PROXY TCP4 192.0.2.1\r\n", "garbled"],
  ["an endless one", `PROXY UNKNOWN ${"f".repeat(200)}`, "garbled"],
  ["an oversized binary one", binaryHeader(0x21, 0x11, Buffer.alloc(60_000)), "garbled"],
  ["half a one", "PROXY TCP4 192.0", "late"],
  ["nothing", "", "late"],
])("from the proxy, %s is no connection, and counted", async (_name, bytes, why) => {
  const { dial, seen, refused } = await serve();
  const peer = await dial(proxy);
  peer.socket.write(bytes);
  await peer.ended();
  expect(peer.text).toBe("");
  expect(seen).toEqual([]);
  expect(refused).toMatchObject([{ address: proxy, limit: `proxy-header-${why}`, count: 1 }]);
});

test("the list of proxies changes while the listener stands, without a new port", async () => {
  const { gate, port, dial, seen } = await serve();
  expect((await gate.listen({ ...spec, port, proxies: ["127.0.0.5"] })).port).toBe(port);
  const now = await dial("127.0.0.5");
  now.socket.write(`${header("192.0.2.1")}now`);
  await now.until("now");
  const former = await dial(proxy);
  former.socket.write("plain");
  await former.until("plain");
  expect(seen.map(({ connection }) => connection.remote.address)).toEqual(["192.0.2.1", proxy]);
});
