import type { Element } from "ltx";
import { formElement, formIn, singleValueOf, valuesOf } from "../formats/data-form.ts";
import { parseDate } from "../formats/delay.ts";
import { forwardedElement } from "../formats/forwarded.ts";
import { ns } from "../formats/namespaces.ts";
import { pageElement, parsePageRequest } from "../formats/rsm.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { stanzaId } from "../formats/stanza-id.ts";
import { bare, formatJid, parseJid } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { boolean, integer } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest, MessageFlow } from "../routing/handlers.ts";
import { renderStored, type StoredStanza } from "../routing/stored-stanzas.ts";
import { archiveTime, firstArchiveId } from "../storage/archive-id.ts";
import { read, write } from "../storage/statement.ts";
import { type Xml, x } from "../xml/writer.ts";
import { renameInArchives } from "./archive-renames.ts";
import { type Core, defineModule } from "./module.ts";
import { countable, storedExtras } from "./points.ts";

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
const edges = read<[owner: number], { first: number | null; last: number | null }>(
  "SELECT min(id) AS first, max(id) AS last FROM archive WHERE owner = ?",
);
const known = read<[owner: number, ids: string], { number: number }>(
  "SELECT count(*) AS number FROM archive WHERE owner = ? AND id IN (SELECT value FROM json_each(?))",
);
const total = read<[], { number: number }>("SELECT count(*) AS number FROM archive");
const purgeEntries = write<[before: number, rows: number]>(
  "DELETE FROM archive WHERE (owner, id) IN (SELECT owner, id FROM archive WHERE id < ? LIMIT ?)",
);
const purgeBodies = write<[before: number, rows: number]>(
  `DELETE FROM stanza WHERE id IN (SELECT s.id FROM stanza s WHERE s.id < ?
     AND NOT EXISTS (SELECT 1 FROM offline o WHERE o.id = s.id) AND s.id NOT IN (SELECT archive_id FROM outbound) LIMIT ?)`,
);

const dayMs = 24 * 3600 * 1000;
const pageDefault = 50;
const pageMost = 250;
/** So many messages come together before they are entered unasked. */
const enterAt = 8192;
const highest = Number.MAX_SAFE_INTEGER;

/** Message archive management and the ids it gives to messages. XEP-0313, XEP-0359 */
export const archive = defineModule({
  name: "archive",
  implements: [
    {
      spec: "XEP-0313",
      version: "1.1.3",
      status: "partial",
      note: "archives of accounts; preferences (XEP-0441) come later",
    },
    { spec: "XEP-0359", version: "0.7.0", status: "complete" },
    { spec: "XEP-0334", version: "0.4.0", status: "complete" },
  ],
  accountFeatures: [ns.archive, ns.archiveExtended, ns.stanzaIds],
  // Profanity looks for the archive at the server only, though it stands at the account (XEP-0313 §2).
  features: [ns.archive, ns.stanzaIds],
  properties: [enabled, days],
  migrations: [migration],
  start(core) {
    const { storage } = core;
    let waiting = 0;
    const enterSoon = (): void => {
      waiting = 0;
      enterAll(core).catch((error: unknown) => core.report.wrong({ what: "entering messages into archives", error }));
    };
    const takes = (flow: MessageFlow): boolean => flow.lasting && core.properties.get(enabled);

    core.offer(storedExtras, {
      append: (account, archiveId, view) =>
        stanzaId(archiveId, formatJid({ local: account.name, domain: view, resource: "" })),
    });
    core.offer(countable, { what: "archivedMessages", count: async () => (await storage.read(total))[0]?.number ?? 0 });
    core.every(
      dayMs / 24,
      () => void purge(core).catch((error: unknown) => core.report.wrong({ what: "purging the archive", error })),
    );

    return {
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
          if (!takes(flow)) return undefined;
          const { sender, recipient } = flow;
          const id = flow.keep();
          flow.senderArchive = sender?.account.id;
          if (++waiting >= enterAt) enterSoon();
          if (recipient === undefined) return undefined;
          flow.recipientArchive = recipient.id;
          flow.append = (view) => stanzaId(id, formatJid({ local: recipient.name, domain: view, resource: "" }));
          return undefined;
        },
      },
      iq: [
        { set: [ns.archive, "query"], at: ["account"], answer: (request) => query(core, request) },
        { get: [ns.archive, "query"], at: ["account"], answer: (request) => request.result(queryForm) },
        { get: [ns.archive, "metadata"], at: ["account"], answer: (request) => metadata(core, request) },
      ],
      account: {
        renamed(account, before) {
          enterAll(core)
            .then(() => renameInArchives(core, account, before))
            .catch((error: unknown) => core.report.wrong({ what: `archive of ${account.name}`, error }));
        },
      },
    };
  },
});

