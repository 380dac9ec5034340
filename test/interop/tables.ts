/** `npx tsx test/interop/tables.ts`: writes the runs that `--save` left into docs/interop.md, between its marks. */
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { bySpecification, expected, nameOf, type Outcome, readExpectations, specificationOf } from "./results.ts";
import { subjectNames } from "./subject.ts";

type Run = { subject: string; version: string; smack: string; date: string; outcomes: Outcome[] };
const page = new URL("../../docs/interop.md", import.meta.url);
const [begin, end] = ["<!-- generated: smack -->", "<!-- end -->"];

const runs: Run[] = [];
for (const name of subjectNames) {
  const file = new URL(`results/${name}.json`, import.meta.url);
  if (existsSync(file)) runs.push(JSON.parse(await readFile(file, "utf8")) as Run);
}
const text = await readFile(page, "utf8");
const [from, to] = [text.indexOf(begin), text.indexOf(end)];
if (from < 0 || to < from) throw new Error(`docs/interop.md has lost its marks ${begin} and ${end}`);
await writeFile(page, `${text.slice(0, from + begin.length)}\n\n${await tables()}\n\n${text.slice(to)}`);

async function tables(): Promise<string> {
  const known = await readExpectations();
  const counts = runs.map((run) => ({ run, by: bySpecification(run.outcomes) }));
  const specifications = [...new Set(counts.flatMap(({ by }) => [...by.keys()]))].sort();
  const cell = (count: { passed: number; failed: number; impossible: number } | undefined): string =>
    count === undefined ? "" : `${count.passed} / ${count.failed} / ${count.impossible}`;
  const total = ({ outcomes }: Run): string => {
    const of = (what: Outcome["outcome"]): number => outcomes.filter(({ outcome }) => outcome === what).length;
    return cell({ passed: of("passed"), failed: of("failed"), impossible: of("impossible") });
  };
  const titles = runs.map(({ subject, version }) => `${subject} ${version}`);
  const rows = [
    ["specification", ...titles],
    ["---", ...titles.map(() => "---:")],
    ...specifications.map((one) => [one, ...counts.map(({ by }) => cell(by.get(one)))]),
    ["all", ...runs.map(total)],
  ];
  const ours = runs.find(({ subject }) => subject === "firekeeper")?.outcomes ?? [];
  const notPassed = ours
    .filter(({ outcome }) => outcome !== "passed")
    .map(
      (one) => `- ${one.outcome}: ${specificationOf(one)}, \`${nameOf(one)}\`. ${expected(known, one) ?? one.reason}`,
    );
  const source = `Smack ${runs[0]?.smack ?? ""}, ${runs.map(({ subject, date }) => `${subject} on ${date}`).join(", ")}.`;
  return [
    `${source} Passed / failed / impossible:`,
    "",
    ...rows.map((row) => `| ${row.join(" | ")} |`),
    "",
    "Ours that did not pass:",
    "",
    ...notPassed,
  ].join("\n");
}
