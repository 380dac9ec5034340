/** The part of the control contract about accounts and their passwords; the agent imports it through contract.ts. docs/passwords.md. */
import { z } from "zod";

/** SCRAM keys as text, one per hash: `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>` (base64). Never logged, never in the journal. */
export const credentials = z.object({
  sha1: z.string().optional(),
  sha256: z.string().optional(),
  sha512: z.string().optional(),
});
export type CredentialsText = z.infer<typeof credentials>;

/** The one text of a set of keys. `credentialsHash` of an account is `sha256:` and the hex SHA-256 of it. */
export function canonicalCredentials(keys: CredentialsText): string {
  return [keys.sha1 ?? "", keys.sha256 ?? "", keys.sha512 ?? ""].join("\n");
}

export const liveSource = z.enum(["ldap", "sql", "http"]);
/** Who judges a password at each login, where neither keys nor a hash are known. */
export type LiveSource = z.infer<typeof liveSource>;

/** The one text of what a password is checked against; undefined: there is no password. Without hash and directory it is that of the keys. */
export function canonicalPassword({
  credentials: keys,
  passwordHash,
  passwordFrom,
}: Pick<AccountWanted, "credentials" | "passwordHash" | "passwordFrom">): string | undefined {
  if (passwordFrom !== undefined) return `from ${passwordFrom}`;
  if (keys !== undefined) return canonicalCredentials(keys);
  return passwordHash === undefined ? undefined : `hash ${passwordHash}`;
}

/** What the host says of a person beside name and mail address; absent: nothing. */
export const hostCard = z.object({
  phone: z.string().optional(),
  mobile: z.string().optional(),
  organisation: z.string().optional(),
  department: z.string().optional(),
  title: z.string().optional(),
  url: z.string().optional(),
  /** A picture in base64: PNG, JPEG, GIF or WebP. */
  photo: z.string().optional(),
});
export type HostCardWanted = z.infer<typeof hostCard>;

/** The fields of a card, in the order in which they are compared. */
export const hostCardFields = ["phone", "mobile", "organisation", "department", "title", "url", "photo"] as const;

/** The one text of a card; `cardHash` of an account is `sha256:` and the hex SHA-256 of it. */
export function canonicalHostCard(card: HostCardWanted): string {
  return JSON.stringify(hostCardFields.map((field) => card[field] ?? null));
}

export const account = z.object({
  name: z.string(),
  /** The host's stable key of the person, if it has one. */
  id: z.string().optional(),
  displayName: z.string().optional(),
  email: z.string().optional(),
  enabled: z.boolean(),
  /** With `enabled` false: the host opens chat to others only; whoever proves the password is told so. */
  barred: z.boolean().optional(),
  /** Without keys, hash and directory nobody can log in; a directory wins over keys, keys over a hash. */
  credentials: credentials.optional(),
  /** In the modular form of its kind. Never logged, never in the journal, not in `actual`. */
  passwordHash: z.string().optional(),
  passwordFrom: liveSource.optional(),
  /** Further addresses of the person: local parts, or full addresses under an alias domain. Absent: none. */
  aliases: z.array(z.string()).optional(),
  /** Fields of the contact card that are the host's. Absent: none. */
  card: hostCard.optional(),
});
export type AccountWanted = z.infer<typeof account>;

export const origin = z.enum(["host", "local"]);

export const actualAccount = z.object({
  name: z.string(),
  id: z.string().optional(),
  displayName: z.string().optional(),
  email: z.string().optional(),
  enabled: z.boolean(),
  barred: z.boolean().optional(),
  origin,
  /** `sha256:` of the canonical text of the password (`canonicalPassword`), or absent without one. */
  credentialsHash: z.string().optional(),
  /** Set when the host no longer has this person; data is kept until then (ISO time). */
  keptUntil: z.string().optional(),
  /** Sorted; absent: none. */
  aliases: z.array(z.string()).optional(),
  /** `sha256:` of the canonical text of the card (`canonicalHostCard`), or absent without one. */
  cardHash: z.string().optional(),
});
export type ActualAccount = z.infer<typeof actualAccount>;

/** A team that groups show as a contact: no account, nobody logs in as it. docs/people.md. */
export const contact = z.object({ name: z.string(), displayName: z.string() });
export type ContactWanted = z.infer<typeof contact>;

export const checkLogin = {
  ask: z.object({ name: z.string(), password: z.string().optional() }),
  answer: z.object({ checks: z.array(z.object({ check: z.string(), ok: z.boolean(), detail: z.string() })) }),
};
/** What stands between a person and a login, in the order in which it is looked at. */
export type LoginCheck = z.infer<typeof checkLogin.answer>["checks"][number];
