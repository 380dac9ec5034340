import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { parseHostFile } from "../../agent/store/host-file.ts";
import { generatedPages } from "../../docs/generate.ts";
import { allProperties } from "../../xmpp-core/server.ts";
import { programVersion } from "../../xmpp-core/version.ts";

/** The repository holds what it says of itself: figures and places in the failure, and the command that mends it. */

const root = new URL("../../", import.meta.url);
const text = (path: string) => readFileSync(new URL(path, root), "utf8");
const filesIn = (directory: string, pattern: RegExp) =>
  readdirSync(new URL(directory, root), { recursive: true, encoding: "utf8" })
    .filter((path) => pattern.test(path) && !/(^|\/)(node_modules|dist)\//.test(path))
    .map((path) => `${directory}/${path}`)
    .sort();

const typescript = /\.(ts|tsx|mts)$/;
const source = ["agent", "xmpp-core"].flatMap((directory) => filesIn(directory, typescript));
const everything = [...source, ...["test", "docs"].flatMap((directory) => filesIn(directory, typescript))];

/** The code without comments, each line in its place. Strings that look like a comment lose their tail: none matters here. */
const code = (path: string) =>
  text(path)
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ""))
    .replaceAll(/(^|\s)\/\/.*$/gm, "");
const codeOf = new Map(everything.map((path) => [path, code(path)]));

function places(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    (codeOf.get(path) ?? "").split("\n").flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

test("generated pages are as the code has it", async () => {
  const pages = await generatedPages();
  expect(pages.size).toBeGreaterThan(3);
  for (const [page, wanted] of pages) expect(text(`docs/${page}`), `docs/${page} is stale: npm run docs`).toBe(wanted);
});

test("the host file that docs/settings.md shows is one", () => {
  const [, example = ""] = /```yaml\n([\s\S]*?)```/.exec(text("docs/settings.md")) ?? [];
  expect(parseHostFile(example, "docs/settings.md")).toMatchObject({
    users: [{ name: "alice" }, { name: "bob", enabled: false }],
    warnings: [],
  });
});

describe("error codes", () => {
  const codePattern = /"([a-z][a-z0-9-]*\/[a-z][a-z0-9-]*)"/g;
  /** Media types by their registered top-level names (RFC 6838 §4.2), and a library whose name has a slash. */
  const mediaTypes = /^(text|application|image|audio|video|font|model|multipart|message|mysql2)\//;
  // The gate's own start says its codes in a sentence: it has nobody to throw to.
  const spoken = /console\.error\(`([a-z-]+\/[a-z-]+):/g;
  // The console is a program of the browser: it shows the server's codes and has none of its own.
  const speaking = source.filter((path) => !path.startsWith("xmpp-core/admin/console/"));
  const used = new Set(
    speaking.flatMap((path) =>
      [codePattern, spoken].flatMap((pattern) =>
        [...(codeOf.get(path) ?? "").matchAll(pattern)].flatMap(([, found = ""]) =>
          mediaTypes.test(found) ? [] : [found],
        ),
      ),
    ),
  );
  const entries = [...text("docs/errors.md").matchAll(/^\| `([^`]+)` *\| \S.*? *\| \S.*? *\|$/gm)].map(
    ([, entry]) => entry,
  );

  test("have an entry in docs/errors.md", () => {
    expect(used.size).toBeGreaterThan(100);
    expect([...used].filter((one) => !entries.includes(one)).sort()).toEqual([]);
  });
  test("are used, each with one entry", () => {
    expect(entries.filter((entry) => entry === undefined || !used.has(entry))).toEqual([]);
    expect(new Set(entries).size).toBe(entries.length);
  });
});

test("a property's key stands in one source file", () => {
  const keys = allProperties().flatMap(({ key, aliases }) => [key, ...aliases]);
  expect(keys.length).toBeGreaterThan(30);
  // Sentences for people may name a key; what is looked for is code that reads or sets one by its text.
  // The agent imports nothing of the core: it has the name of the one property that a setting of the host competes with,
  // and of the one that says how its own keys are derived.
  const agentNames = new Map([
    ["xmpp.proxy.externalip", "agent/desired/settings.ts"],
    ["sasl.scram-sha-1.iteration-count", "agent/credentials.ts"],
  ]);
  const twice = keys.flatMap((key) => {
    const literal = new RegExp(`["'\`](property:|sys\\.xmpp\\.properties\\.)?${key.replaceAll(".", "\\.")}["'\`]`);
    const found = source.filter((path) => path !== agentNames.get(key) && literal.test(codeOf.get(path) ?? ""));
    return found.length === 1 ? [] : [`${key}: ${found.join(", ") || "nowhere"}`];
  });
  expect(twice).toEqual([]);
});

test("the program's version is the package's", () => {
  expect(programVersion).toBe(JSON.parse(text("package.json")).version);
});

test("the lock file holds every package that a locked one names, of all platforms", () => {
  const packages: Record<string, { dependencies?: object; optionalDependencies?: object }> = JSON.parse(
    text("package-lock.json"),
  ).packages;
  const missing = Object.entries(packages).flatMap(([place, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => !reachable(place, name))
      .map((name) => `${place} needs ${name}`),
  );
  // npm ci refuses such a file, and npm install leaves it so when a platform's package cannot be had.
  expect(missing).toEqual([]);

  function reachable(from: string, name: string): boolean {
    const steps = from === "" ? [] : from.split("/node_modules/");
    for (let depth = steps.length; depth >= 0; depth -= 1)
      if (`${[...steps.slice(0, depth), ""].join("/node_modules/") || "node_modules/"}${name}` in packages) return true;
    return `node_modules/${name}` in packages;
  }
});

describe("habits", () => {
  test("no file is longer than 400 lines", () => {
    const allowed: Record<string, string> = {
      "xmpp-core/frames.ts": "the whole contract between gate and core in one place",
      "xmpp-core/gate/gate.ts": "one class whose parts share the connections; reads as a list of frames",
    };
    const long = source
      .map((path) => ({ path, lines: text(path).split("\n").length - 1 }))
      .filter(({ path, lines }) => lines > (path in allowed ? 480 : 400))
      .map(({ path, lines }) => `${path}: ${lines} lines`);
    expect(long).toEqual([]);
  });
  test("no file is a place for leftovers", () => {
    expect(everything.filter((path) => /(utils?|helpers?|managers?)\.[mt]sx?$/i.test(basename(path)))).toEqual([]);
  });
  test("nothing is left for later, skipped or untyped", () => {
    const others = everything.filter((path) => path !== "test/unit/repository.test.ts");
    expect(others.filter((path) => /\b(TODO|FIXME|XXX)\b/.test(text(path)))).toEqual([]);
    expect(places(others, /\b(it|test|describe)\.(only|skip)\(|@ts-(ignore|nocheck)/)).toEqual([]);
    expect(places(source, /\bas any\b|: any\b/)).toEqual([]);
  });
  test("exports have names", () => {
    expect(
      places(
        everything.filter((path) => !/\.config\.ts$/.test(path)),
        /^export default\b/,
      ),
    ).toEqual([]);
  });
});