const queryForm = x(
  "query",
  { xmlns: ns.archive },
  formElement({
    type: "form",
    formType: ns.archive,
    fields: [
      { name: "with", type: "jid-single", values: [] },
      ...["start", "end", "before-id", "after-id"].map((name) => ({ name, type: "text-single", values: [] }) as const),
      { name: "ids", type: "list-multi", values: [] },
    ],
  }),
);

interface Filter {
  readonly from: number;
  readonly to: number;
  readonly peer: string;
  readonly full: string;
  readonly ids: readonly number[] | undefined;
  /** Ids that the client named: they must be in the archive. */
  readonly named: readonly number[];
}

const refused = (request: IqRequest, why: string): IqAnswer => request.error(stanzaError("bad-request", { text: why }));

function archiveNumber(given: string): number | undefined {
  const number = /^\d{1,16}$/.test(given) ? Number(given) : Number.NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

/** The form's fields as bounds on ids, which rise with time. A string says what is wrong. */
function filterOf(core: Core, element: Element): Filter | string {
  const form = formIn(element);
  const value = (name: string): string | undefined => form && singleValueOf(form, name);
  let [from, to, peer, full] = [0, highest, "", ""];
  const named: number[] = [];
  for (const [name, edge] of [
    ["start", -1],
    ["end", 1],
  ] as const) {
    const stamp = value(name);
    if (stamp === undefined || stamp === "") continue;
    const date = parseDate(stamp);
    if (date === undefined) return `${name} is no date and time of XEP-0082.`;
    if (edge < 0) from = Math.max(from, firstArchiveId(date.getTime()) - 1);
    else to = Math.min(to, firstArchiveId(date.getTime() + 1));
  }
  for (const [name, edge] of [
    ["after-id", -1],
    ["before-id", 1],
  ] as const) {
    const id = value(name);
    if (id === undefined || id === "") continue;
    const number = archiveNumber(id);
    named.push(number ?? -1);
    if (edge < 0) from = Math.max(from, number ?? 0);
    else to = Math.min(to, number ?? highest);
  }
  const wanted = form && valuesOf(form, "ids").filter((id) => id !== "");
  const ids = wanted === undefined || wanted.length === 0 ? undefined : wanted.map((id) => archiveNumber(id) ?? -1);
  if (ids !== undefined) named.push(...ids);
  const whom = value("with");
  if (whom !== undefined && whom !== "") {
    const address = parseJid(whom);
    if (address === undefined) return "with is no address.";
    const place = core.names.locate(address);
    // A former name and a further address lead to the one that stands in the archive.
    const account = place.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
    const seen = account === undefined ? address : { ...address, local: account.name };
    peer = core.names.relative(bare(seen));
    if (address.resource !== "") full = core.names.relative(seen);
  }
  return { from, to, peer, full, ids, named };
}

async function query(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { element, session, account } = request;
  if (account === undefined) return request.error(stanzaError("item-not-found"));
  const filter = filterOf(core, element);
  if (typeof filter === "string") return refused(request, filter);
  const rsm = parsePageRequest(element) ?? {};
  if (rsm === "malformed") return refused(request, "The result set request cannot be read.");
  const max = Math.min(rsm.max ?? pageDefault, pageMost);
  let { from, to } = filter;
  const named = [...filter.named];
  const after = rsm.after === undefined ? undefined : archiveNumber(rsm.after);
  const before = rsm.before === undefined || rsm.before === "" ? undefined : archiveNumber(rsm.before);
  if (rsm.after !== undefined) named.push(after ?? -1);
  if (rsm.before !== undefined && rsm.before !== "") named.push(before ?? -1);
  await enterAll(core);
  // XEP-0313 §4.3.1: an id that is not in the archive is an error, lest a client miss messages in silence.
  if (named.length > 0) {
    const there = (await core.storage.read(known, account.id, JSON.stringify(named)))[0]?.number ?? 0;
    if (there < new Set(named).size)
      return request.error(stanzaError("item-not-found", { text: "An id named here is not in the archive." }));
  }
  const ids = filter.ids === undefined ? "" : JSON.stringify(filter.ids);
  const params = (low: number, high: number, limit: number): PageParams => [
    ...([account.id, low, high, filter.peer, filter.peer, filter.full, filter.full, filter.full, ids, ids] as const),
    limit,
  ];
  const count = (await core.storage.read(countAll, ...params(from, to, highest)))[0]?.number ?? 0;
  if (after !== undefined) from = Math.max(from, after);
  if (before !== undefined) to = Math.min(to, before);
  const backwards = rsm.before !== undefined;
  const rows = await core.storage.read(backwards ? pageDown : pageUp, ...params(from, to, max + 1));
  const complete = rows.length <= max;
  const page = rows.slice(0, max);
  if (backwards) page.reverse();
  const flipped = element.getChild("flip-page", ns.archive) !== undefined;
  const queryId: unknown = element.attrs.queryid;
  for (const row of flipped ? [...page].reverse() : page)
    core.router.send(
      session,
      result(
        core,
        session.bareAddress,
        session.address,
        session.view,
        row,
        typeof queryId === "string" ? queryId : undefined,
      ),
    );
  const set = pageElement({ first: page[0]?.id.toString(), last: page.at(-1)?.id.toString(), count });
  return request.result(x("fin", { xmlns: ns.archive, complete: complete ? "true" : undefined }, set));
}

function result(
  core: Core,
  from: string,
  to: string,
  view: string,
  row: StoredStanza,
  queryId: string | undefined,
): Xml {
  const parts = { names: core.names, views: core.router.views };
  const message = renderStored(parts, row, view, [], { xmlns: ns.client });
  const forwarded = forwardedElement(message, { stamp: new Date(archiveTime(row.id)) });
  return x("message", { from, to }, x("result", { xmlns: ns.archive, queryid: queryId, id: row.id }, forwarded));
}

async function metadata(core: Core, request: IqRequest): Promise<IqAnswer> {
  const account = request.account as Account;
  await enterAll(core);
  const found = (await core.storage.read(edges, account.id))[0];
  const edge = (name: string, id: number | null | undefined): Xml | undefined =>
    id == null ? undefined : x(name, { id, timestamp: new Date(archiveTime(id)).toISOString() });
  return request.result(x("metadata", { xmlns: ns.archive }, edge("start", found?.first), edge("end", found?.last)));
}

/** Makes the entries of everything stored so far. */
async function enterAll(core: Core): Promise<void> {
  await core.storage.bulk(async (step) => {
    while ((await step((rows) => [choose.with(rows), enter.with(), entered.with()])) > 0);
  });
}

/** Forgets what is older than the property says, in slices behind the stanzas. */
async function purge(core: Core): Promise<void> {
  const kept = core.properties.get(days);
  if (kept === 0) return;
  const before = firstArchiveId(core.clock.now() - kept * dayMs);
  await enterAll(core);
  await core.storage.bulk(async (step) => {
    while ((await step((rows) => [purgeEntries.with(before, rows)])) > 0);
    while ((await step((rows) => [purgeBodies.with(before, rows)])) > 0);
  });
}
