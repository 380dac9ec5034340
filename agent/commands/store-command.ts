/** What `users`, `roles` and `settings` have in common: where passwords come from and how answers are printed. */
import { isCancel, password as promptPassword } from "@clack/prompts";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { deriveCredentials, generatePassword, wantedIterations } from "../credentials.ts";
import { CodedError } from "../errors.ts";
import type { HostChange } from "../store/host-change.ts";
import type { StoreAccess, StoreEdited } from "./store-access.ts";

export interface StoreCommandParts {
  /** Connects when a command needs it, not before. */
  store(): Promise<StoreAccess>;
  /** One line for the person or script. */
  print(line: string): void;
  /** All of standard input. */
  readInput(): Promise<string>;
  /** Asks at the terminal; undefined when there is none. */
  askPassword: ((question: string) => Promise<string>) | undefined;
}

/** The parts of a real terminal. */
export function terminalParts(store: () => Promise<StoreAccess>): StoreCommandParts {
  const { stdin, stdout } = process;
  return {
    store,
    print: (line) => stdout.write(`${line}\n`),
    async readInput() {
      let text = "";
      stdin.setEncoding("utf8");
      for await (const chunk of stdin) text += chunk;
      return text;
    },
    askPassword: stdin.isTTY && stdout.isTTY ? askAtTerminal : undefined,
  };
}

export interface PasswordOptions {
  readonly passwordStdin?: boolean;
  readonly generate?: boolean;
}

/** Keys of the password that was typed, piped or made; `made` is printed once. Throws when there is no way to get one. */
export async function credentialsFrom(
  parts: StoreCommandParts,
  store: StoreAccess,
  name: string,
  options: PasswordOptions,
): Promise<{ credentials: CredentialsText; made: string | undefined }> {
  const made = options.generate ? generatePassword() : undefined;
  const password = made ?? (await givenPassword(parts, name, options));
  const { settings } = await store.read();
  const credentials = await deriveCredentials(password, { iterations: wantedIterations(new Map(settings)) });
  return { credentials, made };
}

async function givenPassword(parts: StoreCommandParts, name: string, options: PasswordOptions): Promise<string> {
  if (options.passwordStdin) {
    const [line = "", ...rest] = (await parts.readInput()).replace(/\r?\n$/, "").split(/\r?\n/);
    if (line !== "" && rest.length === 0) return line;
    throw new CodedError("command/no-password", "Standard input must hold the password, as one line.", {
      hint: `For example: printf %s "$PASSWORD" | firekeeper users passwd ${name} --password-stdin.`,
    });
  }
  if (parts.askPassword) return parts.askPassword(`Password for ${name}`);
  throw new CodedError(
    "command/no-password",
    `No password for ${name} was given, and there is no terminal to ask at.`,
    {
      hint: "Use --password-stdin or --generate.",
    },
  );
}

/** Makes the change and prints what came of it; `extra` is added to the JSON, `lines` to the text. */
export async function editAndPrint(
  parts: StoreCommandParts,
  store: StoreAccess,
  change: HostChange,
  options: { readonly json?: boolean },
  made?: { readonly password: string | undefined },
): Promise<void> {
  const edited = await store.edit(change);
  if (options.json) {
    const { changed, summary, outcome = null, notices } = edited;
    parts.print(JSON.stringify({ changed, summary, outcome, notices, ...(made?.password ? made : {}) }));
    return;
  }
  parts.print(sentence(edited));
  if (made?.password) parts.print(`Password: ${made.password}`);
  for (const notice of edited.notices) parts.print(`Note: ${notice.message}${notice.hint ? ` ${notice.hint}` : ""}`);
}

function sentence(edited: StoreEdited): string {
  if (!edited.changed) return edited.summary;
  return `${edited.summary} ${edited.outcome ?? "It takes effect when the agent runs."}`;
}

/** Rows under their headings, in columns. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

async function askAtTerminal(question: string): Promise<string> {
  const first = await promptPassword({ message: question });
  const second = isCancel(first) ? first : await promptPassword({ message: "Once more" });
  if (isCancel(first) || isCancel(second))
    throw new CodedError("command/cancelled", "Cancelled, nothing was changed.", { hint: "" });
  if (first === second) return first;
  throw new CodedError("command/passwords-differ", "The two passwords differ, nothing was changed.", {
    hint: "Try again.",
  });
}
