/** A user changes the own password, or an admin that of somebody the server owns: here, where the account is the server's, else in the host store, through the agent. docs/passwords.md. */

import type { Element } from "ltx";
import { deriveCredentials, formatCredentials, parseCredentials, preparePassword } from "../auth/keys.ts";
import { scramIterations } from "../auth/properties.ts";
import { CodedError } from "../errors.ts";
import { ns } from "../formats/namespaces.ts";
import { notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { boolean, integer } from "../properties/text-schema.ts";
import { recentlyUsed } from "../recently-used.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import type { Write } from "../storage/statement.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import { accountNamed, refusedFor } from "./command-forms.ts";
import type { Core } from "./module.ts";
import type { Command, CommandAsk, CommandStep } from "./points.ts";

export const passwords = property("register.password", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether people may change their passwords over the chat protocol; those of the host's users go back to the host store, where it takes them.",
});

export const leastLength = property("firekeeper.password.least-length", {
  schema: integer(1, 128),
  default: 8,
  impact: "live",
  doc: "Characters that a password must have at least which is set over the chat protocol.",
  weakens: (length) => (length < 8 ? `Passwords of ${length} characters may be set.` : undefined),
});

/** XEP-0133 §4.7: for the own account, and for those of others by the admin. */
const node = "http://jabber.org/protocol/admin#change-user-password";

const triesAtOnce = 5;
const triesForMs = 10 * 60_000;

const elsewhere: Readonly<Record<string, string>> = {
  ldap: "in the directory of your organisation",
  sql: "in the application that manages the users",
  http: "in the application that manages the users",
};

/** Why this account's password is not changed here; undefined: it may be. */
export function refusal(core: Core, account: Account): StanzaError | undefined {
  const notAllowed = (why: string) => stanzaError("not-allowed", { text: why });
  if (!core.properties.get(passwords)) return notAllowed("Passwords are not changed over the chat protocol here.");
  if (account.probe) return notAllowed("This account has no password of its own.");
  if (account.origin === "local") return undefined;
  const from = account.password?.from;
  if (from !== undefined) return notAllowed(`Change your password ${elsewhere[from]}; it is not kept here.`);
  if (core.hostPasswords.takes()) return undefined;
  return notAllowed(
    "This account belongs to the host application that manages the users: change the password there. It takes none back from here.",
  );
}

/** What is wrong with a password that somebody wants; undefined: nothing. */
export function badPassword(core: Core, password: string | undefined): StanzaError | undefined {
  const prepared = password === undefined ? undefined : preparePassword(password);
  if (prepared === undefined)
    return stanzaError("not-acceptable", {
      text: "A password is needed, without control characters and mixed writing directions.",
    });
  const least = core.properties.get(leastLength);
  if ([...prepared].length >= least) return undefined;
  return stanzaError("not-acceptable", { text: `A password has at least ${least} characters.` });
}

/** Keys for a password that `badPassword` found nothing wrong with. */
export async function keysOf(core: Core, password: string) {
  const by = { iterations: core.properties.get(scramIterations), random: core.random, pool: core.derivations };
  return formatCredentials(await deriveCredentials(password, by));
}

/** The account's hash tells the host's credentials apart; those of the server get one that no host has. */
export const hashOfOwn = (core: Core): string => `local:${core.random(16).toString("hex")}`;

export async function stored(core: Core, writes: readonly Write[]): Promise<boolean> {
  try {
    await core.storage.write(writes);
    return true;
  } catch {
    return false; // the storage has reported it
  }
}

/**
 * Changes the password of a session's account. Once it is in force the account's other sessions end: whoever has the
 * former password is out, the one who asked stays. Undefined: done.
 */
export async function changeOwn(
  core: Core,
  session: Session,
  password: string | undefined,
): Promise<StanzaError | undefined> {
  return changeFor(core, session.account, password, session);
}

/** The same for somebody who proved to be the owner in another way; `but`: the session that stays. */
export async function changeFor(
  core: Core,
  account: Account,
  password: string | undefined,
  but?: Session,
): Promise<StanzaError | undefined> {
  const refused = refusal(core, account) ?? badPassword(core, password);
  if (refused !== undefined || password === undefined) return refused;
  const failed =
    account.origin === "local" ? await setHere(core, account, password) : await giveBack(core, account, password);
  if (failed !== undefined) return failed;
  for (const other of [...account.sessions]) if (other !== but) end(core, other);
  return undefined;
}

async function setHere(core: Core, account: Account, password: string): Promise<StanzaError | undefined> {
  const keys = await keysOf(core, password);
  const { result, undo } = core.accounts.tentatively(() =>
    core.accounts.setCredentials(account, keys, hashOfOwn(core)),
  );
  if (await stored(core, result)) return undefined;
  undo();
  return notStored;
}

