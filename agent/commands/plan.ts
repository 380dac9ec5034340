/** `firekeeper plan`: what an apply would do, and what is rejected and why. Exit code 0: nothing to do, 2: changes, 1: error. */
import type { Command } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { renderPlan } from "../plan/render.ts";
import { type AskingParts, askingCommand } from "./command.ts";

export function planCommand(parts: AskingParts): Command {
  return askingCommand("plan", "show what would change, the impact of each change, and what is rejected (a simulation)")
    .option("--adopt <name...>", "as if the local account or group of this name were the host's")
    .action(async ({ json, adopt }: { json?: boolean; adopt?: string[] }) => {
      const outcome = (await parts.ask("plan", { adopt })) as OutcomeDocument;
      const { plan, why = [] } = outcome;
      parts.print(json ? JSON.stringify(plan) : [renderPlan(plan), ...(why.length > 0 ? ["", ...why] : [])].join("\n"));
      if (plan.changes.length > 0) parts.exitCode(2);
    });
}
