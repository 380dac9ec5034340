import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import type { TLSSocket } from "node:tls";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { CodedError } from "../../xmpp-core/errors.ts";
import type { ListenSpec } from "../../xmpp-core/frames.ts";
import type { GateOptions } from "../../xmpp-core/gate/gate.ts";
import type { Connection } from "../../xmpp-core/transport/connection.ts";
import type { Gate } from "../../xmpp-core/transport/gate.ts";
import { type InProcessGate, inProcessGate } from "../../xmpp-core/transport/in-process.ts";
import { dial, dialTls, freePort, makeCertificate, type Peer, quiet, recorder, upgrade } from "./gate-fixture.ts";

type Certificate = Awaited<ReturnType<typeof makeCertificate>>;
let org: Certificate;
let net: Certificate;
beforeAll(async () => {
  org = await makeCertificate("example.org");
  net = await makeCertificate("example.net");
});

const c2s: ListenSpec = { name: "c2s", port: 0, addresses: ["127.0.0.1"], tls: "detect", alpn: ["xmpp-client"] };

async function open(options: Partial<GateOptions> = {}): Promise<InProcessGate> {
  const opened = await inProcessGate(options);
  onTestFinished(() => opened.close());
  await opened.gate.certificates({ certificates: [org, net], default: "example.org" });
  return opened;
}

/** A gate with one listener whose connections a recorder gets. */
async function serve(spec: Partial<ListenSpec> = {}, options: Partial<GateOptions> = {}, core = recorder()) {
  const opened = await open(options);
  opened.gate.onConnection(spec.name ?? "c2s", core.accept);
  const { port } = await opened.gate.listen({ ...c2s, ...spec });
  opened.gate.ready();
  return { ...opened, port, ...core };
}

