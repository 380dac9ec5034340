/** Opens the agent's metrics where FIREKEEPER_METRICS says; nowhere by default. */
import type { Agent } from "../agent.ts";
import type { Report } from "../report.ts";
import type { MetricsAddress } from "./address.ts";
import { agentObstacles, registerAgentGauges } from "./gauges.ts";
import { serveMetrics } from "./listener.ts";

/** How long a scrape waits for the server. */
const patienceMs = 2_000;

/** Returns the way to stop. Throws `metrics/not-listening`. */
export async function openMetrics(
  at: MetricsAddress | undefined,
  agent: Agent,
  { counters }: Pick<Report, "counters">,
): Promise<() => Promise<void>> {
  if (at === undefined) return async () => {};
  const { registry } = counters;
  registerAgentGauges(agent, counters, patienceMs);
  return serveMetrics(at, {
    contentType: registry.contentType,
    metrics: () => registry.metrics(),
    obstacles: () => agentObstacles(agent, counters, patienceMs),
  });
}
