/** The host in PostgreSQL: everything in sql-common.ts, and what only NOTIFY can do. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { startAgent } from "../../agent/start.ts";
import { credentialsOf, startTestCore } from "../support/core.ts";
import { noPostgres, type PostgresServer, startPostgres } from "./postgres-server.ts";
import { eventually } from "./server-process.ts";
import { commonStoreTests } from "./sql-common.ts";
import { hearing, sqlStore } from "./sql-fixture.ts";

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
    ownLimit: { code: "57014" },
    nap: "pg_sleep(0.3)",
    quote: (name) => `"${name.replaceAll('"', '""')}"`,
    grantee: "firekeeper",
    aliases: (...names) => `ARRAY[${names.map((name) => `'${name}'`).join(", ")}]`,
  });

  /** The session that listens has asked the change query since: from now on every commit is heard. */
  const listening = () =>
    eventually(async () => expect(await server.sessions()).toContainEqual(expect.stringMatching(/^SELECT COALESCE/)));

  test("a commit is heard by NOTIFY, not by polling; TRUNCATE and writers without a right to the counter too", async () => {
    const store = await sqlStore(server.url, { pollMs: 3_600_000 });
    await store.read();
    const heard = hearing(store);
    await listening();
    for (const statement of [
      "INSERT INTO xmpp_setting VALUES ('a', 'b')",
      "TRUNCATE xmpp_setting",
      "CREATE ROLE clerk; GRANT INSERT ON xmpp_user TO clerk; SET ROLE clerk; INSERT INTO xmpp_user VALUES ('zoe')",
    ]) {
      const before = (await store.read()).hash;
      await server.run(statement);
      expect(await heard.next(/notified/)).toMatch(/notified xmpp_change$/);
      expect((await store.read()).hash).not.toBe(before);
    }
  });

  test("a session that is ended listens again and looks again", async () => {
    const store = await sqlStore(server.url, { pollMs: 3_600_000 });
    await store.read();
    const heard = hearing(store);
    await listening();
    await server.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'firekeeper'");
    await heard.next(/is away$/);
    await heard.next(/is back$/);
    await listening();
    await server.run("INSERT INTO xmpp_setting VALUES ('a', 'b')");
    await heard.next(/notified/);
    expect((await store.read()).settings.get("a")).toBe("b");
  });

  test("end to end: what waits for a person goes live by apply; with FIREKEEPER_APPLY=auto a commit reaches the rosters", async () => {
    const core = await startTestCore();
    const ending: (() => unknown)[] = [() => core.close()];
    try {
      const properties = {
        "network.interface": "127.0.0.1",
        "xmpp.socket.plain.port": core.port,
        "xmpp.socket.ssl.port": core.directPort,
        "xmpp.proxy.enabled": false,
        "httpbind.enabled": false,
        "adminConsole.port": -1,
        "adminConsole.securePort": -1,
      };
      const people = await Promise.all(
        ["alice", "bob", "carol", "dave"].map(async (name) => {
          const { sha1, sha256, sha512 } = await credentialsOf(name);
          return `INSERT INTO xmpp_user (name, scram_sha1, scram_sha256, scram_sha512) VALUES ('${name}', '${sha1}', '${sha256}', '${sha512}')`;
        }),
      );
      await server.empty();
      await server.together(
        "INSERT INTO xmpp_setting VALUES ('sys.xmpp.domain', 'localhost'), ('sys.xmpp.adminuser', 'alice')",
        ...Object.entries(properties).map(
          ([key, value]) => `INSERT INTO xmpp_setting VALUES ('sys.xmpp.properties.${key}', '${value}')`,
        ),
        ...people,
        "INSERT INTO xmpp_role VALUES ('Sales')",
        "INSERT INTO xmpp_role_type VALUES ('Sales', 'xmpp.group')",
        "INSERT INTO xmpp_role_member (role, user_name) VALUES ('Sales', 'alice'), ('Sales', 'bob')",
      );
      const start = async (mode: Record<string, string>) => {
        const environment = readEnvironment(
          {
            FIREKEEPER_HOME: core.home,
            FIREKEEPER_CORE: join(core.home, "control.sock"),
            FIREKEEPER_RECONCILE: "0 0 1 1 *",
            FIREKEEPER_STORE: server.url,
            ...mode,
          },
          { dotenvPath: "/nonexistent" },
        );
        const agent = await startAgent(environment, { report: openReport("silent") });
        await agent.settled;
        return agent;
      };
      const byHand = await start({});
      ending.push(() => byHand.stop("test"));
      const alice = await core.login("alice");
      expect((await alice.roster()).contacts.get("bob@localhost")).toMatchObject({ groups: ["Sales"] });
      await server.run("INSERT INTO xmpp_role_member (role, user_name) VALUES ('Sales', 'carol')");
      expect(await askAgent(core.home, "plan")).toMatchObject({ is: "waiting", plan: { changes: [{}] } });
      expect((await alice.roster()).contacts.has("carol@localhost")).toBe(false);
      const pushed = alice.next("roster push");
      expect(await askAgent(core.home, "apply")).toMatchObject({ is: "applied" });
      expect(String(await pushed)).toContain("carol@localhost");
      ending.pop();
      await byHand.stop("test");

      const byItself = await start({ FIREKEEPER_APPLY: "auto" });
      ending.push(() => byItself.stop("test"));
      await listening();
      const next = alice.next("roster push");
      await server.run("INSERT INTO xmpp_role_member (role, user_name) VALUES ('Sales', 'dave')");
      expect(String(await next)).toContain("dave@localhost");
    } finally {
      for (const end of ending.reverse()) await end();
    }
  });

  test("stopping ends every session", async () => {
    const store = await sqlStore(server.url);
    await store.read();
    const heard = hearing(store);
    await listening();
    await heard.stop();
    await eventually(async () => expect((await server.sessions()).filter((last) => /COALESCE/.test(last))).toEqual([]));
  });

  test("two writers do not wait for each other's commit", async () => {
    const [one, two] = [await server.client(), await server.client()];
    try {
      for (const client of [one, two]) await client.query("BEGIN; SET LOCAL lock_timeout = 2000");
      await one.query("INSERT INTO xmpp_user VALUES ('one')");
      await two.query("INSERT INTO xmpp_user VALUES ('two')");
      for (const client of [one, two]) await client.query("COMMIT");
    } finally {
      for (const client of [one, two]) await client.end();
    }
  });

  test("TLS: whose certificate is not known is not trusted; with its authority it is, for its name alone", async () => {
    await expect((await sqlStore(server.url, { tls: "verify" })).read()).rejects.toMatchObject({
      code: "store/untrusted",
      message: expect.stringContaining("speaks no TLS"),
    });
    const directory = await mkdtemp(join(tmpdir(), "firekeeper-tls-"));
    try {
      const [key, certificate] = [join(server.directory, "server.key"), join(server.directory, "server.crt")];
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
      const made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate];
      execFileSync("openssl", [...made, ...subject], { stdio: "ignore" });
      execFileSync("chown", ["postgres:postgres", key, certificate]);
      await server.run(
        "ALTER SYSTEM SET ssl_cert_file = '../server.crt'",
        "ALTER SYSTEM SET ssl_key_file = '../server.key'",
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
      );
      const byName = server.url.replace("127.0.0.1", "localhost");
      await eventually(() => sqlStore(byName, { tls: "encrypt" }).then((store) => store.read()));
      const refused = [
        await sqlStore(byName, { tls: "verify" }),
        await sqlStore(server.url, { tls: { ca: certificate } }),
      ];
      for (const store of refused)
        await expect(store.read()).rejects.toMatchObject({
          code: "store/untrusted",
          message: expect.stringContaining("certificate is not accepted"),
        });
      const store = await sqlStore(byName, {
        tls: { ca: certificate },
        changeQuery: "SELECT ssl::int FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      });
      expect((await store.read()).warnings).toEqual([]);
    } finally {
      await server.run("ALTER SYSTEM RESET ssl", "SELECT pg_reload_conf()");
      await rm(directory, { recursive: true, force: true });
    }
  });
});
