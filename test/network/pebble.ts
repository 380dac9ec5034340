/** Pebble, Let's Encrypt's test authority from Debian, with a name server that answers 127.0.0.1 to everything. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/core.ts";

const programs = ["/usr/bin/pebble", "/usr/bin/pebble-challtestsrv", "/usr/bin/openssl"];

/** Why the suite cannot run here. */
export const absent = programs.find((program) => !existsSync(program));

export interface Pebble {
  readonly directory: string;
  /** Roots of its own HTTPS. */
  readonly caFile: string;
  /** It connects here to see http-01 proofs. */
  readonly httpPort: number;
  /** Publishes TXT records as FIREKEEPER_ACME_HOOK has to; each run is a line in `hookLog`. */
  readonly hook: string;
  hookRuns(): Promise<string[]>;
  /** What it has said so far. */
  log(): string;
  /** Ends it; its memory of accounts is gone with it. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Answers lookups of this name with another address. */
  point(name: string, address: string): Promise<void>;
  close(): Promise<void>;
}

export async function startPebble(
  options: { rejectNonces?: number; binding?: Record<string, string> } = {},
): Promise<Pebble> {
  const folder = await mkdtemp(join(tmpdir(), "pebble-"));
  const [port, admin, httpPort, tlsPort, dns, management] = await Promise.all(Array.from({ length: 6 }, freePort));
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...ec, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "30");
  openssl("req", ...ec, "-keyout", "pebble.key", "-out", "pebble.csr", "-subj", "/CN=localhost");
  await writeFile(join(folder, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  openssl(..."x509 -req -in pebble.csr -CA ca.pem -CAkey ca.key -out pebble.pem -days 30 -extfile names".split(" "));
  const config = {
    ...{ listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${admin}`, httpPort, tlsPort },
    ...{ certificate: join(folder, "pebble.pem"), privateKey: join(folder, "pebble.key"), ocspResponderURL: "" },
    externalAccountBindingRequired: options.binding !== undefined,
    externalAccountMACKeys: options.binding ?? {},
  };
  await writeFile(join(folder, "config.json"), JSON.stringify({ pebble: config }));
  const hook = join(folder, "hook.mjs");
  await writeFile(
    hook,
    `#!${process.execPath}
import { appendFileSync } from "node:fs";
const [what, name, value] = process.argv.slice(2);
appendFileSync(${JSON.stringify(join(folder, "hook.log"))}, process.argv.slice(2).join(" ") + "\\n");
const body = JSON.stringify(what === "present" ? { host: name + ".", value } : { host: name + "." });
const path = what === "present" ? "set-txt" : "clear-txt";
const answer = await fetch("http://127.0.0.1:${management}/" + path, { method: "POST", body });
process.exit(answer.ok ? 0 : 1);
`,
  );
  await chmod(hook, 0o755);

  let output = "";
  const run = (program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess => {
    const child = spawn(program, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (output += chunk));
    return child;
  };
  const end = async (child: ChildProcess | undefined): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  };
  const names = run(programs[1] as string, [
    ...["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${management}`],
    ...["-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""],
  ]);
  let pebble: ChildProcess | undefined;

  const own: Pebble = {
    ...{
      directory: `https://127.0.0.1:${port}/dir`,
      caFile: join(folder, "ca.pem"),
      httpPort: httpPort as number,
      hook,
    },
    async hookRuns() {
      const text = await readFile(join(folder, "hook.log"), "utf8").catch(() => "");
      return text.split("\n").filter((line) => line !== "");
    },
    log: () => output,
    stop: () => end(pebble),
    async start() {
      pebble = run(programs[0] as string, ["-config", "config.json", "-dnsserver", `127.0.0.1:${dns}`], {
        ...{ PEBBLE_VA_NOSLEEP: "1", PEBBLE_VA_ALWAYS_VALID: "0", PEBBLE_WFE_AUTHZREUSE: "0" },
        PEBBLE_WFE_NONCEREJECT: String(options.rejectNonces ?? 0),
      });
      const ca = await readFile(own.caFile);
      await answering(
        own.directory,
        ca,
        () => pebble?.exitCode !== null,
        () => output,
      );
    },
    async point(name, address) {
      const body = JSON.stringify({ host: name, addresses: [address] });
      await fetch(`http://127.0.0.1:${management}/add-a`, { method: "POST", body });
    },
    async close() {
      await end(pebble);
      await end(names);
      await rm(folder, { recursive: true, force: true });
    },
  };
  await own.start();
  return own;
}

/** Until the server answers; programs say nothing when they are ready. */
async function answering(url: string, ca: Buffer, over: () => boolean, said: () => string): Promise<void> {
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      const asking = request(url, { ca }, (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      });
      asking.once("error", () => resolve(false));
      asking.end();
    });
    if (answered) return;
    if (over()) throw new Error(`pebble ended: ${said()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
