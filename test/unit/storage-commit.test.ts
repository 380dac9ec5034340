import { once } from "node:events";
import { join } from "node:path";
import { describe, expect } from "vitest";
import type { CodedError } from "../../xmpp-core/errors.ts";
import type { Storage, Ticket } from "../../xmpp-core/storage/storage.ts";
import { gate, itemNamed, items, putBody, putChild, putItem, test, transactionsIn } from "./storage-fixture.ts";

function journalOf(storage: Storage): string[] {
  const journal: string[] = [];
  storage.onCommitted((ticket, failed) => journal.push(`${failed ? "failed" : "on disk"} ${ticket}`));
  return journal;
}

function noting(journal: string[], name: string) {
  return (error: CodedError) => void journal.push(`${name}: ${error.code}`);
}

const names = (rows: readonly { name: string }[]) => rows.map((row) => row.name);

describe.each(["core.db", ":memory:"])("group commit in %s", (file) => {
  const options = (directory: string) => ({ path: file === ":memory:" ? file : join(directory, file) });

  test("commits of one synchronous stretch share a group, the next stretch has the next", async ({
    open,
    directory,
  }) => {
    const storage = await open(options(directory));
    const journal = journalOf(storage);
    const tickets = [1, 2, 3].map((id) => storage.commit([putItem.with(id, `a${id}`)]));
    expect(tickets).toEqual([1, 1, 1]);
    expect(storage.committed).toBe(0);
    await storage.settled(1);
    expect(storage.committed).toBe(1);
    expect(storage.commit([putItem.with(4, "b")])).toBe(2);
    await storage.settled(2);
    expect(journal).toEqual(["on disk 1", "on disk 2"]);
    expect(names(await storage.read(items))).toEqual(["a1", "a2", "a3", "b"]);
  });

  test("what comes while a group is under way gathers into one next group", async ({ open, directory }) => {
    const held = gate();
    const storage = await open({ ...options(directory), testing: held });
    const journal = journalOf(storage);
    storage.commit([putItem.with(1, "first")]);
    const tickets: Ticket[] = [];
    for (let id = 2; id < 50; id++) {
      await new Promise(setImmediate);
      tickets.push(storage.commit([putItem.with(id, `n${id}`)]));
    }
    expect(new Set(tickets)).toEqual(new Set([2]));
    expect(journal).toEqual([]);
    held.open();
    await storage.settled(2);
    expect(journal).toEqual(["on disk 1", "on disk 2"]);
    expect(await storage.read(items)).toHaveLength(49);
  });

  test("a read sees everything committed before it", async ({ open, directory }) => {
    const storage = await open(options(directory));
    for (let id = 1; id <= 100; id++) {
      storage.commit([putItem.with(id, `n${id}`)]);
      expect(await storage.read(itemNamed, `n${id}`)).toMatchObject([{ id }]);
    }
  });

  test("a read waits for a group that is held back, a read before the commit does not", async ({ open, directory }) => {
    const held = gate();
    const storage = await open({ ...options(directory), testing: held });
    const order: string[] = [];
    const before = storage.read(items).then((rows) => order.push(`before: ${rows.length}`));
    storage.commit([putItem.with(1, "a")]);
    const after = storage.read(items).then((rows) => order.push(`after: ${rows.length}`));
    await before;
    held.open();
    await after;
    expect(order).toEqual(["before: 0", "after: 1"]);
  });

  test("a unit that breaks a constraint fails alone and whole, the others of its group are written in order", async ({
    open,
    directory,
  }) => {
    const storage = await open(options(directory));
    const journal = journalOf(storage);
    storage.commit([putItem.with(1, "a")], noting(journal, "a"));
    storage.commit([putItem.with(2, "half"), putItem.with(3, "a")], noting(journal, "taken name"));
    storage.commit([putItem.with(4, "c")], noting(journal, "c"));
    storage.commit([putItem.with(5, "d"), putBody.with(6, "e", Buffer.from("body"))], noting(journal, "d"));
    await storage.settled(1);
    expect(journal).toEqual(["taken name: storage/statement-failed", "on disk 1"]);
    expect(names(await storage.read(items))).toEqual(["a", "c", "d", "e"]);
    const [row] = await storage.read(itemNamed, "e");
    expect(Buffer.from(row?.body ?? []).toString()).toBe("body");
    expect(storage.health).toBe("ok");
  });

  test("a unit whose fault shows only at COMMIT (deferred constraint) fails alone too", async ({ open, directory }) => {
    const storage = await open(options(directory));
    const journal = journalOf(storage);
    storage.commit([putItem.with(1, "a")], noting(journal, "a"));
    storage.commit([putChild.with(2, "orphan", 99)], noting(journal, "orphan"));
    storage.commit([putChild.with(3, "child", 1)], noting(journal, "child"));
    await storage.settled(1);
    expect(journal).toEqual(["orphan: storage/statement-failed", "on disk 1"]);
    expect(names(await storage.read(items))).toEqual(["a", "child"]);
  });

  test("write() rejects with the failure of its own unit only", async ({ open, directory }) => {
    const storage = await open(options(directory));
    const good = storage.write([putItem.with(1, "a")]);
    const bad = storage.write([putItem.with(1, "b")]);
    await good;
    await expect(bad).rejects.toMatchObject({ code: "storage/statement-failed", fields: { sqlite: "CONSTRAINT" } });
  });

  test("a value SQLite cannot take is refused at once and does not tear the group", async ({ open, directory }) => {
    const storage = await open(options(directory));
    storage.commit([putBody.with(1, "a", Buffer.from("one"))]);
    const wrong = true as unknown as null;
    expect(() => storage.commit([putBody.with(2, "b", Buffer.from("two")), putBody.with(3, "c", wrong)])).toThrow(
      TypeError,
    );
    storage.commit([putBody.with(4, "d", Buffer.from("four"))]);
    await storage.settled(1);
    expect(names(await storage.read(items))).toEqual(["a", "d"]);
    const [row] = await storage.read(itemNamed, "d");
    expect(Buffer.from(row?.body ?? []).toString()).toBe("four");
  });
});

