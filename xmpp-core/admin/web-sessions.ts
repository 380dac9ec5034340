/** Who is logged in at the console. In memory only: a restart of the core logs everybody out. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { Account } from "../routing/accounts.ts";
import type { AdminParts } from "./parts.ts";

export interface WebSession {
  readonly account: Account;
  /** Bare address under which the admin acts, for the journal. */
  readonly admin: string;
  /** To be sent as `X-CSRF-Token` with whatever changes something. */
  readonly csrf: string;
}

export interface WebSessions {
  /** The secret for the cookie. */
  open(account: Account, secure: boolean): { readonly id: string; readonly session: WebSession };
  /**
   * `gone`: there was one and its account is no admin any more; it is ended by that.
   * @param quiet a poll of the page, which is no sign of a person
   */
  find(id: string | undefined, secure: boolean, quiet: boolean): WebSession | "none" | "gone";
  end(id: string): void;
  /** The cookie of a new login form. */
  newForm(): string;
  /** The token of a login form, made of its cookie. */
  formToken(cookie: string): string;
}

interface Kept extends WebSession {
  readonly secure: boolean;
  readonly openedAt: number;
  readonly credentialsHash: string | undefined;
  seenAt: number;
}

const idleMs = 30 * 60_000;
const longestMs = 12 * 3_600_000;
const most = 100;

export function webSessions({
  clock,
  random,
  rights,
  names,
}: Pick<AdminParts, "clock" | "random" | "rights" | "names">): WebSessions {
  /** By the hash of the cookie: who reads our memory dump cannot enter with it. */
  const kept = new Map<string, Kept>();
  const formSecret = random(32);

  const over = (session: Kept): boolean =>
    clock.now() - session.seenAt > idleMs ||
    clock.now() - session.openedAt > longestMs ||
    session.account.credentialsHash !== session.credentialsHash;

  return {
    open(account, secure) {
      for (const [hash, session] of kept) if (over(session) || kept.size >= most) kept.delete(hash);
      const id = random(32).toString("base64url");
      const session: Kept = {
        account,
        get admin() {
          return `${account.name}@${names.primary.name}`;
        },
        csrf: random(32).toString("base64url"),
        secure,
        openedAt: clock.now(),
        seenAt: clock.now(),
        credentialsHash: account.credentialsHash,
      };
      kept.set(hashOf(id), session);
      return { id, session };
    },
    find(id, secure, quiet) {
      if (id === undefined) return "none";
      const hash = hashOf(id);
      const session = kept.get(hash);
      if (session === undefined || session.secure !== secure) return "none";
      if (!rights.isAdmin(session.account.id)) {
        kept.delete(hash);
        return "gone";
      }
      if (over(session)) {
        kept.delete(hash);
        return "none";
      }
      if (!quiet) session.seenAt = clock.now();
      return session;
    },
    end: (id) => void kept.delete(hashOf(id)),
    newForm: () => random(32).toString("base64url"),
    formToken: (cookie) => createHmac("sha256", formSecret).update(cookie).digest("base64url"),
  };
}

/** Compares without telling by time where the difference is. */
export function equalSecrets(given: unknown, expected: string): boolean {
  if (typeof given !== "string") return false;
  const [a, b] = [given, expected].map((text) => createHash("sha256").update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

function hashOf(id: string): string {
  return createHash("sha256").update(id).digest("base64url");
}
