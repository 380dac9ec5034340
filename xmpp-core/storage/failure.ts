import { CodedError } from "../errors.ts";
import { sqliteCode } from "./driver.ts";
import type { PlainError } from "./messages.ts";

/** Errors lose their class between threads, so they cross as data. */
export function plainError(error: unknown): PlainError {
  if (error instanceof CodedError) {
    return { code: error.code, message: error.message, fields: { ...error.fields }, hint: error.hint };
  }
  return {
    code: "storage/unexpected",
    message: error instanceof Error ? error.message : String(error),
    fields: {},
    hint: undefined,
  };
}

export function codedError(plain: PlainError): CodedError {
  return new CodedError(plain.code, plain.message, {
    fields: plain.fields,
    ...(plain.hint === undefined ? {} : { hint: plain.hint }),
  });
}

export function closedError(): CodedError {
  return new CodedError("storage/closed", "The storage is closed.", {
    hint: "Nothing may be stored once closing has begun.",
  });
}

const advice: Record<string, string> = {
  FULL: "Free space on the disk of the home directory; writing resumes by itself.",
  IOERR: "Look for disk errors in the system's log; writing resumes by itself when the disk answers again.",
  READONLY: "Make the home directory writable for this user; writing resumes by itself.",
  BUSY: "Another program holds the database: end it; writing resumes by itself.",
  CORRUPT: "Stop the service and restore the last backup.",
  NOTADB: "Stop the service and restore the last backup.",
};

/** The storage itself cannot write: every unit of the group is lost, and the next ones until it recovers. */
export function storageFailing(error: unknown): PlainError {
  const sqlite = sqliteCode(error) ?? "unknown";
  return {
    code: "storage/failing",
    message: `The database cannot be written: ${messageOf(error)}.`,
    fields: { sqlite },
    hint: advice[sqlite],
  };
}

/** One statement cannot be carried out with these values: a mistake of the caller, not of the storage. */
export function statementFailed(error: unknown, sql: string): PlainError {
  return {
    code: "storage/statement-failed",
    message: `A statement was refused: ${messageOf(error)}.`,
    fields: { sqlite: sqliteCode(error) ?? "unknown", statement: sql },
    hint: undefined,
  };
}

/** A query failed: its text is wrong, or the database cannot be read. */
export function readFailed(error: unknown, sql: string): PlainError {
  return {
    code: "storage/read-failed",
    message: `A query failed: ${messageOf(error)}.`,
    fields: { sqlite: sqliteCode(error) ?? "unknown", statement: sql },
    hint: undefined,
  };
}

/** The database file cannot be opened or is not one. */
export function unreadable(error: unknown, file: string): CodedError {
  const sqlite = sqliteCode(error) ?? "unknown";
  const damaged = sqlite === "CORRUPT" || sqlite === "NOTADB";
  return new CodedError(
    damaged ? "storage/damaged" : "storage/unreadable",
    damaged
      ? `The file ${file} is damaged or is not a database: ${messageOf(error)}.`
      : `The database ${file} cannot be opened: ${messageOf(error)}.`,
    {
      fields: { file, sqlite },
      hint: damaged
        ? "Nothing was changed. Move the file aside and restore the last backup in its place."
        : "Check that the file and its directory exist and belong to the user who runs the service.",
      cause: error,
    },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
