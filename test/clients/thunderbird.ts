import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { installed, packageVersion } from "../peers/peer.ts";
import { freePort } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { type Desktop, desktopMissing, type Program, startDesktop } from "./desktop.ts";
import { type Marionette, openMarionette } from "./marionette.ts";
import { type Account, type ClientProgram, patienceMs, type RealClient, startMs } from "./real-client.ts";

const binary = "/usr/lib/thunderbird/thunderbird";

/** Thunderbird with what a test does besides being a client: its windows for accounts and certificates. */
export interface Thunderbird extends RealClient {
  /** Ends it and starts it again with the same profile; resolves when it has its window. */
  restart(): Promise<void>;
  /** "connected", "disconnected: why" and so on, as its account list shows it. */
  state(): Promise<string>;
  connect(): Promise<void>;
  /** Waits until the window for certificate exceptions is open, and presses its button. */
  confirmException(): Promise<void>;
  exceptionWindows(): Promise<number>;
  /** Waits until that window is open. */
  exceptionOpen(): Promise<void>;
  /** Closes it by Cancel. */
  declineException(): Promise<void>;
  picture(name: string): Promise<void>;
}

/** Thunderbird's chat: the account made by its own wizard, then spoken to in the program itself by Marionette. */
export const thunderbird: ClientProgram = {
  name: "Thunderbird",
  async missing() {
    if (!(await installed("thunderbird"))) return "apt-get install thunderbird";
    return desktopMissing();
  },
  version: () => packageVersion("thunderbird"),
  async login(account) {
    // As the guide says where the certificate is self-signed.
    const client = await startThunderbird(account, { connectNow: false });
    try {
      await client.connect();
      await client.confirmException();
      await until(
        async () => (await client.state()) === "connected",
        patienceMs,
        () => `Thunderbird does not log in\n${client.transcript()}`,
      );
      if (account.room !== undefined) await client.say(account.room.address, "");
    } catch (error) {
      await client.picture("no login");
      await client.stop();
      throw error;
    }
    await client.picture("logged in");
    return client;
  },
};

export interface ThunderbirdOptions {
  /** Whether the last page's box stays checked. */
  readonly connectNow: boolean;
  /** An authority, PEM, that it trusts like those it came with. */
  readonly authority?: string;
}

/** Starts it with an empty profile and goes through the account wizard, up to Finish. */
export async function startThunderbird(account: Account, options: ThunderbirdOptions): Promise<Thunderbird> {
  const desktop = await startDesktop("thunderbird");
  const address = `${account.user}@${account.domain}`;
  let driven: { program: Program; marionette: Marionette } | undefined;
  const output = (): string => driven?.program.output() ?? "";
  let last = "";
  const transcript = (): string => `${last}\n${output()}`;
  const run = async <Result>(script: string, ...values: readonly unknown[]): Promise<Result> => {
    if (driven === undefined) throw new Error("Thunderbird is not running");
    return driven.marionette.run<Result>(helpers + script, ...values);
  };
  const expectation = (what: string, holds: () => Promise<boolean>): Promise<void> =>
    until(holds, patienceMs, () => `Thunderbird: no ${what}\n${transcript()}`).catch(async (error: unknown) => {
      await desktop.picture(`no ${what}`);
      throw error;
    });
  const heard = async (): Promise<Heard[]> => {
    const all = await run<Heard[]>("return listen().heard");
    last = JSON.stringify(all, null, 1);
    return all;
  };
  const times = async (from: string, body: string): Promise<number> =>
    (await heard()).filter((one) => one.conversation === from && one.incoming && one.text === body).length;
  const end = async (): Promise<void> => {
    driven?.marionette.close();
    await driven?.program.stop();
    driven = undefined;
  };
  const stop = async (): Promise<void> => {
    await end();
    await desktop.stop();
  };
  const start = async (): Promise<void> => {
    driven = await startProgram(desktop, account);
    await run("await mainWindow(); listen()");
  };
  try {
    await start();
    if (options.authority !== undefined) await run(trust, options.authority);
    await run(wizard, account, options.connectNow);
  } catch (error) {
    await desktop.picture("no start");
    await stop();
    throw error;
  }
  return {
    address,
    async say(to, body) {
      if (to === account.room?.address) await run(inRoom, to, account.room.nick, body);
      else await run("conversation(values[0]).sendMsg(values[1])", to, body);
    },
    heard: (from, body) => expectation(`"${body}" from ${from}`, async () => (await times(from, body)) > 0),
    timesHeard: times,
    finds: undefined,
    sees: (contact, group) =>
      expectation(`${contact} in ${group}`, () =>
        run<boolean>("return buddy(values[0])?.tags.includes(values[1]) ?? false", contact, group),
      ),
    seesBusy: (contact) =>
      expectation(`${contact} busy`, () => run<boolean>("return buddy(values[0])?.busy ?? false", contact)),
    losses: async () => await run<number>("return listen().losses"),
    transcript,
    stop,
    async restart() {
      await run("Services.startup.quit(Ci.nsIAppStartup.eAttemptQuit)").catch(() => {});
      await driven?.program.ended;
      await start();
    },
    state: () => run<string>("return state()"),
    async connect() {
      await run(accountList);
    },
    exceptionOpen: () =>
      expectation("window for an exception", async () => (await run<string>(exception, "look")) === "ready"),
    async declineException() {
      await run(
        "windows('exceptionDialog')[0].close(); await soon(() => !windows('exceptionDialog').length, 'end of it')",
      );
    },
    async confirmException() {
      await expectation(
        "window for an exception",
        async () => (await run<string>(exception, "confirm")) === "confirmed",
      );
    },
    exceptionWindows: () => run<number>("return windows('exceptionDialog').length"),
    picture: desktop.picture,
  };
}

