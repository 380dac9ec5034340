import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Database, type Driver, isStorageFault, loadDriver, sqliteCode } from "../../xmpp-core/storage/driver.ts";

/** The contract of both drivers; each runs where this Node has it. */
const drivers = (["node:sqlite", "better-sqlite3"] as const).flatMap((name): Driver[] => {
  try {
    const driver = loadDriver(name);
    driver.open(":memory:").close();
    return [driver];
  } catch {
    return [];
  }
});

test("this Node has the driver that the program would choose", () => {
  expect(drivers.map((driver) => driver.name)).toContain(loadDriver().name);
});

describe.each(drivers)("$name", ({ open }) => {
  let directory: string;
  let file: string;
  let database: Database;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "storage-driver-"));
    file = join(directory, "a.db");
    database = open(file);
    database.exec("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB) STRICT");
  });
  afterEach(() => {
    database.close();
    rmSync(directory, { recursive: true });
  });

  function failure(work: () => unknown): unknown {
    try {
      work();
    } catch (error) {
      return error;
    }
    throw new Error("nothing was thrown");
  }

  test("rows are arrays in the order of the columns", () => {
    database.prepare("INSERT INTO item VALUES (?, ?, ?)").run([7, "é€😀", null]);
    const statement = database.prepare("SELECT name, id, body, id AS again FROM item");
    expect(statement.columns).toEqual(["name", "id", "body", "again"]);
    expect(statement.rows([])).toEqual([["é€😀", 7, null, 7]]);
  });

  test("run counts the rows it changed, a statement without rows yields none", () => {
    const insert = database.prepare("INSERT INTO item (name) VALUES (?), (?)");
    expect(insert.columns).toEqual([]);
    expect(insert.run(["a", "b"])).toBe(2);
    expect(database.prepare("UPDATE item SET body = x'00' WHERE name = ?").run(["nobody"])).toBe(0);
    expect(insert.rows(["c", "d"])).toEqual([]);
  });

  test("integers are exact up to 2^53, given as number or bigint", () => {
    const { MAX_SAFE_INTEGER: largest } = Number;
    const insert = database.prepare("INSERT INTO item (id) VALUES (?)");
    insert.run([largest]);
    insert.run([BigInt(-largest)]);
    expect(database.prepare("SELECT id FROM item ORDER BY id").rows([])).toEqual([[-largest], [largest]]);
  });

  test("blobs keep their bytes, also from a view into a larger buffer, also empty", () => {
    const larger = Buffer.from([9, 9, 0, 255, 60, 9]);
    const insert = database.prepare("INSERT INTO item (id, body) VALUES (?, ?)");
    insert.run([1, larger.subarray(2, 5)]);
    insert.run([2, new Uint8Array(0)]);
    const [[first], [second]] = database.prepare("SELECT body FROM item ORDER BY id").rows([]) as [
      [Uint8Array],
      [Uint8Array],
    ];
    expect(first).toBeInstanceOf(Uint8Array);
    expect([...first]).toEqual([0, 255, 60]);
    expect(second.byteLength).toBe(0);
    expect(database.prepare("SELECT typeof(body) FROM item").rows([])).toEqual([["blob"], ["blob"]]);
  });

  test("foreign keys are on", () => {
    expect(database.prepare("PRAGMA foreign_keys").rows([])).toEqual([[1]]);
  });

  test("a broken constraint or a faulty text is the statement's fault, not the storage's", () => {
    const insert = database.prepare("INSERT INTO item (name) VALUES (?)");
    insert.run(["a"]);
    const twice = failure(() => insert.run(["a"]));
    expect(sqliteCode(twice)).toBe("CONSTRAINT");
    expect(isStorageFault(twice)).toBe(false);
    const syntax = failure(() => database.prepare("SELEKT 1"));
    expect(sqliteCode(syntax)).toBe("ERROR");
    expect(isStorageFault(syntax)).toBe(false);
    expect(isStorageFault(failure(() => insert.run(["a", "b"])))).toBe(false);
  });

  test("a full database, a held lock and a file that is no database are the storage's fault", () => {
    database.exec("PRAGMA max_page_count = 4");
    const full = failure(() => database.prepare("INSERT INTO item (body) VALUES (zeroblob(?))").run([100_000]));
    expect(sqliteCode(full)).toBe("FULL");
    expect(isStorageFault(full)).toBe(true);

    database.exec("BEGIN EXCLUSIVE");
    const second = open(file);
    const busy = failure(() => second.exec("BEGIN EXCLUSIVE"));
    second.close();
    database.exec("COMMIT");
    expect(sqliteCode(busy)).toBe("BUSY");
    expect(isStorageFault(busy)).toBe(true);

    const rubbish = join(directory, "rubbish.db");
    writeFileSync(rubbish, "this is not a database, and long enough to be looked at".repeat(20));
    const third = open(rubbish);
    expect(sqliteCode(failure(() => third.prepare("SELECT * FROM sqlite_schema").rows([])))).toBe("NOTADB");
    third.close();
  });
});
