/** The rows of accounts. */
import { read, write } from "../storage/statement.ts";

/** Ids are never used again: what a removed account left somewhere must not become another one's. */
export const accountIdsMigration = {
  name: "0016_account-ids",
  sql: "CREATE TABLE removed_account (one INTEGER PRIMARY KEY CHECK (one = 1), highest INTEGER NOT NULL);",
};

export const accountsMigration = {
  name: "0002_accounts",
  sql: `
    CREATE TABLE account (
      id INTEGER PRIMARY KEY, served INTEGER NOT NULL REFERENCES served(id), name TEXT NOT NULL, host_id TEXT,
      display_name TEXT, email TEXT, enabled INTEGER NOT NULL, origin TEXT NOT NULL, kept_until INTEGER,
      created_at INTEGER NOT NULL, set_aside INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX account_name ON account (served, name) WHERE set_aside = 0;
    CREATE TABLE account_alias (
      served INTEGER NOT NULL, name TEXT NOT NULL, account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
      PRIMARY KEY (served, name)
    ) WITHOUT ROWID;
    CREATE TABLE credentials (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, sha1 TEXT, sha256 TEXT, sha512 TEXT, hash TEXT NOT NULL
    );`,
};

export interface AccountRow {
  id: number;
  served: number;
  name: string;
  host_id: string | null;
  display_name: string | null;
  email: string | null;
  enabled: number;
  origin: "host" | "local";
  kept_until: number | null;
  hash: string | null;
  barred: number;
  sha1: string | null;
  sha256: string | null;
  sha512: string | null;
  contact: number;
  password_hash: string | null;
  password_from: "ldap" | "sql" | "http" | null;
}

export const allAccounts = read<[], AccountRow>(
  `SELECT a.id, a.served, a.name, a.host_id, a.display_name, a.email, a.enabled, a.origin, a.kept_until, a.barred, a.contact, c.hash,
     c.password_hash, c.password_from, substr(c.sha1, 1, 1) AS sha1, substr(c.sha256, 1, 1) AS sha256,
     substr(c.sha512, 1, 1) AS sha512
   FROM account a LEFT JOIN credentials c ON c.account = a.id WHERE a.set_aside = 0`,
);
export const allAliases = read<[], { served: number; name: string; account: number }>(
  "SELECT served, name, account FROM account_alias",
);
export const highestId = read<[], { highest: number | null }>(
  "SELECT max(id) AS highest FROM (SELECT max(id) AS id FROM account UNION ALL SELECT max(highest) FROM removed_account)",
);
export const rememberId = write<[id: number]>(
  `INSERT INTO removed_account (one, highest) VALUES (1, ?)
   ON CONFLICT (one) DO UPDATE SET highest = max(highest, excluded.highest)`,
);
export const putAccount = write<
  [
    id: number,
    served: number,
    name: string,
    hostId: string | null,
    displayName: string | null,
    email: string | null,
    enabled: number,
    origin: string,
    keptUntil: number | null,
    createdAt: number,
    barred: number,
    contact: number,
  ]
>(
  `INSERT INTO account (id, served, name, host_id, display_name, email, enabled, origin, kept_until, created_at, barred, contact)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (id) DO UPDATE SET name = excluded.name, host_id = excluded.host_id, display_name = excluded.display_name,
     email = excluded.email, enabled = excluded.enabled, origin = excluded.origin, kept_until = excluded.kept_until,
     barred = excluded.barred`,
);
export const setAside = write<[number]>("UPDATE account SET set_aside = 1, enabled = 0 WHERE id = ?");
export const dropAccount = write<[number]>("DELETE FROM account WHERE id = ?");
export const putAlias = write<[served: number, name: string, account: number]>(
  "INSERT OR REPLACE INTO account_alias (served, name, account) VALUES (?, ?, ?)",
);
