/** SCRAM keys of the host's passwords: derived once, in libuv's threads, and written as the control contract has them. RFC 5802 §3, RFC 7677. */
import { createHash, createHmac, pbkdf2, randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import saslprep from "@mongodb-js/saslprep";
import type { CredentialsText } from "../xmpp-core/control/contract.ts";
import { CodedError } from "./errors.ts";

const pbkdf2InPool = promisify(pbkdf2);

const hashes = {
  sha1: { mechanism: "SCRAM-SHA-1", digest: "sha1", bytes: 20 },
  sha256: { mechanism: "SCRAM-SHA-256", digest: "sha256", bytes: 32 },
  sha512: { mechanism: "SCRAM-SHA-512", digest: "sha512", bytes: 64 },
} as const;
type HashName = keyof typeof hashes;
const hashNames = ["sha1", "sha256", "sha512"] as const satisfies readonly HashName[];

/** RFC 7677 §4 asks for at least this many. */
export const leastIterations = 4096;
/** Above this, a login would be an attack on ourselves. */
export const mostIterations = 1_000_000;

const saltBytes = 16;
const iterationsProperty = "sys.xmpp.properties.sasl.scram-sha-1.iteration-count";

/** Iterations for new keys: what the host asks for, if it is a number in bounds, never less than 4,096. */
export function wantedIterations(settings: ReadonlyMap<string, string>): number {
  const asked = settings.get(iterationsProperty)?.trim() ?? "";
  if (!/^\d{1,7}$/.test(asked)) return leastIterations;
  return Math.min(Math.max(Number(asked), leastIterations), mostIterations);
}

/**
 * Keys of a password for all three hashes, each with its own salt; about 8 ms of one libuv thread at 4,096 iterations.
 * Throws `credentials/unusable-password` (without the password) when SASLprep refuses it (RFC 4013).
 */
export async function deriveCredentials(
  password: string,
  by: { readonly iterations?: number; readonly random?: (bytes: number) => Buffer } = {},
): Promise<Required<CredentialsText>> {
  const prepared = preparePassword(password);
  const { iterations = leastIterations, random = randomBytes } = by;
  const text = (hash: HashName) => keysText(hash, prepared, random(saltBytes), iterations);
  const [sha1, sha256, sha512] = await Promise.all([text("sha1"), text("sha256"), text("sha512")]);
  return { sha1, sha256, sha512 };
}

/** Whether these keys came from this password. Keys in another form than ours did not. */
export async function credentialsMatch(credentials: CredentialsText, password: string): Promise<boolean> {
  const hash = hashNames.find((name) => credentials[name] !== undefined);
  const text = hash && credentials[hash];
  if (!hash || !text || !isKeysText(hash, text)) return false;
  const [, iterations, salt] = text.split(/[$:]/);
  const again = await keysText(hash, preparePassword(password), Buffer.from(salt ?? "", "base64"), Number(iterations));
  return again.length === text.length && timingSafeEqual(Buffer.from(again), Buffer.from(text));
}

/** Whether a text is the keys of this hash: `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, canonical base64. */
export function isKeysText(hash: HashName, text: string): boolean {
  const { mechanism, bytes } = hashes[hash];
  const [name, parameters = "", keys = "", ...rest] = text.split("$");
  const [iterations = "", salt = "", ...more] = parameters.split(":");
  const [storedKey = "", serverKey = "", ...most] = keys.split(":");
  if (name !== mechanism || rest.length + more.length + most.length > 0) return false;
  if (!/^[1-9]\d{0,6}$/.test(iterations) || Number(iterations) > mostIterations) return false;
  return (base64Length(salt) ?? 0) > 0 && [storedKey, serverKey].every((key) => base64Length(key) === bytes);
}

/** Settles jobs in their order, so that whoever stands first (the admin) is done first, `width` at a time. */
export async function inOrder<T>(
  jobs: readonly (() => Promise<T>)[],
  options: { readonly width: number; readonly onDone?: (done: number, of: number) => void },
): Promise<PromiseSettledResult<T>[]> {
  const results: PromiseSettledResult<T>[] = new Array(jobs.length);
  let next = 0;
  let done = 0;
  const work = async () => {
    for (let index = next++; index < jobs.length; index = next++) {
      const job = jobs[index];
      if (job) [results[index]] = (await Promise.allSettled([job()])) as [PromiseSettledResult<T>];
      options.onDone?.(++done, jobs.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.width, jobs.length) }, work));
  return results;
}

/** A password for a person to copy: 20 characters that cannot be mistaken for each other, 98 bits. */
export function generatePassword(): string {
  const alphabet = "abcdefghjkmnpqrstuvwxyz23456789";
  return Array.from({ length: 20 }, () => alphabet[randomInt(alphabet.length)]).join("");
}

function preparePassword(password: string): string {
  const refused = () =>
    new CodedError(
      "credentials/unusable-password",
      "The password is empty or has characters that no password may have.",
      {
        hint: "Control characters, mixed writing directions and symbols newer than Unicode 3.2 are refused (RFC 4013).",
      },
    );
  let prepared = "";
  try {
    prepared = saslprep(password);
  } catch {
    // The library's message would quote the password.
    throw refused();
  }
  if (prepared === "") throw refused();
  return prepared;
}

async function keysText(hash: HashName, prepared: string, salt: Buffer, iterations: number): Promise<string> {
  const { mechanism, digest, bytes } = hashes[hash];
  const salted = await pbkdf2InPool(prepared, salt, iterations, bytes, digest);
  const clientKey = createHmac(digest, salted).update("Client Key").digest();
  const storedKey = createHash(digest).update(clientKey).digest("base64");
  const serverKey = createHmac(digest, salted).update("Server Key").digest("base64");
  return `${mechanism}$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`;
}

function base64Length(text: string): number | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes.length : undefined;
}
