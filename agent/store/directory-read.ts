/**
 * One consistent read of a directory of one file per key. Kubernetes mounts a ConfigMap or a Secret as links into `..data`,
 * itself a link that is replaced at once: what is read through one target of that link is whole. A plain directory is whole
 * when two reads agree.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { errno, type Notice } from "../errors.ts";
import type { FlatEntry } from "./flat-records.ts";
import { mostBytes } from "./host-file-text.ts";
import { type Clock, StoreError } from "./host-store.ts";

/** 10,000 members of 100 bytes; Kubernetes allows a ConfigMap as much in all. */
const mostBytesOfKey = 1024 * 1024;
const dataLink = "..data";
/** How many files are read at once. */
const width = 16;

export interface DirectoryRead {
  readonly entries: readonly FlatEntry[];
  readonly notices: readonly Notice[];
  /** SHA-256 over keys and values. */
  readonly hash: string;
}

/** What stands where, without contents. */
interface Listing {
  readonly files: { readonly key: string; readonly path: string }[];
  /** Every `..data`, with the target that was followed. */
  readonly links: { readonly path: string; readonly target: string }[];
  readonly directories: string[];
  readonly notices: Notice[];
  /** Everything was found through a `..data`. */
  atomic: boolean;
  /** Differs when anything does, as far as names, targets, sizes and times tell. */
  facts: string[];
}

/** What stands there now, for a poll: differs when anything does. Gives the directories to watch, too. */
export async function lookAtDirectory(path: string): Promise<{ facts: string; directories: readonly string[] }> {
  const listing = emptyListing();
  try {
    await list(path, 0, listing);
    return { facts: sha256(listing.facts), directories: listing.directories };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { facts: `${error.message} ${sha256(listing.facts)}`, directories: listing.directories };
  }
}

/**
 * Waits until what is read is whole. A content that `settled` names needs no second look. Throws `store/empty` (also for a
 * missing directory), `store/unreadable`, `store/not-utf8`, `store/too-large`, `store/never-quiet`.
 */
export async function readDirectory(
  path: string,
  options: { clock: Clock; quietMs: number; settled: (hash: string) => boolean; tries?: number },
): Promise<DirectoryRead> {
  const { clock, quietMs, settled, tries = 100 } = options;
  let before: string | undefined;
  for (let attempt = 0; attempt <= tries; attempt++) {
    const now = await attemptRead(path);
    // The next look follows at once: the new target is whole already.
    if (now === "moved") continue;
    if (now.is === "read" && (now.atomic || settled(now.hash))) return now;
    const is = now.is === "read" ? now.hash : now.error.message;
    if (is === before) {
      if (now.is === "failed") throw now.error;
      return now;
    }
    before = is;
    await clock.sleep(quietMs);
  }
  throw new StoreError("store/never-quiet", `${path} changes all the time.`, {
    rule: `unchanged for ${quietMs} ms`,
    hint: "Some program writes there again and again.",
  });
}

type Attempt = ({ is: "read"; atomic: boolean } & DirectoryRead) | { is: "failed"; error: StoreError };

async function attemptRead(path: string): Promise<Attempt | "moved"> {
  const listing = emptyListing();
  let read: Attempt;
  try {
    await list(path, 0, listing);
    read = { is: "read", atomic: listing.atomic, ...(await contents(listing)) };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    read = { is: "failed", error };
  }
  // The files behind a former target vanish, so an error too means nothing once the link has moved.
  return (await moved(listing)) ? "moved" : read;
}

async function moved({ links }: Listing): Promise<boolean> {
  for (const { path, target } of links) if ((await readlink(path).catch(() => undefined)) !== target) return true;
  return false;
}

function emptyListing(): Listing {
  return { files: [], links: [], directories: [], notices: [], atomic: true, facts: [] };
}

