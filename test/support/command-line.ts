/** The command line in this process, against a home in which an agent runs. */
import { askAgent } from "../../agent/agent-socket-client.ts";
import { firekeeperProgram } from "../../agent/commands/program.ts";
import { CodedError, explain } from "../../agent/errors.ts";

export interface Ran {
  readonly text: string;
  readonly code: number;
  /** What a terminal was shown meanwhile. */
  readonly progress: readonly string[];
}

/** `firekeeper WORDS` with `FIREKEEPER_HOME=home`; a failure is its sentence, as the program prints it, and code 1. */
export async function firekeeper(home: string, ...words: string[]): Promise<Ran> {
  const printed: string[] = [];
  const progress: string[] = [];
  let code = 0;
  const program = firekeeperProgram({
    ask: (what, params, hear) => askAgent(home, what, params, hear),
    progress: (what) => {
      if (what !== undefined) progress.push(what);
    },
    print: (text) => printed.push(text),
    exitCode: (value) => {
      code = value;
    },
    store: () => Promise.reject(new Error("not here")),
    offline: () => ({ home, by: "the test" }),
  });
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    printed.push(explain(error));
    code = 1;
  }
  return { text: printed.join("\n"), code, progress };
}
