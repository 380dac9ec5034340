/** What the server has, part by part, each with a hash so that an unchanged part is not sent again. docs/architecture.md "A setting's way". */
import { createHash } from "node:crypto";
import { groups } from "../modules/points.ts";
import type { Account } from "../routing/accounts.ts";
import { isFresh } from "./canonical.ts";
import type { ActualAccount, ActualGroup, ActualParts, ActualSettings } from "./contract.ts";
import type { ControlParts } from "./parts.ts";

/** @param known hashes by part, as the agent has them */
export function actualParts(parts: ControlParts, known: Readonly<Record<string, string>>): ActualParts {
  const part = <T>(name: keyof ActualParts, value: T): { hash: string; value?: T } => {
    const hash = createHash("sha256").update(JSON.stringify(value)).digest("base64url");
    return known[name] === hash ? { hash } : { hash, value };
  };
  return {
    settings: part("settings", actualSettings(parts)),
    groups: part("groups", actualGroups(parts)),
    supervisors: part("supervisors", actualSupervisors(parts)),
    accounts: part("accounts", actualAccounts(parts)),
  };
}

export function actualSettings(parts: ControlParts): ActualSettings {
  const { settings, names } = parts;
  const scalar = (name: string) => ({
    value: settings.get(name) ?? null,
    origin: settings.origin(name) ?? ("local" as const),
  });
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
  return {
    domain: names.primary.name,
    aliases: aliases(parts),
    fresh: isFresh(parts),
    admin: scalar("admin"),
    externalAddress: scalar("external-address"),
    runtimeOptions: scalar("runtime-options"),
    properties,
  };
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
    .map(({ name, displayName, showInRoster, groupList, members, origin }) => ({
      ...{ name, displayName, showInRoster, groupList: [...groupList], origin },
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
  const { name, hostId, displayName, email, enabled, origin, credentialsHash, keptUntil } = account;
  return {
    ...{ name, enabled, origin },
    ...(hostId === undefined ? {} : { id: hostId }),
    ...(displayName === undefined ? {} : { displayName }),
    ...(email === undefined ? {} : { email }),
    ...(credentialsHash === undefined ? {} : { credentialsHash }),
    ...(keptUntil === undefined ? {} : { keptUntil: new Date(keptUntil).toISOString() }),
  };
}

function isSecret(parts: Pick<ControlParts, "properties">, key: string): boolean {
  return parts.properties.canonical(key, "").secret;
}

function secretHash(value: string): string {
  return `sha256:${createHash("sha256").update(value).digest("hex")}`;
}
