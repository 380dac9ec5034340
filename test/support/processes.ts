/** The built program as a user runs it: real processes, a home of its own, the command line. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { type Child, freePorts, startChild } from "./child.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The three processes of one service (docs/architecture.md "Three processes"). */
export type Part = "agent" | "gate" | "core";
export type CliResult = { code: number; stdout: string; stderr: string };
export type HostYaml = {
  settings?: Record<string, string | number | boolean>;
  roles?: { name: string; types: string[]; members: string[] | "all" }[];
  users?: ({ name: string; password?: string; credentials?: unknown } & Record<string, unknown>)[];
};
export type ServiceOptions = {
  domain?: string;
  host?: HostYaml;
  /** The host sets nothing but users and roles: domain and ports are the program's own. */
  nothingSet?: boolean;
  /** Further server properties, without the prefix `sys.xmpp.properties.`. */
  properties?: Record<string, string | number | boolean>;
  env?: NodeJS.ProcessEnv | ((home: string) => NodeJS.ProcessEnv);
  /** Address that everything listens on, default 127.0.0.1, and the port for STARTTLS, default a free one. */
  listen?: { address: string; plain: number };
  /** Folder with another build than the repository's: `dist` and what it imports. */
  program?: string;
  /** Folder in which the home is made, default: the system's for temporary files. */
  homeIn?: string;
  /** How long the first start may take, users' key derivation included. */
  readyWithinMs?: number;
};

/** A running service. `await service.stop()` leaves neither process nor file behind. */
export type Service = {
  readonly home: string;
  readonly host: string;
  readonly domain: string;
  readonly ports: Ports;
  /** The process id of a part that runs now; throws if there is none. */
  pid(part: Part): number;
  /** Every process of this home. */
  pids(): number[];
  /** Sends a signal to one part and resolves when that process is gone. */
  kill(part: Part, signal?: NodeJS.Signals): Promise<void>;
  /** Starts the agent, again after it was killed; resolves when the service is ready. */
  startAgent(): Promise<void>;
  /** Resolves when clients can connect again and the agent sees the server, after a part was killed. */
  served(): Promise<void>;
  /** Resolves when no process of this home is left. */
  dead(): Promise<void>;
  /** Runs `firekeeper …`; `input` is its standard input. */
  cli(argv: readonly string[], input?: string): Promise<CliResult>;
  /** As `cli`, returns standard output, throws with all logs if the exit code is not 0. */
  run(argv: readonly string[], input?: string): Promise<string>;
  /** Replaces host.yaml, end marker included. */
  writeHost(host: HostYaml): Promise<void>;
  readHost(): Promise<string>;
  /** What agent, gate and core printed and logged. */
  logs(): string;
  stop(): Promise<void>;
};
export type Ports = Record<"plain" | "tls" | "console" | "secureConsole" | "proxy" | "web" | "secureWeb", number>;

