import { readFile } from "node:fs/promises";
import { z } from "zod";

const outcome = z.object({
  class: z.string(),
  test: z.string(),
  specification: z.string(),
  section: z.string(),
  outcome: z.enum(["passed", "failed", "impossible"]),
  reason: z.string().optional(),
  ms: z.number(),
});

/** What became of one test. */
export type Outcome = z.infer<typeof outcome>;

/** What SmackRun.java wrote: one JSON object a line. */
export function outcomes(lines: string): readonly Outcome[] {
  const read = lines.split("\n").filter((line) => line !== "");
  return read.map((line) => outcome.parse(JSON.parse(line))).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** `MultiUserChatIntegrationTest.mucTest`, with the kind of connection behind it if there are several. */
export const nameOf = (one: Outcome): string => `${one.class.slice(one.class.lastIndexOf(".") + 1)}.${one.test}`;

/** As Smack's setting `enabledTests` wants it: the class with its package, and the method. */
export const testOf = (one: Outcome): string => `${one.class}.${one.test.replace(/ .*/, "")}`;

/** Of Smack's specifications those that it does not name at the class. */
const unnamed: readonly (readonly [RegExp, string])[] = [
  [/\.omemo\./, "XEP-0384"],
  [/\.ox(_im)?\./, "XEP-0373, XEP-0374"],
  [/\.mam\./, "XEP-0313"],
  [/\.pubsub\./, "XEP-0060"],
];

export function specificationOf(one: Outcome): string {
  if (one.specification !== "") return one.specification.replace(/^RFC(\d)/, "RFC $1");
  return unnamed.find(([pattern]) => pattern.test(one.class))?.[1] ?? "none named";
}

export type Count = { passed: number; failed: number; impossible: number };

/** Counted by specification, in their order. */
export function bySpecification(all: readonly Outcome[]): ReadonlyMap<string, Count> {
  const counts = new Map<string, Count>();
  for (const one of all) {
    const key = specificationOf(one);
    const count = counts.get(key) ?? { passed: 0, failed: 0, impossible: 0 };
    count[one.outcome]++;
    counts.set(key, count);
  }
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** `Class.test`, or `Class` for all of its tests, and why it fails or cannot run. */
export type Expectations = { failed: ReadonlyMap<string, string>; impossible: ReadonlyMap<string, string> };

const reasons = z.record(z.string(), z.string().min(10)).transform((record) => new Map(Object.entries(record)));
const expectations = z.object({ failed: reasons, impossible: reasons });

export async function readExpectations(): Promise<Expectations> {
  const text = await readFile(new URL("expectations.json", import.meta.url), "utf8");
  return expectations.parse(JSON.parse(text));
}

/** The reason that is written down for this outcome. */
export function expected(expectations: Expectations, one: Outcome): string | undefined {
  if (one.outcome === "passed") return undefined;
  const known = expectations[one.outcome];
  const name = nameOf(one);
  return known.get(name) ?? known.get(name.slice(0, name.indexOf(".")));
}
