import { existsSync } from "node:fs";
import { resolve as absolute } from "node:path";
import { CodedError } from "../errors.ts";
import type { Storage, StorageOptions, Ticket } from "./contract.ts";
import { closedError } from "./failure.ts";
import type { OpenMessage } from "./messages.ts";
import { pipelineTo } from "./pipeline.ts";
import { queriesTo } from "./queries.ts";
import { settledTickets } from "./settled.ts";
import type { SqlValue } from "./statement.ts";
import { startThread } from "./thread.ts";

const ordinaryBound = { writes: 20_000, bytes: 8 * 1024 * 1024 };

/** Starts the threads and joins pipeline and queries to one storage. */
export async function assembleStorage(options: StorageOptions): Promise<Storage> {
  const inMemory = options.path === ":memory:";
  const path = inMemory ? options.path : absolute(options.path);
  const testing = options.testing ?? {};
  const message = (role: OpenMessage["role"]): OpenMessage => ({
    kind: "open",
    path,
    role,
    synchronous: options.synchronous ?? "full",
    migrations: options.migrations,
    programVersion: options.programVersion,
    nowMs: options.clock.now(),
    maxPages: testing.maxPages,
  });
  // A thread that dies while it opens rejects what it was asked; only later is there more to tell.
  let onLost = (_error: CodedError): void => {};
  const lost = (error: CodedError) => onLost(error);
  // Only its own connection sees an in-memory database, so one thread does both there.
  const writer = startThread(lost);
  const reader = inMemory ? writer : startThread(lost);
  try {
    await writer.ask(message(inMemory ? "both" : "writer"));
    if (!inMemory) await reader.ask(message("reader"));
  } catch (error) {
    await writer.close();
    if (!inMemory) await reader.close();
    throw error;
  }

  const pipeline = pipelineTo(writer, { clock: options.clock, bound: options.bound ?? ordinaryBound, testing });
  const queries = queriesTo(reader, () => pipeline.decided);
  const tickets = settledTickets(() => pipeline.decided);
  onLost = (error) => {
    pipeline.lost(error);
    queries.lost(error);
    if (options.onLost === undefined) throw error;
    options.onLost(error);
  };
  pipeline.onCommitted((ticket, failed) => {
    tickets.decided(ticket, failed, pipeline.health);
    queries.decided(ticket);
  });

  async function closeAll(): Promise<void> {
    await pipeline.runDry();
    await queries.dry();
    if (!inMemory) await reader.close();
    await writer.close();
  }
  let closed: Promise<void> | undefined;

  const settled = (ticket: Ticket) => tickets.settled(ticket);
  return {
    commit: pipeline.commit,
    get committed() {
      return pipeline.committed;
    },
    onCommitted: pipeline.onCommitted,
    settled,
    write: (unit) =>
      new Promise((resolve, reject) => {
        // A refused unit is told before its group is settled, so the rejection comes first.
        settled(pipeline.commit(unit, reject)).then(resolve, reject);
      }),
    read: <R>(statement: { id: number; sql: string }, ...params: readonly SqlValue[]) =>
      closed === undefined
        ? (queries.run(statement, params, pipeline.latest) as Promise<R[]>)
        : Promise.reject(closedError()),
    get congested() {
      return pipeline.congested;
    },
    onRelief: pipeline.onRelief,
    get health() {
      return pipeline.health;
    },
    onHealth: pipeline.onHealth,
    bulk: (job) => job(pipeline.step),
    async snapshot(into) {
      refuseExisting(into);
      // What has failed is not in the copy, but a failing storage can still be copied.
      await settled(pipeline.latest).catch(() => {});
      if (inMemory) return writer.ask({ kind: "snapshot", into });
      // A thread of its own: a copy of gigabytes must hold up neither readers nor the writer.
      const copier = startThread(() => {});
      try {
        await copier.ask(message("snapshot"));
        await copier.ask({ kind: "snapshot", into });
      } finally {
        await copier.close();
      }
    },
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}

function refuseExisting(file: string): void {
  if (!existsSync(file)) return;
  throw new CodedError("storage/snapshot-exists", `The copy ${file} exists already.`, {
    fields: { file },
    hint: "Name another file; a copy is never overwritten.",
  });
}
