/** Java's `.properties`, as `java.util.Properties.load` reads them, in UTF-8 and strict where a cut or a slip would pass unseen. */
import type { FlatEntry } from "./flat-records.ts";
import { isEndMarker, refuseAfterEnd } from "./flat-text.ts";
import { type Place, StoreError } from "./host-store.ts";

const escapes: Record<string, string> = { t: "\t", n: "\n", r: "\r", f: "\f" };

/** Keys and values in order; throws `store/not-properties` with line, column and rule. `ended`: the end marker is the last line. */
export function parseProperties(text: string, file: string): { entries: FlatEntry[]; ended: boolean } {
  const lines = text.split(/\r\n|\r|\n/);
  const entries: FlatEntry[] = [];
  let ended: number | undefined;
  for (let index = 0; index < lines.length; index++) {
    const first = index;
    let logical = (lines[index] ?? "").replace(/^[ \t\f]+/, "");
    const column = (lines[index] ?? "").length - logical.length + 1;
    const place: Place = { file, line: first + 1, column };
    if (logical === "") continue;
    if (ended !== undefined) throw refuseAfterEnd(place, ended);
    if (/^[#!]/.test(logical)) {
      if (isEndMarker(logical)) ended = first + 1;
      continue;
    }
    while (continues(logical)) {
      if (index + 1 >= lines.length || lines.slice(index + 1).every((line) => line.trim() === ""))
        throw wrong(place, "a line that ends with \\ goes on in the next one, and there is none");
      logical = logical.slice(0, -1) + (lines[++index] ?? "").replace(/^[ \t\f]+/, "");
    }
    const [, key = "", separator = "", value = ""] =
      /^((?:[^\\=: \t\f]|\\.)*)([ \t\f]*[=:]?[ \t\f]*)(.*)$/s.exec(logical) ?? [];
    if (separator === "") throw wrong(place, "key = value", "For an empty value write the key and =.");
    if (key === "") throw wrong(place, "a key before the separator");
    entries.push({ key: unescaped(key, place), value: unescaped(value, place), place });
  }
  return { entries, ended: ended !== undefined };
}

function continues(line: string): boolean {
  return (/\\*$/.exec(line)?.[0].length ?? 0) % 2 === 1;
}

function unescaped(text: string, place: Place): string {
  const plain = text.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/gs, (_all, code: string | undefined, other: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    if (other === "u") throw wrong(place, "\\u and four hexadecimal digits", "A backslash itself is written \\\\.");
    return escapes[other] ?? other;
  });
  if (/\p{Surrogate}/u.test(plain)) throw wrong(place, "\\u escapes that make whole characters");
  return plain;
}

function wrong(
  place: Place,
  rule: string,
  hint = "Correct the line. If the file was just being written, it is read again.",
) {
  return new StoreError("store/not-properties", `this cannot be read as properties: ${rule}.`, { place, rule, hint });
}
