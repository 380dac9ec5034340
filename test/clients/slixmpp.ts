import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { packageVersion, succeeds } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { type ClientProgram, patienceMs } from "./real-client.ts";

type Event = {
  event: string;
  sender?: string;
  body?: string;
  show?: string;
  contacts?: Record<string, { groups: string[]; subscription: string }>;
};

// Debian's packages belong to Debian's Python, which need not be the first on the PATH.
const python = "/usr/bin/python3";
const script = fileURLToPath(new URL("slixmpp-person.py", import.meta.url));

/** slixmpp (Debian: python3-slixmpp), spoken to over JSON lines. */
export const slixmpp: ClientProgram = {
  name: "slixmpp",
  async missing() {
    return (await succeeds(python, "-c", "import slixmpp")) ? undefined : "apt-get install python3-slixmpp";
  },
  version: () => packageVersion("python3-slixmpp"),
  async login(account) {
    const [command = python, ...argv] = [...(account.network?.enter ?? []), python, script];
    const child = spawn(command, argv, { stdio: "pipe" });
    const events: Event[] = [];
    let log = "";
    let ended = false;
    const exited = new Promise<void>((resolve) => {
      child.once("close", () => {
        ended = true;
        resolve();
      });
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-50_000);
    });
    createInterface({ input: child.stdout }).on("line", (line) => events.push(JSON.parse(line) as Event));
    const order = (what: unknown): void => {
      child.stdin.write(`${JSON.stringify(what)}\n`);
    };
    const transcript = (): string => `${events.map((event) => JSON.stringify(event)).join("\n")}\n${log}`;
    const seen = (what: string, matches: (event: Event) => boolean): Promise<void> =>
      until(
        () => {
          if (events.some(matches)) return true;
          const over = ended || (account.once && events.some(({ event }) => event === "disconnected"));
          if (over) throw new Error(`slixmpp ended before ${what}\n${transcript()}`);
          return false;
        },
        patienceMs,
        () => `slixmpp: no ${what}\n${transcript()}`,
      );
    const address = `${account.user}@${account.domain}`;
    const stop = async (): Promise<void> => {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exited;
      clearTimeout(timer);
    };
    const { password, room, host, port } = account;
    order({ jid: address, password, room, ...(account.network === undefined ? { host, port } : {}) });
    try {
      await seen("session", (event) => event.event === "online");
    } catch (error) {
      await stop();
      throw error;
    }
    return {
      address,
      async say(to, body) {
        order({ do: "say", to, body, kind: to === room?.address ? "groupchat" : "chat" });
      },
      heard: (from, body) =>
        seen(`message "${body}"`, (event) => event.event === "message" && event.sender === from && event.body === body),
      timesHeard: async (from, body) =>
        events.filter((event) => event.event === "message" && event.sender === from && event.body === body).length,
      async finds(from, body) {
        order({ do: "archive", with: from });
        await seen(
          `archived "${body}"`,
          (event) => event.event === "archived" && event.sender === from && event.body === body,
        );
      },
      sees: (contact, group) =>
        seen(`contact ${contact} in ${group}`, (event) => event.contacts?.[contact]?.groups.includes(group) === true),
      seesBusy: (contact) => seen(`busy ${contact}`, (event) => event.sender === contact && event.show === "dnd"),
      losses: async () =>
        events.filter((event) => /^(disconnected|connection_failed|resumed)$/.test(event.event)).length,
      transcript,
      stop,
    };
  },
};
