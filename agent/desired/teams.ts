/** Teams of the host as contacts of the shared groups whose roles name them. docs/people.md. */
import type { ContactWanted } from "../../xmpp-core/control/contract.ts";
import type { Notice } from "../errors.ts";
import type { Role, Snapshot, Team } from "../store/host-store.ts";
import type { Part } from "./desired.ts";

/** The local part under which a team stands in contact lists. */
export function contactName(id: string): string {
  return `q_${id.trim().normalize("NFC").toLowerCase()}`;
}

/** Those that a role of type `xmpp.group` names, each once; the team's members do not become the group's. */
export function wantedContacts({ roles, teams = [] }: Pick<Snapshot, "roles" | "teams">): Part<ContactWanted[]> {
  const byId = new Map(teams.map((team) => [team.id, team]));
  const wanted = new Map<string, ContactWanted>();
  const notices: Notice[] = [];
  for (const role of roles.filter(({ types }) => types.includes("xmpp.group"))) {
    const absent = (role.teams ?? []).filter((id) => !byId.has(id));
    if (absent.length > 0)
      notices.push({
        code: "roles/absent-team",
        message: `${absent.join(", ")} in the role ${role.name} ${absent.length === 1 ? "is" : "are"} no team of the host and left out.`,
      });
    for (const team of (role.teams ?? []).flatMap((id) => byId.get(id) ?? [])) wanted.set(team.id, contact(team));
  }
  return { wanted: [...wanted.values()], rejections: [], notices };
}

/** The contacts of a role's group. */
export function contactsOf(role: Role, teams: readonly Team[] = []): string[] {
  const known = new Set(teams.map(({ id }) => id));
  return [...new Set((role.teams ?? []).filter((id) => known.has(id)).map(contactName))];
}

function contact({ id, name, extension }: Team): ContactWanted {
  return { name: contactName(id), displayName: extension ? `${name} (${extension})` : name };
}
