/**
 * Edits of a host file that is written plainly: only the lines of the section or item that a change works on are written
 * anew. Whatever comes out otherwise than meant is undefined here, and the caller edits the whole document.
 */
import { isDeepStrictEqual } from "node:util";
import type { Document } from "yaml";
import {
  type HostFileMemo,
  hostFileMemo,
  itemPiece,
  type Piece,
  type PiecedHostFile,
  pieceOf,
  readByPieces,
} from "./host-file.ts";
import type { ItemText, SectionName, SectionText } from "./host-file-parts.ts";
import { documentText, hostDocument } from "./host-file-text.ts";

/** What a change does to one piece: `work` gets a document in which nothing but that piece stands, or none for `add`. */
export type Work<T> =
  | { readonly on: "roles" | "users" | "teams"; readonly do: "add"; readonly work: (document: Document) => T }
  | {
      readonly on: SectionName;
      readonly do: "change";
      /** Which item; 0 in `settings`. */
      readonly at: number;
      readonly work: (document: Document) => T;
      /** The same in the item's text as it stands, where that can be; the indent is the column of its dash. */
      readonly inPlace?: (content: string, indent: number) => { readonly text: string; readonly made: T } | undefined;
    }
  | { readonly on: "roles" | "users" | "teams"; readonly do: "remove"; readonly at: number; readonly made: T };

