import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type Page, type PageRequest, pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { x } from "../../xml/writer.ts";
import type { Item } from "./content.ts";
import { itemElement } from "./content.ts";
import { attribute, type Engine, type Operation, onNode } from "./engine.ts";
import { shownItemId, storedItemId } from "./entities.ts";
import { unsupported } from "./errors.ts";
import { mostAtOnce } from "./limits.ts";
import { isOn } from "./options.ts";
import type { Node } from "./store.ts";
import * as rows from "./tables.ts";

const last = Number.MAX_SAFE_INTEGER;
/** An answer is cut behind so many bytes of payloads. */
const mostBytes = 4 * 1024 * 1024;

/** XEP-0060 §6.5 */
export const items: Operation = (engine, work) =>
  onNode(engine, work, async (node) => {
    const { request, element, asker } = work;
    const { core, entities } = engine;
    const refused = engine.access.mayRead(node, asker);
    if (refused !== undefined) return request.error(refused);
    if (!isOn(node.config, "persist_items")) return request.error(unsupported("persistent-items"));
    const wanted = element.getChildren("item", ns.pubsub).map((item) => attribute(item, "id"));
    const found =
      wanted.length > 0 ? await named(engine, node, wanted) : await page(engine, node, request.element, element);
    if (isStanzaError(found)) return request.error(found);
    const list = x(
      "items",
      { node: node.name },
      found.items.map((item) => itemElement(core, entities, item, asker.view)),
    );
    return request.result(
      x("pubsub", { xmlns: ns.pubsub }, list, found.page && pageElement(shownPage(engine, found.page, asker.view))),
    );
  });

interface Found {
  readonly items: readonly Item[];
  /** With stored ids. */
  readonly page: Page | undefined;
}

async function named(engine: Engine, node: Node, ids: readonly (string | undefined)[]): Promise<Found | StanzaError> {
  if (ids.length > mostAtOnce || !ids.every((id) => id !== undefined))
    return stanzaError("bad-request", { text: `Each item needs an id; at most ${mostAtOnce} may be named.` });
  const stored = [...new Set(ids.map((id) => storedItemId(engine.core, node.name, id)))];
  const since = engine.publishing.expiredBefore(node);
  const found = await engine.core.storage.read(rows.itemsNamed, node.id, JSON.stringify(stored), since);
  return found.length === 0 ? noItem() : { items: found.map(itemOf), page: undefined };
}

async function page(engine: Engine, node: Node, request: Element, element: Element): Promise<Found | StanzaError> {
  const rsm = parsePageRequest(request) ?? parsePageRequest(element);
  const most = attribute(element, "max_items");
  if (rsm === "malformed" || (most !== undefined && !/^[0-9]{1,9}$/.test(most)))
    return stanzaError("bad-request", { text: "The number of items wanted cannot be read." });
  const wanted = most === undefined || Number(most) === 0 ? undefined : Number(most);
  // §6.5.7: with max_items alone the newest ones.
  const asked: PageRequest | undefined =
    rsm ?? (wanted === undefined ? undefined : { max: wanted, ...(engine.descending() ? {} : { before: "" }) });
  const ids = await idPage(engine, node, asked, true);
  if (isStanzaError(ids)) return ids;
  const [low, high] = [Math.min(...ids.seqs), Math.max(...ids.seqs)];
  const found =
    ids.seqs.length === 0
      ? []
      : await engine.core.storage.read(rows.itemsUp, node.id, low - 1, high + 1, 0, ids.seqs.length);
  if (engine.descending()) found.reverse();
  const cut = ids.seqs.length < (ids.page.count ?? 0);
  return { items: found.map(itemOf), page: rsm !== undefined || (cut && wanted === undefined) ? ids.page : undefined };
}

/** One page of a node's items by their ids, in the order in which they are shown. XEP-0059 */
export async function idPage(
  engine: Engine,
  node: Node,
  asked: PageRequest | undefined,
  weighed: boolean,
): Promise<{ readonly seqs: readonly number[]; readonly ids: readonly string[]; readonly page: Page } | StanzaError> {
  const { storage } = engine.core;
  const since = engine.publishing.expiredBefore(node);
  const descending = engine.descending();
  const limit = Math.min(asked?.max ?? engine.pageMost(), engine.pageMost());
  const count = (await storage.read(rows.countItems, node.id, 0, last, since))[0]?.number ?? 0;
  if (asked?.max === 0) return { seqs: [], ids: [], page: { count } };
  let [low, high] = [0, last];
  for (const [cursor, forwards] of [
    [asked?.after, true],
    [asked?.before === "" ? undefined : asked?.before, false],
  ] as const) {
    if (cursor === undefined) continue;
    const id = storedItemId(engine.core, node.name, cursor);
    const at = (await storage.read(rows.itemsNamed, node.id, JSON.stringify([id]), since))[0]?.seq;
    if (at === undefined) return noItem();
    if (forwards !== descending) low = Math.max(low, at);
    else high = Math.min(high, at);
  }
  const index = asked?.index;
  if (index !== undefined && asked?.after === undefined && asked?.before === undefined) {
    const at = (await storage.read(descending ? rows.seqAtDown : rows.seqAt, node.id, since, index))[0]?.seq;
    if (at === undefined) return noItem();
    if (descending) high = at + 1;
    else low = at - 1;
  }
  // Read from the end at which the page begins; then bring it into the order in which it is shown.
  const backwards = (asked?.before !== undefined) !== descending;
  const read = await storage.read(backwards ? rows.idsDown : rows.idsUp, node.id, low, high, since, limit);
  const found = weighed ? cutAt(read) : read;
  if (backwards !== descending) found.reverse();
  const [first, end] = [found[0], found.at(-1)];
  let place: number | undefined;
  if (first !== undefined) {
    const bounds = descending ? ([first.seq, last] as const) : ([0, first.seq] as const);
    place = (await storage.read(rows.countItems, node.id, ...bounds, since))[0]?.number ?? 0;
  }
  return {
    seqs: found.map(({ seq }) => seq),
    ids: found.map(({ id }) => id),
    page: { first: first?.id, last: end?.id, index: place, count },
  };
}

/** Those in front that are not too many bytes together, one at least. */
function cutAt<T extends { readonly bytes: number }>(found: readonly T[]): T[] {
  let sum = 0;
  return found.filter(({ bytes }, i) => {
    sum += bytes;
    return i === 0 || sum <= mostBytes;
  });
}

/** A page's edges as `view` sees them. */
export const shownPage = ({ core }: Engine, found: Page, view: string): Page => ({
  ...found,
  first: found.first === undefined ? undefined : shownItemId(core, found.first, view),
  last: found.last === undefined ? undefined : shownItemId(core, found.last, view),
});

/** The newest item, if there is one. */
export async function newest(engine: Engine, node: Node): Promise<(Item & { readonly seq: number }) | undefined> {
  return (await newestItems(engine, node, 1))[0];
}

/** The newest items, oldest of them first. */
export async function newestItems(
  engine: Engine,
  node: Node,
  most: number,
): Promise<(Item & { readonly seq: number })[]> {
  const since = engine.publishing.expiredBefore(node);
  return (await engine.core.storage.read(rows.itemsDown, node.id, 0, last, since, most)).map(itemOf).reverse();
}

const itemOf = (row: rows.ItemRow): Item & { readonly seq: number } => ({ ...row, payload: Buffer.from(row.payload) });
const noItem = (): StanzaError => stanzaError("item-not-found", { text: "There is no such item." });
