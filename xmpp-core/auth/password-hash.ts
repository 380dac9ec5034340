/**
 * The forms of password hashes that hosts keep, read as text; nothing is computed here. docs/passwords.md.
 * The bounds keep one login from stalling the server: a hash beyond them is refused when it is planned, not when somebody logs in.
 */

export type Digest = "sha1" | "sha256" | "sha384" | "sha512";

export type HashForm =
  | { readonly is: "bcrypt"; readonly cost: number; readonly text: string }
  | { readonly is: "sha-crypt"; readonly digest: "sha256" | "sha512"; readonly rounds: number; readonly text: string }
  | {
      readonly is: "pbkdf2";
      readonly digest: Digest;
      readonly iterations: number;
      readonly salt: Buffer;
      readonly key: Buffer;
    }
  /** Digest of password and salt, as LDAP servers keep it (RFC 2307, and its SHA-2 kin). */
  | { readonly is: "salted"; readonly digest: Digest; readonly salt: Buffer; readonly key: Buffer };

export interface HashRefusal {
  readonly is: "refused";
  /** What kind it is, for people; never the hash. */
  readonly kind: string;
  readonly rule: string;
  readonly hint: string;
}

/** About a second and a half of one core each. */
export const mostCost = { bcrypt: 14, shaCrypt: 1_000_000, pbkdf2: 2_000_000 } as const;

const digestBytes: Readonly<Record<Digest, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };
const longestHash = 1024;

const known =
  "a hash that can be checked: bcrypt ($2b$), SHA-crypt ($5$, $6$), PBKDF2 ($pbkdf2-sha256$, pbkdf2_sha256$, pbkdf2:sha256:, {PBKDF2-SHA256}), or salted SHA ({SSHA}, {SSHA256}, {SSHA512})";
const anew = "Let the host keep a bcrypt hash or SCRAM keys: both are made at the user's next change of password.";

/** Reads a hash, or says why it cannot be taken. Never throws, never quotes the hash. */
export function readHash(given: string): HashForm | HashRefusal {
  const text = given.trim().replace(/^\{CRYPT\}/i, "");
  if (text.length > longestHash) return refused("a text that is too long", known, anew);
  for (const [pattern, kind, hint] of refusals) if (pattern.test(text)) return refused(kind, known, hint);
  return bcrypt(text) ?? shaCrypt(text) ?? pbkdf2(text) ?? salted(text) ?? refused("an unknown form", known, anew);
}

/** What one check costs, as a word: `bcrypt:12`. Hashes of one word take the same time. */
export function costOf(form: HashForm): string {
  switch (form.is) {
    case "bcrypt":
      return `bcrypt:${form.cost}`;
    case "sha-crypt":
      return `${form.digest}-crypt:${form.rounds}`;
    case "pbkdf2":
      return `pbkdf2-${form.digest}:${form.iterations}`;
    case "salted":
      return `salted-${form.digest}:1`;
  }
}

/** A hash of that cost to which nobody knows a password. `bytes`: at least 64, from which it is made. */
export function decoyHash(cost: string, bytes: Buffer): HashForm {
  const [kind = "", count = ""] = cost.split(":");
  const number = Number(count);
  if (kind === "bcrypt") {
    const body = cryptText(bytes, 53);
    // The last characters of salt and key carry fewer bits.
    const text = `$2b$${count.padStart(2, "0")}$${body.slice(0, 21)}.${body.slice(22, 52)}.`;
    return { is: "bcrypt", cost: number, text };
  }
  const crypt = /^(sha256|sha512)-crypt$/.exec(kind)?.[1] as "sha256" | "sha512" | undefined;
  if (crypt) {
    const id = crypt === "sha256" ? "5" : "6";
    const key = cryptText(Buffer.concat([bytes, bytes]), crypt === "sha256" ? 42 : 85);
    const text = `$${id}$rounds=${number}$${cryptText(bytes, 16)}$${key}.`;
    return { is: "sha-crypt", digest: crypt, rounds: number, text };
  }
  const digest = (kind.split("-")[1] ?? "sha256") as Digest;
  const salt = bytes.subarray(0, 16);
  const key = Buffer.concat([bytes, bytes]).subarray(16, 16 + digestBytes[digest]);
  if (kind.startsWith("pbkdf2-")) return { is: "pbkdf2", digest, iterations: number, salt, key };
  return { is: "salted", digest, salt, key };
}

function cryptText(bytes: Buffer, length: number): string {
  const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  return Array.from({ length }, (_, at) => alphabet[(bytes[at % bytes.length] ?? 0) % 64]).join("");
}

