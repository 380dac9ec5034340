/** A database server from Debian's packages as a child of the test, under the user that it demands. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What the common tests need of a server; SQL in it is what both databases understand. */
export interface DatabaseServer {
  /** Of the read-only role, with its password, over TCP. */
  readonly url: string;
  /** The same by the Unix socket. */
  readonly socketUrl: string;
  /** One statement each, as the owner of the tables, committed one by one. */
  run(...statements: readonly string[]): Promise<void>;
  /** All of them, or none. */
  together(...statements: readonly string[]): Promise<void>;
  rows(statement: string): Promise<readonly (readonly unknown[])[]>;
  /** Empties our tables. */
  empty(): Promise<void>;
  /** `kill -9`. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Ends it and removes its directory. */
  close(): Promise<void>;
}

export const ownTables = [
  "xmpp_role_member",
  "xmpp_role_parameter",
  "xmpp_role_type",
  "xmpp_role",
  "xmpp_team_member",
  "xmpp_team",
  "xmpp_user",
  "xmpp_setting",
];

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Why the suite cannot run here, or undefined. */
export function whyNot(programs: readonly string[], user: string): string | undefined {
  const absent = programs.find((program) => !existsSync(program));
  if (absent) return `${absent} is not installed`;
  const { uid, username } = userInfo();
  return uid === 0 || username === user ? undefined : `the server runs as ${user}, so the tests need root or ${user}`;
}

export async function accountOf(user: string): Promise<Account> {
  const id = async (flag: string) => Number((await run("id", [flag, user])).stdout);
  return { uid: await id("-u"), gid: await id("-g") };
}

export async function ownDirectory(name: string, { uid, gid }: Account): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `firekeeper-${name}-`));
  await chown(directory, uid, gid);
  return directory;
}

export async function runAs(account: Account, program: string, args: readonly string[]): Promise<void> {
  await run(program, args, { ...account, cwd: "/" });
}

/** A child that logs into its directory and ends with the test. */
export interface ServerProcess {
  readonly ended: Promise<void>;
  end(signal: NodeJS.Signals): Promise<void>;
}

export function startAs(account: Account, program: string, args: readonly string[]): ServerProcess {
  const child: ChildProcess = spawn(program, args, { ...account, cwd: "/", stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  return {
    ended,
    async end(signal) {
      child.kill(signal);
      await ended;
      process.off("exit", kill);
    },
  };
}

/** Tries until it works; servers say when they take connections in no other way. */
export async function eventually<T>(what: () => Promise<T>, giveUpMs = 30_000): Promise<T> {
  const end = Date.now() + giveUpMs;
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export async function removeDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
