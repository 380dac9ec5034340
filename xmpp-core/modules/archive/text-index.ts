import { ns } from "../../formats/namespaces.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import { read, write } from "../../storage/statement.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import type { Core } from "../module.ts";

export const searchEnabled = property("firekeeper.archive.search.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether people can look for words in their archives. Off: no words are indexed, and the index is emptied.",
});

/**
 * Words of plain bodies, by the id of the message; the text itself is kept once, in the message. `owners` holds a word
 * for each account whose archive it is in. Filled behind the messages, like the archives' own entries.
 */
export const textIndexMigration = {
  name: "0066_archive-text",
  sql: `
    CREATE VIRTUAL TABLE archive_text USING fts5
      (owners, body, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');
    CREATE TABLE archive_indexed (one INTEGER PRIMARY KEY CHECK (one = 1), up_to INTEGER NOT NULL);
    INSERT INTO archive_indexed VALUES (1, 0);`,
};

interface Unindexed {
  readonly id: number;
  readonly owner: number | null;
  readonly other: number | null;
  readonly payload: Uint8Array;
}
/** Only what the archives have entered: the cursor never passes a message that is still to come. */
const unindexed = read<[rows: number], Unindexed>(
  `SELECT id, sender_archive AS owner, recipient_archive AS other, payload FROM stanza
   WHERE id > (SELECT up_to FROM archive_indexed) AND id <= (SELECT up_to FROM archive_entered) ORDER BY id LIMIT ?`,
);
const put = write<[id: number, owners: string, body: string]>(
  "INSERT OR REPLACE INTO archive_text (rowid, owners, body) VALUES (?, ?, ?)",
);
const reached = write<[id: number]>("UPDATE archive_indexed SET up_to = ? WHERE one = 1");
const drop = write<[rows: number]>("DELETE FROM archive_text WHERE rowid IN (SELECT rowid FROM archive_text LIMIT ?)");

const slice = 100;
const longestIndexed = 20_000;

const encrypted: readonly string[] = [
  ns.encryption,
  ns.omemo,
  "urn:xmpp:omemo:1",
  "urn:xmpp:omemo:2",
  ns.openPgp,
  ns.legacyEncrypted,
];

/** What a message says in clear; undefined: nothing, or its body only stands in for an encrypted one. */
export function plainBody(payload: Uint8Array): string | undefined {
  const bytes = Buffer.from(payload);
  if (!bytes.includes("<body")) return undefined;
  const stanza = parseStanza(`<message xmlns="${ns.client}">${bytes}</message>`, ns.client, limitsAfterLogin);
  if (encrypted.some((namespace) => stanza.has(namespace))) return undefined;
  const bodies = stanza.element().getChildren("body", ns.client);
  const said = bodies.map((body) => body.getText()).join("\n");
  return said === "" || said.startsWith("?OTR") ? undefined : said.slice(0, longestIndexed);
}

const ownerWord = (account: number): string => `o${account}`;

/**
 * The question for the index: every word must occur in a message of this account's archive. Nothing a client writes is
 * taken as the index's own language. `textQuery(7, 'red "car')` is `owners : "o7" AND body : ("red" AND """car")`.
 */
export function textQuery(account: number, words: string): string {
  const quoted = words
    .split(/\s+/)
    .filter((word) => /[\p{L}\p{N}]/u.test(word))
    .map((word) => `"${word.replaceAll('"', '""')}"`);
  const body = quoted.length === 0 ? "" : ` AND body : (${quoted.join(" AND ")})`;
  return quoted.length === 0 ? "" : `owners : "${ownerWord(account)}"${body}`;
}

export interface TextIndex {
  /** Brings the index up to what the archives have entered, in slices behind the stanzas. */
  fill(): Promise<void>;
  /** Forgets everything; what is indexed again begins at the first message. */
  empty(): Promise<void>;
}

/** Filling and emptying follow each other: both move the same mark. */
export function textIndex(core: Core): TextIndex {
  let last: Promise<void> = Promise.resolve();
  const behind = (work: (core: Core) => Promise<void>): Promise<void> => {
    const done = last.then(() => work(core));
    last = done.catch(() => undefined);
    return done;
  };
  return { fill: () => behind(fill), empty: () => behind(empty) };
}

async function fill({ storage, report }: Core): Promise<void> {
  await storage.bulk(async (step) => {
    for (;;) {
      const found = await storage.read(unindexed, slice);
      const last = found.at(-1);
      if (last === undefined) return;
      const rows = found.flatMap(({ id, owner, other, payload }) => {
        if (owner === null && other === null) return [];
        try {
          const body = plainBody(payload);
          const owners = [owner, other].filter((one) => one !== null).map(ownerWord);
          return body === undefined ? [] : [put.with(id, owners.join(" "), body)];
        } catch (error) {
          report.wrong({ what: `indexing message ${id}`, error });
          return [];
        }
      });
      await step(() => [...rows, reached.with(last.id)]);
    }
  });
}

async function empty({ storage }: Core): Promise<void> {
  await storage.bulk(async (step) => {
    await step(() => [reached.with(0)]);
    while ((await step((rows) => [drop.with(rows)])) > 0);
  });
}
