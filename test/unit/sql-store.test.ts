/** What the file and the URL of a database store may say, and how rows are read; the databases themselves are in test/stores. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readFlag, readList, readText } from "../../agent/store/sql/cells.ts";
import { parseSqlConfig, readSqlConfig } from "../../agent/store/sql/config.ts";
import { statementOf } from "../../agent/store/sql/parts.ts";
import { describePlace, sqlPlace } from "../../agent/store/sql/place.ts";
import { newMemo, recordsOfTables } from "../../agent/store/sql/rows.ts";
import { watchDatabase } from "../../agent/store/sql/watching.ts";
import { bindNames } from "../../agent/store/sql/write-password.ts";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-sql-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    const { code, message, hint } = error as { code: string; message: string; hint: string };
    return `${code}: ${message} ${hint}`;
  }
  return "nothing was refused";
};

describe("the URL", () => {
  test.each([
    [
      "postgres://fk@db.example.org/pbx",
      { kind: "postgres", host: "db.example.org", port: 5432, user: "fk", database: "pbx" },
      "PostgreSQL at db.example.org/pbx",
    ],
    [
      "postgresql://fk:s%40crt@[2001:db8::1]:5433/my%20pbx",
      { host: "2001:db8::1", port: 5433, password: "s@crt", database: "my pbx" },
      "PostgreSQL at [2001:db8::1]:5433/my pbx",
    ],
    ["mysql://fk:x@10.0.0.7:3307/pbx", { kind: "mysql", port: 3307, password: "x" }, "MariaDB at 10.0.0.7:3307/pbx"],
    [
      "mariadb://fk@localhost/pbx?socket=/run/mysqld/mysqld.sock",
      { kind: "mysql", socket: "/run/mysqld/mysqld.sock" },
      "MariaDB at /run/mysqld/mysqld.sock/pbx",
    ],
  ])("%s", (url, place, described) => {
    expect(sqlPlace(url)).toMatchObject(place);
    expect(describePlace(sqlPlace(url))).toBe(described);
  });

  test.each([
    ["postgres://fk:hunter2@db", "names no database"],
    ["postgres://fk:hunter2@db:port/pbx", "cannot be read"],
    ["postgres://fk:hunter2%@db/pbx", "encodes nothing"],
    ["postgres://fk:hunter2@db/pbx?sslmode=disable", "sslmode, which means nothing. TLS"],
    ["postgres://fk:hunter2@db/pbx?sockt=/run", "Did you mean socket?"],
  ])("%s is refused without its password", (url, says) => {
    expect(refusal(() => sqlPlace(url))).toMatch(/^store\/config/);
    expect(refusal(() => sqlPlace(url))).toContain(says);
    expect(refusal(() => sqlPlace(url))).not.toContain("hunter2");
  });
});

describe("the file", () => {
  test.each([
    ["pasword: hunter2", "pasword means nothing. Did you mean password?"],
    ["users: { tabel: x }", "users.tabel means nothing. Did you mean table?"],
    ["users: { table: x, columns: { emial: y } }", "users.columns.emial means nothing. Did you mean email?"],
    ["tls: { moed: verify }", "tls.moed means nothing. Did you mean mode?"],
    ["writePassword: { query: x, hash: bcrypt, hsh: y }", "writePassword.hsh means nothing. Did you mean hash?"],
    ["tls: maybe", "tls must be verify, encrypt or off"],
    ["users: { table: x, query: y }", "either table (with columns) or query"],
    ["users: {}", "either table (with columns) or query"],
    ["users: { query: x, columns: { name: y } }", "query without columns"],
    ["settings: { table: x }", "users must be there"],
    ["pollMs: soon", "pollMs must be a number of milliseconds"],
    ["pollMs: 1", "pollMs must be 100 ms or more"],
    ["writePassword: { query: x, hash: md5 }", "writePassword.hash must be one of bcrypt, sha512-crypt, scram, clear"],
    ["- a list", "the file must be"],
    ["password: 'hunter2", "neither YAML nor JSON at line 1"],
  ])("%s is refused", (text, says) => {
    expect(refusal(() => parseSqlConfig(text, "store.yaml"))).toMatch(/^store\/config: store.yaml/);
    expect(refusal(() => parseSqlConfig(text, "store.yaml"))).toContain(says);
    expect(refusal(() => parseSqlConfig(text, "store.yaml"))).not.toContain("hunter2");
  });

  const read = async (url: string, text?: string, mode = 0o600) => {
    const config = join(home, "store.yaml");
    await rm(config, { force: true });
    if (text !== undefined) await writeFile(config, text, { mode });
    return readSqlConfig({ at: url, config: text === undefined ? undefined : config });
  };

  test("without one, our own tables are read, listened to and polled", async () => {
    const own = await read("postgres://fk@localhost/pbx");
    expect(own).toMatchObject({ channel: "xmpp_change", pollMs: 10_000, tls: { mode: "off" }, warnings: [] });
    expect(Object.keys(own.parts)).toHaveLength(7);
    expect(await read("mysql://fk@localhost/pbx")).toMatchObject({ channel: undefined, pollMs: 2_000 });
    expect(await read("mysql://fk@localhost/pbx", "users: { table: u }")).toMatchObject({
      changeQuery: undefined,
      parts: { users: {} },
    });
  });

  test("to another machine only with TLS that is verified, unless the file says otherwise, which is told", async () => {
    expect(await read("postgres://fk@db/pbx")).toMatchObject({ tls: { mode: "verify" }, warnings: [] });
    expect(await read("postgres://fk@db/pbx", "tls: off")).toMatchObject({
      tls: { mode: "off" },
      warnings: [{ code: "store/weak-tls", message: expect.stringContaining("in clear") }],
    });
    expect((await read("mysql://fk@db/pbx", "tls: encrypt")).warnings).toMatchObject([{ code: "store/weak-tls" }]);
    expect((await read("mysql://fk@127.0.0.1/pbx", "tls: off")).warnings).toEqual([]);
    await expect(read("postgres://fk@db/pbx", "tls: { ca: none.pem }")).rejects.toMatchObject({ code: "store/config" });
  });

  test("the password has one place; its file is read at each connect; a readable one is told", async () => {
    await expect(read("postgres://fk:a@db/pbx", "password: b")).rejects.toThrow("given twice");
    await writeFile(join(home, "secret"), "one\n");
    const { password } = await read("postgres://fk@db/pbx", "passwordFile: secret");
    expect(await password()).toBe("one");
    await writeFile(join(home, "secret"), "two\n");
    expect(await password()).toBe("two");
    expect((await read("postgres://fk@db/pbx", "password: x", 0o644)).warnings).toMatchObject([
      { code: "store/readable-secret" },
    ]);
  });
});

test("identifiers are quoted, whatever they are", () => {
  const source = { table: ["a", 'b"; DROP TABLE x; --'], columns: { name: 'n"', email: "mail" } };
  expect(statementOf("users", source, (name) => `"${name.replaceAll('"', '""')}"`)).toBe(
    'SELECT "n""" AS "name", "mail" AS "email" FROM "a"."b""; DROP TABLE x; --"',
  );
});

test("names in the statement for passwords become placeholders, but not in texts, comments and casts", () => {
  const query = `UPDATE u SET p = :hash::text, "a:name" = ':hash' -- :nobody\n /* :nobody */ WHERE n = :name AND m = :name`;
  const bound = bindNames(query, "bcrypt", (index) => `$${index}`);
  expect(bound.text).toBe(
    `UPDATE u SET p = $1::text, "a:name" = ':hash' -- :nobody\n /* :nobody */ WHERE n = $2 AND m = $3`,
  );
  expect(bound.names).toEqual(["hash", "name", "name"]);
  const refused = (text: string) => refusal(() => bindNames(text, "bcrypt", () => "?"));
  expect(refused("UPDATE u SET p = :hsh WHERE n = :name")).toContain("Did you mean :hash?");
  expect(refused("UPDATE u SET p = :hash")).toContain("must have :name");
  expect(refused("UPDATE u SET p = :password WHERE n = :name")).toContain(":password, which means nothing");
});

describe("cells", () => {
  test.each([
    [null, undefined, undefined, undefined],
    ["x", "x", undefined, ["x"]],
    [1, "1", true, ["1"]],
    [false, "false", false, ["false"]],
    ["YES ", "YES ", true, ["YES"]],
    [Buffer.from([0]), "\0", false, ["\0"]],
    [Buffer.from([0xff, 0xfe]), null, undefined, null],
    [new Date(0), null, undefined, null],
    ["a, b  c", "a, b  c", undefined, ["a", "b", "c"]],
    ['["a b"]', '["a b"]', undefined, ["a b"]],
    ["[a", "[a", undefined, null],
    [["a", null], null, undefined, null],
  ])("%j", (cell, text, flag, list) => {
    expect(readText(cell)).toBe(text);
    expect(readFlag(cell)).toBe(flag);
    expect(readList(cell, "several")).toEqual(list);
  });
});

test("a key that is none, and a source that is none, are refused by row and column, without the value", () => {
  const users = (column: string, value: string) =>
    refusal(() =>
      recordsOfTables(
        { users: { columns: ["name", column], rows: [["alice", value]] } },
        { users: { query: "…" } },
        "here",
      ),
    );
  expect(users("scram_sha256", "hunter2")).toContain(
    "here: in the query of users, the row of alice, the column credentials must be SCRAM keys",
  );
  expect(users("password_from", "hunter2")).toContain("the column passwordFrom must be one of store, ldap, sql, http");
  expect(users("scram_sha256", "hunter2") + users("password_from", "hunter2")).not.toContain("hunter2");
});

test("a row that is as it was is not checked again; another column, another value or another order of columns is", () => {
  const memo = newMemo();
  const read = (columns: string[], ...rows: unknown[][]) =>
    recordsOfTables({ users: { columns, rows } }, { users: { query: "…" } }, "here", memo).users;
  const row = (): unknown[] => ["alice", ["a", "b"], Buffer.from("x")];
  const [first] = read(["name", "aliases", "email"], row());
  expect(read(["name", "aliases", "email"], row())[0]).toBe(first);
  expect(read(["name", "aliases", "email"], ["alice", ["a", "c"], Buffer.from("x")])[0]?.aliases).toEqual(["a", "c"]);
  expect(read(["name", "aliases", "email"], ["alice", ["a", "c"], Buffer.from("y")])[0]?.email).toBe("y");
  expect(read(["name", "aliases", "display_name"], ["alice", ["a", "c"], Buffer.from("y")])[0]).toMatchObject({
    displayName: "y",
  });
  expect(read(["name"])).toEqual([]);
});

test("the watch backs off while nobody answers, and tells twice: away, and back", async () => {
  const waits: number[] = [];
  const heard: string[] = [];
  let attempts = 0;
  let answer = "1";
  let back: () => void = () => {};
  const isBack = new Promise<void>((resolve) => {
    back = resolve;
  });
  let last = performance.now();
  const database = {
    describe: () => "db",
    async connect() {
      waits.push(performance.now() - last);
      last = performance.now();
      if (++attempts < 4) throw new Error("refused");
      return {
        beginRead: async () => {},
        rows: async () => ({ columns: ["n"], rows: [[answer]] }),
        endRead: async () => {},
        write: async () => 0,
        listen: async () => true,
        lost: new Promise<void>(() => {}),
        close: async () => {},
      };
    },
    quote: (name: string) => name,
    placeholder: () => "?",
    worthAnother: () => false,
    explain: () => {
      throw new Error("not here");
    },
  };
  const stop = watchDatabase(
    {
      database,
      channel: "c",
      changeQuery: "q",
      pollMs: 5,
      seen: () => '[["1"]]',
      backoff: { firstMs: 10, mostMs: 15 },
    },
    (cause) => {
      heard.push(cause);
      if (cause === "db is back") answer = "2";
      if (cause === "db changed") back();
    },
  );
  await isBack;
  await stop();
  expect(heard).toEqual(["db is away", "db is back", "db changed"]);
  // Timers are early by less than a millisecond.
  const least = [9, 14, 14];
  expect(waits.slice(1).filter((ms, index) => ms < (least[index] ?? 0))).toEqual([]);
});
