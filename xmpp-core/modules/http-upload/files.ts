import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";

/** Where uploaded files lie: `uploads/` of the home directory, each by its token, none by the name somebody gave it. */
export interface Files {
  /**
   * Writes what is sent, `size` bytes exactly, and resolves once it would survive a power failure; rejects, leaving
   * nothing, when it ends early or the disk fails.
   */
  receive(token: Uint8Array, body: Readable, size: number): Promise<void>;
  /** Undefined: it is not there. */
  open(token: Uint8Array): Promise<FileHandle | undefined>;
  remove(token: Uint8Array): Promise<void>;
  /** Which of the 256 folders are there. */
  folders(): Promise<readonly number[]>;
  /** Those of one of the folders that were there before this moment. */
  settled(folder: number, before: number): Promise<Uint8Array[]>;
  /** Bytes that the disk still takes. */
  free(): Promise<number>;
}

const dayMs = 24 * 3600 * 1000;

/** What is written at once: fewer trips to the disk's threads for the same memory. */
const batchBytes = 256 * 1024;

/** What a process before this one had not finished is thrown away. */
export function openFiles(home: string, now: number): Files {
  const root = join(home, "uploads");
  const incoming = join(root, "incoming");
  mkdirSync(root, { recursive: true, mode: 0o700 });
  rmSync(incoming, { recursive: true, force: true });
  mkdirSync(incoming, { mode: 0o700 });
  forgetBackups(root, now - dayMs);
  const nameOf = (token: Uint8Array): string => Buffer.from(token).toString("hex");
  const directoryOf = (token: Uint8Array): string => join(root, nameOf(token).slice(0, 2));
  const placeOf = (token: Uint8Array): string => join(directoryOf(token), nameOf(token));

  async function settle(token: Uint8Array, partial: string): Promise<void> {
    const directory = directoryOf(token);
    const place = placeOf(token);
    try {
      await rename(partial, place);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      // The first file of its folder.
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await rename(partial, place);
      await syncDirectory(root);
    }
    await syncDirectory(directory);
  }

  return {
    async receive(token, body, size) {
      const partial = join(incoming, nameOf(token));
      const handle = await open(partial, "wx", 0o600);
      try {
        try {
          await writeAll(handle, body, size);
          await handle.sync();
        } finally {
          await handle.close();
        }
        await settle(token, partial);
      } catch (error) {
        await rm(partial, { force: true });
        throw error;
      }
    },
    async open(token) {
      try {
        return await open(placeOf(token), "r");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw error;
      }
    },
    remove: (token) => rm(placeOf(token), { force: true }),
    async folders() {
      const names = await readdir(root);
      return names.flatMap((name) => (/^[0-9a-f]{2}$/.test(name) ? [Number.parseInt(name, 16)] : []));
    },
    async settled(folder, before) {
      const directory = join(root, folder.toString(16).padStart(2, "0"));
      const found: Uint8Array[] = [];
      for (const name of await readdir(directory).catch(() => [])) {
        if (!/^[0-9a-f]{32}$/.test(name)) continue;
        const facts = await stat(join(directory, name)).catch(() => undefined);
        if (facts !== undefined && facts.mtimeMs < before) found.push(Buffer.from(name, "hex"));
      }
      return found;
    },
    async free() {
      const { bavail, bsize } = await statfs(root);
      return bavail * bsize;
    },
  };
}

/** A name is there for good once its folder is on disk. It takes milliseconds, which others do not wait for. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Second names that a backup gave to files and could not take away again, as it was killed. */
function forgetBackups(root: string, before: number): void {
  for (const name of readdirSync(root)) {
    const folder = join(root, name);
    if (name.startsWith("backup-") && statSync(folder).mtimeMs < before)
      rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * One batch is on its way to the disk while the next ones are gathered; the sender waits for the disk beyond that. Chunks
 * are taken as they come: reading them otherwise would join, and so copy, what has come meanwhile.
 */
function writeAll(handle: FileHandle, body: Readable, size: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let gathered: Buffer[] = [];
    let bytes = 0;
    let all = 0;
    let writing = false;
    let ended = false;
    let settled = false;

    function settle(error?: unknown): void {
      settled = true;
      body.off("data", take).off("end", end).off("error", settle).off("close", cut);
      // Whoever sends is still to be answered when the disk fails.
      if (!ended) body.pause();
      if (error === undefined) resolve();
      else reject(error);
    }
    function write(): void {
      writing = true;
      const batch = gathered;
      gathered = [];
      bytes = 0;
      writeBatch(handle, batch).then(() => {
        writing = false;
        if (settled) return;
        if (bytes >= batchBytes || (ended && bytes > 0)) write();
        else if (ended) settle();
        if (!ended) body.resume();
      }, settle);
    }
    function take(chunk: Buffer): void {
      gathered.push(chunk);
      bytes += chunk.length;
      all += chunk.length;
      if (all > size) settle(new Error("more than announced"));
      else if (bytes >= batchBytes && !writing) write();
      else if (bytes >= 2 * batchBytes) body.pause();
    }
    function end(): void {
      ended = true;
      body.off("close", cut);
      if (all !== size) settle(new Error("less than announced"));
      else if (!writing && bytes > 0) write();
      else if (!writing) settle();
    }
    const cut = (): void => settle(new Error("cut"));

    if (body.destroyed) return cut();
    body.on("data", take).once("end", end).once("error", settle).once("close", cut);
  });
}

/** A full disk takes a part without an error; the rest then says what is wrong. */
async function writeBatch(handle: FileHandle, batch: readonly Buffer[]): Promise<void> {
  let rest = [...batch];
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest);
    let done = bytesWritten;
    while (rest[0] !== undefined && done >= rest[0].length) {
      done -= rest[0].length;
      rest = rest.slice(1);
    }
    if (rest[0] !== undefined) rest[0] = rest[0].subarray(done);
  }
}
