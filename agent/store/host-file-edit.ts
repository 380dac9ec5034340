/** Changes to the text of `host.yaml`: pure, text in, text out; comments, order and what is not touched stay. */
import { type Document, isMap } from "yaml";
import { foldName } from "../desired/accounts.ts";
import type { FileChange, Removals } from "./host-change.ts";
import {
  addedSentence,
  dropMember,
  type Made,
  make,
  newMembers,
  nothing,
  removedMembers,
  removedRole,
  removedUser,
  section,
  spelling,
  userAt,
} from "./host-document.ts";
import { type HostFileMemo, hostFileMemo, parseHostFile } from "./host-file.ts";
import { refuseBadChange } from "./host-file-refusals.ts";
import { editByPieces, type Work } from "./host-file-splice.ts";
import { documentText, type HostFile, hostDocument } from "./host-file-text.ts";
import type { Role } from "./host-store.ts";
import { isTeamChange, makeTeam, worksOfTeam } from "./host-teams.ts";
import { withMembers } from "./plain-item.ts";

export interface EditedText {
  readonly text: string;
  /** False when the file already said so; the text is the same then. */
  readonly changed: boolean;
  /** One sentence. */
  readonly summary: string;
  readonly removes: Removals;
}

/**
 * Makes one change, in the text of what it touches where the file is written plainly. Throws `StoreError` when the text
 * is no whole host file, or the change is refused with its reason: an unknown name (with the nearest known one), a name
 * that exists, the last admin.
 */
export function editHostFile(
  text: string,
  file: string,
  change: FileChange,
  memo: HostFileMemo = hostFileMemo(),
): EditedText {
  const host = parseHostFile(text, file, memo);
  refuseBadChange(host, change, file);
  const pieced = editByPieces(text, file, worksOf(host, change), memo);
  const { text: edited, made } = pieced ?? editWhole(text, file, host, change);
  const summary = made.flatMap((one) => one.summary ?? [])[0];
  if (summary === undefined) return { text, changed: false, summary: unchanged(change), removes: nothing };
  return { text: edited, changed: true, summary, removes: made[0]?.removes ?? nothing };
}

/** Makes the change in the document of the whole file: for any file, at its full price. */
export function editWhole(text: string, file: string, host: HostFile, change: FileChange) {
  const { document } = hostDocument(text, file);
  const made = makeAny(document, host, change);
  return { text: documentText(document, text), made: [made] };
}

function makeAny(document: Document, host: HostFile, change: FileChange): Made {
  return isTeamChange(change) ? { summary: makeTeam(document, host, change) } : make(document, host, change);
}

/** Where the change works, piece by piece; the first tells what it did. */
function worksOf(host: HostFile, change: FileChange): Work<Made>[] {
  const work = (document: Document) => makeAny(document, host, change);
  const roleAt = (name: string) => host.roles.findIndex((one) => one.name === name);
  switch (change.kind) {
    case "user-add":
      return [{ on: "users", do: "add", work }];
    case "user-credentials":
    case "user-enabled":
      return [{ on: "users", do: "change", at: userAt(host, change.name), work }];
    case "user-remove": {
      const spelled = spelling(host, change.name);
      const holding = host.roles.flatMap(({ members }, at) =>
        members !== "all" && members.some((one) => foldName(one) === foldName(spelled)) ? [at] : [],
      );
      const drop = (document: Document): Made => {
        for (const item of section(document, "roles").items) if (isMap(item)) dropMember(item, spelled);
        return { summary: undefined };
      };
      return [
        { on: "users", do: "remove", at: userAt(host, change.name), made: removedUser(host, change.name) },
        ...holding.map((at): Work<Made> => {
          const without = membersWithout(host.roles[at], [spelled]);
          return { on: "roles", do: "change", at, work: drop, inPlace: inPlace(without, { summary: undefined }) };
        }),
      ];
    }
    case "role-add": {
      const at = roleAt(change.name);
      if (at < 0) return [{ on: "roles", do: "add", work }];
      const { type, members } = change;
      const only = members !== "all" && host.roles[at]?.types.includes(type);
      return [only ? addingMembers(host, at, members, work) : { on: "roles", do: "change", at, work }];
    }
    case "role-remove":
      return [{ on: "roles", do: "remove", at: roleAt(change.name), made: removedRole(change.name) }];
    case "role-member-add":
      return [addingMembers(host, roleAt(change.role), change.members, work)];
    case "role-member-remove": {
      const at = roleAt(change.role);
      const gone = change.members.flatMap((name) => membersLike(host.roles[at], name));
      const without = membersWithout(host.roles[at], change.members);
      return [{ on: "roles", do: "change", at, work, inPlace: inPlace(without, removedMembers(change.role, gone)) }];
    }
    case "team-add":
    case "team-remove":
    case "team-member-add":
    case "team-member-remove":
    case "role-team-add":
    case "role-team-remove":
      return worksOfTeam(host, change, work);
    case "setting-set":
    case "setting-unset":
      return [{ on: "settings", do: "change", at: 0, work }];
  }
}

function addingMembers(
  host: HostFile,
  at: number,
  members: readonly string[],
  work: (document: Document) => Made,
): Work<Made> {
  const { name = "", members: standing = "all" } = host.roles[at] ?? {};
  if (standing === "all") return { on: "roles", do: "change", at, work };
  const added = newMembers(host, standing, members);
  const made = { summary: addedSentence(added, name) };
  return { on: "roles", do: "change", at, work, inPlace: inPlace([...standing, ...added], made) };
}

/** A role's members in the text as it stands: the list may be long, and the rest of the item is not touched. */
function inPlace(members: readonly string[], made: Made) {
  return (content: string, indent: number) => {
    const text = withMembers(content, indent, members);
    return text === undefined ? undefined : { text, made };
  };
}

function membersOf(role: Role | undefined): readonly string[] {
  return role === undefined || role.members === "all" ? [] : role.members;
}

function membersLike(role: Role | undefined, name: string): string[] {
  return membersOf(role).filter((member) => foldName(member) === foldName(name));
}

function membersWithout(role: Role | undefined, names: readonly string[]): string[] {
  const gone = new Set(names.map(foldName));
  return membersOf(role).filter((member) => !gone.has(foldName(member)));
}

function unchanged(change: FileChange): string {
  switch (change.kind) {
    case "user-enabled":
      return `${change.name} is ${change.enabled ? "enabled" : "disabled"} already.`;
    case "role-add":
      return `The role ${change.name} has that type and those members already.`;
    case "role-member-add":
      return `They are members of ${change.role} already.`;
    case "team-member-add":
      return `They are members of ${change.team} already.`;
    case "role-team-add":
      return `The role ${change.role} shows the team ${change.team} already.`;
    case "setting-set":
      return `${change.key} has that value already.`;
    default:
      return "Nothing to change.";
  }
}
