/**
 * What of a wish Openfire can take. The rest becomes rejections, which leave their subject alone, and notices: that
 * somebody changed what the host owns, which passwords nobody can set, that there are no supervisors. Pure.
 */
import type { AccountWanted, CredentialsText, GroupWanted } from "../../../xmpp-core/control/contract.ts";
import type { Desired, Rejection } from "../../desired/desired.ts";
import type { Notice } from "../../errors.ts";
import { masked } from "../../plan/types.ts";
import type { Wants } from "./actual.ts";
import { accountName } from "./canonical.ts";
import { canonicalText, defaultText, names } from "./catalogue.ts";
import { type Look, localMembers, usersByName } from "./look.ts";
import { passwordMark } from "./mark.ts";
import type { Owned } from "./owned.ts";

/** The password in clear from which keys were made, if this run of the agent has read it. */
export type ClearPassword = (keys: CredentialsText) => string | undefined;

export function adapted(
  wish: Desired,
  look: Look,
  owned: Owned,
  clear: ClearPassword,
): { desired: Desired; wants: Wants } {
  const { state } = wish;
  const accounts = takenAccounts(state.accounts, look, clear);
  const groups = takenGroups(state.groups, state.accounts);
  const served = wish.domainFrom !== "store" ? { domain: look.domain } : {};
  const { aliasDomains, ...settings } = state.settings;
  const { admin, properties } = settings;
  const notices = [
    ...accounts.notices,
    ...drift(look, owned, names.external in properties),
    ...noAliases(aliasDomains, state.accounts),
    ...(state.supervisors.length > 0 ? [noSupervisors(state.supervisors)] : []),
  ];
  return {
    desired: {
      ...wish,
      state: {
        ...state,
        settings: { ...settings, ...served },
        groups: groups.wanted,
        supervisors: [],
        accounts: accounts.wanted,
      },
      rejections: [...wish.rejections, ...accounts.rejections, ...groups.rejections],
      notices: [...wish.notices, ...notices],
    },
    wants: {
      admin: admin === undefined ? undefined : (accountName(admin).name ?? undefined),
      setsExternal: names.external in properties,
      unsettable: accounts.unsettable,
    },
  };
}

/** Whether Openfire checks passwords that it keeps itself. */
export function keepsPasswords(properties: ReadonlyMap<string, string>): boolean {
  const is = (key: string) => (properties.get(key) ?? defaultText(key)) === defaultText(key);
  return is(names.authProvider) && is(names.userProvider);
}

function takenAccounts(accounts: readonly AccountWanted[], look: Look, clear: ClearPassword) {
  const standing = usersByName(look);
  const byId = new Map(
    [...standing].flatMap(([name, { mark }]) =>
      mark?.id !== undefined && mark.until === undefined ? [[mark.id, name] as const] : [],
    ),
  );
  const keeps = keepsPasswords(look.properties);
  const wanted: AccountWanted[] = [];
  const rejections: Rejection[] = [];
  const unsettable = new Map<string, string>();
  const passwordless: string[] = [];
  // Openfire cannot say why somebody is locked out, and knows nobody by two names.
  for (const { barred: _, aliases: __, card: ___, ...account } of accounts) {
    const name = accountName(account.name).name ?? account.name;
    const now = standing.get(name);
    const former = account.id === undefined ? undefined : byId.get(account.id);
    const refuse = (code: string, rule: string, hint: string, on = account.name) =>
      rejections.push({
        code,
        subject: { kind: "account", name: on },
        key: `users: ${account.name}`,
        value: account.name,
        rule,
        hint,
      });
    if ((account.displayName?.length ?? 0) > 100 || (account.email?.length ?? 0) > 100)
      refuse("openfire/too-long", "a name and an e-mail address of at most 100 characters each", "Shorten it.");
    else if (former !== undefined && former !== name) {
      const rule = `${former}, the name of this person on Openfire: its REST plugin renames by copying and deleting, which loses the password, rooms and messages`;
      refuse("openfire/rename", rule, "Give the new name an id of its own; the former account is then locked.");
      refuse("openfire/rename", rule, "It stays as it is.", former);
    } else if (account.id !== undefined && now?.mark?.id !== undefined && now.mark.id !== account.id)
      refuse(
        "openfire/other-person",
        `the person with the id ${now.mark.id}, whose roster and messages Openfire cannot set aside`,
        `Delete ${name} in Openfire's console, or give this person another name.`,
      );
    else {
      const hash = passwordMark(account);
      const settable =
        hash === undefined || hash === now?.mark?.keys || (keeps && clearOf(account, clear) !== undefined);
      if (!settable && hash !== undefined && !now && keeps) {
        refuse(
          "openfire/needs-password",
          "a user whose password the store holds in clear: Openfire takes no keys, and the account would have none",
          "Let Openfire check passwords against the host (JDBC or LDAP provider), or create the account in its console.",
        );
        continue;
      }
      if (!settable && hash !== undefined) {
        unsettable.set(name, hash);
        if (keeps && now?.mark) passwordless.push(name);
      }
      wanted.push(account);
    }
  }
  return { wanted, rejections, unsettable, notices: passwordless.length > 0 ? [notSet(passwordless)] : [] };
}

