/** A home with a host file, a stand-in Openfire and an agent that drives it, all in this process. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";
import { type OpenfireStandIn, type StandInOptions, startOpenfire } from "../support/openfire-stand-in/stand-in.ts";
import type { Host } from "./agent-fixture.ts";

export type OpenfireFixture = {
  readonly home: string;
  readonly openfire: OpenfireStandIn;
  write(host: Host): Promise<void>;
  /** Resolves with the sentence of the first look. */
  start(): Promise<string>;
  stop(): Promise<void>;
  ask<T = OutcomeDocument>(what: string, params?: Record<string, unknown>): Promise<T>;
  status(): Promise<StatusDocument>;
  journal(): Promise<{ is: string; [key: string]: unknown }[]>;
  close(): Promise<void>;
};

/** Applies nothing by itself: tests say `apply`. */
export async function openfireFixture(
  host: Host,
  options: StandInOptions & { env?: Record<string, string> } = {},
): Promise<OpenfireFixture> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-openfire-"));
  const openfire = await startOpenfire(options);
  const secret = join(home, "openfire-secret");
  await writeFile(secret, `${openfire.secret}\n`, { mode: 0o600 });
  let agent: AgentProcess | undefined;
  const fixture: OpenfireFixture = {
    home,
    openfire,
    write: (next) => writeFile(join(home, "host.yaml"), `${stringify(next)}...\n`, { mode: 0o600 }),
    async start() {
      const environment = readEnvironment(
        {
          FIREKEEPER_HOME: home,
          FIREKEEPER_TARGET: "openfire",
          FIREKEEPER_OPENFIRE_URL: openfire.url,
          FIREKEEPER_OPENFIRE_SECRET_FILE: secret,
          FIREKEEPER_APPLY: "manual",
          FIREKEEPER_RECONCILE: "0 0 1 1 *",
          ...options.env,
        },
        { dotenvPath: join(home, "none") },
      );
      agent = await startAgent(environment, { report: openReport("silent"), quietMs: 50 });
      return agent.settled;
    },
    async stop() {
      await agent?.stop("test");
      agent = undefined;
    },
    ask: async <T>(what: string, params?: Record<string, unknown>) => (await askAgent(home, what, params)) as T,
    status: () => fixture.ask<StatusDocument>("status"),
    journal: async () =>
      (await readFile(join(home, "journal.jsonl"), "utf8"))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    async close() {
      await fixture.stop();
      await openfire.close();
      await rm(home, { recursive: true, force: true });
    },
  };
  await fixture.write(host);
  return fixture;
}

/** Subject and action of each change, as a plan lists them. */
export function changesOf({ plan }: Pick<OutcomeDocument, "plan">): string[] {
  return plan.changes.map((one) => `${one.subject}: ${one.action}`);
}
