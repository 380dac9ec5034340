/** What each program was seen to do, for docs and guides: written into results.json when FIREKEEPER_SAVE_RESULTS is set. */
import { readFile, writeFile } from "node:fs/promises";
import type { ClientProgram } from "./real-client.ts";

const file = new URL("results.json", import.meta.url);

export type Outcome = "passed" | "failed" | `skipped: ${string}`;
/** One program on one day; steps by their key, as in story.test.ts. */
export interface ClientResult {
  readonly client: string;
  readonly version: string;
  /** Year, month and day. */
  readonly date: string;
  readonly steps: Readonly<Record<string, Outcome>>;
}

export interface Recorder {
  readonly name: string;
  /** Runs a step and notes how it ended. */
  step(key: string, run: () => Promise<void>): Promise<void>;
  failed(): boolean;
  result(): Promise<ClientResult | undefined>;
}

export function results(name: string, program: ClientProgram, missing: string | undefined): Recorder {
  const steps: Record<string, Outcome> = {};
  return {
    name,
    async step(key, run) {
      steps[key] = "failed";
      await run();
      steps[key] = "passed";
    },
    failed: () => Object.values(steps).includes("failed"),
    // A program that is not here says nothing about the last time it was.
    async result() {
      if (missing !== undefined || Object.keys(steps).length === 0) return undefined;
      return { client: name, version: await program.version(), date: new Date().toISOString().slice(0, 10), steps };
    },
  };
}

/** Writes what one program did beside what others did; steps that did not run keep their entry. */
export async function keep(recorder: Recorder): Promise<void> {
  const fresh = await recorder.result();
  if (process.env.FIREKEEPER_SAVE_RESULTS === undefined || fresh === undefined) return;
  const known = JSON.parse(await readFile(file, "utf8").catch(() => "[]")) as ClientResult[];
  const before = known.find((one) => one.client === fresh.client);
  const same = before?.version === fresh.version ? before.steps : {};
  const others = known.filter((one) => one.client !== fresh.client);
  const all = [...others, { ...fresh, steps: { ...same, ...fresh.steps } }];
  all.sort((one, other) => (one.client < other.client ? -1 : 1));
  await writeFile(file, `${JSON.stringify(all, null, 2)}\n`);
}
