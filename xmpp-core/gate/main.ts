import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Gate } from "./gate.ts";
import { holdLock } from "./lock.ts";
import { openLog } from "./report.ts";
import { Supervisor } from "./supervisor.ts";
import { tellSystemd } from "./systemd.ts";

/**
 * The gate process: `node dist/xmpp-core/gate/main.js`.
 * FIREKEEPER_HOME: the home directory; FIREKEEPER_CORE: another program as core, for tests;
 * FIREKEEPER_GATE_LOG: a file for the output of gate and core, rotated here, instead of standard error.
 * Exit codes: 0 stopped in order, 1 stopped by force or failed, 3 another gate runs on this home.
 */
const home = resolve(process.env.FIREKEEPER_HOME ?? "data");
const program = import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js";
const entry = process.env.FIREKEEPER_CORE ?? fileURLToPath(new URL(program, import.meta.url));
const logPath = process.env.FIREKEEPER_GATE_LOG;
/** What an orderly stop of the core may take. */
const stopMs = 30_000;
/** sun_path, less its final zero. */
const longestSocketPath = process.platform === "linux" ? 107 : 103;

process.umask(0o077);
mkdirSync(home, { recursive: true, mode: 0o700 });
const release = await holdLock(join(home, "gate.lock.db"));
if (release === undefined) {
  console.error(`gate/home-in-use: another gate runs on ${home}. Stop that one, or choose another FIREKEEPER_HOME.`);
  process.exit(3);
}
const socketPath = join(home, "gate.sock");
if (Buffer.byteLength(socketPath) > longestSocketPath) {
  console.error(`gate/home-path-too-long: a socket cannot be made at ${socketPath}. Choose a shorter FIREKEEPER_HOME.`);
  process.exit(1);
}

const log = openLog(logPath);
const supervisor: Supervisor = new Supervisor({
  home,
  entry,
  log,
  captured: logPath !== undefined,
  onHopeless: () => gate.dropAll("no-core"),
});
const gate = new Gate({
  report: log.report,
  prepareSuccessor: () => supervisor.prepareSuccessor(),
  coreReady: () => {
    supervisor.ready();
    tellSystemd("READY=1");
  },
  coreGone: (handedOver) => {
    if (handedOver) supervisor.handedOver();
  },
});

// We hold the lock, so nobody listens there.
rmSync(socketPath, { force: true });
const links = createServer((stream) => gate.attach(stream));
links.listen(socketPath, () => {
  chmodSync(socketPath, 0o600);
  log.report("info", "gate-started", { pid: process.pid, home });
  supervisor.start();
});

let stopping = false;
async function stop(signal: string): Promise<void> {
  if (stopping) {
    log.report("warn", "gate-stop-forced", { signal });
    leave(1);
    return;
  }
  stopping = true;
  tellSystemd("STOPPING=1");
  log.report("info", "gate-stopping", { signal, connections: gate.connections });
  gate.stopAccepting();
  const ended = supervisor.stopped();
  // One that is still starting has no link yet, and nothing to store.
  if (!gate.askStop()) supervisor.kill();
  const patience = setTimeout(() => supervisor.kill(), stopMs);
  await ended;
  clearTimeout(patience);
  leave(0);
}

function leave(code: number): void {
  supervisor.kill();
  gate.close();
  rmSync(socketPath, { force: true });
  release?.();
  log.report("info", "gate-stopped", { code });
  process.exit(code);
}

process.on("SIGTERM", () => void stop("SIGTERM"));
process.on("SIGINT", () => void stop("SIGINT"));
process.on("SIGHUP", () => {
  log.reopen();
  gate.askReload();
  log.report("info", "gate-reloaded");
});
process.on("uncaughtException", (error) => {
  log.report("error", "gate-failed", { error: error.stack ?? error.message });
  leave(1);
});
