/** Further addresses of people: local parts, and full addresses under alias domains. docs/people.md. */
import { read, type Write, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import type { Account } from "./accounts.ts";

/** Also where teams are told from accounts: both came at once. */
export const accountAddressesMigration = {
  name: "0018_account-addresses",
  sql: `
    ALTER TABLE account ADD COLUMN contact INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE account_address (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, address TEXT NOT NULL, PRIMARY KEY (account, address)
    ) WITHOUT ROWID;`,
};

const allAddresses = read<[], { account: number; address: string }>(
  "SELECT account, address FROM account_address ORDER BY address",
);
const putAddress = write<[account: number, address: string]>(
  "INSERT OR IGNORE INTO account_address (account, address) VALUES (?, ?)",
);
const dropAddress = write<[account: number, address: string]>(
  "DELETE FROM account_address WHERE account = ? AND address = ?",
);

export interface Addresses {
  /** Whose further address this is. */
  get(served: number, address: string): Account | undefined;
  set(account: Account, aliases: readonly string[]): { writes: Write[]; undo: () => void };
  /** The account is no more; returns the way back. */
  leave(account: Account): () => void;
}

/** @param byId accounts in use: what belongs to one set aside leads nowhere */
export async function openAddresses(storage: Storage, byId: (id: number) => Account | undefined): Promise<Addresses> {
  const owners = new Map<string, Account>();
  const key = (account: Pick<Account, "served">, address: string): string => `${account.served}:${address}`;
  for (const { account: id, address } of await storage.read(allAddresses)) {
    const account = byId(id);
    if (account === undefined) continue;
    account.aliases = [...account.aliases, address];
    owners.set(key(account, address), account);
  }

  /** In one apply an address may come to one before it leaves the other: only the present owner gives it up. */
  function change(account: Account, aliases: readonly string[]): void {
    for (const address of account.aliases)
      if (owners.get(key(account, address)) === account) owners.delete(key(account, address));
    account.aliases = aliases;
    for (const address of aliases) owners.set(key(account, address), account);
  }

  return {
    get: (served, address) => owners.get(key({ served }, address)),
    set(account, wanted) {
      const before = account.aliases;
      const after = [...new Set(wanted)].sort();
      change(account, after);
      return {
        writes: [
          ...before.filter((one) => !after.includes(one)).map((one) => dropAddress.with(account.id, one)),
          ...after.filter((one) => !before.includes(one)).map((one) => putAddress.with(account.id, one)),
        ],
        undo: () => change(account, before),
      };
    },
    leave(account) {
      const before = account.aliases;
      change(account, []);
      return () => change(account, before);
    },
  };
}
