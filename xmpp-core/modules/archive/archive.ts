import { forwardedElement } from "../../formats/forwarded.ts";
import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import { stanzaId } from "../../formats/stanza-id.ts";
import { formatJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean, integer } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { renderStored, type StoredStanza } from "../../routing/stored-stanzas.ts";
import { archiveTime } from "../../storage/archive-id.ts";
import { read, write } from "../../storage/statement.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { type Core, defineModule } from "../module.ts";
import { commands, countable, discoExtra, storedExtras } from "../points.ts";
import { clearCommand } from "./clear.ts";
import { archivePreferences, defaultPolicy, preferencesMigration } from "./preferences.ts";
import { type ArchiveFilter, answerQuery, archiveFields, fulltextField, metadataElement } from "./query.ts";
import { renameInArchives } from "./renames.ts";
import { dropLoose, forgetRemoved, leaving, purgeOlder, sweepMigration } from "./sweep.ts";
import { searchEnabled, type TextIndex, textIndex, textIndexMigration, textQuery } from "./text-index.ts";

const enabled = property("firekeeper.archive.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether conversations are kept in their participants' archives on the server.",
});

const days = property("firekeeper.archive.days", {
  schema: integer(0, 36_500),
  default: 365,
  impact: "live",
  unit: "days",
  doc: "How long archived messages are kept; 0: for ever.",
});

const migration = {
  name: "0010_archive",
  sql: `
    CREATE TABLE archive (
      owner INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, id INTEGER NOT NULL, peer TEXT NOT NULL,
      PRIMARY KEY (owner, id)
    ) WITHOUT ROWID;
    CREATE TABLE archive_entered (one INTEGER PRIMARY KEY CHECK (one = 1), up_to INTEGER NOT NULL, next INTEGER NOT NULL);
    INSERT INTO archive_entered VALUES (1, 0, 0);`,
};

/**
 * A message is stored with the archives it belongs in, by one append to one table. The archives' own entries, which lie
 * apart by owner, are made later and many at once: when somebody asks, or when enough have come together.
 */
const choose = write<[rows: number]>(
  `UPDATE archive_entered SET next = coalesce((SELECT max(id) FROM
     (SELECT id FROM stanza WHERE id > (SELECT up_to FROM archive_entered) ORDER BY id LIMIT ?)), up_to)
   WHERE EXISTS (SELECT 1 FROM stanza WHERE id > (SELECT up_to FROM archive_entered))`,
);
const chosen = "s.id > (SELECT up_to FROM archive_entered) AND s.id <= (SELECT next FROM archive_entered)";
const bareOf = (column: string): string => `substr(s.${column}, 1, instr(s.${column} || '/', '/') - 1)`;
const enter = write<[]>(
  `INSERT OR IGNORE INTO archive (owner, id, peer)
     SELECT s.sender_archive, s.id, ${bareOf("recipient")} FROM stanza s
       WHERE ${chosen} AND s.sender_archive IN (SELECT id FROM account)
     UNION ALL
     SELECT s.recipient_archive, s.id, ${bareOf("sender")} FROM stanza s
       WHERE ${chosen} AND s.recipient_archive IN (SELECT id FROM account) AND s.recipient_archive IS NOT s.sender_archive
     ORDER BY 1, 2`,
);
const entered = write<[]>("UPDATE archive_entered SET up_to = next WHERE up_to < next");

/** One page; "" or -1 stand for "no such bound". `full` narrows a contact down to one of its resources. */
type PageParams = [
  owner: number,
  from: number,
  to: number,
  peer: string,
  peer2: string,
  full: string,
  full2: string,
  full3: string,
  ids: string,
  ids2: string,
  limit: number,
];
const bounds = `FROM archive a JOIN stanza s ON s.id = a.id WHERE a.owner = ? AND a.id > ? AND a.id < ?
  AND (? = '' OR a.peer = ?) AND (? = '' OR s.sender = ? OR s.recipient = ?) AND (? = '' OR a.id IN (SELECT value FROM json_each(?)))`;
const pageUp = read<PageParams, StoredStanza>(`SELECT s.* ${bounds} ORDER BY a.id LIMIT ?`);
const pageDown = read<PageParams, StoredStanza>(`SELECT s.* ${bounds} ORDER BY a.id DESC LIMIT ?`);
const countAll = read<PageParams, { number: number }>(`SELECT count(*) AS number FROM (SELECT 1 ${bounds} LIMIT ?)`);
/** Where the messages themselves need not be looked at. */
const countEntries = read<
  [owner: number, from: number, to: number, peer: string, peer2: string, limit: number],
  { number: number }
>(
  `SELECT count(*) AS number FROM
     (SELECT 1 FROM archive WHERE owner = ? AND id > ? AND id < ? AND (? = '' OR peer = ?) LIMIT ?)`,
);
const matching = `FROM archive_text t JOIN archive a ON a.id = t.rowid JOIN stanza s ON s.id = a.id WHERE archive_text MATCH ?
  AND ${bounds.slice(bounds.indexOf("WHERE ") + 6)}`;
