import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { escapeXML } from "ltx";
import { freshDirectory, installed, packageVersion } from "../peers/peer.ts";
import { until } from "../support/processes.ts";
import { type Account, type ClientProgram, patienceMs } from "./real-client.ts";

const run = promisify(execFile);
let terminals = 0;

/**
 * Finch, which is Pidgin's library in a terminal: the account written beforehand as a person fills it in (connect server,
 * port, require encryption), the certificate accepted in its dialog. What it shows also stands in its logs.
 */
export const finch: ClientProgram = finchWith({});

export interface FinchOptions {
  /** Further settings of the account, by the names that libpurple gives them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** A picture of the user's, PNG. */
  readonly icon?: Buffer;
  /** A chat as "Add Chat" writes it down, joined at login. */
  readonly chat?: { readonly room: string; readonly server: string; readonly handle: string };
}

export function finchWith({ settings = {}, icon, chat: given }: FinchOptions): ClientProgram {
  return {
    name: "Finch",
    async missing() {
      return (await installed("tmux", "finch")) ? undefined : "apt-get install finch tmux";
    },
    version: () => packageVersion("finch"),
    async login(account) {
      const directory = await freshDirectory("finch");
      const socket = `firekeeper-finch-${process.pid}-${++terminals}`;
      const tmux = async (...argv: string[]): Promise<string> =>
        (await run("tmux", ["-L", socket, "-f", "/dev/null", ...argv])).stdout;
      const chat = given ?? chatOf(account);
      const address = `${account.user}@${account.domain}`;
      let last = "";
      const screen = async (): Promise<string> => {
        last = await tmux("capture-pane", "-p", "-t", "main");
        return last;
      };
      const keys = (...names: string[]): Promise<string> => tmux("send-keys", "-t", "main", ...names);
      const folderOf = (whom: string): string => (whom === account.room?.address ? `${whom}.chat` : whom);
      const logged = async (folder: string): Promise<string> =>
        readAll(join(directory.path, "logs/jabber", address, folder));
      const expectation = (what: string, holds: () => Promise<boolean>): Promise<void> =>
        until(holds, patienceMs, () => `Finch: no ${what}\n${last}`);
      const stop = async (): Promise<void> => {
        await tmux("kill-server").catch(() => "");
        await directory.remove();
      };
      try {
        const withIcon = icon === undefined ? settings : { ...settings, buddy_icon: "own.png" };
        await writeFile(join(directory.path, "accounts.xml"), accountsXml(account, address, withIcon));
        await mkdir(join(directory.path, "icons"));
        if (icon !== undefined) await writeFile(join(directory.path, "icons/own.png"), icon);
        if (chat !== undefined) await writeFile(join(directory.path, "blist.xml"), chatXml(address, chat));
        await writeFile(join(directory.path, "prefs.xml"), prefsXml);
        const environment = ["-e", `HOME=${directory.path}`, "-e", "LC_ALL=C.UTF-8", "-e", "TERM=screen-256color"];
        const size = ["-x", "160", "-y", "50"];
        // What tmux starts is where tmux was started.
        const [command = "tmux", ...argv] = [
          ...(account.network?.enter ?? []),
          ...["tmux", "-L", socket, "-f", "/dev/null", "new-session", "-d", "-s", "main", ...size, ...environment],
        ];
        await run(command, [...argv, "finch", "-c", directory.path]);
        // In a network of ours the certificate is trusted.
        if (account.network === undefined) {
          await expectation("question about the certificate", async () => /Accept .*Reject/.test(await screen()));
          // The buddy list has the focus; the question is the window after it.
          await keys("M-n");
          await keys("Enter");
        }
        await expectation("login", async () => (await logged(".system")).includes("signed on"));
      } catch (error) {
        await stop();
        throw error;
      }
      // Windows lie over each other: the buddy list, the room, the conversation that the first message opens. The last line names them in order.
      const raise = async (window: "buddies" | "room" | "conversation"): Promise<void> => {
        const titles = async (): Promise<string[]> => (await screen()).trimEnd().split("\n").at(-1)?.split("│") ?? [];
        const kind = (title: string): typeof window =>
          title.includes("Buddy List") ? "buddies" : chat && title.includes(chat.room) ? "room" : "conversation";
        const place = async (): Promise<number> => (await titles()).findIndex((title) => kind(title) === window);
        await expectation(`window for the ${window}`, async () => (await place()) >= 0);
        await keys(`M-${(await place()) + 1}`);
      };
      return {
        address,
        async say(to, body) {
          await raise(to === account.room?.address ? "room" : "conversation");
          await keys("-l", body);
          await keys("Enter");
          await expectation(`"${body}" sent`, async () => (await logged(folderOf(to))).includes(body));
        },
        heard: (from, body) =>
          expectation(`"${body}" from ${from}`, async () => (await logged(folderOf(from))).includes(body)),
        timesHeard: async (from, body) => (await logged(folderOf(from))).split(body).length - 1,
        finds: undefined,
        async sees(contact, group) {
          await raise("buddies");
          await expectation(`${contact} in ${group}`, async () => {
            const shown = new RegExp(`[-+] ${group} `).test(await screen());
            return shown && groupsOf(await readQuietly(join(directory.path, "blist.xml")), contact).includes(group);
          });
        },
        async seesBusy(contact) {
          await raise("buddies");
          await expectation(`${contact} busy`, async () => (await screen()).includes(`⊖ ${contact.split("@")[0]}`));
        },
        losses: async () => (await logged(".system")).split("signed off").length - 1,
        transcript: () => last,
        stop,
      };
    },
  };
}

