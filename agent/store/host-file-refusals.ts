/** Which changes of the embedded store are refused, and what the person should do instead. */
import { foldName } from "../desired/accounts.ts";
import { knownRoleTypes } from "../desired/roles.ts";
import { knownSettingKeys, wantedSettings } from "../desired/settings.ts";
import type { FileChange } from "./host-change.ts";
import type { HostFile, HostFileUser } from "./host-file-text.ts";
import { StoreError, type User } from "./host-store.ts";
import { refuseBadTeam } from "./host-teams.ts";
import { nearestName } from "./nearest-name.ts";

const adminKey = "sys.xmpp.adminuser";

/** Throws `StoreError` if the change names what does not exist, makes what exists, or takes away the last admin. */
export function refuseBadChange(before: HostFile, change: FileChange, file: string): void {
  switch (change.kind) {
    case "user-add":
      refuseName(change.name);
      refuseExisting(before, change.name, file);
      break;
    case "user-credentials":
    case "user-enabled":
    case "user-remove":
      knownUser(before, change.name);
      break;
    case "role-add":
      refuseType(change.type);
      refuseRoleName(change.name);
      if (change.members !== "all") for (const member of change.members) knownUser(before, member);
      break;
    case "role-remove":
      knownRole(before, change.name);
      break;
    case "role-member-add":
      knownRole(before, change.role);
      for (const member of change.members) knownUser(before, member);
      break;
    case "role-member-remove":
      refuseNoMember(before, change.role, change.members);
      break;
    case "team-add":
    case "team-remove":
    case "team-member-add":
    case "team-member-remove":
    case "role-team-add":
    case "role-team-remove":
      refuseBadTeam(before, change, {
        user: (name) => knownUser(before, name),
        role: (name) => knownRole(before, name),
      });
      break;
    case "setting-set":
      refuseSetting(before, change.key, change.value);
      break;
    case "setting-unset":
      knownSetting(before, change.key);
      break;
  }
  refuseLastAdmin(before, change);
}

function knownUser(before: HostFile, name: string): HostFileUser {
  const found =
    before.users.find((user) => user.name === name) ??
    before.users.find((user) => foldName(user.name) === foldName(name));
  if (found) return found;
  throw unknown("user", name, nearestName(name, names(before.users)), "firekeeper users list shows all.");
}

function knownRole(before: HostFile, name: string) {
  const found = before.roles.find((role) => role.name === name);
  if (found) return found;
  throw unknown("role", name, nearestName(name, names(before.roles)), "firekeeper roles list shows all.");
}

function unknown(what: string, name: string, meant: string | undefined, otherwise: string): StoreError {
  return new StoreError(`store/unknown-${what}`, `There is no ${what} ${name}.`, {
    fields: { name },
    hint: meant ? `Did you mean ${meant}?` : otherwise,
  });
}