describe("TLS", () => {
  test("starts by STARTTLS, with facts for channel binding that equal the client's", async () => {
    const { port, seen } = await serve();
    const clear = await dial(port);
    clear.socket.write("<starttls/>");
    await clear.until("<proceed/>");
    const { tls, ...peer } = await secureEcho(clear);
    const facts = seen[0]?.facts;
    expect(facts).toMatchObject({ version: "TLSv1.3", certificate: "example.org", cipher: "TLS_AES_128_GCM_SHA256" });
    expect(facts?.exporter).toEqual(tls.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)));
    expect(facts?.endPoint).toEqual(createHash("sha256").update(tls.getPeerCertificate().raw).digest());
    expect(peer.text).toBe("<auth/>");
  });

  async function secureEcho(clear: Peer) {
    const peer = await upgrade(clear);
    peer.socket.write("<auth/>");
    return { tls: peer.tls, text: await peer.until("<auth/>") };
  }

  test("is recognised by the first byte, with ALPN and SNI, on a port that takes clear streams too", async () => {
    const { port, seen } = await serve();
    const direct = await dialTls(port, { ALPNProtocols: ["xmpp-client"], servername: "example.net" });
    direct.socket.write("hello");
    await direct.until("hello");
    const clear = await dial(port);
    clear.socket.write("clear");
    await clear.until("clear");
    expect(seen.map(({ connection }) => connection.tls)).toEqual([
      expect.objectContaining({
        sni: "example.net",
        alpn: "xmpp-client",
        certificate: "example.net",
        version: "TLSv1.3",
      }),
      undefined,
    ]);
    expect(seen[0]?.facts?.endPoint).toEqual(createHash("sha256").update(new X509Certificate(net.chain).raw).digest());
  });

  test("takes the certificate that the core names where the client sends no SNI", async () => {
    const { port } = await serve({}, {}, recorder({ certificate: "example.net" }));
    const clear = await dial(port);
    clear.socket.write("<starttls/>");
    await clear.until("<proceed/>");
    const { tls } = await upgrade(clear);
    expect(new X509Certificate(tls.getPeerCertificate().raw).checkHost("example.net")).toBeDefined();
  });

  test("1.2 gives no exporter, 1.1 and a foreign ALPN are refused", async () => {
    const { port, seen } = await serve();
    const old = await dialTls(port, { maxVersion: "TLSv1.2" });
    old.socket.write("x");
    await old.until("x");
    expect(seen[0]?.facts).toMatchObject({ version: "TLSv1.2", endPoint: expect.any(Buffer) });
    expect(seen[0]?.facts?.exporter).toBeUndefined();
    const ancient = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" } as const;
    await expect(dialTls(port, ancient)).rejects.toThrow();
    await expect(dialTls(port, { ALPNProtocols: ["h2"] })).rejects.toThrow();
  });

  test("begins behind everything that was written in clear, however much the client had still to read", async () => {
    const { gate, port } = await serve({ name: "much", limits: { unsentBytes: 30_000_000 } });
    const much = "x".repeat(20_000_000);
    gate.onConnection("much", (connection) => {
      connection.receive({
        bytes(chunk) {
          if (String(chunk) === "<more/>") {
            connection.write(much);
            return;
          }
          connection.write("<proceed/>");
          connection.startTls("");
        },
        secured: () => connection.write("<secured/>"),
        drained: () => undefined,
        closed: () => undefined,
      });
    });
    const clear = await dial(port);
    clear.socket.pause();
    clear.socket.write("<more/>");
    await quiet(() => clear.socket.bytesRead);
    clear.socket.write("<starttls/>");
    await quiet(() => clear.socket.bytesRead);
    clear.socket.resume();
    await clear.bytes(much.length + 10);
    expect(clear.text.slice(-13)).toBe("xxx<proceed/>");
    const peer = await upgrade(clear);
    await peer.until("<secured/>");
  });

  test("never reads what was sent in clear behind starttls", async () => {
    const { port, seen, until } = await serve();
    const clear = await dial(port);
    // The same segment is the stream's to forget; what comes later, but before TLS, is the gate's and the transport's.
    clear.socket.write("<starttls/>");
    clear.socket.write("<message>injected</message>");
    await until(() => (seen[0]?.log.length ?? 0) > 0 || (seen[0]?.chunks[0]?.length ?? 0) > 11);
    await clear.until("<proceed/>");
    const peer = await upgrade(clear).catch(() => undefined);
    peer?.socket.write("<auth/>");
    await peer?.until("<auth/>");
    const later = seen[0]?.chunks.slice(1).map(String) ?? [];
    expect(later).toEqual(peer === undefined ? [] : ["<auth/>"]);
  });

  test("swaps certificates while connections stand; a set that does not load changes nothing", async () => {
    const { gate, port } = await serve();
    const before = await dialTls(port);
    const serial = (tls: TLSSocket) => tls.getPeerCertificate().serialNumber;
    const renewed = await makeCertificate("example.org");
    const mixed = { ...renewed, key: org.key };
    const error = (await gate
      .certificates({ certificates: [mixed], default: "example.org" })
      .catch((caught) => caught)) as CodedError;
    expect(error).toMatchObject({ code: "gate/certificate-unusable", fields: { name: "example.org" } });
    expect(serial((await dialTls(port)).tls)).toBe(serial(before.tls));
    await gate.certificates({ certificates: [renewed], default: "example.org" });
    expect(serial((await dialTls(port)).tls)).toBe(new X509Certificate(renewed.chain).serialNumber);
    before.socket.write("still here");
    await before.until("still here");
  });

  test("resumes a session by ticket, but not past a change of certificates", async () => {
    const { gate, port } = await serve();
    const echoed = async (session?: Buffer) => {
      const peer = await dialTls(port, session === undefined ? {} : { session });
      peer.socket.write("x");
      await peer.until("x");
      return peer;
    };
    const session = await (await echoed()).ticket;
    expect((await echoed(session)).tls.isSessionReused()).toBe(true);
    await gate.certificates({ certificates: [org], default: "example.org" });
    expect((await echoed(session)).tls.isSessionReused()).toBe(false);
  });

  test("is all a listener takes that requires it", async () => {
    const { port, seen } = await serve({ tls: "required" });
    const clear = await dial(port);
    clear.socket.write("GET / HTTP/1.1\r\n\r\n");
    expect(await clear.ended()).toBe("");
    const direct = await dialTls(port);
    direct.socket.write("x");
    await direct.until("x");
    expect(seen).toHaveLength(1);
  });
});

