/** `firekeeper freeze` and `firekeeper unfreeze`: nothing at all is applied in between, whoever asks. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { OutcomeDocument, StatusDocument } from "../agent.ts";
import { moment } from "../policy/duration.ts";
import { type AskingParts, askingCommand, renderOutcome } from "./command.ts";

export function freezeCommand(parts: AskingParts): Command {
  return askingCommand("freeze", "apply nothing, not even live changes, until then or until unfreeze")
    .addOption(
      new Option("--until <time>", "2026-12-24T18:00Z; without a zone, this machine's")
        .argParser((text) => ahead(text, "It must be a time to come, such as 2026-12-24T18:00Z."))
        .conflicts("for"),
    )
    .addOption(
      new Option("--for <time>", "2h, 3d").argParser((text) => ahead(text, "It must be a time such as 2h or 3d.")),
    )
    .option("--reason <text>", "told to whoever wants to apply")
    .action(async (options: { json?: boolean; until?: number; for?: number; reason?: string }) => {
      const { json, until = options.for, reason } = options;
      const frozen = (await parts.ask("freeze", { until, reason })) as NonNullable<StatusDocument["frozen"]>;
      const end = frozen.until === null ? "firekeeper unfreeze" : frozen.until;
      parts.print(json ? JSON.stringify(frozen) : `Frozen until ${end}: nothing is applied.`);
    });
}

export function unfreezeCommand(parts: AskingParts): Command {
  return askingCommand("unfreeze", "end a freeze: the store is followed again").action(
    async ({ json }: { json?: boolean }) => {
      const outcome = (await parts.ask("unfreeze")) as OutcomeDocument;
      parts.print(json ? JSON.stringify(outcome) : renderOutcome(outcome));
    },
  );
}

function ahead(text: string, rule: string): number {
  const at = moment(text, Date.now(), "ahead");
  if (at === undefined || at <= Date.now()) throw new InvalidArgumentError(rule);
  return at;
}
