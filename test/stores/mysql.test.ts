/** The host in MariaDB: everything in sql-common.ts. */

import mysql from "mysql2/promise";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type MysqlServer, noMysql, startMysql } from "./mysql-server.ts";
import { eventually } from "./server-process.ts";
import { commonStoreTests } from "./sql-common.ts";
import { hearing, sqlStore } from "./sql-fixture.ts";

if (noMysql) console.warn(`MariaDB stores are not tested: ${noMysql}.`);

describe.skipIf(noMysql !== undefined)("MariaDB", () => {
  let server: MysqlServer;
  beforeAll(async () => {
    server = await startMysql();
  });
  afterAll(() => server?.close());

  commonStoreTests({
    kind: "mysql",
    server: () => server,
    slowUsers: "SELECT 'x' AS name, SLEEP(30) AS email",
    ownLimit: { errno: 1969 },
    nap: "(SELECT SLEEP(0.3)) AS nap",
    quote: (name) => `\`${name.replaceAll("`", "``")}\``,
    grantee: "firekeeper@'127.0.0.1'",
    aliases: (...names) => `'${names.join(", ")}'`,
  });

  test("a commit is found by polling our counter, a writer needs no right to it", async () => {
    const store = await sqlStore(server.url, { pollMs: 100 });
    await store.read();
    const heard = hearing(store);
    await server.run("CREATE USER clerk@localhost IDENTIFIED BY 'pen'", "GRANT INSERT ON xmpp_user TO clerk@localhost");
    const clerk = await mysql.createConnection({
      ...{ socketPath: server.socket, user: "clerk", password: "pen", database: "pbx" },
    });
    await clerk.query("INSERT INTO xmpp_user (name) VALUES ('zoe')");
    await clerk.end();
    await heard.next(/changed$/);
    expect((await store.read()).users).toMatchObject([{ name: "zoe" }]);
  });

  test("TRUNCATE runs no trigger and is found by CHECKSUM TABLE, or when everything is read again", async () => {
    await server.run("INSERT INTO xmpp_setting VALUES ('a', 'b')");
    const users = { users: { table: "xmpp_user" }, settings: { table: "xmpp_setting" } };
    const counted = await sqlStore(server.url, { wholeReadMs: 1000 });
    const summed = await sqlStore(server.url, { ...users, changeQuery: "CHECKSUM TABLE xmpp_setting, xmpp_user" });
    const standing = await summed.read();
    expect(await summed.read()).toBe(standing);
    expect((await counted.read()).settings.size).toBe(1);
    await server.run("TRUNCATE xmpp_setting");
    expect((await summed.read()).settings.size).toBe(0);
    await eventually(async () => expect((await counted.read()).settings.size).toBe(0));
  });

  test("two writers do not wait for each other's commit", async () => {
    const [one, two] = [await server.connection(), await server.connection()];
    try {
      for (const open of [one, two]) await open.query("SET innodb_lock_wait_timeout = 2; START TRANSACTION");
      await one.query("INSERT INTO xmpp_user (name) VALUES ('one')");
      await two.query("INSERT INTO xmpp_user (name) VALUES ('two')");
      for (const open of [one, two]) await open.query("COMMIT");
    } finally {
      for (const open of [one, two]) await open.end();
    }
  });
});
