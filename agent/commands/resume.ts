/** `firekeeper resume`: ends a hold; what the store says is applied again. */
import type { Command } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { type AskingParts, askingCommand, renderOutcome } from "./command.ts";

export function resumeCommand(parts: AskingParts): Command {
  return askingCommand("resume", "end a hold: the store is followed again").action(
    async ({ json }: { json?: boolean }) => {
      const outcome = (await parts.ask("resume")) as OutcomeDocument;
      parts.print(json ? JSON.stringify(outcome) : renderOutcome(outcome));
    },
  );
}
