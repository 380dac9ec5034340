import { booleanOf, field, formElement, parseForm } from "../formats/data-form.ts";
import { notStored } from "../formats/stanza-error.ts";
import { prepareLocal } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { boolean } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import { read, write } from "../storage/statement.ts";
import { text, x } from "../xml/writer.ts";
import { refusedFor } from "./command-forms.ts";
import { type Core, defineModule } from "./module.ts";
import { stored } from "./own-password.ts";
import { type CommandAsk, type CommandStep, commands } from "./points.ts";
import { type ShownPresence, shownPresence } from "./shown-presence.ts";
import { type PageAnswer, publicPages } from "./web-points.ts";

const enabled = property("firekeeper.web-presence.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether people may show on web pages whether they are there: /status/<user> on the web port, for those who agreed by a command of their client.",
});

const migration = {
  name: "0072_web-presence",
  sql: "CREATE TABLE web_presence (account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE);",
};
const all = read<[], { account: number }>("SELECT account FROM web_presence");
const agree = write<[account: number]>("INSERT OR IGNORE INTO web_presence (account) VALUES (?)");
const withdraw = write<[account: number]>("DELETE FROM web_presence WHERE account = ?");

const node = "urn:firekeeper:web-presence";

/** Images and texts for web pages that say whether somebody is there. docs/administration.md */
export const webPresence = defineModule({
  name: "web-presence",
  implements: [],
  properties: [enabled],
  migrations: [migration],
  start,
});

const nobody: ShownPresence = { show: "offline", status: undefined };

function start(core: Core) {
  const shown = new Set<number>();
  const ready = core.storage.read(all).then((rows) => {
    for (const { account } of rows) shown.add(account);
  });
  const on = (): boolean => core.properties.get(enabled);

  /** Whoever did not agree, and whoever does not exist, is as somebody who is away. */
  function presenceOf(name: string): ShownPresence {
    const local = prepareLocal(name);
    const account = local === undefined ? undefined : core.accounts.get(core.names.primary.id, local);
    return account?.enabled && !account.probe && shown.has(account.id) ? shownPresence(core, account) : nobody;
  }

  core.offer(publicPages, {
    root: "/status",
    answer([name, form = "image", ...more]) {
      if (!on() || name === undefined || more.length > 0) return undefined;
      return forms.get(form)?.(presenceOf(name), name);
    },
  });

  async function choose(account: Account, agreed: boolean): Promise<boolean> {
    if (!(await stored(core, [(agreed ? agree : withdraw).with(account.id)]))) return false;
    if (agreed) shown.add(account.id);
    else shown.delete(account.id);
    return true;
  }

  async function run({ session, form }: CommandAsk): Promise<CommandStep> {
    const { account } = session;
    if (!on()) return refusedFor("not-allowed", "Nobody's status is shown on web pages here.");
    const given = form && parseForm(form);
    const agreed = given?.type === "submit" ? booleanOf(given, "shown") : undefined;
    if (agreed === undefined)
      return {
        is: "form",
        form: formElement({
          ...{ type: "form", formType: node, title: "Your status on the web" },
          instructions: "Anybody who knows your name can then see whether you are here, and what you wrote beside it.",
          fields: [{ ...field("shown", shown.has(account.id)), type: "boolean", label: "Show my status on web pages" }],
        }),
      };
    if (!(await choose(account, agreed))) return { is: "error", error: notStored };
    const place = core.webAddress(session.view);
    if (!agreed || place === undefined) return { is: "completed", note: agreed ? "Shown." : "No longer shown." };
    return { is: "completed", note: `Shown at ${place}/status/${account.name}` };
  }

  core.offer(commands, { node, name: "Show your status on the web", by: "anyone", shownTo: on, run });
  return { ready };
}

const colours = {
  online: "#2fb344",
  chat: "#2fb344",
  away: "#f59f00",
  xa: "#f59f00",
  dnd: "#d63939",
  offline: "#9a9a9a",
} as const;
const words = {
  online: "online",
  chat: "free to chat",
  away: "away",
  xa: "away for longer",
  dnd: "do not disturb",
  offline: "offline",
} as const;

const forms = new Map<string, (presence: ShownPresence, name: string) => PageAnswer>([
  ["image", ({ show }) => ({ type: "image/svg+xml; charset=utf-8", body: picture(show) })],
  ["text", ({ show }) => ({ type: "text/plain; charset=utf-8", body: `${words[show]}\n` })],
  ["message", ({ status }) => ({ type: "text/plain; charset=utf-8", body: `${status ?? ""}\n` })],
  [
    "json",
    ({ show, status }) => ({
      type: "application/json; charset=utf-8",
      body: `${JSON.stringify({ show, message: status ?? "" })}\n`,
    }),
  ],
  [
    "html",
    ({ show, status }, name) => ({
      type: "text/html; charset=utf-8",
      body: `<!doctype html>${x(
        "html",
        { lang: "en" },
        x("head", {}, x("title", {}, text(name))),
        x(
          "body",
          {},
          x("p", {}, x("img", { src: `/status/${name}`, alt: words[show] }), text(` ${status ?? words[show]}`)),
        ),
      )}\n`,
    }),
  ],
]);

function picture(show: ShownPresence["show"]): string {
  const circle = x("circle", { cx: "8", cy: "8", r: "6", fill: colours[show] });
  const attributes = { xmlns: "http://www.w3.org/2000/svg", width: "16", height: "16", role: "img" };
  return `${x("svg", attributes, x("title", {}, text(words[show])), circle)}\n`;
}
