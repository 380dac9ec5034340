/** Reads a backup from its first byte to its last, and judges every byte before anybody believes it. docs/backup.md. */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { CodedError, errno, explain } from "../errors.ts";
import { backupFormat, isMemberName, type Manifest, manifest } from "./manifest.ts";
import { saltLength, sealedPrefix, unseal } from "./sealing.ts";

/** A line for each of a million uploaded files. */
const mostManifest = 256 * 1024 * 1024;

/** Takes the bytes of one member; resolves when they are where they belong. */
export type Taker = (name: string, bytes: Readable) => Promise<void>;

/**
 * Goes through the whole backup. `take` gets each member as it comes; believe none of them before this resolves. Throws
 * `backup/unreadable`, `backup/sealed`, `backup/wrong-passphrase`, `backup/damaged` or `backup/newer`.
 */
export async function readBackup(
  file: string,
  passphrase: string | undefined,
  take: Taker = drained,
): Promise<Manifest> {
  const { sealed, salt } = await beginning(file);
  if (sealed && passphrase === undefined)
    throw new CodedError("backup/sealed", `${file} is sealed by a passphrase.`, {
      hint: "Give it: --passphrase-file FILE.",
    });
  const skip = sealed ? sealedPrefix.length + saltLength : 0;
  const tar = extract();
  const source = createReadStream(file, { start: skip });
  const opened = sealed ? [await unseal(passphrase ?? "", salt)] : [];
  // By hand, to the very last byte: the archive ends before the checksum of what it was packed with.
  const feed = async (bytes: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of bytes)
      if (!tar.write(chunk) && !tar.destroyed)
        await new Promise<void>((resolve) => {
          const go = (): void => {
            tar.off("drain", go).off("close", go);
            resolve();
          };
          tar.on("drain", go).on("close", go);
        });
    tar.end(undefined);
  };
  const flowing = pipeline([source, ...opened, createGunzip(), feed] as never[]);
  let about: Manifest | undefined;
  const seen = new Map<string, { bytes: number; sha256: string }>();
  try {
    const reading = (async () => {
      for await (const entry of tar) {
        const { name } = entry.header;
        if (about === undefined) {
          if (name !== "manifest.json") throw damaged(file, "it does not begin with its manifest");
          about = await readManifest(entry as AsyncIterable<Buffer>, file);
          continue;
        }
        if (!isMemberName(name) || entry.header.type !== "file" || seen.has(name))
          throw damaged(file, `it holds ${JSON.stringify(name.slice(0, 80))}, which no backup does`);
        const measure = { hash: createHash("sha256"), bytes: 0 };
        await take(name, Readable.from(measuring(entry as AsyncIterable<Buffer>, measure)));
        seen.set(name, { bytes: measure.bytes, sha256: measure.hash.digest("hex") });
      }
    })();
    await Promise.all([reading, flowing]);
  } catch (error) {
    tar.destroy();
    source.destroy();
    await flowing.catch(() => {});
    if (error instanceof CodedError) throw error;
    throw damaged(file, explain(error));
  }
  return checked(about, seen, file);
}

async function drained(_name: string, bytes: Readable): Promise<void> {
  for await (const _ of bytes);
}

async function* measuring(
  entry: AsyncIterable<Buffer>,
  measure: { hash: Hash; bytes: number },
): AsyncGenerator<Buffer, void> {
  for await (const chunk of entry) {
    measure.hash.update(chunk);
    measure.bytes += chunk.length;
    yield chunk;
  }
}

function checked(
  about: Manifest | undefined,
  seen: ReadonlyMap<string, { bytes: number; sha256: string }>,
  file: string,
): Manifest {
  if (about === undefined) throw damaged(file, "it is empty");
  for (const { name, bytes, sha256 } of about.members) {
    const found = seen.get(name);
    if (found?.sha256 !== sha256 || found.bytes !== bytes) throw damaged(file, `${name} is not as the manifest has it`);
  }
  if (seen.size !== about.members.length) throw damaged(file, "it holds more than its manifest says");
  return about;
}

async function readManifest(entry: AsyncIterable<Buffer>, file: string): Promise<Manifest> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of entry) {
    length += chunk.length;
    if (length > mostManifest) throw damaged(file, "its manifest is too long");
    chunks.push(chunk);
  }
  let data: unknown;
  try {
    data = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw damaged(file, "its manifest cannot be read");
  }
  const format = (data as { format?: unknown } | null)?.format;
  if (typeof format === "number" && format > backupFormat)
    throw new CodedError("backup/newer", `${file} was written by a newer program, in format ${format}.`, {
      hint: "Restore it with the release that wrote it, or a later one.",
    });
  const known = manifest.safeParse(data);
  if (!known.success) throw damaged(file, "its manifest is not one");
  return known.data;
}

async function beginning(file: string): Promise<{ sealed: boolean; salt: Buffer }> {
  try {
    const handle = await open(file, "r");
    try {
      const bytes = Buffer.alloc(sealedPrefix.length + saltLength);
      await handle.read(bytes, 0, bytes.length, 0);
      const sealed = bytes.subarray(0, sealedPrefix.length).equals(sealedPrefix);
      return { sealed, salt: bytes.subarray(sealedPrefix.length) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new CodedError("backup/unreadable", `${file} cannot be read: ${errno(error) ?? explain(error)}.`, {
      hint: "Is that its name, and may you read it?",
      cause: error,
    });
  }
}

function damaged(file: string, why: string): CodedError {
  return new CodedError("backup/damaged", `${file} is no whole backup: ${why}.`, { hint: "Take another copy of it." });
}
