/** A password judged by the host's database: by a hash it gives, or by a comparison it makes. docs/passwords.md. */
import type { Pool as MysqlPool } from "mysql2/promise";
import type { HashCheck } from "./hash-check.ts";
import { type Directory, isLoopback } from "./live.ts";
import { readHash } from "./password-hash.ts";

export interface SqlConfig {
  readonly url: string | undefined;
  readonly query: string | undefined;
  readonly password: string | undefined;
  readonly timeoutMs: number;
  readonly ca: string[] | undefined;
}

interface Database {
  rows(values: Readonly<Record<string, string>>): Promise<readonly unknown[][]>;
  close(): Promise<void>;
}

const connections = 4;

export async function sqlDirectory(config: SqlConfig, hashes: HashCheck): Promise<Directory> {
  const { url, query } = config;
  if (url === undefined) throw new Error("firekeeper.auth.sql.url is not set");
  if (query === undefined) throw new Error("firekeeper.auth.sql.query is not set");
  const database = /^postgres/.test(url) ? await postgres(url, query, config) : await mysql(url, query, config);
  return {
    async judge(name, password) {
      const rows = await database.rows({ name, password });
      if (rows.length === 0) return false;
      if (rows.length > 1) throw new Error("the query gives several rows for one name");
      const [value] = rows[0] ?? [];
      if (value === null || value === undefined) return false;
      if (typeof value === "boolean" || typeof value === "number") return value === true || value === 1;
      const form = readHash(Buffer.isBuffer(value) ? value.toString("utf8") : String(value));
      if (form.is === "refused") throw new Error(`the query gives ${form.kind}, not a hash that can be checked`);
      return hashes.matches(password, form);
    },
    close: database.close,
  };
}

/** `:name` and `:password` in the order in which they stand; `::` is a cast. */
function bound(query: string, place: (count: number) => string): { text: string; names: string[] } {
  const names: string[] = [];
  const text = query.replace(/(?<!:):(name|password)\b/g, (_, name: string) => place(names.push(name)));
  return { text, names };
}

async function postgres(url: string, query: string, config: SqlConfig): Promise<Database> {
  const { default: pg } = await import("pg");
  const { password, timeoutMs, ca } = config;
  const place = new URL(url);
  // Given beside the URL it would lose against the empty one in it.
  if (password !== undefined) place.password = password;
  const pool = new pg.Pool({
    connectionString: place.href,
    max: connections,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    statement_timeout: timeoutMs,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
    ...(isLoopback(place.hostname) ? {} : { ssl: ca === undefined ? true : { ca } }),
  });
  // A connection that breaks while idle is replaced by the next login.
  pool.on("error", () => undefined);
  const { text, names } = bound(query, (count) => `$${count}`);
  return {
    async rows(values) {
      const { rows } = await pool.query<unknown[]>({
        text,
        values: names.map((name) => values[name]),
        rowMode: "array",
      });
      return rows;
    },
    close: () => pool.end(),
  };
}

async function mysql(url: string, query: string, config: SqlConfig): Promise<Database> {
  const { createPool } = await import("mysql2/promise");
  const { password, timeoutMs, ca } = config;
  const { hostname, port, username, pathname } = new URL(url);
  const pool: MysqlPool = createPool({
    host: hostname.replace(/^\[|\]$/g, ""),
    ...(port === "" ? {} : { port: Number(port) }),
    user: decodeURIComponent(username),
    database: decodeURIComponent(pathname.slice(1)),
    connectionLimit: connections,
    connectTimeout: timeoutMs,
    rowsAsArray: true,
    ...(password === undefined ? {} : { password }),
    ...(isLoopback(hostname)
      ? {}
      : { ssl: { rejectUnauthorized: true, verifyIdentity: true, ...(ca === undefined ? {} : { ca }) } }),
  });
  const { text, names } = bound(query, () => "?");
  return {
    async rows(values) {
      const [rows] = await pool.execute(
        { sql: text, timeout: timeoutMs, rowsAsArray: true },
        names.map((name) => values[name] ?? ""),
      );
      return rows as unknown as unknown[][];
    },
    close: () => pool.end(),
  };
}
