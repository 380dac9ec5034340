/** What the server makes of a desired state: its own form of every value and name, or why it takes none. docs/architecture.md "A setting's way". */

import { isIP } from "node:net";
import { parseJid } from "../jid/jid.ts";
import { countable } from "../modules/points.ts";
import type { CanonicalAnswer, DesiredState, NameAnswer, SettingAnswer } from "./contract.ts";
import { localName } from "./local-name.ts";
import { otherNames } from "./other-names.ts";
import type { ControlParts } from "./parts.ts";
import { type ScalarName, scalarAnswer, scalarImpact } from "./scalars.ts";

type Migration = NonNullable<CanonicalAnswer["migration"]>;

/** Openfire's schema has room for 50 characters of a group's name. */
const longestGroupName = 50;

export async function canonicalForm(parts: ControlParts, desired: DesiredState): Promise<CanonicalAnswer> {
  const settings = settingAnswers(parts, desired.settings);
  const domain = settings.find(({ setting }) => setting === "domain")?.value;
  const moves = typeof domain === "string" && domain !== parts.names.primary.name;
  return {
    settings,
    accounts: desired.accounts.map(({ name }) => localName(name)),
    groups: unique(desired.groups.flatMap(({ name, groupList }) => [name, ...groupList])).map(groupName),
    ...otherNames(parts, desired, settings),
    ...(moves ? { migration: await migrationFacts(parts, domain) } : {}),
  };
}

function settingAnswers(parts: ControlParts, wanted: DesiredState["settings"]): SettingAnswer[] {
  const fresh = isFresh(parts);
  const scalars: Record<ScalarName, string | undefined> = {
    domain: wanted.domain,
    admin: wanted.admin,
    "external-address": wanted.externalAddress,
    "runtime-options": wanted.runtimeOptions,
    "alias-domains": wanted.aliasDomains,
  };
  const answers: SettingAnswer[] = [];
  for (const [name, text] of Object.entries(scalars) as [ScalarName, string | undefined][])
    if (text !== undefined) answers.push(scalarAnswer(name, text, { fresh }));
  for (const [key, text] of Object.entries(wanted.properties)) answers.push(propertyAnswer(parts, key, text));
  const answered = new Set(answers.map(({ setting }) => setting));
  for (const setting of parts.settings.all())
    if (parts.settings.origin(setting) === "host" && !answered.has(setting)) answers.push(givenUp(parts, setting));
  return answers;
}

export function propertyAnswer(parts: Pick<ControlParts, "properties">, key: string, text: string): SettingAnswer {
  const setting = `property:${key}`;
  const found = parts.properties.canonical(key, text);
  if (found.is === "rejected") {
    const { code, rule, hint, secret } = found;
    return {
      setting,
      value: null,
      rejected: { code, rule, hint },
      impact: "live",
      effect: "honoured",
      notes: [],
      secret,
    };
  }
  const { text: value, impact, effect, notes, weakens, secret } = found;
  return { setting, value, impact, effect, notes: [...notes], ...(weakens === undefined ? {} : { weakens }), secret };
}

/** What it costs when the host no longer sets this. */
function givenUp(parts: ControlParts, setting: string): SettingAnswer {
  const common = { setting, value: null, effect: "honoured" as const, notes: [], secret: false };
  if (!setting.startsWith("property:"))
    return { ...common, impact: scalarImpact(setting as ScalarName, { fresh: false }) };
  const found = parts.properties.canonical(setting.slice("property:".length), parts.settings.get(setting) ?? "");
  if (found.is === "rejected") return { ...common, impact: "live", secret: found.secret };
  return { ...common, impact: found.impact, effect: found.effect, secret: found.secret };
}

/** The server's form of a group's name: NFC, single spaces, case kept. */
export function groupName(given: string): NameAnswer {
  const name = given.normalize("NFC").trim().replace(/\s+/g, " ");
  const refused = (rule: string, hint: string): NameAnswer => ({
    given,
    name: null,
    rejected: { code: "groups/name", rule, hint },
  });
  if (name === "") return refused("a name that is not empty", "Give the role a name.");
  if ([...name].length > longestGroupName)
    return refused(
      `at most ${longestGroupName} characters`,
      `It has ${[...name].length}: give the role a shorter name.`,
    );
  // Openfire separates the names of groupList by commas.
  if (name.includes(","))
    return refused("a name without commas", "Commas separate the names of groups in sharedRoster.groupList.");
  if (/\p{Cc}/u.test(name)) return refused("a name without control characters", "Type the name anew.");
  return { given, name };
}

/** Nothing was ever kept under the first name, so that another one is no migration. */
export function isFresh(parts: Pick<ControlParts, "names" | "accounts">): boolean {
  return parts.names.fresh && parts.accounts.size === 0;
}

/** What a change of domain touches, in numbers. docs/architecture.md "One service, two names". */
async function migrationFacts(parts: ControlParts, to: string): Promise<Migration> {
  const { accounts, names, sessions } = parts;
  const from = names.primary.name;
  const all = parts.offered(countable);
  const total = async (what: "rosterItems" | "archivedMessages"): Promise<number> => {
    const counts = await Promise.all(all.filter((each) => each.what === what).map((each) => each.count()));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  const foreign = await foreignUnder(parts, to);
  return {
    ...{
      from,
      to,
      accounts: accounts.size,
      sessions: [...sessions.all()].filter(({ account }) => !account.probe).length,
    },
    rosterItems: await total("rosterItems"),
    archivedMessages: await total("archivedMessages"),
    foreignBecomingLocal: foreign.length,
    clashes: clashesAmong(parts, foreign),
    certificate: parts.certificates.prospect(to),
    dns: to.includes(".") ? dnsRecords(parts, to) : [],
    notes: [
      "What is encrypted or signed keeps the addresses it was written with.",
      ...(names.host(to) === undefined ? [] : [`${to} was the domain before and becomes it again.`]),
    ],
  };
}

/** Stored foreign addresses that would become local ones. A name that is ours already has none. */
export async function foreignUnder(parts: Pick<ControlParts, "offered">, domain: string): Promise<string[]> {
  const found = await Promise.all(
    parts.offered(countable).map(async (each) => (await each.foreignUnder?.(domain)) ?? []),
  );
  return unique(found.flat());
}

/** Local accounts that a foreign address would fall together with. */
export function clashesAmong(parts: Pick<ControlParts, "accounts" | "names">, foreign: readonly string[]): string[] {
  const locals = foreign.map((address) => parseJid(address)?.local ?? "").filter((local) => local !== "");
  return unique(locals.filter((local) => parts.accounts.get(parts.names.primary.id, local) !== undefined));
}

function dnsRecords(parts: ControlParts, to: string): string[] {
  const external = parts.settings.get("external-address")?.split(", ")[0];
  // The target of an SRV record is a name (RFC 2782).
  const target = external === undefined || isIP(external) !== 0 ? to : external;
  const ports = new Map(parts.listening.status().map(({ name, port }) => [name, port]));
  const record = (service: string, listener: string): string[] => {
    const port = ports.get(listener);
    return port === undefined ? [] : [`_${service}._tcp.${to} SRV 0 0 ${port} ${target}`];
  };
  return [...record("xmpp-client", "c2s"), ...record("xmpps-client", "c2s-tls")];
}

function unique<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}
