/** Domain, external address, runtime options and properties. The admin, who depends on accounts, is in admin.ts. */
import { createHash } from "node:crypto";
import type { ActualSettings, CanonicalAnswer, Impact, SettingAnswer } from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import { masked, type PlannedChange } from "./types.ts";

type Standing = { value: string | null; origin: "host" | "local"; beneath?: string; secret: boolean };

export function planSettings(input: PlanInput): PlanPart {
  const answers = new Map(input.canonical.settings.map((answer) => [answer.setting, answer]));
  const standing = standingSettings(input.actual.settings);
  const left = new Set([
    ...(input.leave ?? []),
    ...input.desired.rejections.filter((one) => one.subject.kind === "setting").map((one) => one.subject.name),
  ]);
  const changes: PlannedChange[] = [];
  const rejected: Rejection[] = [];
  const notices: Notice[] = [];
  const domain = planDomain(input, answers.get("domain"));
  const wanted = wantedTexts(input);
  const names = [...new Set([...wanted.keys(), ...standing.keys()])].sort();
  for (const name of names) {
    const given = wanted.get(name);
    const answer = answers.get(name);
    const now = standing.get(name);
    if (left.has(name)) continue;
    if (given !== undefined && !answer)
      rejected.push(
        rejection(
          name,
          given,
          {
            code: "plan/no-answer",
            rule: "the server says what it makes of a value",
            hint: "Upgrade server and agent to the same release.",
          },
          true,
        ),
      );
    else if (given !== undefined && answer?.rejected)
      rejected.push(rejection(name, given, answer.rejected, answer.secret));
    else {
      const change = settingChange(name, given === undefined ? undefined : answer, now, answer?.impact ?? "live");
      if (change) changes.push(name === "external-address" ? followedChange(change, input.desired.followed) : change);
      if (given === undefined && now?.origin === "local" && now.value !== null) notices.push(local(name, now));
    }
    if (given !== undefined && answer && !answer.rejected) notices.push(...effects(answer));
  }
  return {
    changes: [...changes.map((one) => originChange(one, input.desired.origins)), ...domain.changes],
    rejected: [...rejected, ...domain.rejected],
    notices: [...notices, ...domain.notices],
  };
}

/**
 *  host store         | server                 | in the plan
 *  -------------------|------------------------|-------------------------------------------------
 *  key = value        | same, of the host      | nothing
 *  key = value        | same, local            | own: the store owns it from now on
 *  key = value        | other, or unset        | set, with the impact the server named
 *  key = unreadable   | anything               | rejected (the caller); the last good value stays
 *  key absent         | of the host            | unset: back to the local value beneath, else the default
 *  key absent         | local                  | listed as "local" (the caller), left alone
 *  key absent         | unset                  | nothing
 */
export function settingChange(
  name: string,
  wanted: SettingAnswer | undefined,
  now: Standing | undefined,
  impact: Impact,
): PlannedChange | undefined {
  const has = now !== undefined && now.value !== null;
  const secret = wanted?.secret === true || now?.secret === true;
  const show = (value: string | null | undefined) =>
    value === null || value === undefined ? null : secret ? masked : value;
  const common = { subject: subjectOf(name), source: sourceOf(name), scope: "settings" as const, removes: [] };
  if (wanted && wanted.value !== null) {
    const same = has && (now.secret ? now.value === secretHash(wanted.value) : now.value === wanted.value);
    if (same && now.origin === "host") return undefined;
    return {
      ...common,
      action: same ? "own" : "set",
      from: show(now?.value),
      to: show(wanted.value),
      impact: same ? "live" : impact,
      steps: [{ kind: "setting", setting: name, to: wanted.value }],
    };
  }
  if (!has || now.origin === "local") return undefined;
  return {
    ...common,
    action: "unset",
    from: show(now.value),
    to: show(now.beneath),
    impact,
    steps: [{ kind: "setting", setting: name, to: null }],
  };
}

/** A value that is not the store's own says whose it is. */
function originChange(change: PlannedChange, origins: PlanInput["desired"]["origins"]): PlannedChange {
  const origin = origins?.get(change.source);
  return origin === undefined ? change : { ...change, source: `${change.source}, inherited from ${origin}` };
}

/** A change of an address that is followed says who saw it, and goes by itself from one such address to the next. */
function followedChange(change: PlannedChange, followed: PlanInput["desired"]["followed"]): PlannedChange {
  if (followed === undefined) return change;
  const source = `${change.source} (${followed.how})`;
  // A target with room for one address has the first of two.
  const former = followed.former.flatMap((one) => [one, ...one.split(", ").slice(0, 1)]);
  const moved = change.action === "set" && change.from !== null && former.includes(change.from);
  return { ...change, source, ...(moved ? { follows: true as const } : {}) };
}

/**
 *  named by        | served name        | in the plan
 *  ----------------|--------------------|--------------------------------------------------------
 *  anyone          | the same           | nothing
 *  anyone          | other, never ran   | set, live: there is nothing to migrate
 *  the store       | other, ran         | set, migrate, with what it touches
 *  the store       | other, clashes     | rejected until a person merges the accounts
 *  nobody (or env) | other, ran         | rejected: a name that vanished from the store stays
 *  rejected text   | anything           | rejected; the name stays
 */
