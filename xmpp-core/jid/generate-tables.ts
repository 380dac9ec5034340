/**
 * Writes tables.ts from the Unicode data that is pinned in package.json; run it with `npx tsx` after changing the
 * version. The tables are checked in, because two nodes of one service must agree whatever Node they run on.
 */
import { writeFileSync } from "node:fs";
import { bidiClasses, classes, joiningTypes, pack, scripts } from "./code-points.ts";

const version = "17.0.0";
const last = 0x10ffff;

if (!process.versions.unicode?.startsWith("17.")) throw new Error(`run this on a Node with Unicode ${version}`);

async function load(folder: string): Promise<Uint8Array> {
  const module: { default: Iterable<{ begin: number; end: number }> } = await import(
    `@unicode/unicode-${version}/${folder}/ranges.mjs`
  );
  const bits = new Uint8Array(last + 1);
  for (const { begin, end } of module.default) bits.fill(1, begin, end);
  return bits;
}

/** A number per code point: the first listed set that holds it, counted from 1. */
async function loadAll(folder: string, names: readonly string[]): Promise<Uint8Array> {
  const values = new Uint8Array(last + 1);
  for (const [index, name] of names.entries()) {
    const bits = await load(`${folder}/${name}`);
    for (let point = 0; point <= last; point++) if (bits[point] === 1 && values[point] === 0) values[point] = index + 1;
  }
  return values;
}

const unassigned = await load("General_Category/Unassigned");
const noncharacter = await load("Binary_Property/Noncharacter_Code_Point");
const ignorable = await load("Binary_Property/Default_Ignorable_Code_Point");
const letterDigits = await loadAll("General_Category", [
  "Lowercase_Letter",
  "Uppercase_Letter",
  "Other_Letter",
  "Decimal_Number",
  "Modifier_Letter",
  "Nonspacing_Mark",
  "Spacing_Mark",
]);
const freeform = await loadAll("General_Category", [
  "Titlecase_Letter",
  "Letter_Number",
  "Other_Number",
  "Enclosing_Mark",
  "Space_Separator",
  "Symbol",
  "Punctuation",
]);
const control = await load("General_Category/Control");
const bidi = await loadAll("Bidi_Class", bidiClasses);
const joining = await loadAll("Joining_Type", joiningTypes);
const script = await loadAll("Script", scripts);

// RFC 8264 §9.6
const exceptions = new Map<number, number>();
const except = (value: number, ...points: number[]) => {
  for (const point of points) exceptions.set(point, value);
};
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
except(classes.valid, 0xdf, 0x3c2, 0x6fd, 0x6fe, 0xf0b, 0x3007);
except(classes.contextual, 0xb7, 0x375, 0x5f3, 0x5f4, 0x30fb, ...range(0x660, 0x669), ...range(0x6f0, 0x6f9));
except(classes.disallowed, 0x640, 0x7fa, 0x302e, 0x302f, ...range(0x3031, 0x3035), 0x303b);

/** RFC 8264 §8, in its order. */
function derive(point: number): number {
  const exception = exceptions.get(point);
  if (exception !== undefined) return exception;
  if (unassigned[point] === 1 && noncharacter[point] === 0) return classes.disallowed;
  if (point >= 0x21 && point <= 0x7e) return classes.valid;
  if (point === 0x200c || point === 0x200d) return classes.contextual;
  const oldHangulJamo =
    (point >= 0x1100 && point <= 0x11ff) ||
    (point >= 0xa960 && point <= 0xa97c) ||
    (point >= 0xd7b0 && point <= 0xd7c6) ||
    (point >= 0xd7cb && point <= 0xd7fb);
  if (oldHangulJamo || ignorable[point] === 1 || noncharacter[point] === 1 || control[point] === 1)
    return classes.disallowed;
  if (point >= 0xd800 && point <= 0xdfff) return classes.disallowed;
  const text = String.fromCodePoint(point);
  if (text.normalize("NFKC") !== text) return classes.freeform;
  if (letterDigits[point] !== 0) return classes.valid;
  return freeform[point] !== 0 ? classes.freeform : classes.disallowed;
}

/** Whether the canonical combining class is 9; the data has no such table, but reordering by NFD shows it. */
function isVirama(point: number): boolean {
  if (point >= 0xd800 && point <= 0xdfff) return false;
  const mark = String.fromCodePoint(point);
  const swaps = (first: string, second: string) => `${first}${second}`.normalize("NFD") === `${second}${first}`;
  if (mark.normalize("NFD") !== mark || mark === "\u094D") return mark === "\u094D";
  // U+05B0 has class 10, U+094D has class 9.
  return swaps("\u05B0", mark) && !swaps("\u094D", mark) && !swaps(mark, "\u094D");
}

const runs: string[] = [];
let start = 0;
let value = -1;
for (let point = 0; point <= last + 1; point++) {
  const next =
    point > last
      ? -2
      : pack(derive(point), bidi[point] as number, joining[point] as number, script[point] as number, isVirama(point));
  if (next === value) continue;
  if (value >= 0) runs.push(`${(point - start).toString(36)}.${value.toString(36)}`);
  start = point;
  value = next;
}

writeFileSync(
  new URL("tables.ts", import.meta.url),
  `// Written by generate-tables.ts from Unicode ${version}; not to be edited.

/** Version of the Unicode data. */
export const unicodeVersion = "${version}";

/** Runs of equal code points from 0 on, as \`length.properties\` in base 36; see code-points.ts. */
export const runs =
  "${runs.join(" ")}";
`,
);
console.log(`${runs.length} runs`);
