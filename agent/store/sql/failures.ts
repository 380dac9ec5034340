/** What can go wrong with a database, each as one sentence with what to do. */
import { StoreError } from "../host-store.ts";
import type { Doing } from "./connection.ts";

/** Nothing that the server said is kept as cause of an error about a write: it may quote the row. */
const kept = (doing: Doing, cause: unknown) => (doing.writes ? {} : { cause });

export function away(at: string, why: string, cause: unknown): StoreError {
  return new StoreError("store/unreachable", `${at} cannot be reached${why === "" ? "" : ` (${why})`}.`, {
    hint: "Start it or mend the network; the agent goes on trying.",
    cause,
  });
}

export function slow(at: string, doing: Doing, cause: unknown): StoreError {
  return new StoreError("store/slow", `${at} took too long over ${doing.source ?? "the connection"}.`, {
    hint: "Find what holds it up, or raise statementTimeoutMs.",
    ...kept(doing, cause),
  });
}

export function denied(at: string, doing: Doing, what: string, hint: string, cause: unknown): StoreError {
  const reading = doing.source ? ` (needed for ${doing.source})` : "";
  return new StoreError("store/denied", `${at}: ${what}${reading}.`, { hint, ...kept(doing, cause) });
}

/** A table, a column or a function that is not there, or a statement that is no SQL. */
export function missing(at: string, doing: Doing, words: string, script: string, cause: unknown): StoreError {
  return new StoreError("store/bad-query", `${at}: ${doing.source ?? "the connection"}: ${words.replace(/\.$/, "")}.`, {
    hint: `Run ${script}, or name the host's own tables in the file of FIREKEEPER_STORE_CONFIG.`,
    ...kept(doing, cause),
  });
}

export function untrusted(at: string, why: string, cause: unknown): StoreError {
  return new StoreError("store/untrusted", `${at} is not trusted: ${why}.`, {
    hint: "Name its certificate authority in tls.ca, or say tls: encrypt or tls: off.",
    cause,
  });
}
