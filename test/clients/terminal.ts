import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { freshDirectory } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { patienceMs } from "./real-client.ts";

const run = promisify(execFile);
let terminals = 0;

/** A program in a terminal of its own, with a home of its own: keys in by tmux, what the screen shows out. */
export interface Terminal {
  /** The program's home directory. */
  readonly home: string;
  /** Types a line and presses Enter. */
  type(line: string): Promise<void>;
  screen(): Promise<string>;
  /** Waits until the screen shows it; fails with what it showed instead. */
  shows(pattern: RegExp): Promise<void>;
  /** What the screen showed last. */
  last(): string;
  transcript(): string;
  stop(): Promise<void>;
}

/** @param enter what puts a program into another network */
export async function openTerminal(program: readonly string[], enter: readonly string[] = []): Promise<Terminal> {
  const [name = ""] = program;
  const directory = await freshDirectory(name);
  const base = ["tmux", "-L", `firekeeper-${process.pid}-${++terminals}`, "-f", "/dev/null"];
  const tmux = async (...argv: string[]): Promise<string> => (await run("tmux", [...base.slice(1), ...argv])).stdout;
  // What tmux starts is where tmux was started.
  const [command = "tmux", ...before] = [...enter, ...base];
  const screens: string[] = [];
  const screen = async (): Promise<string> => {
    const text = await tmux("capture-pane", "-p", "-J", "-t", "main");
    if (text !== screens.at(-1)) {
      screens.push(text);
      if (screens.length > 40) screens.shift();
    }
    return text;
  };
  const transcript = (): string => screens.slice(-6).join("\n----------\n");
  const stop = async (): Promise<void> => {
    await tmux("kill-server").catch(() => "");
    await directory.remove();
  };
  const variables = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"].map((one) => `${one}=${directory.path}`);
  const environment = [...variables, "LC_ALL=C.UTF-8"].flatMap((one) => ["-e", one]);
  try {
    const start = ["new-session", "-d", "-s", "main", "-x", "160", "-y", "200", ...environment, ...program];
    await run(command, [...before, ...start]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...{ home: directory.path, screen, transcript, stop },
    async type(line) {
      await tmux("send-keys", "-t", "main", "-l", line);
      await tmux("send-keys", "-t", "main", "Enter");
    },
    shows: (pattern) =>
      until(
        async () => pattern.test(await screen()),
        patienceMs,
        () => `${name} does not show ${pattern}\n${transcript()}`,
      ),
    last: () => screens.at(-1) ?? "",
  };
}
