/** What the agent set, from the journal's state in force: Openfire keeps no origins. */
import type { RevisionState } from "../../apply/revision-state.ts";

export type Owned = {
  /** `admin`, `external-address`, `runtime-options`, `property:KEY` to its text; a secret's text is `(secret)`. */
  readonly settings: ReadonlyMap<string, string>;
  readonly groups: ReadonlyMap<string, ReadonlySet<string>>;
  readonly accounts: ReadonlyMap<string, { enabled: boolean; id?: string; displayName?: string; email?: string }>;
};

export function ownedBy(state: RevisionState | undefined): Owned {
  const settings = new Map<string, string>();
  const groups = new Map<string, Set<string>>();
  const accounts = new Map<string, { enabled: boolean }>();
  const members: [string, string][] = [];
  for (const [at, text] of state ?? []) {
    const [kind, name = "", member] = JSON.parse(at) as string[];
    if (kind === "setting" && name !== "domain") settings.set(name, text);
    else if (kind === "group") groups.set(name, new Set());
    else if (kind === "member" && member !== undefined) members.push([name, member]);
    else if (kind === "account") accounts.set(name, JSON.parse(text));
  }
  for (const [group, member] of members) groups.get(group)?.add(member);
  return { settings, groups, accounts };
}
