/** A home as one file: a tar, gzipped, and sealed if there is a passphrase. docs/backup.md. */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";
import { CodedError, errno, explain } from "../errors.ts";
import { backupFormat, type Manifest, memberFolders, memberNames } from "./manifest.ts";
import { seal } from "./sealing.ts";
import type { Staged } from "./stage.ts";
import { holdUploads } from "./uploads.ts";

export interface BackupOrder {
  /** Where the backup is written; must not exist. */
  readonly file: string;
  readonly home: string;
  readonly staged: Staged;
  readonly passphrase?: string | undefined;
  /** Leaves out what people uploaded. */
  readonly withoutUploads?: boolean | undefined;
  readonly now?: () => Date;
  readonly onProgress?: (done: number, of: number) => void;
}

/** Writes the backup; it appears under its name only when it is whole and on disk. */
export async function writeBackup(order: BackupOrder): Promise<Manifest> {
  const file = resolve(order.file);
  if (await exists(file))
    throw new CodedError("backup/exists", `${file} exists.`, { hint: "Choose another name, or move it away." });
  const held = order.withoutUploads ? undefined : await holdUploads(order.home);
  const partial = `${file}.partial`;
  let about: Manifest;
  try {
    const sources = [...(await membersOf(order.home, order.staged)), ...(held?.members ?? [])];
    const members = [];
    for (const { name, path } of sources) members.push({ name, ...(await measured(path)) });
    about = {
      format: backupFormat,
      at: (order.now?.() ?? new Date()).toISOString(),
      ...order.staged.facts,
      ...(order.withoutUploads && { withoutUploads: true }),
      members,
    };
    await written(partial, order, about, sources);
    await rename(partial, file);
    const folder = await open(dirname(file), "r");
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    await rm(partial, { force: true });
    if (error instanceof CodedError) throw error;
    throw new CodedError("backup/not-written", `${file} could not be written: ${explain(error)}.`, {
      hint: "Check the place and its free space. The service is not affected.",
      cause: error,
    });
  } finally {
    await held?.release();
  }
  return about;
}

async function written(
  partial: string,
  { passphrase, onProgress }: BackupOrder,
  about: Manifest,
  sources: readonly { name: string; path: string }[],
): Promise<void> {
  const tar = pack();
  const out = createWriteStream(partial, { mode: 0o600, flags: "w", flush: true });
  const sealing = passphrase === undefined ? new PassThrough() : await seal(passphrase);
  const flowing = pipeline(tar, createGzip({ level: 3 }), sealing, out);
  flowing.catch(() => tar.destroy());
  const mtime = new Date(about.at);
  const small = (name: string, bytes: Buffer) =>
    new Promise<void>((done, failed) =>
      tar.entry({ name, size: bytes.length, mode: 0o600, mtime }, bytes, (error) => (error ? failed(error) : done())),
    );
  await small("manifest.json", Buffer.from(`${JSON.stringify(about, undefined, 2)}\n`));
  const all = about.members.reduce((sum, one) => sum + one.bytes, 0);
  let done = 0;
  for (const [at, { name, path }] of sources.entries()) {
    const bytes = about.members[at]?.bytes ?? 0;
    if (bytes === 0) {
      await small(name, Buffer.alloc(0));
      continue;
    }
    // As much as was measured: what a running service appended since is the next backup's.
    const source = createReadStream(path, { end: bytes - 1 });
    source.on("data", (chunk) => {
      done += chunk.length;
      onProgress?.(done, all);
    });
    await pipeline(source, tar.entry({ name, size: bytes, mode: 0o600, mtime }) as unknown as NodeJS.WritableStream);
  }
  tar.finalize();
  await flowing;
}

/** Which files go: the staged copies first, of the home what they do not replace. */
async function membersOf(home: string, { folder, files }: Staged): Promise<{ name: string; path: string }[]> {
  const found: { name: string; path: string }[] = [];
  for (const name of memberNames) {
    const path = files.includes(name) ? join(folder, name) : join(home, name);
    // A staged database is whole by itself; a log beside it belongs to the running one.
    if (name === "core.db-wal" && files.includes("core.db")) continue;
    if (await exists(path)) found.push({ name, path });
  }
  for (const top of memberFolders) {
    const below = await readdir(join(home, top), { recursive: true, withFileTypes: true }).catch(() => []);
    for (const one of below) {
      if (!one.isFile()) continue;
      const path = join(one.parentPath, one.name);
      found.push({ name: path.slice(home.length + 1), path });
    }
  }
  return found;
}

async function measured(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errno(error) === "ENOENT") return false;
    throw error;
  }
}
