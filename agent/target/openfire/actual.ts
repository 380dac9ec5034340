/** What Openfire has, in the contract's words. What is the host's comes from the journal and the marks. Pure. */
import { createHash } from "node:crypto";
import type { ActualAccount, ActualGroup, ActualSettings } from "../../../xmpp-core/control/contract.ts";
import type { ActualState } from "../target.ts";
import { canonicalText, factOf, isSecret, listOf, names } from "./catalogue.ts";
import { type Look, localMembers, usersByName } from "./look.ts";
import type { Owned } from "./owned.ts";

/** What the last look wanted, as far as Openfire cannot tell it. */
export type Wants = {
  readonly admin: string | undefined;
  /** The store sets the property of the external address itself. */
  readonly setsExternal: boolean;
  /** Passwords that cannot be set, by name: the hash that the host wants, so that they are no difference. */
  readonly unsettable: ReadonlyMap<string, string>;
};

export const noWants: Wants = { admin: undefined, setsExternal: false, unsettable: new Map() };

/** `stored` are keys that are not the host's and have a value of their own, not a default. */
export function actualState(look: Look, owned: Owned, wants: Wants, stored: ReadonlySet<string>): ActualState {
  return {
    settings: actualSettings(look, owned, wants, stored),
    groups: actualGroups(look, owned),
    supervisors: [],
    accounts: actualAccounts(look, owned, wants),
  };
}

function actualSettings(look: Look, owned: Owned, wants: Wants, stored: ReadonlySet<string>): ActualSettings {
  const ownsExternal = owned.settings.has("external-address");
  const external = look.properties.get(names.external);
  const covered = wants.setsExternal || owned.settings.has(`property:${names.external}`);
  const externalText = covered ? owned.settings.get("external-address") : external || undefined;
  const keys = [...look.properties.keys()].filter((key) => isListed(key, covered)).sort();
  return {
    domain: look.domain,
    aliases: [],
    fresh: false,
    admin: actualAdmin(look, owned, wants),
    externalAddress: { value: externalText ?? null, origin: ownsExternal ? "host" : "local" },
    runtimeOptions: { value: owned.settings.get("runtime-options") ?? null, origin: "host" },
    properties: keys.flatMap((key) => {
      const mine = owned.settings.has(`property:${key}`);
      if (!mine && !stored.has(key)) return [];
      const raw = look.properties.get(key) ?? "";
      const secret = isSecret(key);
      const value = secret ? secretHash(raw) : textOf(key, raw);
      return [{ key, value, origin: mine ? ("host" as const) : ("local" as const), secret }];
    }),
  };
}

/** Whether a property stands in the list of settings, not under a name of its own or among our own. */
export function isListed(key: string, externalCovered: boolean): boolean {
  if (key === names.domain || key === names.admins) return false;
  if (key === names.external) return externalCovered;
  return !key.startsWith("firekeeper.") && !key.startsWith("plugin.restapi.");
}

function textOf(key: string, raw: string): string {
  const text = factOf(key) ? canonicalText(key, raw) : { text: raw };
  return "text" in text ? text.text : raw;
}

function actualAdmin(look: Look, owned: Owned, wants: Wants): ActualSettings["admin"] {
  const mine = owned.settings.get("admin");
  const admins = adminNames(look);
  if (mine !== undefined && admins.includes(mine)) return { value: mine, origin: "host" };
  if (wants.admin !== undefined && admins.includes(wants.admin)) return { value: wants.admin, origin: "local" };
  return { value: null, origin: "local" };
}

/** Local names of Openfire's admins; an empty list means the account `admin`. */
function adminNames(look: Look): string[] {
  const listed = listOf(look.properties.get(names.admins) ?? "");
  if (listed.length === 0) return ["admin"];
  const end = `@${look.domain}`;
  return listed.filter((jid) => jid.endsWith(end)).map((jid) => jid.slice(0, -end.length));
}

function actualGroups(look: Look, owned: Owned): ActualGroup[] {
  return [...look.groups].map(([name, group]) => ({
    name,
    displayName: name,
    showInRoster: !group || group.shared ? "onlyGroup" : "nobody",
    groupList: [],
    members: group ? localMembers(group, look.domain) : [],
    origin: owned.groups.has(name) ? "host" : "local",
  }));
}

function actualAccounts(look: Look, owned: Owned, wants: Wants): ActualAccount[] {
  return [...usersByName(look)].map(([name, { user, mark }]) => {
    const known = owned.accounts.get(name);
    const id = mark?.id ?? known?.id;
    const keys = wants.unsettable.get(name) ?? mark?.keys;
    return {
      name,
      ...(id === undefined ? {} : { id }),
      ...(user.name ? { displayName: user.name } : {}),
      ...(user.email ? { email: user.email } : {}),
      enabled: mark?.on ?? known?.enabled ?? true,
      origin: mark || known ? ("host" as const) : ("local" as const),
      ...(keys === undefined ? {} : { credentialsHash: keys }),
      ...(mark?.until === undefined ? {} : { keptUntil: mark.until }),
    };
  });
}

function secretHash(value: string): string {
  return `sha256:${createHash("sha256").update(value).digest("hex")}`;
}
