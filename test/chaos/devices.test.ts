import fc from "fast-check";
import { expect, test } from "vitest";
import { startTestCore } from "../support/core.ts";
import { histories, live, type Tally } from "./devices.ts";

/** DEVICES_RUNS and DEVICES_SEED choose how many histories and which; a failure prints what replays it. */
const runs = Number(process.env.DEVICES_RUNS ?? 300);
const seed = Number(process.env.DEVICES_SEED ?? 20261121);

test(`two devices of one person stay in step, ${runs} histories from seed ${seed}`, async () => {
  const tally: Tally = new Map();
  let core = await startTestCore();
  let lived = 0;
  const history = async (steps: Parameters<typeof live>[1]): Promise<void> => {
    // Former names stay for ever: a server of two hundred names is another test.
    if (++lived % 25 === 0) {
      await core.close();
      core = await startTestCore();
    }
    await live(core, steps, tally);
  };
  try {
    await fc.assert(fc.asyncProperty(histories(50), history), { seed, numRuns: runs, endOnFailure: false });
  } finally {
    await core.close();
    console.log(`seed ${seed}: ${[...tally].map(([what, times]) => `${times} ${what}`).join(", ")}`);
  }
  for (const what of ["send", "block", "bookmark", "cut", "close", "back", "restart", "crash", "rename"])
    expect([what, tally.get(what) ?? 0]).toEqual([what, expect.toSatisfy((times: number) => times >= runs / 10)]);
});
