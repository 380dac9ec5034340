/** `firekeeper history` and `firekeeper show`: who changed what, when, and with what result. */
import { type Command, InvalidArgumentError } from "commander";
import type { RevisionLine } from "../apply/journal.ts";
import { changeLine, effectLine } from "../plan/render.ts";
import { moment } from "../policy/duration.ts";
import { wholeNumber } from "./apply.ts";
import { type AskingParts, askingCommand } from "./command.ts";
import { table } from "./store-command.ts";

export function historyCommand(parts: AskingParts): Command {
  return askingCommand("history", "list the revisions, newest first")
    .option("--limit <number>", "how many", wholeNumber, 20)
    .option("--since <time>", "no older than 2026-11-01, 12h, 30d", ago)
    .option("--by <name>", "only by whom this is part of the name")
    .action(async ({ json, ...filter }: { json?: boolean; limit: number; since?: number; by?: string }) => {
      const lines = (await parts.ask("history", filter)) as RevisionLine[];
      if (json) parts.print(JSON.stringify(lines));
      else if (lines.length === 0)
        parts.print(filter.since === undefined && !filter.by ? "Nothing has been applied yet." : "Nothing fits.");
      else
        parts.print(
          table(["REVISION", "WHEN", "RESULT", "IMPACT", "CHANGES", "BY", "CAUSE"], lines.map(row)).join("\n"),
        );
    });
}

/** A moment in the past: a length of time or a date. */
export function ago(text: string): number {
  const at = moment(text, Date.now(), "back");
  if (at === undefined) throw new InvalidArgumentError("It must be a time such as 2026-11-01, 12h or 30d.");
  return at;
}

function row(line: RevisionLine): string[] {
  const { revision, at, impact, changes, by, cause } = line;
  return [String(revision), at.replace(/\.\d+Z$/, "Z"), resultOf(line), impact, String(changes.length), by, cause];
}

/** `proven`, `proven, to be confirmed`, `taken back` */
function resultOf({ result, confirmation }: RevisionLine): string {
  if (confirmation === "expired") return `${result}, taken back`;
  if (confirmation === undefined) return result;
  return `${result}, ${confirmation === "awaited" ? "to be confirmed" : "confirmed"}`;
}

/** What was asked for besides "apply", and how long it took. */
function particulars({ from, asked, applyMs, verifyMs }: RevisionLine): string[] {
  const said = [
    asked?.scope && `scope ${asked.scope}`,
    asked?.removals !== undefined && `${asked.removals} removals confirmed`,
    asked?.adopt && `adopting ${asked.adopt.join(", ")}`,
    asked?.plan && `a reviewed plan (${asked.plan.slice(0, 12)})`,
    asked?.now && "outside the maintenance window",
  ].filter(Boolean);
  const took = [
    applyMs !== undefined && `applied in ${applyMs} ms`,
    verifyMs !== undefined && `back and verified in ${verifyMs} ms`,
  ].filter(Boolean);
  return [
    ...(from || said.length > 0 ? [`  asked ${[from && `at the ${from}`, ...said].filter(Boolean).join(", ")}`] : []),
    ...(took.length > 0 ? [`  ${took.join(", ")}`] : []),
  ];
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
  const { revision, at, by, cause, why, changes, content } = shown;
  const lines = [
    `Revision ${revision}, ${resultOf(shown)}, ${at}, by ${by}: ${cause}`,
    ...(why ? [`  because ${why}`] : []),
    ...particulars(shown),
    ...changes.flatMap((change) => [
      `  ${change.impact.padEnd(8)} ${changeLine(change as Parameters<typeof changeLine>[0])}`,
      ...(change.effects ?? []).map(effectLine),
    ]),
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
