/** SCRAM keys of an account: how they are made, written and checked. RFC 5802 §3, RFC 7677. */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import saslprep from "@mongodb-js/saslprep";
import { z } from "zod";
import { CodedError } from "../errors.ts";
import { decodeBase64 } from "./exchange.ts";
import type { DerivationPool } from "./pool.ts";

const pbkdf2InPool = promisify(pbkdf2);

/** The hashes we know, weakest first: the name in a mechanism, in node:crypto, and the length of a key in bytes. */
export const hashes = {
  sha1: { mechanism: "SCRAM-SHA-1", digest: "sha1", bytes: 20 },
  sha256: { mechanism: "SCRAM-SHA-256", digest: "sha256", bytes: 32 },
  sha512: { mechanism: "SCRAM-SHA-512", digest: "sha512", bytes: 64 },
} as const;
export type HashName = keyof typeof hashes;
export const hashNames = ["sha1", "sha256", "sha512"] as const satisfies readonly HashName[];

export interface ScramKeys {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Keys by hash. An account imported from elsewhere may lack some. */
export type Credentials = { readonly [H in HashName]?: ScramKeys };

/** Credentials as they are stored and sent: `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, base64, one text per hash. */
export type CredentialsText = { [H in HashName]?: string | undefined };

/** Salt of new keys, and of false ones. */
export const saltBytes = 16;

/** Above this a login would be an attack on ourselves; RFC 7677 §4 asks for at least 4096 in new keys. */
export const mostIterations = 1_000_000;

const keysText = z
  .string()
  .max(512)
  .regex(/^SCRAM-SHA-(?:1|256|512)\$[1-9][0-9]{0,6}:[A-Za-z0-9+/]+={0,2}\$[A-Za-z0-9+/]+={0,2}:[A-Za-z0-9+/]+={0,2}$/);

/** The text form of one hash's keys. */
export function formatKeys(hash: HashName, keys: ScramKeys): string {
  const [salt, storedKey, serverKey] = [keys.salt, keys.storedKey, keys.serverKey].map((b) => b.toString("base64"));
  return `${hashes[hash].mechanism}$${keys.iterations}:${salt}$${storedKey}:${serverKey}`;
}

/** Reads the text form; throws `auth/bad-keys` without quoting it, since it is a secret. */
export function parseKeys(hash: HashName, text: string): ScramKeys {
  const bad = (rule: string) =>
    new CodedError("auth/bad-keys", `SCRAM keys must be ${rule}.`, {
      fields: { hash },
      hint: `The form is ${hashes[hash].mechanism}$iterations:salt$StoredKey:ServerKey, in base64.`,
    });
  if (!keysText.safeParse(text).success) throw bad("in the text form of their hash");
  const [mechanism, parameters = "", both = ""] = text.split("$");
  const [count = "", salt] = parameters.split(":");
  const [storedKey, serverKey] = both.split(":");
  if (mechanism !== hashes[hash].mechanism) throw bad(`of the hash ${hashes[hash].mechanism}`);
  const keys = {
    iterations: Number(count),
    salt: decodeBase64(salt ?? ""),
    storedKey: decodeBase64(storedKey ?? ""),
    serverKey: decodeBase64(serverKey ?? ""),
  };
  if (!keys.salt || !keys.storedKey || !keys.serverKey) throw bad("in canonical base64");
  if (keys.iterations > mostIterations) throw bad(`of at most ${mostIterations} iterations`);
  const { bytes } = hashes[hash];
  if (keys.storedKey.length !== bytes || keys.serverKey.length !== bytes) throw bad(`of ${bytes} bytes each`);
  return { iterations: keys.iterations, salt: keys.salt, storedKey: keys.storedKey, serverKey: keys.serverKey };
}

export function formatCredentials(credentials: Credentials): CredentialsText {
  const text: CredentialsText = {};
  for (const hash of hashNames) {
    const keys = credentials[hash];
    if (keys) text[hash] = formatKeys(hash, keys);
  }
  return text;
}

/** Reads what `formatCredentials` wrote; throws `auth/bad-keys`. */
export function parseCredentials(text: CredentialsText): Credentials {
  const credentials: { [H in HashName]?: ScramKeys } = {};
  for (const hash of hashNames) {
    const keys = text[hash];
    if (keys !== undefined) credentials[hash] = parseKeys(hash, keys);
  }
  return credentials;
}

/** SASLprep for passwords (RFC 4013): stored strings refuse unassigned code points. Undefined when the text cannot be a password. */
export function preparePassword(password: string, use: "store" | "check" = "store"): string | undefined {
  try {
    const prepared = saslprep(password, { allowUnassigned: use === "check" });
    return prepared === "" ? undefined : prepared;
  } catch {
    return undefined;
  }
}

/**
 * Keys of a new password for all three hashes, each with its own salt. About 8 ms of one libuv thread at 4,096 iterations.
 * Throws `auth/bad-password` when SASLprep refuses the password, `auth/busy` when the pool is full.
 */
export async function deriveCredentials(
  password: string,
  by: { iterations: number; random: (bytes: number) => Buffer; pool: DerivationPool },
): Promise<Required<Credentials>> {
  const prepared = preparePassword(password, "store");
  if (prepared === undefined) {
    throw new CodedError("auth/bad-password", "The password is empty or has characters that no password may have.", {
      hint: "Control characters and mixed writing directions are refused (RFC 4013).",
    });
  }
  return by.pool.run(async () => ({
    sha1: await deriveKeys("sha1", prepared, by.random(saltBytes), by.iterations),
    sha256: await deriveKeys("sha256", prepared, by.random(saltBytes), by.iterations),
    sha512: await deriveKeys("sha512", prepared, by.random(saltBytes), by.iterations),
  }));
}

/** SaltedPassword, StoredKey and ServerKey of RFC 5802 §3; `password` is prepared already. */
async function deriveKeys(hash: HashName, password: string, salt: Buffer, iterations: number): Promise<ScramKeys> {
  const { digest, bytes } = hashes[hash];
  const salted = await pbkdf2InPool(password, salt, iterations, bytes, digest);
  return keysOfSalted(hash, salted, { salt, iterations });
}

/** StoredKey and ServerKey of a SaltedPassword, which may have been computed by a client. RFC 5802 §3, XEP-0480 §3 */
export function keysOfSalted(
  hash: HashName,
  salted: Buffer,
  { salt, iterations }: { salt: Buffer; iterations: number },
): ScramKeys {
  const { digest } = hashes[hash];
  const clientKey = createHmac(digest, salted).update("Client Key").digest();
  return {
    iterations,
    salt,
    storedKey: createHash(digest).update(clientKey).digest(),
    serverKey: createHmac(digest, salted).update("Server Key").digest(),
  };
}

/** Which keys a password is checked against: one derivation must do. SHA-256 first, it costs least among the strong. */
const checkedFirst = ["sha256", "sha512", "sha1"] as const satisfies readonly HashName[];

/** Whether the password belongs to the keys (PLAIN, console, REST). One PBKDF2 in the pool; throws `auth/busy` when that is full. */
export async function verifyPassword(
  password: string,
  credentials: Credentials,
  pool: DerivationPool,
): Promise<boolean> {
  const hash = checkedFirst.find((name) => credentials[name]);
  const keys = hash && credentials[hash];
  if (!hash || !keys) return false;
  const prepared = preparePassword(password, "check");
  // A password that cannot exist costs the same work as a wrong one.
  const derived = await pool.run(() => deriveKeys(hash, prepared ?? "\u0000", keys.salt, keys.iterations));
  return timingSafeEqual(derived.storedKey, keys.storedKey) && prepared !== undefined;
}

/**
 * Keys of an account that does not exist: for the same name always the same salt, so that asking twice tells nothing.
 * Nobody knows a password for them. RFC 5802 §9
 */
export function decoyKeys(hash: HashName, name: string, by: { decoySecret: Buffer; iterations: number }): ScramKeys {
  const { digest, bytes } = hashes[hash];
  const from = (what: string) => createHmac("sha512", by.decoySecret).update(`${what}\0${digest}\0${name}`).digest();
  return {
    iterations: by.iterations,
    salt: from("salt").subarray(0, saltBytes),
    storedKey: from("stored").subarray(0, bytes),
    serverKey: from("server").subarray(0, bytes),
  };
}
