import type { Logger } from "pino";
import { Counter, Histogram, Registry as MetricsRegistry } from "prom-client";
import { explain } from "./errors.ts";

/** One function per event worth knowing: it writes the log line and the metric together and never throws. */
export interface Report {
  readonly metrics: MetricsRegistry;
  readonly log: Logger;
  /** Once for each message that is delivered or stored; so often that there is no log line. */
  messageSent(): void;
  /** Once for each group of writes: from its first commit until it is on disk. */
  committed(tookMs: number): void;
  started(facts: { domain: string; revision: number; tookMs: number }): void;
  stopping(facts: { cause: string; sessions: number }): void;
  streamFailed(facts: {
    remote: string;
    session?: string | undefined;
    condition: string;
    text?: string | undefined;
  }): void;
  loggedIn(facts: { session: string; remote: string; mechanism: string; tls: string | undefined }): void;
  loginFailed(facts: { name: string | undefined; remote: string; mechanism: string; condition: string }): void;
  keysNotLearned(facts: { name: string; code: string }): void;
  passwordNotChanged(facts: { name: string; code: string }): void;
  accountNotRemoved(facts: { name: string; code: string }): void;
  mailNotSent(facts: { code: string }): void;
  directoryFailed(facts: { source: string; why: string }): void;
  registered(facts: { name: string; remote: string }): void;
  unregistered(facts: { name: string }): void;
  sessionResumed(facts: { session: string; after: "detach" | "restart" | "crash" }): void;
  sessionEnded(facts: { session: string; why: string }): void;
  handlerFailed(facts: { session: string; stanza: string; id: string | undefined; error: unknown }): void;
  storageFailing(facts: { code: string; message: string }): void;
  storageRecovered(): void;
  applied(facts: { revision: number; by: string; changes: number }): void;
  applyFailed(facts: { revision: number; by: string; code: string; message: string }): void;
  certificateChanged(facts: { name: string; until: string; selfSigned: boolean }): void;
  certificateRefused(facts: { name: string; code: string; message: string }): void;
  certificateOrdered(facts: { name: string; names: string; directory: string; tookMs: number }): void;
  certificateOrderFailed(facts: { name: string; code: string; message: string; nextTry: string }): void;
  archivePurged(facts: { messages: number; olderThanDays: number }): void;
  abuseReported(facts: { by: string; on: string; reason: string }): void;
  adminLoggedIn(facts: { name: string; remote: string }): void;
  adminLoginFailed(facts: { remote: string }): void;
  componentConnected(facts: { label: string; remote: string }): void;
  componentRefused(facts: { label: string; remote: string }): void;
  componentGone(facts: { label: string }): void;
  uploaded(facts: { by: string; bytes: number; purpose: string }): void;
  uploadRefused(facts: { by: string; why: string }): void;
  uploadFailed(facts: { by: string; code: string; message: string }): void;
  uploadsFull(facts: { free: number }): void;
  uploadsUnreachable(facts: { address: string; why: string }): void;
  uploadsReachable(facts: { address: string }): void;
  listenerFailed(facts: { listener: string; code: string; message: string }): void;
  pushed(facts: { outcome: "accepted" | "refused" | "unanswered" }): void;
  pushGivenUp(facts: { account: string; service: string; condition: string }): void;
  wrong(facts: { what: string; error: unknown }): void;
}

