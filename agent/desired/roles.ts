/** Roles of the host as shared groups and supervisors. docs/settings.md. */
import type { GroupWanted } from "../../xmpp-core/control/contract.ts";
import type { Notice } from "../errors.ts";
import type { Role, Snapshot } from "../store/host-store.ts";
import { nearestName } from "../store/nearest-name.ts";
import { foldName } from "./accounts.ts";
import type { Part, Rejection } from "./desired.ts";
import { grouped } from "./grouped.ts";
import { contactsOf } from "./teams.ts";

const groupType = "xmpp.group";
const supervisorType = "xmpp.supervisor";
const obsoleteTypes = new Map([["xmpp.connect", "every user with a password may use the service"]]);

type People = Pick<Snapshot, "roles" | "users" | "teams">;

/** Role types that act here; all others are passed on. */
export const knownRoleTypes: readonly string[] = [groupType, supervisorType];

/** Roles of type `xmpp.group` as Openfire's shared groups that their members see; notices about all roles. */
export function wantedGroups(snapshot: People): Part<GroupWanted[]> {
  const spelling = spellings(snapshot);
  const sameName = grouped(snapshot.roles, (role) => role.name);
  const wanted: GroupWanted[] = [];
  const rejections: Rejection[] = [];
  for (const role of snapshot.roles.filter((candidate) => candidate.types.includes(groupType))) {
    if ((sameName.get(role.name)?.length ?? 0) > 1) rejections.push(twice(role));
    else
      wanted.push({
        name: role.name,
        displayName: role.name,
        showInRoster: "onlyGroup",
        groupList: [],
        members: role.members === "all" ? "all" : present(role.members, spelling),
        ...(role.teams && role.teams.length > 0 ? { contacts: contactsOf(role, snapshot.teams) } : {}),
      });
  }
  return { wanted, rejections, notices: [...typeNotices(snapshot.roles), ...absentNotices(snapshot.roles, spelling)] };
}

/** Everyone in a role of type `xmpp.supervisor`, each once. */
export function wantedSupervisors(snapshot: People): Part<string[]> {
  const spelling = spellings(snapshot);
  const wanted = new Set<string>();
  const notices: Notice[] = [];
  for (const role of snapshot.roles.filter((candidate) => candidate.types.includes(supervisorType))) {
    if (role.members === "all")
      notices.push({
        code: "roles/all-supervise",
        message: `The role ${role.name} makes every user a supervisor, who sees all presence and may end sessions.`,
        hint: "Name its members, if that is not meant.",
      });
    const members = role.members === "all" ? [...spelling.values()] : present(role.members, spelling);
    for (const member of members) wanted.add(member);
  }
  return { wanted: [...wanted], rejections: [], notices };
}

/** Folded name to the host's spelling. */
function spellings(snapshot: People): Map<string, string> {
  return new Map(snapshot.users.map((user) => [foldName(user.name), user.name]));
}

/** The members that are users, spelled as the user, each once. */
function present(members: readonly string[], spelling: ReadonlyMap<string, string>): string[] {
  return [...new Set(members.map((member) => spelling.get(foldName(member))).filter((name) => name !== undefined))];
}

function twice(role: Role): Rejection {
  return {
    code: "roles/same-name",
    subject: { kind: "group", name: role.name },
    key: `roles: ${role.name}`,
    value: role.types.join(", "),
    rule: "a role's name identifies it, so it stands once",
    hint: "Merge the two roles: types are a set.",
  };
}

/** One notice a type, however many roles have it. */
function typeNotices(roles: readonly Role[]): Notice[] {
  const pairs = roles.flatMap((role) => [...new Set(role.types)].map((type) => ({ type, role: role.name })));
  const notices: Notice[] = [];
  for (const [type, holders] of grouped(pairs, (pair) => pair.type)) {
    const names = holders.map((holder) => holder.role);
    if (knownRoleTypes.includes(type)) continue;
    const obsolete = obsoleteTypes.get(type);
    if (obsolete) {
      notices.push({
        code: "roles/obsolete-type",
        message: `The role type ${type} (${some(names)}) is obsolete: ${obsolete}.`,
      });
      continue;
    }
    const meant = nearestName(type, knownRoleTypes);
    notices.push({
      code: "roles/unknown-type",
      message: `The role type ${type} (${some(names)}) changes nothing here; it is passed on to those who know it.`,
      ...(meant ? { hint: `Did you mean ${meant}?` } : {}),
    });
  }
  return notices;
}

function absentNotices(roles: readonly Role[], spelling: ReadonlyMap<string, string>): Notice[] {
  const notices: Notice[] = [];
  for (const role of roles) {
    if (role.members === "all" || !role.types.some((type) => knownRoleTypes.includes(type))) continue;
    const absent = role.members.filter((member) => !spelling.has(foldName(member)));
    const [first] = absent;
    if (first === undefined) continue;
    const meant = nearestName(first, spelling.values());
    notices.push({
      code: "roles/absent-member",
      message: `${some(absent)} in the role ${role.name} ${absent.length === 1 ? "is" : "are"} no user of the host and left out.`,
      ...(meant && absent.length === 1 ? { hint: `Did you mean ${meant}?` } : {}),
    });
  }
  return notices;
}

/** A few names and how many more: a notice is read by a person. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
