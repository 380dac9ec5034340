import { placesOf } from "../auth/slow-down.ts";
import { recentlyUsed } from "../recently-used.ts";
import { isTrusted } from "../stream/login.ts";
import type { Core } from "./module.ts";

/** So many at once, and one more each time `everyMs` passes. */
export interface Allowance {
  readonly atOnce: number;
  readonly everyMs: number;
}

const remembered = 20_000;
/** What a network may do, as a multiple of what an address of it may: an office, or a flood from many addresses. */
const addressesOfNetwork = 10;

/**
 * Counts what strangers do, by address (the /64 of IPv6) and by network. The answer charges the attempt; false: too
 * many. Trusted networks are not counted.
 */
export function attempts(core: Pick<Core, "clock" | "properties">, { atOnce, everyMs }: Allowance) {
  /** For each place the time at which its attempts are forgotten. */
  const debts = recentlyUsed<string, number>(remembered);
  return (remote: string): boolean => {
    if (isTrusted(core, remote)) return true;
    const now = core.clock.now();
    const { address, network } = placesOf(remote);
    const due = [
      { key: `address ${address}`, costs: everyMs },
      { key: `network ${network}`, costs: everyMs / addressesOfNetwork },
    ].map(({ key, costs }) => ({ key, costs, until: Math.max(debts.get(key) ?? 0, now) + costs }));
    if (due.some(({ until, costs }) => until - now > atOnce * everyMs + costs / 2)) return false;
    for (const { key, until } of due) debts.set(key, until);
    return true;
  };
}
