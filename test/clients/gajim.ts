import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import Database from "better-sqlite3";
import { installed, packageVersion } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { desktopMissing, startDesktop } from "./desktop.ts";
import { certificateOf } from "./network.ts";
import { type Account, type ClientProgram, patienceMs, startMs } from "./real-client.ts";

const remote = ["--session", "--dest", "org.gajim.Gajim", "--object-path", "/org/gajim/dbus/RemoteObject"];

/**
 * Gajim on a display of its own: its settings written beforehand as its account window does, then spoken to by the
 * remote control that it offers on D-Bus. What it has read from the archive stands in its own database.
 */
export const gajim: ClientProgram = {
  name: "Gajim",
  async missing() {
    if (!(await installed("gajim"))) return "apt-get install gajim";
    return desktopMissing();
  },
  version: () => packageVersion("gajim"),
  async login(account) {
    const desktop = await startDesktop("gajim");
    const address = `${account.user}@${account.domain}`;
    const profile = join(desktop.home, "profile");
    let heard = "";
    let output = (): string => "";
    const transcript = (): string => `${heard}\n${output()}`;
    const stop = (): Promise<void> => desktop.stop();
    const expectation = (what: string, holds: () => boolean | Promise<boolean>, within = patienceMs): Promise<void> =>
      until(holds, within, () => `Gajim: no ${what}\n${transcript()}`).catch(async (error: unknown) => {
        await desktop.picture(`no ${what}`);
        throw error;
      });
    const call = (method: string, ...argv: string[]): Promise<string> =>
      desktop.ask("gdbus", "call", ...remote, "--method", `org.gajim.dbus.RemoteInterface.${method}`, ...argv);
    const lines = (event: string): string[] =>
      heard.split("\n").filter((line) => line.includes(`RemoteInterface.${event} `));
    const heardTimes = (from: string, body: string): number =>
      [...lines("NewMessage"), ...lines("GCMessage")].filter((line) =>
        new RegExp(`'${literal(from)}(/[^']*)?'>, <'${literal(body)}'>`).test(line),
      ).length;
    try {
      await writeProfile(profile, account, address);
      const monitor = desktop.start("gdbus", ["monitor", ...remote]);
      monitor.child.stdout?.on("data", (text: string) => {
        heard += text;
      });
      const program = desktop.start("gajim", ["-c", profile, "-l", "gajim.c.client=INFO,nbxmpp=INFO"], account.network);
      output = program.output;
      // It offers its remote control five seconds after its start.
      await expectation(
        "login",
        async () => /'online'/.test(await call("get_status", account.user).catch(() => "")),
        startMs,
      );
    } catch (error) {
      await stop();
      throw error;
    }
    await desktop.picture("logged in");
    return {
      address,
      async say(to, body) {
        const method = to === account.room?.address ? "send_groupchat_message" : "send_chat_message";
        await expectation(`"${body}" sent`, async () => (await call(method, to, body, account.user)).includes("true"));
      },
      heard: (from, body) => expectation(`"${body}" from ${from}`, () => heardTimes(from, body) > 0),
      timesHeard: async (from, body) => heardTimes(from, body),
      finds: (from, body) =>
        expectation(`archived "${body}"`, () => read(join(profile, "logs.db"), archived, from, body) > 0),
      sees: (contact, group) =>
        expectation(`${contact} in ${group}`, async () => {
          const contacts = (await call("list_contacts", account.user)).split("'name':");
          return contacts.some((one) => one.includes(`<'${contact}'>`) && one.includes(`'${group}'`));
        }),
      seesBusy: (contact) =>
        expectation(`${contact} busy`, async () =>
          (await call("list_contacts", account.user))
            .split("'name':")
            .some((one) => one.includes(`<'${contact}'>`) && one.includes("<'dnd'>")),
        ),
      hasPicture: (hash) => expectation(`picture ${hash}`, async () => existsSync(join(profile, "avatars", hash))),
      async losses() {
        return lines("AccountPresence").filter((line) => /'(offline|error|connecting)'/.test(line)).length;
      },
      transcript,
      stop,
    };
  },
};

const archived = "SELECT count(*) AS n FROM logs JOIN jids USING (jid_id) WHERE jid = ? AND message = ?";

/** A number out of a database that another program has open; 0 while it has not made it. */
function read(file: string, query: string, ...values: string[]): number {
  if (!existsSync(file)) return 0;
  const database = new Database(file, { readonly: true });
  try {
    return (database.prepare(query).get(...values) as { n: number }).n;
  } catch (error) {
    if (/no such table|locked/.test(String(error))) return 0;
    throw error;
  } finally {
    database.close();
  }
}

/** As after its account window: the account with or without custom host, its password in the settings, the remote control on. */
async function writeProfile(profile: string, account: Account, address: string): Promise<void> {
  await mkdir(join(profile, "cert_store"), { recursive: true });
  const certificate = account.network === undefined ? await certificateOf(account) : undefined;
  // What "Add to Trusted Certificates" leaves behind.
  if (certificate !== undefined) await writeFile(join(profile, "cert_store", "accepted"), certificate);
  const app = {
    ...{ remote_control: true, use_keyring: false, check_for_update: false, show_notifications: false },
    ...{ show_trayicon: false, plugins_repository_enabled: false, plugins_update_check: false },
  };
  const host = {
    use_custom_host: true,
    custom_host: account.host,
    custom_port: account.port,
    custom_type: "START TLS",
  };
  const settings = {
    ...{ active: true, name: account.user, hostname: account.domain, password: account.password, savepass: true },
    ...{ account_label: address, autoconnect: true, resource: "gajim" },
    ...(account.network === undefined ? host : {}),
  };
  const database = new Database(join(profile, "settings.sqlite"));
  database.exec(
    "CREATE TABLE settings (name TEXT UNIQUE, settings TEXT); CREATE TABLE account_settings (account TEXT UNIQUE, settings TEXT); PRAGMA user_version=5",
  );
  const put = database.prepare("INSERT INTO settings (name, settings) VALUES (?, ?)");
  put.run("app", JSON.stringify(app));
  put.run("workspaces", JSON.stringify({ 0: { name: "My Workspace", color: "", avatar_sha: "", chats: [] } }));
  for (const name of ["soundevents", "status_presets", "proxies", "plugins"]) put.run(name, "{}");
  database
    .prepare("INSERT INTO account_settings (account, settings) VALUES (?, ?)")
    .run(account.user, JSON.stringify({ account: settings, contact: {}, group_chat: {} }));
  database.close();
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
