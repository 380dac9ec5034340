/** `firekeeper restart`: replaces the core process; every connection stays. */
import type { Command } from "commander";
import { type AskingParts, askingCommand } from "./command.ts";

export function restartCommand(parts: AskingParts): Command {
  return askingCommand("restart", "replace the core process; connections stay").action(
    async ({ json }: { json?: boolean }) => {
      const answer = (await parts.ask("restart")) as { pid: number; startedAt: string };
      parts.print(
        json ? JSON.stringify(answer) : `The core runs anew as process ${answer.pid} since ${answer.startedAt}.`,
      );
    },
  );
}
