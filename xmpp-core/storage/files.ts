import { closeSync, fsyncSync, openSync } from "node:fs";
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

/** Creates the file, readable by its owner only, if it does not exist: SQLite's side files then take the same mode. */
export function createPrivate(file: string): void {
  closeSync(openSync(file, "a", 0o600));
}
