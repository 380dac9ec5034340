import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { dial, dialTls, makeCertificate, type Peer, quiet } from "../protocol/gate-fixture.ts";

const root = new URL("../..", import.meta.url).pathname;
const certificate = await makeCertificate("example.org");

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "gate-"));
  write("certificate.json", certificate);
  write("listen.json", [{ name: "c2s", port: 0, tls: "detect" }]);
});

function write(name: string, value: unknown): void {
  writeFileSync(join(home, name), typeof value === "string" ? value : JSON.stringify(value));
}

interface Running {
  readonly process: ChildProcess;
  /** Waits until the gate has logged this event so many times, in all. */
  logged(event: string, times?: number): Promise<Record<string, unknown>>;
  readonly output: () => string;
}

function start(): Running {
  const env = { ...process.env, FIREKEEPER_HOME: home, FIREKEEPER_CORE: join(root, "test/system/gate-core.ts") };
  const child = spawn(process.execPath, ["--import", "tsx", "xmpp-core/gate/main.ts"], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const wake: (() => void)[] = [];
  const ended = () => {
    for (const each of wake.splice(0)) each();
  };
  child.stderr.on("data", (chunk) => {
    output += chunk;
    ended();
  });
  child.once("close", ended);
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const closed = once(child, "exit");
      child.kill("SIGTERM");
      child.kill("SIGTERM");
      await closed;
    }
    rmSync(home, { recursive: true, force: true });
  });
  const logged = async (event: string, times = 1) => {
    for (;;) {
      const lines = output.split("\n").filter((line) => line.includes(`"event":"${event}"`));
      const found = lines[times - 1];
      if (found !== undefined) return JSON.parse(found) as Record<string, unknown>;
      if (child.exitCode !== null) throw new Error(`the gate has ended before ${event}: ${output}`);
      await new Promise<void>((resolve) => wake.push(resolve));
    }
  };
  return { process: child, logged, output: () => output };
}

/** The port and pid of the core that is ready, after so many have been. */
async function ready(gate: Running, times = 1): Promise<{ port: number; pid: number }> {
  return (await gate.logged("test-ready", times)) as { port: number; pid: number };
}

test("fifty TLS connections with data in flight live through restarts of the core: none closed, nothing lost, doubled or disordered", async () => {
  const gate = start();
  const { port } = await ready(gate);
  const peers = await Promise.all(Array.from({ length: 50 }, () => dialTls(port)));
  const lines = 200;
  const done = peers.map(async (peer, index) => {
    // Lines are cut anywhere, and each batch waits for the one before, so that traffic spans the restarts.
    const all = Array.from({ length: lines }, (_, line) => `line ${line} of ${index} ${"x".repeat(line % 97)}\n`).join(
      "",
    );
    for (let at = 0; at < all.length; at += 1777) {
      peer.socket.write(all.slice(at, at + 1777));
      const sent = all.slice(0, at + 1777).split("\n").length - 1;
      if (sent > 20) await peer.until(`\n${sent - 20} `);
    }
    await peer.until(`\n${lines} line ${lines - 1} `);
    await peer.until(`${"x".repeat((lines - 1) % 97)}\n`);
  });
  for (let restart = 1; restart <= 2; restart += 1) {
    const asking = await dialTls(port);
    asking.socket.write("restart\n");
    await gate.logged("core-handed-over", restart);
    await ready(gate, restart + 1);
    await asking.until("1 restart\n");
    asking.socket.write("after\n");
    await asking.until("2 after\n");
  }
  await Promise.all(done);
  for (const [index, peer] of peers.entries()) {
    const expected = Array.from(
      { length: lines },
      (_, line) => `${line + 1} line ${line} of ${index} ${"x".repeat(line % 97)}\n`,
    );
    expect(peer.text).toBe(expected.join(""));
    expect(peer.over).toBe(false);
  }
});

test("a killed core costs its connections, without a byte, and keeps the port; the next one serves at once", async () => {
  const gate = start();
  const first = await ready(gate);
  const peers = await Promise.all([dialTls(first.port), dial(first.port)]);
  for (const peer of peers) {
    peer.socket.write("hello\n");
    await peer.until("1 hello\n");
  }
  write("listen.json", [{ name: "c2s", port: first.port, tls: "detect" }]);
  process.kill(first.pid, "SIGKILL");
  for (const peer of peers) expect(await peer.ended()).toBe("1 hello\n");
  const waiting = await dialTls(first.port);
  waiting.socket.write("waited\n");
  await waiting.until("1 waited\n");
  const second = await ready(gate, 2);
  expect(second.port).toBe(first.port);
  expect(second.pid).not.toBe(first.pid);
});

test("a core that fails to boot twice is started on the proven revision, with the heap it left word of", async () => {
  write("broken", "");
  write("boot.json", { heapMb: 123, revision: 9 });
  const gate = start();
  await ready(gate);
  const heap = "--max-old-space-size=123";
  for (const [index, boot] of ["newest", "newest", "proven"].entries()) {
    expect(await gate.logged("test-boot", index + 1)).toMatchObject({ boot, heap });
  }
  expect(await gate.logged("core-started", 3)).toMatchObject({ proven: true, revision: 9 });
});

