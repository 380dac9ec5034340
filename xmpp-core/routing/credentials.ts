/** What an account's password is checked against, as it is stored: SCRAM keys, the host's hash, or a directory. docs/passwords.md. */

import { type HashName, hashNames } from "../auth/keys.ts";
import type { PlainNeed } from "../auth/mechanisms.ts";
import { costOf, readHash } from "../auth/password-hash.ts";
import { read, write } from "../storage/statement.ts";
import type { Account } from "./accounts.ts";

/** Who judges a password at each login, instead of keys or a hash. */
export type LiveSource = "ldap" | "sql" | "http";

/** As stored. SCRAM keys are one text per hash; keys beside a hash were derived from it at a login and go with it. */
export interface StoredCredentials {
  readonly sha1?: string | undefined;
  readonly sha256?: string | undefined;
  readonly sha512?: string | undefined;
  readonly passwordHash?: string | undefined;
  readonly passwordFrom?: LiveSource | undefined;
}

/** What memory knows of them: enough to say what is offered, nothing that is secret. */
export interface PasswordStanding {
  readonly hasKeys: boolean;
  /** Set where the host gave a hash: what one check costs, `bcrypt:12`. */
  readonly cost: string | undefined;
  readonly from: LiveSource | undefined;
  /** Hashes for which it lacks keys although it has others that the host gave. XEP-0480 */
  readonly lacks: readonly HashName[];
}

export const passwordsMigration = {
  name: "0017_passwords",
  sql: `
    ALTER TABLE credentials ADD COLUMN password_hash TEXT;
    ALTER TABLE credentials ADD COLUMN password_from TEXT;
    ALTER TABLE account ADD COLUMN barred INTEGER NOT NULL DEFAULT 0;`,
};

interface CredentialsRow {
  sha1: string | null;
  sha256: string | null;
  sha512: string | null;
  password_hash: string | null;
  password_from: LiveSource | null;
}

export const credentialsOf = read<[number], CredentialsRow>(
  "SELECT sha1, sha256, sha512, password_hash, password_from FROM credentials WHERE account = ?",
);
export const putCredentials = write<
  [number, string | null, string | null, string | null, string, string | null, string | null]
>(
  `INSERT OR REPLACE INTO credentials (account, sha1, sha256, sha512, hash, password_hash, password_from)
   VALUES (?, ?, ?, ?, ?, ?, ?)`,
);
/** Keys are bound to the hash they came from: if the host has changed it meanwhile, they belong to nobody. */
export const learnKeys = write<[string | null, string | null, string | null, number, string]>(
  "UPDATE credentials SET sha1 = ?, sha256 = ?, sha512 = ? WHERE account = ? AND password_hash = ?",
);
/** Keys for a hash that the account lacks: of the same password, so void if that has changed meanwhile. */
export const addKeys = {
  sha1: write<[string, number, string]>(
    "UPDATE credentials SET sha1 = ? WHERE account = ? AND hash = ? AND sha1 IS NULL",
  ),
  sha256: write<[string, number, string]>(
    "UPDATE credentials SET sha256 = ? WHERE account = ? AND hash = ? AND sha256 IS NULL",
  ),
  sha512: write<[string, number, string]>(
    "UPDATE credentials SET sha512 = ? WHERE account = ? AND hash = ? AND sha512 IS NULL",
  ),
};
export const dropCredentials = write<[number]>("DELETE FROM credentials WHERE account = ?");

export function credentialsOfRow(row: CredentialsRow): StoredCredentials {
  return {
    sha1: row.sha1 ?? undefined,
    sha256: row.sha256 ?? undefined,
    sha512: row.sha512 ?? undefined,
    passwordHash: row.password_hash ?? undefined,
    passwordFrom: row.password_from ?? undefined,
  };
}

export function standingOf(stored: StoredCredentials): PasswordStanding {
  const { sha1, sha256, sha512, passwordHash, passwordFrom } = stored;
  const form = passwordHash === undefined ? undefined : readHash(passwordHash);
  return {
    hasKeys: [sha1, sha256, sha512].some((keys) => keys !== undefined),
    cost: form === undefined || form.is === "refused" ? undefined : costOf(form),
    from: passwordFrom,
    lacks:
      passwordHash === undefined && passwordFrom === undefined
        ? hashNames.filter((name) => stored[name] === undefined)
        : [],
  };
}

/** How the passwords of those who may log in are checked, in numbers. */
export interface PasswordMix {
  /** Keys that the host gave, or that came with a change of the password here. */
  keys: number;
  /** A hash, and keys derived from it at a login. */
  derived: number;
  /** A hash alone, by what one check costs. */
  readonly hashed: Map<string, number>;
  readonly live: Map<LiveSource, number>;
  /** Hashes for which some lack keys. */
  readonly lacking: Set<HashName>;
}

export function passwordMix(accounts: Iterable<Account>, served: number): PasswordMix {
  const mix: PasswordMix = { keys: 0, derived: 0, hashed: new Map(), live: new Map(), lacking: new Set() };
  for (const { served: of, enabled, keptUntil, password } of accounts) {
    if (of !== served || !enabled || keptUntil !== undefined || password === undefined) continue;
    const { from, cost, hasKeys, lacks } = password;
    for (const hash of lacks) mix.lacking.add(hash);
    if (from !== undefined) mix.live.set(from, (mix.live.get(from) ?? 0) + 1);
    else if (cost === undefined) mix.keys++;
    else if (hasKeys) mix.derived++;
    else mix.hashed.set(cost, (mix.hashed.get(cost) ?? 0) + 1);
  }
  return mix;
}

export function withoutKeys(mix: PasswordMix): number {
  return sum(mix.hashed) + sum(mix.live);
}

/** Accounts whose keys can never all come from the host: their clients would not find PLAIN beside SCRAM. */
export function fromElsewhere(mix: PasswordMix): number {
  return mix.derived + withoutKeys(mix);
}

/** What of PLAIN a domain needs. `auto` keeps PLAIN alone also when every hash has keys: a person decides to offer SCRAM again. */
export function plainNeed(mix: PasswordMix, decided: "auto" | "never"): PlainNeed {
  if (decided === "auto") return fromElsewhere(mix) > 0 ? "alone" : "as allowed";
  return withoutKeys(mix) > 0 ? "too" : "as allowed";
}

export function sum(counts: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const count of counts.values()) total += count;
  return total;
}
