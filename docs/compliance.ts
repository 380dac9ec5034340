/** docs/compliance.md: what the XMPP Compliance Suites ask of a server, and what declares it here. XEP-0479 */
import { everything, linked } from "./specifications.ts";

/** As test/protocol/compliance.json has them. */
export interface Suite {
  readonly suite: { readonly title: string; readonly date: string };
  readonly server_summary: Readonly<Record<string, { readonly Advanced: readonly string[] }>>;
  readonly categories: Readonly<Record<string, readonly SuiteFeature[]>>;
}
interface SuiteFeature {
  readonly feature: string;
  readonly server_core: boolean | "n/a";
  readonly server_advanced: boolean | "n/a";
  readonly required: readonly { readonly id: string; readonly title: string; readonly newest_version?: string }[];
}

export interface Requirement {
  readonly category: string;
  readonly feature: string;
  readonly spec: string;
  readonly title: string;
  /** The lowest level that asks for it. */
  readonly level: "Core" | "Advanced";
  readonly newest: string | undefined;
}

/** What a server needs at Advanced, in the order of the suites. */
export function required(suite: Suite): readonly Requirement[] {
  return Object.entries(suite.categories).flatMap(([category, features]) =>
    features
      .filter((each) => each.server_advanced === true)
      .flatMap(({ feature, server_core, required: specs }) =>
        specs.map(({ id, title, newest_version }) => ({
          ...{ category, feature, spec: id, title, newest: newest_version },
          level: server_core === true ? ("Core" as const) : ("Advanced" as const),
        })),
      ),
  );
}

/** The declarations by specification. */
export function declared(): ReadonlyMap<string, readonly ReturnType<typeof everything>[number][]> {
  const found = new Map<string, ReturnType<typeof everything>[number][]>();
  for (const one of everything()) found.set(one.spec, [...(found.get(one.spec) ?? []), one]);
  return found;
}

export function compliancePage(suite: Suite): string {
  const specs = declared();
  const rows = required(suite).map(({ category, feature, spec, title, level, newest }) => {
    const ours = specs.get(spec);
    const version = ours?.find((one) => one.version !== undefined)?.version;
    const versions = newest === undefined ? "" : version === newest ? newest : `${version ?? "?"} (newest ${newest})`;
    const where = ours === undefined ? "not yet" : [...new Set(ours.map((one) => one.where))].join(", ");
    return `| ${category} | ${level} | ${feature} | ${linked(spec)} ${title} | ${versions} | ${where} |`;
  });
  return [
    "# Compliance",
    "",
    `What the ${suite.suite.title} ([XEP-0479](https://xmpp.org/extensions/xep-0479.html), ${suite.suite.date}) ask of a server at the level Advanced, and which part of the code declares it. Generated (\`npm run docs\`); \`test/protocol/compliance.test.ts\` reads the suites and asks the running server for each row as a client would: by connecting, by discovery and by using it.`,
    "",
    "| category | from level | feature | specification | version | where |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
    "The suites recommend more to clients and to public servers than they require of a server; what else is implemented stands in [specifications](xeps.md).",
    "",
  ].join("\n");
}
