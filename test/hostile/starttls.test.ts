import { connect } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { rawConnection } from "./doors.ts";

/** The way into TLS: nothing that was said in clear counts behind it. RFC 6120 §5, §13.9; CVE-2011-0411 and its kind. */

let core: TestCore;
let bystander: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  bystander = await core.login("bob");
});
afterEach(() => bystander.none("message"));
afterAll(() => core.close());

const opening =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
const starttls = `<starttls xmlns='${ns.tls}'/>`;
const message = "<message to='bob@localhost'><body>injected</body></message>";
const plain = `<auth xmlns='${ns.sasl}' mechanism='PLAIN'>${Buffer.from("\0alice\0alice").toString("base64")}</auth>`;
const at = (port: number) => ({ host: "127.0.0.1", port, domain: "localhost" });

/** A stream in clear that has seen the features. */
async function greeted() {
  const raw = await rawConnection(core.port, "clear");
  const features = new Promise<void>((resolve) => {
    let seen = "";
    raw.socket.on("data", (chunk) => {
      seen += chunk.toString();
      if (seen.includes("</stream:features>")) resolve();
    });
  });
  raw.write(opening);
  await features;
  return raw;
}

describe("what is glued behind <starttls/>", () => {
  test.each([
    ["a stanza", message],
    ["a login", plain],
    ["a new stream and a login", `${opening}${plain}`],
    ["half a stanza", "<message to='bob@loc"],
    ["a second <starttls/>", starttls],
    ["whitespace", "\n"],
  ])("%s in the same packet ends the connection, and nothing of it is answered", async (_name, glued) => {
    const raw = await greeted();
    raw.write(`${starttls}${glued}`);
    const everything = await raw.everything;
    expect(everything.slice(everything.indexOf("</stream:features>"))).toBe("</stream:features>");
  });

  test.each([
    ["a stanza", message],
    ["a login", plain],
  ])("%s in a packet of its own, before the answer is read, never reaches the stream", async (_name, glued) => {
    for (let round = 0; round < 20; round++) {
      const raw = await greeted();
      raw.write(starttls);
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      raw.write(glued);
      expect(await raw.everything).not.toMatch(/success|challenge|failure|<message/);
    }
  });

  test("a handshake sent along with <starttls/> is not taken for one that followed <proceed/>", async () => {
    const raw = await greeted();
    raw.write(Buffer.concat([Buffer.from(starttls), Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196])]));
    expect(await raw.everything).not.toContain("proceed");
  });
});

describe("instead of a ClientHello", () => {
  test.each([
    ["a stanza", message],
    ["a login", plain],
    ["zeros", Buffer.alloc(1000)],
    ["a handshake record of garbage", Buffer.concat([Buffer.from([0x16, 3, 1, 1, 0]), Buffer.alloc(256, 0x61)])],
    ["an SSL 2 hello", Buffer.concat([Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 5, 0, 0, 0, 16]), Buffer.alloc(60)])],
  ])("%s ends the connection", async (_name, bytes) => {
    const raw = await greeted();
    const proceed = new Promise<void>((resolve) =>
      raw.socket.on("data", (chunk) => chunk.includes("<proceed") && resolve()),
    );
    raw.write(starttls);
    await proceed;
    raw.write(bytes);
    // A TLS alert may come; XML in clear may not.
    expect((await raw.everything).split("<proceed")[1]).not.toMatch(/<\w/);
  });
});

describe("<starttls/>", () => {
  test("inside of TLS fails and ends the stream", async () => {
    for (const [tls, port] of [
      ["starttls", core.port],
      ["direct", core.directPort],
    ] as const) {
      const client = await XmppClient.connect({ ...at(port), tls });
      expect(client.features?.getChild("starttls")).toBeUndefined();
      client.send(starttls);
      expect((await client.next("failure")).getNS()).toBe(ns.tls);
      expect((await client.ended).streamEnded).toBe(true);
    }
  });

  test("before the stream header is no stream", async () => {
    const raw = await rawConnection(core.port, "clear");
    raw.write(starttls);
    expect(await raw.everything).toContain("<invalid-namespace ");
  });

  test("of another namespace is none", async () => {
    const client = await XmppClient.connect({ ...at(core.port), tls: "none" });
    client.send("<starttls xmlns='urn:x'/>");
    expect(await client.streamError()).toBe("not-authorized");
  });

  test("after login is no stanza", async () => {
    const client = await core.login("alice");
    client.send(starttls);
    expect(await client.streamError()).toBe("unsupported-stanza-type");
  });

  test("forgets the stream before it: what follows TLS is a new document", async () => {
    const client = await XmppClient.connect({ ...at(core.port), tls: "none" });
    client.send(starttls);
    await client.next("proceed");
    await client.connection.secure({ serverName: "localhost" });
    const [seen] = [client.transcript().length];
    client.send(plain);
    await client.ended;
    expect(client.transcript().slice(seen)).toContain("invalid-namespace");
  });
});

describe("both ports take both ways, told by the first byte", () => {
  test("a ClientHello on 5222 leads to a session", async () => {
    const alice = await core.login("alice", { tls: "direct", port: core.port });
    await alice.ping();
  });

  test("a stream in clear on 5223 is offered STARTTLS, told so when it logs in without, and may then have it", async () => {
    const clear = await XmppClient.connect({ ...at(core.directPort), tls: "none" });
    expect(clear.features?.getChild("starttls", ns.tls)?.getChild("required")).toBeDefined();
    expect(clear.features?.getChild("mechanisms")).toBeUndefined();
    clear.send(plain);
    expect((await clear.next("failure")).getChild("encryption-required")).toBeDefined();
    const alice = await core.login("alice", { port: core.directPort });
    await alice.ping();
  });

  test("a ClientHello that comes byte by byte is one", async () => {
    for (const port of [core.port, core.directPort]) {
      const tcp = connect({ host: "127.0.0.1", port, noDelay: true });
      const drip = new Duplex({
        read: () => tcp.resume(),
        write(chunk: Buffer, _encoding, done) {
          for (const byte of chunk) tcp.write(Buffer.from([byte]));
          done();
        },
      });
      tcp.on("data", (chunk) => drip.push(chunk));
      tcp.on("close", () => drip.push(null));
      const secure = connectTls({ socket: drip, rejectUnauthorized: false, servername: "localhost" });
      const greeting = new Promise<string>((resolve, reject) => {
        let seen = "";
        secure.on("data", (chunk) => {
          seen += chunk.toString();
          if (seen.includes("</stream:features>")) resolve(seen);
        });
        secure.once("error", reject);
      });
      secure.write(opening);
      expect(await greeting).toContain("SCRAM-SHA-256");
      tcp.destroy();
    }
  });
});

describe("ALPN", () => {
  test.each([[["http/1.1"]], [["h2", "xmpp-server"]]])("%s on 5223 is refused", async (alpn) => {
    await expect(rawConnection(core.directPort, "direct", { alpn })).rejects.toThrow();
  });

  test("xmpp-client is chosen, beside others too", async () => {
    const raw = await rawConnection(core.directPort, "direct", { alpn: ["h2", "xmpp-client"] });
    expect((raw.socket as ReturnType<typeof connectTls>).alpnProtocol).toBe("xmpp-client");
    raw.socket.destroy();
  });
});
