import type { Element } from "ltx";
import { type Field, formElement, formIn, singleValueOf, valuesOf } from "../../formats/data-form.ts";
import { parseDate } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { bare, parseJid } from "../../jid/jid.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { archiveTime, firstArchiveId } from "../../storage/archive-id.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";

/** What archives of accounts and of rooms have in common: how a page is asked for and answered. XEP-0313 §4 */

const pageDefault = 50;
const pageMost = 250;
const mostIds = 1000;
/** Up to so many are counted for a page. */
const mostCounted = 10_000;
const longestText = 1000;
export const highestId = Number.MAX_SAFE_INTEGER;

/** The field for words to look for. XEP-0431 */
export const fulltextField = `{${ns.fulltext}}fulltext`;
const everywhere = ["with", "start", "end", "before-id", "after-id", "ids", "include-groupchat"];

/** The fields that an archive understands, `more` beside those of every archive. XEP-0313 §4.1.5 */
export function archiveFields(more: readonly string[] = []): Xml {
  const fields = [...everywhere, ...more].map((name): Field => {
    if (name === "with") return { name, type: "jid-single", values: [] };
    if (name === "ids") return { name, type: "list-multi", values: [], open: true };
    return { name, type: name === "include-groupchat" ? "boolean" : "text-single", values: [] };
  });
  return x("query", { xmlns: ns.archive }, formElement({ type: "form", formType: ns.archive, fields }));
}
export const archiveForm = archiveFields();

/** Which messages are asked for, as bounds on ids, which rise with time. */
export interface ArchiveFilter {
  /** Ids lie above `from` and below `to`. */
  readonly from: number;
  readonly to: number;
  /** Stored bare address of `with`; "": anybody. */
  readonly peer: string;
  /** Stored full address of `with`; "" if it names no resource. */
  readonly full: string;
  /** JSON list of ids; "": any. */
  readonly ids: string;
  /** What was written into `fulltextField`; "": nothing. */
  readonly words: string;
}

/** What an archive can be asked. */
export interface ArchiveSource<Row> {
  /** Fields beside those of every archive. */
  readonly fields?: readonly string[];
  /** How many of these different ids (a JSON list) are in the archive. */
  known(ids: string): Promise<number>;
  /** How many there are; may stop counting at `limit`. */
  count(filter: ArchiveFilter, limit: number): Promise<number>;
  /** At most `limit` rows, the lowest ids first, or `backwards` the highest first. */
  rows(filter: ArchiveFilter, backwards: boolean, limit: number): Promise<readonly Row[]>;
  /** Sends one result; `queryId` is what the asker calls his query. */
  send(row: Row, queryId: string | undefined): void;
}