test("a group is one transaction, whatever number of units it has", async ({ open, directory }) => {
  const storage = await open();
  const log = join(directory, "core.db-wal");
  const before = transactionsIn(log);
  for (let id = 0; id < 500; id++) storage.commit([putItem.with(id, `a${id}`)]);
  await storage.settled(1);
  expect(transactionsIn(log) - before).toBe(1);
  storage.commit([putItem.with(1000, "b")]);
  await storage.settled(2);
  expect(transactionsIn(log) - before).toBe(2);
});

test("bytes are copied when committed, so the caller may reuse its buffer", async ({ open }) => {
  const storage = await open();
  const buffer = Buffer.from("first");
  storage.commit([putBody.with(1, "a", buffer)]);
  buffer.write("other");
  const [row] = await storage.read(itemNamed, "a");
  expect(Buffer.from(row?.body ?? []).toString()).toBe("first");
});

test("bodies of every size around the packing block keep their bytes and their order", async ({ open }) => {
  const storage = await open();
  const sizes = [0, 1, 16_383, 16_384, 16_385, 40_000, 0, 3, 1_000_000];
  sizes.forEach((size, id) => {
    storage.commit([putBody.with(id, `n${id}`, Buffer.alloc(size, id + 1))]);
  });
  for (const [id, size] of sizes.entries()) {
    const [row] = await storage.read(itemNamed, `n${id}`);
    expect(Buffer.compare(row?.body ?? Buffer.from("?"), Buffer.alloc(size, id + 1))).toBe(0);
  }
});

test("too much waiting makes it congested, relief comes once", async ({ open }) => {
  const held = gate();
  const storage = await open({ bound: { writes: 10, bytes: 1_000_000 }, testing: held });
  let reliefs = 0;
  storage.onRelief(() => reliefs++);
  for (let id = 1; id <= 10; id++) storage.commit([putItem.with(id, `n${id}`)]);
  expect(storage.congested).toBe(false);
  storage.commit([putItem.with(11, "n11")]);
  expect(storage.congested).toBe(true);
  held.open();
  await storage.settled(1);
  expect(storage.congested).toBe(false);
  storage.commit([putItem.with(12, "n12")]);
  await storage.settled(2);
  expect(reliefs).toBe(1);
});

test("bytes alone make it congested as well", async ({ open }) => {
  const held = gate();
  const storage = await open({ bound: { writes: 100, bytes: 1_000 }, testing: held });
  storage.commit([putBody.with(1, "a", Buffer.alloc(1_100))]);
  expect(storage.congested).toBe(true);
  held.open();
});

test("a listener that throws does not keep the others from being told", async ({ open }) => {
  const storage = await open();
  const stop = storage.onCommitted(() => {
    throw new Error("from a listener");
  });
  const journal = journalOf(storage);
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  const thrown = once(process, "uncaughtException");
  storage.commit([putItem.with(1, "a")]);
  expect(String((await thrown)[0])).toContain("from a listener");
  for (const listener of before) process.on("uncaughtException", listener);
  await storage.settled(1);
  expect(journal).toEqual(["on disk 1"]);
  stop();
});

test("close lets everything run dry and refuses what comes later", async ({ open }) => {
  const held = gate();
  const storage = await open({ testing: held });
  const journal = journalOf(storage);
  storage.commit([putItem.with(1, "a")]);
  await new Promise(setImmediate);
  storage.commit([putItem.with(2, "b")]);
  const rows = storage.read(items);
  const closed = storage.close();
  expect(() => storage.commit([putItem.with(3, "c")])).toThrow("closed");
  held.open();
  await closed;
  expect(journal).toEqual(["on disk 1", "on disk 2"]);
  expect(names(await rows)).toEqual(["a", "b"]);
  const again = await open();
  expect(names(await again.read(items))).toEqual(["a", "b"]);
});
