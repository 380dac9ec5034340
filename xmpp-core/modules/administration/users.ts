import { notStored } from "../../formats/stanza-error.ts";
/** Commands that make, remove, disable and end users of the server's own. XEP-0133 §4.1 to §4.4 */

import { type Field, parseForm, singleValueOf } from "../../formats/data-form.ts";
import { parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import {
  accountsNamed,
  askFor,
  completed,
  oneAccount,
  refusedFor,
  severalAccounts,
  submitted,
} from "../command-forms.ts";
import { endSessionsOf, eraseLocal, makeLocal } from "../local-accounts.ts";
import type { Core } from "../module.ts";
import { badPassword, stored } from "../own-password.ts";
import type { CommandAsk, CommandStep } from "../points.ts";

const longestText = 256;

/** The commands by the ends of their nodes, with what lists call them. */
export function userCommands(core: Core) {
  const used = (ask: CommandAsk, what: string, on: string): void => core.rights.used(ask.session.bareAddress, what, on);
  const notKept: CommandStep = { is: "error", error: notStored };

  async function add(ask: CommandAsk): Promise<CommandStep> {
    const form = ask.form && parseForm(ask.form);
    if (form?.type !== "submit") return askFor(newUser);
    const given = singleValueOf(form, "accountjid")?.trim() ?? "";
    const address = parseJid(given);
    const place = address && core.names.locate(address);
    if (place?.at !== "account" || place.served.id !== ask.served.id || place.resource !== "")
      return refusedFor("bad-request", `"${given}" is no address of a user of ${ask.session.view}.`);
    const { name } = place;
    const held = core.accounts.get(ask.served.id, name);
    if (held !== undefined) return refusedFor("conflict", taken(name, held));
    const password = singleValueOf(form, "password");
    const again = singleValueOf(form, "password-verify");
    if (again !== undefined && again !== password) return refusedFor("not-acceptable", "The two passwords differ.");
    const bad = badPassword(core, password);
    if (bad !== undefined || password === undefined)
      return bad === undefined ? refusedFor("not-acceptable", "A password is needed.") : { is: "error", error: bad };
    const texts = ["given_name", "surname", "email"].map((field) => singleValueOf(form, field)?.trim() || undefined);
    if (texts.some((text) => text !== undefined && (text.length > longestText || /\p{Cc}/u.test(text))))
      return refusedFor(
        "not-acceptable",
        `Names and mail addresses are one line of at most ${longestText} characters.`,
      );
    const [givenName, surname, email] = texts;
    const displayName = [givenName, surname].filter((part) => part !== undefined).join(" ") || undefined;
    const made = await makeLocal(core, ask.served, { name, displayName, email }, password);
    if (made === "taken") return refusedFor("conflict", taken(name, undefined));
    if (made === "not-stored") return notKept;
    used(ask, "add user", name);
    return completed(undefined);
  }

  /** Asks for addresses, then does it to all or, if it must not be done to one of them, to none. */
  function toSeveral(
    words: { title: string; label: string; done: string; journal: string },
    work: (account: Account) => Promise<boolean>,
    permitted: (ask: CommandAsk, account: Account) => string | undefined,
  ) {
    return async (ask: CommandAsk): Promise<CommandStep> => {
      const given = submitted(ask, "accountjids");
      if (given === undefined) return askFor({ title: words.title, fields: [severalAccounts(words.label)] });
      const accounts = accountsNamed(core, ask, given);
      if ("is" in accounts) return accounts;
      for (const account of accounts) {
        const why = permitted(ask, account);
        if (why !== undefined) return refusedFor("not-allowed", why);
      }
      for (const account of accounts) {
        if (!(await work(account))) return notKept;
        used(ask, words.journal, account.name);
      }
      return completed(`${accounts.map(({ name }) => name).join(", ")}: ${words.done}.`);
    };
  }

  async function erase(account: Account): Promise<boolean> {
    endSessionsOf(core, account, "The account was removed.");
    return eraseLocal(core, account);
  }

  async function enable(account: Account, enabled: boolean): Promise<boolean> {
    if (account.enabled === enabled) return true;
    const before = account.enabled;
    account.enabled = enabled;
    const { result, undo } = core.accounts.tentatively(() => core.accounts.save(account));
    if (!(await stored(core, result))) {
      undo();
      account.enabled = before;
      core.accounts.touched(account.name);
      return false;
    }
    if (!enabled) endSessionsOf(core, account, "The account was disabled.");
    for (const handlers of core.accountHandlers()) handlers.changed?.(account);
    return true;
  }

  const others =
    (what: string) =>
    (ask: CommandAsk, account: Account): string | undefined =>
      account === ask.session.account ? `You cannot ${what} your own account.` : ofHost(account, `${what} the user`);

  return [
    ["add-user", "Add a user", add],
    [
      "delete-user",
      "Delete users",
      toSeveral(
        { title: "Delete users", label: "Users to delete", done: "deleted", journal: "delete user" },
        erase,
        others("delete"),
      ),
    ],
    [
      "disable-user",
      "Disable users",
      toSeveral(
        { title: "Disable users", label: "Users to disable", done: "disabled", journal: "disable user" },
        (account) => enable(account, false),
        others("disable"),
      ),
    ],
    [
      "reenable-user",
      "Re-enable users",
      toSeveral(
        { title: "Re-enable users", label: "Users to re-enable", done: "enabled", journal: "re-enable user" },
        (account) => enable(account, true),
        (_, account) => ofHost(account, "enable the user"),
      ),
    ],
  ] as const;
}

function taken(name: string, held: Account | undefined): string {
  if (held?.origin === "host" && held.name === name) return `The host application already has a user ${name}.`;
  return `The name ${name} is taken.`;
}

function ofHost(account: Account, todo: string): string | undefined {
  if (account.origin === "local") return undefined;
  return `${account.name} belongs to the host application that manages the users: ${todo} there.`;
}

const textField = (name: string, label: string): Field => ({ name, label, type: "text-single", values: [] });
const secretField = (name: string, label: string): Field => ({ name, label, type: "text-private", values: [] });
const newUser = {
  title: "Add a user",
  instructions: "The account belongs to this server, not to the host application.",
  fields: [
    oneAccount("Address of the new account"),
    secretField("password", "Password"),
    secretField("password-verify", "Password again"),
    textField("email", "Mail address"),
    textField("given_name", "Given name"),
    textField("surname", "Family name"),
  ],
};
