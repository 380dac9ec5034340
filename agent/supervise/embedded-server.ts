/**
 * The embedded server: starts the gate, which starts the core, or adopts the one that runs. Detached, in a process
 * group of its own, so that an agent that is killed disturbs nobody. Adoption is by the control socket's greeting alone:
 * a process id proves nothing. docs/architecture.md "Three processes".
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CodedError } from "../errors.ts";
import type { Report } from "../report.ts";
import type { Target } from "../target/target.ts";

export interface EmbeddedServerOptions {
  readonly home: string;
  readonly target: Pick<Target, "ready">;
  readonly report: Pick<Report, "gateStarted" | "gateGone">;
  /** The program that publishes DNS records for ACME; the `.env` file may name it. */
  readonly acmeHook?: string | undefined;
  /** Module that is the gate; another one in tests. */
  readonly program?: string;
}

export interface EmbeddedServer {
  /** Starts a gate unless a server greets within the time it takes to see one. */
  ensure(): Promise<void>;
  /** The connection was lost: a core that is restarted comes back by itself, a gate must be started again. */
  lost(gatePid: number | undefined): void;
  /** Starts nothing from here on. */
  retire(): void;
}

const firstDelayMs = 200;
const longestDelayMs = 30_000;
/** A server whose socket accepts greets within this, or refuses us by name. */
const greetMs = 5000;
/** A core restarts within this, so silence beyond it is taken for a gate that is gone. */
const patienceMs = 15_000;

/** Where the gate writes what it and the core say. */
export function serverLog(home: string): string {
  return join(home, "logs", "server.log");
}

export function embeddedServer(options: EmbeddedServerOptions): EmbeddedServer {
  const { home, target, report } = options;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const program = options.program ?? fileURLToPath(new URL(`../../xmpp-core/gate/main.${extension}`, import.meta.url));
  const startLog = join(home, "logs", "gate-start.log");
  let retired = false;
  /** A gate that we started is alive; it looks after its core. */
  let ours = false;
  let delayMs = firstDelayMs;
  let timer: NodeJS.Timeout | undefined;

  async function start(): Promise<void> {
    if (retired || ours) return;
    ours = true;
    await mkdir(join(home, "logs"), { recursive: true, mode: 0o700 });
    // The gate writes its log itself; here is only what it says before it can.
    const output = await open(startLog, "w", 0o600);
    // FIREKEEPER_CORE means something else to the gate, and all else of ours is none of its business.
    const { FIREKEEPER_CORE: _, ...inherited } = process.env;
    const child = spawn(process.execPath, [...process.execArgv, program], {
      detached: true,
      stdio: ["ignore", output.fd, output.fd],
      env: {
        ...inherited,
        FIREKEEPER_HOME: home,
        FIREKEEPER_GATE_LOG: serverLog(home),
        ...(options.acmeHook === undefined ? {} : { FIREKEEPER_ACME_HOOK: options.acmeHook }),
      },
    });
    child.unref();
    await output.close();
    report.gateStarted(child.pid);
    const startedAt = Date.now();
    const ended = (how: string) => {
      ours = false;
      if (retired) return;
      const said = readFileSync(startLog, "utf8").trim().slice(0, 2000);
      report.gateGone(said === "" ? how : `${how}: ${said}`);
      delayMs = Date.now() - startedAt > patienceMs ? firstDelayMs : Math.min(delayMs * 2, longestDelayMs);
      later(delayMs);
    };
    child.once("error", (error) => ended(error.message));
    child.once("exit", (code, signal) => ended(signal ?? `exit code ${code}`));
  }

  function later(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => void ensure(), ms);
  }

  async function ensure(): Promise<void> {
    if (retired || ours) return;
    const seen = await accepts(join(home, "control.sock"));
    const greeted =
      seen &&
      (await target.ready(greetMs).then(
        () => true,
        (error) => error instanceof CodedError && error.code !== "target/unreachable",
      ));
    if (!greeted) await start();
  }

  return {
    ensure,
    lost(gatePid) {
      // The exit of a gate that we started ourselves is seen at once; of an adopted one only its absence can be.
      if (retired || ours) return;
      const gone = gatePid !== undefined && !runs(gatePid);
      if (gone) report.gateGone("it no longer runs");
      later(gone ? 0 : patienceMs);
      if (!gone && gatePid !== undefined) setTimeout(() => !runs(gatePid) && later(0), 500).unref();
    },
    retire() {
      retired = true;
      clearTimeout(timer);
    },
  };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Whether a process runs; one that is dead and only not yet buried (a container without an init) does not. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return true; // Not Linux.
  }
}
