/**
 * Writes confusables.ts from Unicode's confusables.txt (https://www.unicode.org/Public/security/), whose path is the
 * argument: `npx tsx xmpp-core/jid/generate-confusables.ts confusables.txt`. Only what a prepared localpart may hold is
 * kept.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { classes, classOf } from "./code-points.ts";
import { lookup } from "./lookup.ts";

const source = readFileSync(process.argv[2] ?? "confusables.txt", "utf8");
const version = /^# Version: (.+)$/m.exec(source)?.[1]?.trim();
if (version === undefined) throw new Error("this is not confusables.txt");

/** What may stand in a prepared localpart: it is lower case already. */
function occurs(point: number): boolean {
  const text = String.fromCodePoint(point);
  const kind = classOf(lookup(point));
  return (kind === classes.valid || kind === classes.contextual) && text.toLowerCase() === text;
}

const groups = new Map<string, number[]>();
for (const line of source.split("\n")) {
  const [from, to] = line
    .replace(/^\uFEFF/, "")
    .split(";")
    .map((part) => part.trim());
  if (from === undefined || to === undefined || !/^[0-9A-F]+$/.test(from)) continue;
  const point = Number.parseInt(from, 16);
  if (!occurs(point)) continue;
  const target = to
    .split(/\s+/)
    .map((hex) => Number.parseInt(hex, 16).toString(36))
    .join("+");
  const group = groups.get(target) ?? [];
  group.push(point);
  groups.set(target, group);
}

const written = [...groups].map(([target, points]) => {
  points.sort((a, b) => a - b);
  return `${target}.${points.map((point, at) => (point - (points[at - 1] ?? 0)).toString(36)).join(".")}`;
});

writeFileSync(
  new URL("confusables.ts", import.meta.url),
  `// Written by generate-confusables.ts from Unicode's confusables.txt ${version}; not to be edited.

/** Groups of \`target.source.source…\`: targets are code points joined by "+", sources the distances between them, all in base 36. */
export const confusables =
  "${written.join(" ")}";
`,
);
console.log(`${groups.size} groups`);
