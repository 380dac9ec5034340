/** A session of MariaDB or MySQL: one consistent snapshot of the database, read only. */
import mysql from "mysql2/promise";
import { StoreError } from "../host-store.ts";
import type { Doing, SessionOptions, SqlDatabase, SqlSession, TlsMode } from "./connection.ts";
import { away, denied, missing, slow, untrusted } from "./failures.ts";
import { describePlace, type SqlPlace } from "./place.ts";

/** What a dead peer may cost beyond the server's own limit. */
const graceMs = 2_000;
const keepAliveMs = 10_000;

export function mysqlDatabase(place: SqlPlace, options: SessionOptions): SqlDatabase {
  return {
    describe: () => describePlace(place),
    connect: () => connect(place, options),
    quote: (identifier) => `\`${identifier.replaceAll("`", "``")}\``,
    placeholder: () => "?",
    worthAnother(error) {
      const { number, code } = factsOf(error);
      return number === undefined ? code !== "PROTOCOL_SEQUENCE_TIMEOUT" : sessionEnds.has(number);
    },
    explain: (error, doing) => explainFailure(error, doing, place),
  };
}

async function connect(place: SqlPlace, options: SessionOptions): Promise<SqlSession> {
  const { connectTimeoutMs, statementTimeoutMs, tls } = options;
  const password = await options.password();
  const connection = await mysql.createConnection({
    ...(place.socket === undefined ? { host: place.host, port: place.port } : { socketPath: place.socket }),
    user: place.user,
    database: place.database,
    ...(password === undefined ? {} : { password }),
    ...sslOf(tls),
    connectTimeout: connectTimeoutMs,
    charset: "utf8mb4",
    enableKeepAlive: true,
    keepAliveInitialDelay: keepAliveMs,
    supportBigNumbers: true,
    bigNumberStrings: true,
    dateStrings: true,
    // A server could ask for any file of this machine otherwise.
    flags: ["-LOCAL_FILES"],
  });
  const timeout = statementTimeoutMs + graceMs;
  const lost = new Promise<void>((resolve) => {
    connection.on("error", () => resolve());
    connection.on("end", () => resolve());
  });
  const close = async () => connection.destroy();
  const run = (sql: string) => connection.query({ sql, timeout });
  try {
    await limitStatements(run, statementTimeoutMs);
    await run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ");
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async beginRead() {
      await run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY");
    },
    async rows(_name, statement) {
      const [rows, fields] = await connection.execute({ sql: statement, timeout, rowsAsArray: true });
      return {
        columns: (fields ?? []).map((field) => field.name),
        rows: Array.isArray(rows) ? (rows as unknown[][]) : [],
      };
    },
    async endRead() {
      await run("COMMIT");
    },
    async write(statement, values) {
      await run("START TRANSACTION READ WRITE");
      const [result] = await connection.execute({ sql: statement, timeout }, [...values]);
      const touched = "affectedRows" in result ? result.affectedRows : 0;
      await run(touched === 1 ? "COMMIT" : "ROLLBACK");
      return touched;
    },
    listen: async () => false,
    lost,
    close,
  };
}

/** The server's own limit: MariaDB counts seconds, MySQL milliseconds of reading statements. */
async function limitStatements(run: (sql: string) => Promise<unknown>, ms: number): Promise<void> {
  try {
    await run(`SET SESSION max_statement_time = ${ms / 1000}`);
  } catch (error) {
    if (factsOf(error).number !== numbers.unknownVariable) throw error;
    await run(`SET SESSION max_execution_time = ${ms}`);
  }
  await run(`SET SESSION innodb_lock_wait_timeout = ${Math.max(1, Math.ceil(ms / 1000))}`);
}

function sslOf(tls: TlsMode): { ssl?: mysql.SslOptions } {
  if (tls.mode === "off") return {};
  const verify = tls.mode === "verify";
  return {
    ssl: { rejectUnauthorized: verify, verifyIdentity: verify, ...(tls.ca === undefined ? {} : { ca: tls.ca }) },
  };
}

const numbers = {
  accessDenied: 1045,
  databaseDenied: 1044,
  tableDenied: 1142,
  columnDenied: 1143,
  unknownDatabase: 1049,
  unknownVariable: 1193,
  lockWait: 1205,
  mariaTimeout: 1969,
  mysqlTimeout: 3024,
} as const;
const denials: ReadonlySet<number> = new Set([numbers.tableDenied, numbers.columnDenied]);
const timeouts: ReadonlySet<number> = new Set([numbers.lockWait, numbers.mariaTimeout, numbers.mysqlTimeout]);
const logins: ReadonlySet<number> = new Set([numbers.accessDenied, numbers.databaseDenied, 1698]);
/** Unknown table, column, function, routine; no SQL at all. */
const absences: ReadonlySet<number> = new Set([1146, 1054, 1064, 1305, 1630, 1051, 1109]);
/** Shutdown, killed, too many connections, and a prepared statement that outlived its table. */
const sessionEnds: ReadonlySet<number> = new Set([1053, 1077, 1317, 1927, 1040, 1203, 1226, 1615, 1412, 4031]);

function factsOf(error: unknown): { number: number | undefined; code: string; words: string } {
  if (!(error instanceof Error)) return { number: undefined, code: "", words: String(error) };
  const { errno, code } = error as Error & { errno?: unknown; code?: unknown };
  // Numbers of system calls are negative.
  const number = typeof errno === "number" && errno > 0 ? errno : undefined;
  return { number, code: typeof code === "string" ? code : "", words: error.message };
}

/** The server's number to what a person can do. */
function explainFailure(error: unknown, doing: Doing, place: SqlPlace): StoreError {
  if (error instanceof StoreError) return error;
  const at = describePlace(place);
  const { number, code, words } = factsOf(error);
  if (code === "PROTOCOL_SEQUENCE_TIMEOUT") return slow(at, doing, error);
  if (number === undefined)
    return /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_|HANDSHAKE_NO_SSL/.test(code)
      ? untrusted(
          at,
          code === "HANDSHAKE_NO_SSL_SUPPORT" ? "it speaks no TLS" : `its certificate is not accepted (${code})`,
          error,
        )
      : away(at, code, error);
  if (timeouts.has(number)) return slow(at, doing, error);
  if (denials.has(number)) {
    const [, table = "…"] = /for table (\S+)/.exec(words) ?? [];
    const [, user = `'${place.user}'`] = /to user ('[^']*'@'[^']*')/.exec(words) ?? [];
    const right = doing.writes ? "UPDATE" : "SELECT";
    const grant = `GRANT ${right} ON ${table} TO ${user.replaceAll("'", "`")};`;
    return denied(at, doing, `${place.user} may not ${doing.writes ? "write" : "read"} ${table}`, grant, error);
  }
  if (logins.has(number))
    return denied(
      at,
      doing,
      `it refuses the login of ${place.user} to ${place.database}`,
      "Check user, password and grants.",
      error,
    );
  if (number === numbers.unknownDatabase)
    return denied(at, doing, `there is no database ${place.database}`, "Correct FIREKEEPER_STORE.", error);
  if (absences.has(number)) return missing(at, doing, doing.writes ? code : words, "docs/stores/mysql.sql", error);
  if (sessionEnds.has(number)) return away(at, code, error);
  return new StoreError("store/bad-query", `${at} refuses ${doing.source ?? "the connection"} (${code}, ${number}).`, {
    hint: "Run the statement by hand: the server's own words may quote the host's data.",
    ...(doing.writes ? {} : { cause: error }),
  });
}
