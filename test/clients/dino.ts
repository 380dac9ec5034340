import { existsSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { installed, packageVersion } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { type Desktop, desktopMissing, startDesktop } from "./desktop.ts";
import { type Account, type ClientProgram, patienceMs, startMs } from "./real-client.ts";

/** Received or sent, as Dino writes it down. */
const received = 0;
const sent = 1;

/**
 * Dino on a display of its own. It has no field for a host and lets nobody past a certificate that the system does not
 * trust, so it only comes by DNS. Its account is written into its database, what it shows is read from there, and what
 * it says is typed into its window.
 */
export const dino: ClientProgram = {
  name: "Dino",
  async missing() {
    if (!(await installed("dino-im"))) return "apt-get install dino-im";
    return desktopMissing();
  },
  version: () => packageVersion("dino-im"),
  async login(account) {
    const desktop = await startDesktop("dino");
    const address = `${account.user}@${account.domain}`;
    const file = join(desktop.home, ".local/share/dino/dino.db");
    let output = (): string => "";
    const expectation = (what: string, holds: () => boolean | Promise<boolean>, within = patienceMs): Promise<void> =>
      until(holds, within, () => `Dino: no ${what}\n${output()}`).catch(async (error: unknown) => {
        await desktop.picture(`no ${what}`);
        throw error;
      });
    const ask = (query: string, ...values: (string | number)[]): number => number(file, query, values);
    const times = (from: string, body: string, direction: number): number => ask(messages, from, body, direction);
    // Every stream that it opens: one before TLS, one after it, one after the login, and more if it had to come again.
    let streams = 0;
    const count = (text: string): void => {
      streams += text.split("<{http://etherx.jabber.org/streams}:stream ").length - 1;
    };
    try {
      await makeDatabase(desktop, file, account, expectation);
      const program = desktop.start("dino-im", ["--print-xmpp=all"], account.network);
      output = program.output;
      program.child.stdout?.on("data", count);
      program.child.stderr?.on("data", count);
      await expectation("login", () => ask("SELECT count(*) AS n FROM roster") > 0, startMs);
      await expectation("window", async () => (await window(desktop)) !== undefined, startMs);
    } catch (error) {
      await desktop.stop();
      throw error;
    }
    await desktop.picture("logged in");
    const opened = streams;
    return {
      address,
      async say(to, body) {
        await expectation(`conversation with ${to}`, () => ask(conversations, to) > 0);
        const [path, method] = ["/im/dino/Dino", "org.gtk.Actions.Activate"];
        const action = ["open-conversation", `[<int32 ${ask(conversations, to)}>]`, "{}"];
        await desktop.ask(
          ...(["gdbus", "call", "--session", "--dest", "im.dino.Dino"] as const),
          ...["--object-path", path, "--method", method, ...action],
        );
        const place = (await window(desktop)) ?? "";
        await desktop.ask("xdotool", "windowfocus", "--sync", place, "type", "--delay", "20", body);
        await desktop.ask("xdotool", "key", "Return");
        await expectation(`"${body}" sent to ${to}`, () => times(to, body, sent) > 0);
      },
      heard: (from, body) => expectation(`"${body}" from ${from}`, () => times(from, body, received) > 0),
      timesHeard: async (from, body) => times(from, body, received),
      finds: (from, body) => expectation(`archived "${body}"`, () => times(from, body, received) > 0),
      sees: (contact) =>
        expectation(`contact ${contact}`, () => ask("SELECT count(*) AS n FROM roster WHERE jid = ?", contact) > 0),
      seesBusy: (contact) => expectation(`${contact} busy`, () => busy(output(), contact)),
      hasPicture: (hash) =>
        expectation(`picture ${hash}`, () => existsSync(join(desktop.home, ".local/share/dino/avatars", hash))),
      losses: async () => streams - opened,
      transcript: () => output(),
      stop: desktop.stop,
    };
  },
};

const messages =
  "SELECT count(*) AS n FROM message JOIN jid ON jid.id = message.counterpart_id WHERE jid.bare_jid = ? AND body = ? AND direction = ?";
const conversations =
  "SELECT coalesce(max(conversation.id), 0) AS n FROM conversation JOIN jid ON jid.id = conversation.jid_id WHERE jid.bare_jid = ?";

/** Its first start makes the tables; the account goes into them as its own dialog would put it there. */
async function makeDatabase(
  desktop: Desktop,
  file: string,
  account: Account,
  expectation: (what: string, holds: () => boolean | Promise<boolean>, within?: number) => Promise<void>,
): Promise<void> {
  const first = desktop.start("dino-im", []);
  await expectation(
    "database",
    () => existsSync(file) && number(file, "SELECT count(*) AS n FROM sqlite_master WHERE name = 'account'", []) > 0,
    startMs,
  );
  await expectation("first window", async () => (await window(desktop)) !== undefined, startMs);
  await first.stop();
  const database = new Database(file);
  database
    .prepare("INSERT INTO account (bare_jid, resourcepart, password, alias, enabled) VALUES (?, 'dino', ?, '', 1)")
    .run(`${account.user}@${account.domain}`, account.password);
  database.close();
}

async function window(desktop: Desktop): Promise<string | undefined> {
  const found = await desktop.ask("xdotool", "search", "--onlyvisible", "--class", "dino").catch(() => "");
  return found.split("\n").find((line) => line !== "");
}

function busy(log: string, contact: string): boolean {
  return log.split("<presence").some((one) => one.includes(contact) && one.includes("dnd"));
}

/** A number out of the database that Dino has open; 0 while it has not made it. */
function number(file: string, query: string, values: readonly (string | number)[]): number {
  const database = new Database(file, { readonly: true });
  try {
    return (database.prepare(query).get(...values) as { n: number } | undefined)?.n ?? 0;
  } catch (error) {
    if (/no such table|locked/.test(String(error))) return 0;
    throw error;
  } finally {
    database.close();
  }
}
