import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { pino } from "pino";
import { systemClock } from "./clock.ts";
import { CodedError, explain } from "./errors.ts";
import { prepareDomain } from "./jid/jid.ts";
import { type Server, startServer } from "./server.ts";
import { lockHome } from "./storage/home-lock.ts";
import { connectGate } from "./transport/core-link.ts";
import { programVersion } from "./version.ts";

/**
 * The core process, which the gate starts: `node dist/xmpp-core/main.js`.
 * FIREKEEPER_HOME: the home directory. FIREKEEPER_FIRST_DOMAIN: the domain of a new home. FIREKEEPER_LOG_LEVEL: trace
 * to fatal. FIREKEEPER_ACME_HOOK: the program that publishes DNS records for ACME. FIREKEEPER_BOOT=proven, set by the gate after two failed boots: start on the last proven revision.
 * Exit codes: 0 left in order, 1 failed, 3 another core runs on this home, 4 the gate is gone.
 */
const home = resolve(process.env.FIREKEEPER_HOME ?? "data");
// The gate captures our output: lines read like its own.
const log = pino(
  {
    level: logLevel(process.env.FIREKEEPER_LOG_LEVEL),
    base: { from: "core", pid: process.pid },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level) => ({ level }) },
  },
  pino.destination({ dest: 1, sync: true }),
);

process.umask(0o077);
// Taken now: the parent of an orphan is somebody else.
const gatePid = process.ppid;
let server: Server | undefined;
let leaving = false;

/** Stores every session and goes; with `keep` the connections stay with the gate for the successor. */
async function leave(keep: boolean, code: number): Promise<void> {
  if (leaving) return;
  leaving = true;
  try {
    await server?.leave(keep);
  } catch (error) {
    fail(error);
  }
  process.exit(code);
}

function fail(error: unknown): never {
  const code = error instanceof CodedError ? error.code : "core/failed";
  // A CodedError says all there is to say; anything else is ours, and its stack is what helps.
  log.fatal({ code, ...(error instanceof CodedError ? error.fields : { err: error }) }, explain(error));
  process.exit(code === "home/locked" ? 3 : code === "gate/unreachable" || code === "gate/gone" ? 4 : 1);
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

try {
  if (process.env.FIREKEEPER_SUCCESSOR !== undefined) await turn();
  const firstDomain = prepareDomain(process.env.FIREKEEPER_FIRST_DOMAIN ?? "localhost");
  if (firstDomain === undefined)
    throw new CodedError("core/first-domain", "FIREKEEPER_FIRST_DOMAIN is no domain name.", {
      hint: "For instance chat.example.org.",
    });
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const lock = await lockHome(join(home, "core.lock.db"), {
    pid: process.pid,
    since: Date.now(),
    version: programVersion,
  });
  // Held by a reference: a lock that nobody knows is garbage, and gone with it.
  process.on("exit", () => lock.release());
  const gate = await connectGate(join(home, "gate.sock"));
  gate.onStop((cause) => void leave(false, cause === "asked" ? 0 : 4));
  // The gate stops us in order, and it gets the signals of a terminal too.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => void leave(false, 0));
  server = await startServer({
    ...{ home, gate, log, firstDomain, clock: systemClock, random: randomBytes },
    boot: process.env.FIREKEEPER_BOOT === "proven" ? "proven" : "newest",
    acmeHook: process.env.FIREKEEPER_ACME_HOOK || undefined,
    process: {
      gatePid,
      // The answer to who asked goes out before we do.
      restart: () => setImmediate(() => void leave(true, 0)),
      stop: () => setImmediate(() => process.kill(gatePid, "SIGTERM")),
    },
  });
  gate.onReload(
    () => void server?.serving.refresh().catch((error: unknown) => log.error({ err: error }, "certificates")),
  );
  await server.open();
} catch (error) {
  fail(error);
}

/** A successor has loaded its program by now; it says so and waits for the present core to hand over. */
async function turn(): Promise<void> {
  // Without the gate nobody will call.
  process.once("disconnect", () => process.exit(4));
  process.send?.("loaded");
  await once(process, "message");
  process.removeAllListeners("disconnect");
  process.disconnect();
}

function logLevel(wanted: string | undefined): string {
  return wanted !== undefined && wanted in pino.levels.values ? wanted : "info";
}
