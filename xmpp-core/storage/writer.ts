import { type Database, isStorageFault, type SqlValue } from "./driver.ts";
import { statementFailed, storageFailing } from "./failure.ts";
import type { GroupMessage, GroupResult, PlainError } from "./messages.ts";
import { unpacker } from "./pack.ts";
import { type Known, statementsOf } from "./statements.ts";

export interface Writer {
  /** Runs the units of a group in one transaction. */
  group(message: GroupMessage): GroupResult;
  /** Proves that the storage takes writes again, with more than a page so that a nearly full disk does not pass. */
  probe(): GroupResult;
  /** Copies the log back into the database if enough has gathered. Called after the answer of a group has left. */
  checkpointIfDue(): void;
}

interface Call {
  readonly known: Known;
  readonly values: readonly SqlValue[];
}

// About 4 to 10 MiB of log: a checkpoint then takes some milliseconds.
const writesPerCheckpoint = 2_000;
const probeBytes = 64 * 1024;

export function writerOn(database: Database): Writer {
  const statements = statementsOf(database);
  const begin = database.prepare("BEGIN IMMEDIATE");
  const commit = database.prepare("COMMIT");
  const rollback = database.prepare("ROLLBACK");
  const savepoint = database.prepare("SAVEPOINT unit");
  const release = database.prepare("RELEASE unit");
  const undo = database.prepare("ROLLBACK TO unit");
  const none: readonly SqlValue[] = [];
  let writesSinceCheckpoint = 0;

  function abandon(): void {
    try {
      rollback.run(none);
    } catch {
      // SQLite has rolled back by itself, as it does after an I/O error or a full disk.
    }
  }

  function all(message: GroupMessage): number {
    const from = unpacker(message);
    const end = message.values.length;
    let changes = 0;
    begin.run(none);
    while (from.at < end) {
      const known = statements.next(from);
      changes += statements.prepared(known).run(statements.values(from));
      writesSinceCheckpoint++;
    }
    commit.run(none);
    return changes;
  }

  function decode(message: GroupMessage): Call[][] {
    const from = unpacker(message);
    return message.units.map((count) =>
      Array.from({ length: count }, () => ({ known: statements.next(from), values: [...statements.values(from)] })),
    );
  }

  /** Runs one unit inside the open transaction or alone; returns its failure, throws if the storage is at fault. */
  function unitFailure(calls: readonly Call[], open: () => void, close: () => void, back: () => void) {
    let sql = "";
    open();
    try {
      let changes = 0;
      for (const { known, values } of calls) {
        sql = known.sql;
        changes += statements.prepared(known).run(values);
      }
      close();
      return changes;
    } catch (error) {
      if (isStorageFault(error)) throw error;
      back();
      return statementFailed(error, sql);
    }
  }

  function oneByOne(units: readonly (readonly Call[])[], shared: boolean): GroupResult {
    const failed: { unit: number; error: PlainError }[] = [];
    let total = 0;
    const open = () => void (shared ? savepoint : begin).run(none);
    const close = () => void (shared ? release : commit).run(none);
    const back = () => {
      if (!shared) return abandon();
      undo.run(none);
      release.run(none);
    };
    if (shared) begin.run(none);
    units.forEach((calls, unit) => {
      const outcome = unitFailure(calls, open, close, back);
      if (typeof outcome === "number") total += outcome;
      else failed.push({ unit, error: outcome });
    });
    if (shared) commit.run(none);
    return failed.length === 0 ? total : { kind: "units-failed", changes: total, failed };
  }

  /** Finds the unit at fault: under savepoints first, and in transactions of their own if only COMMIT shows the fault (deferred constraints). */
  function isolate(message: GroupMessage): GroupResult {
    const units = decode(message);
    try {
      return oneByOne(units, true);
    } catch (error) {
      if (isStorageFault(error)) throw error;
      abandon();
      return oneByOne(units, false);
    }
  }

  function guarded(work: () => GroupResult): GroupResult {
    try {
      return work();
    } catch (error) {
      abandon();
      return { kind: "storage-failed", error: storageFailing(error) };
    }
  }

  return {
    group(message) {
      statements.learn(message.statements);
      try {
        return all(message);
      } catch (error) {
        abandon();
        if (isStorageFault(error)) return { kind: "storage-failed", error: storageFailing(error) };
        return guarded(() => isolate(message));
      }
    },
    probe: () =>
      guarded(() => {
        database.exec("BEGIN IMMEDIATE; CREATE TABLE storage_probe (filler BLOB)");
        database.prepare("INSERT INTO storage_probe VALUES (zeroblob(?))").run([probeBytes]);
        database.exec("COMMIT; DROP TABLE storage_probe");
        return 0;
      }),
    checkpointIfDue() {
      if (writesSinceCheckpoint < writesPerCheckpoint) return;
      writesSinceCheckpoint = 0;
      try {
        database.prepare("PRAGMA wal_checkpoint(PASSIVE)").rows([]);
      } catch {
        // A full disk shows at the next group, which reports it; the log keeps everything until then.
      }
    },
  };
}