describe("the bytes", () => {
  test("go both ways whole and in order, in large pieces too", async () => {
    const { port } = await serve();
    const peer = await dialTls(port);
    const sent = Buffer.alloc(3_000_000);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32BE(at, at);
    peer.socket.write(sent);
    await peer.bytes(sent.length);
    expect(peer.received.equals(sent)).toBe(true);
  });

  test("of one turn leave in one piece, those of a connection that closes too", async () => {
    const { gate, port } = await serve({ name: "turn" });
    gate.onConnection("turn", (connection) => {
      connection.receive({
        bytes: () => undefined,
        secured: () => undefined,
        drained: () => undefined,
        closed: () => undefined,
      });
      for (let count = 0; count < 100; count += 1) connection.write(`<message id="${count}">é</message>`);
      connection.close();
    });
    const peer = await dial(port);
    let pieces = 0;
    peer.socket.on("data", () => {
      pieces += 1;
    });
    peer.socket.end("x");
    const text = await peer.ended();
    expect(pieces).toBe(1);
    expect(text.match(/<message id="\d+">é<\/message>/g)).toHaveLength(100);
  });

  test("wait in the gate's kernel while the core pauses, and none is lost", async () => {
    const core = recorder({ echo: false });
    const { gate, port } = await serve({ name: "paused" });
    gate.onConnection("paused", (connection) => {
      connection.pause();
      core.accept(connection);
    });
    const peer = await dial(port);
    const sent = Buffer.alloc(30_000_000, "x");
    peer.socket.write(sent);
    await core.until(() => core.seen.length > 0);
    // The gate stops reading, so the sender's own buffer cannot empty.
    await quiet(() => peer.socket.writableLength);
    expect(peer.socket.writableLength).toBeGreaterThan(10_000_000);
    expect(core.seen[0]?.chunks).toEqual([]);
    core.seen[0]?.connection.resume();
    const total = () => core.seen[0]?.chunks.reduce((sum, { length }) => sum + length, 0);
    await core.until(() => total() === sent.length);
  });

  test("a reader that does not read is counted, told when it does, and bounded", async () => {
    const { port, seen, until } = await serve({ limits: { unsentBytes: 20_000_000 } });
    const slow = await dial(port);
    slow.socket.pause();
    slow.socket.write("x");
    await until(() => seen.length === 1 && seen[0]?.chunks.length === 1);
    const { connection, log } = seen[0] as (typeof seen)[0];
    expect(connection.unsent).toBe(0);
    const piece = Buffer.alloc(1_000_000, "y");
    for (let count = 0; count < 15; count += 1) connection.write(piece);
    expect(connection.unsent).toBeGreaterThan(14_000_000);
    slow.socket.resume();
    await until(() => log.includes("drained"));
    expect(connection.unsent).toBe(0);
    await slow.bytes(15_000_001);
    slow.socket.pause();
    for (let count = 0; count < 40; count += 1) connection.write(piece);
    await until(() => log.includes("closed: slow-reader"));
    expect(connection.open).toBe(false);
  });

  test("of a peer that half-closes are answered before the connection ends", async () => {
    const { port } = await serve();
    const peer = await dial(port);
    peer.socket.end("last words");
    expect(await peer.ended()).toBe("last words");
  });

  test("dropping sends no more, closing sends all", async () => {
    const { port, seen, until } = await serve({}, {}, recorder({ echo: false }));
    const [dropped, closed] = [await dial(port), await dial(port)];
    dropped.socket.write("1");
    await until(() => seen.length === 1);
    closed.socket.write("2");
    await until(() => seen.length === 2);
    const long = "some text ".repeat(1_000_000);
    closed.socket.pause();
    for (const { connection } of seen) connection.write(long);
    seen[0]?.connection.drop();
    seen[1]?.connection.close();
    expect(await dropped.ended()).toBe("");
    closed.socket.resume();
    expect((await closed.ended()).length).toBe(long.length);
    await until(() => seen.every(({ log }) => log.some((line) => line.startsWith("closed"))));
  });
});

