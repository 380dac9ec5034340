import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";

/** What users of the replaced systems rely on, as clients see it. */
let core: TestCore;
let agent: TestAgent;
let proxyPort: number;
beforeAll(async () => {
  proxyPort = await freePort();
  core = await startTestCore({
    domain: "example.org",
    users: ["alice", "bob"],
    properties: {
      "xmpp.proxy.enabled": "true",
      "xmpp.proxy.port": String(proxyPort),
      "sasl.mechs": "PLAIN,SCRAM-SHA-1,SCRAM-SHA-256,SCRAM-SHA-256-PLUS",
    },
  });
  agent = await connectAgent(core);
});
afterEach(() => XmppClient.dropAll());
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const where = (port = core.port) => ({ host: "127.0.0.1", port, domain: core.domain });

test.each(["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])(
  "the full address is taken as a user name too, by %s (B2, G5)",
  async (mechanism) => {
    for (const user of ["alice", "alice@example.org"]) {
      const client = await core.login(user, { password: "alice", mechanism });
      expect(client.bare).toBe("alice@example.org");
    }
    await expect(core.login("alice@elsewhere.org", { password: "alice", mechanism })).rejects.toThrow(LoginRefused);
  },
);

test("without a resource one is made, and each is another (B11)", async () => {
  const first = await core.login("alice");
  const second = await core.login("alice");
  expect(first.jid).toMatch(/^alice@example\.org\/.+/);
  expect(second.jid).not.toBe(first.jid);
  await first.ping();
});

test("two clients that ask for the same resource: the conflict policy decides who stays (B11)", async () => {
  const never = "-1";
  await agent.set({ "xmpp.session.conflict-limit": never });
  const first = await core.login("alice", { resource: "home" });
  await expect(core.login("alice", { resource: "home" })).rejects.toThrow(/conflict/);
  await first.ping();
  await agent.set({ "xmpp.session.conflict-limit": "0" });
  const second = await core.login("alice", { resource: "home" });
  expect(second.jid).toBe(first.jid);
  expect(await first.streamError()).toBe("conflict");
  await agent.set({ "xmpp.session.conflict-limit": null });
});

test("a negative priority gets nothing that is sent to the bare address, the full address always works (B12)", async () => {
  const bob = await core.login("bob", { resource: "sender" });
  const priorities = [-128, -1, 0, 5, 127];
  const devices = await Promise.all(
    priorities.map(async (priority) => {
      const device = await core.login("alice", { resource: `p${priority}` });
      device.presence(`<priority>${priority}</priority>`);
      await device.ping();
      return device;
    }),
  );
  const gets = async (type: string, to: string, body: string): Promise<number[]> => {
    bob.send(`<message type='${type}' to='${to}'><body>${body}</body></message>`);
    await bob.ping();
    const got = [];
    for (const [index, device] of devices.entries()) {
      await device.ping();
      const { inbox } = device.connection;
      const mine = inbox.filter((stanza) => stanza.getChildText("body") === body);
      if (mine.length > 0) got.push(priorities[index] as number);
      expect(mine.length).toBeLessThan(2);
    }
    return got;
  };
  // RFC 6121 §8.5.2.1.1: chat to the most available or to all that are not negative, headline to all that are not.
  const chat = await gets("chat", "alice@example.org", "chat");
  expect(chat).toContain(127);
  expect(chat.filter((priority) => priority < 0)).toEqual([]);
  expect(await gets("headline", "alice@example.org", "headline")).toEqual([0, 5, 127]);
  expect(await gets("chat", "alice@example.org/p-128", "to one")).toEqual([-128]);
});

test("encryption is required: before TLS no mechanism is offered and none is taken (B13)", async () => {
  const client = await XmppClient.connect({ ...where(), tls: "none" });
  expect(client.features?.getChild("starttls")?.getChild("required")).toBeDefined();
  expect(client.features?.getChild("mechanisms")).toBeUndefined();
  client.send(
    `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${Buffer.from("\0alice\0alice").toString("base64")}</auth>`,
  );
  const refused = await client.next((stanza) => /failure|error/.test(stanza.getName()), "refusal");
  expect(refused.toString()).toMatch(/encryption-required|policy-violation|not-authorized/);
});

test("TLS at once on the STARTTLS port and a clear stream on the TLS port are recognised by the first byte (G4)", async () => {
  const direct = await core.login("alice", { tls: "direct" });
  await direct.ping();
  const upgraded = await core.login("bob", { tls: "starttls", port: core.directPort });
  await upgraded.ping();
});

test("a file transfer that runs while the external address changes arrives whole; the next offer has the new address (M17)", async () => {
  const alice = await core.login("alice", { resource: "desk" });
  const bob = await core.login("bob", { resource: "phone" });
  const ns = "http://jabber.org/protocol/bytestreams";
  const proxy = `proxy.${core.domain}`;
  const offered = async () => {
    const answer = await alice.get(`<query xmlns='${ns}'/>`, proxy);
    return answer.getChild("query", ns)?.getChild("streamhost")?.attrs.host;
  };
  const name = createHash("sha1").update(`s1${alice.jid}${bob.jid}`).digest("hex");
  const [target, requester] = [await socks(name), await socks(name)];
  await alice.set(`<query xmlns='${ns}' sid='s1'><activate>${bob.jid}</activate></query>`, proxy);
  const file = randomBytes(2_000_000);
  const got: Buffer[] = [];
  target.on("data", (chunk: Buffer) => got.push(chunk));
  requester.write(file.subarray(0, 1_000_000));
  for (const address of ["192.0.2.7", "2001:db8::7", "gateway.example.org"]) {
    await agent.apply({ kind: "setting", setting: "external-address", to: address });
    expect(await offered()).toBe(address);
  }
  requester.end(file.subarray(1_000_000));
  await once(target, "end");
  expect(Buffer.concat(got).equals(file)).toBe(true);
  target.destroy();
});

/** A SOCKS5 connection to the proxy, up to the answer. XEP-0065 §5.3.2. */
async function socks(name: string): Promise<Socket> {
  const socket = connect(proxyPort, "127.0.0.1");
  socket.write(Buffer.from([5, 1, 0]));
  await read(socket, 2);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), Buffer.from(name), Buffer.from([0, 0])]));
  expect((await read(socket, 47))[1]).toBe(0);
  return socket;
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read(bytes);
    if (chunk !== null) return chunk;
    await once(socket, "readable");
  }
}