interface Patch {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** A patch with what must stand in its place afterwards: which pieces of the section, from which one on. */
interface Done<T> {
  readonly patch: Patch;
  readonly on: SectionName;
  readonly at: number;
  readonly replaces: number;
  readonly by: readonly Piece[];
  readonly made: T;
}

/** The text with all works done and what each made; undefined if the file is not plain or a work cannot be done apart. */
export function editByPieces<T>(
  text: string,
  file: string,
  works: readonly Work<T>[],
  memo: HostFileMemo,
): { text: string; made: T[] } | undefined {
  const before = readByPieces(text, file, memo);
  if (!before) return undefined;
  const done: Done<T>[] = [];
  for (const work of works) {
    const one = doWork(text, file, work, before, memo);
    if (!one) return undefined;
    done.push(one);
  }
  const edited = patched(text, done.map((one) => one.patch)); // biome-ignore format: one line
  return asMeant(before, readByPieces(edited, file, memo), done)
    ? { text: edited, made: done.map((one) => one.made) }
    : undefined;
}

function doWork<T>(
  text: string,
  file: string,
  work: Work<T>,
  before: PiecedHostFile,
  memo: HostFileMemo,
): Done<T> | undefined {
  const section = before.parts.sections.get(work.on);
  const lists = section !== undefined && section.items.length > 0;
  if (work.do === "remove") {
    const item = section?.items[work.at];
    // An empty list is written otherwise.
    if (!item || section.items.length < 2) return undefined;
    const start = work.at === 0 ? item.start : commentsAbove(text, item.start, section.indent);
    return { ...done(work, 1, []), patch: { start, end: item.contentEnd, text: "" }, made: work.made };
  }
  if (work.do === "change" && lists) {
    const item = section.items[work.at];
    return item && rewriteItem(text, file, { work, section, item }, before, memo);
  }
  if (work.do === "add" && lists) {
    const [last, { indent }] = [section.items.at(-1) as ItemText, section];
    const document = hostDocument("", file).document;
    const made = work.work(document);
    const body = itemBody(documentText(document, text), work.on, indent);
    const piece = body === undefined ? undefined : asItem(work.on, body, indent, file, memo);
    if (body === undefined || !piece) return undefined;
    const start = last.contentEnd;
    const gap = text[start - 1] === "\n" ? "" : "\n";
    return {
      ...done({ on: work.on, at: section.items.length }, 0, [piece]),
      patch: { start, end: start, text: gap + body },
      made,
    };
  }
  return rewriteSection(text, file, work, section, before, memo);
}

function rewriteItem<T>(
  text: string,
  file: string,
  target: { work: Extract<Work<T>, { do: "change" }>; section: SectionText; item: ItemText },
  before: PiecedHostFile,
  memo: HostFileMemo,
): Done<T> | undefined {
  const { work, section, item } = target;
  const content = text.slice(item.start, item.contentEnd);
  const standing = asItem(work.on, content, section.indent, file, memo);
  if (!isDeepStrictEqual(standing, before.pieces.get(work.on)?.[work.at])) return undefined;
  const inPlace = () => {
    const found = work.inPlace?.(content, section.indent);
    return found && { body: found.text, made: found.made };
  };
  const inDocument = () => {
    const { document } = hostDocument(`${work.on}:\n${content}`, file);
    const made = work.work(document);
    return { body: itemBody(documentText(document, text), work.on, section.indent), made };
  };
  const { body, made } = inPlace() ?? inDocument();
  const piece = body === undefined ? undefined : asItem(work.on, body, section.indent, file, memo);
  if (body === undefined || !piece) return undefined;
  return { ...done(work, 1, [piece]), patch: { start: item.start, end: item.contentEnd, text: body }, made };
}

/** A section that is no list of items, or stands nowhere yet. */
function rewriteSection<T>(
  text: string,
  file: string,
  work: Exclude<Work<T>, { do: "remove" }>,
  section: SectionText | undefined,
  before: PiecedHostFile,
  memo: HostFileMemo,
): Done<T> | undefined {
  const { start, contentEnd: end } = section ?? behindSections(before);
  const content = text.slice(start, end);
  const standing = before.pieces.get(work.on) ?? [];
  if (section && !isDeepStrictEqual(pieceOf(content, file, memo), standing[0])) return undefined;
  const { document } = hostDocument(content, file);
  const made = work.work(document);
  const body = documentText(document, text);
  const after = readByPieces(body, file, hostFileMemo())?.pieces.get(work.on);
  if (!after) return undefined;
  const gap = start === 0 || text[start - 1] === "\n" ? "" : "\n";
  return { ...done({ on: work.on, at: 0 }, standing.length, after), patch: { start, end, text: gap + body }, made };
}

/** Comments at the end of the file stay there. */
function behindSections({ parts }: PiecedHostFile) {
  const end = Math.max(...[...parts.sections.values()].map((section) => section.contentEnd));
  return { start: end, contentEnd: end };
}

function done(where: { on: SectionName; at: number }, replaces: number, by: readonly Piece[]) {
  return { on: where.on, at: where.at, replaces, by };
}

/** The comment lines right above an item, at its column: they speak of it. */
function commentsAbove(text: string, start: number, indent: number): number {
  let from = start;
  for (;;) {
    const line = text.lastIndexOf("\n", from - 2) + 1;
    if (line >= from || !text.startsWith(`${" ".repeat(indent)}#`, line)) return from;
    from = line;
  }
}

/** The lines of the only item of a written document, at the list's column. */
function itemBody(written: string, name: SectionName, indent: number): string | undefined {
  const eol = written.includes("\r\n") ? "\r\n" : "\n";
  const head = `${name}:${eol}`;
  if (!written.startsWith(`${head}  -`)) return undefined;
  const body = written.slice(head.length);
  const lines = body.split(eol);
  if (!lines.every((line) => line === "" || line.startsWith("  "))) return undefined;
  return lines.map((line) => (line === "" ? line : " ".repeat(indent) + line.slice(2))).join(eol);
}

/** What an item's text says; undefined unless it is one item. */
function asItem(name: SectionName, body: string, indent: number, file: string, memo: HostFileMemo): Piece | undefined {
  const piece = itemPiece(name, body, { start: 0, contentEnd: body.length, indent }, file, memo);
  return piece && piece.roles.length + piece.users.length + piece.teams.length === 1 ? piece : undefined;
}

function patched(text: string, patches: readonly Patch[]): string {
  const parts: string[] = [];
  let from = 0;
  for (const patch of [...patches].sort((a, b) => a.start - b.start)) {
    parts.push(text.slice(from, patch.start), patch.text);
    from = patch.end;
  }
  return parts.join("") + text.slice(from);
}

/** Nothing but what was worked on says anything else than before. */
function asMeant(before: PiecedHostFile, after: PiecedHostFile | undefined, done: readonly Done<unknown>[]): boolean {
  if (!after) return false;
  return (["settings", "roles", "users", "teams"] as const).every((name) => {
    const expected = [...(before.pieces.get(name) ?? [])];
    const own = done.filter((one) => one.on === name).sort((a, b) => b.at - a.at);
    for (const { at, replaces, by } of own) expected.splice(at, replaces, ...by);
    const found = after.pieces.get(name) ?? [];
    return (
      found.length === expected.length &&
      found.every((piece, at) => piece === expected[at] || same(piece, expected[at]))
    );
  });
}

/** Blank lines and comments behind an item may have moved it, which its warnings' lines show. */
function same(piece: Piece, other: Piece | undefined): boolean {
  return other !== undefined && isDeepStrictEqual(spoken(piece), spoken(other));
}

function spoken({ settings, roles, users, teams }: Piece) {
  return { settings, roles, users, teams };
}
