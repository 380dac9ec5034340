import type { Database, Prepared, SqlValue } from "./driver.ts";
import type { NewStatements } from "./messages.ts";
import { headCount, headStatement, type Unpacker, unpack } from "./pack.ts";

/** A statement as a thread knows it: prepared at its first use, so that a faulty text fails only the unit that uses it. */
export interface Known {
  readonly id: number;
  readonly sql: string;
  prepared: Prepared | undefined;
}

export interface Statements {
  learn(added: NewStatements): void;
  /** Reads the head of the next call and returns its statement; its values follow by `values`. */
  next(from: Unpacker): Known;
  /** The values of the call whose head was read last. One array is reused for every call. */
  values(from: Unpacker): SqlValue[];
  prepared(known: Known): Prepared;
}

export function statementsOf(database: Database): Statements {
  const known: (Known | undefined)[] = [];
  const values: SqlValue[] = [];
  let count = 0;
  return {
    learn(added) {
      if (added === undefined) return;
      for (let i = 0; i < added.length; i += 2) {
        const id = added[i] as number;
        known[id] = { id, sql: added[i + 1] as string, prepared: undefined };
      }
    },
    next(from) {
      const head = unpack(from) as number;
      count = headCount(head);
      const statement = known[headStatement(head)];
      if (statement === undefined) throw new RangeError(`statement ${headStatement(head)} was never sent`);
      return statement;
    },
    values(from) {
      values.length = count;
      for (let i = 0; i < count; i++) values[i] = unpack(from);
      return values;
    },
    prepared(statement) {
      statement.prepared ??= database.prepare(statement.sql);
      return statement.prepared;
    },
  };
}
