/** Why a core does not start stands in the log that the gate keeps; an admin should not have to look there. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const tailBytes = 64 * 1024;

/** The sentence with which the core ended, unless one has started since or the log cannot be read. */
export function lastWords(log: string): string | undefined {
  for (const line of tail(log).reverse()) {
    let entry: { event?: unknown; from?: unknown; level?: unknown; msg?: unknown };
    try {
      entry = JSON.parse(line);
    } catch {
      continue;
    }
    if (entry.event === "core-ready") return undefined;
    if (entry.from === "core" && entry.level === "fatal" && typeof entry.msg === "string") return entry.msg;
  }
  return undefined;
}

function tail(path: string): string[] {
  try {
    const file = openSync(path, "r");
    try {
      const { size } = fstatSync(file);
      const bytes = Buffer.alloc(Math.min(size, tailBytes));
      readSync(file, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("utf8").split("\n");
    } finally {
      closeSync(file);
    }
  } catch {
    return [];
  }
}
