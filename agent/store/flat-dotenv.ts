/**
 * dotenv files. The values are read by the dotenv package, which skips in silence what it does not understand, lets the last
 * of two equal keys win and cuts an unquoted value at `#`; here each of these is an error with its line.
 */
import { parse } from "dotenv";
import type { FlatEntry } from "./flat-records.ts";
import { isEndMarker, refuseAfterEnd } from "./flat-text.ts";
import { type Place, StoreError } from "./host-store.ts";

/** Keys and values in order; throws `store/not-dotenv` with line and rule. `ended`: the end marker is the last line. */
export function parseDotenv(text: string, file: string): { entries: FlatEntry[]; ended: boolean } {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const entries: FlatEntry[] = [];
  let ended: number | undefined;
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? "";
    const start = line.trimStart();
    const place: Place = { file, line: index + 1, column: line.length - start.length + 1 };
    if (start === "") continue;
    if (ended !== undefined) throw refuseAfterEnd(place, ended);
    if (start.startsWith("#")) {
      if (isEndMarker(start)) ended = index + 1;
      continue;
    }
    const head = /^(?:export\s+)?([\w.-]+)(?:\s*=|:\s)\s*/.exec(start);
    const key = head?.[1];
    if (!head || key === undefined) throw wrong(place, lineRule, keyHint);
    // From the separator on: `KEY=#x` loses its value, `KEY= # nothing yet` has none.
    if (!/^[:=]\s*["'`]/.test(start.slice(key.length + start.indexOf(key)).trimStart()) && /\S#/.test(start))
      throw wrong(place, "a value with # stands in quotes", "Without quotes the value would end before the #.");
    const last = lastLine(lines, index, start.slice(head[0].length), place);
    const value = parse(lines.slice(index, last + 1).join("\n"))[key];
    if (value === undefined) throw wrong(place, lineRule, keyHint);
    entries.push({ key, value, place });
    index = last;
  }
  return { entries, ended: ended !== undefined };
}

const lineRule = "KEY=value";
const keyHint =
  "Keys are letters, digits, dots, hyphens and underscores; for names with other characters use .properties, .json or .yaml.";

/** The line in which the value ends; quotes may go over several. */
function lastLine(lines: readonly string[], index: number, value: string, place: Place): number {
  const quote = /^["'`]/.exec(value)?.[0];
  if (quote === undefined) return index;
  let rest = value.slice(1);
  for (let line = index; ; ) {
    const end = closing(rest, quote);
    if (end !== undefined) {
      if (!/^\s*(#.*)?$/.test(rest.slice(end + 1)))
        throw wrong(
          place,
          "nothing but a comment after the closing quote",
          `If the value contains ${quote}, use another kind of quotes.`,
        );
      return line;
    }
    if (++line >= lines.length) throw wrong(place, `the quote ${quote} is closed again`);
    rest = lines[line] ?? "";
  }
}

function closing(text: string, quote: string): number | undefined {
  for (let at = text.indexOf(quote); at >= 0; at = text.indexOf(quote, at + 1)) if (text[at - 1] !== "\\") return at;
  return undefined;
}

function wrong(
  place: Place,
  rule: string,
  hint = "Correct the line. If the file was just being written, it is read again.",
) {
  return new StoreError("store/not-dotenv", `this cannot be read as dotenv: ${rule}.`, { place, rule, hint });
}