describe("listeners", () => {
  test("take IPv4 and IPv6 unless an address is given", async () => {
    const { port, seen, until } = await serve({ addresses: [] });
    for (const host of ["127.0.0.1", "::1"]) {
      const peer = await dial(port, host);
      peer.socket.write("x");
      await peer.until("x");
    }
    await until(() => seen.length === 2);
    expect(seen.map(({ connection }) => connection.remote.address)).toEqual(["127.0.0.1", "::1"]);
    expect(seen.map(({ connection }) => connection.local)).toEqual([
      { address: "127.0.0.1", port },
      { address: "::1", port },
    ]);
  });

  test("name port, address and holder when the port is taken, and leave everything as it was", async () => {
    const { gate, port } = await serve();
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    onTestFinished(() => void holder.close());
    const taken = (holder.address() as { port: number }).port;
    const error = (await gate.listen({ ...c2s, port: taken }).catch((caught) => caught)) as CodedError;
    expect(error.code).toBe("gate/port-taken");
    expect(error.fields).toMatchObject({ name: "c2s", address: "127.0.0.1", port: taken });
    expect(error.message).toContain(`(pid ${process.pid})`);
    const peer = await dial(port);
    peer.socket.write("x");
    await peer.until("x");
    const nowhere = await gate.listen({ ...c2s, addresses: ["192.0.2.77"] }).catch((caught) => caught);
    expect(nowhere.code).toBe("gate/address-unavailable");
  });

  test("take over the port of a listener that goes: another address of it, and two that change places", async () => {
    const { gate, port } = await serve({ addresses: [] });
    await gate.prepareListen([{ ...c2s, port }]);
    await gate.switchListen();
    const peer = await dial(port);
    peer.socket.write("x");
    await peer.until("x");
    const other = await gate.listen({ ...c2s, name: "c2s-tls", port: 0 });
    const swapped = await gate.prepareListen([
      { ...c2s, port: other.port },
      { ...c2s, name: "c2s-tls", port },
    ]);
    expect(swapped.map((bound) => bound.port)).toEqual([other.port, port]);
    await gate.switchListen();
    const swappedPeer = await dial(other.port);
    swappedPeer.socket.write("y");
    await swappedPeer.until("y");
  });

  test("that yielded their port open again when the change is given up", async () => {
    const { gate, port } = await serve({ addresses: [] });
    const taken = await freePort();
    const holder = createServer().listen(taken, "127.0.0.1");
    await once(holder, "listening");
    onTestFinished(() => void holder.close());
    const impossible = gate.prepareListen([
      { ...c2s, port },
      { ...c2s, name: "c2s-tls", port: taken },
    ]);
    await expect(impossible).rejects.toMatchObject({ code: "gate/port-taken" });
    for (let turn = 0; turn < 2; turn++) {
      const peer = await dial(port);
      peer.socket.write("x");
      await peer.until("x");
      await gate.prepareListen([{ ...c2s, port }]);
      await gate.cancelListen();
    }
  });

  test("are prepared beside the old ones and switched; connections outlive theirs", async () => {
    const { gate, port, seen, until } = await serve();
    const before = await dial(port);
    before.socket.write("x");
    await before.until("x");
    const [next] = await gate.prepareListen([{ ...c2s, port: await freePort() }]);
    const early = await dial(next?.port ?? 0);
    early.socket.write("early");
    const old = await dial(port);
    old.socket.write("old");
    await old.until("old");
    expect(seen.map(({ chunks }) => String(chunks[0]))).toEqual(["x", "old"]);
    await gate.switchListen();
    await early.until("early");
    await expect(dial(port)).rejects.toThrow("ECONNREFUSED");
    before.socket.write("y");
    await before.until("xy");
    const [unwanted] = await gate.prepareListen([{ ...c2s, port: await freePort() }]);
    await gate.cancelListen();
    await expect(dial(unwanted?.port ?? 0)).rejects.toThrow("ECONNREFUSED");
    await gate.unlisten("c2s");
    await expect(dial(next?.port ?? 0)).rejects.toThrow("ECONNREFUSED");
    await until(() => seen.length === 3);
  });

  test("keep their socket when only options change", async () => {
    const { gate, port } = await serve();
    expect((await gate.listen({ ...c2s, port, tls: "required" })).port).toBe(port);
    const clear = await dial(port);
    clear.socket.write("x");
    expect(await clear.ended()).toBe("");
  });
});