const refusals: readonly [RegExp, string, string][] = [
  [/^\$(1|apr1|md5)[$,]|^\{S?MD5\}|^[0-9a-f]{32}$/i, "MD5", `MD5 is broken. ${anew}`],
  [/^[./0-9A-Za-z]{13}$|^_[./0-9A-Za-z]{19}$/, "DES crypt", `DES crypt sees eight characters only. ${anew}`],
  [/^\$(y|gy|7)\$/, "yescrypt or scrypt", `yescrypt and scrypt cannot be checked here. ${anew}`],
  [/^\$argon2|^argon2\$|^\{ARGON2\}/i, "Argon2", `Argon2 cannot be checked by this Node.js. ${anew}`],
  [/^[0-9a-f]{40}$|^[0-9a-f]{64}$|^[0-9a-f]{128}$/i, "a digest without salt", anew],
  [/^\$(2|2x)\$/, "an old, flawed bcrypt", `Hashes by $2$ and $2x$ are ambiguous. ${anew}`],
  [/^[!*]|^x$/, "a locked password", "Disable the user in the host, or leave the hash out."],
];

function refused(kind: string, rule: string, hint: string): HashRefusal {
  return { is: "refused", kind, rule, hint };
}

function tooCostly(kind: string, most: number, unit: string): HashRefusal {
  return refused(kind, `at most ${most} ${unit}: more would let logins stall the server`, anew);
}

function bcrypt(text: string): HashForm | HashRefusal | undefined {
  const [, count] = /^\$2[aby]\$(\d\d)\$[./0-9A-Za-z]{53}$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  const cost = Number(count);
  if (cost > mostCost.bcrypt) return tooCostly("bcrypt", mostCost.bcrypt, "as cost");
  return cost < 4 ? refused("bcrypt", known, anew) : { is: "bcrypt", cost, text };
}

function shaCrypt(text: string): HashForm | HashRefusal | undefined {
  const [, id, , count, key = ""] = /^\$([56])\$(rounds=(\d{1,9})\$)?[^$:\s]{1,16}\$([./0-9A-Za-z]+)$/.exec(text) ?? [];
  if (id === undefined || key.length !== (id === "5" ? 43 : 86)) return undefined;
  const rounds = count === undefined ? 5000 : Number(count);
  if (rounds > mostCost.shaCrypt) return tooCostly("SHA-crypt", mostCost.shaCrypt, "rounds");
  // crypt(3) takes fewer for 1,000 and writes that; such a text no crypt has made.
  if (rounds < 1000) return refused("SHA-crypt", known, anew);
  return { is: "sha-crypt", digest: id === "5" ? "sha256" : "sha512", rounds, text };
}

/** Base64 of passlib and OpenLDAP: `.` for `+`, no padding. */
function adapted(text: string): Buffer {
  return Buffer.from(text.replaceAll(".", "+"), "base64");
}

function pbkdf2(text: string): HashForm | HashRefusal | undefined {
  const passlib =
    /^(?:\$pbkdf2(?:-(sha1|sha256|sha512))?\$|\{PBKDF2(?:-(SHA1|SHA256|SHA512))?\})(\d{1,9})\$([./0-9A-Za-z]+)\$([./0-9A-Za-z]+)$/;
  const [, lower, upper, rounds, salt, key] = passlib.exec(text) ?? [];
  if (rounds && salt && key)
    return ofPbkdf2(lower ?? upper?.toLowerCase() ?? "sha1", rounds, adapted(salt), adapted(key));
  const [, django, count, plainSalt, base64] =
    /^pbkdf2[_-](sha1|sha256|sha512)\$(\d{1,9})\$([^$\s]{1,128})\$([+/0-9A-Za-z]+=*)$/.exec(text) ?? [];
  if (django && count && plainSalt && base64)
    return ofPbkdf2(django, count, Buffer.from(plainSalt), Buffer.from(base64, "base64"));
  const [, werkzeug, times, ownSalt, hex] =
    /^pbkdf2:(sha1|sha256|sha512):(\d{1,9})\$([^$\s]{1,128})\$((?:[0-9a-f]{2})+)$/.exec(text) ?? [];
  if (werkzeug && times && ownSalt && hex)
    return ofPbkdf2(werkzeug, times, Buffer.from(ownSalt), Buffer.from(hex, "hex"));
  return undefined;
}

function ofPbkdf2(digest: string, count: string, salt: Buffer, key: Buffer): HashForm | HashRefusal {
  const iterations = Number(count);
  if (iterations > mostCost.pbkdf2) return tooCostly("PBKDF2", mostCost.pbkdf2, "iterations");
  if (iterations < 1 || salt.length === 0 || key.length < 16 || key.length > 64) return refused("PBKDF2", known, anew);
  return { is: "pbkdf2", digest: digest as Digest, iterations, salt, key };
}

function salted(text: string): HashForm | HashRefusal | undefined {
  const [, salty, bits, base64] = /^\{(S?)SHA(256|384|512)?\}([+/0-9A-Za-z]+=*)$/i.exec(text) ?? [];
  if (salty === undefined || base64 === undefined) return undefined;
  const digest: Digest = bits === undefined ? "sha1" : (`sha${bits}` as Digest);
  const bytes = Buffer.from(base64, "base64");
  const length = digestBytes[digest];
  const fits = salty === "" ? bytes.length === length : bytes.length > length && bytes.length <= length + 64;
  if (!fits) return refused("LDAP SHA", known, anew);
  return { is: "salted", digest, salt: bytes.subarray(length), key: bytes.subarray(0, length) };
}
