/** What the agent's events add up to, for a monitor. docs/metrics.md. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { periodicLook } from "../policy/schedules.ts";

export type AgentCounters = ReturnType<typeof agentCounters>;

/** How a look ended: as `Outcome.is`, a person's apply was refused, or it could not compare at all. */
export type LookResult =
  | "in step"
  | "waiting"
  | "applied"
  | "failed"
  | "rolled back"
  | "unproven"
  | "refused"
  | "no comparison";

/** A registry of its own, with what is counted when something happens. */
export function agentCounters() {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name: `firekeeper_agent_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name: `firekeeper_agent_${name}`, help, buckets, registers });
  const looks = counter("looks_total", "Comparisons of store and server", ["result"]);
  const lookSeconds = histogram("look_seconds", "Time of a comparison, apply included", [0.05, 0.2, 1, 5, 20, 60]);
  const applies = counter("applies_total", "Applies and rollbacks", ["result"]);
  const reads = counter("store_reads_total", "Reads of the host store", ["result"]);
  const readSeconds = histogram("store_read_seconds", "Time of a read of the host store", [0.01, 0.05, 0.2, 1, 5, 20]);
  const addresses = counter("external_address_changes_total", "External addresses that were taken up");
  const lastLook = new Gauge({
    name: "firekeeper_agent_last_look_timestamp_seconds",
    help: "When the last comparison ended (Unix time)",
    registers,
  });
  const lastSeconds = new Gauge({
    name: "firekeeper_agent_last_look_seconds",
    help: "How long the last comparison took",
    registers,
  });
  /** Periods that began since a look succeeded; undefined: none ever did. */
  let missed: number | undefined;
  return {
    registry,
    get missed() {
      return missed;
    },
    woken(cause: string) {
      if (cause === periodicLook && missed !== undefined) missed++;
    },
    /** @param at ms since the epoch. */
    looked(result: LookResult, at: number, tookMs: number) {
      looks.inc({ result });
      lookSeconds.observe(tookMs / 1000);
      lastLook.set(at / 1000);
      lastSeconds.set(tookMs / 1000);
      if (result !== "no comparison" && result !== "failed") missed = 0;
    },
    applied: (result: "applied" | "failed" | "rolled back" | "unproven") => applies.inc({ result }),
    storeRead(result: "read" | "failed", tookMs: number) {
      reads.inc({ result });
      readSeconds.observe(tookMs / 1000);
    },
    addressFollowed: () => addresses.inc(),
  };
}
