/** A host in PostgreSQL or MariaDB: settings, roles, users and teams of one moment, read in one transaction. docs/stores. */
import { type HostStore, StoreError } from "../host-store.ts";
import type { StorePlace } from "../place.ts";
import { openRecordStore, type RecordSource, type RecordStoreOptions, tagOf } from "../record-store.ts";
import { readSqlConfig, type SqlConfig } from "./config.ts";
import type { Doing, SqlDatabase, SqlSession, Table } from "./connection.ts";
import { mysqlDatabase } from "./mysql.ts";
import { type PartName, partNames, sourceOf, statementOf } from "./parts.ts";
import { postgresDatabase } from "./postgres.ts";
import { newMemo, recordsOfTables, type Tables } from "./rows.ts";
import { answerOf, tableText, watchDatabase } from "./watching.ts";
import { bindNames, passwordValues } from "./write-password.ts";

export interface OpenedSqlStore {
  readonly store: HostStore;
  close(): Promise<void>;
}

/** Opens the store. Throws `store/config` when URL or file cannot be one; connects at the first read. */
export async function openSqlStore(place: StorePlace, options: RecordStoreOptions): Promise<OpenedSqlStore> {
  const source = sqlSource(await readSqlConfig(place));
  const store = await openRecordStore(source, options);
  return { store, close: () => store.kept().then(source.close) };
}

export function sqlSource(config: SqlConfig): RecordSource & { close(): Promise<void> } {
  const { place, parts, changeQuery, channel, writePassword, warnings, wholeReadMs } = config;
  const database: SqlDatabase =
    place.kind === "postgres" ? postgresDatabase(place, config) : mysqlDatabase(place, config);
  const wanted = partNames.flatMap((name) => {
    const source = parts[name];
    return source ? [{ name, from: sourceOf(name, source), statement: statementOf(name, source, database.quote) }] : [];
  });
  const writing = writePassword && bindNames(writePassword.query, writePassword.hash, database.placeholder);
  let session: SqlSession | undefined;
  let sessions = 0;
  let closed = false;
  let seen: string | undefined;
  let wholeAt = 0;
  let doing: Doing = {};
  const memo = newMemo();

  const drop = async () => {
    const former = session;
    session = undefined;
    await former?.close();
  };

  /** In the standing session, or in a new one if that has ended meanwhile; a failed session is never used again. */
  const inSession = async <T>(work: (open: SqlSession) => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      const standing = session !== undefined;
      try {
        doing = {};
        const open = session ?? (await database.connect());
        if (session === undefined) sessions++;
        session = open;
        const done = await work(open);
        if (closed) await drop();
        return done;
      } catch (error) {
        await drop();
        if (attempt === 1 && standing && !(error instanceof StoreError) && database.worthAnother(error)) continue;
        throw database.explain(error, doing);
      }
    }
  };

  const rows = (open: SqlSession, name: string, source: string, statement: string): Promise<Table> => {
    doing = { source };
    return open.rows(name, statement);
  };

  /** One moment of the database. */
  const readOnce = async (open: SqlSession, known: string | undefined) => {
    await open.beginRead();
    const answer =
      changeQuery === undefined ? undefined : answerOf(await rows(open, "change", "the change query", changeQuery));
    // Another session may be another server, whose counter says nothing about the former one's.
    const tag = answer === undefined ? undefined : `${sessions}:${answer}`;
    const unchanged = tag !== undefined && tag === known && Date.now() - wholeAt < wholeReadMs;
    const tables: Partial<Record<PartName, Table>> = {};
    for (const { name, from, statement } of unchanged ? [] : wanted)
      tables[name] = await rows(open, name, from, statement);
    await open.endRead();
    return unchanged ? ("unchanged" as const) : { tables, answer, tag };
  };

  return {
    kind: place.kind,
    describe: database.describe,
    async read(known) {
      const read = await inSession((open) => readOnce(open, known));
      if (read === "unchanged") return read;
      const { tables, answer } = read;
      const tag = read.tag ?? contentTag(tables);
      if (answer === undefined && tag === known) return "unchanged";
      const records = recordsOfTables(tables, parts, database.describe(), memo);
      wholeAt = Date.now();
      seen = answer;
      return { tag, records: { ...records, warnings: [...warnings, ...records.warnings] } };
    },
    watch: (lookAgain) =>
      watchDatabase({ database, channel, changeQuery, pollMs: config.pollMs, seen: () => seen }, lookAgain),
    ...(writing && writePassword
      ? ({
          takes: (change) => change.kind === "user-password",
          async write(change) {
            if (change.kind !== "user-password")
              throw new StoreError("store/read-only", "Only passwords are written here.");
            const values: Record<string, string> = {
              name: change.name,
              ...(await passwordValues(writePassword.hash, change.password)),
            };
            const touched = await inSession((open) => {
              doing = { source: "writePassword.query", writes: true };
              return open.write(
                writing.text,
                writing.names.map((name) => values[name] ?? ""),
              );
            });
            if (touched !== 1)
              throw new StoreError(
                "store/not-written",
                `${database.describe()}: the statement for passwords touched ${touched} rows for ${change.name}, so it was undone.`,
                { hint: "writePassword.query must change exactly one row for each name." },
              );
            return `the password of ${change.name} was changed`;
          },
        } satisfies Partial<RecordSource>)
      : {}),
    async close() {
      closed = true;
      await drop();
    },
  };
}

/** Without a change query the content says whether anything changed. */
function contentTag(tables: Tables): string {
  return tagOf(...partNames.map((name) => (tables[name] ? tableText(tables[name]) : "")));
}
