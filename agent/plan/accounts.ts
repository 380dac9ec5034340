/** Users of the host as accounts of the server. */
import { createHash } from "node:crypto";
import {
  type AccountWanted,
  type ActualAccount,
  canonicalHostCard,
  canonicalPassword,
} from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import { aliasWords, withAliases } from "./aliases.ts";
import { admission, passwordChanges, plainOnly } from "./passwords.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import { teamNames } from "./teams.ts";
import { byText, type PlannedChange } from "./types.ts";

/** The accounts' part, and what the other parts need to know of it. */
export interface AccountsPlan extends PlanPart {
  /** Host accounts as they will be, by name. */
  readonly after: ReadonlyMap<string, { readonly enabled: boolean }>;
  /** Former name to new name of those renamed in this plan. */
  readonly renamed: ReadonlyMap<string, string>;
  /** Names between which a rename is blocked: whoever bears them keeps memberships and rights as they are. */
  readonly unsettled: ReadonlySet<string>;
  /** The server's name for each name as the host spells it; null where the server takes none such. */
  readonly nameOf: (given: string) => string | null;
}

/** `frozen`: the last admin, if the store would take that account away; nothing happens to it then. */
export function planAccounts(input: PlanInput, frozen?: string): AccountsPlan {
  const nameOf = names(input.canonical.accounts);
  const { wanted, rejected, untouched } = preparedAccounts(input, nameOf);
  const actual = new Map(input.actual.accounts.map((one) => [one.name, one]));
  if (frozen !== undefined) untouched.add(frozen);
  const renames = renamesById(wanted, input.actual.accounts);
  const blocked = blockedRenames(renames, actual, untouched);
  const leaving = new Map([...renames].map(([to, from]) => [from, to]));
  const changes: PlannedChange[] = [];
  const notices: Notice[] = [];
  const renamed = new Map<string, string>();
  for (const [name, account] of [...wanted].sort(byText(([key]) => key))) {
    const from = renames.get(name);
    const reason = blocked.get(name) ?? (from === undefined ? blocked.get(leaving.get(name) ?? name) : undefined);
    const now = leaving.has(name) ? undefined : actual.get(name);
    if (name === frozen) continue;
    if (reason === "local") rejected.push(waitsForAdoption("account", name, `users: ${name}`));
    else if (reason) rejected.push(blockedRename(name, reason));
    else if (from !== undefined) {
      renamed.set(from, name);
      changes.push(rename(from, account, now));
      if (now) notices.push(otherPerson(account, now));
    } else {
      // Whose holder is on the way to another name is a new person under this one.
      const outcome = accountChange(account, now, input);
      if (outcome.change) changes.push(outcome.change);
      if (outcome.rejected) rejected.push(outcome.rejected);
      if (outcome.notice) notices.push(outcome.notice);
    }
  }
  const locals: string[] = [];
  for (const account of [...actual.values()].sort(byText((one) => one.name))) {
    if (wanted.has(account.name) || leaving.has(account.name) || untouched.has(account.name)) continue;
    if (account.origin === "local") locals.push(account.name);
    else if (account.keptUntil === undefined) changes.push(removal(account, input.keepDays));
  }
  if (locals.length > 0) notices.push(localNotice("account", locals));
  notices.push(...plainOnly(wanted.values(), actual, input.actual.settings.passwords));
  const unsettled = new Set([...blocked.keys()].flatMap((to) => [to, renames.get(to) ?? to]));
  return { changes, rejected, notices, after: afterwards(input.actual.accounts, changes), renamed, unsettled, nameOf };
}

/**
 *  host            | account on the server        | in the plan
 *  ----------------|------------------------------|-----------------------------------------------
 *  user            | none                         | add
 *  user            | the same                     | nothing
 *  user            | differs in a field or keys   | change (disable, when that is what it does)
 *  user            | the host's, removed before   | return
 *  user, other id  | the host's                   | replace: another person, former data set aside
 *  user            | local                        | rejected until `apply --adopt NAME`, then adopt
 *  none            | the host's                   | remove (planAccounts), data kept
 *  none            | the host's, removed before   | nothing
 *  none            | local                        | listed as "local" (planAccounts), left alone
 *  user, same id   | the host's, under other name | rename (planAccounts)
 */
