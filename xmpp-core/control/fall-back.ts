/** Boot on the last proven revision, after two failed boots of the newest. docs/architecture.md "A setting's way". */

import type { Core } from "../modules/module.ts";
import { groups, type SharedGroup, type SharedGroupChange } from "../modules/points.ts";
import type { Accounts } from "../routing/accounts.ts";
import type { Names } from "../routing/names.ts";
import type { Write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import type { RevisionContent, Revisions } from "./revisions.ts";
import type { RightsTable } from "./rights.ts";
import type { Settings } from "./settings.ts";

/**
 * Returns memory of the settings to the proven revision, before anything reads them; `finish` lets groups and
 * supervisors follow and writes all of it in one transaction. Accounts, keys, secrets and the domain stay as they are.
 * Undefined: the newest revision is the proven one.
 */
export async function fallingBack(parts: {
  storage: Storage;
  settings: Settings;
  revisions: Revisions;
  isSecret: (key: string) => boolean;
}): Promise<
  | { finish(rest: { offered: Core["offered"]; accounts: Accounts; names: Names; rights: RightsTable }): Promise<void> }
  | undefined
> {
  const { storage, settings, revisions } = parts;
  const content = await revisions.provenContent();
  if (content === undefined) return undefined;
  const writes: Write[] = [];
  for (const setting of new Set([...settings.all(), ...Object.keys(content.settings)])) {
    if (setting.startsWith("property:") && parts.isSecret(setting.slice("property:".length))) continue;
    const then = content.settings[setting] ?? null;
    if (then !== (settings.host(setting) ?? null)) writes.push(...settings.setHost(setting, then));
  }
  return {
    async finish(rest) {
      const [all] = rest.offered(groups);
      const groupsBack = all?.prepare(groupChanges(all.list(), content, rest));
      const supervisors = supervisorChanges(content, rest);
      const fallen = revisions.fallBack();
      await storage.write([
        ...writes,
        ...(groupsBack?.writes ?? []),
        ...supervisors.map(({ write }) => write),
        ...fallen.writes,
      ]);
      groupsBack?.done();
      for (const { enter } of supervisors) enter();
      fallen.enter();
    },
  };
}

type Rest = { accounts: Accounts; names: Names; rights: RightsTable };

function groupChanges(now: readonly SharedGroup[], content: RevisionContent, rest: Rest): SharedGroupChange[] {
  const accountsOf = (names: readonly string[]) =>
    names.map((name) => rest.accounts.get(rest.names.primary.id, name)).filter((account) => account !== undefined);
  const changes: SharedGroupChange[] = [];
  for (const { name, origin } of now)
    if (origin === "host" && !content.groups.some((group) => group.name === name))
      changes.push({ kind: "remove", name });
  for (const { members, contacts = [], ...group } of content.groups) {
    changes.push({ kind: "set", group, origin: "host" });
    const found = now.find(({ name }) => name === group.name);
    const standing = found?.members ?? [];
    const shown = found?.contacts ?? [];
    // A team that is gone altogether comes back with the next plan.
    const come = accountsOf(contacts.filter((name) => !shown.includes(name))).filter(({ contact }) => contact);
    const go = accountsOf(shown.filter((name) => !contacts.includes(name)));
    if (come.length + go.length > 0) changes.push({ kind: "members", group: group.name, add: come, remove: go });
    if (members === "all") {
      if (standing !== "all") changes.push({ kind: "members", group: group.name, all: true, add: [], remove: [] });
    } else if (standing === "all")
      changes.push({ kind: "members", group: group.name, all: false, add: accountsOf(members), remove: [] });
    else {
      const add = accountsOf(members.filter((name) => !standing.includes(name)));
      const remove = accountsOf(standing.filter((name) => !members.includes(name)));
      if (add.length + remove.length > 0) changes.push({ kind: "members", group: group.name, add, remove });
    }
  }
  return changes;
}

function supervisorChanges(
  content: RevisionContent,
  { accounts, names, rights }: Rest,
): { write: Write; enter: () => void }[] {
  const then = new Set(
    content.supervisors.map((name) => accounts.get(names.primary.id, name)?.id).filter((id) => id !== undefined),
  );
  const now = new Set(rights.supervisors());
  return [
    ...[...now].filter((id) => !then.has(id)).map((id) => rights.grant(id, false)),
    ...[...then].filter((id) => !now.has(id)).map((id) => rights.grant(id, true)),
  ];
}