describe("limits", () => {
  test("hold one address to its number of connections, politely, and exempt trusted networks", async () => {
    const limits = { perAddress: 2, refusal: "<too-many/>" };
    const { gate, port } = await serve({ limits });
    const [first] = [await dial(port), await dial(port)];
    expect(await (await dial(port)).ended()).toBe("<too-many/>");
    await gate.listen({ ...c2s, port, limits: { ...limits, trusted: ["127.0.0.0/8"] } });
    const trusted = await dial(port);
    trusted.socket.write("x");
    await trusted.until("x");
    // Three are open and count again; with two of them gone there is room for one.
    await gate.listen({ ...c2s, port, limits });
    for (const peer of [first, trusted]) {
      expect(await (await dial(port)).ended()).toBe("<too-many/>");
      peer.socket.end("x");
      await peer.ended();
    }
    const again = await dial(port);
    again.socket.write("x");
    await again.until("x");
  });

  test("that cannot be read are refused before anything changes", async () => {
    const { gate, port } = await serve();
    for (const entry of ["nonsense", "10.0.0.0/64", "10.0.0.0/x", ""]) {
      const wrong = { ...c2s, port, tls: "required", limits: { trusted: [entry] } } as const;
      await expect(gate.listen(wrong)).rejects.toMatchObject({ code: "gate/network-unreadable", fields: { entry } });
    }
    const peer = await dial(port);
    peer.socket.write("x");
    await peer.until("x");
  });

  test("hold new connections to a rate", async () => {
    const { port } = await serve({ limits: { perSecond: 0.001, burst: 2, refusal: "<later/>" } });
    for (let count = 0; count < 2; count += 1) {
      const peer = await dial(port);
      peer.socket.write("x");
      await peer.until("x");
    }
    expect(await (await dial(port)).ended()).toBe("<later/>");
  });

  test("let handshakes wait their turn", async () => {
    const { port, seen } = await serve({ limits: { handshakes: 1 } });
    const stalled = await dial(port);
    stalled.socket.write(Buffer.from([0x16, 3, 1]));
    const waiting = dialTls(port);
    const clear = await dial(port);
    clear.socket.write("x");
    await clear.until("x");
    expect(seen).toHaveLength(1);
    stalled.socket.destroy();
    await waiting;
  });

  test("refuse at nine tenths of the descriptors", async () => {
    const { port } = await serve({ limits: { refusal: "<full/>" } }, { openFiles: 50 });
    const open = [];
    for (let count = 0; count < 6; count += 1) open.push(await dial(port));
    expect(await (await dial(port)).ended()).toBe("<full/>");
    open[0]?.socket.destroy();
    await open[0]?.ended();
    for (;;) {
      const peer = await dial(port);
      peer.socket.write("x");
      if (
        await peer.until("x").then(
          () => true,
          () => false,
        )
      )
        break;
    }
  });

  test("end a flood of half-open connections and handshakes by the deadline, unseen by the core", async () => {
    const { port, seen } = await serve({}, { handshakeMs: 1000 });
    const flood = await Promise.all(Array.from({ length: 200 }, () => dial(port)));
    for (const [index, peer] of flood.entries()) if (index % 2 === 0) peer.socket.write(Buffer.from([0x16, 3]));
    await Promise.all(flood.map((peer) => peer.ended()));
    expect(seen).toEqual([]);
    const peer = await dialTls(port);
    peer.socket.write("x");
    await peer.until("x");
  });
});

