/** A store that has lost its users must not take them along: large removals wait for a person, in every mode. docs/architecture.md "A setting's way". */
import { CodedError } from "../errors.ts";
import type { PlannedChange, Removal, Totals } from "../plan/types.ts";

/** What people removed through `firekeeper users` or `roles`, by the host's own names; nobody asks them twice. */
export type Confirmed = readonly {
  readonly users: readonly string[];
  readonly roles: readonly string[];
  readonly memberships: readonly { readonly role: string; readonly user: string }[];
}[];

/** Fewer removals than this never wait. */
const harmless = 10;

/**
 * The refusal, or undefined when the changes may go. `confirmedCount` is what the person said: it must be the very
 * number of removals that are not confirmed otherwise.
 */
export function brake(
  changes: readonly PlannedChange[],
  totals: Totals,
  maxPercent: number,
  confirmed: Confirmed,
  confirmedCount: number | undefined,
): CodedError | undefined {
  const removed = distinct(changes.flatMap((change) => change.removes)).filter((one) => !isConfirmed(one, confirmed));
  const counts = [
    { of: "account", removed: count(removed, "account"), all: totals.accounts, words: "accounts" },
    { of: "group", removed: count(removed, "group"), all: totals.groups, words: "groups" },
    { of: "membership", removed: count(removed, "membership"), all: totals.memberships, words: "memberships" },
  ];
  const tooMany = counts.filter((one) => one.removed >= harmless && one.removed * 100 > one.all * maxPercent);
  if (tooMany.length === 0 || confirmedCount === removed.length) return undefined;
  const what = tooMany.map((one) => `${one.removed} of ${one.all} ${one.words}`).join(" and ");
  const said = confirmedCount === undefined ? "" : ` You said ${confirmedCount}.`;
  return new CodedError("apply/removes-much", `This removes ${what}, so nothing is applied.${said}`, {
    hint: `If that is meant: firekeeper apply --removals ${removed.length}`,
    fields: { removals: removed.length },
  });
}

function distinct(removals: readonly Removal[]): Removal[] {
  return [...new Map(removals.map((one) => [JSON.stringify(one), one])).values()];
}

function count(removals: readonly Removal[], of: Removal["of"]): number {
  return removals.filter((one) => one.of === of).length;
}

function isConfirmed(removal: Removal, confirmed: Confirmed): boolean {
  return confirmed.some((one) => isOneOf(removal, one));
}

function isOneOf(removal: Removal, { users, roles, memberships }: Confirmed[number]): boolean {
  const same = (given: string, name: string) => given.trim().normalize("NFC").toLowerCase() === name;
  switch (removal.of) {
    case "account":
      return users.some((user) => same(user, removal.name));
    case "group":
      return roles.some((role) => role.trim() === removal.name);
    case "membership":
      return (
        roles.some((role) => role.trim() === removal.group) ||
        users.some((user) => same(user, removal.name)) ||
        memberships.some((one) => one.role.trim() === removal.group && same(one.user, removal.name))
      );
  }
}
