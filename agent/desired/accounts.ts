/** Users of the host as accounts. docs/settings.md. */
import type { AccountWanted } from "../../xmpp-core/control/contract.ts";
import type { User } from "../store/host-store.ts";
import type { Part, Rejection } from "./desired.ts";
import { grouped } from "./grouped.ts";

/** Users whose names the server cannot tell apart get one spelling; the exact preparation (RFC 7622) is the server's. */
export function foldName(name: string): string {
  return name.trim().normalize("NFC").toLowerCase();
}

/** A user without a password cannot log in; one whose keys are being derived soon can. */
export function mayLogIn(user: User): boolean {
  return user.enabled && (user.credentials !== undefined || user.deriving === true);
}

/** The snapshot's users; those the server could not tell apart are all left out and rejected by name. */
export function wantedAccounts(users: readonly User[]): Part<AccountWanted[]> {
  const byName = grouped(users, (user) => foldName(user.name));
  const byId = grouped(
    users.filter((user) => user.id !== undefined),
    (user) => user.id,
  );
  const rejections: Rejection[] = [];
  const wanted: AccountWanted[] = [];
  for (const user of users) {
    const sameName = byName.get(foldName(user.name)) ?? [];
    const sameId = user.id === undefined ? [] : (byId.get(user.id) ?? []);
    if (sameName.length > 1) rejections.push(rejected("accounts/same-name", user, sameName));
    else if (sameId.length > 1) rejections.push(rejected("accounts/same-id", user, sameId));
    else wanted.push(account(user));
  }
  return { wanted, rejections, notices: [] };
}

function account(user: User): AccountWanted {
  // Clients show the name they logged in with; the host's capitals survive only as a display name.
  const displayName = user.displayName ?? (user.name === foldName(user.name) ? undefined : user.name);
  return {
    name: user.name,
    ...(user.id === undefined ? {} : { id: user.id }),
    ...(displayName === undefined ? {} : { displayName }),
    ...(user.email === undefined ? {} : { email: user.email }),
    enabled: mayLogIn(user),
    ...(user.credentials === undefined ? {} : { credentials: user.credentials }),
  };
}

function rejected(code: string, user: User, all: readonly User[]): Rejection {
  const names = all.map((one) => one.name).join(" and ");
  const byName = code === "accounts/same-name";
  return {
    code,
    subject: { kind: "account", name: user.name },
    key: `users: ${user.name}`,
    value: byName ? names : (user.id ?? ""),
    rule: byName
      ? `${names} are one and the same login name: capitals do not count`
      : `${names} have the same id, and an id stands for one person`,
    hint: byName ? "Rename one of them in the host." : "Give each person an id of its own in the host.",
  };
}
