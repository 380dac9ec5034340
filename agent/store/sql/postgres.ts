/** A session of PostgreSQL: one moment of the database in one read-only transaction, and LISTEN. */
import { isIP } from "node:net";
import pg from "pg";
import { StoreError } from "../host-store.ts";
import type { Doing, SessionOptions, SqlDatabase, SqlSession, TlsMode } from "./connection.ts";
import { away, denied, missing, slow, untrusted } from "./failures.ts";
import { describePlace, type SqlPlace } from "./place.ts";

/** What a dead peer may cost beyond the server's own limit. */
const graceMs = 2_000;
const keepAliveMs = 10_000;

const paddedText = 1042;
/** bool, text[], varchar[]. */
const asTheDriverDoes: readonly number[] = [16, 1009, 1015];

/** Everything is text but truth values and lists; a CHAR(n) is padded by the server, not by the host. */
const types = {
  getTypeParser: ((oid: number) => {
    if (asTheDriverDoes.includes(oid)) return pg.types.getTypeParser(oid, "text");
    return oid === paddedText ? (text: string) => text.trimEnd() : (text: string) => text;
  }) as typeof pg.types.getTypeParser,
};

export function postgresDatabase(place: SqlPlace, options: SessionOptions): SqlDatabase {
  return {
    describe: () => describePlace(place),
    connect: () => connect(place, options),
    quote: (identifier) => pg.escapeIdentifier(identifier),
    placeholder: (index) => `$${index}`,
    worthAnother: (error) => {
      const code = codeOf(error);
      if (isReadTimeout(error)) return false;
      // 0A000: a table was altered under a prepared statement.
      return code === undefined || /^(08|57P0|0A000)/.test(code) || !/^[0-9A-Z]{5}$/.test(code);
    },
    explain: (error, doing) => explainFailure(error, doing, place),
  };
}

async function connect(place: SqlPlace, options: SessionOptions): Promise<SqlSession> {
  const { connectTimeoutMs, statementTimeoutMs, tls } = options;
  const password = await options.password();
  const client = new pg.Client({
    host: place.socket ?? place.host,
    port: place.port,
    user: place.user,
    database: place.database,
    ...(password === undefined ? {} : { password }),
    ssl: sslOf(tls, place),
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: statementTimeoutMs + graceMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    application_name: "firekeeper",
    types,
  });
  let notified: () => void = () => {};
  const lost = new Promise<void>((resolve) => {
    client.once("end", resolve);
    client.on("error", () => resolve());
  });
  client.on("notification", () => notified());
  const close = async () => {
    // A server that is gone answers no farewell.
    const end = client.end().catch(() => {});
    const patient = new Promise<void>((resolve) => setTimeout(resolve, 1_000).unref());
    await Promise.race([end, patient]);
    streamOf(client)?.destroy();
  };
  try {
    await client.connect();
    await client.query(`SET statement_timeout = ${statementTimeoutMs}`);
    await client.query(`SET lock_timeout = ${statementTimeoutMs}`);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async beginRead() {
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    },
    async rows(name, statement) {
      const { fields, rows } = await client.query({ name: `firekeeper_${name}`, text: statement, rowMode: "array" });
      return { columns: fields.map((field) => field.name), rows };
    },
    async endRead() {
      await client.query("COMMIT");
    },
    async write(statement, values) {
      await client.query("BEGIN READ WRITE");
      const { rowCount } = await client.query({ text: statement, values: [...values] });
      await client.query(rowCount === 1 ? "COMMIT" : "ROLLBACK");
      return rowCount ?? 0;
    },
    async listen(channel, notify) {
      notified = notify;
      try {
        await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
        return true;
      } catch (error) {
        // A standby takes no LISTEN: polling is left.
        if (codeOf(error) === "25006" || codeOf(error) === "0A000") return false;
        throw error;
      }
    },
    lost,
    close,
  };
}

function sslOf(tls: TlsMode, place: SqlPlace): false | Record<string, unknown> {
  if (tls.mode === "off") return false;
  const name = isIP(place.host) === 0 ? { servername: place.host } : { host: place.host };
  return { ...name, rejectUnauthorized: tls.mode === "verify", ...(tls.ca === undefined ? {} : { ca: tls.ca }) };
}

/** The socket under a client, which waits for a dead peer otherwise. */
function streamOf(client: pg.Client): { destroy(): void } | undefined {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  return connection?.stream;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** SQLSTATE to what a person can do. Appendix A of PostgreSQL's manual. */
function explainFailure(error: unknown, doing: Doing, place: SqlPlace): StoreError {
  if (error instanceof StoreError) return error;
  const at = describePlace(place);
  const code = codeOf(error) ?? "";
  const words = error instanceof Error && !doing.writes ? error.message : "";
  if (code === "57014" || isReadTimeout(error)) return slow(at, doing, error);
  if (code === "55P03") return slow(at, doing, error);
  if (code === "42501") {
    const [, kind = "table", name = "…"] = /permission denied for (\w+) (\S+)/.exec(words) ?? [];
    const grant =
      kind === "schema"
        ? `GRANT USAGE ON SCHEMA ${name} TO ${place.user};`
        : `GRANT ${doing.writes ? "UPDATE" : "SELECT"} ON ${name} TO ${place.user};`;
    return denied(at, doing, `${place.user} may not ${doing.writes ? "write" : "read"} ${kind} ${name}`, grant, error);
  }
  if (code === "28P01" || code === "28000")
    return denied(
      at,
      doing,
      `it refuses the login of ${place.user}`,
      "Check user and password, and pg_hba.conf.",
      error,
    );
  if (code === "3D000")
    return denied(at, doing, `there is no database ${place.database}`, "Correct FIREKEEPER_STORE.", error);
  if (/^42|^3F/.test(code)) return missing(at, doing, words || `SQLSTATE ${code}`, "docs/stores/postgres.sql", error);
  if (/does not support SSL/i.test(words)) return untrusted(at, "it speaks no TLS", error);
  if (isCertificateError(code)) return untrusted(at, `its certificate is not accepted (${code})`, error);
  if (/^[0-9A-Z]{5}$/.test(code) && !/^(08|53|57|40)/.test(code))
    return new StoreError("store/bad-query", `${at} refuses ${doing.source ?? "the connection"} (SQLSTATE ${code}).`, {
      hint: "Run the statement by hand: the server's own words may quote the host's data.",
      cause: doing.writes ? undefined : error,
    });
  return away(at, code || words, error);
}

/** The driver's own limit, which has no code. */
function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && /query read timeout/i.test(error.message);
}

function isCertificateError(code: string): boolean {
  return /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_/.test(code);
}
