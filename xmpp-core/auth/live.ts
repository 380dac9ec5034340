/**
 * Passwords that a directory of the host judges at each login. What it called right is remembered for a while, what it
 * called wrong too, and it is asked about one account only so often: guesses here must not lock people out there.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock.ts";
import { recentlyUsed } from "../recently-used.ts";

export type LiveSource = "ldap" | "sql" | "http";

/**
 *  asked before          | directory        | verdict
 *  ----------------------|------------------|------------------------------------------------------------
 *  same, right, fresh    | —                | right
 *  same, wrong, a minute | —                | wrong
 *  too many wrong        | —                | throttled
 *  else                  | yes / no         | right / wrong, remembered
 *  same, right, older    | does not answer  | right within `outageMs`, else unavailable
 *  else                  | does not answer  | unavailable
 */
export type LiveVerdict = "right" | "wrong" | "unavailable" | "throttled";

export interface LiveCheck {
  check(source: LiveSource, name: string, password: string): Promise<LiveVerdict>;
  /** How long a directory took lately, for names that are not asked about. */
  usualMs(): number;
  /** Forgets what it knows of an account. */
  forget(name: string): void;
  /** Says of the last check of each kind why it failed, for `doctor`; never a password. */
  lastFailure(source: LiveSource): string | undefined;
  close(): Promise<void>;
}

/** A directory: true or false; rejects when it cannot say. */
export interface Directory {
  judge(name: string, password: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface LiveParts {
  readonly clock: Pick<Clock, "now">;
  readonly random: (bytes: number) => Buffer;
  /** Opens the directory as it is configured now, or rejects with what is missing. */
  readonly directory: (source: LiveSource) => Promise<Directory>;
  /** As a text: what another configuration said counts no more. */
  readonly configuration: (source: LiveSource) => string;
  readonly limits: () => { freshMs: number; outageMs: number; failuresPerMinute: number };
  /** A directory does not answer; told once for each account and time. */
  readonly failed: (source: LiveSource, why: string) => void;
}

/** Checks on their way to one directory at once, and those that may wait. */
export const directoryPlaces = { parallel: 8, waiting: 500 } as const;

/** Whether a host of a URL is this machine. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/.test(hostname);
}

/** Accounts that are remembered; the least recently used are forgotten and asked about again. */
const remembered = 10_000;
const wrongRemembered = 5;
const minute = 60_000;

interface Memory {
  right: { mark: Buffer; at: number } | undefined;
  wrong: { mark: Buffer; at: number }[];
}

export function liveCheck({ clock, random, directory, configuration, limits, failed }: LiveParts): LiveCheck {
  // Lives in memory only: a stolen core image is the only place where it could be read.
  const key = random(32);
  const memories = recentlyUsed<string, Memory>(remembered);
  const took: number[] = [];
  const failures = new Map<LiveSource, string>();
  const open = new Map<LiveSource, Promise<Directory>>();

  const mark = (source: LiveSource, name: string, password: string): Buffer =>
    createHmac("sha256", key)
      .update(JSON.stringify([source, configuration(source), name, password]))
      .digest();

  async function ask(source: LiveSource, name: string, password: string): Promise<boolean> {
    const began = performance.now();
    const opened = await directory(source);
    open.set(source, Promise.resolve(opened));
    const right = await opened.judge(name, password);
    took.push(performance.now() - began);
    if (took.length > 32) took.shift();
    failures.delete(source);
    return right;
  }

  return {
    async check(source, name, password) {
      // A bind without a password succeeds for anybody (RFC 4513 §5.1.2): none ever leaves.
      if (password === "") return "wrong";
      const { freshMs, outageMs, failuresPerMinute } = limits();
      const memory: Memory = memories.get(name) ?? { right: undefined, wrong: [] };
      const now = clock.now();
      const mine = mark(source, name, password);
      const known = memory.right !== undefined && timingSafeEqual(memory.right.mark, mine) ? memory.right : undefined;
      if (known !== undefined && now - known.at < freshMs) return "right";
      memory.wrong = memory.wrong.filter(({ at }) => now - at < minute);
      if (memory.wrong.some((one) => timingSafeEqual(one.mark, mine))) return "wrong";
      if (memory.wrong.length >= failuresPerMinute) return "throttled";
      // Counted before the answer: many at once must not all be passed on.
      const asked = { mark: mine, at: now };
      memory.wrong.push(asked);
      memories.set(name, memory);
      const uncount = (): void => {
        memory.wrong = memory.wrong.filter((one) => one !== asked);
      };
      try {
        if (!(await ask(source, name, password))) {
          if (known !== undefined) memory.right = undefined;
          if (memory.wrong.length > Math.max(wrongRemembered, failuresPerMinute)) memory.wrong.shift();
          return "wrong";
        }
        uncount();
        memory.right = { mark: mine, at: clock.now() };
        return "right";
      } catch (error) {
        uncount();
        const why = error instanceof Error ? error.message : String(error);
        failures.set(source, why);
        failed(source, why);
        return known !== undefined && now - known.at < outageMs ? "right" : "unavailable";
      }
    },
    usualMs: () => took[(random(1)[0] ?? 0) % Math.max(1, took.length)] ?? 20,
    forget: (name) => void memories.delete(name),
    lastFailure: (source) => failures.get(source),
    async close() {
      for (const opened of open.values()) await opened.then((one) => one.close());
    },
  };
}
