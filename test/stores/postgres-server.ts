/** PostgreSQL of its own for a test file: initdb in a new directory, our script run by psql as docs/stores/postgres.md says. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { freePort } from "../support/core.ts";
import {
  accountOf,
  type DatabaseServer,
  eventually,
  ownDirectory,
  ownTables,
  removeDirectory,
  runAs,
  type ServerProcess,
  startAs,
  whyNot,
} from "./server-process.ts";

const root = "/usr/lib/postgresql";
const newest = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a))[0] : undefined;
const programs = join(root, newest ?? "15", "bin");

export const noPostgres = whyNot([join(programs, "initdb"), join(programs, "postgres")], "postgres");

export interface PostgresServer extends DatabaseServer {
  readonly port: number;
  readonly directory: string;
  /** A client of the owner, to be ended by the test. */
  client(): Promise<pg.Client>;
  /** The sessions of the agent, by their last statement. */
  sessions(): Promise<string[]>;
}

export async function startPostgres(): Promise<PostgresServer> {
  const account = await accountOf("postgres");
  const directory = await ownDirectory("postgres", account);
  const data = join(directory, "data");
  const port = await freePort();
  const args = ["-D", data, "-E", "UTF8", "--no-locale", "-A", "trust", "-U", "postgres", "--no-sync"];
  await runAs(account, join(programs, "initdb"), args);
  const settings = [
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${directory}'`,
    "fsync = off",
    "password_encryption = 'scram-sha-256'",
  ];
  await appendFile(join(data, "postgresql.conf"), `${settings.join("\n")}\n`);
  await writeFile(join(data, "pg_hba.conf"), "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
  let server: ServerProcess | undefined;
  const database = "pbx";

  const clientOf = async (name: string): Promise<pg.Client> => {
    const client = new pg.Client({ host: directory, port, user: "postgres", database: name });
    client.on("error", () => {});
    await client.connect();
    return client;
  };
  const withClient = async <T>(work: (client: pg.Client) => Promise<T>, name = database): Promise<T> => {
    const client = await clientOf(name);
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  };
  const start = async () => {
    // After kill -9 the former children may still hold the shared memory for a moment: then it ends at once.
    await eventually(async () => {
      const started = startAs(account, join(programs, "postgres"), ["-D", data]);
      server = started;
      let over = false;
      void started.ended.then(() => {
        over = true;
      });
      await eventually(async () => {
        if (!over) await withClient(async () => undefined, "postgres");
      });
      if (over) throw new Error("PostgreSQL ended at its start");
    });
  };
  await start();
  await withClient((client) => client.query(`CREATE DATABASE ${database}`), "postgres");
  const script = new URL("../../docs/stores/postgres.sql", import.meta.url).pathname;
  const psql = ["-v", "ON_ERROR_STOP=1", "-q", "-h", directory, "-p", String(port), "-U", "postgres", "-d", database];
  // Twice: a second run changes nothing.
  await promisify(execFile)("psql", [...psql, "-f", script]);
  await promisify(execFile)("psql", [...psql, "-f", script]);
  await withClient((client) => client.query("ALTER ROLE firekeeper PASSWORD 'open-sesame'"));

  return {
    port,
    directory,
    url: `postgres://firekeeper:open-sesame@127.0.0.1:${port}/${database}`,
    socketUrl: `postgresql://firekeeper@localhost:${port}/${database}?socket=${encodeURIComponent(directory)}`,
    client: () => clientOf(database),
    run: (...statements) =>
      withClient(async (client) => {
        for (const statement of statements) await client.query(statement);
      }),
    together: (...statements) =>
      withClient(async (client) => {
        for (const statement of ["BEGIN", ...statements, "COMMIT"]) await client.query(statement);
      }),
    rows: (statement) => withClient(async (client) => (await client.query({ text: statement, rowMode: "array" })).rows),
    async empty() {
      await withClient((client) => client.query(`TRUNCATE ${ownTables.join(", ")}`));
    },
    sessions: () =>
      withClient(async (client) => {
        const { rows } = await client.query(
          "SELECT query FROM pg_stat_activity WHERE usename = 'firekeeper' ORDER BY query",
        );
        return rows.map((row) => String(row.query));
      }),
    async kill() {
      await server?.end("SIGKILL");
    },
    start,
    async close() {
      await server?.end("SIGQUIT");
      await removeDirectory(directory);
    },
  };
}
