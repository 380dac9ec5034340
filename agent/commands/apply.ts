/** `firekeeper apply` and `firekeeper confirm`: applies what waits and returns when it is verified. */
import { readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { CodedError, explain } from "../errors.ts";
import { duration } from "../policy/duration.ts";
import { type AskingParts, askingCommand, outcomeCode, renderOutcome } from "./command.ts";

type Options = {
  json?: boolean;
  removals?: number;
  adopt?: string[];
  scope?: string;
  plan?: string;
  confirmWithin?: number;
  now?: boolean;
};

export function applyCommand(parts: AskingParts): Command {
  return askingCommand("apply", "apply what waits; returns when the change is verified")
    .option("--removals <number>", "confirm that many removals, as the plan shows them", wholeNumber)
    .option("--adopt <name...>", "let the host take over the local account or group of this name")
    .addOption(
      new Option("--scope <scope>", "users, roles and teams only, or settings only").choices(["roster", "settings"]),
    )
    .addOption(
      new Option("--plan <file>", "apply exactly what firekeeper plan --out wrote, or nothing").conflicts([
        "scope",
        "adopt",
      ]),
    )
    .option("--confirm-within <time>", "take it back unless firekeeper confirm follows within 30s, 5m, 1h", length)
    .option("--now", "do not wait for a maintenance window")
    .action(async ({ json, plan, confirmWithin: confirmMs, ...params }: Options) => {
      const reviewed = plan === undefined ? undefined : await planFile(plan);
      const asked = { ...params, confirmMs, reviewed };
      const outcome = (await parts.ask("apply", asked, json ? undefined : parts.progress)) as OutcomeDocument;
      parts.print(json ? JSON.stringify(outcome) : renderOutcome(outcome));
      if (outcome.is === "applied" && outcome.confirmBy !== undefined && !json)
        parts.print(
          `Revision ${outcome.revision} goes back at ${outcome.confirmBy} unless you say: firekeeper confirm`,
        );
      const code = outcomeCode(outcome);
      if (code !== 0) parts.exitCode(code);
    });
}

export function confirmCommand(parts: AskingParts): Command {
  return askingCommand("confirm", "keep what apply --confirm-within applied").action(
    async ({ json }: { json?: boolean }) => {
      const { revision } = (await parts.ask("confirm")) as { revision: number };
      parts.print(json ? JSON.stringify({ revision }) : `Revision ${revision} stays.`);
    },
  );
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

const longestMs = 7 * 86_400_000;

function length(text: string): number {
  const ms = duration(text);
  if (ms === undefined || ms < 1000 || ms > longestMs)
    throw new InvalidArgumentError("It must be a time from 1s to 7d, such as 30s, 5m or 1h.");
  return ms;
}

async function planFile(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new CodedError("plan/bad-file", `The plan file ${path} cannot be read: ${explain(error)}.`, {
      hint: "Make a new one: firekeeper plan --out FILE",
      cause: error,
    });
  }
}
