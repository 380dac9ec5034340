import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { connectAgent } from "../support/agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0065 §5.3, §6
const ns = "http://jabber.org/protocol/bytestreams";
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
let port: number;
beforeEach(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: { "xmpp.proxy.enabled": "true", "xmpp.proxy.port": String(port) },
  });
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
});
afterEach(() => core.close());

const hash = (sid: string, from: string, to: string) =>
  createHash("sha1")
    .update(sid + from + to)
    .digest("hex");

async function socks(name: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(Buffer.from([5, 1, 0]));
  expect([...(await read(socket, 2))]).toEqual([5, 0]);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), Buffer.from(name), Buffer.from([0, 0])]));
  return socket;
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read(bytes);
    if (chunk !== null) return chunk;
    await once(socket, "readable");
  }
}

const activate = (sid: string, target: string) =>
  alice.set(`<query xmlns='${ns}' sid='${sid}'><activate>${target}</activate></query>`, "proxy.localhost");

test("a file goes through the relay, whole and in both directions", async () => {
  const name = hash("s1", alice.jid, bob.jid);
  const target = await socks(name);
  const requester = await socks(name);
  for (const socket of [target, requester])
    expect((await read(socket, 47)).subarray(0, 5)).toEqual(Buffer.from([5, 0, 0, 3, 40]));
  expect((await activate("s1", bob.jid)).attrs.type).toBe("result");
  const file = randomBytes(3_000_000);
  requester.end(file);
  const got: Buffer[] = [];
  target.on("data", (chunk) => got.push(chunk));
  await once(target, "end");
  expect(Buffer.concat(got).equals(file)).toBe(true);
  target.destroy();
});

test("the address is told, and follows the property at once", async () => {
  const hosts = async () => {
    const answer = await alice.get(`<query xmlns='${ns}'/>`, "proxy.localhost");
    return answer
      .getChild("query", ns)
      ?.getChildren("streamhost")
      .map((each) => each.attrs);
  };
  expect(await hosts()).toEqual([{ jid: "proxy.localhost", host: "127.0.0.1", port: String(port) }]);
  await core.set({ "xmpp.proxy.externalip": "2001:db8::7" });
  expect((await hosts())?.[0]?.host).toBe("2001:db8::7");
});

test("the external address changes during a transfer: it completes, and the next offer has the new address", async () => {
  const hosts = async () => {
    const answer = await alice.get(`<query xmlns='${ns}'/>`, "proxy.localhost");
    return answer
      .getChild("query", ns)
      ?.getChildren("streamhost")
      .map(({ attrs }) => attrs.host);
  };
  const move = (to: string) => agent.apply({ kind: "setting", setting: "external-address", to });
  const agent = await connectAgent(core);
  onTestFinished(() => agent.target.close());
  await move("198.51.100.7");
  expect(await hosts()).toEqual(["198.51.100.7"]);
  const name = hash("moving", alice.jid, bob.jid);
  const [target, requester] = [await socks(name), await socks(name)];
  for (const socket of [target, requester]) await read(socket, 47);
  expect((await activate("moving", bob.jid)).attrs.type).toBe("result");
  const file = randomBytes(2_000_000);
  const got: Buffer[] = [];
  requester.write(file.subarray(0, 1_000_000));
  const [first] = (await once(target, "data")) as [Buffer];
  got.push(first);
  target.on("data", (chunk) => got.push(chunk));
  await move("203.0.113.9, 2001:db8::9");
  // Clients try them in this order.
  expect(await hosts()).toEqual(["203.0.113.9", "2001:db8::9"]);
  requester.end(file.subarray(1_000_000));
  await once(target, "end");
  expect(Buffer.concat(got).equals(file)).toBe(true);
  target.destroy();
});

test.each(["2001:db8::9, 203.0.113.9", "203.0.113.9, 198.51.100.7", "chat.example.org, 203.0.113.9", "auto"])(
  "%s is no external address for the server",
  async (text) => {
    const agent = await connectAgent(core);
    onTestFinished(() => agent.target.close());
    const wish = { settings: { properties: {}, externalAddress: text }, groups: [], supervisors: [], accounts: [] };
    const answer = (await agent.target.canonical(wish)).settings.find(({ setting }) => setting === "external-address");
    expect(answer?.rejected?.code).toBe("settings/external-address");
  },
);

test("nothing flows that no local session has activated", async () => {
  const lonely = await socks(hash("s2", alice.jid, bob.jid));
  await read(lonely, 47);
  expect((await activate("s2", bob.jid)).getChild("error")?.getChild("item-not-found")).toBeTruthy();
  // Somebody else's stream cannot be activated: the hash binds requester and target.
  const other = await socks(hash("s2", alice.jid, bob.jid));
  await read(other, 47);
  const foreign = await bob.set(
    `<query xmlns='${ns}' sid='s2'><activate>${alice.jid}</activate></query>`,
    "proxy.localhost",
  );
  expect(foreign.attrs.type).toBe("error");
  lonely.destroy();
  other.destroy();
});

test.each([
  ["not SOCKS5", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["no method we take", Buffer.from([5, 1, 2])],
  [
    "a name that is no hash",
    Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 3, 9]), Buffer.from("localhost"), Buffer.from([0, 80])]),
  ],
  ["an IPv4 address", Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80])],
  ["BIND", Buffer.from([5, 1, 0, 5, 2, 0, 3, 1, 65, 0, 0])],
  ["endless methods", Buffer.alloc(5000, 5)],
])("%s is refused and closed", async (_name, bytes) => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  socket.write(bytes);
  await once(socket, "close");
  await alice.ping();
});
