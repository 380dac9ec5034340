import { read, write } from "../../storage/statement.ts";

/** Groups and their members by account; nothing is stored per pair of members. */
export const sharedGroupsMigration = {
  name: "0011_shared-groups",
  sql: `
    CREATE TABLE shared_group (
      id INTEGER PRIMARY KEY, served INTEGER NOT NULL REFERENCES served(id), name TEXT NOT NULL, display_name TEXT NOT NULL,
      show_in_roster TEXT NOT NULL, group_list TEXT NOT NULL, everyone INTEGER NOT NULL, origin TEXT NOT NULL
    );
    CREATE UNIQUE INDEX shared_group_name ON shared_group (served, name);
    CREATE TABLE shared_group_member (
      shared_group INTEGER NOT NULL REFERENCES shared_group(id) ON DELETE CASCADE,
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, PRIMARY KEY (shared_group, account)
    ) WITHOUT ROWID;
    CREATE INDEX shared_group_member_account ON shared_group_member (account);`,
};

export interface GroupRow {
  id: number;
  name: string;
  display_name: string;
  show_in_roster: "nobody" | "onlyGroup" | "everybody";
  group_list: string;
  everyone: number;
  origin: "host" | "local";
}

export const groupsOfDomain = read<[served: number], GroupRow>(
  "SELECT id, name, display_name, show_in_roster, group_list, everyone, origin FROM shared_group WHERE served = ? ORDER BY name",
);
export const membersOfDomain = read<[served: number], { shared_group: number; account: number }>(
  `SELECT m.shared_group, m.account FROM shared_group_member m JOIN shared_group g ON g.id = m.shared_group WHERE g.served = ?`,
);
export const highestGroup = read<[], { highest: number | null }>("SELECT max(id) AS highest FROM shared_group");
export const putGroup = write<
  [
    id: number,
    served: number,
    name: string,
    displayName: string,
    show: string,
    groupList: string,
    everyone: number,
    origin: string,
  ]
>(
  `INSERT INTO shared_group (id, served, name, display_name, show_in_roster, group_list, everyone, origin)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, show_in_roster = excluded.show_in_roster,
     group_list = excluded.group_list, everyone = excluded.everyone, origin = excluded.origin`,
);
export const dropGroup = write<[id: number]>("DELETE FROM shared_group WHERE id = ?");
export const dropMembers = write<[id: number]>("DELETE FROM shared_group_member WHERE shared_group = ?");
/** `accounts`: ids as a JSON list. */
export const addMembers = write<[id: number, accounts: string]>(
  "INSERT OR IGNORE INTO shared_group_member (shared_group, account) SELECT ?, value FROM json_each(?)",
);
export const removeMembers = write<[id: number, accounts: string]>(
  "DELETE FROM shared_group_member WHERE shared_group = ? AND account IN (SELECT value FROM json_each(?))",
);
export const leaveAll = write<[account: number]>("DELETE FROM shared_group_member WHERE account = ?");
