/** What the commands that ask the agent have in common. */

import { Command } from "commander";
import type { OutcomeDocument } from "../agent.ts";
import { isWeakness } from "../errors.ts";
import { changeLine, headline, noticeLine } from "../plan/render.ts";

export interface AskingParts {
  /** Asks the running agent; rejects with `agent/not-running` when there is none. */
  ask(what: string, params?: Record<string, unknown>, progress?: (what: string | undefined) => void): Promise<unknown>;
  /** Shows what is being done; undefined where nobody watches, and told undefined to clear the line. */
  readonly progress?: ((what: string | undefined) => void) | undefined;
  print(text: string): void;
  /** The process's exit code, when it is not 0. */
  exitCode(code: number): void;
}

/** A command with `--json`; what the action returns is printed as text, or the answer as JSON. */
export function askingCommand(name: string, description: string): Command {
  return new Command(name).description(description).option("--json", "print JSON");
}

/** What an apply, a rollback or an edit came to, for people. */
export function renderOutcome(outcome: OutcomeDocument): string {
  const { plan } = outcome;
  const why = outcome.why ?? [];
  switch (outcome.is) {
    case "in step":
      return headline({ changes: [], impact: "none" });
    case "waiting":
      return [headline(plan), ...why].join("\n");
    case "applied": {
      const applied = outcome.applied ?? [];
      const left = plan.changes.length - applied.length;
      return [
        `Revision ${outcome.revision} is in force and verified: ${applied.length} ${applied.length === 1 ? "change" : "changes"}.`,
        ...applied.map((change) => `  ${changeLine(change)}`),
        ...(outcome.done ?? []).map((what) => `  ${what}`),
        ...(left > 0 ? [`${left} ${left === 1 ? "change waits" : "changes wait"}: firekeeper plan`] : []),
        ...(plan.rejected.length > 0 ? [`${plan.rejected.length} rejected: firekeeper plan`] : []),
        ...plan.notices.filter(isWeakness).map(noticeLine),
      ].join("\n");
    }
    case "rolled back":
      return `Revision ${outcome.revision} broke something (${why.join(" ")}); revision ${outcome.to} is in force again. The agent holds.`;
    case "unproven":
      return `Revision ${outcome.revision} is in force, but not proven: ${why.join(" ")}. The agent holds; firekeeper rollback goes back.`;
    default:
      return why.join("\n");
  }
}

/** 0 when the server is now as it was asked to be. */
export function outcomeCode(outcome: OutcomeDocument): number {
  return outcome.is === "in step" || outcome.is === "applied" ? 0 : 1;
}
