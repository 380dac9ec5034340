/** Every group of checks in one visible order. docs/doctor.md. */

import { CodedError, explain } from "../errors.ts";
import { readVantagePoints } from "../network/vantage.ts";
import { checkCertificates } from "./certificates.ts";
import { checkClock } from "./clock.ts";
import { checkDatabase } from "./database.ts";
import { checkDisk } from "./disk.ts";
import { checkDns, resolverAt } from "./dns.ts";
import { type AskAgent, type Facts, gatherFacts, type Place } from "./facts.ts";

import { checkPorts } from "./ports.ts";
import { checkReachability } from "./reachability.ts";
import { checkStore } from "./store.ts";
import { type CheckName, checks, type Verdict, verdict } from "./verdict.ts";

export const groups = ["store", "disk", "clock", "database", "ports", "certificates", "dns", "reachability"] as const;
export type Group = (typeof groups)[number];

export interface DoctorOptions {
  readonly only?: readonly Group[];
  /** `address[:port]`, besides the system's own; wins over FIREKEEPER_RESOLVER. */
  readonly resolver?: string | undefined;
  /** `host[:port]` of an NTP server. */
  readonly ntp?: string | undefined;
}

/** What `--only` says; throws `doctor/unknown-group`. */
export function readGroups(text: string | undefined): readonly Group[] {
  if (text === undefined) return groups;
  return text.split(",").map((given) => {
    const group = groups.find((one) => one === given.trim());
    if (group) return group;
    throw new CodedError("doctor/unknown-group", `There is no group of checks ${given.trim()}.`, {
      hint: `There are ${groups.join(", ")}.`,
    });
  });
}

/** What everything starts from. `from` is the text of `--from`; throws `doctor/vantage-point`. */
export async function facts(place: Place, ask: AskAgent, from?: string): Promise<Facts> {
  const points = from === undefined ? place.probeFrom : readVantagePoints(from);
  if (points === undefined)
    throw new CodedError("doctor/vantage-point", `${from} is no vantage point.`, { hint: "socks5://HOST:1080" });
  return gatherFacts(place, ask, points);
}

/** Looks at everything that is asked for; a check that breaks is a verdict too. */
export async function examine(known: Facts, options: DoctorOptions = {}): Promise<Verdict[]> {
  const asked = options.resolver ?? known.place.resolver;
  const resolvers = [
    { resolver: resolverAt(undefined), via: "the system resolver" },
    ...(asked === undefined ? [] : [{ resolver: resolverAt(asked), via: asked }]),
  ];
  const main = resolvers.at(-1)?.resolver ?? resolverAt(undefined);
  const runs: Record<Group, () => Promise<Verdict[]>> = {
    store: () => checkStore(known),
    disk: () => checkDisk(known),
    clock: () => checkClock(known, options.ntp),
    database: () => checkDatabase(known),
    ports: () => checkPorts(known),
    certificates: () => checkCertificates(known),
    dns: async () => (await Promise.all(resolvers.map((one) => checkDns(known, one.resolver, one.via)))).flat(),
    reachability: () => checkReachability(known, main),
  };
  const looked = (options.only ?? groups).map((group) =>
    runs[group]().catch((error: unknown) => [
      verdict(firstOf(group), "fail", group, `Could not be looked at: ${explain(error)}.`),
    ]),
  );
  return (await Promise.all(looked)).flat();
}

function firstOf(group: Group): CheckName {
  const names = Object.keys(checks) as CheckName[];
  return names.find((one) => one.startsWith(`${group}.`)) ?? "reachability.agent";
}