type Heard = { conversation: string; who: string; text: string; incoming: boolean };

async function startProgram(desktop: Desktop, account: Account): Promise<{ program: Program; marionette: Marionette }> {
  const port = await freePort();
  const profile = join(desktop.home, "profile");
  await mkdir(profile, { recursive: true });
  const settings = {
    "marionette.port": port,
    "app.donation.eoy.version.viewed": 999,
    "browser.shell.checkDefaultClient": false,
    "mail.shell.checkDefaultClient": false,
    "mail.spotlight.firstRunDone": true,
    "mail.rights.version": 1,
    "mail.provider.enabled": false,
    "mail.inappnotifications.enabled": false,
    "datareporting.policy.dataSubmissionEnabled": false,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": true,
    "app.normandy.enabled": false,
    "network.dns.disableIPv6": true,
    "network.captive-portal-service.enabled": false,
    "network.connectivity-service.enabled": false,
    "extensions.update.enabled": false,
    "purple.logging.log_chats": true,
  };
  const lines = Object.entries(settings).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  await writeFile(join(profile, "user.js"), lines.join(""));
  const argv = ["--profile", profile, "--no-remote", "--marionette", "--remote-allow-system-access"];
  const program = desktop.start(binary, argv, account.network);
  const marionette = await openMarionette(port, startMs, program.output);
  return { program, marionette };
}

/** What the scripts below share; it goes before each of them. */
const helpers = `
const { IMServices } = ChromeUtils.importESModule("resource:///modules/IMServices.sys.mjs");
const { setTimeout } = ChromeUtils.importESModule("resource://gre/modules/Timer.sys.mjs");
const windows = (part) => [...Services.wm.getEnumerator(null)].filter((one) => one.location.href.includes(part));
const soon = async (holds, what) => {
  for (let tries = 0; tries < 900; tries++) {
    const held = await holds();
    if (held) return held;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("no " + what + " among " + windows("").map((one) => one.location.href));
};
const opened = (part) => soon(() => windows(part).find((one) => one.document.readyState === "complete"), part);
const mainWindow = () => opened("messenger.xhtml");
const account = () => IMServices.accounts.getAccounts()[0];
const state = () => {
  const one = account();
  if (!one) return "none";
  if (one.connected) return "connected";
  if (one.connecting) return "connecting";
  return "disconnected: " + one.connectionErrorMessage;
};
const listen = () => {
  const keeper = IMServices.conversations;
  const place = keeper.wrappedJSObject ?? keeper;
  if (place.heardByTest) return place.heardByTest;
  const kept = { heard: [], losses: 0, online: false, observe(subject, topic) {
    if (topic === "account-connected") kept.online = true;
    if (topic === "account-disconnected" && kept.online) kept.losses++;
    if (topic === "new-text") kept.heard.push({ conversation: subject.conversation.normalizedName ?? subject.conversation.name, who: subject.who, text: subject.originalMessage ?? subject.message, incoming: subject.incoming });
  } };
  place.heardByTest = kept;
  IMServices.core.init?.();
  for (const topic of ["new-text", "account-connected", "account-disconnected"]) Services.obs.addObserver(kept, topic);
  return kept;
};
const conversation = (name) => {
  const known = IMServices.conversations.getConversationByNameAndAccount(name, account(), false);
  return known ?? IMServices.conversations.getUIConversation(account().createConversation(name));
};
const buddy = (name) => {
  const found = IMServices.contacts.getAccountBuddyByNameAndAccount(name, account());
  return found && { tags: IMServices.contacts.getTags().filter((tag) => found.buddy.getAccountBuddies().some((one) => one.tag.id === tag.id)).map((tag) => tag.name), busy: found.statusType === Ci.imIStatusInfo.STATUS_UNAVAILABLE };
};
`;