export function planDomain(input: PlanInput, answer: SettingAnswer | undefined): PlanPart {
  const { actual, canonical, desired } = input;
  const given = desired.state.settings.domain;
  const nothing: PlanPart = { changes: [], rejected: [], notices: [] };
  if (given === undefined || desired.rejections.some((one) => one.subject.name === "domain")) return nothing;
  const reject = (code: string, rule: string, hint: string): PlanPart => ({
    ...nothing,
    rejected: [rejection("domain", given, { code, rule, hint }, false)],
  });
  if (answer?.rejected) return reject(answer.rejected.code, answer.rejected.rule, answer.rejected.hint);
  const to = answer?.value;
  if (to === undefined || to === null)
    return reject(
      "plan/no-answer",
      "the server says what it makes of a name",
      "Upgrade server and agent to the same release.",
    );
  const from = actual.settings.domain;
  const notices = answer ? effects(answer) : [];
  if (to === from) return { ...nothing, notices };
  const { fresh } = actual.settings;
  if (!fresh && desired.domainFrom !== "store") {
    return reject(
      "plan/domain-removed",
      `the domain of a service that has run is changed only by sys.xmpp.domain, and ${from} stays`,
      `Set sys.xmpp.domain to ${from} to keep it, or to the new name to move.`,
    );
  }
  const clashes = canonical.migration?.clashes ?? [];
  if (!fresh && clashes.length > 0) {
    return reject(
      "plan/domain-clash",
      `addresses under ${to} that are stored as foreign would become local accounts: ${clashes.slice(0, 5).join(", ")}`,
      "A person has to merge them first.",
    );
  }
  return {
    changes: [
      {
        subject: "domain",
        action: "set",
        from,
        to,
        impact: fresh ? "live" : "migrate",
        source: "sys.xmpp.domain",
        scope: "settings",
        steps: [{ kind: "setting", setting: "domain", to }],
        removes: [],
      },
    ],
    rejected: [],
    notices: [...notices, ...(fresh ? [] : touched(canonical.migration, from, to))],
  };
}

/** What a change of domain touches, in numbers. */
function touched(migration: CanonicalAnswer["migration"], from: string, to: string): Notice[] {
  const say = (message: string): Notice => ({ code: "plan/migration", message });
  if (!migration) return [say(`The domain changes from ${from} to ${to}.`)];
  const { accounts, rosterItems, archivedMessages, sessions, foreignBecomingLocal } = migration;
  return [
    say(
      `The domain changes from ${from} to ${to}: ${accounts} accounts, ${rosterItems} roster entries and ${archivedMessages} archived messages follow; ${sessions} sessions stay online under ${from}, which remains an alias.`,
    ),
    say(`Certificate: ${migration.certificate}`),
    ...migration.dns.map((record) => say(`DNS record to set: ${record}`)),
    ...(foreignBecomingLocal > 0
      ? [say(`${foreignBecomingLocal} stored foreign addresses under ${to} become local ones.`)]
      : []),
    ...migration.notes.map(say),
  ];
}

function effects(answer: SettingAnswer): Notice[] {
  const about = sourceOf(answer.setting);
  const say = (otherwise: string) => `${about}: ${answer.notes.length > 0 ? answer.notes.join(" ") : otherwise}`;
  const notices: Notice[] = [];
  if (answer.weakens !== undefined) notices.push({ code: "plan/weakens", message: `${about}: ${answer.weakens}` });
  if (answer.effect === "none") notices.push({ code: "plan/no-effect", message: say("it has no effect here.") });
  else if (answer.effect === "later") notices.push({ code: "plan/not-yet", message: say("it is not yet honoured.") });
  else if (answer.effect === "unknown")
    notices.push({ code: "plan/unknown", message: say("it is unknown, stored and passed on.") });
  else for (const note of answer.notes) notices.push({ code: "plan/note", message: `${about}: ${note}` });
  return notices;
}

function local(name: string, now: Standing): Notice {
  const value = now.secret ? masked : now.value;
  return { code: "plan/local", message: `${subjectOf(name)} = ${value} is set on the server itself and left alone.` };
}

function rejection(
  name: string,
  value: string,
  reason: { code: string; rule: string; hint: string },
  secret: boolean,
): Rejection {
  const { code, rule, hint } = reason;
  return {
    code,
    subject: { kind: "setting", name },
    key: sourceOf(name),
    value: secret ? masked : value,
    rule,
    hint,
  };
}

function wantedTexts(input: PlanInput): Map<string, string> {
  const { externalAddress, runtimeOptions, aliasDomains, properties } = input.desired.state.settings;
  const wanted = new Map<string, string>();
  if (externalAddress !== undefined) wanted.set("external-address", externalAddress);
  if (runtimeOptions !== undefined) wanted.set("runtime-options", runtimeOptions);
  if (aliasDomains !== undefined) wanted.set("alias-domains", aliasDomains);
  for (const [key, value] of Object.entries(properties)) wanted.set(`property:${key}`, value);
  return wanted;
}

function standingSettings(settings: ActualSettings): Map<string, Standing> {
  const standing = new Map<string, Standing>([
    ["external-address", { ...settings.externalAddress, secret: false }],
    ["runtime-options", { ...settings.runtimeOptions, secret: false }],
    ...(settings.aliasDomains ? [["alias-domains", { ...settings.aliasDomains, secret: false }] as const] : []),
  ]);
  for (const { key, ...rest } of settings.properties) standing.set(`property:${key}`, rest);
  return standing;
}

function secretHash(value: string): string {
  return `sha256:${createHash("sha256").update(value).digest("hex")}`;
}

function subjectOf(name: string): string {
  return name.startsWith("property:") ? `property ${name.slice("property:".length)}` : name.replace("-", " ");
}

const sources: Record<string, string> = {
  domain: "sys.xmpp.domain",
  admin: "sys.xmpp.adminuser",
  "external-address": "sys.xmpp.externalip",
  "runtime-options": "sys.xmpp.java_options",
  "alias-domains": "sys.xmpp.aliasdomains",
};

/** The host's key of a setting. */
export function sourceOf(name: string): string {
  return sources[name] ?? `sys.xmpp.properties.${name.slice("property:".length)}`;
}
