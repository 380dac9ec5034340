/** What the server has, part by part, each with a hash so that an unchanged part is not sent again. docs/architecture.md "A setting's way". */
import { createHash, randomUUID } from "node:crypto";
import { plainAlone } from "../auth/properties.ts";
import { groups } from "../modules/points.ts";
import type { Account } from "../routing/accounts.ts";
import { plainNeed, sum } from "../routing/credentials.ts";
import { held } from "./apply-accounts.ts";
import { isFresh } from "./canonical.ts";
import type { ActualAccount, ActualGroup, ActualParts, ActualSettings } from "./contract.ts";
import { actualContacts } from "./other-names.ts";
import type { ControlParts } from "./parts.ts";

/**
 * Tells what the server has. Nothing is looked at again that did not change: settings, groups and accounts count their
 * changes, and of accounts only those that changed since the agent's last look are told.
 */
export function actualTeller(parts: ControlParts): (known: Readonly<Record<string, string>>) => ActualParts {
  // Another run of the core counts anew.
  const run = randomUUID();
  let properties: { version: number; hash: string } | undefined;
  let groupsTold: { lists: readonly unknown[]; hash: string } | undefined;

  function settingsPart(known: string | undefined): ActualParts["settings"] {
    const { version } = parts.settings;
    if (properties?.version !== version) properties = { version, hash: hashOf(actualProperties(parts)) };
    const hash = hashOf([scalars(parts), properties.hash]);
    return known === hash ? { hash } : { hash, value: actualSettings(parts) };
  }

  function groupsPart(known: string | undefined): ActualParts["groups"] {
    const lists = parts.offered(groups).map((all) => all.list());
    const same = lists.length === groupsTold?.lists.length && lists.every((one, at) => one === groupsTold?.lists[at]);
    if (groupsTold === undefined || !same) groupsTold = { lists, hash: hashOf(actualGroups(parts)) };
    const { hash } = groupsTold;
    return known === hash ? { hash } : { hash, value: actualGroups(parts) };
  }

  function accountsPart(known: string | undefined): ActualParts["accounts"] {
    const { accounts } = parts;
    const hash = `${run} ${accounts.version}`;
    if (known === hash) return { hash };
    const [of, since] = known?.split(" ") ?? [];
    const names = of === run ? accounts.changedSince(Number(since)) : undefined;
    if (names === undefined) return { hash, value: actualAccounts(parts) };
    const changed: ActualAccount[] = [];
    const gone: string[] = [];
    for (const name of names) {
      const account = held(parts, name);
      if (account === undefined) gone.push(name);
      else changed.push(actualAccount(account));
    }
    return { hash, changed, gone };
  }

  return (known) => {
    const supervisors = actualSupervisors(parts);
    const contacts = actualContacts(parts);
    const contactsHash = hashOf(contacts);
    const hash = hashOf(supervisors);
    return {
      settings: settingsPart(known.settings),
      groups: groupsPart(known.groups),
      supervisors: known.supervisors === hash ? { hash } : { hash, value: supervisors },
      accounts: accountsPart(known.accounts),
      contacts: known.contacts === contactsHash ? { hash: contactsHash } : { hash: contactsHash, value: contacts },
    };
  };
}

function hashOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("base64url");
}

export function actualSettings(parts: ControlParts): ActualSettings {
  return { ...scalars(parts), properties: actualProperties(parts) };
}

function scalars(parts: ControlParts): Omit<ActualSettings, "properties"> {
  const { settings, names } = parts;
  const scalar = (name: string) => ({
    value: settings.get(name) ?? null,
    origin: settings.origin(name) ?? ("local" as const),
  });
  return {
    domain: names.primary.name,
    aliases: aliases(parts),
    fresh: isFresh(parts),
    admin: scalar("admin"),
    externalAddress: scalar("external-address"),
    runtimeOptions: scalar("runtime-options"),
    aliasDomains: scalar("alias-domains"),
    passwords: passwordCounts(parts),
  };
}

