/** `firekeeper diff`: what two revisions differ in. */
import type { Command } from "commander";
import type { RevisionDifferences } from "../apply/revision-diff.ts";
import { wholeNumber } from "./apply.ts";
import { type AskingParts, askingCommand } from "./command.ts";

export function diffCommand(parts: AskingParts): Command {
  return askingCommand("diff", "what two revisions differ in: settings, groups, members, supervisors, accounts")
    .argument("[from]", "the one before the present one if left out", wholeNumber)
    .argument("[to]", "the one in force if left out", wholeNumber)
    .action(async (from: number | undefined, to: number | undefined, { json }: { json?: boolean }) => {
      const answer = (await parts.ask("diff", { from, to })) as RevisionDifferences;
      parts.print(json ? JSON.stringify(answer) : text(answer));
    });
}

function text({ from, to, differences }: RevisionDifferences): string {
  const count = differences.length;
  if (count === 0) return `Revisions ${from} and ${to} ask for the same.`;
  return [
    `From revision ${from} to ${to}: ${count} ${count === 1 ? "difference" : "differences"}`,
    ...differences.map(({ subject, from: was, to: is }) => {
      if (subject.startsWith("members of "))
        return `  ${subject}: ${[is && `${is} joined`, was && `${was} left`].filter(Boolean).join("; ")}`;
      if (was === null) return `+ ${subject}: ${is}`;
      return is === null ? `- ${subject}: ${was}` : `  ${subject}: ${was} → ${is}`;
    }),
  ].join("\n");
}
