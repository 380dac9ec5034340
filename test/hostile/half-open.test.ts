import { afterEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { type RawConnection, rawConnection } from "./doors.ts";

/** Connections that come and then say nothing, or half of something: they cost a deadline, not the service. */

let core: TestCore;
afterEach(() => core.close());

const opening =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
/** The server is told of a cut by the kernel, in its own time. */
const soon = { timeout: 20_000 };
/** The beginning of a ClientHello of 512 bytes. */
const halfHello = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), Buffer.alloc(40, 7)]);
const at = (port: number) => ({ host: "127.0.0.1", port, domain: "localhost" });

function many(count: number, make: (i: number) => Promise<RawConnection>): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => make(i)));
}
const drop = (all: readonly RawConnection[]) => all.forEach(({ socket }) => void socket.destroy());

describe("thousands of connections", () => {
  test("that send nothing, or half a handshake, are dropped by the deadline without a byte", async () => {
    core = await startTestCore({ users: ["alice", "bob"], gate: { handshakeMs: 2000 } });
    const bob = await core.login("bob");
    const silent = await many(1500, (i) => rawConnection(core.port, "clear", { from: `127.0.1.${i % 3}` }));
    const half = await many(1000, async (i) => {
      const raw = await rawConnection(core.port, "clear", { from: `127.0.2.${i % 200}` });
      raw.write(halfHello);
      return raw;
    });
    await bob.ping();
    const answers = await Promise.all([...silent, ...half].map(({ everything }) => everything));
    expect(new Set(answers)).toEqual(new Set([""]));
    await (await core.login("alice")).ping();
    await bob.ping();
  });

  test("that hold half a handshake from one address leave others room for theirs", async () => {
    core = await startTestCore({ users: ["alice"], gate: { handshakeMs: 25_000 } });
    const half = await many(400, async () => {
      const raw = await rawConnection(core.directPort, "clear", { from: "127.0.3.1" });
      raw.write(halfHello);
      return raw;
    });
    const alice = await core.login("alice", { port: core.directPort, tls: "direct" });
    await alice.ping();
    drop(half);
  });

  test("that open a stream and do not log in are told at the deadline, wherever they stopped", async () => {
    const clock = manualClock();
    core = await startTestCore({ users: ["alice", "bob"], clock });
    const bob = await core.login("bob");
    const streams = await many(800, async () => {
      const raw = await rawConnection(core.port, "clear");
      raw.write(opening);
      return raw;
    });
    const secured = await XmppClient.connect(at(core.port));
    const asked = await XmppClient.connect(at(core.port));
    asked.send(
      `<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-1'>${Buffer.from("n,,n=alice,r=abc").toString("base64")}</auth>`,
    );
    await asked.next("challenge");
    const unbound = await XmppClient.connect(at(core.port));
    await unbound.authenticate({ ...at(core.port), user: "alice", password: "alice" });
    // The server has heard all of them once it answers the last.
    await expect.poll(() => core.server.clients.size, soon).toBe(804);
    clock.pass(59_000);
    await unbound.get("<ping xmlns='urn:xmpp:ping'/>").catch(() => undefined);
    expect(core.server.clients.size).toBe(803);
    clock.pass(2_000);
    for (const client of [secured, asked]) expect(await client.streamError()).toBe("connection-timeout");
    for (const answer of await Promise.all(streams.map(({ everything }) => everything)))
      expect(answer).toMatch(/<connection-timeout .*<\/stream:stream>$/s);
    expect(core.server.clients.size).toBe(1);
    await bob.ping();
  });

  test("that are cut at any point of a login leave nothing behind", async () => {
    core = await startTestCore({ users: ["alice", "bob"] });
    const bob = await core.login("bob");
    const texts = [
      "",
      "<",
      opening.slice(0, 30),
      opening,
      `${opening}<starttls xmlns='${ns.tls}'/>`,
      `${opening}<auth xmlns='${ns.sasl}' mechan`,
    ];
    for (let round = 0; round < 5; round++)
      await Promise.all(
        Array.from({ length: 200 }, async (_, i) => {
          const raw = await rawConnection(core.port, "clear");
          raw.write(texts[i % texts.length] ?? "");
          if (i % 2 === 0) raw.socket.resetAndDestroy();
          else raw.socket.destroy();
          await raw.everything;
        }),
      );
    await expect.poll(() => core.server.clients.size, soon).toBe(1);
    await bob.ping();
  });
});

/** How many of these connections the server speaks with. */
async function admitted(count: number, from?: string, port = core.port): Promise<number> {
  const open = await many(count, (i) =>
    rawConnection(port, "clear", from === undefined ? { from: `127.0.4.${i + 1}` } : { from }),
  );
  const greeted = open.map(
    ({ socket, everything }) =>
      new Promise<boolean>((resolve) => {
        let seen = "";
        socket.on("data", (chunk) => {
          seen += chunk.toString();
          if (seen.includes("</stream:features>")) resolve(true);
        });
        void everything.then(() => resolve(false));
      }),
  );
  for (const raw of open) raw.write(opening);
  const spoken = await Promise.all(greeted);
  drop(open);
  await Promise.all(open.map(({ everything }) => everything));
  await expect.poll(() => core.server.clients.size, soon).toBe(0);
  return spoken.filter(Boolean).length;
}

describe("limits of what is accepted", () => {
  const rate = "xmpp.ratelimit.newconnections.c2s";

  test("one address has so many connections, another one its own, and those that end make room", async () => {
    core = await startTestCore({ properties: { "firekeeper.client.connections-per-address": "5" } });
    expect(await admitted(12, "127.0.5.1")).toBe(5);
    expect(await admitted(12, "127.0.5.2")).toBe(5);
    expect(await admitted(12)).toBe(12);
  });

  test("a burst, and then nothing until time has passed", async () => {
    const limits = { [`${rate}.enabled`]: "true", [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "10" };
    core = await startTestCore({ properties: limits });
    // At one a second none is added while these come; two are allowed for a slow machine.
    const spoken = await admitted(60);
    expect(spoken).toBeGreaterThanOrEqual(10);
    expect(spoken).toBeLessThan(30);
  });

  test("trusted networks are exempt from both", async () => {
    const limits = { [`${rate}.enabled`]: "true", [`${rate}.permits_per_second`]: "1", [`${rate}.max_burst`]: "2" };
    core = await startTestCore({
      properties: {
        ...limits,
        "firekeeper.client.connections-per-address": "1",
        "firekeeper.client.trusted-networks": "127.0.6.0/24, 127.0.7.7",
      },
    });
    expect(await admitted(30, "127.0.6.99")).toBe(30);
    expect(await admitted(30, "127.0.7.7")).toBe(30);
    expect(await admitted(30, "127.0.7.8")).toBe(1);
  });
});