/** @param log where lines go; addresses and ids only, never bodies, passwords or tokens. */
export function openReport(log: Logger): Report {
  const metrics = new MetricsRegistry();
  const counter = (name: string, help: string, labelNames: string[] = []): Counter =>
    new Counter({ name: `firekeeper_${name}`, help, labelNames, registers: [metrics] });
  const pushes = counter("push_notifications_total", "Calls of apps by way of their push services", ["outcome"]);
  const streamErrors = counter("stream_errors_total", "Streams ended by a stream error", ["condition"]);
  const logins = counter("logins_total", "Logins", ["mechanism"]);
  const failedLogins = counter("failed_logins_total", "Failed logins", ["condition"]);
  const directoryFailures = counter("directory_failures_total", "Logins that a directory did not judge", ["source"]);
  const purged = counter("purged_messages_total", "Messages that archives no longer keep for their age");
  const abuse = counter("abuse_reports_total", "Reports of spam and abuse by users", ["reason"]);
  const registrations = counter("registrations_total", "Accounts made and given up by their owners", ["what"]);
  const resumed = counter("resumed_sessions_total", "Sessions resumed", ["after"]);
  const ended = counter("ended_sessions_total", "Sessions ended", ["why"]);
  const faults = counter("faults_total", "Requests that failed by our own fault");
  const applies = counter("applied_total", "Applied revisions", ["result"]);
  const storageFailures = counter("storage_failures_total", "Times that the storage began to fail");
  const componentEvents = counter("components_total", "Components connected, refused and gone", ["what"]);
  const orders = counter("certificate_orders_total", "Certificates ordered by ACME", ["result"]);
  const uploads = counter("uploads_total", "Files uploaded, refused and failed", ["what"]);
  const uploadedBytes = counter("uploaded_bytes_total", "Bytes of uploaded files");
  let messages = 0;
  new Counter({
    name: "firekeeper_messages_total",
    help: "Messages delivered or stored",
    registers: [metrics],
    collect() {
      this.reset();
      this.inc(messages);
    },
  });
  const commits = new Histogram({
    name: "firekeeper_commit_seconds",
    help: "Time from a change until it is on disk",
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers: [metrics],
  });
  const adminLogins = counter("admin_logins_total", "Logins to console and REST", ["result"]);

  return {
    metrics,
    log,
    messageSent() {
      messages++;
    },
    committed: (tookMs) => commits.observe(tookMs / 1000),
    started: (facts) => log.info(facts, "ready"),
    stopping: (facts) => log.info(facts, "stopping"),
    streamFailed(facts) {
      streamErrors.inc({ condition: facts.condition });
      log.info(facts, "stream error");
    },
    loggedIn(facts) {
      logins.inc({ mechanism: facts.mechanism });
      log.info(facts, "logged in");
    },
    loginFailed(facts) {
      failedLogins.inc({ condition: facts.condition });
      log.warn(facts, "login failed");
    },
    keysNotLearned: (facts) => log.warn(facts, "no SCRAM keys were made at a login"),
    mailNotSent: (facts) => log.warn(facts, "the mail server did not take a mail; it is tried again for an hour"),
    accountNotRemoved: (facts) => log.warn(facts, "the host did not remove a user who gave up the account"),
    passwordNotChanged: (facts) => log.warn(facts, "the host did not take a user's new password"),
    directoryFailed(facts) {
      directoryFailures.inc({ source: facts.source });
      log.error(facts, "a directory does not judge passwords");
    },
    registered(facts) {
      registrations.inc({ what: "made" });
      log.info(facts, "account made in-band");
    },
    unregistered(facts) {
      registrations.inc({ what: "given up" });
      log.info(facts, "account given up in-band");
    },
    sessionResumed(facts) {
      resumed.inc({ after: facts.after });
      log.info(facts, "session resumed");
    },
    sessionEnded(facts) {
      ended.inc({ why: facts.why });
      log.info(facts, "session ended");
    },
    handlerFailed({ error, ...facts }) {
      faults.inc();
      log.error({ ...facts, err: error }, "a request failed by our own fault");
    },
    storageFailing(facts) {
      storageFailures.inc();
      log.error(facts, "storage is failing");
    },
    storageRecovered: () => log.info("storage works again"),
    applied(facts) {
      applies.inc({ result: "applied" });
      log.info(facts, "applied");
    },
    applyFailed(facts) {
      applies.inc({ result: "failed" });
      log.error(facts, "apply failed");
    },
    certificateChanged: (facts) => log.info(facts, "certificate in use"),
    certificateRefused: (facts) => log.error(facts, "certificate refused, the former one stays"),
    certificateOrdered(facts) {
      orders.inc({ result: "issued" });
      log.info(facts, "certificate ordered");
    },
    certificateOrderFailed(facts) {
      orders.inc({ result: "failed" });
      log.error(facts, "certificate not ordered, the one in use stays");
    },
    archivePurged(facts) {
      purged.inc(facts.messages);
      log.info(facts, "old messages purged from the archives");
    },
    abuseReported(facts) {
      abuse.inc({ reason: facts.reason });
      log.warn(facts, "a user reports somebody");
    },
    adminLoggedIn(facts) {
      adminLogins.inc({ result: "ok" });
      log.info(facts, "admin logged in");
    },
    adminLoginFailed(facts) {
      adminLogins.inc({ result: "refused" });
      log.warn(facts, "admin login refused");
    },
    componentConnected(facts) {
      componentEvents.inc({ what: "connected" });
      log.info(facts, "component connected");
    },
    componentRefused(facts) {
      componentEvents.inc({ what: "refused" });
      log.warn(facts, "component refused");
    },
    componentGone(facts) {
      componentEvents.inc({ what: "gone" });
      log.info(facts, "component gone");
    },
    uploaded(facts) {
      uploads.inc({ what: "stored" });
      uploadedBytes.inc(facts.bytes);
      log.info(facts, "file uploaded");
    },
    uploadRefused(facts) {
      uploads.inc({ what: "refused" });
      log.debug(facts, "no place given for a file");
    },
    uploadFailed(facts) {
      uploads.inc({ what: "failed" });
      log.error(facts, "an uploaded file could not be stored");
    },
    uploadsFull: (facts) => log.error(facts, "the disk has no space for uploads"),
    uploadsUnreachable: (facts) => log.error(facts, "files cannot be reached at the address that programs are told"),
    uploadsReachable: (facts) => log.info(facts, "files can be reached at the address that programs are told"),
    listenerFailed: (facts) => log.error(facts, "listener failed"),
    pushed: ({ outcome }) => pushes.inc({ outcome }),
    pushGivenUp: (facts) => log.info(facts, "an app is no longer called: its push service refuses"),
    wrong({ what, error }) {
      faults.inc();
      log.error({ err: error }, `${what}: ${explain(error)}`);
    },
  };
}
