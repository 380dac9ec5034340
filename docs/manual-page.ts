/** The manual page of `firekeeper`, from the commands themselves: `docs/firekeeper.1`, written by `npm run docs`. */
import type { Command } from "commander";
import { firekeeperProgram } from "../agent/commands/program.ts";

const nobody = () => Promise.reject(new Error("only described, never run"));

/** The command line without anything behind it. */
export function describedProgram(): Command {
  return firekeeperProgram({
    ask: nobody,
    store: nobody,
    offline: () => ({ home: "", by: "" }),
    print: () => {},
    exitCode: () => {},
  });
}

/** roff with the macros of man(7). */
export function manualPage(environment: readonly { readonly name: string; readonly meaning: string }[]): string {
  const program = describedProgram();
  return [
    '.\\" Written by npm run docs: edit the commands instead.',
    ".TH FIREKEEPER 1",
    ".SH NAME",
    `firekeeper \\- ${roff(program.description().replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    ".B firekeeper",
    ".I command",
    "[options]",
    ".SH DESCRIPTION",
    "Finds the agent by",
    ".BR FIREKEEPER_HOME",
    "and asks it. What reads or changes the host store works without an agent too.",
    ".SH COMMANDS",
    ...leaves(program).flatMap(commandLines),
    ".SH EXIT STATUS",
    "0 done, 1 error.",
    ".B firekeeper plan",
    "exits with 2 when there is something to do.",
    ".SH ENVIRONMENT",
    "Read from the environment and from",
    ".I .env",
    "in the current directory.",
    ...environment.flatMap(({ name, meaning }) => [".TP", `.B ${name}`, roff(meaning)]),
    "",
  ].join("\n");
}

type Leaf = { readonly path: string; readonly command: Command };

/** Every command that does something, in the order of the help. */
function leaves(command: Command, path: readonly string[] = []): Leaf[] {
  return command.commands.flatMap((one) => {
    const at = [...path, one.name()];
    return one.commands.length > 0 ? leaves(one, at) : [{ path: at.join(" "), command: one }];
  });
}

function commandLines({ path, command }: Leaf): string[] {
  return [
    ".TP",
    `.B firekeeper ${path}${command.registeredArguments.map((one) => ` ${roff(argument(one))}`).join("")}`,
    roff(sentence(command.description())),
    ...command.options.flatMap((one) => [
      ".RS",
      ".TP",
      `.B ${roff(one.flags)}`,
      roff(sentence(one.description)),
      ".RE",
    ]),
  ];
}

function argument(one: Command["registeredArguments"][number]): string {
  const name = one.variadic ? `${one.name()}...` : one.name();
  return one.required ? `<${name}>` : `[${name}]`;
}

function sentence(text: string): string {
  return text === "" ? "" : `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

/** Text as roff takes it: no line may begin with a dot or an apostrophe, and hyphens are minus signs. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("`", "")
    .replace(/^([.'])/gm, "\\&$1");
}
