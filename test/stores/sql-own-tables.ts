/** What every database store must do with tables of the host's own, and with passwords that users change. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { credentialsMatch } from "../../agent/credentials.ts";
import { type Dialect, hearing, sqlStore, world } from "./sql-fixture.ts";

export function ownTableTests({ server, quote, grantee }: Dialect): void {
  describe("tables of the host's own", () => {
    const people = quote(`odd "people" \`x\``);
    afterEach(() => server().run(`DROP TABLE IF EXISTS ${people}`, "DROP TABLE IF EXISTS pbx_option"));
    const make = () =>
      server().run(
        `CREATE TABLE ${people} (ext INTEGER, ${quote("Login Name")} VARCHAR(40), active CHAR(1), secret CHAR(40))`,
        `INSERT INTO ${people} VALUES (4711, 'dora', 'y', 'se same'), (4712, 'emil', 'n', NULL)`,
        "CREATE TABLE pbx_option (k VARCHAR(40), v INTEGER)",
        "INSERT INTO pbx_option VALUES ('idle', 1000)",
        `GRANT SELECT ON ${people} TO ${grantee}`,
        `GRANT SELECT ON pbx_option TO ${grantee}`,
      );
    const config = {
      settings: { query: "SELECT CONCAT('sys.xmpp.properties.xmpp.client.', k) AS name, v AS value FROM pbx_option" },
      users: {
        table: [`odd "people" \`x\``],
        columns: { name: "Login Name", id: "ext", enabled: "active", passwordHash: "secret" },
      },
      roles: { query: "SELECT 'Staff' AS name, '[\"xmpp.group\"]' AS type" },
      members: {
        query: `SELECT 'Staff' AS role, ${quote("Login Name")} AS member FROM ${people} UNION SELECT 'Ghosts', 'boo'`,
      },
    };

    test("are read by mapping and by queries; rows of a role that is not read are told", async () => {
      await make();
      const snapshot = await (await sqlStore(server().url, config)).read();
      expect([...snapshot.settings]).toEqual([["sys.xmpp.properties.xmpp.client.idle", "1000"]]);
      expect(snapshot.users).toEqual([
        { name: "dora", id: "4711", enabled: true, passwordHash: "se same" },
        { name: "emil", id: "4712", enabled: false },
      ]);
      expect(snapshot.roles).toMatchObject([
        { name: "Staff", types: ["xmpp.group"], members: expect.arrayContaining(["dora", "emil"]) },
      ]);
      expect(snapshot.warnings).toMatchObject([
        {
          code: "store/stray-rows",
          message: expect.stringContaining("1 rows name a role that is not read, the first Ghosts"),
        },
      ]);
    });

    test("without a change query the content tells whether anything changed", async () => {
      await make();
      const store = await sqlStore(server().url, config);
      const first = await store.read();
      expect(await store.read()).toBe(first);
      await server().run("UPDATE pbx_option SET v = 2000");
      expect((await store.read()).hash).not.toBe(first.hash);
    });

    test("a change query of the host's own is polled", async () => {
      await make();
      const store = await sqlStore(server().url, {
        ...config,
        changeQuery: "SELECT SUM(v) FROM pbx_option",
        pollMs: 100,
      });
      const first = await store.read();
      const heard = hearing(store);
      await server().run("UPDATE pbx_option SET v = 2000");
      await heard.next(/changed$/);
      expect((await store.read()).hash).not.toBe(first.hash);
    });

    test.each([
      ["enabled", "UPDATE %t SET active = NULL WHERE ext = 4711", "the row of dora, the column enabled"],
      ["enabled", "UPDATE %t SET active = 'q' WHERE ext = 4712", "the row of emil, the column enabled"],
      ["name", "UPDATE %t SET %n = '' WHERE ext = 4711", "row 1, the column name"],
    ])("a bad %s names row and column, never the value", async (_column, statement, says) => {
      await make();
      await server().run(statement.replace("%t", people).replace("%n", quote("Login Name")));
      const store = await sqlStore(server().url, {
        ...config,
        users: {
          query: `SELECT ${quote("Login Name")} AS name, active AS enabled, secret AS password FROM ${people} ORDER BY ext`,
        },
      });
      const error = (await store.read().catch((refused: unknown) => refused)) as { message: string };
      expect(error).toMatchObject({ code: "store/bad-value", message: expect.stringContaining(says) });
      expect(error.message).not.toMatch(/se same|'q'/);
    });

    test("a name that stands twice is refused", async () => {
      await make();
      await server().run(`INSERT INTO ${people} VALUES (1, 'dora', 'y', NULL)`);
      await expect((await sqlStore(server().url, config)).read()).rejects.toMatchObject({ code: "store/twice" });
    });
  });
}

export function passwordTests({ server, grantee }: Dialect): void {
  describe("a password that a user changed", () => {
    const writing = (query: string, hash: string) => ({ writePassword: { query, hash } });
    beforeEach(() =>
      server().run(
        ...world,
        `GRANT UPDATE (password, password_hash, scram_sha1, scram_sha256, scram_sha512) ON xmpp_user TO ${grantee}`,
      ),
    );
    afterEach(() =>
      server()
        .run(`REVOKE UPDATE ON xmpp_user FROM ${grantee}`)
        .catch(() => {}),
    );
    const change = (name: string) => ({ kind: "user-password" as const, name, password: "neu: 'quoted' \\ é" });

    test.each([
      ["bcrypt", "UPDATE xmpp_user SET password_hash = :hash WHERE name = :name", /^\$2[aby]\$/],
      [
        "sha512-crypt",
        "UPDATE xmpp_user SET password_hash = :hash /* :no */ WHERE name = :name AND ':no' <> ''",
        /^\$6\$/,
      ],
    ])("is written as %s", async (hash, query, form) => {
      const store = await sqlStore(server().url, writing(query, hash));
      expect(store.writable).toBe(true);
      const { snapshot, summary } = await store.edit(change("alice"));
      expect(snapshot.users.find(({ name }) => name === "alice")?.passwordHash).toMatch(form);
      expect(summary).toBe("the password of alice was changed");
    });

    test("is written as SCRAM keys, or in clear", async () => {
      const scram = await sqlStore(
        server().url,
        writing(
          "UPDATE xmpp_user SET scram_sha1 = :sha1, scram_sha256 = :sha256, scram_sha512 = :sha512 WHERE name = :name",
          "scram",
        ),
      );
      const { snapshot } = await scram.edit(change("alice"));
      expect(
        await credentialsMatch(
          snapshot.users.find(({ name }) => name === "alice")?.credentials ?? {},
          change("").password,
        ),
      ).toBe(true);
      const clear = await sqlStore(
        server().url,
        writing("UPDATE xmpp_user SET password = :password WHERE name = :name", "clear"),
      );
      const after = (await clear.edit(change("carol"))).snapshot;
      expect(await server().rows("SELECT password FROM xmpp_user WHERE name = 'carol'")).toEqual([
        [change("").password],
      ]);
      expect(
        await credentialsMatch(
          after.users.find(({ name }) => name === "carol")?.credentials ?? {},
          change("").password,
        ),
      ).toBe(true);
    });

    test("never reaches another row, and no error holds it", async () => {
      const query = "UPDATE xmpp_user SET password = :password WHERE name = :name";
      const store = await sqlStore(server().url, writing(query, "clear"));
      const all = await sqlStore(server().url, writing(`${query} OR 1 = 1`, "clear"));
      await server().run("INSERT INTO xmpp_user (name) VALUES ('last')");
      const failures = [
        await store.edit(change("x' OR '1'='1")).catch((error: unknown) => error),
        await all.edit(change("alice")).catch((error: unknown) => error),
        await server()
          .run(`REVOKE UPDATE ON xmpp_user FROM ${grantee}`)
          .then(() => store.edit(change("alice")).catch((error: unknown) => error)),
      ] as (Error & { code: string })[];
      expect(failures.map(({ code }) => code)).toEqual(["store/not-written", "store/not-written", "store/denied"]);
      expect(
        failures.map((error) => `${error.message}${JSON.stringify(error)}${String(error.cause)}`).join(),
      ).not.toContain("quoted");
      expect(await server().rows("SELECT COUNT(*) FROM xmpp_user WHERE password IS NOT NULL")).toEqual([
        [expect.toSatisfy((count) => Number(count) === 0)],
      ]);
    });

    test("is refused where the configuration names no statement, and all else always", async () => {
      const store = await sqlStore(server().url);
      expect(store.writable).toBe(false);
      await expect(store.edit(change("alice"))).rejects.toMatchObject({ code: "store/read-only" });
      const writable = await sqlStore(
        server().url,
        writing("UPDATE xmpp_user SET password = :password WHERE name = :name", "clear"),
      );
      await expect(writable.edit({ kind: "user-remove", name: "alice" })).rejects.toMatchObject({
        code: "store/read-only",
      });
    });
  });
}
