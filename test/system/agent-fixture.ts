/** A home with a host file, a stand-in core and an agent, all in this process. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { readEnvironment } from "../../agent/environment.ts";
import type { AddressResolver } from "../../agent/network/external-address.ts";
import { openReport, type Report } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";
import { type StandIn, startStandIn } from "./stand-in-core.ts";

export type Host = {
  settings?: Record<string, string>;
  roles?: { name: string; types: string[]; members: string[] | "all" }[];
  users?: {
    name: string;
    id?: string;
    password?: string;
    enabled?: boolean;
    displayName?: string;
    email?: string;
    aliases?: string[];
    credentials?: object;
  }[];
};

/** Known keys, so that no test waits for a derivation. */
const keys = `SCRAM-SHA-256$4096:${Buffer.alloc(16).toString("base64")}$${Buffer.alloc(32).toString("base64")}:${Buffer.alloc(32).toString("base64")}`;

export type AgentFixture = {
  readonly home: string;
  readonly core: StandIn;
  write(host: Host): Promise<void>;
  start(options?: { resolver?: AddressResolver; report?: Report; now?: () => number }): Promise<void>;
  stop(): Promise<void>;
  ask<T = OutcomeDocument>(what: string, params?: Record<string, unknown>): Promise<T>;
  status(): Promise<StatusDocument>;
  journal(): Promise<string>;
  close(): Promise<void>;
};

export async function agentFixture(host: Host, env: Record<string, string> = {}): Promise<AgentFixture> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-agent-"));
  const core = await startStandIn(home);
  let agent: AgentProcess | undefined;
  const fixture: AgentFixture = {
    home,
    core,
    write: (next) => writeFile(join(home, "host.yaml"), hostText(next), { mode: 0o600 }),
    async start(options = {}) {
      const environment = readEnvironment(
        {
          FIREKEEPER_HOME: home,
          FIREKEEPER_CORE: join(home, "control.sock"),
          FIREKEEPER_RECONCILE: "0 0 1 1 *",
          ...env,
        },
        { dotenvPath: join(home, "none") },
      );
      agent = await startAgent(environment, { report: openReport("silent"), quietMs: 50, leastDnsMs: 100, ...options });
      await agent.settled;
    },
    async stop() {
      await agent?.stop("test");
      agent = undefined;
    },
    ask: async <T>(what: string, params?: Record<string, unknown>) => (await askAgent(home, what, params)) as T,
    status: () => fixture.ask<StatusDocument>("status"),
    journal: () => readFile(join(home, "journal.jsonl"), "utf8"),
    async close() {
      await fixture.stop();
      await core.close();
      await rm(home, { recursive: true, force: true });
    },
  };
  await fixture.write(host);
  return fixture;
}

export function hostText({ settings = {}, roles = [], users = [] }: Host): string {
  const withKeys = users.map(({ password, ...user }) =>
    password === undefined ? user : { ...user, credentials: { sha256: keys } },
  );
  return `${stringify({ settings, roles, users: withKeys })}...\n`;
}

export function entries(journal: string): { is: string; revision?: number; [key: string]: unknown }[] {
  return journal
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}
