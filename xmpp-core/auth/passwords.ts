/**
 * Judges a password sent in clear (PLAIN, console, REST) against whatever stands for it: keys, the host's hash, or a
 * directory that is asked. A name that does not exist costs what one that does would cost. docs/passwords.md.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../clock.ts";
import { CodedError } from "../errors.ts";
import type { HashCheck } from "./hash-check.ts";
import { type Credentials, decoyKeys, verifyPassword } from "./keys.ts";
import type { LiveCheck } from "./live.ts";
import { decoyHash, readHash } from "./password-hash.ts";
import type { DerivationPool } from "./pool.ts";

/** What is known of an account's password. Keys win over a hash: they cost less, and come from the same password. */
export interface KnownPassword {
  readonly credentials?: Credentials | undefined;
  readonly passwordHash?: string | undefined;
  readonly passwordFrom?: "ldap" | "sql" | "http" | undefined;
}

/** `busy`: too many wait. `unavailable`: the directory does not answer; never the person's fault. `throttled`: it is spared. */
export type Verdict = "right" | "wrong" | "busy" | "unavailable" | "throttled";

export interface PasswordJudge {
  /** @param known undefined: nobody has this name */
  judge(name: string, known: KnownPassword | undefined, password: string): Promise<Verdict>;
}

/** How the passwords of a domain are checked, in numbers: false names are spread over the same kinds. */
export interface Mix {
  readonly keys: number;
  readonly derived: number;
  readonly hashed: ReadonlyMap<string, number>;
  readonly live: ReadonlyMap<string, number>;
}

export interface PasswordParts {
  readonly pool: DerivationPool;
  readonly hashes: HashCheck;
  readonly live: LiveCheck;
  readonly clock: Pick<Clock, "after">;
  /** Makes salts of accounts that do not exist; at least 32 bytes. */
  readonly decoySecret: Buffer;
  readonly iterations: () => number;
  readonly mix: () => Mix;
}

export function passwordJudge(parts: PasswordParts): PasswordJudge {
  const { pool, hashes, live, decoySecret, iterations } = parts;
  const byKeys = (password: string, credentials: Credentials) => verifyPassword(password, credentials, pool);
  const bytesOf = (what: string, name: string) => createHmac("sha512", decoySecret).update(`${what}\0${name}`).digest();

  async function ofNobody(name: string, password: string): Promise<Verdict> {
    const { keys, derived, hashed, live: directories } = parts.mix();
    const kinds: [string, number][] = [["keys", keys + derived], ...hashed, ["live", total(directories)]];
    const kind = pick(kinds, bytesOf("kind", name)) ?? "keys";
    if (kind === "live") return afterThat(parts.clock, live.usualMs());
    if (kind === "keys")
      await byKeys(password, { sha256: decoyKeys("sha256", name, { decoySecret, iterations: iterations() }) });
    else await hashes.matches(password, decoyHash(kind, bytesOf("hash", name)));
    return "wrong";
  }

  async function judge(name: string, known: KnownPassword | undefined, password: string): Promise<Verdict> {
    if (known?.passwordFrom !== undefined) return live.check(known.passwordFrom, name, password);
    const { credentials } = known ?? {};
    if (credentials && Object.values(credentials).some(Boolean))
      return (await byKeys(password, credentials)) ? "right" : "wrong";
    const form = known?.passwordHash === undefined ? undefined : readHash(known.passwordHash);
    if (form === undefined || form.is === "refused") return ofNobody(name, password);
    return (await hashes.matches(password, form)) ? "right" : "wrong";
  }

  return {
    async judge(name, known, password) {
      try {
        return await judge(name, known, password);
      } catch (error) {
        if (error instanceof CodedError && error.code === "auth/busy") return "busy";
        throw error;
      }
    },
  };
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** One of the kinds, each as often as its number says; for one name always the same as long as the numbers stay. */
function pick(kinds: readonly [string, number][], bytes: Buffer): string | undefined {
  const all = kinds.reduce((sum, [, count]) => sum + count, 0);
  let place = (bytes.readUInt32BE(0) / 2 ** 32) * all;
  for (const [kind, count] of kinds) {
    if (place < count) return kind;
    place -= count;
  }
  return undefined;
}

function afterThat(clock: Pick<Clock, "after">, ms: number): Promise<"wrong"> {
  return new Promise((resolve) => clock.after(ms, () => resolve("wrong")));
}