/** How passwords are checked, in numbers. */
export function passwordCounts(
  parts: Pick<ControlParts, "accounts" | "names" | "properties">,
): NonNullable<ActualSettings["passwords"]> {
  const mix = parts.accounts.passwords(parts.names.primary.id);
  const need = plainNeed(mix, parts.properties.get(plainAlone));
  return { hashed: sum(mix.hashed), derived: mix.derived, live: sum(mix.live), plainAlone: need === "alone" };
}

/** Every property with a stored value, sorted by key. */
function actualProperties(parts: ControlParts): ActualSettings["properties"] {
  const { settings } = parts;
  const properties: ActualSettings["properties"] = [];
  for (const setting of [...settings.all()].sort()) {
    if (!setting.startsWith("property:")) continue;
    const key = setting.slice("property:".length);
    const value = settings.get(setting);
    if (value === undefined) continue;
    const secret = isSecret(parts, key);
    const shown = (text: string): string => (secret ? secretHash(text) : text);
    const beneath = settings.beneath(setting);
    properties.push({
      ...{ key, value: shown(value), origin: settings.origin(setting) ?? "local", secret },
      ...(beneath === undefined ? {} : { beneath: shown(beneath) }),
    });
  }
  return properties;
}

/** Former names that are still served, and how many sessions see the service under each. */
export function aliases(parts: Pick<ControlParts, "names" | "sessions">): ActualSettings["aliases"] {
  const { primary } = parts.names;
  const views = new Map<string, number>();
  for (const { view, account } of parts.sessions.all()) if (!account.probe) views.set(view, (views.get(view) ?? 0) + 1);
  return primary.live
    .filter(({ name }) => name !== primary.name)
    .map(({ name, since, until }) => ({
      ...{ name, since: new Date(since).toISOString(), sessions: views.get(name) ?? 0 },
      until: until === null ? null : new Date(until).toISOString(),
    }));
}

function actualGroups(parts: ControlParts): ActualGroup[] {
  return parts
    .offered(groups)
    .flatMap((all) => all.list())
    .map(({ name, displayName, showInRoster, groupList, members, contacts = [], origin }) => ({
      ...{ name, displayName, showInRoster, groupList: [...groupList], origin },
      ...(contacts.length === 0 ? {} : { contacts: [...contacts] }),
      members: members === "all" ? "all" : [...members],
    }));
}

export function actualSupervisors(parts: Pick<ControlParts, "rights" | "accounts">): string[] {
  return [...parts.rights.supervisors()]
    .map((id) => parts.accounts.byId(id)?.name)
    .filter((name) => name !== undefined)
    .sort();
}

function actualAccounts(parts: ControlParts): ActualAccount[] {
  return [...parts.accounts.all()].map(actualAccount).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function actualAccount(account: Account): ActualAccount {
  const { name, hostId, displayName, email, enabled, barred, origin, credentialsHash, keptUntil, aliases, card } =
    account;
  return {
    ...{ name, enabled, origin },
    ...(barred ? { barred } : {}),
    ...(hostId === undefined ? {} : { id: hostId }),
    ...(displayName === undefined ? {} : { displayName }),
    ...(email === undefined ? {} : { email }),
    ...(credentialsHash === undefined ? {} : { credentialsHash }),
    ...(keptUntil === undefined ? {} : { keptUntil: new Date(keptUntil).toISOString() }),
    ...(aliases.length === 0 ? {} : { aliases: [...aliases] }),
    ...(card === undefined ? {} : { cardHash: card.hash }),
  };
}

function isSecret(parts: Pick<ControlParts, "properties">, key: string): boolean {
  return parts.properties.canonical(key, "").secret;
}

function secretHash(value: string): string {
  return `sha256:${createHash("sha256").update(value).digest("hex")}`;
}
