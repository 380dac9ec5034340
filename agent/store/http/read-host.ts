/**
 * Reads an HTTP host whole: one document, or several that must be of one moment. docs/stores/http.md.
 *
 *  the parts of a split host say           | taken when
 *  ----------------------------------------|-------------------------------------------------------------
 *  all one snapshot                        | at once
 *  different snapshots                     | read again, up to five rounds, then `store/never-quiet`
 *  no snapshot, or only some say one       | two rounds agree on every tag (what was taken before counts as a round)
 */
import type { Notice } from "../../errors.ts";
import { StoreError } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";
import { type HostRecords, tagOf } from "../record-store.ts";
import { recordsOf, roleRecord, teamRecord, userRecord } from "../records.ts";
import type { HostClient } from "./client.ts";
import { type HttpConfiguration, type Part, parts, placeOf } from "./configuration.ts";
import { tooLarge } from "./failures.ts";
import { strictJson } from "./strict-json.ts";

export type HostRead = "unchanged" | { readonly tag: string; readonly records: HostRecords };

/** One answer, kept so that the next question can be conditional. */
interface Piece {
  readonly url: URL;
  readonly etag: string | undefined;
  /** The ETag, else a hash of the text. */
  readonly tag: string;
  readonly snapshot: string | undefined;
  readonly data: unknown;
  readonly next: URL | undefined;
  readonly bytes: number;
}

const mostRounds = 5;
const mostPages = 10_000;
const pauseMs = 100;

type What = Pick<HttpConfiguration, "place" | "read" | "maxBytes">;

/** A function that reads; `known` is the tag of the last read that was taken. Throws `StoreError`. */
export function hostReader(
  client: HostClient,
  { place, read, maxBytes }: What,
  sleep: (ms: number) => Promise<void>,
): (known: string | undefined) => Promise<HostRead> {
  return "document" in read
    ? documentReader(client, read.document)
    : splitReader(client, { place, maxBytes, split: read.split }, sleep);
}

function documentReader(client: HostClient, url: URL): (known: string | undefined) => Promise<HostRead> {
  let last: { readonly tag: string; readonly etag: string | undefined } | undefined;
  return async (known) => {
    // What was read and then not taken must come again whole.
    const etag = known !== undefined && known === last?.tag ? last.etag : undefined;
    const answer = await client.get(url, { etag });
    if (answer.is === "same") return "unchanged";
    const tag = tagOf(answer.etag ?? "", answer.text);
    if (tag === known) return "unchanged";
    const data = documentOf(strictJson(answer.text, placeOf(url)), placeOf(url));
    const records = recordsOf(data, placeOf(url));
    last = { tag, etag: answer.etag };
    return { tag, records: { ...records, warnings: oddKeys(data, placeOf(url)) } };
  };
}

const besides = ["snapshot", "version"];

/** An object in which at least one key is ours: a wrapped or foreign document would otherwise read as an empty world. */
function documentOf(data: unknown, place: string): Readonly<Record<string, unknown>> {
  if (isObject(data)) {
    const keys = Object.keys(data);
    if (keys.length === 0 || keys.some((key) => [...parts, ...besides].includes(key))) return data;
  }
  throw badShape(place, "the document", "an object with settings, roles, teams and users");
}

