import type { Jid } from "../jid/jid.ts";
import { read, type Write, write } from "../storage/statement.ts";
import { rawXml, type Xml, x } from "../xml/writer.ts";
import type { Names } from "./names.ts";
import type { Views } from "./views.ts";

/** One stored body for all who refer to it: archives, offline storage, queues of managed sessions. docs/architecture.md "What is on disk when", rule 5. */
export const storedStanzasMigration = {
  name: "0004_stanzas",
  sql: `
    CREATE TABLE stanza (
      id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
      type TEXT NOT NULL, stanza_id TEXT, lang TEXT, sender_archive INTEGER, recipient_archive INTEGER, payload BLOB NOT NULL
    );`,
};

export interface StoredStanza {
  readonly id: number;
  readonly epoch: number;
  readonly sender: string;
  readonly recipient: string;
  readonly type: string;
  readonly stanza_id: string | null;
  readonly lang: string | null;
  /** Accounts in whose archive it is. */
  readonly sender_archive: number | null;
  readonly recipient_archive: number | null;
  readonly payload: Uint8Array;
}

const putStanza = write<
  [
    id: number,
    epoch: number,
    sender: string,
    recipient: string,
    type: string,
    stanzaId: string | null,
    lang: string | null,
    senderArchive: number | null,
    recipientArchive: number | null,
    payload: Buffer,
  ]
>(
  `INSERT INTO stanza (id, epoch, sender, recipient, type, stanza_id, lang, sender_archive, recipient_archive, payload)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);

export const highestStanza = read<[], { highest: number | null }>("SELECT max(id) AS highest FROM stanza");

const someStanzas = read<[ids: string], StoredStanza>(
  "SELECT * FROM stanza WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
);

/** Reads bodies by id. */
export const stanzasById = someStanzas;

export function stanzaRow(
  names: Names,
  facts: {
    id: number;
    view: string;
    from: Jid;
    to: Jid;
    type: string;
    stanzaId: string | undefined;
    lang: string | undefined;
    /** Accounts in whose archive it belongs. */
    senderArchive: number | undefined;
    recipientArchive: number | undefined;
    payload: Buffer;
  },
): Write {
  return putStanza.with(
    facts.id,
    names.epochOf(facts.view),
    names.relative(facts.from),
    names.relative(facts.to),
    facts.type,
    facts.stanzaId ?? null,
    facts.lang ?? null,
    facts.senderArchive ?? null,
    facts.recipientArchive ?? null,
    facts.payload,
  );
}

/** A stored message as somebody under `view` sees it; `append` goes behind the payload (delay, stanza id). */
export function renderStored(
  parts: { names: Names; views: Views },
  row: StoredStanza,
  view: string,
  append: readonly Xml[],
  attributes: { readonly xmlns?: string; readonly to?: string } = {},
): Xml {
  const { names, views } = parts;
  const payload = views.payload(Buffer.from(row.payload), names.epochName(row.epoch), view);
  return x(
    "message",
    {
      from: names.absolute(row.sender, view),
      to: names.absolute(row.recipient, view),
      ...attributes,
      type: row.type === "normal" ? undefined : row.type,
      id: row.stanza_id ?? undefined,
      "xml:lang": row.lang ?? undefined,
    },
    rawXml(payload),
    ...append,
  );
}
