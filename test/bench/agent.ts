import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { OutcomeDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { deriveCredentials } from "../../agent/credentials.ts";
import { startService } from "../support/processes.ts";
import { cpuMicroseconds, memoryBytes } from "./proc.ts";

/** How large a host the agent is tried with. */
export type HostSize = { users: number; groups: number; settings: number };

/** One look of the agent: how long it took, and the CPU time of agent and core. */
export type LookRow = { name: string; ms: number; agentCpuMs: number; coreCpuMs: number };

/** First sync, looks that change nothing, and looks that change one thing, at one size of the host. */
export async function agentScenario(size: HostSize): Promise<{ looks: LookRow[]; agentMiB: number; coreMiB: number }> {
  const service = await startService({ env: { FIREKEEPER_RECONCILE: "0 0 1 1 *" }, readyWithinMs: 120_000 });
  const path = join(service.home, "host.yaml");
  const looks: LookRow[] = [];
  const timed = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    const [agent, core] = [service.pid("agent"), service.pid("core")];
    const before = [cpuMicroseconds([agent]), cpuMicroseconds([core])];
    const started = performance.now();
    await work();
    const ms = performance.now() - started;
    const cpu = [agent, core].map((pid, at) => (cpuMicroseconds([pid]) - (before[at] ?? 0)) / 1000);
    looks.push({ name, ms, agentCpuMs: cpu[0] ?? 0, coreCpuMs: cpu[1] ?? 0 });
  };
  const ask = (what: string, params = {}) => askAgent(service.home, what, params) as Promise<OutcomeDocument>;
  /** Until nothing is left to do: whoever looks first, the file's own wake or we, applies it. */
  const inStep = async (): Promise<void> => {
    while ((await ask("resume")).is !== "in step");
  };
  try {
    const former = await readFile(path, "utf8");
    const text = await hostText(former, size);
    await timed("first sync", async () => {
      await writeFile(path, text, { mode: 0o600 });
      await inStep();
    });
    await ask("resume");
    await timed("nothing changed, plan", () => ask("plan"));
    await timed("nothing changed, look", () => ask("resume"));
    for (const again of ["one member more", "one member less"])
      await timed(`${again}, by command`, () =>
        ask("store-edit", {
          change: {
            kind: again.endsWith("more") ? "role-member-add" : "role-member-remove",
            role: "group7",
            members: ["user3"],
          },
        }),
      );
    await timed("one setting, by command", () =>
      ask("store-edit", { change: { kind: "setting-set", key: "sys.xmpp.properties.bench.key7", value: "other" } }),
    );
    await timed("one user's name, file rewritten", async () => {
      await writeFile(path, (await readFile(path, "utf8")).replace("displayName: User 77\n", "displayName: Other\n"));
      await inStep();
    });
    return {
      looks,
      agentMiB: memoryBytes([service.pid("agent")]) / 1024 / 1024,
      coreMiB: memoryBytes([service.pid("core")]) / 1024 / 1024,
    };
  } finally {
    await service.stop();
  }
}

/** The service's own host file with people, groups and settings; all share one password, since deriving keys is measured elsewhere. */
async function hostText(former: string, { users, groups, settings }: HostSize): Promise<string> {
  const { sha1, sha256, sha512 } = await deriveCredentials("bench");
  const keys = `    credentials: {sha1: "${sha1}", sha256: "${sha256}", sha512: "${sha512}"}\n`;
  const own = former.slice(former.indexOf("settings:"), former.lastIndexOf("..."));
  const settingsText = own.slice(
    0,
    own.search(/^(?!settings:|\s)/m) < 0 ? undefined : own.search(/^(?!settings:|\s)/m),
  );
  const people = Array.from({ length: users }, (_, i) => `  - name: user${i}\n    displayName: User ${i}\n${keys}`);
  const roles = Array.from({ length: groups }, (_, group) => {
    const members = Array.from({ length: Math.ceil(users / groups) }, (_, i) => `user${(group + i * groups) % users}`);
    return `  - {name: group${group}, types: [xmpp.group], members: [${members.join(", ")}]}\n`;
  });
  const keysOf = Array.from({ length: settings }, (_, i) => `  sys.xmpp.properties.bench.key${i}: value ${i}\n`);
  return `${settingsText}${keysOf.join("")}roles:\n${roles.join("")}users:\n${people.join("")}...\n`;
}

/** Markdown rows. */
export function agentTable(size: HostSize, result: Awaited<ReturnType<typeof agentScenario>>): string {
  const rows = result.looks.map(
    ({ name, ms, agentCpuMs, coreCpuMs }) =>
      `| ${name} | ${ms.toFixed(0)} | ${agentCpuMs.toFixed(0)} | ${coreCpuMs.toFixed(0)} |`,
  );
  return [
    `${size.users} users, ${size.groups} groups, ${size.settings} settings; agent ${result.agentMiB.toFixed(0)} MiB, core ${result.coreMiB.toFixed(0)} MiB`,
    "",
    "| look | ms | CPU agent, ms | CPU core, ms |",
    "|---|---|---|---|",
    ...rows,
  ].join("\n");
}
