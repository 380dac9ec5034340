import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";

/** A child process whose output is kept for the day something fails. */
export type Child = {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Everything it wrote so far, standard output and error mixed. */
  output(): string;
  /** Resolves with the first match in the output, or rejects with the output when the child ends or the time is up. */
  printed(pattern: RegExp, withinMs?: number): Promise<RegExpExecArray>;
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Sends the signal (default SIGTERM), kills after five seconds, resolves when it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
};

/** Starts a program. */
export function startChild(
  command: string,
  argv: string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Child {
  const child = spawn(command, argv, {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
  let output = "";
  const changed = new Set<() => void>();
  const take = (chunk: string): void => {
    output = (output + chunk).slice(-200_000);
    for (const look of changed) look();
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once("error", (error) => {
      take(`${command}: ${error.message}\n`);
      resolve(127);
    });
    child.once("close", (code, signal) => resolve(code ?? signal ?? 0));
  });
  return {
    process: child,
    pid: child.pid ?? -1,
    output: () => output,
    exited,
    printed(pattern, withinMs = 20_000) {
      return new Promise((resolve, reject) => {
        const done = (): void => {
          clearTimeout(timer);
          changed.delete(look);
        };
        const fail = (why: string): void => {
          done();
          reject(new Error(`${command} ${argv.join(" ")}: ${why} before it printed ${pattern}\n${output}`));
        };
        const look = (): void => {
          const match = pattern.exec(output);
          if (match === null) return;
          done();
          resolve(match);
        };
        const timer = setTimeout(() => fail(`${withinMs} ms passed`), withinMs);
        changed.add(look);
        look();
        void exited.then((code) => {
          if (changed.has(look)) fail(`it ended with ${code}`);
        });
      });
    },
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Ports of the loopback that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => {
            const address = server.address();
            resolve(typeof address === "object" && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
