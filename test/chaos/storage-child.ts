import { writeSync } from "node:fs";
import { lockHome } from "../../xmpp-core/storage/home-lock.ts";
import { openStorage, read, write } from "../../xmpp-core/storage/storage.ts";

/**
 * A process for the storage tests to kill. `commit FILE full|normal COUNT` writes units of two rows, as fast as they go, and
 * prints the highest unit on disk after each group; `hold FILE` holds the lock of a home.
 */
const putRow = write<[unit: number, part: number, body: Uint8Array]>(
  "INSERT INTO row (unit, part, body) VALUES (?, ?, ?)",
);
const lastUnit = read<[], { last: number | null }>("SELECT max(unit) AS last FROM row");
const migrations = [
  {
    name: "0001_row",
    sql: "CREATE TABLE row (unit INTEGER, part INTEGER, body BLOB, PRIMARY KEY (unit, part)) STRICT",
  },
];

async function commitMany(path: string, synchronous: "full" | "normal", count: number): Promise<void> {
  const clock = { now: Date.now, after: () => () => {} };
  const storage = await openStorage({ path, synchronous, migrations, programVersion: "1.0.0", clock });
  const [before] = await storage.read(lastUnit);
  let unit = before?.last ?? 0;
  const end = unit + count;
  const lastOf = new Map<number, number>();
  let reported = unit;
  let onRoom = () => {};
  storage.onCommitted((ticket, failed) => {
    if (failed) throw new Error("the storage failed");
    reported = lastOf.get(ticket) ?? reported;
    writeSync(1, `${reported}\n`);
    lastOf.delete(ticket);
    onRoom();
  });
  while (unit < end) {
    for (let i = 0; i < 1 + (unit % 7); i++) {
      unit++;
      const body = Buffer.alloc(200, unit & 0xff);
      lastOf.set(storage.commit([putRow.with(unit, 1, body), putRow.with(unit, 2, body)]), unit);
    }
    await new Promise(setImmediate);
    // At most 20 units wait, so that 10,000 make at least 500 groups.
    while (unit - reported > 13) {
      await new Promise<void>((resolve) => {
        onRoom = resolve;
      });
    }
  }
  await storage.close();
  writeSync(1, "closed\n");
}

const [mode, file = "", synchronous, count] = process.argv.slice(2);
if (mode === "commit") await commitMany(file, synchronous === "normal" ? "normal" : "full", Number(count));
if (mode === "hold") {
  await lockHome(file, { pid: process.pid, since: Date.now(), version: "1.2.3" });
  writeSync(1, "held\n");
  setInterval(() => {}, 60_000);
}
