import { read, write } from "../../storage/statement.ts";

/** `items` is the JSON of `PrivacyItem[]`, in order. */
export const privacyMigration = {
  name: "0068_privacy-lists",
  sql: `
    CREATE TABLE privacy_list (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, name TEXT NOT NULL, items TEXT NOT NULL,
      PRIMARY KEY (account, name)
    ) WITHOUT ROWID;
    CREATE TABLE privacy_default (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, name TEXT NOT NULL
    );`,
};
export const everyList = read<[], { account: number; name: string; items: string }>(
  "SELECT account, name, items FROM privacy_list",
);
export const everyDefault = read<[], { account: number; name: string }>("SELECT account, name FROM privacy_default");
export const putList = write<[account: number, name: string, items: string]>(
  "INSERT OR REPLACE INTO privacy_list (account, name, items) VALUES (?, ?, ?)",
);
export const dropList = write<[account: number, name: string]>(
  "DELETE FROM privacy_list WHERE account = ? AND name = ?",
);
export const putDefault = write<[account: number, name: string]>(
  "INSERT OR REPLACE INTO privacy_default (account, name) VALUES (?, ?)",
);
export const dropDefault = write<[account: number]>("DELETE FROM privacy_default WHERE account = ?");
