import { read, write } from "../../storage/statement.ts";

/** Only the hash of a token is kept: whoever reads the database cannot use what it holds. */
export const invitationsMigration = {
  name: "0095_invitations",
  sql: `CREATE TABLE invitation (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
    served INTEGER NOT NULL,
    token BLOB NOT NULL UNIQUE,
    makes_account INTEGER NOT NULL,
    makes_contact INTEGER NOT NULL,
    name TEXT,
    uses_left INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX invitation_account ON invitation (account);
  CREATE TABLE invited (
    newcomer INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE,
    account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX invited_account ON invited (account);`,
};

export interface InvitationRow {
  readonly id: number;
  readonly account: number;
  readonly served: number;
  readonly token: Uint8Array;
  readonly makes_account: number;
  readonly makes_contact: number;
  readonly name: string | null;
  readonly uses_left: number;
  readonly made_at: number;
  readonly expires_at: number;
}

export const allInvitations = read<[], InvitationRow>(
  "SELECT id, account, served, token, makes_account, makes_contact, name, uses_left, made_at, expires_at FROM invitation",
);
export const putInvitation = write<
  [
    id: number,
    account: number,
    served: number,
    token: Buffer,
    makesAccount: number,
    makesContact: number,
    name: string | null,
    usesLeft: number,
    madeAt: number,
    expiresAt: number,
  ]
>(
  "INSERT INTO invitation (id, account, served, token, makes_account, makes_contact, name, uses_left, made_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
);
export const setUses = write<[usesLeft: number, id: number]>("UPDATE invitation SET uses_left = ? WHERE id = ?");
export const dropInvitation = write<[id: number]>("DELETE FROM invitation WHERE id = ?");
export const dropInvitationsOf = write<[account: number]>("DELETE FROM invitation WHERE account = ?");

/** Who came by whose invitation, until both are contacts. */
export const allInvited = read<[], { newcomer: number; account: number }>("SELECT newcomer, account FROM invited");
export const putInvited = write<[newcomer: number, account: number]>(
  "INSERT INTO invited (newcomer, account) VALUES (?, ?)",
);
export const dropInvited = write<[newcomer: number]>("DELETE FROM invited WHERE newcomer = ?");
