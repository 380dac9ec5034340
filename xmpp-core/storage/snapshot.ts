import { renameSync, rmSync } from "node:fs";
import { CodedError } from "../errors.ts";
import type { Database } from "./driver.ts";
import { createPrivate, syncDirectoryOf, syncFile } from "./files.ts";

/** Writes a consistent copy that appears under its name only when it is whole and on disk. */
export function takeSnapshot(database: Database, into: string): void {
  const partial = `${into}.partial`;
  try {
    rmSync(partial, { force: true });
    // VACUUM INTO takes an empty file, and then the copy is private from its first byte.
    createPrivate(partial);
    database.prepare("VACUUM INTO ?").run([partial]);
    syncFile(partial);
    renameSync(partial, into);
    syncDirectoryOf(into);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new CodedError(
      "storage/snapshot-failed",
      `The copy ${into} could not be written: ${error instanceof Error ? error.message : error}.`,
      {
        fields: { file: into },
        hint: "The database itself is not affected. Check the place and its free space, then try again.",
        cause: error,
      },
    );
  }
}
