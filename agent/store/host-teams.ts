/** Teams of the embedded store: what an edit does to the document, where it works, and what is refused. docs/people.md. */
import { type Document, isMap, isSeq, type YAMLMap } from "yaml";
import { foldName } from "../desired/accounts.ts";
import type { FileChange, TeamChange } from "./host-change.ts";
import { listOf, type Made, role, section, spelling, textOf } from "./host-document.ts";
import type { Work } from "./host-file-splice.ts";
import type { HostFile } from "./host-file-text.ts";
import { StoreError, type Team } from "./host-store.ts";
import { nearestName } from "./nearest-name.ts";

export function isTeamChange(change: FileChange): change is TeamChange {
  return change.kind.startsWith("team-") || change.kind.startsWith("role-team-");
}

/** Makes the change; undefined when the document says so already. */
export function makeTeam(document: Document, host: HostFile, change: TeamChange): string | undefined {
  switch (change.kind) {
    case "team-add": {
      const { id, name, type, extension, members } = change;
      const more = extension === undefined ? {} : { extension };
      const users = members.map((member) => spelling(host, member));
      const item = { id, name, ...more, kind: type, members: users };
      section(document, "teams").add(document.createNode(item, { flow: true }));
      return `Added the team ${name}. firekeeper teams show ROLE ${id} shows it to the members of a role.`;
    }
    case "team-remove": {
      const teams = section(document, "teams");
      teams.items = teams.items.filter((item) => !isTeam(item, change.id));
      for (const item of section(document, "roles").items) if (isMap(item)) drop(item, "teams", change.id);
      return `Removed the team ${change.id}.`;
    }
    case "team-member-add": {
      const list = listOf(document, team(document, change.team), "members");
      const standing = new Set(list.items.map((item) => foldName(memberOf(item))));
      const added = change.members.filter((member) => !standing.has(foldName(member)));
      for (const member of added) list.add(document.createNode(spelling(host, member)));
      return added.length > 0 ? `Added ${added.join(", ")} to the team ${change.team}.` : undefined;
    }
    case "team-member-remove": {
      const list = listOf(document, team(document, change.team), "members");
      const gone = new Set(change.members.map(foldName));
      list.items = list.items.filter((item) => !gone.has(foldName(memberOf(item))));
      return `Removed ${change.members.join(", ")} from the team ${change.team}.`;
    }
    case "role-team-add": {
      const list = listOf(document, role(document, change.role), "teams");
      if (list.items.some((item) => textOf(item) === change.team)) return undefined;
      list.add(document.createNode(change.team));
      return `The role ${change.role} shows the team ${change.team}.`;
    }
    case "role-team-remove":
      drop(role(document, change.role), "teams", change.team);
      return `The role ${change.role} no longer shows the team ${change.team}.`;
  }
}

/** Where the change works; the first tells what it did. */
export function worksOfTeam(host: HostFile, change: TeamChange, work: (document: Document) => Made): Work<Made>[] {
  const teamAt = (id: string) => host.teams.findIndex((one) => one.id === id);
  const roleAt = (name: string) => host.roles.findIndex((one) => one.name === name);
  switch (change.kind) {
    case "team-add":
      return [{ on: "teams", do: "add", work }];
    case "team-remove": {
      const made = { summary: `Removed the team ${change.id}.` };
      const unshow = (document: Document): Made => {
        for (const item of section(document, "roles").items) if (isMap(item)) drop(item, "teams", change.id);
        return { summary: undefined };
      };
      const showing = host.roles.flatMap(({ teams = [] }, at) => (teams.includes(change.id) ? [at] : []));
      return [
        { on: "teams", do: "remove", at: teamAt(change.id), made },
        ...showing.map((at): Work<Made> => ({ on: "roles", do: "change", at, work: unshow })),
      ];
    }
    case "team-member-add":
    case "team-member-remove":
      return [{ on: "teams", do: "change", at: teamAt(change.team), work }];
    case "role-team-add":
    case "role-team-remove":
      return [{ on: "roles", do: "change", at: roleAt(change.role), work }];
  }
}

/** Throws `StoreError` if the change names what does not exist, or makes what exists. */
export function refuseBadTeam(
  { teams, roles }: HostFile,
  change: TeamChange,
  known: { user: (name: string) => unknown; role: (name: string) => unknown },
): void {
  switch (change.kind) {
    case "team-add":
      if (teams.some(({ id }) => id === change.id))
        throw new StoreError("store/team-exists", `There is a team ${change.id} already.`, {
          fields: { id: change.id },
          hint: "firekeeper teams list shows all.",
        });
      for (const member of change.members) known.user(member);
      return;
    case "team-remove":
      knownTeam(teams, change.id);
      return;
    case "team-member-add":
      knownTeam(teams, change.team);
      for (const member of change.members) known.user(member);
      return;
    case "team-member-remove": {
      const members = knownTeam(teams, change.team).members.map(({ user }) => user);
      const absent = change.members.find((one) => !members.some((other) => foldName(other) === foldName(one)));
      if (absent !== undefined) throw noMember(absent, `team ${change.team}`, members);
      return;
    }
    case "role-team-add":
      known.role(change.role);
      knownTeam(teams, change.team);
      return;
    case "role-team-remove": {
      known.role(change.role);
      const shown = roles.find(({ name }) => name === change.role)?.teams ?? [];
      if (!shown.includes(change.team)) throw noMember(change.team, `role ${change.role}`, shown);
    }
  }
}

function knownTeam(teams: readonly Team[], id: string): Team {
  const found = teams.find((one) => one.id === id);
  if (found) return found;
  const meant = nearestName(
    id,
    teams.map((one) => one.id),
  );
  throw new StoreError("store/unknown-team", `There is no team ${id}.`, {
    fields: { id },
    hint: meant ? `Did you mean ${meant}?` : "firekeeper teams list shows all with their ids.",
  });
}

function noMember(name: string, of: string, standing: readonly string[]): StoreError {
  const meant = nearestName(name, standing);
  return new StoreError("store/no-member", `${name} is no member of the ${of}.`, {
    hint: meant ? `Did you mean ${meant}?` : "firekeeper teams list shows all.",
  });
}

function team(document: Document, id: string): YAMLMap {
  const found = section(document, "teams").items.find((item) => isTeam(item, id));
  if (isMap(found)) return found;
  throw new StoreError("store/unknown-team", `There is no team ${id}.`, { fields: { id } });
}

function isTeam(item: unknown, id: string): boolean {
  return isMap(item) && String(item.get("id")) === id;
}

function memberOf(item: unknown): string {
  return isMap(item) ? String(item.get("user")) : textOf(item);
}

/** Takes a text out of a list; an empty list goes too. */
function drop(item: YAMLMap, key: string, text: string): void {
  const list = item.get(key, true);
  if (!isSeq(list)) return;
  list.items = list.items.filter((one) => textOf(one) !== text);
  if (list.items.length === 0) item.delete(key);
}
