import { closeSync, fsyncSync, openSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** Forces a file's bytes to disk. */
export function syncFile(file: string): void {
  const descriptor = openSync(file, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Forces the name of a new or renamed file to disk. */
export function syncDirectoryOf(file: string): void {
  syncFile(dirname(file));
}

/** Writes a small file of our own, readable by its owner only: whole or not at all, also when the power fails. */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  const partial = `${file}.partial`;
  const handle = await open(partial, "w", 0o600);
  try {
    await handle.chmod(0o600);
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, file);
  syncDirectoryOf(file);
}

/** Creates the file, readable by its owner only, if it does not exist: SQLite's side files then take the same mode. */
export function createPrivate(file: string): void {
  closeSync(openSync(file, "a", 0o600));
}
