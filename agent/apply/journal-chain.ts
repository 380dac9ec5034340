/** The chain of the journal's lines: each carries the hash of the one before, so that a change anywhere shows. */
import { createHash } from "node:crypto";
import { CodedError } from "../errors.ts";
import { entry, type SealedEntry } from "./journal-entries.ts";

/** What the first line of all carries as the hash before it. */
export const start = "0".repeat(64);

export interface Chain {
  readonly entries: SealedEntry[];
  /** Bytes of whole lines. */
  readonly length: number;
  /** Hash of the last line. */
  readonly head: string;
  /** Bytes of a last line that a crash has cut. */
  readonly torn: number;
  /** Hash that the first line carries as the one before it; zeros at the very beginning. */
  readonly before: string;
}

export function chained(before: string, body: object): string {
  return createHash("sha256")
    .update(`${before}\n${JSON.stringify(body)}`)
    .digest("hex");
}

/**
 * Reads and proves a chain. A crash can only have cut the last line; anything else that does not fit is somebody's work
 * and throws `journal/broken`. Lines before the first may be missing where a checkpoint vouches for them, and in a
 * `part` (an export since some day) without.
 */
export function readChain(path: string, bytes: Buffer, options: { readonly part?: boolean } = {}): Chain {
  const entries: SealedEntry[] = [];
  let length = 0;
  let head = start;
  let before = start;
  let line = 0;
  while (length < bytes.length) {
    line++;
    const end = bytes.indexOf(0x0a, length);
    const last = end === -1 || end === bytes.length - 1;
    const read = parsed(bytes.subarray(length, end === -1 ? bytes.length : end));
    if (end === -1 || (last && read === undefined)) {
      return whole(path, { entries, length, head, torn: bytes.length - length, before }, options);
    }
    const { prev, hash, ...body } = read ?? {};
    const known = entry.safeParse(body);
    const former = entries.at(-1);
    if (!former && typeof prev === "string" && body.n !== 1) before = head = prev;
    const follows = former ? body.n === former.n + 1 : typeof body.n === "number" && body.n >= 1;
    if (prev !== head || hash !== chained(head, body) || !follows || !known.success) throw broken(path, line);
    entries.push({ ...known.data, n: Number(body.n), at: String(body.at) });
    head = hash as string;
    length = end + 1;
  }
  return whole(path, { entries, length, head, torn: 0, before }, options);
}

/** Where the chain does not begin at the beginning, a checkpoint in it must name the line and hash it continues. */
function whole(path: string, chain: Chain, { part }: { readonly part?: boolean }): Chain {
  const [first] = chain.entries;
  if (!first || first.n === 1 || part) return chain;
  const vouched = chain.entries.some(
    (one) => one.is === "checkpoint" && one.through === first.n - 1 && one.head === chain.before,
  );
  if (!vouched) throw broken(path, 1);
  return chain;
}

function broken(path: string, line: number): CodedError {
  return new CodedError("journal/broken", `Line ${line} of ${path} does not fit the lines before it.`, {
    hint: "Somebody changed it. Move the file aside and start again: the server keeps what is in force; history and rollback begin anew.",
    fields: { line, path },
  });
}

function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
