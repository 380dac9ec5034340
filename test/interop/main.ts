/** `npm run test:interop`: Smack's integration tests against the built server, or against another one. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { classPath } from "./class-path.ts";
import {
  bySpecification,
  expected,
  nameOf,
  type Outcome,
  readExpectations,
  specificationOf,
  testOf,
} from "./results.ts";
import { runSmack } from "./smack.ts";
import { type Subject, type SubjectName, startSubject, subjectNames } from "./subject.ts";

const { values } = parseArgs({
  options: {
    against: { type: "string", default: "firekeeper" },
    only: { type: "string" },
    tests: { type: "string" },
    trace: { type: "boolean", default: false },
    keep: { type: "string" },
    save: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`npm run test:interop -- [options]
  --against NAME     ${subjectNames.join(", ")} (default firekeeper)
  --only XEP-0045    some specifications, separated by commas
  --tests NAMES      some classes or Class.test, separated by commas
  --trace            every stanza in the log
  --keep DIRECTORY   leaves smack.log, server.log and results.jsonl there
  --save             writes test/interop/results/NAME.json; tables.ts makes docs/interop.md of them`);
  process.exit();
}
const name = subjectNames.find((known) => known === values.against);
if (name === undefined) throw new Error(`--against ${values.against}: one of ${subjectNames.join(", ")}`);
process.exitCode = await test(name);

async function test(name: SubjectName): Promise<number> {
  const found = await classPath();
  if ("missing" in found) return skipped(found.missing);
  const subject = await startSubject(name);
  if (subject === undefined) return skipped(`${name} is not installed`);
  const directory = values.keep ?? (await mkdtemp(join(tmpdir(), "firekeeper-interop-")));
  try {
    const begun = performance.now();
    const choice = { specifications: values.only, tests: values.tests, trace: values.trace };
    const first = await runSmack(subject, found.classPath, directory, choice);
    const again = first.filter((one) => one.outcome === "failed").map(testOf);
    // Some of Smack's tests wait for the first stanza that fits, and take what an earlier test has left for it.
    const second = again.length === 0 ? [] : await secondTry(subject, found.classPath, directory, again);
    const all = first.map((one) => second.find((other) => nameOf(other) === nameOf(one)) ?? one);
    await writeFile(join(directory, "server.log"), subject.logs());
    const seconds = Math.round((performance.now() - begun) / 1000);
    console.log(`Smack ${found.version} against ${name} ${subject.version}, ${seconds} s\n`);
    if (values.save) {
      const date = new Date().toISOString().slice(0, 10);
      const run = { subject: name, version: subject.version, smack: found.version, date, outcomes: all };
      await writeFile(new URL(`results/${name}.json`, import.meta.url), `${JSON.stringify(run, undefined, 2)}\n`);
    }
    return await report(all, name);
  } finally {
    await subject.stop();
    if (values.keep === undefined) await rm(directory, { recursive: true, force: true });
  }
}

/** Those that failed, once more and alone; what passes now has passed, and is said to have needed it. */
async function secondTry(
  subject: Subject,
  path: string,
  directory: string,
  tests: readonly string[],
): Promise<readonly Outcome[]> {
  const into = join(directory, "second");
  await mkdir(into, { recursive: true });
  const choice = { specifications: undefined, tests: [...new Set(tests)].join(","), trace: true };
  const passed = (await runSmack(subject, path, into, choice)).filter((one) => one.outcome === "passed");
  for (const one of passed) console.log(`passed at the second try: ${nameOf(one)}`);
  return passed;
}

function skipped(reason: string): number {
  console.log(`skipped: ${reason}\n0 passed, 0 failed, 1 skipped`);
  return 0;
}

async function report(all: readonly Outcome[], name: SubjectName): Promise<number> {
  // They are about ours.
  const known = name === "firekeeper" ? await readExpectations() : { failed: new Map(), impossible: new Map() };
  for (const [specification, count] of bySpecification(all)) {
    const figures = `${count.passed} passed, ${count.failed} failed, ${count.impossible} impossible`;
    console.log(`${specification.padEnd(20)} ${figures}`);
  }
  const unexpected = all.filter((one) => one.outcome === "failed" && expected(known, one) === undefined);
  for (const one of all.filter((other) => other.outcome !== "passed")) {
    const why = expected(known, one);
    const note = why === undefined ? "" : `\n    known: ${why}`;
    console.log(
      `\n${one.outcome}: ${specificationOf(one)} ${nameOf(one)}\n    ${(one.reason ?? "").slice(0, 1200)}${note}`,
    );
  }
  const count = (outcome: Outcome["outcome"]): number => all.filter((one) => one.outcome === outcome).length;
  console.log(`\n${count("passed")} passed, ${count("failed")} failed, ${count("impossible")} skipped`);
  return unexpected.length > 0 || all.length === 0 ? 1 : 0;
}
