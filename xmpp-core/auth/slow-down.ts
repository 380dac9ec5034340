/**
 * Failed logins are slowed by account, address and network. Each of the three is a leaky bucket: a failure adds one,
 * time takes it away again. Beyond the free part attempts are spaced out one after another, so that a thousand
 * connections guess no faster than one; whoever would wait too long is refused.
 *
 *  scope    | key                             | a success
 *  ---------|---------------------------------|------------------------------------------------------------
 *  account  | prepared name                   | clears it
 *  address  | IPv4, or the /64 of IPv6        | gives back what this attempt was charged, older debt stays
 *  network  | /24 of IPv4, /56 of IPv6        | the same
 *
 * Somebody who hammers an account would lock its owner out. So a network from which the account has logged in before
 * has an account bucket of its own.
 */
import { createHash } from "node:crypto";
import ipaddr from "ipaddr.js";
import type { Clock } from "../clock.ts";
import { recentlyUsed } from "../recently-used.ts";
import type { Attempt } from "./exchange.ts";

export interface Bucket {
  /** Failures that cost nothing. */
  readonly free: number;
  /** One failure is forgotten in this time; beyond the free ones attempts are this far apart. */
  readonly everyMs: number;
}

export interface SlowDownLimits {
  readonly account: Bucket;
  readonly address: Bucket;
  readonly network: Bucket;
  /** Who would have to wait longer is refused. */
  readonly longestWaitMs: number;
  /** Buckets and known networks that are remembered, each; the least recently used are forgotten. */
  readonly remembered: number;
}

export const defaultLimits: SlowDownLimits = {
  account: { free: 5, everyMs: 10_000 },
  address: { free: 10, everyMs: 5_000 },
  network: { free: 50, everyMs: 1_000 },
  longestWaitMs: 20_000,
  remembered: 50_000,
};

/** `waitMs` is to be waited before the password is judged; then `succeeded` or `failed` is called. */
export type Admission = ({ readonly is: "admitted"; readonly waitMs: number } & Attempt) | { readonly is: "refused" };

export interface SlowDown {
  attempt(who: { account: string; address: string }): Admission;
  /** An administrator set a new password, or wants the account free at once. */
  forgive(account: string): void;
}

/** @param trusted whether an address is exempt (a web gateway, the office); asked at each attempt */
export function slowDown({
  clock,
  limits = defaultLimits,
  trusted = () => false,
}: {
  clock: Pick<Clock, "now">;
  limits?: SlowDownLimits;
  trusted?: (address: string) => boolean;
}): SlowDown {
  /** For each key the time at which its debt is forgotten. */
  const debts = recentlyUsed<string, number>(limits.remembered);
  const knownNetworks = recentlyUsed<string, true>(limits.remembered);

  const add = (key: string, ms: number) => {
    const until = Math.max(debts.get(key) ?? 0, clock.now()) + ms;
    if (until > clock.now()) debts.set(key, until);
    else debts.delete(key);
  };

  return {
    attempt({ account, address }) {
      if (trusted(address)) return { is: "admitted", waitMs: 0, succeeded: () => {}, failed: () => {} };
      const places = placesOf(address);
      const name = short(account);
      const pair = `known\0${name}\0${places.network}`;
      const accountKey = knownNetworks.get(pair) ? pair : `account\0${name}`;
      const scopes = [
        { key: accountKey, bucket: limits.account },
        { key: `address\0${places.address}`, bucket: limits.address },
        { key: `network\0${places.network}`, bucket: limits.network },
      ].map(({ key, bucket }) => {
        const debtMs = Math.max(0, (debts.get(key) ?? 0) - clock.now());
        return { key, everyMs: bucket.everyMs, overMs: debtMs - (bucket.free - 1) * bucket.everyMs };
      });
      const waitMs = Math.max(0, ...scopes.map((scope) => scope.overMs));
      if (waitMs > limits.longestWaitMs) return { is: "refused" };
      // In debt an attempt is charged at once: those who wait together must not be judged together.
      const charged = scopes.filter((scope) => scope.overMs > 0);
      for (const { key, everyMs } of charged) add(key, everyMs);
      return {
        is: "admitted",
        waitMs,
        failed() {
          for (const scope of scopes) if (!charged.includes(scope)) add(scope.key, scope.everyMs);
        },
        succeeded() {
          for (const { key, everyMs } of charged) add(key, -everyMs);
          debts.delete(accountKey);
          knownNetworks.set(pair, true);
        },
      };
    },
    forgive(account) {
      debts.delete(`account\0${short(account)}`);
    },
  };
}

/** Names that do not exist may be as long as a stanza; what is remembered of them is not. */
function short(name: string): string {
  return name.length <= 64 ? name : createHash("sha256").update(name).digest("base64");
}

/** The address and network that a peer counts for: IPv4 and its /24, or /64 and /56 of IPv6; mapped IPv4 is IPv4. */
export function placesOf(address: string): { address: string; network: string } {
  if (!ipaddr.isValid(address)) return { address, network: address };
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  const prefix = (bits: number) => `${bytes.slice(0, bits / 8).join(".")}/${bits}`;
  return parsed.kind() === "ipv4"
    ? { address: prefix(32), network: prefix(24) }
    : { address: prefix(64), network: prefix(56) };
}
