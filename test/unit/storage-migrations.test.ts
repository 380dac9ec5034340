import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { read } from "../../xmpp-core/storage/storage.ts";
import { items, itemTable, putItem, test } from "./storage-fixture.ts";

const applied = read<[], { name: string; applied_at: number; program_version: string }>(
  "SELECT name, applied_at, program_version FROM migration ORDER BY name",
);
const addColumn = {
  name: "0002_item-note",
  sql: "ALTER TABLE item ADD COLUMN note TEXT; UPDATE item SET note = 'old'",
};
const faulty = { name: "0003_faulty", sql: "CREATE TABLE fine (id INTEGER); INSERT INTO missing VALUES (1)" };
const noted = read<[], { name: string; note: string }>("SELECT name, note FROM item");

describe("migrations", () => {
  test("run once, in the order of their names, and are recorded with the program's version", async ({
    open,
    clock,
  }) => {
    const first = await open({ migrations: [addColumn, itemTable], programVersion: "1.2.3" });
    await first.close();
    const second = await open({ migrations: [itemTable, addColumn], programVersion: "1.3.0" });
    expect(await second.read(applied)).toEqual([
      { name: "0001_item", applied_at: clock.now(), program_version: "1.2.3" },
      { name: "0002_item-note", applied_at: clock.now(), program_version: "1.2.3" },
    ]);
  });

  test("a copy of the database is made before the first pending one, none on a fresh start", async ({
    open,
    directory,
  }) => {
    const old = await open();
    await old.write([putItem.with(1, "a")]);
    await old.close();
    const copy = join(directory, "core.db.before-0002_item-note");
    expect(existsSync(join(directory, "core.db.before-0001_item"))).toBe(false);

    const fresh = await open({ migrations: [itemTable, addColumn] });
    expect(await fresh.read(noted)).toEqual([{ name: "a", note: "old" }]);
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    const former = await open({ path: copy });
    expect(await former.read(items)).toEqual([{ id: 1, name: "a" }]);
    await expect(former.read(noted)).rejects.toMatchObject({ code: "storage/read-failed" });
  });

  test("a faulty one leaves the database as it was before it", async ({ open }) => {
    const old = await open({ migrations: [itemTable, addColumn] });
    await old.write([putItem.with(1, "a")]);
    await old.close();
    await expect(open({ migrations: [itemTable, addColumn, faulty] })).rejects.toMatchObject({
      code: "storage/migration-failed",
      fields: { migration: "0003_faulty" },
    });
    // The program before goes on even if others of the same upgrade were sound.
    const between = { name: "0003_before-it", sql: "CREATE TABLE fine (id INTEGER)" };
    const last = { ...faulty, name: "0004_faulty" };
    await expect(open({ migrations: [itemTable, addColumn, between, last] })).rejects.toMatchObject({
      fields: { migration: "0004_faulty" },
    });
    const again = await open({ migrations: [itemTable, addColumn] });
    expect(await again.read(items)).toEqual([{ id: 1, name: "a" }]);
    const tables = read<[], { name: string }>("SELECT name FROM sqlite_schema WHERE name = 'fine'");
    expect(await again.read(tables)).toEqual([]);
  });

  test("one that breaks foreign keys is refused", async ({ open }) => {
    const orphan = { name: "0002_orphan", sql: "INSERT INTO item (id, name, parent) VALUES (1, 'a', 99)" };
    await expect(open({ migrations: [itemTable, orphan] })).rejects.toMatchObject({ code: "storage/migration-failed" });
  });

  test("a database newer than the program is refused with the way out, and not touched", async ({
    open,
    directory,
  }) => {
    const file = join(directory, "core.db");
    await (await open({ programVersion: "1.0.0" })).close();
    await (await open({ migrations: [itemTable, addColumn], programVersion: "2.0.0" })).close();
    const before = readFileSync(file);
    const refused = await open({ programVersion: "1.0.0" }).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      code: "storage/newer-than-program",
      fields: { file, databaseVersion: "2.0.0", programVersion: "1.0.0", migration: "0002_item-note" },
    });
    expect(String((refused as { hint: string }).hint)).toContain("core.db.before-0002_item-note");
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test("one that comes too late, a name used twice and a malformed name are mistakes of the program", async ({
    open,
  }) => {
    await (await open({ migrations: [itemTable, { ...addColumn, name: "0003_item-note" }] })).close();
    const late = [itemTable, { name: "0002_late", sql: "SELECT 1" }, { ...addColumn, name: "0003_item-note" }];
    await expect(open({ migrations: late })).rejects.toMatchObject({ code: "storage/migration-order" });
    await expect(open({ migrations: [itemTable, itemTable] })).rejects.toMatchObject({
      code: "storage/migration-name",
    });
    await expect(open({ migrations: [{ name: "roster", sql: "" }] })).rejects.toMatchObject({
      code: "storage/migration-name",
    });
  });
});

describe("opening", () => {
  test("the file and its side files are readable by their owner only; the journal is a log, synced in full", async ({
    open,
    directory,
  }) => {
    const storage = await open();
    await storage.write([putItem.with(1, "a")]);
    for (const name of ["core.db", "core.db-wal", "core.db-shm"]) {
      expect([name, statSync(join(directory, name)).mode & 0o777]).toEqual([name, 0o600]);
    }
    const database = loadDriver().open(join(directory, "core.db"));
    expect(database.prepare("PRAGMA journal_mode").rows([])).toEqual([["wal"]]);
    database.close();
  });

  test("a file that is no database is named and stays as it is", async ({ open, directory }) => {
    const file = join(directory, "core.db");
    const rubbish = "not a database at all, only text".repeat(100);
    writeFileSync(file, rubbish);
    await expect(open()).rejects.toMatchObject({ code: "storage/damaged", fields: { file } });
    expect(readFileSync(file, "utf8")).toBe(rubbish);
  });

  test("a database with a torn schema page is named", async ({ open, directory }) => {
    const file = join(directory, "core.db");
    await (await open()).close();
    const bytes = readFileSync(file);
    bytes.fill(0xff, 100, 4096);
    writeFileSync(file, bytes);
    await expect(open()).rejects.toMatchObject({ code: "storage/damaged", fields: { file } });
  });

  test("a directory that does not exist is named", async ({ open, directory }) => {
    const file = join(directory, "missing", "core.db");
    await expect(open({ path: file })).rejects.toMatchObject({ code: "storage/unreadable", fields: { file } });
  });
});
