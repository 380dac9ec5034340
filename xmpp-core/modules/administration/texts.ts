import { notStored } from "../../formats/stanza-error.ts";
/** The message of the day, told once to everybody, and the welcome, told to newcomers when they first log in. XEP-0133 §4.24 to §4.28 */

import type { Field } from "../../formats/data-form.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Handlers } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { tell } from "../announcements.ts";
import { askFor, completed, refusedFor, submittedText } from "../command-forms.ts";
import type { Core } from "../module.ts";
import { stored } from "../own-password.ts";
import { becameAvailable, type CommandAsk, type CommandStep } from "../points.ts";

export const textsMigration = {
  name: "0070_standing-texts",
  sql: `
    CREATE TABLE standing_text (kind TEXT PRIMARY KEY, number INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE text_told (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, kind TEXT NOT NULL, number INTEGER NOT NULL,
      PRIMARY KEY (account, kind)
    ) WITHOUT ROWID;`,
};

type Kind = "motd" | "welcome";
interface Standing {
  /** Another one for each message of the day; a corrected one keeps its number and is not told again. */
  readonly number: number;
  readonly body: string;
}

const all = read<[], { kind: Kind; number: number; body: string }>("SELECT kind, number, body FROM standing_text");
const put = write<[kind: Kind, number: number, body: string]>(
  "INSERT OR REPLACE INTO standing_text (kind, number, body) VALUES (?, ?, ?)",
);
const drop = write<[kind: Kind]>("DELETE FROM standing_text WHERE kind = ?");
const forget = write<[kind: Kind]>("DELETE FROM text_told WHERE kind = ?");
const told = read<[account: number], { kind: Kind; number: number }>(
  "SELECT kind, number FROM text_told WHERE account = ?",
);
const putTold = write<[account: number, kind: Kind, number: number]>(
  "INSERT OR REPLACE INTO text_told (account, kind, number) VALUES (?, ?, ?)",
);
const longestBody = 10_000;

export function standingTexts(core: Core) {
  const { storage } = core;
  const texts = new Map<Kind, Standing>();
  /** Those who are being told at this moment, so that two devices coming at once get one message. */
  const telling = new Set<Account>();

  const ready = storage.read(all).then((rows) => {
    for (const { kind, number, body } of rows) texts.set(kind, { number, body });
  });

  async function greet({ account }: Session): Promise<void> {
    if (account.probe || telling.has(account)) return;
    telling.add(account);
    try {
      const had = new Map((await storage.read(told, account.id)).map(({ kind, number }) => [kind, number]));
      for (const kind of ["welcome", "motd"] as const) {
        const standing = texts.get(kind);
        // The row of a newcomer says 0: to be welcomed.
        const due = kind === "welcome" ? had.get(kind) === 0 : had.get(kind) !== standing?.number;
        if (standing === undefined || !due || !tell(core, account, standing.body)) continue;
        await storage.write([putTold.with(account.id, kind, standing.number)]);
      }
    } finally {
      telling.delete(account);
    }
  }

  const inBackground = (work: Promise<void>): void => {
    core.seeThrough("telling the message of the day", work);
  };
  core.offer(becameAvailable, {
    becameAvailable(session) {
      if (texts.size > 0) inBackground(greet(session));
    },
  });

  async function keep(
    ask: CommandAsk,
    writes: readonly Write[],
    what: string,
    enter: () => void,
  ): Promise<CommandStep> {
    if (!(await stored(core, writes))) return { is: "error", error: notStored };
    enter();
    core.rights.used(ask.session.bareAddress, what, ask.served.name);
    return completed(undefined);
  }

  function set(kind: Kind, words: { title: string; label: string; journal: string }, again: boolean) {
    return async (ask: CommandAsk): Promise<CommandStep> => {
      const body = submittedText(ask, kind);
      const now = texts.get(kind);
      const lines = again || kind === "welcome" ? now?.body.split("\n") : undefined;
      if (body === undefined) return askFor({ title: words.title, fields: [textField(kind, words.label, lines)] });
      if (body === "" || body.length > longestBody)
        return refusedFor("not-acceptable", `A text of 1 to ${longestBody} characters is needed.`);
      const number = again && now !== undefined ? now.number : Math.max(core.clock.now(), (now?.number ?? 0) + 1);
      const step = await keep(ask, [put.with(kind, number, body)], words.journal, () =>
        texts.set(kind, { number, body }),
      );
      if (step.is === "completed" && kind === "motd" && !again) inBackground(tellThoseWhoAreHere());
      return step;
    };
  }

  /** One after the other: there may be thousands. */
  async function tellThoseWhoAreHere(): Promise<void> {
    for (const session of [...core.sessions.all()])
      if (!session.ended && session.priority !== undefined && session.priority >= 0) await greet(session);
  }

  const remove =
    (kind: Kind, what: string) =>
    (ask: CommandAsk): CommandStep | Promise<CommandStep> =>
      texts.has(kind)
        ? keep(ask, [drop.with(kind), forget.with(kind)], what, () => texts.delete(kind))
        : refusedFor("item-not-found", "There is none.");

  const account: Handlers["account"] = {
    created(made) {
      if (!texts.has("welcome") || made.probe || made.contact) return;
      storage
        .write([putTold.with(made.id, "welcome", 0)])
        .catch((error: unknown) => core.report.wrong({ what: "remembering a newcomer", error }));
    },
  };

  return {
    ready,
    account,
    commands: [
      [
        "set-motd",
        "Set the message of the day",
        set("motd", { title: "Message of the day", label: "Message", journal: "set message of the day" }, false),
      ],
      [
        "edit-motd",
        "Correct the message of the day",
        set("motd", { title: "Message of the day", label: "Message", journal: "edit message of the day" }, true),
      ],
      ["delete-motd", "Delete the message of the day", remove("motd", "delete message of the day")],
      [
        "set-welcome",
        "Set the welcome for newcomers",
        set("welcome", { title: "Welcome for newcomers", label: "Welcome", journal: "set welcome" }, false),
      ],
      ["delete-welcome", "Delete the welcome", remove("welcome", "delete welcome")],
    ] as const,
  };
}

const textField = (name: string, label: string, lines: readonly string[] = []): Field => ({
  ...{ name, type: "text-multi", label, required: true, values: lines },
});
