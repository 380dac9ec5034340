/** A host file's content as a snapshot, with its hash. */
import { createHash } from "node:crypto";
import { canonicalHostCard } from "../../xmpp-core/control/contract.ts";
import type { Notice } from "../errors.ts";
import type { HostFile } from "./host-file-text.ts";
import type { Snapshot, User } from "./host-store.ts";
import type { PasswordKeys } from "./password-keys.ts";

/** Passwords in clear become their keys where those are known; a user whose keys are not yet derived says so. */
export function snapshotOf(
  file: HostFile,
  keys: Pick<PasswordKeys, "known" | "unusable">,
  source: string,
  warnings: readonly Notice[] = [],
): Snapshot {
  const all: Notice[] = [...warnings, ...file.warnings];
  const users = file.users.map(({ password, otherPassword: _, line, ...user }): User => {
    if (password === undefined) return user;
    const known = keys.known(user.name, password);
    if (known) return { ...user, credentials: known };
    const refused = keys.unusable(user.name, password);
    if (refused === undefined) return { ...user, deriving: true };
    all.push({
      code: "store/unusable-password",
      message: `The password of ${user.name} is not taken: ${refused}`,
      hint: `Set another one by firekeeper users passwd ${user.name}.`,
      where: `${source}:${line}`,
    });
    return user;
  });
  const { settings, roles, teams } = file;
  return { hash: contentHash({ settings, roles, users, teams }), settings, roles, users, teams, source, warnings: all };
}

/** The same for every order and spelling of the same content. */
export function contentHash({
  settings,
  roles,
  users,
  teams = [],
}: Omit<Snapshot, "hash" | "source" | "warnings" | "origins">): string {
  const content = [
    sortedEntries(settings),
    byName(roles).map(({ name, types, members, teams, parameters }) => [
      name,
      [...types].sort(),
      members === "all" ? members : [...members].sort(),
      [...(teams ?? [])].sort(),
      sortedEntries(parameters),
    ]),
    byName(users).map(({ name, id, displayName, email, enabled, credentials, deriving, ...more }) => [
      name,
      [id, displayName, email, enabled, deriving],
      [credentials?.sha1, credentials?.sha256, credentials?.sha512],
      [more.passwordHash, more.passwordFrom, more.aliases, more.card && canonicalHostCard(more.card)],
    ]),
    byName(teams).map(({ id, name, extension, kind, members }) => [id, name, extension, kind, members]),
  ];
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

function sortedEntries(map: ReadonlyMap<string, string>): [string, string][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}

function byName<T extends { readonly name: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.name < b.name ? -1 : 1));
}
