/** What a database has in a cell, as the host means it. `undefined`: NULL or no such column; `null`: not readable as asked. */

const utf8 = new TextDecoder("utf-8", { fatal: true });

const flags: Readonly<Record<string, boolean>> = {
  ...{ true: true, t: true, yes: true, y: true, on: true, "1": true },
  ...{ false: false, f: false, no: false, n: false, off: false, "0": false },
};

export function readText(cell: unknown): string | undefined | null {
  if (cell === null || cell === undefined) return undefined;
  if (typeof cell === "string") return cell;
  if (typeof cell === "number" || typeof cell === "bigint" || typeof cell === "boolean") return String(cell);
  if (!(cell instanceof Uint8Array)) return null;
  try {
    return utf8.decode(cell);
  } catch {
    return null;
  }
}

/** BIT(1) comes as one byte. */
export function readFlag(cell: unknown): boolean | undefined {
  if (cell instanceof Uint8Array && cell.length === 1 && (cell[0] ?? 2) < 2) return cell[0] === 1;
  const text = readText(cell);
  return typeof text === "string" ? flags[text.trim().toLowerCase()] : undefined;
}

/** An array of the database, a JSON list, or text: one item, or several between spaces or commas. */
export function readList(cell: unknown, plain: "one" | "several"): string[] | undefined | null {
  if (Array.isArray(cell)) return texts(cell);
  const text = readText(cell);
  if (typeof text !== "string") return text;
  if (!text.trimStart().startsWith("["))
    return (plain === "one" ? [text] : text.split(/[\s,]+/)).filter((one) => one !== "");
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? texts(parsed) : null;
  } catch {
    return null;
  }
}

function texts(items: readonly unknown[]): string[] | null {
  const read = items.map(readText);
  return read.every((one) => typeof one === "string" && one !== "") ? (read as string[]) : null;
}
