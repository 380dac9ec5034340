/** Headquarters hears its branches, a branch reports to headquarters; nothing of both by default. */
import { readFile } from "node:fs/promises";
import { Agent as HttpsAgent } from "node:https";
import { dirname, resolve } from "node:path";
import axios from "axios";
import { parse } from "yaml";
import { z } from "zod";
import type { StatusDocument } from "../agent.ts";
import { explain } from "../errors.ts";
import { signatureDigest } from "../network/signed-request.ts";
import { branchAccess, invalid, readSecret } from "./access.ts";
import { branchName, reportOf } from "./branch-report.ts";
import { type FleetDocument, fleetDocument, readFleet, writeFleet } from "./fleet-state.ts";
import { listenFleet } from "./listen.ts";
import { publishedSettings } from "./published.ts";

export interface FleetPlace {
  readonly listen: { readonly address: string; readonly port: number } | undefined;
  readonly file: string | undefined;
  readonly reportTo: string | undefined;
  readonly secretFile: string | undefined;
  readonly ca: string | undefined;
  /** Headquarters: settings for the branches. */
  readonly settings: string | undefined;
  /** Branch: take over the settings of headquarters. */
  readonly inherit: boolean;
}

export interface FleetParts {
  readonly home: string;
  /** Name of this branch. */
  readonly instance: string | undefined;
  readonly status: () => Promise<StatusDocument>;
  readonly failed: (code: string, why: string) => void;
  readonly now: () => number;
}

/** Milliseconds between reports, and the longest wait after failures. */
const everyMs = 60_000;
const longestMs = 10 * 60_000;

/** Returns the way to stop. Throws `fleet/invalid` and `fleet/not-listening`. */
export async function openFleet(place: FleetPlace, parts: FleetParts): Promise<() => Promise<void>> {
  const reporter = place.reportTo === undefined ? undefined : await openReporter(place.reportTo, place, parts);
  const listener =
    place.listen === undefined ? undefined : await openHeadquarters(place.listen, place.file, parts, place.settings);
  if (reporter) reporter.start();
  return async () => {
    reporter?.close();
    await listener?.close();
  };
}

/** What headquarters knows now; null where no branch may report. */
export function fleetReader(place: FleetPlace, home: string, now: () => number): () => Promise<FleetDocument | null> {
  return async () => (place.listen === undefined ? null : fleetDocument(await readFleet(home), now()));
}

const fleetFile = z.strictObject({
  branches: z.record(
    z.string().regex(branchName, "a branch: lower case letters, digits, dots and hyphens"),
    z.strictObject({ secretFile: z.string(), domain: z.string().optional() }),
  ),
});

/** Branches that are no longer in the file are forgotten; what the others said before a restart stays. */
export async function openHeadquarters(
  listen: { readonly address: string; readonly port: number },
  file: string | undefined,
  { home, now, failed = () => {} }: Pick<FleetParts, "home" | "now"> & Partial<Pick<FleetParts, "failed">>,
  settings?: string,
) {
  if (file === undefined) throw invalid("FIREKEEPER_FLEET_LISTEN needs FIREKEEPER_FLEET_FILE.");
  const secrets = new Map<string, string>();
  const { branches: before } = await readFleet(home);
  const state: Awaited<ReturnType<typeof readFleet>> = { branches: {} };
  try {
    const { branches } = fleetFile.parse(parse(await readFile(file, "utf8")));
    for (const [branch, { secretFile, domain }] of Object.entries(branches)) {
      secrets.set(branch, await readSecret(resolve(dirname(file), secretFile)));
      state.branches[branch] = { heard: null, report: null, ...before[branch], expected: domain ?? null };
    }
  } catch (error) {
    throw invalid(`${file} is not usable: ${error instanceof z.ZodError ? z.prettifyError(error) : explain(error)}.`);
  }
  await writeFleet(home, state);
  return listenFleet({
    ...listen,
    secrets,
    now,
    ...(settings === undefined ? {} : { settings: publishedSettings(settings, failed) }),
    last: (branch) => state.branches[branch]?.report?.counter ?? 0,
    async heard(report) {
      const known = state.branches[report.branch];
      if (!known) return;
      state.branches[report.branch] = { ...known, heard: now(), report };
      await writeFleet(home, state);
    },
  });
}

/** `send` makes one report and throws if headquarters does not take it. */
export async function openReporter(to: string, place: Pick<FleetPlace, "secretFile" | "ca">, parts: FleetParts) {
  const { instance, now } = parts;
  const { url, branch, secret, ca } = await branchAccess("/fleet/report", { ...place, reportTo: to }, instance);
  const httpsAgent = new HttpsAgent(ca === undefined ? {} : { ca });
  const agentSince = new Date(now()).toISOString();
  const closed = new AbortController();
  let counter = 0;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;

  async function send(): Promise<void> {
    counter = Math.max(counter + 1, now());
    const body = JSON.stringify(reportOf(await parts.status(), { branch, counter, agentSince }));
    const time = String(Math.floor(now() / 1000));
    await axios.post(url.href, body, {
      headers: {
        "Content-Type": "application/json",
        "X-Firekeeper-Branch": branch,
        "X-Firekeeper-Signature": `t=${time},v1=${signatureDigest(secret, time, body).toString("hex")}`,
      },
      httpsAgent,
      signal: closed.signal,
      timeout: 10_000,
      maxRedirects: 0,
      maxContentLength: 4096,
      proxy: false,
    });
  }
  async function round(): Promise<void> {
    try {
      await send();
      failures = 0;
    } catch (error) {
      if (closed.signal.aborted) return;
      // Said once, not each time: headquarters away is no fault of the branch.
      if (failures++ === 0)
        parts.failed("fleet/not-reported", `Headquarters did not take the report: ${explain(error)}`);
    }
    if (closed.signal.aborted) return;
    timer = setTimeout(() => void round(), Math.min(longestMs, everyMs * 2 ** Math.min(failures, 10)));
    timer.unref();
  }
  return {
    send,
    start: () => void round(),
    close() {
      closed.abort();
      clearTimeout(timer);
      httpsAgent.destroy();
    },
  };
}
