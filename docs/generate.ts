/**
 * Writes what the pages in this directory take from the code: `npm run docs`. A page is either generated whole, or holds
 * blocks between `<!-- generated: NAME -->` and `<!-- end -->`. test/unit/repository.test.ts fails when one is stale.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { environmentTable, environmentVariables } from "../agent/environment.ts";
import { planSchemaPage } from "../agent/plan/document.ts";
import { hostSchemaText } from "../agent/store/http/schema.ts";
import { systemClock } from "../xmpp-core/clock.ts";
import { allModules } from "../xmpp-core/modules/all.ts";
import { portalSchemas } from "../xmpp-core/modules/portal/schemas.ts";
import { propertiesPage } from "../xmpp-core/properties/page.ts";
import { type Handlers, type IqHandler, messagePhases } from "../xmpp-core/routing/handlers.ts";
import { allProperties, startServer } from "../xmpp-core/server.ts";
import { inProcessGate } from "../xmpp-core/transport/in-process.ts";

import { compliancePage, type Suite } from "./compliance.ts";
import { manualPage } from "./manual-page.ts";
import { projectDescription, specificationsPage } from "./specifications.ts";
import { type Tested, testedPage } from "./tested.ts";

const directory = new URL("./", import.meta.url);
/** The Compliance Suites as data. */
const suites = new URL("../test/protocol/compliance.json", import.meta.url);
/** What real programs were seen to do: by the tests, and by people. */
const seen = ["results.json", "by-eye.json"].map((name) => new URL(`../test/clients/${name}`, import.meta.url));

interface Started {
  readonly module: string;
  readonly handlers: Handlers;
}

/** What every module registers, told by a server that is started on an empty home and never opens a port. */
async function registered(): Promise<Started[]> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-docs-"));
  const gates = await inProcessGate();
  try {
    const server = await startServer({
      ...{ home, gate: gates.gate, clock: systemClock, random: randomBytes, firstDomain: "localhost" },
      log: pino({ level: "silent" }),
      process: { gatePid: process.pid, restart: () => undefined, stop: () => undefined },
    });
    await Promise.all(server.handlers.map((each) => each.ready));
    await server.abandon();
    return server.handlers.map((handlers, index) => ({ module: allModules[index]?.name ?? "", handlers }));
  } finally {
    gates.close();
    await rm(home, { recursive: true, force: true });
  }
}

function phaseTable(started: readonly Started[]): string {
  const rows = messagePhases.map((phase) => {
    const modules = started.flatMap(({ module, handlers }) =>
      phase !== "deliver" && handlers.message?.[phase] !== undefined ? [module] : [],
    );
    const who = phase === "deliver" ? "routing/messages.ts" : modules.join(", ") || "nobody yet";
    return `| ${phase} | ${who} |`;
  });
  return ["| phase | who takes part |", "|---|---|", ...rows].join("\n");
}

function sessionTable(started: readonly Started[]): string {
  const points = ["opened", "restored", "resumed", "detached", "closed"] as const;
  const rows = points.map((point) => {
    const modules = started.flatMap(({ module, handlers }) =>
      handlers.session?.[point] === undefined ? [] : [module],
    );
    return `| ${point} | ${modules.join(", ") || "nobody yet"} |`;
  });
  return ["| a session is | who is told |", "|---|---|", ...rows].join("\n");
}

function requestTable(started: readonly Started[]): string {
  const rows = started.flatMap(({ module, handlers }) =>
    (handlers.iq ?? []).flatMap((handler) =>
      (["get", "set"] as const).flatMap((type) => {
        const payload = handler[type];
        return payload === undefined
          ? []
          : [
              `| ${type} | \`${payload[1]}\` | \`${payload[0]}\` | ${handler.at.join(", ")} | ${asker(handler)} | ${module} |`,
            ];
      }),
    ),
  );
  return [
    "| type | element | namespace | answered at | who may ask | module |",
    "|---|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function asker({ by, at }: IqHandler): string {
  if (by !== undefined) return by;
  const account = at.includes("account");
  return account && at.length === 1 ? "self" : account ? "self at an account, else anyone" : "anyone";
}

/** Every page that takes something from the code, by its name in docs/, as it should be. */
export async function generatedPages(): Promise<ReadonlyMap<string, string>> {
  const started = await registered();
  const blocks = new Map([
    ["environment", environmentTable().trimEnd()],
    ["phases", phaseTable(started)],
    ["sessions", sessionTable(started)],
    ["requests", requestTable(started)],
  ]);
  const pages = [
    ["properties.md", propertiesPage(allProperties())],
    ["xeps.md", specificationsPage()],
    ["compliance.md", compliancePage(JSON.parse(await readFile(suites, "utf8")) as Suite)],
    ["stores/http-host.schema.json", hostSchemaText()],
    ["plan.schema.json", planSchemaPage()],
    ...portalSchemas(),
    ["settings.md", await withBlocks("settings.md", blocks)],
    ["stanza-path.md", await withBlocks("stanza-path.md", blocks)],
  ] as const;
  const tests = await Promise.all(seen.map(async (file) => JSON.parse(await readFile(file, "utf8")) as Tested[]));
  const asTheyAre = [
    ["../xmpp-core/modules/portal/tested.json", testedPage(tests.flat())],
    ["firekeeper.1", manualPage(environmentVariables())],
    ["firekeeper.doap", projectDescription()],
  ] as const;
  return new Map([...asTheyAre, ...pages.map(([page, text]) => [page, formatted(page, text)] as const)]);
}

/** As `npm run check` wants it. */
function formatted(page: string, text: string): string {
  const biome = fileURLToPath(new URL("../node_modules/@biomejs/biome/bin/biome", directory));
  const words = [biome, "format", `--stdin-file-path=docs/${page}`];
  return execFileSync(process.execPath, words, { input: text, encoding: "utf8", cwd: new URL("..", directory) });
}

async function withBlocks(page: string, blocks: ReadonlyMap<string, string>): Promise<string> {
  const text = await readFile(new URL(page, directory), "utf8");
  return text.replaceAll(/(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g, (_, start, name, end) => {
    const block = blocks.get(String(name));
    if (block === undefined) throw new Error(`docs/${page} asks for the unknown block ${name}`);
    return `${start}\n${block}\n\n${end}`;
  });
}

if (fileURLToPath(import.meta.url) === process.argv[1]) {
  for (const [page, text] of await generatedPages()) await writeFile(new URL(page, directory), text);
}
