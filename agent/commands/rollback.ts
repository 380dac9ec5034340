/** `firekeeper rollback`: puts the settings, roles and teams of a former revision in force again; then the agent holds. */
import type { Command } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { openJournal } from "../apply/journal.ts";
import { CodedError } from "../errors.ts";
import { lockHome } from "../supervise/home-lock.ts";
import { wholeNumber } from "./apply.ts";
import { type AskingParts, askingCommand, outcomeCode, renderOutcome } from "./command.ts";

/** `home` and `by` are for `--offline`, which works on the files. */
export function rollbackCommand(parts: AskingParts, offline: () => { home: string; by: string }): Command {
  return askingCommand("rollback", "put settings, roles and teams of a former revision in force again; passwords never")
    .argument("[revision]", "the one before the present one if left out", wholeNumber)
    .option("--accounts", "bring accounts back that were removed or disabled since")
    .option("--offline", "while nothing runs: the next start does it before anything else")
    .action(
      async (revision: number | undefined, options: { json?: boolean; accounts?: boolean; offline?: boolean }) => {
        const accounts = options.accounts === true;
        if (options.offline) {
          const { home, by } = offline();
          const goal = await orderRollback(home, revision, accounts, by);
          parts.print(
            options.json
              ? JSON.stringify({ is: "ordered", revision: goal })
              : `The next start returns to revision ${goal}.`,
          );
          return;
        }
        const outcome = (await parts.ask("rollback", { revision, accounts })) as OutcomeDocument;
        parts.print(options.json ? JSON.stringify(outcome) : text(outcome));
        const code = outcomeCode(outcome);
        if (code !== 0) parts.exitCode(code);
      },
    );
}

function text(outcome: OutcomeDocument): string {
  const notices = outcome.plan.notices.filter((one) => one.code === "plan/stays-removed");
  return [
    renderOutcome(outcome),
    ...notices.map((one) => `${one.message} ${one.hint ?? ""}`),
    "The agent holds: it applies nothing until the store changes or you say firekeeper resume.",
  ].join("\n");
}

/** Writes the order into the journal; throws `agent/home-in-use` while an agent runs. */
async function orderRollback(
  home: string,
  revision: number | undefined,
  accounts: boolean,
  by: string,
): Promise<number> {
  const unlock = await lockHome(home);
  try {
    const journal = await openJournal(home);
    try {
      const goal = revision ?? journal.former;
      if (goal === undefined || !journal.state(goal)) {
        throw new CodedError("rollback/unknown-revision", `There is no revision ${goal ?? "to return to"}.`, {
          hint: "firekeeper history lists them while the agent runs.",
        });
      }
      await journal.append({ is: "ordered", revision: goal, accounts, by });
      return goal;
    } finally {
      await journal.close();
    }
  } finally {
    unlock();
  }
}
