/** `firekeeper journal export` and `journal verify`: the chain of lines, for an archive and for an auditor. They need no agent. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { readChain, start } from "../apply/journal-chain.ts";
import { CodedError, errno } from "../errors.ts";
import type { AskingParts } from "./command.ts";
import { ago } from "./history.ts";

export function journalCommand(parts: AskingParts, home: () => string): Command {
  const path = () => join(home(), "journal.jsonl");
  const command = new Command("journal").description(
    "the journal as a whole: an archive, or a proof that nobody changed it",
  );
  command
    .command("export")
    .description("print the journal's lines, each with the hash of the one before; a credential stands in none")
    .option("--since <time>", "no line older than 2026-11-01, 12h, 30d", ago)
    .action(async ({ since }: { since?: number }) => {
      const bytes = await bytesOf(path());
      const { entries, length } = readChain(path(), bytes);
      const lines = bytes.subarray(0, length).toString().split("\n").slice(0, entries.length);
      const first = since === undefined ? 0 : entries.findIndex((one) => Date.parse(one.at) >= since);
      if (first >= 0 && lines.length > 0) parts.print(lines.slice(first).join("\n"));
    });
  command
    .command("verify")
    .description("check the chain of the journal or of an export, and print its head; exit code 1 if it is broken")
    .argument("[file]", "an export; the journal of this home if left out")
    .option("--json", "print JSON")
    .action(async (file: string | undefined, { json }: { json?: boolean }) => {
      const given = file ?? path();
      const { entries, head, torn, before } = readChain(given, await bytesOf(given), { part: file !== undefined });
      const [first, last] = [entries[0], entries.at(-1)];
      const facts = { lines: entries.length, first: first?.n ?? 0, last: last?.n ?? 0, head, before, torn };
      const since = before === start ? "from the very first" : `from line ${facts.first}, after ${before}`;
      parts.print(
        json
          ? JSON.stringify(facts)
          : [
              `${facts.lines} lines, whole, ${since}, to line ${facts.last} of ${last?.at ?? "never"}.`,
              ...(torn > 0 ? [`A crash has cut a last line of ${torn} bytes; the agent repairs that.`] : []),
              `head ${head}`,
            ].join("\n"),
      );
    });
  return command;
}

async function bytesOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new CodedError("journal/unreadable", `The journal ${path} cannot be read.`, {
      hint: errno(error) === "ENOENT" ? "Name the file, or set FIREKEEPER_HOME." : "Run it as the agent's user.",
      cause: error,
    });
  }
}
