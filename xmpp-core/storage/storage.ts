import { assembleStorage } from "./assembly.ts";
import type { Storage, StorageOptions } from "./contract.ts";

export type * from "./contract.ts";
export type { Migration } from "./migrations.ts";
export type { ReadStatement, SqlValue, Write, WriteStatement } from "./statement.ts";
export { read, write } from "./statement.ts";

/**
 * Opens the database, bringing its schema up to date first. Errors: `storage/damaged`, `storage/unreadable`,
 * `storage/newer-than-program`, `storage/migration-failed`.
 */
export function openStorage(options: StorageOptions): Promise<Storage> {
  return assembleStorage(options);
}
