import type { CodedError } from "../errors.ts";
import type { Ticket } from "./contract.ts";
import { codedError } from "./failure.ts";
import type { ReadResult } from "./messages.ts";
import { type Packer, pack, packed, packer, packHead, type Unpacker, unpack, unpacker } from "./pack.ts";
import type { ReadStatement, SqlValue } from "./statement.ts";
import type { Thread } from "./thread.ts";

type Row = Record<string, SqlValue>;
type AnyRead = Pick<ReadStatement<readonly SqlValue[], Row>, "id" | "sql">;

interface Query {
  readonly statement: AnyRead;
  readonly params: readonly SqlValue[];
  readonly after: Ticket;
  readonly resolve: (rows: Row[]) => void;
  readonly reject: (error: CodedError) => void;
}

/** The main thread's side of reading: queries of one turn travel together, rows come back packed. */
export interface Queries {
  /** Runs the query once the group `after` is decided. */
  run(statement: AnyRead, params: readonly SqlValue[], after: Ticket): Promise<Row[]>;
  /** To be called when a group is decided: sends what waited for it. */
  decided(ticket: Ticket): void;
  /** The reader thread is gone: rejects all that waits and all that comes. */
  lost(error: CodedError): void;
  /** Resolves when no query is left. */
  dry(): Promise<void>;
}

export function queriesTo(thread: Thread, decidedNow: () => Ticket): Queries {
  let gathered: Query[] = [];
  let scheduled = false;
  const waiting: Query[] = [];
  const sent: Query[] = [];
  let gone: CodedError | undefined;
  let sentFirst = 0;
  const known = new Set<number>();
  const columns = new Map<number, readonly string[]>();
  const whenDry: (() => void)[] = [];

  function send(): void {
    scheduled = false;
    if (gathered.length === 0) return;
    const into: Packer = packer();
    const added: (number | string)[] = [];
    for (const query of gathered) {
      if (!known.has(query.statement.id)) {
        known.add(query.statement.id);
        added.push(query.statement.id, query.statement.sql);
      }
      packHead(into, query.statement.id, query.params.length);
      for (const value of query.params) pack(into, value);
      sent.push(query);
    }
    const count = gathered.length;
    gathered = [];
    thread.post({ kind: "read", count, statements: added.length > 0 ? added : undefined, ...packed(into) });
  }

  function gather(query: Query): void {
    gathered.push(query);
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(send);
  }

  function rowsFrom(from: Unpacker, total: number): Row[] {
    const names = columns.get(unpack(from) as number) ?? [];
    const rows: Row[] = [];
    for (let i = 0; i < total; i++) {
      const row: Row = {};
      for (const name of names) row[name] = unpack(from);
      rows.push(row);
    }
    return rows;
  }

  function answer(result: ReadResult): void {
    for (const [id, names] of result.columns ?? []) columns.set(id, names);
    const from = unpacker(result);
    let failed = 0;
    for (let i = 0; i < result.count; i++) {
      const query = sent[sentFirst++] as Query;
      const total = unpack(from) as number;
      const error = total < 0 ? result.errors?.[failed++] : undefined;
      if (error !== undefined) query.reject(codedError(error));
      else query.resolve(rowsFrom(from, total));
    }
    if (sentFirst === sent.length) {
      sent.length = 0;
      sentFirst = 0;
      if (waiting.length + gathered.length === 0) for (const resolve of whenDry.splice(0)) resolve();
    } else if (sentFirst > 1_024) {
      sent.splice(0, sentFirst);
      sentFirst = 0;
    }
  }

  thread.onRows(answer);

  return {
    run: (statement, params, after) =>
      new Promise((resolve, reject) => {
        if (gone !== undefined) return reject(gone);
        const query: Query = { statement, params, after, resolve, reject };
        if (after > decidedNow()) waiting.push(query);
        else gather(query);
      }),
    decided(ticket) {
      // Tickets only rise, so those that may go stand in front.
      let ready = 0;
      while ((waiting[ready]?.after ?? Number.POSITIVE_INFINITY) <= ticket) ready++;
      if (ready > 0) for (const query of waiting.splice(0, ready)) gather(query);
    },
    lost(error) {
      gone = error;
      for (const { reject } of [...sent.slice(sentFirst), ...gathered, ...waiting.splice(0)]) reject(error);
      gathered = [];
      sent.length = 0;
      sentFirst = 0;
      for (const resolve of whenDry.splice(0)) resolve();
    },
    dry() {
      if (sent.length + waiting.length + gathered.length === 0) return Promise.resolve();
      return new Promise((resolve) => {
        whenDry.push(resolve);
      });
    },
  };
}
