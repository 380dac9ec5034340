/** What two revisions differ in: settings, groups, memberships, supervisors, accounts. Never a credential: no revision holds one. */
import { CodedError } from "../errors.ts";
import type { Journal } from "./journal.ts";
import { contentOf, type RevisionContent, type RevisionState } from "./revision-state.ts";

/** `from` or `to` null: there is no such thing in that revision. For members: who left, who joined. */
export interface Difference {
  readonly subject: string;
  readonly from: string | null;
  readonly to: string | null;
}

export interface RevisionDifferences {
  readonly from: number;
  readonly to: number;
  readonly differences: readonly Difference[];
}

/** Between two revisions; without `to` the one in force, without `from` the one before it. Throws `history/unknown-revision`. */
export function revisionDifferences(journal: Journal, from?: number, to?: number): RevisionDifferences {
  const last = to ?? journal.revision;
  const first = from ?? journal.former;
  const [before, after] = [stateOf(journal, first), stateOf(journal, last)];
  return { from: first ?? 0, to: last ?? 0, differences: differencesOf(before, after) };
}

function stateOf(journal: Journal, revision: number | undefined): RevisionState {
  const state = revision === undefined ? undefined : journal.state(revision);
  if (state) return state;
  throw new CodedError(
    "history/unknown-revision",
    `Revision ${revision ?? ""} never was in force, or the journal no longer has it.`.replace("  ", " "),
    { hint: "firekeeper history lists them." },
  );
}

export function differencesOf(before: RevisionState, after: RevisionState): Difference[] {
  const [was, is] = [flat(contentOf(before)), flat(contentOf(after))];
  const subjects = [...new Set([...was.keys(), ...is.keys()])].sort();
  const texts = subjects.flatMap((subject): Difference[] => {
    const from = was.get(subject) ?? null;
    const to = is.get(subject) ?? null;
    return from === to ? [] : [{ subject, from, to }];
  });
  return [...texts, ...memberDifferences(contentOf(before), contentOf(after))];
}

/** Secrets are not in the content, so a changed one does not show; the revision's own change says it. */
function flat({ settings, groups, contacts, supervisors, accounts }: RevisionContent): Map<string, string> {
  const lines = new Map<string, string>();
  const scalars = {
    domain: settings.domain,
    "admin user": settings.admin,
    "external address": settings.externalAddress,
    "runtime options": settings.runtimeOptions,
    "alias domains": settings.aliasDomains,
  };
  for (const [name, value] of Object.entries(scalars)) if (value !== undefined) lines.set(name, value);
  for (const [key, value] of Object.entries(settings.properties)) lines.set(`property ${key}`, value);
  for (const { name, displayName, showInRoster, groupList } of groups) {
    const others = groupList.length > 0 ? `, also ${[...groupList].sort().join(", ")}` : "";
    lines.set(`group ${name}`, `"${displayName}" for ${showInRoster}${others}`);
  }
  for (const { name, displayName } of contacts) lines.set(`contact ${name}`, displayName);
  for (const { name, contacts: shown = [] } of groups)
    if (shown.length > 0) lines.set(`teams of ${name}`, [...shown].sort().join(", "));
  for (const name of supervisors) lines.set(`supervisor ${name}`, "yes");
  for (const [name, { enabled, displayName, email }] of accounts) {
    const more = [displayName, email].filter((one) => one !== undefined);
    lines.set(`account ${name}`, [enabled ? "enabled" : "disabled", ...more].join(", "));
  }
  return lines;
}

function memberDifferences(before: RevisionContent, after: RevisionContent): Difference[] {
  const membersIn = (content: RevisionContent) => new Map(content.groups.map((one) => [one.name, one.members]));
  const [was, is] = [membersIn(before), membersIn(after)];
  return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((name): Difference[] => {
    const [then, now] = [was.get(name) ?? [], is.get(name) ?? []];
    const left = gone(then, now);
    const joined = gone(now, then);
    return left === null && joined === null ? [] : [{ subject: `members of ${name}`, from: left, to: joined }];
  });
}

const shown = 20;

/** Who is in the first and not in the second; null for nobody. */
function gone(these: "all" | readonly string[], those: "all" | readonly string[]): string | null {
  if (those === "all" || (these !== "all" && these.length === 0)) return null;
  if (these === "all") return "everybody else";
  const there = new Set(those);
  const names = these.filter((name) => !there.has(name)).sort();
  if (names.length === 0) return null;
  return names.length > shown
    ? `${names.slice(0, shown).join(", ")} and ${names.length - shown} more`
    : names.join(", ");
}