function accountsXml(account: Account, address: string, settings: Readonly<Record<string, string>>): string {
  const more = Object.entries(settings).map(
    ([name, value]) => `<setting name='${escapeXML(name)}' type='string'>${escapeXML(value)}</setting>`,
  );
  const byHand = `<setting name='port' type='int'>${account.port}</setting>
    <setting name='connect_server' type='string'>${escapeXML(account.host)}</setting>`;
  return `<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'><account>
  <protocol>prpl-jabber</protocol>
  <name>${escapeXML(address)}/finch</name>
  <password>${escapeXML(account.password)}</password>
  <settings>
    <setting name='connection_security' type='string'>require_tls</setting>
    ${account.network === undefined ? byHand : ""}
    ${more.join("")}
  </settings>
  <settings ui='gnt-purple'><setting name='auto-login' type='bool'>1</setting></settings>
</account></account>
`;
}

function chatOf({ room }: Account): FinchOptions["chat"] {
  const [name = "", server = ""] = room?.address.split("@") ?? [];
  return room === undefined ? undefined : { room: name, server, handle: room.nick };
}

function chatXml(address: string, chat: NonNullable<FinchOptions["chat"]>): string {
  const components = Object.entries(chat).map(
    ([name, value]) => `<component name='${name}'>${escapeXML(value)}</component>`,
  );
  return `<?xml version='1.0' encoding='UTF-8' ?>
<purple version='1.0'><blist><group name='Chats'>
  <chat proto='prpl-jabber' account='${escapeXML(address)}/finch'>${components.join("")}
    <setting name='gnt-autojoin' type='bool'>1</setting>
  </chat>
</group></blist></purple>
`;
}

/** Conversations and the account's own comings and goings go into text files; contacts who are away are shown too. */
const prefsXml = `<?xml version='1.0' encoding='UTF-8' ?>
<pref version='1' name='/'>
  <pref name='purple'><pref name='logging'>
    <pref name='log_ims' type='bool' value='1'/>
    <pref name='log_chats' type='bool' value='1'/>
    <pref name='log_system' type='bool' value='1'/>
    <pref name='format' type='string' value='txt'/>
  </pref></pref>
  <pref name='finch'><pref name='blist'><pref name='showoffline' type='bool' value='1'/></pref></pref>
</pref>
`;

/** The groups of a contact in libpurple's buddy list, which it writes some seconds after a change. */
function groupsOf(buddies: string, contact: string): string[] {
  return buddies
    .split("<group ")
    .slice(1)
    .filter((group) => group.includes(`<name>${contact}</name>`))
    .map((group) => /^name='([^']*)'/.exec(group)?.[1] ?? "");
}

async function readAll(directory: string): Promise<string> {
  const names = await readdir(directory).catch(() => []);
  return (await Promise.all(names.map((name) => readQuietly(join(directory, name))))).join("");
}

function readQuietly(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
