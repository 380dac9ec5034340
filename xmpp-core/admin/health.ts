/** Whether a user could log in, and the numbers that a monitor collects. */
import { readdirSync } from "node:fs";
import { Gauge } from "prom-client";
import type { CoreStatus } from "../control/contract.ts";
import { clientListeners } from "../stream/listeners.ts";
import type { AdminParts } from "./parts.ts";

/** Readiness is "a user could log in": data can be written, certificates are there, every client port is open. Empty: ready. */
export function obstacles(parts: Pick<AdminParts, "storage" | "listening" | "certificates" | "control">): string[] {
  if (parts.control() === undefined) return ["starting"];
  // Anybody may ask, and often: nothing here grows with accounts or sessions.
  const clientPorts = parts.listening.status().filter(({ name }) => clientListeners.some((one) => one === name));
  return [
    ...(parts.storage.health === "ok" ? [] : ["storage"]),
    ...(clientPorts.length > 0 && clientPorts.every(({ state }) => state === "open") ? [] : ["listeners"]),
    ...(parts.certificates.status().length > 0 ? [] : ["certificates"]),
  ];
}

const oneScrapeMs = 50;

/** Registers what is read when somebody asks; counters are the report's own. */
export function registerGauges(parts: AdminParts): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `firekeeper_${name}`,
      help,
      registers: [parts.report.metrics],
      collect() {
        this.set(read());
      },
    });
  };
  let last: { at: number; status: CoreStatus | undefined } | undefined;
  /** One look for all gauges of a scrape: it counts every session. */
  const status = (): CoreStatus | undefined => {
    const now = parts.clock.now();
    if (last === undefined || now - last.at > oneScrapeMs || now < last.at)
      last = { at: now, status: parts.control()?.status() };
    return last.status;
  };
  gauge("ready", "1 if a user could log in", () => (obstacles(parts).length === 0 ? 1 : 0));
  gauge("sessions", "Sessions with a connection", () => status()?.sessions ?? 0);
  gauge("detached_sessions", "Sessions that wait to be resumed", () => status()?.detachedSessions ?? 0);
  gauge("accounts", "Accounts", () => status()?.accounts ?? 0);
  gauge("revision", "Revision in force", () => status()?.revision ?? 0);
  gauge("proven_revision", "Newest revision that verify has proven", () => status()?.proven ?? 0);
  gauge("agent_connected", "1 if an agent is connected", () => (parts.control()?.agent() === undefined ? 0 : 1));
  gauge("pending_changes", "Planned changes that are not in force", () => parts.control()?.agent()?.pending ?? 0);
  gauge("process_resident_bytes", "Memory of the core process", () => process.memoryUsage.rss());
  new Gauge({
    name: "firekeeper_process_open_descriptors",
    help: "Open files and sockets; clients' sockets are the gate's (Linux)",
    labelNames: ["process"],
    registers: [parts.report.metrics],
    collect() {
      this.set({ process: "core" }, openDescriptors("self"));
      this.set({ process: "gate" }, openDescriptors(parts.gatePid));
    },
  });
  gauge("process_cpu_seconds", "CPU time of the core process", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
}

/** 0 where the system does not tell. */
function openDescriptors(process: number | "self"): number {
  try {
    return readdirSync(`/proc/${process}/fd`).length;
  } catch {
    return 0;
  }
}
