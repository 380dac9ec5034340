/** Links by mail with which somebody who forgot the password chooses another one. */

import { createHmac } from "node:crypto";
import { type Language, languageOf } from "../../formats/language.ts";
import type { StanzaError } from "../../formats/stanza-error.ts";
import { parseJid, prepareLocal } from "../../jid/jid.ts";
import { recentlyUsed } from "../../recently-used.ts";
import type { Account } from "../../routing/accounts.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { webAddress } from "../../stream/web-ports.ts";
import type { Core } from "../module.ts";
import { changeFor, refusal, stored } from "../own-password.ts";
import { isMailAddress } from "../registration-forms.ts";
import { sendMail, sendsMails } from "./mail.ts";
import { hostAddress, mailsPerHour } from "./properties.ts";
import { filled, words } from "./words.ts";

export const resetsMigration = {
  name: "0097_password-resets",
  sql: `CREATE TABLE password_reset (
    mark BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX password_reset_account ON password_reset (account);
  CREATE TABLE mail_due (
    account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE,
    language TEXT NOT NULL,
    asked_at INTEGER NOT NULL
  ) STRICT;`,
};
const findReset = read<[mark: Buffer, now: number], { account: number }>(
  "SELECT account FROM password_reset WHERE mark = ? AND expires_at > ?",
);
const putReset = write<[mark: Buffer, account: number, expiresAt: number]>(
  "INSERT INTO password_reset (mark, account, expires_at) VALUES (?, ?, ?)",
);
const dropResets = write<[account: number]>("DELETE FROM password_reset WHERE account = ?");
const dropOldResets = write<[now: number]>("DELETE FROM password_reset WHERE expires_at <= ?");
const putDue = write<[language: string, askedAt: number, account: number]>(
  "INSERT INTO mail_due (account, language, asked_at) SELECT id, ?, ? FROM account WHERE id = ? ON CONFLICT DO UPDATE SET language = excluded.language, asked_at = excluded.asked_at",
);
const allDue = read<[], { account: number; language: string; asked_at: number }>(
  "SELECT account, language, asked_at FROM mail_due ORDER BY asked_at LIMIT 100",
);
const dropDue = write<[account: number]>("DELETE FROM mail_due WHERE account = ?");

const hourMs = 3600_000;
const perAccount = 3;
const noAccount = -1;
const tokenForm = /^[A-Za-z0-9_-]{22}$/;

export interface Resets {
  /** Notes that a link is wanted; the same work whether there is such an account or not. False: the disk does not take it. */
  ask(typed: string, language: Language): Promise<boolean>;
  find(token: string): Promise<Account | undefined>;
  /** Uses the token and sets the password. `gone`: it was used meanwhile. */
  use(token: string, password: string): Promise<"done" | "gone" | StanzaError>;
  forget(account: Account): Write[];
}

export function openResets(core: Core): Resets {
  const { accounts, clock, names, random, storage } = core;
  const key = core.keyFor("password resets");
  const markOf = (token: string) => createHmac("sha256", key).update(token).digest();
  const asked = recentlyUsed<number, number[]>(10_000);
  const using = new Set<string>();
  let sentAt: number[] = [];
  let sending = false;
  let wokenMeanwhile = false;

  function meant(typed: string): Account | undefined {
    const given = typed.trim();
    const address = given.includes("@") ? parseJid(given) : undefined;
    const place = address && names.locate(address);
    const name = address === undefined ? prepareLocal(given) : place?.at === "account" ? place.name : undefined;
    const served = place?.at === "account" ? place.served.id : names.primary.id;
    const account = name === undefined ? undefined : accounts.get(served, name);
    return account?.enabled === true && !account.probe && isMailAddress(account.email ?? "") ? account : undefined;
  }

  /** Sends what is due, one mail after the other; what the mail server does not take is tried again. */
  async function sendDue(): Promise<void> {
    wokenMeanwhile = sending;
    if (sending) return;
    sending = true;
    try {
      do {
        wokenMeanwhile = false;
        await sendRound();
      } while (wokenMeanwhile);
    } catch (error) {
      core.report.wrong({ what: "sending mails", error });
    } finally {
      sending = false;
    }
  }

  async function sendRound(): Promise<void> {
    if (!sendsMails(core)) return;
    for (const { account: id, language, asked_at } of await storage.read(allDue)) {
      const now = clock.now();
      sentAt = sentAt.filter((at) => at > now - hourMs);
      if (sentAt.length >= core.properties.get(mailsPerHour)) return;
      const account = accounts.byId(id);
      if (account !== undefined && asked_at > now - hourMs) {
        sentAt.push(now);
        if (!(await delivered(account, languageOf(language, undefined)))) continue;
      }
      await storage.write([dropDue.with(id)]);
    }
  }

  /** False: it is to be tried again. */
  async function delivered(account: Account, language: Language): Promise<boolean> {
    try {
      await sendLink(account, language);
      return true;
    } catch (error) {
      const { code, responseCode } = error as { code?: unknown; responseCode?: unknown };
      core.report.mailNotSent({ code: String(responseCode ?? code ?? "unknown") });
      // RFC 5321 §4.2.1: what was refused for good is refused again.
      return Number(responseCode) >= 500;
    }
  }

  async function sendLink(account: Account, language: Language): Promise<void> {
    const domain = names.served.find(({ id }) => id === account.served)?.name ?? names.primary.name;
    const address = names.absolute(`${account.name}@`, domain);
    const own = words[language];
    const to = account.email ?? "";
    const subject = filled(own.mailSubject, { address });
    if (refusal(core, account) !== undefined) {
      const link = core.properties.get(hostAddress);
      if (link !== undefined) await sendMail(core, { to, subject, text: filled(own.mailHostText, { address, link }) });
      return;
    }
    const web = webAddress(core.properties.get, domain);
    if (web === undefined) return;
    const token = random(16).toString("base64url");
    await storage.write([putReset.with(markOf(token), account.id, clock.now() + hourMs)]);
    const link = `${web}/account/reset/${token}`;
    await sendMail(core, { to, subject, text: filled(own.mailText, { address, link }) });
  }

  core.every(60_000, () => void sendDue());
  core.every(hourMs, () => void storage.commit([dropOldResets.with(clock.now())]));

  async function find(token: string): Promise<Account | undefined> {
    const mark = markOf(tokenForm.test(token) ? token : "-");
    const [row] = await storage.read(findReset, mark, clock.now());
    const account = row && accounts.byId(row.account);
    return account?.enabled === true ? account : undefined;
  }

  return {
    async ask(typed, language) {
      const account = meant(typed);
      const now = clock.now();
      const before = (account && asked.get(account.id))?.filter((at) => at > now - hourMs) ?? [];
      const wanted = account !== undefined && before.length < perAccount;
      if (wanted) asked.set(account.id, [...before, now]);
      if (!(await stored(core, [putDue.with(language, now, wanted ? account.id : noAccount)]))) return false;
      setImmediate(() => void sendDue());
      return true;
    },
    find,
    async use(token, password) {
      if (using.has(token)) return "gone";
      using.add(token);
      try {
        const account = await find(token);
        if (account === undefined) return "gone";
        if (!(await stored(core, [dropResets.with(account.id)]))) return "gone";
        return (await changeFor(core, account, password)) ?? "done";
      } finally {
        using.delete(token);
      }
    },
    forget: (account) => [dropResets.with(account.id), dropDue.with(account.id)],
  };
}
