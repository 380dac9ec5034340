/** The host in MariaDB: everything in sql-common.ts. */
import { afterAll, beforeAll, describe } from "vitest";
import { type MysqlServer, noMysql, startMysql } from "./mysql-server.ts";
import { commonStoreTests } from "./sql-common.ts";

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
    quote: (name) => `\`${name.replaceAll("`", "``")}\``,
    grantee: "firekeeper@'127.0.0.1'",
    aliases: (...names) => `'${names.join(", ")}'`,
  });
});