export function accountChange(
  wanted: AccountWanted,
  now: ActualAccount | undefined,
  input: Pick<PlanInput, "adopt" | "keepCredentials">,
): { change?: PlannedChange; rejected?: Rejection; notice?: Notice } {
  const source = `users: ${wanted.name}`;
  const keep = input.keepCredentials ? { keepCredentials: true } : {};
  const set = (action: PlannedChange["action"], from: string | null, extra: { adopt?: true } = {}): PlannedChange => ({
    subject: `account ${wanted.name}`,
    action,
    from,
    to: describe(wanted),
    impact: "live",
    source,
    scope: "roster",
    steps: [{ kind: "account-set", account: withId(wanted, now, action), ...extra, ...keep }],
    removes: action === "disable" ? [{ of: "account", name: wanted.name }] : [],
  });
  if (!now) return { change: set("add", null) };
  if (now.origin === "local") {
    return input.adopt.has(wanted.name)
      ? { change: set("adopt", "local account", { adopt: true }) }
      : { rejected: waitsForAdoption("account", wanted.name, source) };
  }
  if (wanted.id !== undefined && now.id !== undefined && wanted.id !== now.id) {
    return {
      change: set("replace", describe(now)),
      notice: otherPerson(wanted, now),
    };
  }
  if (now.keptUntil !== undefined) {
    return {
      change: set("return", null),
      notice: { code: "plan/returns", message: `${wanted.name} returns and finds roster and archive as they were.` },
    };
  }
  const fields = differences(wanted, now, input.keepCredentials === true);
  if (fields.length === 0) return {};
  if (now.enabled && !wanted.enabled) return { change: set("disable", "enabled") };
  return { change: { ...set("change", null), to: fields.join(", ") } };
}

/** What differs, in words; keys are only ever "changed". */
function differences(wanted: AccountWanted, now: ActualAccount, keepCredentials: boolean): string[] {
  const fields: string[] = [];
  if (wanted.enabled !== now.enabled) fields.push(wanted.enabled ? "enabled" : disabledWords(wanted));
  else if ((wanted.barred ?? false) !== (now.barred ?? false)) fields.push(disabledWords(wanted));
  if (wanted.displayName !== now.displayName) fields.push(`display name ${wanted.displayName ?? "removed"}`);
  if (wanted.email !== now.email) fields.push(`e-mail ${wanted.email ?? "removed"}`);
  if (wanted.id !== undefined && wanted.id !== now.id) fields.push(`id ${wanted.id}`);
  const addresses = aliasWords(wanted.aliases, now.aliases);
  if (addresses !== undefined) fields.push(addresses);
  if (!keepCredentials && cardHash(wanted) !== now.cardHash) fields.push(wanted.card ? "card changed" : "card removed");
  if (!keepCredentials && passwordChanges(wanted, now)) {
    fields.push(canonicalPassword(wanted) === undefined ? "password removed" : "password changed");
  }
  return fields;
}

function cardHash({ card }: Pick<AccountWanted, "card">): string | undefined {
  return card && `sha256:${createHash("sha256").update(canonicalHostCard(card)).digest("hex")}`;
}

function disabledWords({ barred }: Pick<AccountWanted, "barred">): string {
  return barred ? "disabled (none of the allowed roles)" : "disabled";
}

function describe(account: Pick<AccountWanted, "enabled" | "barred" | "displayName" | "aliases">): string {
  const more = [account.displayName, account.aliases && `also ${account.aliases.join(", ")}`].filter(Boolean);
  return [account.enabled ? "enabled" : disabledWords(account), ...more].join(", ");
}

/** A host that stops telling ids has not made everybody another person. */
function withId(wanted: AccountWanted, now: ActualAccount | undefined, action: PlannedChange["action"]): AccountWanted {
  return wanted.id === undefined && now?.id !== undefined && action !== "replace" ? { ...wanted, id: now.id } : wanted;
}

