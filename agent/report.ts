/** One function for each event worth knowing: it writes the log line and the metric together. Addresses and names go to the log, never a password, key or token. */
import { pino } from "pino";
import type { Notice } from "./errors.ts";
import { agentCounters, type LookResult } from "./metrics/counters.ts";

export type Report = ReturnType<typeof openReport>;

/** `level` as pino's; JSON lines on standard error, times in UTC. Standard output is for people. */
export function openReport(level: string) {
  const log = pino(
    {
      ...{ level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
      // In words, as the server's log has it.
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );
  const counters = agentCounters();
  return {
    /** What `/metrics` adds to. */
    counters,
    woken(cause: string) {
      counters.woken(cause);
      log.trace({ cause }, "woken");
    },
    /** After each look; what it came to is told beside it. */
    looked(result: LookResult, at: number, tookMs: number) {
      counters.looked(result, at, tookMs);
      log.trace({ result, tookMs }, "looked");
    },
    storeRead(tookMs: number, failed?: { readonly code: string; readonly why: string }) {
      counters.storeRead(failed ? "failed" : "read", tookMs);
      if (failed) log.warn({ ...failed, tookMs }, "store not read");
      else log.trace({ tookMs }, "store read");
    },
    inStep: (cause: string) => log.debug({ cause }, "in step"),
    waiting: (cause: string, changes: number, why: readonly string[]) =>
      log.info({ cause, changes, why }, "changes wait"),
    applied(facts: { cause: string; by: string; revision: number; changes: number; impact: string; tookMs: number }) {
      counters.applied("applied");
      log.info(facts, "applied and proven");
    },
    notApplied(cause: string, code: string, why: string) {
      counters.applied("failed");
      log.error({ cause, code, why }, "not applied");
    },
    rolledBack(revision: number, to: number, why: string) {
      counters.applied("rolled back");
      log.error({ revision, to, why }, "rolled back, holding");
    },
    unproven(revision: number, why: string) {
      counters.applied("unproven");
      log.error({ revision, why }, "applied, but not proven, holding");
    },
    confirmed: (revision: number, by: string) => log.info({ revision, by }, "confirmed"),
    frozen: (by: string, until: string | null, reason: string | undefined) => log.warn({ by, until, reason }, "frozen"),
    noticed: (notice: Notice) => log.warn({ code: notice.code, hint: notice.hint }, notice.message),
    lookFailed: (cause: string, code: string, why: string) => log.error({ cause, code, why }, "could not compare"),
    storeUnreadable: (code: string, why: string) =>
      log.warn({ code, why }, "store unreadable, last good snapshot kept"),
    settled: (what: string) => log.warn({ what }, "journal completed"),
    greeted: (program: string, revision: number, pid: number, again: boolean) =>
      log.info({ program, revision, pid, again }, "server connected"),
    lost: (reason: string) => log.warn({ reason }, "server lost"),
    gateStarted: (pid: number | undefined) => log.info({ pid }, "gate started"),
    gateGone: (how: string) => log.error({ how }, "gate is gone"),
    /** Now and then: a fresh host of thousands takes minutes. */
    keysDerived(done: number, of: number) {
      if (done === of ? of >= 20 : done % 200 === 0) log.info({ done, of }, "passwords turned into keys");
    },
    addressFollowed(name: string, address: string) {
      counters.addressFollowed();
      log.info({ name, address }, "external address resolved");
    },
    addressUnresolved: (name: string, why: string) => log.warn({ name, why }, "external address does not resolve"),
    consoleAsked: (admin: string, ask: string) => log.info({ admin, ask }, "asked in the console"),
    rightUsed: (who: string, what: string, on: string) => log.info({ who, what, on }, "right used"),
    edited: (by: string, summary: string) => log.info({ by, summary }, "store edited"),
    stopping: (signal: string) => log.info({ signal }, "stopping"),
    failed: (code: string, why: string) => log.error({ code, why }, "failed"),
  };
}
