/** `firekeeper apply`: applies what waits and returns when it is verified. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { type AskingParts, askingCommand, outcomeCode, renderOutcome } from "./command.ts";

export function applyCommand(parts: AskingParts): Command {
  return askingCommand("apply", "apply what waits; returns when the change is verified")
    .option("--removals <number>", "confirm that many removals, as the plan shows them", wholeNumber)
    .option("--adopt <name...>", "let the host take over the local account or group of this name")
    .addOption(
      new Option("--scope <scope>", "users, roles and teams only, or settings only").choices(["roster", "settings"]),
    )
    .action(async ({ json, ...params }: { json?: boolean; removals?: number; adopt?: string[]; scope?: string }) => {
      const outcome = (await parts.ask("apply", params)) as OutcomeDocument;
      parts.print(json ? JSON.stringify(outcome) : renderOutcome(outcome));
      const code = outcomeCode(outcome);
      if (code !== 0) parts.exitCode(code);
    });
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}
