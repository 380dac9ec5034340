/** What every database store must do, run by postgres.test.ts and mysql.test.ts against their own server. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { credentialsMatch } from "../../agent/credentials.ts";
import { openStore } from "../../agent/store/open.ts";
import { agentFixture } from "../system/agent-fixture.ts";
import { closeStores, type Dialect, hearing, keys, newHome, opened, sqlStore, world } from "./sql-fixture.ts";
import { ownTableTests, passwordTests } from "./sql-own-tables.ts";

export function commonStoreTests(dialect: Dialect): void {
  const { kind, server, slowUsers, ownLimit, nap, grantee, aliases } = dialect;
  closeStores();
  beforeEach(() => server().empty());

  test("the same world gives the same snapshot as in host.yaml", async () => {
    await server().run(...world);
    const home = await newHome();
    const host = {
      settings: {
        "sys.xmpp.domain": "example.org",
        "sys.xmpp.properties.xmpp.client.idle": 360000,
        "pbx.greeting": "Grüezi 👋",
      },
      roles: [
        { name: "Everybody", types: ["xmpp.group"], members: "all" },
        {
          name: "Operators",
          types: ["call center", "xmpp.supervisor"],
          members: ["carol"],
          parameters: { queue: "7" },
        },
        { name: "Sales", types: ["xmpp.group"], members: ["Bob", "alice"] },
      ],
      users: [
        {
          name: "alice",
          id: "17",
          displayName: "Alice Martin",
          email: "alice@example.org",
          credentials: { sha1: keys("SHA-1", 20), sha256: keys("SHA-256", 32) },
        },
        { name: "Bob", enabled: false, credentials: { sha256: keys("SHA-256", 32) } },
        { name: "carol", displayName: "Carol O'Hara" },
      ],
    };
    await writeFile(join(home, "host.yaml"), `${stringify(host)}...\n`, { mode: 0o600 });
    const file = await openStore({ at: join(home, "host.yaml"), config: undefined }, { home, quietMs: 10 });
    const [fromFile, ...fromDatabase] = [
      await file.store.read(),
      await (await sqlStore(server().url)).read(),
      await (await sqlStore(server().socketUrl)).read(),
    ];
    for (const snapshot of fromDatabase) {
      expect(snapshot.users).toEqual(expect.arrayContaining([...fromFile.users]));
      expect(snapshot.hash).toBe(fromFile.hash);
    }
  });

  test("teams, aliases, hashes and passwords in clear come along; the clear ones leave as keys", async () => {
    await server().run(
      ...world,
      `UPDATE xmpp_user SET password = 'open sesame', aliases = ${aliases("al", "al@old.example")} WHERE name = 'carol'`,
      `UPDATE xmpp_user SET password_hash = '$2b$10$abcdefghijklmnopqrstuv', scram_sha256 = NULL, password_from = 'sql' WHERE name = 'Bob'`,
      `INSERT INTO xmpp_team (id, name, extension, kind) VALUES ('q7', 'Support', '700', 'queue'), ('c1', 'Yard', NULL, 'callgroup')`,
      `INSERT INTO xmpp_team_member (team_id, user_name, dynamic) VALUES ('q7', 'carol', TRUE), ('q7', 'alice', FALSE)`,
      `INSERT INTO xmpp_role_member (role, kind, team_id) VALUES ('Sales', 'team', 'q7')`,
    );
    const { users, roles, teams } = await (await sqlStore(server().url)).read();
    const carol = users.find(({ name }) => name === "carol");
    expect(carol?.aliases).toEqual(["al", "al@old.example"]);
    expect(await credentialsMatch(carol?.credentials ?? {}, "open sesame")).toBe(true);
    expect(JSON.stringify(users)).not.toContain("open sesame");
    expect(users.find(({ name }) => name === "Bob")).toMatchObject({
      passwordHash: "$2b$10$abcdefghijklmnopqrstuv",
      passwordFrom: "sql",
    });
    expect(teams).toEqual(
      [
        { id: "c1", name: "Yard", kind: "callgroup", members: [] },
        {
          id: "q7",
          name: "Support",
          extension: "700",
          kind: "queue",
          members: [
            { user: "alice", dynamic: false },
            { user: "carol", dynamic: true },
          ],
        },
      ].sort((a, b) => (teams?.[0]?.id === a.id ? -1 : teams?.[0]?.id === b.id ? 1 : 0)),
    );
    expect(roles.find(({ name }) => name === "Sales")).toMatchObject({
      members: expect.arrayContaining(["alice", "Bob"]),
      teams: ["q7"],
    });
  });

  test("nothing changed costs one small query; every kind of change is seen, cascades too", async () => {
    await server().run(...world);
    const store = await sqlStore(server().url);
    let standing = await store.read();
    expect(await store.read()).toBe(standing);
    for (const change of [
      "UPDATE xmpp_setting SET value = 'other.example' WHERE name = 'sys.xmpp.domain'",
      "INSERT INTO xmpp_role_type (role, type) VALUES ('Sales', 'x')",
      "UPDATE xmpp_user SET name = 'robert' WHERE name = 'Bob'",
      "DELETE FROM xmpp_user WHERE name = 'carol'",
    ]) {
      await server().run(change);
      const next = await store.read();
      expect(next.hash, change).not.toBe(standing.hash);
      expect(await store.read()).toBe(next);
      standing = next;
    }
    expect(standing.roles.find(({ name }) => name === "Sales")?.members).toEqual(
      expect.arrayContaining(["alice", "robert"]),
    );
    expect(standing.roles.find(({ name }) => name === "Operators")?.members).toEqual([]);
  });

  test("a counter that was emptied counts again, and a change query that says NULL is no answer", async () => {
    await server().run(...world, "DELETE FROM xmpp_change");
    const counting = await sqlStore(server().url);
    const silent = await sqlStore(server().url, {
      users: { table: "xmpp_user" },
      changeQuery: "SELECT MAX(value) FROM xmpp_setting WHERE name = 'none'",
    });
    const before = [await counting.read(), await silent.read()];
    await server().run("DELETE FROM xmpp_user WHERE name = 'carol'");
    for (const [index, store] of [counting, silent].entries()) {
      const { hash } = await store.read();
      expect(hash).not.toBe(before[index]?.hash);
    }
  });

  test("a server killed at any moment: an error, the last good state stays, then look again", async () => {
    await server().run(...world);
    const home = await newHome();
    const store = await sqlStore(server().url, { pollMs: 100 }, home);
    const before = await store.read();
    const heard = hearing(store);
    await server().kill();
    await heard.next(/ is away$/);
    await expect(store.read()).rejects.toMatchObject({ code: "store/unreachable" });
    expect(await store.lastGood()).toBe(before);
    expect((await (await sqlStore(server().url, undefined, home)).lastGood())?.hash).toBe(before.hash);
    await server().start();
    await heard.next(/ is back$/);
    expect((await store.read()).hash).toBe(before.hash);
    await server().run("DELETE FROM xmpp_user WHERE name = 'carol'");
    await heard.next(/changed|notified/);
    expect((await store.read()).hash).not.toBe(before.hash);
  });

  test("half a transaction is never seen", async () => {
    const numbers = Array.from({ length: 1000 }, (_, index) => index);
    const generation = (round: number) => [
      `INSERT INTO xmpp_user (name) VALUES ${numbers.map((index) => `('u${round}-${index}')`).join(", ")}`,
      `INSERT INTO xmpp_role_member (role, user_name) VALUES ${numbers.map((index) => `('Sales', 'u${round}-${index}')`).join(", ")}`,
      `UPDATE xmpp_setting SET value = '${round}' WHERE name = 'round'`,
    ];
    await server().together(
      "INSERT INTO xmpp_role (name) VALUES ('Sales')",
      "INSERT INTO xmpp_setting (name, value) VALUES ('round', '')",
      ...generation(0),
    );
    // Commits fall between the statements of one read, since the first one takes its time.
    const store = await sqlStore(server().url, {
      settings: { query: `SELECT name, value FROM xmpp_setting, ${nap}` },
      users: { table: "xmpp_user" },
      roles: { query: "SELECT name FROM xmpp_role" },
      members: { query: "SELECT role, user_name AS member FROM xmpp_role_member" },
    });
    let writing = true;
    const seen = new Set<string>();
    const writer = (async () => {
      // Until the reads have met several rounds, however the two share the machine.
      for (let round = 1; seen.size <= 3 && round <= 300; round++)
        await server().together("DELETE FROM xmpp_role_member", "DELETE FROM xmpp_user", ...generation(round));
      writing = false;
    })();
    while (writing) {
      const { settings, users, roles } = await store.read();
      const round = settings.get("round") ?? "";
      seen.add(round);
      expect(users).toHaveLength(1000);
      expect(new Set(users.map(({ name }) => name.split("-")[0]))).toEqual(new Set([`u${round}`]));
      expect(new Set(roles[0]?.members)).toEqual(new Set(users.map(({ name }) => name)));
    }
    await writer;
    expect(seen.size, "the reads met several rounds").toBeGreaterThan(2);
  });

  test("a right that is missing is named with its GRANT, which then suffices", async () => {
    await server().run(...world, `REVOKE SELECT ON xmpp_team FROM ${grantee}`);
    try {
      const store = await sqlStore(server().url);
      const error = await store.read().catch((refused: unknown) => refused);
      expect(error).toMatchObject({ code: "store/denied", message: expect.stringContaining("xmpp_team") });
      await server().run((error as { hint: string }).hint);
      expect((await store.read()).users).toHaveLength(3);
    } finally {
      await server().run(`GRANT SELECT ON xmpp_team TO ${grantee}`);
    }
  });

  test.each([
    ["a wrong password", (url: string) => url.replace("open-sesame", "guess"), {}, "store/denied", "firekeeper"],
    ["no such database", (url: string) => url.replace("/pbx", "/nowhere"), {}, "store/denied", "nowhere"],
    ["nobody there", (url: string) => url.replace(/:\d+\//, ":1/"), {}, "store/unreachable", "127.0.0.1:1"],
    ["no such table", (url: string) => url, { users: { table: "people" } }, "store/", "people"],
    [
      "no such column",
      (url: string) => url,
      { users: { table: "xmpp_user", columns: { email: "mail" } } },
      "store/bad-query",
      "mail",
    ],
    [
      "a query that is no SQL",
      (url: string) => url,
      { users: { query: "SELEKT 1" } },
      "store/bad-query",
      "the query of users",
    ],
    [
      "two statements in one",
      (url: string) => url,
      { users: { query: "SELECT 'x' AS name; SELECT 1" } },
      "store/bad-query",
      "the query of users",
    ],
    ["a query that writes", (url: string) => url, { users: { query: "DELETE FROM xmpp_setting" } }, "store/", ""],
    [
      "a column of another name",
      (url: string) => url,
      { users: { query: "SELECT name, email AS emial FROM xmpp_user" } },
      "store/bad-columns",
      "emial",
    ],
    [
      "no name",
      (url: string) => url,
      { users: { query: "SELECT email FROM xmpp_user" } },
      "store/bad-columns",
      "no column name",
    ],
    [
      "too slow",
      (url: string) => url,
      { users: { query: slowUsers }, statementTimeoutMs: 300 },
      "store/slow",
      "the query of users",
    ],
  ])("%s is an error that says so and holds no password", async (_what, at, config, code, says) => {
    await server().run("INSERT INTO xmpp_setting (name, value) VALUES ('kept', 'x')");
    const store = await sqlStore(at(server().url), config);
    const error = (await store.read().catch((refused: unknown) => refused)) as { code: string; message: string };
    expect(error).toMatchObject({ code: expect.stringContaining(code), message: expect.stringContaining(says) });
    expect(error.message + store.describe()).not.toMatch(/open-sesame|guess/);
    expect(await server().rows("SELECT name FROM xmpp_setting")).toEqual([["kept"]]);
  });

  test("the server itself ends a statement that takes too long", async () => {
    const store = await sqlStore(server().url, { users: { query: slowUsers }, statementTimeoutMs: 300 });
    await expect(store.read()).rejects.toMatchObject({ code: "store/slow", cause: ownLimit });
  });

  ownTableTests(dialect);
  passwordTests(dialect);

  test("through the agent: the first apply by itself, later ones by a person, and an emptied table removes nobody", async () => {
    await server().run(
      "INSERT INTO xmpp_role (name) VALUES ('Sales')",
      "INSERT INTO xmpp_role_type VALUES ('Sales', 'xmpp.group')",
      `INSERT INTO xmpp_setting VALUES ('sys.xmpp.adminuser', 'u0')`,
    );
    for (let index = 0; index < 20; index++)
      await server().run(`INSERT INTO xmpp_user (name, scram_sha256) VALUES ('u${index}', '${keys("SHA-256", 32)}')`);
    const agent = await agentFixture({}, { FIREKEEPER_STORE: server().url });
    opened.push(() => agent.close());
    await agent.start();
    expect(await agent.status()).toMatchObject({
      mode: "manual",
      journal: { revision: 1 },
      store: expect.stringContaining("127.0.0.1"),
    });
    await server().run("INSERT INTO xmpp_role_member (role, user_name) VALUES ('Sales', 'u1')");
    expect(await agent.ask("plan")).toMatchObject({ is: "waiting" });
    expect(await agent.ask("apply")).toMatchObject({ is: "applied", revision: 2 });
    await server().empty();
    const refused = await agent.ask("apply").catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "apply/removes-much" });
    expect(Object.values(agent.core.stored.world.accounts)).toHaveLength(20);
    expect(await agent.journal()).not.toContain("open-sesame");
  });

  test(`the store is of kind ${kind} and never shows its password`, async () => {
    const store = await sqlStore(server().url);
    expect(store.kind).toBe(kind);
    expect(store.describe()).toMatch(/^(PostgreSQL|MariaDB) at 127\.0\.0\.1:\d+\/pbx$/);
  });
}