function otherPerson(wanted: AccountWanted, now: ActualAccount): Notice {
  const former = now.id === undefined ? "" : `, formerly ${now.id}`;
  return {
    code: "plan/other-person",
    message: `${wanted.name} is another person than before (id ${wanted.id ?? "none"}${former}): the former data is set aside and never shown.`,
  };
}

function rename(from: string, account: AccountWanted, holder: ActualAccount | undefined): PlannedChange {
  return {
    subject: `account ${account.name}`,
    action: "rename",
    from,
    to: account.name,
    impact: "live",
    source: `users: ${account.name}`,
    scope: "roster",
    steps: [{ kind: "account-rename", from, account }],
    removes: holder?.enabled && holder.keptUntil === undefined ? [{ of: "account", name: account.name }] : [],
  };
}

function removal(account: ActualAccount, keepDays: number): PlannedChange {
  return {
    subject: `account ${account.name}`,
    action: "remove",
    from: describe(account),
    to: null,
    impact: "live",
    source: "users",
    scope: "roster",
    steps: [{ kind: "account-remove", name: account.name, keepDays }],
    removes: account.enabled ? [{ of: "account", name: account.name }] : [],
  };
}

/** Accounts by the server's name; the names nobody may touch because the host is of two minds about them. */
function preparedAccounts(input: PlanInput, nameOf: (given: string) => string | null) {
  const reasons = new Map(input.canonical.accounts.map((one) => [one.given, one.rejected]));
  const claims = new Map<string, AccountWanted[]>();
  const rejected: Rejection[] = [];
  const untouched = new Set<string>();
  for (const account of input.desired.state.accounts) {
    const name = nameOf(account.name);
    if (name !== null) claims.set(name, [...(claims.get(name) ?? []), account]);
    else rejected.push(badName("account", account.name, `users: ${account.name}`, reasons.get(account.name)));
  }
  for (const one of input.desired.rejections) {
    if (one.subject.kind !== "account") continue;
    untouched.add(nameOf(one.subject.name) ?? one.subject.name.normalize("NFC").toLowerCase().trim());
  }
  const wanted = new Map<string, AccountWanted>();
  const admitting = admission(input);
  const teams = teamNames(input);
  for (const [name, accounts] of claims) {
    const [only] = accounts;
    if (teams.has(name)) {
      untouched.add(name);
      rejected.push({
        ...{ code: "accounts/team-name", subject: { kind: "account", name }, key: `users: ${name}`, value: name },
        rule: `${name} stands for a team in contact lists`,
        hint: "Give the user another name or the team another id in the host.",
      });
    } else if (only && accounts.length === 1 && !untouched.has(name)) wanted.set(name, admitting({ ...only, name }));
    else {
      untouched.add(name);
      for (const account of accounts) rejected.push(sameName(name, accounts, account));
    }
  }
  const settled = withAliases(input, wanted);
  rejected.push(...settled.rejected);
  return { wanted: settled.wanted, rejected, untouched };
}

function sameName(name: string, accounts: readonly AccountWanted[], one: AccountWanted): Rejection {
  const all = accounts
    .map((account) => account.name)
    .sort()
    .join(" and ");
  return {
    code: "accounts/same-name",
    subject: { kind: "account", name: one.name },
    key: `users: ${one.name}`,
    value: all,
    rule: `${all} are both ${name} to the server`,
    hint: "Rename one of them in the host.",
  };
}

/** New name to former name, for everyone whose id the server knows under another name. */
function renamesById(
  wanted: ReadonlyMap<string, AccountWanted>,
  actual: readonly ActualAccount[],
): Map<string, string> {
  const byId = new Map<string, ActualAccount>();
  for (const one of actual) {
    if (one.id === undefined || one.origin !== "host") continue;
    // Of two holders of one id the one in use is the person; a removed one is what is left of a former rename.
    if (!byId.has(one.id) || one.keptUntil === undefined) byId.set(one.id, one);
  }
  const renames = new Map<string, string>();
  for (const [name, account] of wanted) {
    const former = account.id === undefined ? undefined : byId.get(account.id);
    if (former && former.name !== name) renames.set(name, former.name);
  }
  return renames;
}

