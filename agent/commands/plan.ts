/** `firekeeper plan`: what an apply would do, and what is rejected and why. Exit code 0: nothing to do, 2: changes, 1: error. */
import { type Command, Option } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { renderPlan } from "../plan/render.ts";
import type { ReviewedPlan } from "../plan/review.ts";
import type { PlanDocument } from "../plan/types.ts";
import { writeWhole } from "../store/file-on-disk.ts";
import { type AskingParts, askingCommand } from "./command.ts";

type Options = { json?: boolean; adopt?: string[]; scope?: string; out?: string };

export function planCommand(parts: AskingParts): Command {
  return askingCommand("plan", "simulate an apply: what would change, who notices, who gains and loses what")
    .alias("simulate")
    .option("--adopt <name...>", "as if the local account or group of this name were the host's")
    .option("--out <file>", "write the plan (0600) for firekeeper apply --plan, which applies exactly that")
    .addOption(
      new Option("--scope <scope>", "with --out: users, roles and teams only, or settings only").choices([
        "roster",
        "settings",
      ]),
    )
    .action(async ({ json, adopt, scope, out }: Options) => {
      const answer = await parts.ask(out === undefined ? "plan" : "review", { adopt, scope });
      const { outcome, reviewed } =
        out === undefined
          ? { outcome: answer as OutcomeDocument, reviewed: undefined }
          : (answer as { outcome: OutcomeDocument; reviewed: ReviewedPlan });
      if (out !== undefined) await writeWhole(out, `${JSON.stringify(reviewed, null, 2)}\n`);
      const { why = [] } = outcome;
      const plan = (reviewed?.plan ?? outcome.plan) as PlanDocument;
      const lines = [renderPlan(plan), ...(why.length > 0 ? ["", ...why] : [])];
      if (out !== undefined) lines.push("", `Written to ${out}. To apply exactly this: firekeeper apply --plan ${out}`);
      parts.print(json ? JSON.stringify({ ...plan, waits: why }) : lines.join("\n"));
      if (plan.changes.length > 0) parts.exitCode(2);
    });
}