/** Starts a service on free ports of the loopback. Needs `npm run build` before. */
export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const agentProgram = join(options.program ?? root, "dist/agent/main.js");
  const cliProgram = join(options.program ?? root, "dist/agent/cli.js");
  if (!existsSync(agentProgram)) throw new Error(`${agentProgram} does not exist: npm run build`);
  const home = await mkdtemp(join(options.homeIn ?? tmpdir(), "firekeeper-home-"));
  const [plain = 0, tls = 0, console = 0, secureConsole = 0, proxy = 0, web = 0, secureWeb = 0] = options.nothingSet
    ? [5222, 5223, 9090, 9091, 7777, 7070, 7443]
    : await freePorts(7);
  const ports = { plain: options.listen?.plain ?? plain, tls, console, secureConsole, proxy, web, secureWeb };
  const address = options.listen?.address ?? "127.0.0.1";
  const domain = options.domain ?? (options.nothingSet ? "mobydick" : "localhost");
  const hostFile = join(home, "host.yaml");
  const given = typeof options.env === "function" ? options.env(home) : options.env;
  const env = { ...given, FIREKEEPER_HOME: home };
  let agent: Child | undefined;
  let printed = "";

  const service: Service = {
    home,
    host: address,
    domain,
    ports,
    pid(part) {
      const pid = partsOf(home).find((one) => one.part === part)?.pid;
      if (pid === undefined) throw new Error(`no ${part} is running\n${service.logs()}`);
      return pid;
    },
    pids: () => partsOf(home).map((one) => one.pid),
    async kill(part, signal = "SIGKILL") {
      const pid = service.pid(part);
      process.kill(pid, signal);
      await until(
        () => !alive(pid),
        10_000,
        () => `${part} ${pid} outlives ${signal}\n${service.logs()}`,
      );
    },
    async startAgent() {
      printed += agent?.output() ?? "";
      const started = startChild(process.execPath, [agentProgram], { cwd: home, env });
      agent = started;
      const within = options.readyWithinMs ?? 30_000;
      await started.printed(/^(Firekeeper serves|Not ready)/m, within).catch((error: unknown) => {
        throw new Error(`${error instanceof Error ? error.message : String(error)}\n${service.logs()}`);
      });
      const open = async (): Promise<boolean> =>
        (await accepts(join(home, "agent.sock"))) && (await accepts(ports.plain, address));
      await until(open, within, () => `no client can connect\n${service.logs()}`);
    },
    async served() {
      const ready = async (): Promise<boolean> =>
        (await accepts(ports.plain, address)) && (await service.cli(["status"])).code === 0;
      await until(ready, 30_000, () => `it does not serve again\n${service.logs()}`);
    },
    dead: () =>
      until(
        () => service.pids().length === 0,
        10_000,
        () => `still there: ${service.pids()}\n${service.logs()}`,
      ),
    cli(argv, input) {
      return new Promise((resolve) => {
        const child = execFile(
          process.execPath,
          [cliProgram, ...argv],
          { cwd: home, env: { ...process.env, ...env }, maxBuffer: 64 << 20, timeout: 120_000 },
          (error, stdout, stderr) =>
            resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : 1, stdout, stderr }),
        );
        child.stdin?.end(input ?? "");
      });
    },
    async run(argv, input) {
      const result = await service.cli(argv, input);
      if (result.code !== 0)
        throw new Error(
          `firekeeper ${argv.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}\n${service.logs()}`,
        );
      return result.stdout;
    },
    writeHost: (host) => writeFile(hostFile, `${stringify(host)}...\n`, { mode: 0o600 }),
    readHost: () => readFile(hostFile, "utf8"),
    logs: () => `--- ${home}\n${printed}${agent?.output() ?? ""}${logFiles(home)}`,
    async stop() {
      await agent?.stop();
      for (const pid of service.pids()) process.kill(pid, "SIGKILL");
      await service.dead();
      await rm(home, { recursive: true, force: true });
    },
  };
  try {
    await mkdir(home, { recursive: true });
    await service.writeHost(
      options.nothingSet ? { ...options.host } : { ...options.host, settings: settings(domain, ports, options) },
    );
    await service.startAgent();
  } catch (error) {
    await service.stop();
    throw error;
  }
  return service;
}

/** Resolves when the condition holds; for what other processes do and nobody announces. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  failure: () => string,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`after ${withinMs} ms: ${failure()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function settings(domain: string, ports: Ports, options: ServiceOptions): NonNullable<HostYaml["settings"]> {
  const properties = {
    ...(options.listen && { "network.interface": options.listen.address }),
    "xmpp.socket.plain.port": ports.plain,
    "xmpp.socket.ssl.port": ports.tls,
    "adminConsole.port": ports.console,
    "adminConsole.securePort": ports.secureConsole,
    "xmpp.proxy.port": ports.proxy,
    "httpbind.port.plain": ports.web,
    "httpbind.port.secure": ports.secureWeb,
    ...options.properties,
  };
  const prefixed = Object.entries(properties).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]);
  return { "sys.xmpp.domain": domain, ...Object.fromEntries(prefixed), ...options.host?.settings };
}

/** Gate and core are detached from the agent; that they carry the home in their command line or environment finds them. */
function partsOf(home: string): { part: Part; pid: number }[] {
  const found: { part: Part; pid: number }[] = [];
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const command = readQuietly(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
    const part: Part | undefined = /dist\/agent\/main\.js/.test(command)
      ? "agent"
      : /dist\/xmpp-core\/gate\//.test(command)
        ? "gate"
        : /dist\/xmpp-core\//.test(command)
          ? "core"
          : undefined;
    if (part === undefined || !alive(pid)) continue;
    if (command.includes(home) || readQuietly(`/proc/${pid}/environ`).includes(home)) found.push({ part, pid });
  }
  return found;
}

function alive(pid: number): boolean {
  const stat = readQuietly(`/proc/${pid}/stat`);
  return stat !== "" && stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
}

function logFiles(home: string): string {
  if (!existsSync(home)) return "";
  const files = readdirSync(home, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".log"));
  return files.map((name) => `\n--- ${name}\n${readQuietly(join(home, name)).slice(-20_000)}`).join("");
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function accepts(where: string | number, address = "127.0.0.1"): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = typeof where === "string" ? connect(where) : connect(where, address);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
