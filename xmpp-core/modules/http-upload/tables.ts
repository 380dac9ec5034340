import { read, write } from "../../storage/statement.ts";

/**
 * One row from the slot on: `stored` is null until the whole file is on disk. A file is called by its token on disk and
 * in its address. Whatever deletes a row leaves the token in upload_garbage, until the file is gone too, so that no
 * file is ever without a row in one of the two.
 */
export const uploadMigration = {
  name: "0092_uploads",
  sql: `
    CREATE TABLE upload (
      token BLOB PRIMARY KEY, account INTEGER REFERENCES account(id) ON DELETE CASCADE, component TEXT,
      name TEXT NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL, purpose TEXT NOT NULL,
      made INTEGER NOT NULL, stored INTEGER, latest INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX upload_owner ON upload (account, component, made);
    CREATE INDEX upload_age ON upload (purpose, stored);
    CREATE INDEX upload_latest ON upload (latest) WHERE latest IS NOT NULL;
    CREATE TABLE upload_garbage (token BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE upload_state (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
    INSERT INTO upload_state (one, bytes) VALUES (1, 0);
    CREATE TRIGGER upload_added AFTER INSERT ON upload BEGIN
      UPDATE upload_state SET bytes = bytes + new.size;
    END;
    CREATE TRIGGER upload_gone AFTER DELETE ON upload BEGIN
      UPDATE upload_state SET bytes = bytes - old.size;
      INSERT OR IGNORE INTO upload_garbage (token) VALUES (old.token);
    END;`,
};

export type Purpose = "message" | "profile" | "ephemeral" | "permanent";

export interface UploadRow {
  readonly token: Uint8Array;
  readonly account: number | null;
  readonly component: string | null;
  readonly name: string;
  /** Empty: the slot was asked for without one. */
  readonly type: string;
  readonly size: number;
  readonly purpose: Purpose;
  readonly made: number;
  readonly stored: number | null;
  /** Not to be had from this moment on, whatever else holds; null: as long as the purpose says. */
  readonly latest: number | null;
}

type Owner = [account: number | null, component: string | null];
const columns = "token, account, component, name, type, size, purpose, made, stored, latest";
const own = "account IS ? AND component IS ?";

export const byToken = read<[token: Uint8Array], UploadRow>(`SELECT ${columns} FROM upload WHERE token = ?`);
export const putSlot = write<
  [
    token: Uint8Array,
    ...Owner,
    name: string,
    type: string,
    size: number,
    purpose: string,
    made: number,
    latest: number | null,
  ]
>(
  "INSERT INTO upload (token, account, component, name, type, size, purpose, made, latest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
);
export const markStored = write<[stored: number, type: string, token: Uint8Array]>(
  "UPDATE upload SET stored = ?, type = ? WHERE token = ? AND stored IS NULL",
);
export const dropUpload = write<[token: Uint8Array]>("DELETE FROM upload WHERE token = ?");
export const dropOwn = write<[token: Uint8Array, account: number]>(
  "DELETE FROM upload WHERE token = ? AND account = ?",
);

/** What counts against an owner's limits; `since`: the day before now. */
export const usage = read<
  [since: number, since2: number, ...Owner],
  {
    messages: number;
    profile: number;
    permanent: number;
    day: number;
    open: number;
    oldest: number | null;
    firstOfDay: number | null;
    firstOpen: number | null;
    all: number;
  }
>(`SELECT
    coalesce(sum(CASE WHEN purpose IN ('message', 'ephemeral') THEN size END), 0) AS messages,
    coalesce(sum(CASE WHEN purpose = 'profile' THEN size END), 0) AS profile,
    coalesce(sum(CASE WHEN purpose = 'permanent' THEN size END), 0) AS permanent,
    coalesce(sum(CASE WHEN made > ? THEN size END), 0) AS day,
    count(*) - count(stored) AS open,
    min(CASE WHEN purpose IN ('message', 'ephemeral') THEN stored END) AS oldest,
    min(CASE WHEN made > ? THEN made END) AS firstOfDay,
    min(CASE WHEN stored IS NULL THEN made END) AS firstOpen,
    (SELECT bytes FROM upload_state) AS "all"
  FROM upload WHERE ${own}`);

/** The newest first. */
export const filesOf = read<[account: number, most: number], UploadRow>(
  `SELECT ${columns} FROM upload WHERE account = ? AND component IS NULL AND stored IS NOT NULL ORDER BY made DESC LIMIT ?`,
);
export const totalsOf = read<[account: number], { files: number; bytes: number | null }>(
  "SELECT count(*) AS files, sum(size) AS bytes FROM upload WHERE account = ? AND component IS NULL AND stored IS NOT NULL",
);

export const oldSlots = read<[before: number, most: number], { token: Uint8Array }>(
  "SELECT token FROM upload WHERE stored IS NULL AND purpose IN ('message', 'ephemeral', 'profile', 'permanent') AND made <= ? LIMIT ?",
);
export const dropOld = write<[purpose: string, before: number, rows: number]>(
  "DELETE FROM upload WHERE token IN (SELECT token FROM upload WHERE purpose = ? AND stored <= ? LIMIT ?)",
);
export const dropOver = write<[now: number, rows: number]>(
  "DELETE FROM upload WHERE token IN (SELECT token FROM upload WHERE latest <= ? AND stored IS NOT NULL LIMIT ?)",
);
export const garbage = read<[most: number], { token: Uint8Array }>("SELECT token FROM upload_garbage LIMIT ?");
export const dropGarbage = write<[token: Uint8Array]>("DELETE FROM upload_garbage WHERE token = ?");
export const known = read<[token: Uint8Array, token2: Uint8Array], { found: number }>(
  "SELECT EXISTS (SELECT 1 FROM upload WHERE token = ?) OR EXISTS (SELECT 1 FROM upload_garbage WHERE token = ?) AS found",
);
