/** A change of the domain: two names, one service. docs/architecture.md "One service, two names". */
import { CodedError } from "../errors.ts";
import { countable } from "../modules/points.ts";
import { clashesAmong, foreignUnder, isFresh } from "./canonical.ts";
import type { ControlParts, Draft } from "./parts.ts";

const dayMs = 24 * 3600 * 1000;

export interface CheckedDomain {
  readonly name: string;
  /** The first name was never used: it is replaced and leaves no alias. */
  readonly instead: boolean;
}

/** Foreign addresses become local ones by the change; where one falls together with an account a person must decide. */
export async function checkDomain(parts: ControlParts, name: string): Promise<CheckedDomain> {
  const clashes = clashesAmong(parts, await foreignUnder(parts, name));
  if (clashes.length > 0)
    throw new CodedError(
      "control/domain-clash",
      `Stored addresses under ${name} have the names of local accounts: ${clashes.slice(0, 5).join(", ")}.`,
      {
        fields: { domain: name, clashes: clashes.length },
        hint: "They may be other people: remove those contacts or rename the accounts first.",
      },
    );
  return { name, instead: isFresh(parts) };
}

/** Adds the new epoch, the rewriting of addresses that become local, and the notices to those under the old name. */
export function changeDomain(
  parts: ControlParts,
  draft: Draft,
  domain: CheckedDomain,
  options: { aliasDays: number },
): void {
  const { names, clock, sessions } = parts;
  const former = names.primary.name;
  const aliasUntil = options.aliasDays === 0 ? null : clock.now() + options.aliasDays * dayMs;
  const { writes, enter } = names.renaming(domain.name, { now: clock.now(), aliasUntil, instead: domain.instead });
  // The rows that name addresses are rewritten while the old name is still the one in force.
  for (const each of parts.offered(countable)) draft.writes.push(...(each.localise?.(domain.name) ?? []));
  draft.writes.push(...writes);
  draft.enter.push(enter);
  if (domain.instead) return;
  draft.after.push(() => {
    parts.nameNotices.changed();
    const staying = [...sessions.all()].filter(({ view, account }) => view === former && !account.probe).length;
    const until = aliasUntil === null ? "for ever" : `until ${new Date(aliasUntil).toISOString().slice(0, 10)}`;
    draft.done.push(
      `${former} stays an alias of ${domain.name} ${until}; ${staying} ${staying === 1 ? "session goes" : "sessions go"} on under it.`,
    );
  });
}
