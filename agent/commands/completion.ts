/** `firekeeper completion bash|zsh|fish`: a script for the shell, made from the commands themselves. */
import { Argument, Command } from "commander";
import type { AskingParts } from "./command.ts";

const shells = { bash, zsh, fish } as const;

export function completionCommand(parts: Pick<AskingParts, "print">, program: Command): Command {
  return new Command("completion")
    .description("print a completion script for a shell; eval it, or put it where the shell looks for such")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(shells)))
    .action((shell: keyof typeof shells) => parts.print(shells[shell](commandWords(program))));
}

/** One command with the words that may follow it. */
export interface CommandWords {
  /** `users add`; empty for the program itself. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly help: string }[];
}

/** Every command of the tree, and what may be typed behind each: subcommands, options, and arguments with a choice. */
export function commandWords(program: Command, path: readonly string[] = []): CommandWords[] {
  const words = [
    ...program.commands.map((one) => ({ word: one.name(), help: one.description() })),
    ...program.registeredArguments.flatMap((one) =>
      (one.argChoices ?? []).map((word) => ({ word, help: one.description })),
    ),
    ...program.options.map((one) => ({ word: one.long ?? one.flags, help: one.description })),
    { word: "--help", help: "display help" },
  ];
  const below = program.commands.flatMap((one) => commandWords(one, [...path, one.name()]));
  return [{ path: path.join(" "), words }, ...below];
}

function bash(all: readonly CommandWords[]): string {
  const cases = all.map(({ path, words }) => `    "${path}") words="${words.map((one) => one.word).join(" ")}" ;;`);
  return `# bash completion of firekeeper: eval "$(firekeeper completion bash)"
_firekeeper() {
  local path="" words="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) _firekeeper_is "\${path:+$path }$word" && path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
_firekeeper_is() {
  case "$1" in
    ${all.map(({ path }) => `"${path}"`).join(" | ")}) return 0 ;;
  esac
  return 1
}
complete -o default -F _firekeeper firekeeper`;
}

function zsh(all: readonly CommandWords[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const pair = ({ word, help }: CommandWords["words"][number]) =>
    quoted(`${word.replaceAll(":", "\\:")}:${help.replaceAll(":", "\\:")}`);
  const cases = all.map(
    ({ path, words }) => `    ${path === "" ? '""' : quoted(path)}) found=(${words.map(pair).join(" ")}) ;;`,
  );
  return `#compdef firekeeper
# zsh completion of firekeeper: eval "$(firekeeper completion zsh)"
_firekeeper() {
  local at="" word
  local -a found
  for word in "\${words[@]:1:$((CURRENT - 2))}"; do
    case "$word" in -*) continue ;; esac
    case "\${at:+$at }$word" in
      ${all.map(({ path }) => quoted(path)).join(" | ")}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at" in
${cases.join("\n")}
  esac
  _describe firekeeper found || _files
}
if [ "$funcstack[1]" = "_firekeeper" ]; then _firekeeper "$@"; else compdef _firekeeper firekeeper; fi`;
}

function fish(all: readonly CommandWords[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = all.flatMap(({ path, words }) =>
    words.map(({ word, help }) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${quoted(word)}`;
      return `complete -c firekeeper -n ${quoted(`__firekeeper_at ${quoted(path)}`)} ${what} -d ${quoted(help)}`;
    }),
  );
  return `# fish completion of firekeeper: firekeeper completion fish | source
function __firekeeper_at
  set -l known ${all.map(({ path }) => quoted(path)).join(" ")}
  set -l at ""
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; and continue
    set -l next (string trim "$at $word")
    contains -- $next $known; and set at $next
  end
  test "$at" = "$argv[1]"
end
${lines.join("\n")}`;
}
