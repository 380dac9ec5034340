import { expect, test } from "vitest";
import { CodedError } from "../../xmpp-core/errors.ts";
import { pipelineTo } from "../../xmpp-core/storage/pipeline.ts";
import { queriesTo } from "../../xmpp-core/storage/queries.ts";
import type { Thread } from "../../xmpp-core/storage/thread.ts";
import { items, manualClock, putItem } from "./storage-fixture.ts";

/** A thread that never answers, as one that has died: nothing from outside can kill the real one. */
const dead: Thread = { post() {}, ask: async () => {}, onGroup() {}, onRows() {}, close: async () => {} };
const lost = new CodedError("storage/thread-lost", "A storage thread ended.");

test("when the writer thread dies, the group it had and what gathered behind it fail, and closing ends", async () => {
  const pipeline = pipelineTo(dead, { clock: manualClock(), bound: { writes: 10, bytes: 1_000 }, testing: {} });
  const failures: string[] = [];
  const journal: unknown[] = [];
  pipeline.onCommitted((ticket, failed) => journal.push([ticket, failed]));
  pipeline.commit([putItem.with(1, "sent")], (error) => failures.push(error.code));
  await new Promise(setImmediate);
  pipeline.commit([putItem.with(2, "gathered")], (error) => failures.push(error.code));
  const step = pipeline.step(() => [putItem.with(3, "slice")]);
  pipeline.lost(lost);
  await expect(step).rejects.toMatchObject({ code: "storage/thread-lost" });
  await pipeline.runDry();
  expect(failures).toEqual(["storage/thread-lost", "storage/thread-lost"]);
  expect(journal).toEqual([
    [1, true],
    [2, true],
  ]);
  expect(pipeline.health).toMatchObject({ failing: { code: "storage/thread-lost" } });
});

test("when the reader thread dies, its queries and later ones are rejected", async () => {
  const queries = queriesTo(dead, () => 0);
  const sent = queries.run(items, [], 0);
  const waiting = queries.run(items, [], 1);
  await Promise.resolve();
  queries.lost(lost);
  const outcomes = await Promise.allSettled([sent, waiting, queries.run(items, [], 0)]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual(["rejected", "rejected", "rejected"]);
  await queries.dry();
});
