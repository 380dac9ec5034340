/** `sys.xmpp.allowedroles`: to whom the host opens chat. docs/settings.md. */
import type { Role, Snapshot, Team } from "../store/host-store.ts";
import { nearestName } from "../store/nearest-name.ts";
import { foldName } from "./accounts.ts";
import type { Part, Rejection } from "./desired.ts";

const key = "sys.xmpp.allowedroles";

/** The rejection's subject; while it stands, who may log in stays as it is on the server. */
export const allowedRoles = { kind: "setting", name: "allowed-roles" } as const;

/** Folded names of those who may chat; undefined: everybody, or nobody knows. A role that does not exist rejects the whole setting. */
export function allowedUsers(
  snapshot: Pick<Snapshot, "settings" | "roles" | "teams">,
): Part<ReadonlySet<string> | undefined> {
  const value = snapshot.settings.get(key)?.trim() ?? "";
  if (value === "") return { wanted: undefined, rejections: [], notices: [] };
  const named = value.split(",").flatMap((name) => name.trim() || []);
  const byName = new Map(snapshot.roles.map((role) => [role.name.trim(), role]));
  const missing = named.find((name) => !byName.has(name));
  if (missing !== undefined || named.length === 0)
    return { wanted: undefined, rejections: [unknownRole(value, missing ?? "", [...byName.keys()])], notices: [] };
  const allowed = new Set<string>();
  for (const name of named) {
    const members = membersOf(byName.get(name), snapshot.teams ?? []);
    if (members === "all") return { wanted: undefined, rejections: [], notices: [] };
    for (const member of members) allowed.add(foldName(member));
  }
  return { wanted: allowed, rejections: [], notices: [] };
}

function membersOf(role: Role | undefined, teams: readonly Team[]): "all" | readonly string[] {
  if (role === undefined) return [];
  if (role.members === "all") return "all";
  const ofTeams = teams.filter(({ id }) => role.teams?.includes(id)).flatMap(({ members }) => members);
  return [...role.members, ...ofTeams.map(({ user }) => user)];
}

function unknownRole(value: string, missing: string, roles: readonly string[]): Rejection {
  const meant = nearestName(missing, roles);
  return {
    code: "settings/unknown-role",
    subject: allowedRoles,
    key,
    value,
    rule: "names of roles of the host, separated by commas",
    hint: `There is no role ${JSON.stringify(missing)}.${meant ? ` Did you mean ${meant}?` : ""} Who may log in stays as it is until then.`,
  };
}
