/** Reading and replacing the host file: quiet, whole, under a lock, owner and mode kept. */
import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, open, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errno } from "../errors.ts";
import { mostBytes } from "./host-file-text.ts";
import { type Clock, StoreError } from "./host-store.ts";

export interface FileText {
  readonly text: string;
  /** SHA-256 of the bytes. */
  readonly hash: string;
}

/** A lock older than this was left by a process that died: an edit holds it for milliseconds. */
const staleLockMs = 10_000;
const lockRetryMs = 50;

/** The file as it is now. Throws `store/missing`, `store/unreadable`, `store/too-large`, `store/not-utf8`. */
export async function readText(path: string): Promise<FileText> {
  const bytes = await readBytes(path);
  const hash = createHash("sha256").update(bytes).digest("hex");
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), hash };
  } catch {
    throw new StoreError("store/not-utf8", "this line is not UTF-8.", {
      place: { file: path, line: firstBadLine(bytes), column: 1 },
      rule: "text in UTF-8",
      hint: "Save the file as UTF-8. If it was just being written, it is read again.",
    });
  }
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size > mostBytes)
      throw new StoreError("store/too-large", `${path} has ${size} bytes.`, {
        rule: `at most ${mostBytes} bytes`,
        hint: "Is this the right file? FIREKEEPER_STORE names it.",
      });
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    if (errno(cause) === "ENOENT")
      throw new StoreError("store/missing", `There is no host file ${path}.`, {
        cause,
        hint: "Put it back (host.last-good.yaml in the home directory is a copy), or correct FIREKEEPER_STORE or FIREKEEPER_HOME.",
      });
    throw new StoreError("store/unreadable", `${path} cannot be read (${errno(cause) ?? "unknown error"}).`, {
      cause,
      hint: "The agent's user needs the right to read it.",
    });
  }
}

function firstBadLine(bytes: Buffer): number {
  let start = 0;
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(0x0a, start);
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, end < 0 ? undefined : end));
    } catch {
      return line;
    }
    if (end < 0) return line;
    start = end + 1;
  }
}

/**
 * Waits until two reads `quietMs` apart gave the same bytes. A text that `settled` names (our own write, the last good one)
 * needs no second look.
 */
export async function readQuiet(
  path: string,
  options: { clock: Clock; quietMs: number; settled: (hash: string) => boolean; tries?: number },
): Promise<FileText> {
  const { clock, quietMs, settled, tries = 30 } = options;
  let seen: string | undefined;
  for (let attempt = 0; attempt <= tries; attempt++) {
    const now = await attemptRead(path);
    if (now.is === "read" && settled(now.hash)) return now;
    // An error counts as quiet only when it stands a second later too: editors remove and create.
    if (now.key === seen) {
      if (now.is === "failed") throw now.error;
      return now;
    }
    seen = now.key;
    await clock.sleep(quietMs);
  }
  throw new StoreError("store/never-quiet", `${path} changes all the time.`, {
    rule: `unchanged for ${quietMs} ms`,
    hint: "Some program writes it again and again.",
  });
}

type Attempt = ({ is: "read"; key: string } & FileText) | { is: "failed"; key: string; error: StoreError };

async function attemptRead(path: string): Promise<Attempt> {
  try {
    const read = await readText(path);
    return { is: "read", key: read.hash, ...read };
  } catch (error) {
    if (error instanceof StoreError) return { is: "failed", key: error.message, error };
    throw error;
  }
}

/** Why the file cannot be replaced in place, or undefined. A file without any write permission is meant to stay, also for root. */
export async function whyReadOnly(path: string): Promise<string | undefined> {
  const real = await realpath(path);
  const { mode } = await stat(real);
  if ((mode & 0o222) === 0) return "it has no write permission";
  const probe = join(dirname(real), `.${basename(real)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await (await open(probe, "wx", 0o600)).close();
    await rm(probe);
    return undefined;
  } catch (error) {
    return `its directory cannot be written (${errno(error) ?? "unknown error"})`;
  }
}

/**
 * Replaces the file by write, fsync and rename if its bytes still hash to `expected`; owner and mode stay.
 * Gives the new hash. Throws `store/changed-meanwhile`, `store/read-only`; the old file is whole then.
 */
export async function replaceText(path: string, text: string, expected: string): Promise<string> {
  const real = await realpath(path);
  return locked(real, async () => {
    const standing = await stat(real);
    const temporary = join(dirname(real), `.${basename(real)}.${randomBytes(6).toString("hex")}.tmp`);
    try {
      await writeSynced(temporary, text, 0o600);
      const { uid, gid } = await stat(temporary);
      if (uid !== standing.uid || gid !== standing.gid) await chown(temporary, standing.uid, standing.gid);
      await chmod(temporary, standing.mode & 0o7777);
      if ((await readText(real)).hash !== expected)
        throw new StoreError("store/changed-meanwhile", `${path} was changed by somebody else just now.`, {
          hint: "Nothing was written. Try again.",
        });
      await rename(temporary, real);
      await syncDirectory(dirname(real));
    } catch (cause) {
      await rm(temporary, { force: true });
      if (cause instanceof StoreError) throw cause;
      throw new StoreError("store/read-only", `${path} cannot be replaced (${errno(cause) ?? "unknown error"}).`, {
        cause,
        hint: "The agent needs the right to write the file's directory and to keep its owner.",
      });
    }
    return createHash("sha256").update(text).digest("hex");
  });
}

/** Writes a file of our own whole or not at all. */
export async function writeWhole(path: string, text: string, mode = 0o600): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await writeSynced(temporary, text, mode);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeSynced(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Agent and command line never write at once. Real time, since another process holds it. */
async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = join(dirname(path), `.${basename(path)}.lock`);
  const deadline = Date.now() + 2 * staleLockMs;
  for (;;) {
    try {
      await (await open(lock, "wx", 0o600)).close();
      break;
    } catch (cause) {
      if (errno(cause) !== "EEXIST")
        throw new StoreError("store/read-only", `${dirname(path)} cannot be written (${errno(cause) ?? "?"}).`, {
          cause,
          hint: "The agent needs the right to write there in order to change the host file.",
        });
      if (Date.now() > deadline)
        throw new StoreError("store/locked", `${path} is being changed by another process.`, {
          hint: `Try again; if nothing else runs, remove ${lock}.`,
        });
      await stealIfStale(lock);
      await new Promise((resolve) => setTimeout(resolve, lockRetryMs));
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function stealIfStale(lock: string): Promise<void> {
  try {
    if (Date.now() - (await stat(lock)).mtimeMs < staleLockMs) return;
    // Of two thieves only one can rename it.
    const stolen = `${lock}.${randomBytes(6).toString("hex")}`;
    await rename(lock, stolen);
    await rm(stolen, { force: true });
  } catch (error) {
    if (errno(error) !== "ENOENT") throw error;
  }
}