type Blocked = "circle" | "local" | "held";

/** Renames that cannot be done now: around in a circle, onto a local account, or where a name is not given up. */
function blockedRenames(
  renames: ReadonlyMap<string, string>,
  actual: ReadonlyMap<string, ActualAccount>,
  held: ReadonlySet<string>,
): Map<string, Blocked> {
  const leaving = new Map([...renames].map(([to, from]) => [from, to]));
  const blocked = new Map<string, Blocked>();
  for (const [to, from] of renames) {
    if (held.has(from)) blocked.set(to, "held");
    // From name to name, as each holder moves on: to a free name, to one that is not given up, or around.
    let at: string | undefined = to;
    for (let steps = 0; at !== undefined && !blocked.has(to); steps++) {
      if (actual.get(at)?.origin === "local") blocked.set(to, "local");
      else if (held.has(at)) blocked.set(to, "held");
      else if (steps > renames.size) blocked.set(to, "circle");
      at = leaving.get(at);
    }
  }
  return blocked;
}

function blockedRename(name: string, reason: Exclude<Blocked, "local">): Rejection {
  const common = { subject: { kind: "account", name } as const, key: `users: ${name}`, value: name };
  return reason === "circle"
    ? {
        ...common,
        code: "plan/rename-circle",
        rule: "names that are swapped cannot change hands in one step",
        hint: "Give one of the persons a third name first, apply, then the final one.",
      }
    : {
        ...common,
        code: "plan/rename-held",
        rule: "an account that stays as it is neither gives its name up nor takes another",
        hint: "Settle what else is rejected about it first.",
      };
}

/** How the host accounts stand once the changes are applied. */
export function afterwards(
  actual: readonly ActualAccount[],
  changes: readonly PlannedChange[],
): Map<string, { enabled: boolean }> {
  const after = new Map(
    actual
      .filter((one) => one.origin === "host" && one.keptUntil === undefined)
      .map((one) => [one.name, { enabled: one.enabled }]),
  );
  const steps = changes.flatMap((change) => change.steps);
  for (const step of steps) if (step.kind === "account-remove") after.delete(step.name);
  for (const step of steps) if (step.kind === "account-rename") after.delete(step.from);
  for (const step of steps) {
    if (step.kind === "account-rename" || step.kind === "account-set") {
      after.set(step.account.name, { enabled: step.account.enabled });
    }
  }
  return after;
}

/** Looks a name up as the host spells it; a Map, since names from outside are no object keys. */
export function names(answers: readonly { given: string; name: string | null }[]): (given: string) => string | null {
  const byGiven = new Map(answers.map((one) => [one.given, one.name]));
  return (given) => byGiven.get(given) ?? null;
}

export function badName(
  kind: "account" | "group",
  name: string,
  key: string,
  reason: { code: string; rule: string; hint: string } | undefined,
): Rejection {
  const { code, rule, hint } = reason ?? {
    code: "plan/no-answer",
    rule: "the server says what it makes of a name",
    hint: "Upgrade server and agent to the same release.",
  };
  return { code, subject: { kind, name }, key, value: name, rule, hint };
}

export function waitsForAdoption(kind: "account" | "group", name: string, key: string): Rejection {
  return {
    code: "plan/waits-for-adoption",
    subject: { kind, name },
    key,
    value: name,
    rule: `a local ${kind} of this name exists on the server`,
    hint: `If it is the same, say: firekeeper apply --adopt ${/^[\w.@-]+$/.test(name) ? name : `'${name}'`}`,
  };
}

export function localNotice(kind: "account" | "group", all: readonly string[]): Notice {
  const shown = all.slice(0, 5).join(", ");
  const more = all.length > 5 ? ` and ${all.length - 5} more` : "";
  return {
    code: "plan/local",
    message: `${all.length === 1 ? `The ${kind} ${shown} belongs` : `The ${kind}s ${shown}${more} belong`} to the server itself and ${all.length === 1 ? "is" : "are"} left alone.`,
  };
}
