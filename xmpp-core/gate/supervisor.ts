import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "./report.ts";

export interface SupervisorOptions {
  readonly home: string;
  /** The core's program, a module path. */
  readonly entry: string;
  readonly log: Log;
  /** The core writes to pipes that end in the log; else to our own output. */
  readonly captured: boolean;
  /** Third failed boot in a row, the proven revision among them. */
  readonly onHopeless: () => void;
}

const failuresUntilProven = 2;
const firstDelayMs = 250;
const longestDelayMs = 10_000;
// A core that serves for seconds between its ends is worth more than the processor time of its starts.
const longestDelayOnceReadyMs = 1_000;
const steadyMs = 10_000;

/** Keeps one core running: at once after the first end, then with growing pauses; after two failed boots on the proven revision. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  #child: ChildProcess | undefined;
  /** Has loaded its program and waits for the present core to hand over. */
  #successor: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #handedOver = false;
  #stopping = false;
  #failedBoots = 0;
  #quickEnds = 0;
  #readyMs = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(): void {
    const waiting = this.#successor;
    this.#successor = undefined;
    const child = waiting ?? this.#spawn(false);
    this.#ready = false;
    this.#handedOver = false;
    this.#child = child;
    child.once("exit", (code, signal) => this.#ended(code, signal));
    // It has loaded the program and waits for this word.
    if (waiting !== undefined) waiting.send("go");
  }

  /** Starts the next core beside the one that runs; resolves when it has loaded its program, or has failed to. */
  prepareSuccessor(): Promise<void> {
    if (this.#stopping || this.#successor !== undefined) return Promise.resolve();
    const successor = this.#spawn(true);
    this.#successor = successor;
    return new Promise((resolve) => {
      successor.once("message", () => resolve());
      successor.once("exit", () => {
        if (this.#successor === successor) this.#successor = undefined;
        resolve();
      });
    });
  }

  #spawn(waits: boolean): ChildProcess {
    const { home, entry, log, captured } = this.#options;
    const boot = readBoot(home);
    const proven = this.#failedBoots >= failuresUntilProven;
    const heap = boot.heapMb === undefined ? [] : [`--max-old-space-size=${boot.heapMb}`];
    const { FIREKEEPER_BOOT: _, ...inherited } = process.env;
    const output = captured ? "pipe" : "inherit";
    const child = spawn(process.execPath, [...process.execArgv, ...heap, entry], {
      env: {
        ...inherited,
        FIREKEEPER_HOME: home,
        ...(proven ? { FIREKEEPER_BOOT: "proven" } : undefined),
        ...(waits ? { FIREKEEPER_SUCCESSOR: "waits" } : undefined),
      },
      stdio: ["ignore", output, output, ...(waits ? (["ipc"] as const) : [])],
    });
    child.stdout?.on("data", log.write);
    child.stderr?.on("data", log.write);
    child.once("error", (error) => log.report("error", "core-not-started", { entry, error: error.message }));
    log.report("info", "core-started", { pid: child.pid, revision: boot.revision, heapMb: boot.heapMb, proven, waits });
    return child;
  }

  /** The core has said that it is ready. */
  ready(): void {
    this.#ready = true;
    this.#failedBoots = 0;
    this.#readyMs = performance.now();
  }

  /** The core has handed its connections over and is about to exit. */
  handedOver(): void {
    this.#handedOver = true;
  }

  /** Waits for the core to end and starts no other. Resolves at once if there is none. */
  stopped(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    this.#successor?.kill();
    const child = this.#child;
    return child === undefined ? Promise.resolve() : new Promise((resolve) => child.once("exit", () => resolve()));
  }

  kill(): void {
    this.#successor?.kill("SIGKILL");
    this.#child?.kill("SIGKILL");
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined;
    const { log } = this.#options;
    if (this.#stopping) {
      log.report("info", "core-stopped", { code, signal });
      return;
    }
    if (this.#handedOver && code === 0) {
      this.#quickEnds = 0;
      this.start();
      return;
    }
    const steady = this.#ready && performance.now() - this.#readyMs >= steadyMs;
    this.#quickEnds = steady ? 0 : this.#quickEnds + 1;
    if (!this.#ready) this.#failedBoots += 1;
    const longestMs = this.#ready ? longestDelayOnceReadyMs : longestDelayMs;
    const delayMs = this.#quickEnds <= 1 ? 0 : Math.min(longestMs, firstDelayMs * 2 ** (this.#quickEnds - 2));
    log.report("error", "core-ended", { code, signal, booted: this.#ready, failedBoots: this.#failedBoots, delayMs });
    if (this.#failedBoots > failuresUntilProven) this.#options.onHopeless();
    this.#timer = setTimeout(() => this.start(), delayMs);
  }
}

/** What the core left for its successor; whatever cannot be read counts as not said. */
function readBoot(home: string): { heapMb?: number; revision?: number } {
  let left: unknown;
  try {
    left = JSON.parse(readFileSync(join(home, "boot.json"), "utf8"));
  } catch {
    return {};
  }
  if (typeof left !== "object" || left === null) return {};
  const { heapMb, revision } = left as { heapMb?: unknown; revision?: unknown };
  return {
    ...(typeof heapMb === "number" && Number.isInteger(heapMb) && heapMb > 0 ? { heapMb } : undefined),
    ...(typeof revision === "number" ? { revision } : undefined),
  };
}
