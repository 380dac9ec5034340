/** An agent in the test's process that drives a test core from the host file in its home, or from another store. */
import { join } from "node:path";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";
import type { TestCore } from "./core.ts";

/** Starts it and waits for its first look; it applies only what a person applies. */
export async function startAgentOn(
  core: TestCore,
  quietMs: number,
  more: Record<string, string> = {},
): Promise<AgentProcess> {
  const environment = readEnvironment(
    {
      FIREKEEPER_HOME: core.home,
      FIREKEEPER_CORE: join(core.home, "control.sock"),
      FIREKEEPER_RECONCILE: "0 0 1 1 *",
      FIREKEEPER_APPLY: "manual",
      ...more,
    },
    { dotenvPath: "/nonexistent" },
  );
  const agent = await startAgent(environment, { report: openReport("silent"), quietMs });
  await agent.settled;
  return agent;
}
