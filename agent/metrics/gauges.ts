/** How the agent stands, read when somebody asks. Nothing here grows with accounts. docs/metrics.md. */
import { readdirSync } from "node:fs";
import { Gauge } from "prom-client";
import type { Impact } from "../../xmpp-core/control/contract.ts";
import type { Agent } from "../agent.ts";
import { pending } from "../outcome.ts";
import { confirmationOf, freezeOf } from "../standing.ts";
import type { AgentCounters } from "./counters.ts";

const impacts: readonly Impact[] = ["live", "listener", "restart", "migrate"];

/** Periods after which a monitor is told that nobody compares. */
const patientPeriods = 3;

/** Empty: the last look succeeded lately, and the server answers. */
export async function agentObstacles(agent: Agent, counters: AgentCounters, patienceMs: number): Promise<string[]> {
  const { missed } = counters;
  return [
    ...(missed === undefined || missed >= patientPeriods ? ["look"] : []),
    ...((await answers(agent, patienceMs)) ? [] : ["server"]),
  ];
}

async function answers({ parts: { target } }: Agent, patienceMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, patienceMs, false);
  });
  const asked = target.status().then(
    () => true,
    () => false,
  );
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

/** Adds the gauges to the counters' registry; once for each. */
export function registerAgentGauges(agent: Agent, counters: AgentCounters, patienceMs: number): void {
  const registers = [counters.registry];
  const { journal, policy } = agent.parts;
  const gauge = (name: string, help: string, read: () => number | Promise<number>) =>
    new Gauge({
      name: `firekeeper_agent_${name}`,
      help,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  const labelled = (name: string, help: string, label: string, read: () => readonly (readonly [string, number])[]) =>
    new Gauge({
      name: `firekeeper_agent_${name}`,
      help,
      labelNames: [label],
      registers,
      collect() {
        this.reset();
        for (const [text, value] of read()) this.set({ [label]: text }, value);
      },
    });

  gauge("ready", "1 if the last comparison succeeded lately and the server answers", async () =>
    (await agentObstacles(agent, counters, patienceMs)).length === 0 ? 1 : 0,
  );
  labelled("pending_changes", "Planned changes that are not in force", "impact", () => {
    const waiting = pending(agent.standing.last);
    const count = (impact: Impact) => waiting.filter((one) => one.impact === impact).length;
    return impacts.map((impact) => [impact, count(impact)] as const);
  });
  gauge("held", "1 if nothing is applied until a person says resume", () => (journal.hold ? 1 : 0));
  gauge("frozen", "1 if nothing is applied until the freeze ends", () => (freezeOf(agent.parts) ? 1 : 0));
  gauge("awaiting_confirmation", "1 if a revision goes back unless somebody confirms it", () =>
    confirmationOf(agent.parts) ? 1 : 0,
  );
  labelled("mode", "1 for the mode that is set, auto or manual", "mode", () => [[policy.mode, 1]]);
  labelled("last_error", "1 with the code of what the last comparison failed with", "code", () => {
    const { error } = agent.standing;
    return error === undefined ? [] : [[error.code, 1]];
  });
  gauge("revision", "Revision that was applied last", () => journal.revision ?? 0);
  gauge("proven_revision", "Newest revision that verify has proven", () => journal.proven ?? 0);
  gauge("journal_entries", "Lines of the journal since the very first", () => journal.entries.at(-1)?.n ?? 0);
  labelled("journal_head", "1 with the hash of the journal's last line", "head", () => [[journal.head, 1]]);
  gauge("process_resident_bytes", "Memory of the agent", () => process.memoryUsage.rss());
  gauge("process_open_descriptors", "Open files and sockets of the agent (Linux)", openDescriptors);
}

function openDescriptors(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}
