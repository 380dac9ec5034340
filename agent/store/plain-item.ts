/**
 * Items of the two lists in the two shapes in which they nearly always stand, read without a YAML parser: a hundred times
 * faster. Anything that is not plain to see (quotes, tags, anchors, comments, several lines) is undefined here.
 */
import { isDeepStrictEqual } from "node:util";

/** What `- …` says: texts, lists of texts, and one level of keys below a key. */
export type PlainData = { [key: string]: PlainValue };
export type PlainValue = string | string[] | { [key: string]: string };

// No indicator of YAML begins or interrupts these, whatever stands around them; a colon is text before a character of a word.
const word = String.raw`[\p{L}\p{N}_](?:[\p{L}\p{N}_.@+/=$-]|:(?=[\p{L}\p{N}_+/]))*`;
const scalar = new RegExp(`^${word}(?: ${word})*$`, "u");
const flowWord = String.raw`[\p{L}\p{N}_][\p{L}\p{N}_.@+/=$-]*`;
const flowTexts = `\\[ ?((?:${flowWord}(?:, ${flowWord})*)?) ?\\]`;
const flowList = new RegExp(`^${flowTexts}$`, "u");
const flowPair = `([A-Za-z]+): (?:(${flowWord})|${flowTexts})`;
const flowItem = new RegExp(String.raw`^- \{ ?(${flowPair}(?:, ${flowPair})*) ?\}$`, "u");
const blockLine = /^( *)(- )?(?:([A-Za-z][A-Za-z0-9]*):(?: (.+))?|(.+))$/;
/** Of an item: an expression on more would run out of the engine's memory for ways back. */
const longest = 2_000_000;
const eachPair = new RegExp(flowPair, "gu");

/** The item's data if its text, from the dash's line to its last line of content, is plain; keys as they stand, no key twice. */
export function plainItem(content: string, indent: number): PlainData | undefined {
  if (content.length > longest) return undefined;
  const text = content.endsWith("\n") ? content.slice(0, -1) : content;
  return text.startsWith("- {", indent) ? plainFlow(text.slice(indent)) : plainBlock(text, indent);
}

function plainFlow(text: string): PlainData | undefined {
  const inner = flowItem.exec(text)?.[1];
  if (inner === undefined) return undefined;
  const data: PlainData = Object.create(null);
  for (const [, key = "", one, list] of inner.matchAll(eachPair)) {
    const value = one ?? (list === "" || list === undefined ? [] : list.split(", "));
    if (key in data || value === "null" || value.includes("null")) return undefined;
    data[key] = value;
  }
  return data;
}

function plainBlock(text: string, indent: number): PlainData | undefined {
  const data: PlainData = Object.create(null);
  let open: { key: string; list: string[]; map: Record<string, string>; column: number } | undefined;
  const close = (): boolean => {
    if (!open) return true;
    const { key, list, map } = open;
    const keyed = Object.keys(map).length > 0;
    if (keyed === list.length > 0) return false;
    data[key] = keyed ? map : list;
    open = undefined;
    return true;
  };
  for (const [index, line] of text.split("\n").entries()) {
    const [matched, spaces = "", dash, key, value, entry] = blockLine.exec(line) ?? [];
    if (matched === undefined) return undefined;
    const first = index === 0;
    const column = spaces.length + (first ? 2 : 0);
    if (first && (dash === undefined || spaces.length !== indent)) return undefined;
    if (column === indent + 2 && (first || dash === undefined)) {
      if (key === undefined || !close() || key in data) return undefined;
      const list = value === undefined ? undefined : flowList.exec(value)?.[1];
      if (value === undefined) open = { key, list: [], map: Object.create(null), column: 0 };
      else if (list !== undefined) {
        data[key] = list === "" ? [] : list.split(", ");
        if (data[key].includes("null")) return undefined;
      } else if (!isText(value)) return undefined;
      else data[key] = value;
      continue;
    }
    if (!open || column < indent + 3 || first) return undefined;
    if (open.column === 0) open.column = column;
    if (open.column !== column) return undefined;
    if (dash !== undefined) {
      if (entry === undefined || !isText(entry)) return undefined;
      open.list.push(entry);
    } else {
      if (key === undefined || value === undefined || !isText(value) || key in open.map) return undefined;
      open.map[key] = value;
    }
  }
  return close() ? data : undefined;
}

/** `null` alone means "not given". */
function isText(value: string): boolean {
  return value !== "null" && scalar.test(value);
}

/**
 * The item's text with other members, written as its members stand; undefined unless both texts are plain. Parsing and
 * writing 10,000 names by the YAML library takes half a second.
 */
export function withMembers(content: string, indent: number, members: readonly string[]): string | undefined {
  const before = plainItem(content, indent);
  if (!before || !Array.isArray(before.members) || before.members.length === 0 || members.length === 0)
    return undefined;
  const changed = blockMembers(content, members) ?? flowMembers(content, members);
  const after = changed === undefined ? undefined : plainItem(changed, indent);
  return isDeepStrictEqual(after, Object.assign(Object.create(null), before, { members })) ? changed : undefined;
}

function flowMembers(content: string, members: readonly string[]): string {
  return content.replace(/(?<=(?:[{,] ?|- |\n *)members: \[ ?)[^\]]*?(?= ?\])/, () => members.join(", "));
}

function blockMembers(content: string, members: readonly string[]): string | undefined {
  const lines = content.split("\n");
  const from = lines.findIndex((line) => /^ *(- )?members:$/.test(line)) + 1;
  const dash = /^ +- /.exec(lines[from] ?? "")?.[0];
  if (from === 0 || dash === undefined) return undefined;
  let to = from;
  while (lines[to]?.startsWith(dash)) to++;
  return [...lines.slice(0, from), ...members.map((member) => dash + member), ...lines.slice(to)].join("\n");
}
