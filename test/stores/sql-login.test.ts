/** Passwords judged by the host's own database, PostgreSQL and MariaDB: by a hash that it gives, or by its own comparison. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type LoginRefused, XmppClient } from "../support/xmpp-client.ts";
import { noMysql, startMysql } from "./mysql-server.ts";
import { noPostgres, startPostgres } from "./postgres-server.ts";
import type { DatabaseServer } from "./server-process.ts";

/** crypt(3) of "pencil sharpener". */
const bcrypt = "$2b$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe";

const kinds = [
  { name: "PostgreSQL", missing: noPostgres, start: startPostgres, grant: "GRANT SELECT ON person TO firekeeper" },
  { name: "MariaDB", missing: noMysql, start: startMysql, grant: "GRANT SELECT ON person TO firekeeper@'127.0.0.1'" },
];
for (const { name, missing } of kinds) if (missing !== undefined) console.warn(`${name} skipped: ${missing}`);

for (const { name, missing, start, grant } of kinds)
  describe.skipIf(missing !== undefined)(name, () => {
    let database: DatabaseServer;
    let core: TestCore;
    let agent: TestAgent;
    beforeAll(async () => {
      database = await start();
      await database.run(
        "CREATE TABLE person (login VARCHAR(50), secret VARCHAR(200), clear VARCHAR(50))",
        `INSERT INTO person VALUES ('alice', '${bcrypt}', 'alice in clear'), ('ghost', '${bcrypt}', 'x'), ('odd', 'md5?', 'x')`,
        `INSERT INTO person VALUES ('twin', '${bcrypt}', 'x'), ('twin', '${bcrypt}', 'x'), ('none', NULL, 'x')`,
        grant,
      );
      core = await startTestCore({ users: ["bob"] });
      agent = await connectAgent(core);
      for (const one of ["alice", "odd", "twin", "none"])
        await agent.apply({ kind: "account-set", account: { name: one, enabled: true, passwordFrom: "sql" } });
      const url = new URL(database.url);
      const password = url.password;
      url.password = "";
      await agent.set({
        "firekeeper.auth.sql.url": url.href,
        "firekeeper.auth.sql.password": password,
        "firekeeper.client.trusted-networks": "127.0.0.0/8",
        "firekeeper.auth.cache.seconds": "0",
        "firekeeper.auth.failures-per-minute": "50",
      });
    });
    afterEach(() => XmppClient.dropAll());
    afterAll(async () => {
      await agent.target.close();
      await core.close();
      await database.close();
    });

    const condition = (user: string, password: string) =>
      core.login(user, { password, mechanism: "PLAIN" }).then(
        () => "in",
        (error: LoginRefused) => error.condition,
      );

    test("by a hash that the query gives", async () => {
      await agent.set({ "firekeeper.auth.sql.query": "SELECT secret FROM person WHERE login = :name" });
      expect(await condition("alice", "pencil sharpener")).toBe("in");
      expect(await condition("alice", "alice in clear")).toBe("not-authorized");
      expect(await condition("bob", "bob")).toBe("in");
      expect(await condition("ghost", "pencil sharpener")).toBe("not-authorized");
      expect(await condition("none", "pencil sharpener")).toBe("not-authorized");
      // What cannot be judged is not the person's fault.
      expect(await condition("odd", "pencil sharpener")).toBe("temporary-auth-failure");
      expect(await condition("twin", "pencil sharpener")).toBe("temporary-auth-failure");
    });

    test("by a comparison in the database: what is bound is never part of the query", async () => {
      await agent.set({ "firekeeper.auth.sql.query": "SELECT clear = :password FROM person WHERE login = :name" });
      expect(await condition("alice", "alice in clear")).toBe("in");
      expect(await condition("alice", "pencil sharpener")).toBe("not-authorized");
      for (const guess of ["' or '1'='1", "x' or true -- ", ":name", "$1", "\\' or 1=1 #"])
        expect([guess, await condition("alice", guess)]).toEqual([guess, "not-authorized"]);
    });

    test("a query that fails, a database killed and back", async () => {
      await agent.set({ "firekeeper.auth.sql.query": "SELECT nothing FROM person WHERE login = :name" });
      expect(await condition("alice", "pencil sharpener")).toBe("temporary-auth-failure");
      await agent.set({ "firekeeper.auth.sql.query": "SELECT secret FROM person WHERE login = :name" });
      expect(await condition("alice", "pencil sharpener")).toBe("in");
      await database.kill();
      expect(await condition("alice", "pencil sharpener")).toBe("temporary-auth-failure");
      expect(await condition("bob", "bob")).toBe("in");
      await database.start();
      expect(await condition("alice", "pencil sharpener")).toBe("in");
    });
  });