/** A directory and, one level down, those in it: a Secret beside a ConfigMap. */
async function list(directory: string, depth: number, listing: Listing, whole = false): Promise<void> {
  const names = await namesIn(directory, depth);
  listing.directories.push(directory);
  const target = names.includes(dataLink) ? await linkTarget(join(directory, dataLink)) : undefined;
  const filesBefore = listing.files.length;
  if (target !== undefined) {
    listing.links.push({ path: join(directory, dataLink), target });
    listing.facts.push(directory, target);
    const base = join(directory, target);
    for (const name of shown(await namesIn(base, depth))) await listOne(join(base, name), name, depth, listing, true);
  }
  for (const name of shown(names)) {
    const path = join(directory, name);
    const isOfData = target !== undefined && (await linkTarget(path))?.startsWith(`${dataLink}/`);
    if (!isOfData) await listOne(path, name, depth, listing, whole);
  }
  // Below the store's own directory as well: a Secret that is not mounted would take all passwords away.
  if (listing.files.length === filesBefore) throw empty(directory);
}

async function listOne(path: string, name: string, depth: number, listing: Listing, atomic: boolean): Promise<void> {
  const facts = await orUnreadable(path, () => stat(path, { bigint: true }));
  if (facts.isDirectory()) {
    if (name === "lost+found") return;
    if (depth === 0) return list(path, depth + 1, listing, atomic);
    listing.notices.push({
      code: "store/unknown-key",
      message: `The directory ${path} means nothing and is ignored.`,
      hint: "A store has one level of directories below its own.",
      where: path,
    });
    return;
  }
  if (!facts.isFile())
    throw new StoreError("store/unreadable", `${path} is no regular file.`, {
      rule: "one regular file for each key",
      hint: "Remove it from the store's directory.",
    });
  if (facts.size > mostBytesOfKey)
    throw new StoreError("store/too-large", `${path} has ${facts.size} bytes.`, {
      rule: `at most ${mostBytesOfKey} bytes for one key`,
      hint: "Does it belong into the store's directory?",
    });
  if (!atomic) {
    listing.atomic = false;
    listing.facts.push(path, [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join(":"));
  }
  listing.files.push({ key: name, path });
}

async function contents({ files, notices }: Listing): Promise<DirectoryRead> {
  const entries: FlatEntry[] = [];
  let bytes = 0;
  for (let start = 0; start < files.length; start += width) {
    const some = files.slice(start, start + width);
    const texts = await Promise.all(some.map(({ path }) => orUnreadable(path, () => readFile(path))));
    for (const [index, { key, path }] of some.entries()) {
      const content = texts[index] ?? Buffer.alloc(0);
      bytes += content.length;
      if (bytes > mostBytes)
        throw new StoreError("store/too-large", `The files up to ${path} have ${bytes} bytes.`, {
          rule: `at most ${mostBytes} bytes in all`,
          hint: "Is this the right directory? FIREKEEPER_STORE names it.",
        });
      entries.push({ key, value: textOf(content, path), place: { file: path, line: 1, column: 1 } });
    }
  }
  return { entries, notices, hash: sha256(entries.flatMap(({ key, value }) => [key, value])) };
}

/** Editors and `kubectl create --from-file` leave a line end that is not part of the value. */
function textOf(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new StoreError("store/not-utf8", `${path} is not UTF-8.`, {
      rule: "text in UTF-8",
      hint: "Save the file as UTF-8. If it was just being written, it is read again.",
    });
  }
}

async function namesIn(directory: string, depth: number): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (cause) {
    if (errno(cause) === "ENOENT" && depth === 0) throw empty(directory, "is missing");
    throw unreadable(directory, cause);
  }
}

/** Hidden names are editors' and Kubernetes' own. */
function shown(names: readonly string[]): string[] {
  return names.filter((name) => !name.startsWith("."));
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch {
    return undefined;
  }
}

async function orUnreadable<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): StoreError {
  return new StoreError("store/unreadable", `${path} cannot be read (${errno(cause) ?? "unknown error"}).`, {
    cause,
    hint: "The agent's user needs the right to read it, and a link must lead somewhere.",
  });
}

function empty(directory: string, how = "is empty"): StoreError {
  return new StoreError("store/empty", `The directory ${directory} ${how}.`, {
    rule: "one file for each key",
    hint: "Is it mounted? Does FIREKEEPER_STORE name the right one? What was read last stays in force.",
  });
}

function sha256(texts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(`${Buffer.byteLength(text)}:`).update(text);
  return hash.digest("hex");
}
