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
import type { Implements } from "../xmpp-core/modules/module.ts";
import { propertiesPage } from "../xmpp-core/properties/page.ts";
import { type Handlers, type IqHandler, messagePhases } from "../xmpp-core/routing/handlers.ts";
import { allProperties, startServer } from "../xmpp-core/server.ts";
import { inProcessGate } from "../xmpp-core/transport/in-process.ts";

import { manualPage } from "./manual-page.ts";

const directory = new URL("./", import.meta.url);

/** What the parts below the modules implement; they have no declaration of their own. */
const belowModules: readonly (Implements & { readonly where: string })[] = [
  { spec: "RFC 6120", status: "complete", where: "stream", note: "client to server; server to server comes later" },
  { spec: "RFC 6121", section: "5, 8", status: "complete", where: "routing", note: "messages, delivery" },
  { spec: "RFC 7622", status: "complete", where: "jid", note: "addresses, by PRECIS (RFC 8264, 8265)" },
  { spec: "RFC 5802", status: "complete", where: "auth", note: "SCRAM-SHA-1 and -PLUS" },
  { spec: "RFC 7677", status: "complete", where: "auth", note: "SCRAM-SHA-256 and -PLUS; SHA-512 likewise" },
  { spec: "RFC 4616", status: "complete", where: "auth", note: "PLAIN, over TLS only" },
  { spec: "RFC 5929", status: "partial", where: "auth", note: "tls-server-end-point" },
  { spec: "RFC 9266", status: "complete", where: "auth", note: "tls-exporter" },
  { spec: "XEP-0198", version: "1.6.3", status: "complete", where: "stream", note: "resumed after kill -9 too" },
  {
    spec: "XEP-0368",
    version: "1.1.0",
    status: "partial",
    where: "stream",
    note: "direct TLS with ALPN; clients only",
  },
  { spec: "XEP-0440", version: "1.0.0", status: "complete", where: "auth" },
];

