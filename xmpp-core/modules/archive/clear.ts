import { booleanOf, formElement, parseForm } from "../../formats/data-form.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import { read, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";
import type { Command } from "../points.ts";

const ownIds = read<[owner: number, upTo: number, most: number], { id: number }>(
  "SELECT id FROM archive WHERE owner = ? AND id <= ? ORDER BY id LIMIT ?",
);
const last = read<[owner: number], { id: number | null }>("SELECT max(id) AS id FROM archive WHERE owner = ?");
const disown = (column: string) =>
  write<[owner: number, ids: string]>(
    `UPDATE stanza SET ${column} = NULL WHERE ${column} = ? AND id IN (SELECT value FROM json_each(?))`,
  );
const disowned = [disown("sender_archive"), disown("recipient_archive")];
const drop = write<[owner: number, ids: string]>(
  "DELETE FROM archive WHERE owner = ? AND id IN (SELECT value FROM json_each(?))",
);
const slice = 200;

/** Empties one person's archive; what the other side keeps stays there. Everything stored so far must have been entered. */
async function clear({ storage }: Core, { id: owner }: Account): Promise<number> {
  // What comes while this runs stays.
  const upTo = (await storage.read(last, owner))[0]?.id ?? 0;
  return storage.bulk(async (step) => {
    for (let cleared = 0; ; ) {
      const ids = (await storage.read(ownIds, owner, upTo, slice)).map(({ id }) => id);
      if (ids.length === 0) return cleared;
      const some = JSON.stringify(ids);
      await step(() => [...disowned.map((one) => one.with(owner, some)), drop.with(owner, some)]);
      cleared += ids.length;
    }
  });
}

/** Lets people empty their own archive. */
export function clearCommand(core: Core, enterAll: () => Promise<void>): Command {
  const form = formElement({
    type: "form",
    title: "Clear my history",
    instructions:
      "All messages in your archive on this server are deleted for all your devices. The people you wrote with keep theirs.",
    fields: [{ name: "confirm", type: "boolean", label: "Yes, delete my history", required: true, values: ["0"] }],
  });
  return {
    node: "urn:firekeeper:archive#clear",
    name: "Clear my history",
    by: "anyone",
    async run(ask) {
      const submitted = ask.form && parseForm(ask.form);
      if (submitted === undefined) return { is: "form", form, final: true };
      if (booleanOf(submitted, "confirm") !== true)
        return { is: "error", error: stanzaError("bad-request", { text: "Nothing is deleted without a yes." }) };
      await enterAll();
      const cleared = await clear(core, ask.session.account);
      return { is: "completed", note: `${cleared} messages are deleted.` };
    },
  };
}