test("an unreadable boot.json means the defaults", async () => {
  write("boot.json", '{"heapMb": "a lot", "rev');
  const gate = start();
  await ready(gate);
  expect(await gate.logged("test-boot")).toEqual({ event: "test-boot", boot: "newest" });
});

test("a second gate on the home is refused and disturbs nothing", async () => {
  const gate = start();
  const { port } = await ready(gate);
  expect(statSync(join(home, "gate.sock")).mode & 0o777).toBe(0o600);
  const second = start();
  const [code] = await once(second.process, "exit");
  expect(code).toBe(3);
  expect(second.output()).toContain(`another gate runs on ${home}`);
  const peer = await dial(port);
  peer.socket.write("x\n");
  await peer.until("1 x\n");
});

test("SIGTERM lets the core stop, drops connections without a byte and frees home and port; then the home can be used again", async () => {
  const gate = start();
  const { port } = await ready(gate);
  const peer = await dialTls(port);
  peer.socket.write("x\n");
  await peer.until("1 x\n");
  const exit = once(gate.process, "exit");
  gate.process.kill("SIGTERM");
  expect(await peer.ended()).toBe("1 x\n");
  expect(await exit).toEqual([0, null]);
  expect(await gate.logged("test-stop")).toMatchObject({ cause: "asked" });
  await expect(dial(port)).rejects.toThrow("ECONNREFUSED");
  await ready(start());
});

test("a second SIGTERM does not wait for a core that does not stop", async () => {
  write("stubborn", "");
  const gate = start();
  await ready(gate);
  gate.process.kill("SIGTERM");
  await gate.logged("test-stop");
  // The core holds the output open until it has ended too.
  const closed = once(gate.process, "close");
  gate.process.kill("SIGTERM");
  expect(await closed).toEqual([1, null]);
});

test("a killed gate is noticed by its core, which stops", async () => {
  const gate = start();
  await ready(gate);
  const closed = once(gate.process, "close");
  gate.process.kill("SIGKILL");
  // The core holds the output open until it has ended too.
  await closed;
  expect(await gate.logged("test-stop")).toMatchObject({ cause: "gate-gone" });
});

test("SIGHUP makes the core read its certificates again", async () => {
  const gate = start();
  const { port } = await ready(gate);
  const serial = async () => {
    const peer = await dialTls(port);
    return peer.tls.getPeerCertificate().serialNumber;
  };
  const before = await serial();
  write("certificate.json", await makeCertificate("example.org"));
  gate.process.kill("SIGHUP");
  await gate.logged("test-reloaded");
  expect(await serial()).not.toBe(before);
});

test("a taken port names its holder, another process, and the gate goes on", async () => {
  const holder = createServer().listen(0);
  await once(holder, "listening");
  onTestFinished(() => void holder.close());
  write("listen.json", [{ name: "c2s", port: (holder.address() as { port: number }).port, tls: "detect" }]);
  const gate = start();
  await gate.logged("core-ended");
  expect(gate.output()).toContain("gate/port-taken");
  expect(gate.output()).toContain(`(pid ${process.pid})`);
});

test("a core that stands still makes senders wait, not the gate grow", async () => {
  write("listen.json", [{ name: "c2s", port: 0, tls: "detect", limits: { unsentBytes: 100_000_000 } }]);
  const gate = start();
  const { port, pid } = await ready(gate);
  const peer = await dial(port);
  peer.socket.write("x\n");
  await peer.until("1 x\n");
  process.kill(pid, "SIGSTOP");
  const line = `${"y".repeat(99_999)}\n`;
  for (let count = 0; count < 500; count += 1) peer.socket.write(line);
  await quiet(() => peer.socket.writableLength);
  expect(peer.socket.writableLength).toBeGreaterThan(10_000_000);
  process.kill(pid, "SIGCONT");
  await peer.bytes(50_000_000);
});

test("a reader that does not read costs no more than its allowance, a flood of half-open handshakes nothing that stays", async () => {
  write("listen.json", [{ name: "c2s", port: 0, tls: "detect", limits: { unsentBytes: 2_000_000 } }]);
  const gate = start();
  const { port } = await ready(gate);
  const slow = await dial(port);
  slow.socket.pause();
  const line = `${"y".repeat(99_999)}\n`;
  for (let count = 0; count < 300 && !slow.socket.destroyed; count += 1) slow.socket.write(line);
  await once(slow.socket, "error");
  const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gate.process.pid}/status`, "utf8"))?.[1]);
  const flood = async () => {
    const peers: Peer[] = await Promise.all(Array.from({ length: 500 }, () => dial(port)));
    for (const peer of peers) peer.socket.write(Buffer.from([0x16, 3, 1, 2]));
    for (const peer of peers) peer.socket.resetAndDestroy();
  };
  await flood();
  await flood();
  const before = memory();
  for (let round = 0; round < 6; round += 1) await flood();
  expect(memory()).toBeLessThan(before * 1.3);
  const peer = await dialTls(port);
  peer.socket.write("x\n");
  await peer.until("1 x\n");
});