describe("a relay", () => {
  test("carries bytes both ways at the slower one's pace, those from before it began first, and reports counts", async () => {
    const core = recorder({ echo: false });
    const { gate, port } = await serve({ name: "proxy65", tls: "never" }, {}, core);
    const [a, b] = [await dial(port), await dial(port)];
    a.socket.write("A");
    await core.until(() => core.seen.length === 1);
    b.socket.write("B");
    await core.until(() => core.seen.length === 2);
    const [first, other] = core.seen.map(({ connection }) => connection);
    if (first === undefined || other === undefined) throw new Error("no connections");
    b.socket.pause();
    const sent = Buffer.alloc(40_000_000);
    for (let at = 0; at < sent.length; at += 4) sent.writeUInt32BE(at, at);
    // Some of it reaches the core before the join does.
    a.socket.write(sent.subarray(0, 3));
    const joined = gate.join(first, other);
    a.socket.end(sent.subarray(3));
    const early = Buffer.concat(core.seen[0]?.chunks.slice(1) ?? []).length;
    await quiet(() => a.socket.writableLength);
    expect(a.socket.writableLength).toBeGreaterThan(10_000_000);
    b.socket.resume();
    b.socket.write("thanks");
    await b.bytes(sent.length - early);
    expect(b.received.equals(sent.subarray(early))).toBe(true);
    await a.until("thanks");
    b.socket.end();
    expect(await joined).toMatchObject({ other: other.number, forth: sent.length - early, back: 6, reason: "closed" });
    await core.until(() => core.seen.every(({ log }) => log.includes("closed: closed")));
  });

  test("goes on over a restart of the core", async () => {
    const core = recorder({ echo: false });
    const { gate, port, next } = await serve({ name: "proxy65", tls: "never" }, {}, core);
    const [a, b] = [await dial(port), await dial(port)];
    a.socket.write("A");
    b.socket.write("B");
    await core.until(() => core.seen.length === 2);
    const [first, other] = core.seen.map(({ connection }) => connection);
    if (first === undefined || other === undefined) throw new Error("no connections");
    void gate.join(first, other);
    a.socket.write("one ");
    b.socket.write("one ");
    await Promise.all([a.until("one "), b.until("one ")]);
    await gate.handover();
    await gate.handed();
    a.socket.write("two ");
    await b.until("one two ");
    const successor = await next();
    expect(successor.adopted).toEqual([]);
    successor.ready();
    a.socket.end("three");
    b.socket.end();
    expect(await b.ended()).toBe("one two three");
  });

  test("ends with the pair when one is cut", async () => {
    const core = recorder({ echo: false });
    const { gate, port } = await serve({ name: "proxy65", tls: "never" }, {}, core);
    const [a, b] = [await dial(port), await dial(port)];
    a.socket.write("A");
    b.socket.write("B");
    await core.until(() => core.seen.length === 2);
    const [first, other] = core.seen.map(({ connection }) => connection);
    if (first === undefined || other === undefined) throw new Error("no connections");
    const joined = gate.join(first, other);
    a.socket.write("x");
    b.socket.write("x");
    await Promise.all([a.until("x"), b.until("x")]);
    a.socket.resetAndDestroy();
    await b.ended();
    expect((await joined).reason).toBe("reset");
  });
});

