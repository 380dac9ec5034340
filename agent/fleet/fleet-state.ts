/** What headquarters knows of its branches: `<home>/fleet.json`, 0600, written whole, so that a restart forgets nothing. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { domainToASCII } from "node:url";
import { z } from "zod";
import { CodedError, errno } from "../errors.ts";
import { type BranchReport, branchReport } from "./branch-report.ts";

const fleetState = z.object({
  branches: z.record(
    z.string(),
    z.object({ expected: z.string().nullable(), heard: z.number().nullable(), report: branchReport.nullable() }),
  ),
});
export type FleetState = z.infer<typeof fleetState>;

const fileOf = (home: string) => join(home, "fleet.json");

/** No branches where there is no file. Throws `fleet/invalid` for one that is damaged. */
export async function readFleet(home: string): Promise<FleetState> {
  try {
    return fleetState.parse(JSON.parse(await readFile(fileOf(home), "utf8")));
  } catch (error) {
    if (errno(error) === "ENOENT") return { branches: {} };
    throw new CodedError("fleet/invalid", `${fileOf(home)} cannot be read.`, {
      cause: error,
      hint: "Move it away and start again: branches report anew within a minute.",
    });
  }
}

export async function writeFleet(home: string, state: FleetState): Promise<void> {
  await writeFile(`${fileOf(home)}.new`, JSON.stringify(state), { mode: 0o600 });
  await rename(`${fileOf(home)}.new`, fileOf(home));
}

export interface FleetDocument {
  readonly branches: readonly {
    readonly branch: string;
    /** ISO time; null: never. */
    readonly heard: string | null;
    /** Silent for more than five minutes. */
    readonly stale: boolean;
    readonly report: BranchReport | null;
  }[];
  readonly conflicts: readonly string[];
  readonly warnings: readonly string[];
}

const staleMs = 5 * 60_000;

export function fleetDocument(state: FleetState, now: number): FleetDocument {
  return {
    branches: Object.entries(state.branches).map(([branch, { heard, report }]) => ({
      branch,
      heard: heard === null ? null : new Date(heard).toISOString(),
      stale: heard === null || now - heard > staleMs,
      report,
    })),
    conflicts: conflictsOf(state),
    warnings: versionsOf(state),
  };
}

/** One sentence with its fix where branches run different versions. */
function versionsOf({ branches }: FleetState): string[] {
  const running = new Map<string, string[]>();
  for (const [branch, { report }] of Object.entries(branches))
    if (report?.program) running.set(report.program, [...(running.get(report.program) ?? []), branch]);
  if (running.size < 2) return [];
  const who = [...running].map(([version, names]) => `${version} (${names.join(", ")})`).join("; ");
  return [`Branches run different versions: ${who}. Upgrade those that are behind.`];
}

const normal = (domain: string) => domainToASCII(domain.normalize("NFC").replace(/\.$/, "")) || domain.toLowerCase();

/** One sentence with its fix for each domain that two branches serve, and for each branch that serves another than expected. */
export function conflictsOf({ branches }: FleetState): string[] {
  const known = Object.entries(branches);
  const wrong = known.flatMap(([branch, { expected, report }]) =>
    expected !== null && report?.domain && normal(report.domain) !== normal(expected)
      ? [
          `${branch} serves ${report.domain}, expected is ${expected}. Correct sys.xmpp.domain there or the fleet file here.`,
        ]
      : [],
  );
  const holders = new Map<string, Map<string, "domain" | "alias">>();
  for (const [branch, { report }] of known) {
    const names: [string, "domain" | "alias"][] = (report?.aliases ?? []).map((one) => [one, "alias"]);
    if (report?.domain) names.push([report.domain, "domain"]);
    for (const [one, as] of names) {
      const key = normal(one);
      holders.set(key, (holders.get(key) ?? new Map()).set(branch, as));
    }
  }
  const doubled = [...holders].flatMap(([domain, by]) => {
    if (by.size < 2) return [];
    const who = [...by].map(([branch, as]) => (as === "alias" ? `${branch} (as an alias)` : branch)).join(" and ");
    return [`${domain} is served by ${who}. Give all but one another sys.xmpp.domain, or end the alias.`];
  });
  return [...wrong, ...doubled];
}
