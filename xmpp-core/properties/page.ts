/** docs/properties.md, generated from the declarations and the catalogue. */
import { catalogueEntries, mucServiceEntries, standingOf } from "./catalogue.ts";
import type { Property } from "./property.ts";
import { type Description, describeDeclared } from "./registry.ts";

/** The page as Markdown. `declared` are the declarations of all parts, whatever runs. */
export function propertiesPage(declared: readonly Property<unknown>[]): string {
  const honoured = declared.map((property) => describeDeclared(property)).sort((a, b) => (a.key < b.key ? -1 : 1));
  const taken = new Set(declared.flatMap((property) => [property.key, ...property.aliases]));
  const others = catalogueEntries().filter((entry) => !taken.has(entry.key));
  return `${[
    "# Properties",
    "",
    "Generated from the code; a test fails when this page is stale.",
    "Set a property in the host's store as `sys.xmpp.properties.<key>`; names and values are Openfire's.",
    "Impact: `live` takes effect at once, `listener` rebinds one port, `restart` replaces the core process while connections stay.",
    "",
    "## Honoured",
    "",
    "| key | meaning | value | default | unit | impact |",
    "|---|---|---|---|---|---|",
    ...honoured.map(honouredRow),
    "",
    "## Where our default differs from Openfire's",
    "",
    ...differences(honoured),
    "",
    "## Set elsewhere",
    "",
    ...others.flatMap((entry) => {
      const standing = standingOf(entry.key);
      return standing.is === "reserved" ? [`- \`${entry.key}\`: refused, set \`${standing.by}\``] : [];
    }),
    "",
    "## No effect here",
    "",
    "Accepted, stored and listed in plan and status with the reason.",
    "",
    ...noEffect(others.map((entry) => entry.key)),
    "## Not yet honoured",
    "",
    "Stored, and named in plan and status.",
    "",
    ...others.filter((entry) => standingOf(entry.key).is === "later").map((entry) => `- \`${entry.key}\``),
    "",
    "Of each MUC service:",
    "",
    ...mucServiceEntries.map((entry) => `- \`${entry.key}\``),
  ].join("\n")}\n`;
}

function honouredRow(property: Description): string {
  const cells = [
    `\`${property.key}\``,
    property.doc,
    property.rule,
    property.secret ? "generated, secret" : code(property.default),
    property.unit,
    property.impact,
  ];
  return `| ${cells.map((cell) => cell?.replaceAll("|", "\\|") ?? "").join(" | ")} |`;
}

function code(text: string | undefined): string {
  if (text === undefined) return "unset";
  return text === "" ? "empty" : `\`${text}\``;
}

function differences(honoured: readonly Description[]): string[] {
  const different = honoured.filter(
    (property) =>
      property.openfireDefault !== undefined && property.openfireDefault !== property.default && !property.secret,
  );
  if (different.length === 0) return ["Nowhere."];
  return [
    "| key | here | Openfire |",
    "|---|---|---|",
    ...different.map(
      (property) => `| \`${property.key}\` | ${code(property.default)} | ${code(property.openfireDefault)} |`,
    ),
  ];
}

function noEffect(keys: readonly string[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const key of keys) {
    const standing = standingOf(key);
    if (standing.is === "none") byReason.set(standing.reason, [...(byReason.get(standing.reason) ?? []), key]);
  }
  return [...byReason].flatMap(([reason, listed]) => [
    `**${reason}**`,
    "",
    listed.map((key) => `\`${key}\``).join(", "),
    "",
  ]);
}