type FoundParams = [text: string, ...PageParams];
const foundUp = read<FoundParams, StoredStanza>(`SELECT s.* ${matching} ORDER BY a.id LIMIT ?`);
const foundDown = read<FoundParams, StoredStanza>(`SELECT s.* ${matching} ORDER BY a.id DESC LIMIT ?`);
const countFound = read<FoundParams, { number: number }>(
  `SELECT count(*) AS number FROM (SELECT 1 ${matching} LIMIT ?)`,
);
// Each in a query of its own finds its end of the index; together they would read the whole archive.
const edges = read<[owner: number, again: number], { first: number | null; last: number | null }>(
  `SELECT (SELECT min(id) FROM archive WHERE owner = ?) AS first, (SELECT max(id) FROM archive WHERE owner = ?) AS last`,
);
const known = read<[owner: number, ids: string], { number: number }>(
  "SELECT count(*) AS number FROM archive WHERE owner = ? AND id IN (SELECT value FROM json_each(?))",
);
const total = read<[], { number: number }>("SELECT count(*) AS number FROM archive");
const hourMs = 3600 * 1000;
const searchFields = [fulltextField];
/** So many messages come together before they are entered unasked. */
const enterAt = 8192;

/** Message archive management and the ids it gives to messages. XEP-0313, XEP-0359 */
export const archive = defineModule({
  name: "archive",
  implements: [
    {
      spec: "XEP-0313",
      version: "1.1.3",
      status: "complete",
    },
    { spec: "XEP-0431", version: "0.2.0", status: "complete", note: "words of plain bodies; all must occur" },
    { spec: "XEP-0441", version: "0.2.0", status: "complete" },
    { spec: "XEP-0359", version: "0.7.0", status: "complete" },
    { spec: "XEP-0334", version: "0.4.0", status: "complete" },
  ],
  accountFeatures: [ns.archive, ns.archiveExtended, ns.archiveGroupchat, ns.stanzaIds],
  // Profanity looks for the archive at the server only, though it stands at the account (XEP-0313 §2).
  features: [ns.archive, ns.stanzaIds],
  properties: [enabled, days, defaultPolicy, searchEnabled],
  migrations: [migration, preferencesMigration, textIndexMigration, sweepMigration],
  start(core) {
    const { storage } = core;
    let waiting = 0;
    /** Whether what a former process left is behind us. */
    let hasEntered = false;
    const enterSoon = (): void => {
      waiting = 0;
      enterAll(core).catch((error: unknown) => core.report.wrong({ what: "entering messages into archives", error }));
    };
    const preferences = archivePreferences(core);
    const index = textIndex(core);

    core.offer(storedExtras, {
      append: (account, archiveId, view) =>
        stanzaId(archiveId, formatJid({ local: account.name, domain: view, resource: "" })),
    });
    core.offer(
      commands,
      clearCommand(core, () => enterAll(core)),
    );
    core.offer(countable, { what: "archivedMessages", count: async () => (await storage.read(total))[0]?.number ?? 0 });
    const inBackground = (what: string, work: Promise<void>): void =>
      void work.catch((error: unknown) => core.report.wrong({ what, error }));
    core.every(hourMs, () => inBackground("sweeping the archives", sweep(core, index)));
    core.watch(searchEnabled, (on) => {
      if (!on) inBackground("emptying the index of the archives", index.empty());
    });
    core.offer(discoExtra, { accountFeatures: () => (core.properties.get(searchEnabled) ? [ns.fulltext] : []) });

    return {
      ready: preferences.ready,
      message: {
        amend(flow) {
          // Ids are the archive's word; what a client wrote as one is a forgery (XEP-0359 §6).
          if (flow.stanza.has(ns.stanzaIds, "stanza-id")) {
            const others = flow.without;
            flow.without = (child) =>
              (child.ns === ns.stanzaIds && child.name === "stanza-id") || others?.(child) === true;
          }
        },
        store(flow) {
          if (!flow.lasting || !core.properties.get(enabled)) return undefined;
          const { sender, recipient } = flow;
          const bySender = sender !== undefined && preferences.keeps(sender.account, flow.to);
          const byRecipient = recipient !== undefined && preferences.keeps(recipient, flow.from);
          if (!bySender && !byRecipient) return undefined;
          const id = flow.keep();
          if (++waiting >= enterAt) enterSoon();
          if (bySender) flow.senderArchive = sender.account.id;
          if (!byRecipient) return undefined;
          flow.recipientArchive = recipient.id;
          flow.append = (view) => stanzaId(id, formatJid({ local: recipient.name, domain: view, resource: "" }));
          return undefined;
        },
      },
      iq: [
        { set: [ns.archive, "query"], at: ["account"], answer: (request) => query(core, index, request) },
        {
          get: [ns.archive, "query"],
          at: ["account"],
          answer: (request) => request.result(archiveFields(core.properties.get(searchEnabled) ? searchFields : [])),
        },
        { get: [ns.archive, "metadata"], at: ["account"], answer: (request) => metadata(core, request) },
        ...preferences.iq,
      ],
      async bound(account) {
        // Mostly there is nothing new, and a login should not cost a commit.
        if (waiting > 0 || !hasEntered) {
          waiting = 0;
          await enterAll(core).catch((error: unknown) => {
            waiting++;
            throw error;
          });
          hasEntered = true;
        }
        return edgesOf(core, account);
      },
      account: {
        renamed(account, before) {
          preferences.follow(account, before);
          enterAll(core)
            .then(() => renameInArchives(core, account, before))
            .catch((error: unknown) => core.report.wrong({ what: `archive of ${account.name}`, error }));
        },
        setAside: (account) => preferences.leave(account),
        removed(account) {
          // Behind the caller's commit, which takes the archive itself away.
          setImmediate(() => {
            const gone = core.storage.write([]).then(() => enterAll(core));
            inBackground(
              `messages of ${account.name}`,
              gone.then(() => forgetRemoved(core)),
            );
          });
          return [...preferences.leave(account), ...leaving(account)];
        },
      },
    };
  },
});