const titles: Readonly<Record<string, string>> = {
  "RFC 3921": "Session establishment of old clients",
  "RFC 4616": "SASL PLAIN",
  "RFC 5802": "SASL SCRAM",
  "RFC 5929": "Channel bindings for TLS",
  "RFC 6120": "XMPP: Core",
  "RFC 6121": "XMPP: Instant Messaging and Presence",
  "RFC 7622": "XMPP: Address Format",
  "RFC 7677": "SCRAM-SHA-256",
  "RFC 9266": "Channel bindings for TLS 1.3",
  "XEP-0004": "Data Forms",
  "XEP-0012": "Last Activity",
  "XEP-0013": "Flexible Offline Message Retrieval",
  "XEP-0016": "Privacy Lists",
  "XEP-0030": "Service Discovery",
  "XEP-0033": "Extended Stanza Addressing",
  "XEP-0045": "Multi-User Chat",
  "XEP-0048": "Bookmarks",
  "XEP-0049": "Private XML Storage",
  "XEP-0050": "Ad-Hoc Commands",
  "XEP-0054": "vcard-temp",
  "XEP-0055": "Jabber Search",
  "XEP-0059": "Result Set Management",
  "XEP-0060": "Publish-Subscribe",
  "XEP-0065": "SOCKS5 Bytestreams",
  "XEP-0077": "In-Band Registration",
  "XEP-0084": "User Avatar",
  "XEP-0085": "Chat State Notifications",
  "XEP-0092": "Software Version",
  "XEP-0107": "User Mood",
  "XEP-0108": "User Activity",
  "XEP-0114": "Jabber Component Protocol",
  "XEP-0115": "Entity Capabilities",
  "XEP-0118": "User Tune",
  "XEP-0122": "Data Forms Validation",
  "XEP-0128": "Service Discovery Extensions",
  "XEP-0131": "Stanza Headers and Internet Metadata",
  "XEP-0133": "Service Administration",
  "XEP-0145": "Annotations",
  "XEP-0153": "vCard-Based Avatars",
  "XEP-0157": "Contact Addresses for XMPP Services",
  "XEP-0160": "Handling Offline Messages",
  "XEP-0163": "Personal Eventing Protocol",
  "XEP-0172": "User Nickname",
  "XEP-0191": "Blocking Command",
  "XEP-0198": "Stream Management",
  "XEP-0199": "XMPP Ping",
  "XEP-0202": "Entity Time",
  "XEP-0203": "Delayed Delivery",
  "XEP-0222": "Persistent Storage of Public Data via PubSub",
  "XEP-0223": "Persistent Storage of Private Data via PubSub",
  "XEP-0237": "Roster Versioning",
  "XEP-0249": "Direct MUC Invitations",
  "XEP-0256": "Last Activity in Presence",
  "XEP-0258": "Security Labels in XMPP",
  "XEP-0280": "Message Carbons",
  "XEP-0292": "vCard4 Over XMPP",
  "XEP-0297": "Stanza Forwarding",
  "XEP-0300": "Cryptographic Hash Functions",
  "XEP-0313": "Message Archive Management",
  "XEP-0317": "Hats",
  "XEP-0334": "Message Processing Hints",
  "XEP-0355": "Namespace Delegation",
  "XEP-0356": "Privileged Entity",
  "XEP-0359": "Unique and Stable Stanza IDs",
  "XEP-0368": "SRV records for XMPP over TLS",
  "XEP-0377": "Spam Reporting",
  "XEP-0390": "Entity Capabilities 2.0",
  "XEP-0398": "User Avatar to vCard-Based Avatars Conversion",
  "XEP-0402": "PEP Native Bookmarks",
  "XEP-0410": "MUC Self-Ping",
  "XEP-0411": "Bookmarks Conversion",
  "XEP-0413": "Order-By",
  "XEP-0421": "Occupant identifiers for semi-anonymous MUCs",
  "XEP-0424": "Message Retraction",
  "XEP-0425": "Moderated Message Retraction",
  "XEP-0431": "Full Text Search in MAM",
  "XEP-0433": "Extended Channel Search",
  "XEP-0440": "SASL Channel-Binding Type Capability",
  "XEP-0441": "Message Archive Management Preferences",
  "XEP-0442": "Pubsub Message Archive Management",
  "XEP-0444": "Message Reactions",
  "XEP-0455": "Service Outage Status",
  "XEP-0478": "Stream Limits Advertisement",
  "XEP-0486": "MUC Avatars",
  "XEP-0490": "Message Displayed Synchronization",
  "XEP-0492": "Chat notification settings",
  "XEP-0500": "MUC Slow Mode",
};

function specificationsPage(): string {
  const all = [
    ...belowModules,
    ...allModules.flatMap((module) => module.implements.map((one) => ({ ...one, where: module.name }))),
  ];
  const rows = all
    .map((one) => {
      const title = titles[one.spec];
      if (title === undefined) throw new Error(`${one.spec} has no title in docs/generate.ts`);
      const what = `${title}${one.section === undefined ? "" : ` §${one.section}`}`;
      return `| ${linked(one.spec)} | ${what} | ${one.version ?? ""} | ${one.status} | ${one.where} | ${one.note ?? ""} |`;
    })
    .sort();
  return [
    "# Specifications",
    "",
    "Generated from the declarations in the code (`npm run docs`); a test fails when this page is stale.",
    "",
    "| specification | what | version | status | where | note |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function linked(spec: string): string {
  const number = spec.slice(4);
  return spec.startsWith("RFC")
    ? `[${spec}](https://www.rfc-editor.org/rfc/rfc${number})`
    : `[${spec}](https://xmpp.org/extensions/xep-${number}.html)`;
}

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
    ["stores/http-host.schema.json", hostSchemaText()],
    ["plan.schema.json", planSchemaPage()],
    ["settings.md", await withBlocks("settings.md", blocks)],
    ["stanza-path.md", await withBlocks("stanza-path.md", blocks)],
  ] as const;
  const manual = ["firekeeper.1", manualPage(environmentVariables())] as const;
  return new Map([manual, ...pages.map(([page, text]) => [page, formatted(page, text)] as const)]);
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
