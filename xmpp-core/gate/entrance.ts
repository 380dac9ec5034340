import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import type { Opened } from "../frames.ts";
import { contains, plainAddress } from "./limits.ts";
import type { Listener } from "./listeners.ts";
import { awaitProxyHeader } from "./proxy-protocol.ts";
import type { Report } from "./report.ts";

/** Descriptors that are not connections: standard streams, logs, lock, event loop, link. */
const spareFiles = 40;
const politeMs = 2000;
/** A proxy sends its header at once. */
const mostHeaderMs = 5000;
/** A flood of refusals is one log line in this time, unless the listener says another. */
const defaultReportEveryMs = 1000;

/** Decides about each accepted connection: by descriptors, then by the listener's limits. */
export class Entrance {
  readonly #openFiles: number;
  readonly #report: Report;
  readonly #headerMs: number;
  /** Refused ones that are still being told so. */
  #leaving = 0;
  /** Those of proxies that have not yet said for whom, each with what gives the wait up. */
  readonly #introduced = new Map<Socket, () => void>();
  #unreported = 0;
  #reportedMs = Number.NEGATIVE_INFINITY;

  constructor(openFiles: number, report: Report, handshakeMs: number) {
    this.#openFiles = openFiles;
    this.#report = report;
    this.#headerMs = Math.min(handshakeMs, mostHeaderMs);
  }

  /**
   * Calls `enter` with the ends of the connection unless it is turned away: at once, or behind a proxy when that has
   * said who the client is. What the client sent is unread, and the socket paused, then.
   */
  admit(
    socket: Socket,
    listener: Listener,
    connections: () => number,
    enter: (ends: Pick<Opened, "remote" | "local">) => void,
  ): void {
    const { remoteAddress, remotePort, localAddress, localPort } = socket;
    socket.on("error", ignore);
    if (remoteAddress === undefined) {
      // Reset before it was accepted.
      socket.destroy();
      return;
    }
    const remote = { address: plainAddress(remoteAddress), port: remotePort ?? 0 };
    const own = { remote, local: { address: plainAddress(localAddress ?? ""), port: localPort ?? 0 } };
    if (!contains(listener.proxies, remote.address)) {
      if (this.#mayEnter(socket, listener, own.remote.address, connections())) enter(own);
      return;
    }
    if (this.#used(connections()) > this.#openFiles * 0.9) {
      socket.destroy();
      this.#log(listener.spec, remote.address, "descriptors");
      return;
    }
    const giveUp = awaitProxyHeader(socket, this.#headerMs, (ends = own, wrong) => {
      this.#introduced.delete(socket);
      if (wrong !== undefined) {
        socket.destroy();
        this.#log(listener.spec, remote.address, `proxy-header-${wrong}`);
        return;
      }
      if (!this.#mayEnter(socket, listener, ends.remote.address, connections())) return;
      enter(ends);
      if (!socket.destroyed) socket.resume();
    });
    this.#introduced.set(socket, giveUp);
  }

  /** Drops those that nobody has spoken for yet. */
  close(): void {
    for (const [socket, giveUp] of this.#introduced) {
      giveUp();
      socket.destroy();
    }
    this.#introduced.clear();
  }

  #used(connections: number): number {
    return connections + this.#leaving + this.#introduced.size + spareFiles;
  }

  #mayEnter(socket: Socket, listener: Listener, address: string, connections: number): boolean {
    const used = this.#used(connections);
    const entrance = used > this.#openFiles * 0.9 ? "descriptors" : listener.admission.enter(address);
    if (entrance === "admitted") return true;
    this.#refuse(socket, listener, used);
    this.#log(listener.spec, address, entrance);
    return false;
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