/** The password in clear, where keys were made from one that this run has read, and nobody else judges it. */
export function clearOf({ credentials, passwordFrom }: AccountWanted, clear: ClearPassword): string | undefined {
  return credentials && passwordFrom === undefined ? clear(credentials) : undefined;
}

function notSet(all: readonly string[]): Notice {
  return {
    code: "openfire/password-stays",
    message: `The password on Openfire stays as it is for ${some(all)}: the store has no clear password to set.`,
    hint: "Let Openfire check passwords against the host (JDBC or LDAP provider), or let the store hold them in clear.",
  };
}

function takenGroups(groups: readonly GroupWanted[], accounts: readonly AccountWanted[]) {
  const wanted: GroupWanted[] = [];
  const rejections: Rejection[] = [];
  for (const group of groups) {
    const { name, displayName, showInRoster, groupList } = group;
    // The plugin creates a group that its members see under its own name, and can set nothing else of it.
    if (displayName !== name || showInRoster !== "onlyGroup" || groupList.length > 0)
      rejections.push({
        code: "openfire/group-sharing",
        subject: { kind: "group", name },
        key: `roles: ${name}`,
        value: displayName,
        rule: "a group that its members see under its own name: the REST plugin can set no other sharing",
        hint: "Set the sharing in Openfire's console, and leave the group to it.",
      });
    // Openfire has no group of everybody that can be made by REST: those who are users now are its members.
    else wanted.push(group.members === "all" ? { ...group, members: accounts.map((one) => one.name) } : group);
  }
  return { wanted, rejections };
}

function noAliases(domains: string | undefined, accounts: readonly AccountWanted[]): Notice[] {
  const people = accounts.filter((one) => (one.aliases?.length ?? 0) > 0).map((one) => one.name);
  const left = [
    ...(people.length > 0 ? [`the further addresses of ${some(people)}`] : []),
    ...(domains === undefined ? [] : [`the domains ${domains}`]),
  ];
  if (left.length === 0) return [];
  return [{ code: "openfire/no-aliases", message: `Openfire has no aliases: ${left.join(" and ")} are left out.` }];
}

function noSupervisors(all: readonly string[]): Notice {
  return {
    code: "openfire/no-supervisors",
    message: `Openfire has no supervisors, so the role changes nothing there for ${some(all)}.`,
  };
}

/** What the host owns and somebody changed on Openfire itself since the revision in force. */
function drift(look: Look, owned: Owned, setsExternal: boolean): Notice[] {
  const notices: Notice[] = [];
  const say = (message: string) =>
    notices.push({
      code: "plan/drift",
      message: `${message}, on Openfire itself.`,
      hint: "The next apply sets it as the host wants it.",
    });
  for (const [name, text] of owned.settings) {
    const key = name.startsWith("property:") ? name.slice("property:".length) : names.external;
    if (text === masked || (!name.startsWith("property:") && (name !== "external-address" || setsExternal))) continue;
    const now = look.properties.get(key) ?? "";
    const canonical = canonicalText(key, now);
    if (now !== text && !("text" in canonical && canonical.text === text))
      say(`${key} was changed from ${text} to ${now === "" ? "nothing" : now}`);
  }
  for (const [name, members] of owned.groups) {
    if (!look.groups.has(name)) say(`The group ${name} was deleted`);
    const group = look.groups.get(name);
    if (!group) continue;
    if (!group.shared) say(`The group ${name} is no longer what only its members see`);
    const now = new Set(localMembers(group, look.domain));
    const joined = [...now].filter((one) => !members.has(one));
    const left = [...members].filter((one) => !now.has(one));
    if (joined.length > 0) say(`${some(joined)} came into the group ${name}`);
    if (left.length > 0) say(`${some(left)} left the group ${name}`);
  }
  const standing = usersByName(look);
  for (const [name, then] of owned.accounts) {
    const now = standing.get(name);
    if (!now) say(`The account ${name} was deleted`);
    else if ((now.user.name || undefined) !== then.displayName || (now.user.email || undefined) !== then.email)
      say(`Name or e-mail of ${name} were changed`);
  }
  return notices;
}

function some(all: readonly string[]): string {
  const shown = [...all].sort().slice(0, 5).join(", ");
  return all.length > 5 ? `${shown} and ${all.length - 5} more` : shown;
}