function refuseName(name: string): void {
  // The localpart's forbidden characters of RFC 7622 §3.3.1; the server's own preparation has the last word.
  const bad = /[\s"&'/:<>@\u0000-\u001f\u007f]/u.exec(name)?.[0];
  if (bad === undefined && Buffer.byteLength(name) <= 1023) return;
  throw new StoreError("store/bad-name", `${JSON.stringify(name)} cannot be a user name.`, {
    rule: "no spaces and none of \" & ' / : < > @, at most 1023 bytes",
    hint: bad === "@" ? `Give the name without the domain: ${name.split("@", 1)[0]}.` : "Choose another name.",
  });
}

function refuseExisting(before: HostFile, name: string, file: string): void {
  const standing = before.users.find((user) => foldName(user.name) === foldName(name));
  if (!standing) return;
  throw new StoreError("store/user-exists", `There is a user ${standing.name} already (${file}:${standing.line}).`, {
    fields: { name },
    hint:
      standing.name === name
        ? `A new password is set by firekeeper users passwd ${name}.`
        : "Capitals make no difference in a login name.",
  });
}

function refuseType(type: string): void {
  const meant = knownRoleTypes.includes(type) ? undefined : nearestName(type, knownRoleTypes);
  if (meant === undefined && !/\s/.test(type)) return;
  throw new StoreError("store/bad-role-type", `There is no role type ${JSON.stringify(type)}.`, {
    hint: meant ? `Did you mean ${meant}?` : `Those with a meaning here are ${knownRoleTypes.join(" and ")}.`,
  });
}

function refuseRoleName(name: string): void {
  if (!name.includes(",") && [...name].length <= 50 && name.trim() === name) return;
  throw new StoreError("store/bad-name", `${JSON.stringify(name)} cannot be the name of a role.`, {
    rule: "at most 50 characters, no comma, no space at its ends",
    hint: "Choose another name.",
  });
}

function refuseNoMember(before: HostFile, name: string, members: readonly string[]): void {
  const role = knownRole(before, name);
  if (role.members === "all")
    throw new StoreError("store/all-members", `All users are members of the role ${name}.`, {
      hint: "Replace `members: all` in the host file by a list first.",
    });
  const standing = role.members;
  for (const member of members) {
    if (standing.some((other) => foldName(other) === foldName(member))) continue;
    const meant = nearestName(member, standing);
    throw new StoreError("store/no-member", `${member} is no member of the role ${name}.`, {
      hint: meant ? `Did you mean ${meant}?` : "firekeeper roles list shows all members.",
    });
  }
}

function knownSetting(before: HostFile, key: string): void {
  if (before.settings.has(key)) return;
  throw unknown("setting", key, nearestName(key, before.settings.keys()), "firekeeper settings list shows all.");
}

/** A value that the plan would reject is refused where it is typed. */
function refuseSetting(before: HostFile, key: string, value: string): void {
  if (!knownSettingKeys.some((known) => (known.endsWith(".") ? key.startsWith(known) : key === known))) {
    const meant = nearestName(key, knownSettingKeys);
    throw new StoreError("store/unknown-setting", `There is no setting ${key}.`, {
      fields: { key },
      hint: meant
        ? `Did you mean ${meant}? Keys are matched exactly.`
        : `A server property is set as sys.xmpp.properties.${key.replace(/^sys\.xmpp\./, "")}.`,
    });
  }
  const settings = new Map(before.settings).set(key, value);
  const rejected = wantedSettings({ settings, users: users(before) }, {}).rejections.find((one) => one.key === key);
  if (rejected)
    throw new StoreError(rejected.code, `${key} cannot be ${JSON.stringify(rejected.value)}.`, {
      fields: { key },
      rule: rejected.rule,
      hint: `It must be ${rejected.rule}. ${rejected.hint}`,
    });
}

function refuseLastAdmin(before: HostFile, change: FileChange): void {
  const admin = workingAdmin(before.settings, before.users);
  if (admin === undefined) return;
  const after = afterwards(before, change);
  if (workingAdmin(after.settings, after.users) !== undefined) return;
  throw new StoreError("store/last-admin", `${admin} is the last who may use the console.`, {
    fields: { name: admin },
    hint: `Name another user first: firekeeper settings set ${adminKey} NAME.`,
  });
}

type AdminFacts = { settings: ReadonlyMap<string, string>; users: readonly HostFileUser[] };

function afterwards(before: HostFile, change: FileChange): AdminFacts {
  const others = (name: string) => before.users.filter((user) => foldName(user.name) !== foldName(name));
  switch (change.kind) {
    case "user-remove":
      return { settings: before.settings, users: others(change.name) };
    case "user-enabled":
      return change.enabled ? before : { settings: before.settings, users: others(change.name) };
    case "setting-set":
      return { settings: new Map(before.settings).set(change.key, change.value), users: before.users };
    case "setting-unset":
      return { settings: new Map([...before.settings].filter(([key]) => key !== change.key)), users: before.users };
    default:
      return before;
  }
}

function workingAdmin(settings: ReadonlyMap<string, string>, all: readonly HostFileUser[]): string | undefined {
  const wanted = settings.get(adminKey)?.trim() || "admin";
  return all.find(
    (user) =>
      foldName(user.name) === foldName(wanted) &&
      user.enabled &&
      (user.credentials !== undefined || user.password !== undefined),
  )?.name;
}

function users(file: HostFile): User[] {
  return file.users.map(({ password, ...user }) => ({ ...user, deriving: password !== undefined }));
}

function names(items: readonly { readonly name: string }[]): string[] {
  return items.map((item) => item.name);
}
