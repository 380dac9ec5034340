import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Opened } from "../frames.ts";
import { plainAddress } from "./limits.ts";
import type { Listener } from "./listeners.ts";
import type { Report } from "./report.ts";

/** Descriptors that are not connections: standard streams, logs, lock, event loop, link. */
const spareFiles = 40;
const politeMs = 2000;
/** A flood of refusals is one log line in this time, unless the listener says another. */
const defaultReportEveryMs = 1000;

/** Decides about each accepted connection: by descriptors, then by the listener's limits. */
export class Entrance {
  readonly #openFiles: number;
  readonly #report: Report;
  /** Refused ones that are still being told so. */
  #leaving = 0;
  #unreported = 0;
  #reportedMs = Number.NEGATIVE_INFINITY;

  constructor(openFiles: number, report: Report) {
    this.#openFiles = openFiles;
    this.#report = report;
  }

  /** The ends of the connection, or undefined when it was turned away. */
  admit(socket: Socket, listener: Listener, connections: number): Pick<Opened, "remote" | "local"> | undefined {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    socket.on("error", ignore);
    if (remoteAddress === undefined) {
      // Reset before it was accepted.
      socket.destroy();
      return undefined;
    }
    const remote = { address: plainAddress(remoteAddress), port: remotePort ?? 0 };
    const used = connections + this.#leaving + spareFiles;
    const entrance = used > this.#openFiles * 0.9 ? "descriptors" : listener.admission.enter(remote.address);
    if (entrance === "admitted")
      return { remote, local: { address: plainAddress(localAddress ?? ""), port: localPort ?? 0 } };
    this.#refuse(socket, listener, used);
    this.#log(listener.spec, remote.address, entrance);
    return undefined;
  }

  /** Polite as long as there are descriptors to be polite with. */
  #refuse(socket: Socket, { spec }: Listener, used: number): void {
    const text = spec.limits?.refusal;
    if (text === undefined || spec.tls === "required" || used > this.#openFiles * 0.95) {
      socket.destroy();
      return;
    }
    this.#leaving += 1;
    socket.once("close", () => {
      this.#leaving -= 1;
    });
    socket.setTimeout(politeMs, () => socket.destroy());
    // Unread bytes would turn our FIN into a reset, and the text would be lost.
    socket.resume();
    socket.end(text);
  }

  #log({ name: listener, limits }: Listener["spec"], address: string, limit: string): void {
    this.#unreported += 1;
    const now = performance.now();
    if (now - this.#reportedMs < (limits?.reportEveryMs ?? defaultReportEveryMs)) return;
    this.#report("warn", "connections-refused", { listener, address, limit, count: this.#unreported });
    this.#unreported = 0;
    this.#reportedMs = now;
  }
}

function ignore(): void {}

/** The soft limit of open files; Node raises it to the hard one when it starts. */
export function openFileLimit(): number {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === undefined || limit === "unlimited" ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    // macOS has no /proc; this is its default for a raised soft limit.
    return 10_240;
  }
}
