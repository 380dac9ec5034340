import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Another server, running on loopback for a test or the bench. */
export type Peer = {
  readonly name: string;
  readonly version: string;
  readonly host: string;
  /** STARTTLS. */
  readonly port: number;
  readonly directTlsPort: number;
  readonly domain: string;
  readonly pid: number;
  /** How it is set up, for the bench's report. */
  readonly setup: string;
  addUsers(users: readonly { user: string; password: string }[]): Promise<void>;
  output(): string;
  stop(): Promise<void>;
};

export type PeerOptions = {
  domain?: string;
  archive: boolean;
  /** Address and port of STARTTLS, default a free port of 127.0.0.1. */
  listen?: { address: string; port: number };
  /** Rooms, nodes and service administration by `admin@domain` besides what one-to-one chat needs. */
  services?: boolean;
};

/** A directory below the system's temporary one. */
export async function freshDirectory(name: string): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), `firekeeper-${name}-`));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Writes a self-signed P-256 certificate, the kind Firekeeper makes for itself, into `key.pem` and `cert.pem`. */
export async function selfSigned(directory: string, domain: string): Promise<{ key: string; cert: string }> {
  const key = join(directory, "key.pem");
  const cert = join(directory, "cert.pem");
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", `/CN=${domain}`, "-addext", `subjectAltName=DNS:${domain}`];
  await run("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert, "-days", "30", ...subject]);
  return { key, cert };
}

/** True if all these programs are on the PATH (or in /usr/sbin). */
export async function installed(...programs: string[]): Promise<boolean> {
  return succeeds("sh", "-c", programs.map((name) => `PATH=$PATH:/usr/sbin command -v ${name}`).join(" && "));
}

/** True if the command runs and ends with 0. */
export function succeeds(command: string, ...argv: string[]): Promise<boolean> {
  return run(command, argv).then(
    () => true,
    () => false,
  );
}

/** The version of an installed Debian package. */
export async function packageVersion(name: string): Promise<string> {
  const { stdout } = await run("dpkg-query", ["-W", name]);
  return stdout.trim().split("\t")[1] ?? "";
}
