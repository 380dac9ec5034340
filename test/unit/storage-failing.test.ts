import { describe, expect } from "vitest";
import type { Storage } from "../../xmpp-core/storage/storage.ts";
import { items, manualClock, purge, putBody, putItem, test } from "./storage-fixture.ts";

function nextHealth(storage: Storage): Promise<string> {
  return new Promise((resolve) => {
    const stop = storage.onHealth((health) => {
      stop();
      resolve(health === "ok" ? "ok" : health.failing.code);
    });
  });
}

describe("a storage that cannot write", () => {
  test("fails every unit of the group, says so, goes on reading, and recovers by itself", async ({ open, clock }) => {
    let full = false;
    const storage = await open({ testing: { failWrites: () => full } });
    await storage.write([putItem.with(1, "before")]);
    full = true;
    const journal: string[] = [];
    storage.onCommitted((ticket, failed) => journal.push(`${failed ? "failed" : "on disk"} ${ticket}`));
    storage.commit([putItem.with(2, "a")], (error) => journal.push(`a: ${error.code}`));
    const ticket = storage.commit([putItem.with(3, "b")], (error) => journal.push(`b: ${error.code}`));
    await expect(storage.settled(ticket)).rejects.toMatchObject({
      code: "storage/failing",
      fields: { sqlite: "FULL" },
    });
    expect(journal).toEqual(["a: storage/failing", "b: storage/failing", "failed 2"]);
    expect(storage.committed).toBe(1);
    expect(storage.health).toMatchObject({ failing: { code: "storage/failing" }, since: clock.now() });

    await expect(storage.write([putItem.with(4, "c")])).rejects.toMatchObject({ code: "storage/failing" });
    await expect(storage.settled(ticket)).rejects.toMatchObject({ code: "storage/failing" });
    expect(await storage.read(items)).toEqual([{ id: 1, name: "before" }]);

    full = false;
    const recovered = nextHealth(storage);
    clock.advance(250);
    expect(await recovered).toBe("ok");
    await storage.write([putItem.with(5, "after")]);
    expect(await storage.read(items)).toEqual([
      { id: 1, name: "before" },
      { id: 5, name: "after" },
    ]);
  });

  test("is probed again and again, with growing pauses", async ({ directory, open }) => {
    let probes = 0;
    let attempted = () => {};
    const clock = manualClock();
    const storage = await open({
      path: `${directory}/probed.db`,
      clock,
      testing: {
        failWrites: () => {
          probes++;
          attempted();
          return probes < 5;
        },
      },
    });
    await expect(storage.write([putItem.with(1, "a")])).rejects.toMatchObject({ code: "storage/failing" });
    const pauses: number[] = [];
    for (let probe = 0; probe < 4; probe++) {
      const before = probes;
      let pause = 0;
      const seen = new Promise<void>((resolve) => {
        attempted = resolve;
      });
      for (; probes === before; pause += 50) clock.advance(50);
      await seen;
      if (probe < 3) for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
      pauses.push(pause);
    }
    expect(pauses).toEqual([250, 500, 1_000, 2_000]);
  });

  test("full for real (page limit): old rows stay, what fits after space was made is written", async ({
    open,
    clock,
  }) => {
    const storage = await open({ testing: { maxPages: 60 } });
    await storage.write([putItem.with(1, "small")]);
    const failed = nextHealth(storage);
    await expect(storage.write([putBody.with(2, "large", Buffer.alloc(400_000))])).rejects.toMatchObject({
      code: "storage/failing",
      fields: { sqlite: "FULL" },
    });
    expect(await failed).toBe("storage/failing");
    expect(await storage.read(items)).toEqual([{ id: 1, name: "small" }]);
    const recovered = nextHealth(storage);
    clock.advance(250);
    expect(await recovered).toBe("ok");
    await storage.write([putBody.with(3, "medium", Buffer.alloc(40_000))]);
    expect(await storage.read(items)).toHaveLength(2);
  });

  test("closes while it fails", async ({ open }) => {
    const storage = await open({ testing: { failWrites: () => true } });
    await expect(storage.write([putItem.with(1, "a")])).rejects.toMatchObject({ code: "storage/failing" });
    const failures: string[] = [];
    storage.commit([putItem.with(2, "b")], (error) => failures.push(error.code));
    await storage.close();
    expect(failures).toEqual(["storage/failing"]);
  });
});

describe("bulk work", () => {
  test("goes in slices, each a transaction, until nothing is left", async ({ open }) => {
    const storage = await open();
    for (let id = 0; id < 2_000; id++) storage.commit([putItem.with(id, `n${id}`)]);
    const slices: number[] = [];
    const total = await storage.bulk(async (step) => {
      let sum = 0;
      for (let changed = 1; changed > 0; sum += changed) {
        changed = await step((rows) => [purge.with(rows)]);
        slices.push(changed);
      }
      return sum;
    });
    expect(total).toBe(2_000);
    expect(slices.length).toBeGreaterThan(3);
    expect(await storage.read(items)).toEqual([]);
  });

  test("stands behind groups that wait, but not for ever", async ({ open }) => {
    const storage = await open();
    const order: string[] = [];
    let id = 1;
    const stop = storage.onCommitted((ticket) => {
      order.push(`group ${ticket}`);
      if (ticket < 40) storage.commit([putItem.with(++id, `n${id}`)]);
    });
    // Two chains keep one group waiting at any time.
    storage.commit([putItem.with(id, "n1")]);
    await new Promise(setImmediate);
    storage.commit([putItem.with(++id, `n${id}`)]);
    const step = storage.bulk((slice) => slice(() => [putItem.with(9_999, "slice")])).then(() => order.push("slice"));
    await step;
    await storage.settled(40);
    stop();
    const place = order.indexOf("slice");
    expect(place).toBeGreaterThanOrEqual(2);
    expect(place).toBeLessThan(40);
  });

  test("a faulty slice rejects and harms nothing else", async ({ open }) => {
    const storage = await open();
    await storage.write([putItem.with(1, "a")]);
    const faulty = storage.bulk((step) => step(() => [putItem.with(1, "again")]));
    await expect(faulty).rejects.toMatchObject({ code: "storage/statement-failed" });
    await storage.write([putItem.with(2, "b")]);
    expect(await storage.read(items)).toHaveLength(2);
  });
});

describe("snapshot", () => {
  test("holds everything committed before it, opens as a database, and is refused over an existing file", async ({
    open,
    directory,
  }) => {
    const storage = await open();
    for (let id = 0; id < 100; id++) storage.commit([putItem.with(id, `n${id}`)]);
    const copy = `${directory}/copy.db`;
    await storage.snapshot(copy);
    storage.commit([putItem.with(1_000, "later")]);
    const restored = await open({ path: copy });
    expect(await restored.read(items)).toHaveLength(100);
    await expect(storage.snapshot(copy)).rejects.toMatchObject({ code: "storage/snapshot-exists" });
    await expect(storage.snapshot(`${directory}/missing/copy.db`)).rejects.toMatchObject({
      code: "storage/snapshot-failed",
    });
    await storage.write([putItem.with(1_001, "still writes")]);
  });

  test("works from memory too", async ({ open, directory }) => {
    const storage = await open({ path: ":memory:" });
    await storage.write([putItem.with(1, "a")]);
    await storage.snapshot(`${directory}/copy.db`);
    const restored = await open({ path: `${directory}/copy.db` });
    expect(await restored.read(items)).toEqual([{ id: 1, name: "a" }]);
  });
});
