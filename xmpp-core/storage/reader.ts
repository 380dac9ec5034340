import type { Database } from "./driver.ts";
import { readFailed } from "./failure.ts";
import type { PlainError, ReadMessage, ReadResult } from "./messages.ts";
import { pack, packed, packer, unpacker } from "./pack.ts";
import { statementsOf } from "./statements.ts";

export interface Reader {
  /** Runs queries in order and posts their rows, in one message unless that takes long. */
  run(message: ReadMessage, post: (result: ReadResult) => void): void;
}

/** After so many milliseconds the rows at hand leave, so that short queries do not wait for a long one behind them. */
const postAfterMs = 4;

export function readerOn(database: Database): Reader {
  const statements = statementsOf(database);
  const described = new Set<number>();
  return {
    run(message, post) {
      statements.learn(message.statements);
      const from = unpacker(message);
      let done = 0;
      while (done < message.count) {
        const rows = packer();
        const columns: [number, readonly string[]][] = [];
        const errors: PlainError[] = [];
        const started = performance.now();
        let count = 0;
        do {
          const known = statements.next(from);
          const values = statements.values(from);
          try {
            const prepared = statements.prepared(known);
            const found = prepared.rows(values);
            if (!described.has(known.id)) {
              described.add(known.id);
              columns.push([known.id, prepared.columns]);
            }
            rows.values.push(found.length, known.id);
            for (const row of found) for (const value of row) pack(rows, value);
          } catch (error) {
            rows.values.push(-1);
            errors.push(readFailed(error, known.sql));
          }
          count++;
        } while (done + count < message.count && performance.now() - started < postAfterMs);
        done += count;
        post({
          kind: "rows",
          count,
          columns: columns.length > 0 ? columns : undefined,
          errors: errors.length > 0 ? errors : undefined,
          ...packed(rows),
        });
      }
    },
  };
}
