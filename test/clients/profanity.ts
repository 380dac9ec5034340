import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { installed, packageVersion } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { type ClientProgram, patienceMs } from "./real-client.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

/** Profanity in a terminal, offline, with what makes its screen easy to read. */
export async function openProfanity(enter?: readonly string[]): Promise<Terminal> {
  const terminal = await openTerminal(["profanity", "-l", "DEBUG"], enter);
  try {
    await terminal.shows(/Profanity/);
    // One line a fact: no splash, no time stamps that wrap, console messages with their text.
    for (const line of ["/splash off", "/wrap off", "/roster hide", "/console chat all", "/mam on"])
      await terminal.type(line);
  } catch (error) {
    await terminal.stop();
    throw error;
  }
  return terminal;
}

/** Profanity in a terminal of its own. */
export const profanity: ClientProgram = {
  name: "Profanity",
  async missing() {
    return (await installed("tmux", "profanity")) ? undefined : "apt-get install profanity tmux";
  },
  version: () => packageVersion("profanity"),
  async login(account) {
    const terminal = await openProfanity(account.network?.enter);
    const { screen, shows, stop, transcript, type } = terminal;
    const address = `${account.user}@${account.domain}`;
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
        return terminal.last().split(body).length - 1;
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
        const lines = await readLog(terminal.home);
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
