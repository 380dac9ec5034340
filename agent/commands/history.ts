/** `firekeeper history` and `firekeeper show`: who changed what, when, and with what result. */
import type { Command } from "commander";
import type { RevisionLine } from "../apply/journal.ts";
import { changeLine } from "../plan/render.ts";
import { wholeNumber } from "./apply.ts";
import { type AskingParts, askingCommand } from "./command.ts";
import { table } from "./store-command.ts";

export function historyCommand(parts: AskingParts): Command {
  return askingCommand("history", "list the revisions, newest first")
    .option("--limit <number>", "how many", wholeNumber, 20)
    .action(async ({ json, limit }: { json?: boolean; limit: number }) => {
      const lines = (await parts.ask("history", { limit })) as RevisionLine[];
      if (json) parts.print(JSON.stringify(lines));
      else if (lines.length === 0) parts.print("Nothing has been applied yet.");
      else
        parts.print(
          table(["REVISION", "WHEN", "RESULT", "IMPACT", "CHANGES", "BY", "CAUSE"], lines.map(row)).join("\n"),
        );
    });
}

function row(line: RevisionLine): string[] {
  const { revision, at, result, impact, changes, by, cause } = line;
  return [String(revision), at.replace(/\.\d+Z$/, "Z"), result, impact, String(changes.length), by, cause];
}

type Shown = RevisionLine & {
  content: {
    settings: {
      domain?: string;
      admin?: string;
      externalAddress?: string;
      runtimeOptions?: string;
      properties: Record<string, string>;
    };
    groups: { name: string; members: "all" | string[] }[];
    supervisors: string[];
    accounts: { name: string }[];
  } | null;
};

export function showCommand(parts: AskingParts): Command {
  return askingCommand("show", "show one revision: what it changed and what it asked for")
    .argument("[revision]", "the one in force if left out", wholeNumber)
    .action(async (revision: number | undefined, { json }: { json?: boolean }) => {
      const shown = (await parts.ask("show", { revision })) as Shown;
      parts.print(json ? JSON.stringify(shown) : text(shown));
    });
}

function text(shown: Shown): string {
  const { revision, at, by, cause, result, why, changes, content } = shown;
  const lines = [
    `Revision ${revision}, ${result}, ${at}, by ${by}: ${cause}`,
    ...(why ? [`  because ${why}`] : []),
    ...changes.map(
      (change) => `  ${change.impact.padEnd(8)} ${changeLine(change as Parameters<typeof changeLine>[0])}`,
    ),
  ];
  if (!content) return [...lines, "It never was in force."].join("\n");
  const { settings, groups, supervisors, accounts } = content;
  return [
    ...lines,
    "",
    `domain ${settings.domain ?? "-"}, admin ${settings.admin ?? "admin"}, external address ${settings.externalAddress ?? "-"}, ${accounts.length} accounts`,
    ...Object.entries(settings.properties).map(([key, value]) => `  ${key} = ${value}`),
    ...groups.map(
      (group) => `  group ${group.name}: ${group.members === "all" ? "everybody" : `${group.members.length} members`}`,
    ),
    ...(supervisors.length > 0 ? [`  supervisors: ${supervisors.join(", ")}`] : []),
  ].join("\n");
}