function splitReader(
  client: HostClient,
  { place, maxBytes, split }: Pick<What, "place" | "maxBytes"> & { split: readonly (readonly [Part, URL])[] },
  sleep: (ms: number) => Promise<void>,
): (known: string | undefined) => Promise<HostRead> {
  let cache: ReadonlyMap<string, Piece> = new Map();
  let taken: string | undefined;

  /** Every part once, one after the other. */
  async function round(conditional: boolean): Promise<ReadonlyMap<Part, readonly Piece[]>> {
    const found = new Map<Part, readonly Piece[]>();
    let left = maxBytes;
    for (const [part, first] of split) {
      const pages: Piece[] = [];
      for (let url: URL | undefined = first; url; url = pages.at(-1)?.next) {
        const here = url.href;
        if (pages.some((page) => page.url.href === here) || pages.length === mostPages)
          throw badShape(placeOf(url), "the pages", "a chain that ends and has no circle");
        const piece = await pieceAt(url, part, conditional ? cache.get(here) : undefined, left);
        left -= piece.bytes;
        if (left < 0) throw tooLarge(place, maxBytes);
        pages.push(piece);
      }
      found.set(part, pages);
    }
    cache = new Map([...found.values()].flat().map((piece) => [piece.url.href, piece]));
    return found;
  }

  async function pieceAt(url: URL, part: Part, before: Piece | undefined, maxBytes: number): Promise<Piece> {
    const answer = await client.get(url, { etag: before?.etag, maxBytes: Math.max(maxBytes, 1) });
    const said = snapshotOf(answer.headers["x-firekeeper-snapshot"]);
    if (answer.is === "same" && before) return { ...before, snapshot: said ?? before.snapshot };
    if (answer.is === "same") throw badShape(placeOf(url), "the answer", "a document, since we have none yet");
    const data = strictJson(answer.text, placeOf(url));
    const { content, snapshot } = partOf(data, part, placeOf(url));
    return {
      url,
      etag: answer.etag,
      tag: answer.etag ?? tagOf(answer.text),
      snapshot: said ?? snapshot,
      data: content,
      next: part === "users" ? nextPage(answer.headers.link, url) : undefined,
      bytes: Buffer.byteLength(answer.text),
    };
  }

  return async (known) => {
    if (known === undefined) {
      cache = new Map();
      taken = undefined;
    }
    let before = taken;
    let conditional = true;
    for (let attempt = 0; attempt < mostRounds; attempt++) {
      if (attempt > 1) await sleep(pauseMs * (attempt - 1));
      const found = await round(conditional);
      const pieces = [...found.values()].flat();
      const snapshots = new Set(pieces.map((piece) => piece.snapshot));
      const tag = tagOf(...pieces.flatMap((piece) => [piece.url.href, piece.tag]));
      const saysSnapshots = !snapshots.has(undefined);
      if (saysSnapshots ? snapshots.size === 1 : tag === before) {
        if (tag === known) return "unchanged";
        const data = Object.fromEntries([...found].map(([part, pages]) => [part, joined(pages)]));
        const records = recordsOf(data, place);
        taken = tag;
        return { tag, records: { ...records, warnings: oddKeys(data, place) } };
      }
      before = tag;
      // An unchanged part may be of the newer snapshot too: only the whole answer says so.
      conditional = !saysSnapshots;
    }
    throw new StoreError("store/never-quiet", `The parts of ${place} are never of one moment.`, {
      rule: "all parts of one snapshot, or two reads that agree",
      hint: "Answer every part with the same snapshot field or X-Firekeeper-Snapshot header, or serve one document.",
    });
  };
}

function joined(pages: readonly Piece[]): unknown {
  return pages.length === 1 ? pages[0]?.data : pages.flatMap((page) => page.data as unknown[]);
}

/** `{ users: […], snapshot }` or the bare content. */
function partOf(data: unknown, part: Part, place: string): { content: unknown; snapshot: string | undefined } {
  const list = part !== "settings";
  const fits = (content: unknown) => (list ? Array.isArray(content) : isObject(content));
  if (isObject(data) && part in data && fits(data[part]))
    return { content: data[part], snapshot: snapshotOf(data.snapshot ?? data.version) };
  if (!fits(data) || (!list && isObject(data) && "settings" in data))
    throw badShape(place, part, list ? `a list, or an object with a list ${part}` : "an object");
  return { content: data, snapshot: undefined };
}

function snapshotOf(value: unknown): string | undefined {
  return (typeof value === "string" && value !== "") || typeof value === "number" ? String(value) : undefined;
}

/** The target of `Link: <…>; rel="next"` (RFC 8288), on the same origin only. */
export function nextPage(link: string | string[] | undefined, from: URL): URL | undefined {
  for (const [, target = "", parameters = ""] of String(link ?? "").matchAll(/<([^>]*)>((?:\s*;[^,;<]*)*)/g)) {
    const relations = /;\s*rel\s*=\s*"?([^";]*)"?/i.exec(parameters)?.[1] ?? "";
    if (!relations.toLowerCase().split(/\s+/).includes("next")) continue;
    const to = URL.canParse(target, from.href) ? new URL(target, from) : undefined;
    if (!to || to.origin !== from.origin || to.username !== "" || to.password !== "")
      throw badShape(placeOf(from), "the next page", `a URL at ${from.origin}`);
    return to;
  }
  return undefined;
}

const fieldsOf = { users: userRecord.shape, roles: roleRecord.shape, teams: teamRecord.shape };

/** Notices for keys that look like slips of the pen; hosts may send fields that are none of our business. */
function oddKeys(data: Readonly<Record<string, unknown>>, place: string): Notice[] {
  const notices: Notice[] = [];
  const look = (where: string, keys: Iterable<string>, known: readonly string[]) => {
    for (const key of keys) {
      const meant = known.includes(key) ? undefined : nearestName(key, known);
      if (meant === undefined) continue;
      const message = `${JSON.stringify(key)} in ${where} of ${place} means nothing and is ignored.`;
      notices.push({ code: "store/unknown-key", message, hint: `Did you mean ${meant}?` });
    }
  };
  look("the document", Object.keys(data), [...parts, ...besides]);
  for (const part of ["users", "roles", "teams"] as const) {
    const items = data[part];
    if (!Array.isArray(items)) continue;
    const keys = new Set<string>();
    for (const item of items) if (isObject(item) && keys.size < 1000) for (const key in item) keys.add(key);
    look(part, keys, Object.keys(fieldsOf[part]));
  }
  return notices;
}

function badShape(place: string, what: string, rule: string): StoreError {
  return new StoreError("store/bad-value", `${place}: ${what} must be ${rule}.`, {
    rule,
    hint: "docs/stores/http.md shows the form.",
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
