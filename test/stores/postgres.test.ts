/** The host in PostgreSQL: everything in sql-common.ts, and what only NOTIFY can do. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noPostgres, type PostgresServer, startPostgres } from "./postgres-server.ts";
import { commonStoreTests, hearing, sqlStore } from "./sql-common.ts";

if (noPostgres) console.warn(`PostgreSQL stores are not tested: ${noPostgres}.`);

describe.skipIf(noPostgres !== undefined)("PostgreSQL", () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.close());

  commonStoreTests({
    kind: "postgres",
    server: () => server,
    slowUsers: "SELECT 'x' AS name FROM pg_sleep(30)",
    quote: (name) => `"${name.replaceAll('"', '""')}"`,
    grantee: "firekeeper",
    aliases: (...names) => `ARRAY[${names.map((name) => `'${name}'`).join(", ")}]`,
  });

  test("a commit is heard by NOTIFY, not by polling", async () => {
    const store = await sqlStore(server.url, { pollMs: 3_600_000 });
    await store.read();
    const heard = hearing(store);
    await heard.next(/changed$/).catch(() => {});
    await server.run("INSERT INTO xmpp_setting VALUES ('a', 'b')");
    expect(await heard.next(/notified/)).toMatch(/notified xmpp_change$/);
  });
});
