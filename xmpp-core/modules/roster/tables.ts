import { read, write } from "../../storage/statement.ts";
import type { Subscription } from "./states.ts";

/**
 * Roster items and requests that wait for an answer. `contact` is a bare address relative to the domain (`bob@`,
 * `carol@else.example`). A removed item stays as a row with subscription `removed`, so that a client with an older
 * version of the roster learns of it; `version` counts the changes of an account's roster.
 */
export const rosterMigration = {
  name: "0010_roster",
  sql: `
    CREATE TABLE roster_item (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, contact TEXT NOT NULL, name TEXT,
      subscription TEXT NOT NULL, ask INTEGER NOT NULL, approved INTEGER NOT NULL, groups TEXT NOT NULL,
      version INTEGER NOT NULL, PRIMARY KEY (account, contact)
    ) WITHOUT ROWID;
    CREATE INDEX roster_item_contact ON roster_item (contact);
    CREATE TABLE roster_request (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, contact TEXT NOT NULL,
      stanza_id TEXT, epoch INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (account, contact)
    ) WITHOUT ROWID;
    CREATE INDEX roster_request_contact ON roster_request (contact);`,
};

export interface ItemRow {
  contact: string;
  name: string | null;
  subscription: Subscription;
  ask: number;
  approved: number;
  groups: string;
  version: number;
}

export interface RequestRow {
  contact: string;
  stanza_id: string | null;
  epoch: number;
  payload: Uint8Array;
}

export const itemsOf = read<[account: number], ItemRow>(
  "SELECT contact, name, subscription, ask, approved, groups, version FROM roster_item WHERE account = ? AND subscription <> 'removed'",
);
export const versionOf = read<[account: number], { version: number | null }>(
  "SELECT max(version) AS version FROM roster_item WHERE account = ?",
);
export const requestsOf = read<[account: number], RequestRow>(
  "SELECT contact, stanza_id, epoch, payload FROM roster_request WHERE account = ?",
);
export const removedSince = read<[account: number, version: number], { contact: string }>(
  "SELECT contact FROM roster_item WHERE account = ? AND subscription = 'removed' AND version > ? ORDER BY version",
);
export const putItem = write<
  [
    account: number,
    contact: string,
    name: string | null,
    subscription: string,
    ask: number,
    approved: number,
    groups: string,
    version: number,
  ]
>(
  "INSERT OR REPLACE INTO roster_item (account, contact, name, subscription, ask, approved, groups, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
);
export const forgetRemoved = write<[account: number, upTo: number]>(
  "DELETE FROM roster_item WHERE account = ? AND subscription = 'removed' AND version <= ?",
);
export const putRequest = write<
  [account: number, contact: string, stanzaId: string | null, epoch: number, payload: Buffer]
>("INSERT OR REPLACE INTO roster_request (account, contact, stanza_id, epoch, payload) VALUES (?, ?, ?, ?, ?)");
export const dropRequest = write<[account: number, contact: string]>(
  "DELETE FROM roster_request WHERE account = ? AND contact = ?",
);

// ---------------------------------------------------------------- when an address changes its meaning

// A step of the version beyond what is told as single pushes: clients with an older one get the whole roster.
const leap = 1000;
const leapt = `(SELECT max(version) + ${leap} FROM roster_item AS own WHERE own.account = roster_item.account)`;
const ofDomain = "account IN (SELECT id FROM account WHERE served = ?)";

/** The account behind a local contact is gone: others keep the item, without any subscription. */
export const endSubscriptions = write<[contact: string, served: number]>(
  `UPDATE roster_item SET subscription = 'none', ask = 0, approved = 0, version = ${leapt}
   WHERE contact = ? AND subscription <> 'removed' AND ${ofDomain}`,
);
export const endRequests = write<[contact: string, served: number]>(
  `DELETE FROM roster_request WHERE contact = ? AND ${ofDomain}`,
);
export const renameContact = write<[to: string, from: string, served: number]>(
  `UPDATE OR REPLACE roster_item SET contact = ?, version = ${leapt} WHERE contact = ? AND ${ofDomain}`,
);
export const renameRequests = write<[to: string, from: string, served: number]>(
  `UPDATE OR REPLACE roster_request SET contact = ? WHERE contact = ? AND ${ofDomain}`,
);

// ---------------------------------------------------------------- counted, and taken over by a domain change

export const countItems = read<[], { count: number }>(
  "SELECT count(*) AS count FROM roster_item WHERE subscription <> 'removed'",
);
const given = "WITH given (domain) AS (VALUES (?))";
const domain = "(SELECT domain FROM given)";
const under = `(contact = ${domain} OR substr(contact, -length(${domain}) - 1) = '@' || ${domain})`;
export const contactsUnder = read<[domain: string], { contact: string }>(
  `${given} SELECT contact FROM roster_item WHERE ${under} AND subscription <> 'removed'
   UNION SELECT contact FROM roster_request WHERE ${under} ORDER BY contact`,
);
const localForm = (contact: string): string =>
  `CASE ${contact} WHEN ${domain} THEN '@' ELSE substr(${contact}, 1, length(${contact}) - length(${domain})) END`;
// A contact that stands there in both forms keeps the local one, whose subscriptions are our own.
export const localiseItems = [
  write<[domain: string]>(
    `${given} DELETE FROM roster_item WHERE ${under} AND EXISTS (SELECT 1 FROM roster_item AS own
       WHERE own.account = roster_item.account AND own.contact = ${localForm("roster_item.contact")})`,
  ),
  write<[domain: string]>(
    `${given} UPDATE roster_item SET contact = ${localForm("contact")}, version = ${leapt} WHERE ${under}`,
  ),
  write<[domain: string]>(
    `${given} UPDATE OR IGNORE roster_request SET contact = ${localForm("contact")} WHERE ${under}`,
  ),
  write<[domain: string]>(`${given} DELETE FROM roster_request WHERE ${under}`),
];
export const dropOwnItems = write<[]>(
  "DELETE FROM roster_item WHERE contact = (SELECT name || '@' FROM account WHERE id = roster_item.account)",
);