describe("a restart of the core", () => {
  async function handOver(gate: Gate) {
    await gate.handover();
    await gate.handed();
  }

  test("keeps connections, their facts, their order and what nobody has used", async () => {
    const { gate, port, seen, until, next } = await serve();
    const peer = await dialTls(port, { servername: "example.net" });
    peer.socket.write("<one/><tw");
    await until(() => seen[0]?.chunks.length === 1);
    await peer.until("<one/>");
    const before = seen[0]?.connection;
    await gate.handover();
    before?.giveBack(Buffer.from("<tw"));
    peer.socket.write("o/><three/>");
    before?.write("[last of the old]");
    await gate.handed();
    const late = dialTls(port);
    const successor = await next();
    const core = recorder();
    successor.onConnection("c2s", core.accept);
    expect(successor.adopted.map(({ number, adopted, listener, tls }) => ({ number, adopted, listener, tls }))).toEqual(
      [{ number: before?.number, adopted: true, listener: "c2s", tls: before?.tls }],
    );
    expect((await successor.listen({ ...c2s, port })).port).toBe(port);
    expect(core.seen).toEqual([]);
    successor.ready();
    const text = await peer.until("<three/>");
    expect(text).toBe("<one/><tw[last of the old]<two/><three/>");
    (await late).socket.write("new");
    await core.until(() => core.seen.length === 2);
    expect(core.seen[1]?.connection.adopted).toBe(false);
    expect(seen[0]?.log).toEqual([]);
  });

  test("gives the successor what the old core had paused away", async () => {
    const { gate, port, seen, until, next } = await serve({}, {}, recorder({ echo: false }));
    const peer = await dial(port);
    peer.socket.write("first");
    await until(() => seen[0]?.chunks.length === 1);
    seen[0]?.connection.pause();
    peer.socket.write(" second");
    await handOver(gate);
    peer.socket.write(" third");
    const successor = await next();
    const core = recorder();
    successor.onConnection("c2s", core.accept);
    await successor.listen({ ...c2s, port });
    successor.ready();
    expect(await peer.until("third")).toBe(" second third");
  });

  test("tells the successor what is still unsent, and who has finished sending", async () => {
    const core = recorder({ echo: false });
    const { gate, port, next } = await serve({ name: "slow" });
    const keepOpen = (to: typeof core.accept) => (connection: Connection) => {
      const receive = connection.receive.bind(connection);
      connection.receive = (handler) => {
        receive({
          ...handler,
          ended: () => core.seen.find((each) => each.connection === connection)?.log.push("ended"),
        });
      };
      to(connection);
    };
    gate.onConnection("slow", keepOpen(core.accept));
    const peer = await dial(port);
    peer.socket.pause();
    peer.socket.write("x");
    await core.until(() => core.seen[0]?.chunks.length === 1);
    core.seen[0]?.connection.write(Buffer.alloc(14_000_000));
    peer.socket.end();
    await quiet(() => peer.socket.bytesRead);
    expect(core.seen[0]?.log).toEqual(["ended"]);
    await handOver(gate);
    const successor = await next();
    successor.onConnection("slow", keepOpen(core.accept));
    await successor.listen({ ...c2s, name: "slow", port });
    expect(successor.adopted[0]?.unsent).toBeGreaterThan(1_000_000);
    successor.ready();
    const adopted = core.seen[1];
    adopted?.connection.write("the end");
    peer.socket.resume();
    await peer.bytes(14_000_007);
    await core.until(() => adopted?.log.includes("drained") ?? false);
    expect(adopted?.connection.unsent).toBe(0);
    expect(adopted?.log).toContain("ended");
    adopted?.connection.close();
    await peer.ended();
  });

  test("holds back what a client says whose handshake ends between two cores", async () => {
    const { gate, port, seen, until, next } = await serve();
    const clear = await dial(port);
    clear.socket.write("<starttls/>");
    await clear.until("<proceed/>");
    await handOver(gate);
    const peer = await upgrade(clear);
    peer.socket.write("<auth/>");
    await quiet(() => peer.socket.bytesWritten);
    const successor = await next();
    const core = recorder();
    successor.onConnection("c2s", core.accept);
    await successor.listen({ ...c2s, port });
    expect(successor.adopted[0]?.tls).toMatchObject({ version: "TLSv1.3", certificate: "example.org" });
    successor.ready();
    await peer.until("<auth/>");
    await until(() => seen[0]?.chunks.length === 1);
    expect(core.seen[0]?.chunks.map(String)).toEqual(["<auth/>"]);
  });

  test("closes listeners that the successor does not ask for, and drops connections nobody handles", async () => {
    const { gate, port, next } = await serve();
    const peer = await dial(port);
    peer.socket.write("x");
    await peer.until("x");
    await handOver(gate);
    (await next()).ready();
    await peer.ended();
    await expect(dial(port)).rejects.toThrow("ECONNREFUSED");
  });

  test("drops what waits when no successor comes", async () => {
    const { gate, port } = await serve({}, { handoverMs: 50, handshakeMs: 1000 });
    const peer = await dial(port);
    peer.socket.write("x");
    await peer.until("x");
    await handOver(gate);
    expect(await peer.ended()).toBe("x");
  });

  test("without a handover drops clients without a byte, and lets new ones wait for the next core", async () => {
    const { gate, port, next } = await serve();
    const peer = await dialTls(port);
    peer.socket.write("x");
    await peer.until("x");
    gate.close();
    expect(await peer.ended()).toBe("x");
    const waiting = await dial(port);
    waiting.socket.write("waits");
    const successor = await next();
    const core = recorder();
    successor.onConnection("c2s", core.accept);
    await successor.listen({ ...c2s, port });
    successor.ready();
    await waiting.until("waits");
  });

  test("refuses a second core while one is connected", async () => {
    const { next } = await serve();
    await expect(next()).rejects.toMatchObject({ code: "gate/core-connected" });
  });
});

test("a gate that ends tells the core to stop, and what it is asked fails", async () => {
  const { gate, close } = await open();
  const stopped = new Promise((resolve) => gate.onStop(resolve));
  const listening = gate.listen(c2s).catch((error) => error);
  close();
  expect(await stopped).toBe("gate-gone");
  expect((await listening).code).toBe("gate/gone");
});
