import { booleanOf, type Field, field, formElement, parseForm } from "../../formats/data-form.ts";
import { notStored } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import { accountNamed, oneAccount, submitted } from "../command-forms.ts";
import type { Core } from "../module.ts";
import { stored } from "../own-password.ts";
import { type CommandAsk, type CommandStep, commands } from "../points.ts";
import { readToken, tokenText } from "./credential.ts";
import { days } from "./properties.ts";
import { dayMs, readable } from "./slots.ts";
import { dropOwn, filesOf, totalsOf, type UploadRow } from "./tables.ts";

const own = "urn:firekeeper:uploads";
const ofOthers = "urn:firekeeper:uploads#of";
/** Of one answer; who deletes some sees the next ones. */
const mostListed = 100;

/** People see and delete what they uploaded; admins do it for others. `deleted`: rows are gone, the files may go. */
export function offerCommands(core: Core, deleted: () => void): void {
  const { storage, properties, rights } = core;

  /** "cat.png, 2 MiB, 2026-11-21, kept until 2027-02-19" */
  function label({ name, size, stored: at, purpose, latest }: UploadRow): string {
    const kept = properties.get(days);
    const aged = kept > 0 && (purpose === "message" || purpose === "ephemeral") ? (at ?? 0) + kept * dayMs : Infinity;
    const until = Math.min(aged, latest ?? Infinity);
    const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
    return `${name}, ${readable(size)}, ${day(at ?? 0)}${until === Infinity ? "" : `, kept until ${day(until)}`}`;
  }

  async function list(account: Account, whose: string): Promise<CommandStep> {
    const [files, [totals]] = await Promise.all([
      storage.read(filesOf, account.id, mostListed),
      storage.read(totalsOf, account.id),
    ]);
    const count = totals?.files ?? 0;
    if (count === 0) return { is: "completed", note: "There are no files." };
    const sum = `${count} ${count === 1 ? "file" : "files"}, ${readable(totals?.bytes ?? 0)} together.`;
    const cut = count > files.length ? ` The ${files.length} newest are listed.` : "";
    const choice: Field = {
      ...{ name: "files", type: "list-multi", label: "Delete these", values: [] },
      options: files.map((row) => ({ label: label(row), value: tokenText(row.token) })),
    };
    return {
      is: "form",
      keep: account.id,
      final: true,
      form: formElement({
        ...{ type: "form", formType: own, title: whose },
        instructions: `${sum}${cut} Whoever has the address of a deleted file cannot read it any more.`,
        fields: [choice, { ...field("all", false), type: "boolean", label: "Delete all of them" }],
      }),
    };
  }

  async function remove(account: Account, ask: CommandAsk): Promise<CommandStep> {
    const form = ask.form && parseForm(ask.form);
    const all = form !== undefined && booleanOf(form, "all") === true;
    const tokens = all ? await everyFile(account) : (submitted(ask, "files") ?? []).map(readToken);
    const drops = tokens.flatMap((token) => (token === undefined ? [] : [dropOwn.with(token, account.id)]));
    if (drops.length === 0) return { is: "completed", note: "Nothing was deleted." };
    if (!(await stored(core, drops))) return { is: "error", error: notStored };
    deleted();
    if (account !== ask.session.account)
      rights.used(ask.session.bareAddress, `delete ${drops.length} uploaded files`, account.name);
    return { is: "completed", note: `Deleted: ${drops.length}.` };
  }

  async function everyFile(account: Account): Promise<Uint8Array[]> {
    const rows = await storage.read(filesOf, account.id, 10_000);
    return rows.map(({ token }) => Buffer.from(token));
  }

  core.offer(commands, {
    node: own,
    name: "Your uploaded files",
    by: "anyone",
    run(ask) {
      const { account } = ask.session;
      return ask.form === undefined ? list(account, "Your uploaded files") : remove(account, ask);
    },
  });

  core.offer(commands, {
    node: ofOthers,
    name: "Uploaded files of a user",
    by: "admin",
    async run(ask) {
      if (ask.form === undefined)
        return {
          is: "form",
          form: formElement({
            ...{ type: "form", formType: ofOthers, title: "Uploaded files of a user" },
            fields: [oneAccount("The user")],
          }),
        };
      const known = typeof ask.kept === "number" ? core.accounts.byId(ask.kept) : undefined;
      if (known !== undefined) return remove(known, ask);
      const account = accountNamed(core, ask, submitted(ask, "accountjid") ?? []);
      if ("is" in account) return account;
      rights.used(ask.session.bareAddress, "list uploaded files", account.name);
      return list(account, `Uploaded files of ${account.name}`);
    },
  });
}
