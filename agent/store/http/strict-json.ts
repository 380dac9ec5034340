/** JSON of a host, read so that nothing in it is lost in silence. */
import { StoreError } from "../host-store.ts";

/**
 * Parses a text. Throws `store/not-json` for what is no JSON, for a key that stands twice (all but the last would vanish),
 * for `__proto__`, and for whole numbers that cannot be held exactly. Never quotes a value.
 */
export function strictJson(text: string, source: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // The engine's message quotes the text around the place, which may be a password.
    const at = /at position (\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
    const html = /^\s*</.test(text);
    throw flaw(`${source} did not answer with JSON${at === undefined ? "" : ` (${lineOf(text, Number(at))})`}.`, {
      rule: "JSON",
      hint: html
        ? "It looks like a web page: is the URL right, and is a login page in the way?"
        : "Look at the answer.",
    });
  }
  const found = oddity(text);
  if (found) throw flaw(`${source}: ${found.what}.`, found);
  return value;
}

function flaw(message: string, { rule, hint }: { rule: string; hint: string }): StoreError {
  return new StoreError("store/not-json", message, { rule, hint });
}

function lineOf(text: string, position: number): string {
  return `line ${text.slice(0, position).split("\n").length}`;
}

const quote = 0x22;
const backslash = 0x5c;

/** One pass over a text that is known to be JSON. */
function oddity(text: string): { what: string; rule: string; hint: string } | undefined {
  // One entry for each open bracket: the keys seen in an object, undefined for a list.
  const open: (Set<string> | undefined)[] = [];
  let keyComes = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      const start = at;
      for (at++; text.charCodeAt(at) !== quote; at++) if (text.charCodeAt(at) === backslash) at++;
      const keys = keyComes ? open.at(-1) : undefined;
      keyComes = false;
      if (!keys) continue;
      const raw = text.slice(start + 1, at);
      const key = raw.includes("\\") ? String(JSON.parse(`"${raw}"`)) : raw;
      if (keys.has(key) || key === "__proto__") {
        const name = JSON.stringify(key.slice(0, 100));
        return keys.has(key)
          ? {
              what: `the key ${name} stands twice in one object (${lineOf(text, at)})`,
              rule: "each key stands once",
              hint: "Remove one of the two in the host.",
            }
          : { what: `the key ${name} is not taken`, rule: "another name", hint: "Rename it in the host." };
      }
      keys.add(key);
    } else if (code === 0x7b) {
      open.push(new Set());
      keyComes = true;
    } else if (code === 0x5b) {
      open.push(undefined);
      keyComes = false;
    } else if (code === 0x7d || code === 0x5d) {
      open.pop();
      keyComes = false;
    } else if (code === 0x2c) {
      keyComes = open.at(-1) !== undefined;
    } else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      const start = at;
      while (/[0-9.eE+-]/.test(text.charAt(at + 1))) at++;
      const digits = text.slice(start, at + 1);
      if (/^-?\d{16,}$/.test(digits) && !Number.isSafeInteger(Number(digits)))
        return {
          what: `a number is too large to be held exactly (${lineOf(text, at)})`,
          rule: "whole numbers of at most 15 digits",
          hint: 'Send it as text: "12345678901234567890".',
        };
    }
  }
  return undefined;
}
