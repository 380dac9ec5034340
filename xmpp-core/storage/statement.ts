import type { SqlValue } from "./driver.ts";

export type { SqlValue } from "./driver.ts";

/** A statement bound to its values; a unit of the commit pipeline is a list of these. */
export interface Write {
  readonly statement: WriteStatement<readonly SqlValue[]>;
  readonly params: readonly SqlValue[];
}

/** A statement that changes rows. Its text crosses to the writer once, its number afterwards. */
export interface WriteStatement<P extends readonly SqlValue[]> {
  readonly id: number;
  readonly sql: string;
  /** Binds values. A Uint8Array is copied when the unit is committed, so a view on a socket's buffer is fine. */
  with(...params: P): Write;
}

/** A statement that yields rows of shape `R`, keyed by column name. */
export interface ReadStatement<P extends readonly SqlValue[], R> {
  readonly id: number;
  readonly sql: string;
  /** Never set: carries the types of parameters and rows. */
  readonly types?: (...params: P) => R;
}

// Numbers are shared by all storages of a process: they mean a text, nothing that lives.
let declared = 0;

/**
 * Declares a changing statement, once, at module level beside the code that uses it.
 *
 *     const putItem = write<[account: number, jid: string, name: string | null]>(
 *       "INSERT INTO roster_item (account, jid, name) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET name = excluded.name");
 *     storage.commit([putItem.with(7, "bob@a.example", null)]);
 */
export function write<P extends readonly SqlValue[]>(sql: string): WriteStatement<P> {
  const statement: WriteStatement<P> = {
    id: ++declared,
    sql,
    with: (...params) => ({ statement: statement as unknown as Write["statement"], params }),
  };
  return statement;
}

/**
 * Declares a reading statement, once, at module level.
 *
 *     const items = read<[account: number], { jid: string; name: string | null }>("SELECT jid, name FROM roster_item WHERE account = ?");
 *     const rows = await storage.read(items, 7);
 */
export function read<P extends readonly SqlValue[], R>(sql: string): ReadStatement<P, R> {
  return { id: ++declared, sql };
}
