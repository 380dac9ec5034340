/** Our STUN client against a server that answers as it is told. RFC 8489; test vectors of RFC 5769 */
import { createSocket } from "node:dgram";
import { expect, onTestFinished, test } from "vitest";
import { askStun } from "../../agent/network/stun-client.ts";
import { bindingRequest, readBindingAnswer } from "../../agent/network/stun-message.ts";
import { readStunServers } from "../../agent/network/stun-servers.ts";
import { readVantagePoints } from "../../agent/network/vantage.ts";
import { mapped, stunAnswer, stunServer } from "../support/stun-server.ts";

const id = Buffer.from("b7e7a701bc34d686fa87dfae", "hex");
const vector = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");

// RFC 5769 §2.2 and §2.3: SOFTWARE, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT.
const ipv4Answer = vector(`0101003c 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220 00200008 0001a147e112a643
  00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96`);
const ipv6Answer = vector(`01010048 2112a442 b7e7a701bc34d686fa87dfae
  8022000b 7465737420766563746f7220 00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
  00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c`);

test("the answers of RFC 5769 are read", () => {
  expect(readBindingAnswer(ipv4Answer, id)).toEqual({ is: "address", address: "192.0.2.1", port: 32853 });
  expect(readBindingAnswer(ipv6Answer, id)).toEqual({
    is: "address",
    address: "2001:db8:1234:5678:11:2233:4455:6677",
    port: 32853,
  });
});

const request = bindingRequest(id);
const changed = (bytes: Buffer, at: number) => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};
test.each([
  ["another cookie", changed(ipv4Answer, 5)],
  ["another transaction", changed(ipv4Answer, 12)],
  ["another method", changed(ipv4Answer, 1)],
  ["a length that is not its own", ipv4Answer.subarray(0, 60)],
  ["an attribute that is longer than the message", stunAnswer(request, [[0x0020, Buffer.alloc(8)]]).fill(255, 22, 24)],
  ["our own request", request],
  ["nothing", Buffer.alloc(0)],
])("%s is no answer", (_name, bytes) => {
  expect(readBindingAnswer(bytes, id)).toBeUndefined();
});

test.each([
  ["MAPPED-ADDRESS of an old server", [mapped("192.0.2.9", 1)], { is: "address", address: "192.0.2.9", port: 1 }],
  [
    "XOR-MAPPED-ADDRESS before MAPPED-ADDRESS",
    [mapped("10.0.0.1", 1), mapped("192.0.2.9", 2, request)],
    { is: "address", address: "192.0.2.9", port: 2 },
  ],
  ["no address", [], { is: "error", why: "it answers without an address" }],
  [
    "an unknown attribute that must be understood",
    [[0x7001, Buffer.alloc(0)], mapped("192.0.2.9", 1)],
    { is: "error" },
  ],
  ["one that need not be", [[0x9001, Buffer.alloc(3)], mapped("192.0.2.9", 1)], { is: "address" }],
] as const)("%s", (_name, attributes, found) => {
  expect(readBindingAnswer(stunAnswer(request, attributes), id)).toMatchObject(found);
});

async function serve(answer: Parameters<typeof stunServer>[0], host?: string) {
  const server = await stunServer(answer, host);
  onTestFinished(() => server.close());
  return server;
}

test("the server's view of our address comes back, over IPv4 and IPv6", async () => {
  for (const host of ["127.0.0.1", "::1"]) {
    const server = await serve((asked) => stunAnswer(asked, [mapped("192.0.2.7", 9, asked)]), host);
    expect(await askStun({ address: host, port: server.port })).toBe("192.0.2.7");
    expect(server.requests[0]?.subarray(0, 8)).toEqual(Buffer.from("000100002112a442", "hex"));
  }
});

test("a refusal is told with its reason", async () => {
  const reason = Buffer.concat([Buffer.from([0, 0, 4, 1]), Buffer.from("Unauthorized")]);
  const server = await serve((asked) => stunAnswer(asked, [[0x0009, reason]], 0x0111));
  await expect(askStun({ address: "127.0.0.1", port: server.port })).rejects.toThrow(
    "it refuses with 401 Unauthorized",
  );
});

test("it asks seven times at the times of RFC 8489 §6.2.1, with one transaction, then gives up", async () => {
  const waits: number[] = [];
  let due: (() => void) | undefined;
  const after = (ms: number, work: () => void) => {
    waits.push(ms);
    due = work;
    return () => {
      due = undefined;
    };
  };
  // The next wait is over when the server has heard the last request.
  const server = await serve(() => {
    due?.();
    return undefined;
  });
  await expect(askStun({ address: "127.0.0.1", port: server.port }, { after })).rejects.toThrow("it does not answer");
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 8000]);
  expect(new Set(server.requests.map((bytes) => bytes.toString("hex"))).size).toBe(1);
  expect(server.requests).toHaveLength(7);
});

test("an answer from elsewhere does not count, even with the right transaction", async () => {
  const spoofer = createSocket("udp4");
  onTestFinished(() => void spoofer.close());
  let heard = 0;
  const server = await serve((asked, from) => {
    heard++;
    spoofer.send(stunAnswer(asked, [mapped("203.0.113.66", 1, asked)]), from.port, from.address);
    // The true one comes behind it.
    return heard === 2 ? stunAnswer(asked, [mapped("192.0.2.7", 1, asked)]) : undefined;
  });
  expect(await askStun({ address: "127.0.0.1", port: server.port })).toBe("192.0.2.7");
});

test("nobody there, and an answer that is not awaited any longer", async () => {
  const server = await stunServer(() => undefined);
  const ending = new AbortController();
  const asked = askStun({ address: "127.0.0.1", port: server.port }, { signal: ending.signal });
  ending.abort();
  await expect(asked).rejects.toThrow("it has not answered in time");
  server.close();
  await expect(askStun({ address: "127.0.0.1", port: server.port })).rejects.toThrow("it cannot be asked");
});

test("a server to which there is no way is a failed question, nothing worse", async () => {
  for (const address of ["2001:db8::1", "255.255.255.255", "fe80::1"])
    await expect(askStun({ address, port: 3478 }, { signal: AbortSignal.timeout(200) })).rejects.toThrow(/^it /);
});

test.each([
  ["stun.example.org", [{ host: "stun.example.org", port: 3478 }]],
  [
    "192.0.2.1:3479, [2001:db8::1]:19302",
    [
      { host: "192.0.2.1", port: 3479 },
      { host: "2001:db8::1", port: 19302 },
    ],
  ],
  ["2001:db8::1", [{ host: "2001:db8::1", port: 3478 }]],
  ["a b:0", undefined],
  ["stun:stun.example.org", undefined],
  ["[192.0.2.1]", undefined],
  ["192.0.2.256", undefined],
  ["", undefined],
])("FIREKEEPER_STUN=%s", (text, servers) => {
  expect(readStunServers(text)).toEqual(servers);
});

test.each([
  ["socks5://vps.example.org", [{ name: "socks5://vps.example.org", host: "vps.example.org", port: 1080 }]],
  ["socks5://[2001:db8::1]:99", [{ name: "socks5://[2001:db8::1]:99", host: "2001:db8::1", port: 99 }]],
  ["http://vps.example.org", undefined],
  ["", []],
])("FIREKEEPER_PROBE_FROM=%s", (text, points) => expect(readVantagePoints(text)).toEqual(points));
