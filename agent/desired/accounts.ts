/** Users of the host as accounts. docs/settings.md. */
import type { AccountWanted } from "../../xmpp-core/control/contract.ts";
import { type HashRefusal, readHash } from "../../xmpp-core/control/contract-hashes.ts";
import type { Notice } from "../errors.ts";
import type { User } from "../store/host-store.ts";
import { wantedCard } from "../store/user-card.ts";
import type { Part, Rejection } from "./desired.ts";
import { grouped } from "./grouped.ts";

/** Users whose names the server cannot tell apart get one spelling; the exact preparation (RFC 7622) is the server's. */
export function foldName(name: string): string {
  return name.trim().normalize("NFC").toLowerCase();
}

/** A user without a password cannot log in; one whose keys are being derived soon can, and one whom a directory knows. */
export function mayLogIn(user: User): boolean {
  const { credentials, passwordHash, passwordFrom = "store", deriving } = user;
  const hasPassword = credentials !== undefined || passwordHash !== undefined || passwordFrom !== "store";
  return user.enabled && (hasPassword || deriving === true);
}

/**
 * The snapshot's users; those the server could not tell apart are all left out and rejected by name.
 * @param allowed names (folded) of those to whom the host opens chat; undefined: everybody
 */
export function wantedAccounts(users: readonly User[], allowed?: ReadonlySet<string>): Part<AccountWanted[]> {
  const byName = grouped(users, (user) => foldName(user.name));
  const byId = grouped(
    users.filter((user) => user.id !== undefined),
    (user) => user.id,
  );
  const rejections: Rejection[] = [];
  const wanted: AccountWanted[] = [];
  const notices: Notice[] = [];
  for (const user of users) {
    const sameName = byName.get(foldName(user.name)) ?? [];
    const sameId = user.id === undefined ? [] : (byId.get(user.id) ?? []);
    if (sameName.length > 1) rejections.push(rejected("accounts/same-name", user, sameName));
    else if (sameId.length > 1) rejections.push(rejected("accounts/same-id", user, sameId));
    else {
      const hash = password(user).passwordHash;
      const form = hash === undefined ? undefined : readHash(hash);
      if (form?.is === "refused") rejections.push(refusedHash(user, form));
      else wanted.push(account(user, allowed === undefined || allowed.has(foldName(user.name)), notices));
    }
  }
  return { wanted, rejections, notices };
}

/** What of a user's passwords counts: a directory wins over keys, keys over a hash. */
function password(user: User): Pick<AccountWanted, "credentials" | "passwordHash" | "passwordFrom"> {
  const { credentials, passwordHash, passwordFrom = "store", deriving } = user;
  if (passwordFrom !== "store") return { passwordFrom };
  if (credentials !== undefined) return { credentials };
  return passwordHash === undefined || deriving ? {} : { passwordHash };
}

function account(user: User, allowed: boolean, notices: Notice[]): AccountWanted {
  const { card, notice } = user.card === undefined ? {} : wantedCard(user.name, user.card);
  if (notice !== undefined) notices.push(notice);
  // Clients show the name they logged in with; the host's capitals survive only as a display name.
  const displayName = user.displayName ?? (user.name === foldName(user.name) ? undefined : user.name);
  return {
    name: user.name,
    ...(user.id === undefined ? {} : { id: user.id }),
    ...(displayName === undefined ? {} : { displayName }),
    ...(user.email === undefined ? {} : { email: user.email }),
    ...(user.aliases && user.aliases.length > 0 ? { aliases: [...user.aliases] } : {}),
    ...(card === undefined ? {} : { card }),
    enabled: mayLogIn(user) && allowed,
    ...(mayLogIn(user) && !allowed ? { barred: true } : {}),
    ...password(user),
  };
}

function refusedHash(user: User, { kind, rule, hint }: HashRefusal): Rejection {
  return {
    code: "accounts/password-hash",
    subject: { kind: "account", name: user.name },
    key: `users: ${user.name}`,
    value: `a password hash (${kind})`,
    rule,
    hint: `${hint} Until then the account stays as it was.`,
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
