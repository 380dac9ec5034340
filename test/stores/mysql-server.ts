/** MariaDB of its own for a test file: mariadb-install-db in a new directory, our script run by the client as docs/stores/mysql.md says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import mysql from "mysql2/promise";
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

const installer = "/usr/bin/mariadb-install-db";
const program = "/usr/sbin/mariadbd";
export const noMysql = whyNot([installer, program], "mysql");

export interface MysqlServer extends DatabaseServer {
  readonly port: number;
  readonly socket: string;
  connection(): Promise<mysql.Connection>;
}

export async function startMysql(): Promise<MysqlServer> {
  const account = await accountOf("mysql");
  const directory = await ownDirectory("mysql", account);
  const [data, socket] = [join(directory, "data"), join(directory, "mysqld.sock")];
  const port = await freePort();
  await runAs(account, installer, [
    "--no-defaults",
    `--datadir=${data}`,
    "--auth-root-authentication-method=socket",
    `--auth-root-socket-user=${userInfo().username}`,
    "--skip-test-db",
  ]);
  const database = "pbx";
  let server: ServerProcess | undefined;

  const connection = (name = database) =>
    mysql.createConnection({ socketPath: socket, user: userInfo().username, database: name, multipleStatements: true });
  const withConnection = async <T>(work: (open: mysql.Connection) => Promise<T>, name = database): Promise<T> => {
    const open = await connection(name);
    try {
      return await work(open);
    } finally {
      await open.end();
    }
  };
  const start = async () => {
    const options = ["--bind-address=127.0.0.1", `--port=${port}`, `--socket=${socket}`, `--datadir=${data}`];
    // 2: what is committed outlives the process, not the machine.
    const fast = [
      "--innodb-flush-log-at-trx-commit=2",
      "--skip-log-bin",
      "--skip-name-resolve",
      `--pid-file=${join(directory, "pid")}`,
    ];
    server = startAs(account, program, ["--no-defaults", ...options, ...fast]);
    await eventually(() => withConnection(async () => undefined, "mysql"));
  };
  await start();
  await withConnection((open) => open.query(`CREATE DATABASE ${database} CHARACTER SET utf8mb4`), "mysql");
  // Twice: a second run changes nothing.
  for (const _ of [1, 2]) await runScript(socket, database);
  await withConnection(async (open) => {
    await open.query("CREATE USER firekeeper@'127.0.0.1' IDENTIFIED BY 'open-sesame'");
    for (const table of [...ownTables, "xmpp_change"])
      await open.query(`GRANT SELECT ON ${table} TO firekeeper@'127.0.0.1'`);
  });

  return {
    port,
    socket,
    url: `mysql://firekeeper:open-sesame@127.0.0.1:${port}/${database}`,
    socketUrl: `mariadb://${userInfo().username}@localhost/${database}?socket=${encodeURIComponent(socket)}`,
    connection,
    run: (...statements) =>
      withConnection(async (open) => {
        for (const statement of statements) await open.query(statement);
      }),
    together: (...statements) =>
      withConnection(async (open) => {
        for (const statement of ["START TRANSACTION", ...statements, "COMMIT"]) await open.query(statement);
      }),
    rows: (statement) =>
      withConnection(async (open) => {
        const [rows] = await open.query({ sql: statement, rowsAsArray: true });
        return rows as unknown[][];
      }),
    async empty() {
      await withConnection((open) => open.query(ownTables.map((table) => `DELETE FROM ${table}`).join("; ")));
    },
    async kill() {
      await server?.end("SIGKILL");
    },
    start,
    async close() {
      await server?.end("SIGTERM");
      await removeDirectory(directory);
    },
  };
}

async function runScript(socket: string, database: string): Promise<void> {
  const client = spawn("mariadb", ["--no-defaults", `--socket=${socket}`, `--user=${userInfo().username}`, database], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  client.stdin.end(await readFile(new URL("../../docs/stores/mysql.sql", import.meta.url)));
  const [code] = await once(client, "exit");
  if (code !== 0) throw new Error(`mysql.sql failed with ${code}`);
}