async function query(core: Core, index: TextIndex, request: IqRequest): Promise<IqAnswer> {
  const { session, account } = request;
  if (account === undefined) return request.error(stanzaError("item-not-found"));
  await enterAll(core);
  const { storage } = core;
  const params = ({ from, to, peer, full, ids }: ArchiveFilter, limit: number): PageParams => [
    ...([account.id, from, to, peer, peer, full, full, full, ids, ids] as const),
    limit,
  ];
  const found = async ({ words }: ArchiveFilter): Promise<string> => {
    await index.fill();
    return textQuery(account.id, words);
  };
  return answerQuery<StoredStanza>(core, request, {
    fields: core.properties.get(searchEnabled) ? searchFields : [],
    known: async (ids) => (await storage.read(known, account.id, ids))[0]?.number ?? 0,
    async count(filter, limit) {
      const { from, to, peer, full, ids, words } = filter;
      if (words === "" && full === "" && ids === "")
        return (await storage.read(countEntries, account.id, from, to, peer, peer, limit))[0]?.number ?? 0;
      const counted = params(filter, limit);
      if (filter.words === "") return (await storage.read(countAll, ...counted))[0]?.number ?? 0;
      const text = await found(filter);
      return text === "" ? 0 : ((await storage.read(countFound, text, ...counted))[0]?.number ?? 0);
    },
    async rows(filter, backwards, limit) {
      const page = params(filter, limit);
      if (filter.words === "") return storage.read(backwards ? pageDown : pageUp, ...page);
      const text = textQuery(account.id, filter.words);
      return text === "" ? [] : storage.read(backwards ? foundDown : foundUp, text, ...page);
    },
    send: (row, queryId) => core.router.send(session, result(core, session, row, queryId)),
  });
}

function result(core: Core, session: Session, row: StoredStanza, queryId: string | undefined): Xml {
  const parts = { names: core.names, views: core.router.views };
  const message = renderStored(parts, row, session.view, [], { xmlns: ns.client });
  const forwarded = forwardedElement(message, { stamp: new Date(archiveTime(row.id)) });
  const addresses = { from: session.bareAddress, to: session.address };
  return x("message", addresses, x("result", { xmlns: ns.archive, queryid: queryId, id: row.id }, forwarded));
}

async function metadata(core: Core, request: IqRequest): Promise<IqAnswer> {
  await enterAll(core);
  return request.result(await edgesOf(core, request.account as Account));
}

/** The first and the last message of an archive. XEP-0313 §4.4 */
async function edgesOf(core: Core, account: Account): Promise<Xml> {
  const found = (await core.storage.read(edges, account.id, account.id))[0];
  return metadataElement(found?.first, found?.last);
}

/** Makes the entries of everything stored so far. */
async function enterAll(core: Core): Promise<void> {
  await core.storage.bulk(async (step) => {
    while ((await step((rows) => [choose.with(rows), enter.with(), entered.with()])) > 0);
  });
}

/** What the server does to archives by itself, hourly, in slices behind the stanzas. */
async function sweep(core: Core, index: TextIndex): Promise<void> {
  await enterAll(core);
  await forgetRemoved(core);
  const kept = core.properties.get(days);
  const gone = kept === 0 ? 0 : await purgeOlder(core, kept);
  if (gone > 0) {
    core.report.archivePurged({ messages: gone, olderThanDays: kept });
    core.rights.used("server", "purge archives", `${gone} messages older than ${kept} days`);
  }
  await dropLoose(core);
  if (core.properties.get(searchEnabled)) await index.fill();
}
