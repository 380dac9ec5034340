import { type MessagePort, parentPort } from "node:worker_threads";
import { CodedError } from "../errors.ts";
import { type Database, loadDriver, sqliteCode } from "./driver.ts";
import { plainError, unreadable } from "./failure.ts";
import { createPrivate } from "./files.ts";
import type { FromWorker, OpenMessage, ToWorker } from "./messages.ts";
import { migrate } from "./migrations.ts";
import { type Reader, readerOn } from "./reader.ts";
import { takeSnapshot } from "./snapshot.ts";
import { type Writer, writerOn } from "./writer.ts";

/** The entry of every storage thread: writer, reader, both (in-memory databases, which only one connection can see) or snapshot. */

interface Opened {
  readonly database: Database;
  readonly writer: Writer | undefined;
  readonly reader: Reader | undefined;
}

function open(message: OpenMessage): Opened {
  const inMemory = message.path === ":memory:";
  const writes = message.role === "writer" || message.role === "both";
  let database: Database | undefined;
  try {
    if (writes && !inMemory) createPrivate(message.path);
    database = loadDriver().open(message.path);
    database.exec("PRAGMA busy_timeout = 5000; PRAGMA temp_store = MEMORY");
    if (writes) {
      database.exec("PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864");
      // Refused databases stay as they are, so the schema is looked at before the journal mode is changed.
      migrate(database, message.migrations, {
        file: message.path,
        programVersion: message.programVersion,
        nowMs: message.nowMs,
      });
      if (!inMemory) database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${message.synchronous}`);
      if (message.maxPages !== undefined) database.exec(`PRAGMA max_page_count = ${message.maxPages}`);
    } else if (message.role === "reader") {
      database.exec("PRAGMA query_only = ON");
    }
    return {
      database,
      writer: writes ? writerOn(database) : undefined,
      reader: message.role === "reader" || message.role === "both" ? readerOn(database) : undefined,
    };
  } catch (error) {
    database?.close();
    if (error instanceof CodedError && sqliteCode(error.cause) !== "CORRUPT") throw error;
    throw unreadable(error instanceof CodedError ? error.cause : error, message.path);
  }
}

function close({ database, writer }: Opened): void {
  // The last connection to close folds the log into the file; a full disk leaves it for the next start.
  try {
    if (writer !== undefined) database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    database.close();
  }
}

function serve(port: MessagePort): void {
  let opened: Opened | undefined;
  const post = (message: FromWorker) => port.postMessage(message);

  function handle(message: ToWorker): void {
    switch (message.kind) {
      case "group":
        if (opened?.writer === undefined) return;
        post(opened.writer.group(message));
        opened.writer.checkpointIfDue();
        return;
      case "read":
        opened?.reader?.run(message, post);
        return;
      case "open":
        opened = open(message);
        post({ kind: "opened" });
        return;
      case "probe":
        if (opened?.writer !== undefined) post(opened.writer.probe());
        return;
      case "snapshot":
        if (opened !== undefined) takeSnapshot(opened.database, message.into);
        post({ kind: "snapshot" });
        return;
      case "close":
        if (opened !== undefined) close(opened);
        post({ kind: "closed" });
        port.close();
    }
  }

  port.on("message", (message: ToWorker) => {
    try {
      handle(message);
    } catch (error) {
      if (message.kind === "group" || message.kind === "read") throw error;
      post({ kind: "refused", error: plainError(error) });
    }
  });
}

if (parentPort !== null) serve(parentPort);
