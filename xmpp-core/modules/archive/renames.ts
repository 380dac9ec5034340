import type { Account } from "../../routing/accounts.ts";
import { read, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";

const ownIds = read<[owner: number, after: number, most: number], { id: number }>(
  "SELECT id FROM archive WHERE owner = ? AND id > ? ORDER BY id LIMIT ?",
);
const address = (column: string) =>
  write<[now: string, then: string, ids: string, bare: string, then2: string, full: string]>(
    `UPDATE stanza SET ${column} = ? || substr(${column}, length(?) + 1)
     WHERE id IN (SELECT value FROM json_each(?)) AND (${column} = ? OR substr(${column}, 1, length(?) + 1) = ?)`,
  );
const addresses = [address("sender"), address("recipient")];
const peers = write<[now: string, then: string, ids: string]>(
  `UPDATE archive SET peer = ? WHERE peer = ? AND (owner, id) IN (
     SELECT owners.value, s.id FROM stanza s, json_each(json_array(s.sender_archive, s.recipient_archive)) owners
     WHERE s.id IN (SELECT value FROM json_each(?)))`,
);

const slice = 200;

/**
 * Messages of a renamed person stand under the new name, in the person's archive and in those of others. They are found
 * by the person's own archive, so that those of somebody else who bore the name are not touched. Everything stored so
 * far must have been entered.
 */
export async function renameInArchives({ storage }: Core, account: Account, before: string): Promise<void> {
  const [now, then] = [`${account.name}@`, `${before}@`];
  await storage.bulk(async (step) => {
    for (let after = 0; ; ) {
      const ids = (await storage.read(ownIds, account.id, after, slice)).map(({ id }) => id);
      const last = ids.at(-1);
      if (last === undefined) return;
      after = last;
      const some = JSON.stringify(ids);
      await step(() => [
        ...addresses.map((one) => one.with(now, then, some, then, then, `${then}/`)),
        peers.with(now, then, some),
      ]);
    }
  });
}