function archiveNumber(given: string): number | undefined {
  const number = /^\d{1,16}$/.test(given) ? Number(given) : Number.NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

const refusal = (text: string): StanzaError => stanzaError("bad-request", { text });

/** `named`: ids that the client named, which must be in the archive. */
type Asked = ArchiveFilter & { readonly named: readonly number[] };

function filterOf(core: Core, element: Element, more: readonly string[]): Asked | StanzaError {
  const form = formIn(element);
  // XEP-0313 §4.1.7: to ignore a field would give more than was asked for.
  const unknown = form?.fields.find(
    ({ name }) => name !== undefined && !everywhere.includes(name) && !more.includes(name),
  );
  if (unknown !== undefined)
    return stanzaError("feature-not-implemented", { text: `The field "${unknown.name}" is not known here.` });
  const value = (name: string): string | undefined => (form && singleValueOf(form, name)) || undefined;
  let [from, to, peer, full] = [0, highestId, "", ""];
  const named: number[] = [];
  for (const name of ["start", "end"] as const) {
    const stamp = value(name);
    if (stamp === undefined) continue;
    const date = parseDate(stamp);
    if (date === undefined) return refusal(`${name} is no date and time of XEP-0082.`);
    if (name === "start") from = Math.max(from, firstArchiveId(date.getTime()) - 1);
    else to = Math.min(to, firstArchiveId(date.getTime() + 1));
  }
  for (const name of ["after-id", "before-id"] as const) {
    const id = value(name);
    if (id === undefined) continue;
    const number = archiveNumber(id);
    named.push(number ?? -1);
    if (name === "after-id") from = Math.max(from, number ?? 0);
    else to = Math.min(to, number ?? highestId);
  }
  const wanted = form === undefined ? [] : valuesOf(form, "ids").filter((id) => id !== "");
  if (wanted.length > mostIds) return refusal(`At most ${mostIds} ids can be asked for at once.`);
  const ids = wanted.map((id) => archiveNumber(id) ?? -1);
  named.push(...ids);
  const words = more.includes(fulltextField) ? (value(fulltextField) ?? "") : "";
  if (words.length > longestText) return refusal("The text to look for is too long.");
  const whom = value("with");
  if (whom !== undefined) {
    const address = parseJid(whom);
    if (address === undefined) return refusal("with is no address.");
    const place = core.names.locate(address);
    // A former name and a further address lead to the one that stands in the archive.
    const account = place.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
    const seen = account === undefined ? address : { ...address, local: account.name };
    peer = core.names.relative(bare(seen));
    if (address.resource !== "") full = core.names.relative(seen);
  }
  return { from, to, peer, full, ids: ids.length === 0 ? "" : JSON.stringify(ids), words, named };
}

/** Sends the page that is asked for, and answers with its end. XEP-0313 §4 */
export async function answerQuery<Row extends { readonly id: number }>(
  core: Core,
  request: OpenRequest,
  source: ArchiveSource<Row>,
): Promise<IqAnswer> {
  const { element } = request;
  const filter = filterOf(core, element, source.fields ?? []);
  if ("condition" in filter) return request.error(filter);
  const rsm = parsePageRequest(element) ?? {};
  if (rsm === "malformed") return request.error(refusal("The result set request cannot be read."));
  const max = Math.min(rsm.max ?? pageDefault, pageMost);
  const named = [...filter.named];
  const after = rsm.after === undefined ? undefined : archiveNumber(rsm.after);
  const before = rsm.before === undefined || rsm.before === "" ? undefined : archiveNumber(rsm.before);
  if (rsm.after !== undefined) named.push(after ?? -1);
  if (rsm.before !== undefined && rsm.before !== "") named.push(before ?? -1);
  // XEP-0313 §4.3.1: an id that is not in the archive is an error, lest a client miss messages in silence.
  if (named.length > 0 && (await source.known(JSON.stringify(named))) < new Set(named).size)
    return request.error(stanzaError("item-not-found", { text: "An id named here is not in the archive." }));
  // Whoever asks for the count alone gets it; beside a page a large one is left out, for counting costs more than the page. XEP-0059 §2.6
  const counted = await source.count(filter, max === 0 ? highestId : mostCounted + 1);
  const count = max > 0 && counted > mostCounted ? undefined : counted;
  const backwards = rsm.before !== undefined;
  const part: ArchiveFilter = {
    ...filter,
    from: Math.max(filter.from, after ?? 0),
    to: Math.min(filter.to, before ?? highestId),
  };
  const rows = await source.rows(part, backwards, max + 1);
  const complete = rows.length <= max;
  const page = rows.slice(0, max);
  if (backwards) page.reverse();
  const flipped = element.getChild("flip-page", ns.archive) !== undefined;
  const queryId: unknown = element.attrs.queryid;
  for (const row of flipped ? [...page].reverse() : page)
    source.send(row, typeof queryId === "string" ? queryId : undefined);
  const set = pageElement({ first: page[0]?.id.toString(), last: page.at(-1)?.id.toString(), count });
  return request.result(x("fin", { xmlns: ns.archive, complete: complete ? "true" : undefined }, set));
}

/** The answer to a question for the archive's first and last message; none if it is empty. XEP-0313 §5 */
export function metadataElement(first: number | null | undefined, last: number | null | undefined): Xml {
  const edge = (name: string, id: number | null | undefined): Xml | undefined =>
    id == null ? undefined : x(name, { id, timestamp: new Date(archiveTime(id)).toISOString() });
  return x("metadata", { xmlns: ns.archive }, edge("start", first), edge("end", last));
}