async function giveBack(core: Core, account: Account, password: string): Promise<StanzaError | undefined> {
  try {
    await core.hostPasswords.change(account.name, password);
    return undefined;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    core.report.passwordNotChanged({ name: account.name, code: error.code });
    if (error.code === "store/read-only" || error.code === "password/unknown-user")
      return stanzaError("not-allowed", {
        text: "The host application takes no passwords from here: change it there.",
      });
    if (error.code === "password/not-live")
      return stanzaError("resource-constraint", {
        text: "The new password is kept, but not valid yet: use the former one for a moment.",
      });
    return stanzaError("resource-constraint", {
      text: "The host application did not take the password. Try again later.",
    });
  }
}

function end(core: Core, session: Session): void {
  if (session.carrier !== undefined) session.carrier.end("not-authorized", "The password was changed.");
  else core.sessions.end(session, "ended");
}

/** The ad-hoc command, which asks for the present password too. */
export function passwordCommand(core: Core): Command {
  const tries = recentlyUsed<number, number>(10_000);

  async function right(account: Account, password: string): Promise<boolean | StanzaError> {
    const now = core.clock.now();
    const until = Math.max(tries.get(account.id) ?? 0, now) + triesForMs / triesAtOnce;
    if (until - now > triesForMs)
      return stanzaError("resource-constraint", { text: "Too many wrong passwords. Try again in some minutes." });
    tries.set(account.id, until);
    const keys = await core.accounts.credentials(account);
    const known = keys && { ...keys, credentials: parseCredentials(keys) };
    const verdict = await core.passwords.judge(account.name, known, password);
    if (verdict === "busy") return stanzaError("resource-constraint", { text: "Too many logins at once. Try again." });
    if (verdict === "right") tries.delete(account.id);
    return verdict === "right";
  }

  /** The account that the admin names in the form, unless it is the own one. */
  function other(ask: CommandAsk): Account | CommandStep | undefined {
    const given = ask.form && fieldValue(ask.form, "accountjid")?.trim();
    if (!given || !isAdmin(ask)) return undefined;
    const found = accountNamed(core, ask, [given]);
    return found === ask.session.account ? undefined : found;
  }

  const isAdmin = ({ session }: CommandAsk): boolean => core.rights.isAdmin(session.account.id);

  async function setOf(ask: CommandAsk, account: Account, form: Element): Promise<CommandStep> {
    const password = fieldValue(form, "password");
    if (account.origin !== "local")
      return refusedFor("not-allowed", `${account.name} belongs to the host application: change the password there.`);
    const bad = badPassword(core, password);
    if (bad !== undefined || password === undefined)
      return { is: "error", error: bad ?? stanzaError("not-acceptable") };
    const failed = await setHere(core, account, password);
    if (failed !== undefined) return { is: "error", error: failed };
    for (const session of [...account.sessions]) end(core, session);
    core.rights.used(ask.session.bareAddress, "change password", account.name);
    return { is: "completed", note: `The password of ${account.name} is changed.` };
  }

  async function run(ask: CommandAsk): Promise<CommandStep> {
    const { session, form } = ask;
    const { account } = session;
    const named = other(ask);
    if (named !== undefined && "is" in named) return named;
    if (named !== undefined && form !== undefined) return setOf(ask, named, form);
    const refused = refusal(core, account);
    if (form === undefined && isAdmin(ask)) return { is: "form", form: passwordForm(true) };
    if (refused !== undefined) return { is: "error", error: refused };
    if (form === undefined) return { is: "form", form: passwordForm(false) };
    const proved = await right(account, fieldValue(form, "old_password") ?? "");
    if (proved === false)
      return { is: "error", error: stanzaError("not-authorized", { text: "The present password is wrong." }) };
    if (proved !== true) return { is: "error", error: proved };
    const failed = await changeOwn(core, session, fieldValue(form, "password"));
    return failed === undefined
      ? { is: "completed", note: "Your password is changed. Other devices are logged out." }
      : { is: "error", error: failed };
  }

  return {
    node,
    name: "Change a password",
    by: "anyone",
    shownTo: (session) => core.rights.isAdmin(session.account.id) || refusal(core, session.account) === undefined,
    run,
  };
}

/** @param admin who may change those of others, and proves nothing for that */
function passwordForm(admin: boolean): Xml {
  const field = (name: string, label: string, required = true) =>
    x("field", { var: name, type: "text-private", label }, required && x("required"));
  return x(
    "x",
    { xmlns: ns.dataForms, type: "form" },
    x("title", {}, text(admin ? "Change a password" : "Change your password")),
    x("field", { var: "FORM_TYPE", type: "hidden" }, x("value", {}, text("http://jabber.org/protocol/admin"))),
    admin && x("field", { var: "accountjid", type: "jid-single", label: "User" }, x("required")),
    field("old_password", admin ? "Present password, if it is your own" : "Present password", !admin),
    field("password", "New password"),
  );
}

function fieldValue(form: Element, name: string): string | undefined {
  for (const field of form.getChildren("field", ns.dataForms))
    if (field.attrs.var === name) return field.getChildText("value") ?? undefined;
  return undefined;
}
