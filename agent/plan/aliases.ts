/** Further addresses of people: each leads to one person, or to nobody new. docs/people.md. */
import type { AccountWanted } from "../../xmpp-core/control/contract.ts";
import type { Rejection } from "../desired/desired.ts";
import type { PlanInput } from "./plan.ts";

/**
 *  alias                              | in the plan
 *  -----------------------------------|----------------------------------------------------------
 *  the person's own name              | dropped
 *  no name and no address of ours     | rejected; one that stands on the server stays
 *  the name of another account        | rejected with both names; one that stands stays
 *  wanted for two people              | rejected with both names; whoever has it keeps it
 *  a name that stands for a team      | rejected with both names
 *  any other                          | the person's, in the server's form
 */
export function withAliases(
  input: PlanInput,
  wanted: Map<string, AccountWanted>,
): { wanted: Map<string, AccountWanted>; rejected: Rejection[] } {
  if (![...wanted.values()].some(({ aliases }) => aliases !== undefined)) return { wanted, rejected: [] };
  const answers = new Map((input.canonical.aliases ?? []).map((one) => [one.given, one.name]));
  const nameOf = (given: string): string | null => answers.get(given) ?? null;
  const reasons = new Map((input.canonical.aliases ?? []).map((one) => [one.given, one.rejected]));
  const teams = new Map((input.canonical.contacts ?? []).map(({ given, name }) => [name, given]));
  const standing = new Map(input.actual.accounts.map((one) => [one.name, one.aliases ?? []]));
  const locals = new Set(input.actual.accounts.filter(({ origin }) => origin === "local").map(({ name }) => name));
  const claims = new Map<string, Set<string>>();
  for (const [name, { aliases = [] }] of wanted)
    for (const alias of aliases.flatMap((given) => nameOf(given) ?? [])) {
      const holders = claims.get(alias) ?? new Set();
      claims.set(alias, holders.add(name));
    }
  const rejected: Rejection[] = [];

  function taken(alias: string, name: string): { code: string; rule: string; hint: string } | undefined {
    const others = [...(claims.get(alias) ?? [])].filter((other) => other !== name).sort();
    const hint = "Give it to one of them in the host.";
    if (wanted.has(alias) || locals.has(alias))
      return { code: "accounts/alias-taken", rule: `${alias} is the name of the user ${alias}, not of ${name}`, hint };
    if (teams.has(alias))
      return { code: "accounts/alias-taken", rule: `${alias} stands for a team, not for ${name}`, hint };
    if (others.length > 0)
      return {
        code: "accounts/alias-taken",
        rule: `${[name, ...others].sort().join(" and ")} cannot both be ${alias}`,
        hint,
      };
    return undefined;
  }

  function settled(account: AccountWanted): AccountWanted {
    const { aliases: given, ...rest } = account;
    const kept = new Set<string>();
    for (const text of given ?? []) {
      const alias = nameOf(text);
      if (alias === account.name) continue;
      const why = alias === null ? (reasons.get(text) ?? unanswered) : taken(alias, account.name);
      if (why !== undefined)
        rejected.push({
          ...{ code: why.code, rule: why.rule, hint: why.hint },
          subject: { kind: "account", name: account.name },
          key: `users: ${account.name}, aliases`,
          value: text,
        });
      const form = alias ?? text;
      if (why === undefined || standing.get(account.name)?.includes(form)) kept.add(form);
    }
    return kept.size > 0 ? { ...rest, aliases: [...kept].sort() } : rest;
  }

  return { wanted: new Map([...wanted].map(([name, account]) => [name, settled(account)])), rejected };
}

const unanswered = {
  code: "plan/no-answer",
  rule: "the server says what it makes of an address",
  hint: "Upgrade server and agent to the same release, or drive a server that knows further addresses.",
};

/** What differs, in words; undefined: nothing. */
export function aliasWords(wanted: readonly string[] = [], now: readonly string[] = []): string | undefined {
  const come = wanted.filter((alias) => !now.includes(alias));
  const gone = now.filter((alias) => !wanted.includes(alias));
  const words = [
    ...(come.length > 0 ? [`also ${come.join(", ")}`] : []),
    ...(gone.length > 0 ? [`no longer ${gone.join(", ")}`] : []),
  ];
  return words.length > 0 ? words.join(", ") : undefined;
}