/** Tools, Chat Status, Show Accounts: the wizard opens by itself, as there is no account yet; then page by page, as a person goes. */
const wizard = `
const [wanted, connectNow] = values;
const main = await mainWindow();
main.openDialog("chrome://messenger/content/chat/imAccounts.xhtml", "accounts", "chrome,resizable");
const dialog = await opened("imAccountWizard.xhtml");
const find = (id) => dialog.document.getElementById(id);
const wizard = find("wizard");
const type = (id, text) => {
  const field = find(id);
  field.focus();
  field.value = text;
  field.dispatchEvent(new dialog.Event("input", { bubbles: true }));
  field.dispatchEvent(new dialog.Event("change", { bubbles: true }));
  field.dispatchEvent(new dialog.Event("blur"));
};
const next = (page) => { wizard.advance(); return soon(() => wizard.currentPage.id === page, page); };
const list = find("protolist");
await soon(() => list.selectedItem, "list of networks");
list.selectedItem = [...list.children].find((one) => one.value === "prpl-jabber");
await next("accountusername");
type("name", wanted.user + "@" + wanted.domain);
if (find("name").value !== wanted.user || find("username-split-0").value !== wanted.domain) throw new Error("the address is not split");
await next("accountpassword");
type("password", wanted.password);
await next("accountadvanced");
if (!wanted.network) {
  type("prpl-jabber-server", wanted.host);
  type("prpl-jabber-port", String(wanted.port));
}
await next("accountsummary");
find("connectNow").checked = connectNow;
wizard.advance();
await soon(() => account(), "account");
`;

const trust = `
const store = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
store.addCertFromBase64(values[0].replace(/-----[A-Z ]+-----|\\s/g, ""), "C,,");
`;

/** Chat status: the list of accounts, and its Connect button. */
const accountList = `
const main = await mainWindow();
if (!windows("imAccounts.xhtml").length) main.openDialog("chrome://messenger/content/chat/imAccounts.xhtml", "accounts", "chrome,resizable");
await opened("imAccounts.xhtml");
await soon(() => account().disconnected || account().connected, "end of a try");
if (account().disconnected) account().connect();
`;

const inRoom = `
const [room, nick, body] = values;
const [name, server] = room.split("@");
const fields = account().getChatRoomDefaultFieldValues();
fields.setValue("room", name); fields.setValue("server", server); fields.setValue("nick", nick);
const known = IMServices.conversations.getConversationByNameAndAccount(room, account(), true);
if (!known) account().joinChat(fields);
if (body) IMServices.conversations.getConversationByNameAndAccount(room, account(), true).sendMsg(body);
`;

const exception = `
const [dialog] = windows("exceptionDialog");
if (!dialog) return "none";
if (dialog.document.readyState !== "complete") return "loads";
const button = dialog.document.getElementById("exceptiondialog")?.shadowRoot?.querySelector("button[dlgtype=extra1]");
if (!button || button.disabled || button.hidden) return "waits";
if (values[0] === "look") return "ready";
button.click();
return "confirmed";
`;
