/**
 * JSON (RFC 8259) with the line and column of every part. `JSON.parse` quotes the text in its errors, lets the last of two
 * equal keys win and rounds long numbers; here errors never quote a value, keys stand once, and a number keeps its spelling.
 */
import { type Place, StoreError } from "./host-store.ts";
import type { PlaceOf } from "./records.ts";

const deepest = 32;
const textShape = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const numberShape = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const wordShape = /[^\s,:\]}[{"]*/y;
const blanks = /[ \t\n\r]*/y;
const words: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null };

/** Objects have no prototype; numbers are text. Throws `store/not-json` or `store/twice` with the place. */
export function parseJson(text: string, file: string): { value: unknown; placeOf: PlaceOf } {
  const starts = new WeakMap<object, Map<PropertyKey, number>>();
  let at = 0;

  const place = (offset: number): Place => {
    const before = text.slice(0, offset);
    const line = before.split("\n").length;
    return { file, line, column: offset - before.lastIndexOf("\n") };
  };
  const wrong = (rule: string, offset = at) =>
    offset >= text.length
      ? new StoreError("store/not-json", "this cannot be read as JSON: the text ends too early.", {
          place: place(text.trimEnd().length),
          rule,
          hint: "Complete it. If the file was just being written, it is read again.",
        })
      : new StoreError("store/not-json", `this cannot be read as JSON: here must be ${rule}.`, {
          place: place(offset),
          rule,
          hint: "Correct the line. If the file was just being written, it is read again.",
        });
  const take = (shape: RegExp): string | undefined => {
    shape.lastIndex = at;
    const found = shape.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const next = (): string => {
    take(blanks);
    return text[at] ?? "";
  };
  const string = (): string => {
    const literal = take(textShape);
    if (literal === undefined) throw wrong("a text whose quotes are closed in the same line, with valid escapes");
    return literal.includes("\\") ? String(JSON.parse(literal)) : literal.slice(1, -1);
  };

  const value = (depth: number): unknown => {
    const first = next();
    if (depth > deepest) throw wrong(`at most ${deepest} levels`);
    if (first === "{") return object(depth);
    if (first === "[") return array(depth);
    if (first === '"') return string();
    const start = at;
    const word = take(wordShape) ?? "";
    if (Object.hasOwn(words, word)) return words[word];
    at = start;
    const number = take(numberShape);
    if (number === undefined || number !== word) throw wrong("a value", start);
    return number;
  };
  const object = (depth: number): unknown => {
    const made: Record<string, unknown> = Object.create(null);
    const places = new Map<PropertyKey, number>();
    starts.set(made, places);
    at++;
    if (next() === "}") at++;
    else
      for (;;) {
        if (next() !== '"') throw wrong("a key in double quotes");
        const start = at;
        const key = string();
        if (places.has(key))
          throw new StoreError("store/twice", "this key stands twice in one object.", {
            place: place(start),
            rule: "each key stands once",
            hint: "Remove one of the two.",
          });
        places.set(key, start);
        if (next() !== ":") throw wrong("a colon");
        at++;
        const given = value(depth + 1);
        // The one name that an object cannot hold like any other.
        if (key === "__proto__") throw wrong("a key other than __proto__", start);
        made[key] = given;
        const after = next();
        if (after !== "," && after !== "}") throw wrong("a comma or }");
        at++;
        if (after === "}") break;
      }
    return made;
  };
  const array = (depth: number): unknown => {
    const made: unknown[] = [];
    const places = new Map<PropertyKey, number>();
    starts.set(made, places);
    at++;
    if (next() === "]") at++;
    else
      for (;;) {
        next();
        places.set(made.length, at);
        made.push(value(depth + 1));
        const after = next();
        if (after !== "," && after !== "]") throw wrong("a comma or ]");
        at++;
        if (after === "]") break;
      }
    return made;
  };

  const root = value(0);
  if (next() !== "") throw wrong("the end");
  const start = /\S/.exec(text)?.index ?? 0;
  return {
    value: root,
    /** The deepest part of the path that exists. */
    placeOf(path) {
      let node: unknown = root;
      let offset = start;
      for (const step of path) {
        if (typeof node !== "object" || node === null) break;
        const found = starts.get(node)?.get(step);
        if (found === undefined) break;
        offset = found;
        node = (node as Record<PropertyKey, unknown>)[step];
      }
      return place(offset);
    },
  };
}
