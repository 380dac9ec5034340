import { execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { XmppClient } from "../support/xmpp-client.ts";
import { type Outcome, outcomes } from "./results.ts";
import type { Subject } from "./subject.ts";

const run = promisify(execFile);
const program = fileURLToPath(new URL("SmackRun.java", import.meta.url));
/** How long Smack waits for one answer; a test that fails takes a few of them. */
const replyTimeoutMs = 10_000;
const longestRunMs = 9.5 * 60_000;

export type Choice = {
  /** Specifications as in `XEP-0045`; all without it. */
  specifications?: string | undefined;
  /** Classes or `Class.test`; all without it. */
  tests?: string | undefined;
  /** Writes every stanza into the log. */
  trace: boolean;
};

/** Runs the tests and returns what became of each; the log is `smack.log` in `directory`. */
export async function runSmack(
  subject: Subject,
  classPath: string,
  directory: string,
  choice: Choice,
): Promise<readonly Outcome[]> {
  const results = join(directory, "results.jsonl");
  const settings: Record<string, string> = {
    service: subject.domain,
    host: subject.host,
    securityMode: "required",
    replyTimeout: String(replyTimeoutMs),
    // The others need WebSocket, or are Smack's unfinished second client: the same bytes over TCP, and a close it waits for in vain.
    enabledConnections: "tcp",
    dnsResolver: "javax",
    ...(subject.admin && { adminAccountUsername: subject.admin.user, adminAccountPassword: subject.admin.password }),
    ...(choice.specifications && { enabledSpecifications: choice.specifications }),
    ...(choice.tests && { enabledTests: choice.tests }),
    ...(choice.trace && { debugger: "console" }),
  };
  const properties = Object.entries(settings).map(([key, value]) => `-Dsinttest.${key}=${value}`);
  properties.push(...(await trustStore(subject, directory)));
  const log = createWriteStream(join(directory, "smack.log"));
  const child = spawn("java", ["-Xmx512m", ...properties, "-cp", classPath, program, results], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const tooLong = setTimeout(() => child.kill(), longestRunMs);
  const code = await ended.finally(() => clearTimeout(tooLong));
  await new Promise<void>((resolve) => log.end(resolve));
  const written = await readFile(results, "utf8").catch(() => "");
  if (code !== 0 && written === "") {
    const output = await readFile(join(directory, "smack.log"), "utf8");
    throw new Error(`Smack's runner ended with ${code}\n${output.slice(-4000)}\n${subject.logs()}`);
  }
  return outcomes(written);
}

/** A trust store with the certificate that the server shows now; Smack's own setting for a pin has no effect in this version. */
async function trustStore(subject: Subject, directory: string): Promise<readonly string[]> {
  const client = await XmppClient.connect({ host: subject.host, port: 5222, domain: subject.domain });
  const certificate = client.certificate;
  client.drop();
  if (certificate === undefined) throw new Error(`${subject.name} showed no certificate`);
  const [pem, store] = [join(directory, "server.pem"), join(directory, "trust.p12")];
  await writeFile(pem, certificate.toString());
  await rm(store, { force: true });
  const argv = ["-importcert", "-noprompt", "-alias", "server", "-file", pem, "-keystore", store];
  await run("keytool", [...argv, "-storetype", "PKCS12", "-storepass", "changeit"]);
  const settings = { trustStore: store, trustStoreType: "PKCS12", trustStorePassword: "changeit" };
  return Object.entries(settings).map(([key, value]) => `-Djavax.net.ssl.${key}=${value}`);
}
