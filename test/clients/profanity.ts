import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { freshDirectory, installed, packageVersion } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { type ClientProgram, patienceMs } from "./real-client.ts";

const run = promisify(execFile);
let terminals = 0;

/** Profanity in a terminal of its own: keys in by tmux, what the screen shows out. */
export const profanity: ClientProgram = {
  name: "Profanity",
  async missing() {
    return (await installed("tmux", "profanity")) ? undefined : "apt-get install profanity tmux";
  },
  version: () => packageVersion("profanity"),
  async login(account) {
    const directory = await freshDirectory("profanity");
    const socket = `firekeeper-${process.pid}-${++terminals}`;
    const tmux = async (...argv: string[]): Promise<string> =>
      (await run("tmux", ["-L", socket, "-f", "/dev/null", ...argv])).stdout;
    // What tmux starts is where tmux was started.
    const [tmuxCommand = "tmux", ...tmuxArguments] = [
      ...(account.network?.enter ?? []),
      ...["tmux", "-L", socket, "-f", "/dev/null"],
    ];
    const address = `${account.user}@${account.domain}`;
    const screens: string[] = [];
    const screen = async (): Promise<string> => {
      const text = await tmux("capture-pane", "-p", "-J", "-t", "main");
      if (text !== screens.at(-1)) {
        screens.push(text);
        if (screens.length > 40) screens.shift();
      }
      return text;
    };
    const type = async (line: string): Promise<void> => {
      await tmux("send-keys", "-t", "main", "-l", line);
      await tmux("send-keys", "-t", "main", "Enter");
    };
    const transcript = (): string => screens.slice(-6).join("\n----------\n");
    const shows = (pattern: RegExp): Promise<void> =>
      until(
        async () => pattern.test(await screen()),
        patienceMs,
        () => `Profanity does not show ${pattern}\n${transcript()}`,
      );
    const stop = async (): Promise<void> => {
      await tmux("kill-server").catch(() => "");
      await directory.remove();
    };
    // A room has its window from the join on, a chat gets one by its first message.
    const open = async (whom: string, body = ""): Promise<void> => {
      if (whom !== account.room?.address) {
        // In a room /msg knows occupants only.
        if (account.room !== undefined) await type("/win 1");
        await type(`/msg ${whom} ${body}`.trimEnd());
      } else {
        await type(`/join ${whom}`);
        if (body !== "") await type(body);
      }
    };
    // The window changes a moment after the keys; without a room it has been in front since the first message.
    const showsIn = (whom: string, body: string): Promise<void> => {
      const title = account.room === undefined ? "" : `^ *${whom.split("@")[0]}[\\s\\S]*`;
      return shows(new RegExp(title + literal(body)));
    };
    try {
      const environment = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"].flatMap((name) => [
        "-e",
        `${name}=${directory.path}`,
      ]);
      const start = [
        "new-session",
        "-d",
        "-s",
        "main",
        "-x",
        "160",
        "-y",
        "200",
        ...environment,
        "-e",
        "LC_ALL=C.UTF-8",
      ];
      await run(tmuxCommand, [...tmuxArguments, ...start, "profanity", "-l", "DEBUG"]);
      await shows(/Profanity/);
      // One line a fact: no splash, no time stamps that wrap, console messages with their text.
      for (const line of ["/splash off", "/wrap off", "/roster hide", "/console chat all", "/mam on"]) await type(line);
      const byHand = ` server ${account.host} port ${account.port} tls trust`;
      await type(`/connect ${address}${account.network === undefined ? byHand : ""}`);
      await shows(/password:/i);
      await type(account.password);
      await shows(/logged in successfully/);
      // The answer comes behind the presence: from here on messages to the bare address reach this session.
      // Profanity refuses to ask before it has learnt what the server supports.
      const answered = async (): Promise<boolean> => {
        await type("/ping");
        return /Ping response/.test(await screen());
      };
      await until(answered, patienceMs, () => `the server does not answer Profanity's ping\n${transcript()}`);
      if (account.room !== undefined) {
        await type(`/join ${account.room.address} nick ${account.room.nick}`);
        await shows(/You have joined the room/i);
      }
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      address,
      async say(to, body) {
        await open(to, body);
        await showsIn(to, body);
      },
      async heard(from, body) {
        await open(from);
        await showsIn(from, body);
      },
      async timesHeard(from, body) {
        await open(from);
        await showsIn(from, body);
        return (screens.at(-1) ?? "").split(body).length - 1;
      },
      async finds(from, body) {
        // With its archive support on, a new window asks for what was said before.
        await open(from);
        await showsIn(from, body);
      },
      async sees(contact, group) {
        const entry = new RegExp(`- +${literal(group)}:[^]*- +${literal(contact)} `);
        const listed = async (): Promise<boolean> => {
          await type("/win 1");
          await type("/clear");
          await type(`/roster group show ${group}`);
          return entry.test(await screen());
        };
        await until(listed, patienceMs, () => `Profanity does not list ${contact} in ${group}\n${transcript()}`);
      },
      async seesBusy(contact) {
        await type(`/msg ${contact}`);
        await shows(/\[dnd\]/);
      },
      async losses() {
        const lines = await readLog(directory.path);
        return lines.match(/Lost connection|Connection handler: .*disconnected/gi)?.length ?? 0;
      },
      transcript,
      stop,
    };
  },
};

/** Its own log names every lost connection, also one that scrolled off the screen. */
async function readLog(directory: string): Promise<string> {
  const logs = join(directory, "profanity/logs");
  const names = await readdir(logs);
  return (await Promise.all(names.map((name) => readFile(join(logs, name), "utf8")))).join("");
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
