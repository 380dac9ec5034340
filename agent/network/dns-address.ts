/** A host name as external address, followed on the TTL of its answers: one IPv4 and one IPv6 address, if it has them. */
import { isIP } from "node:net";
import { explain, type Notice } from "../errors.ts";
import type { AddressRecord, AddressResolver } from "./address-resolver.ts";
import { type FollowReport, heldNotice, type Seen } from "./seen.ts";
import type { Steadied, SteadyAddress } from "./steady-address.ts";
import { type Family, families } from "./stun-round.ts";

/** No answer is believed longer than this, whatever its TTL. */
const longestMs = 5 * 60_000;

export interface DnsAddress {
  /** What the name means now; asks only when the last answer has ended. */
  look(name: string, steady: Record<Family, SteadyAddress>): Promise<Seen>;
  readonly lookAgainAt: number | undefined;
  forget(): void;
}

export function dnsAddress(options: {
  readonly resolver: AddressResolver;
  readonly now: () => number;
  /** No answer is asked for more often. */
  readonly leastMs: number;
  readonly report?: FollowReport | undefined;
}): DnsAddress {
  const { resolver, now, leastMs, report } = options;
  let last: { name: string; until: number; seen: Seen } | undefined;
  return {
    async look(name, steady) {
      if (last?.name === name && now() < last.until) return last.seen;
      const before = known(steady);
      const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const notices: Notice[] = [];
      const gone: Family[] = [];
      let until = now() + longestMs;
      for (const [place, family] of families.entries()) {
        const answer = answers[place];
        if (answer?.status === "fulfilled" && answer.value.length > 0) {
          const chosen = choose(answer.value, steady[family].state.current);
          until = Math.min(until, now() + Math.max(chosen.ttl * 1000, leastMs));
          const came: Steadied = steady[family].saw(chosen.address, now());
          if (came.is === "taken") report?.addressFollowed(name, chosen.address);
          if (came.is === "held") {
            until = Math.min(until, came.until);
            notices.push(heldNotice(name, came));
          }
        } else if (answer?.status === "fulfilled" || isNothing(answer?.reason)) gone.push(family);
      }
      const none = answers.every((answer) => answer.status === "rejected" || answer.value.length === 0);
      if (none) {
        const failed = answers.find((answer) => answer.status === "rejected");
        const why = explain(failed?.status === "rejected" ? failed.reason : new Error("it has no address"));
        report?.addressUnresolved(name, why);
        notices.push(unresolved(name, why, before));
        until = now() + leastMs;
      }
      // A name that has lost all of its addresses is a mistake of its zone; one that has lost one family meant it.
      const kept = last?.name === name ? last.seen.lost : [];
      const seen: Seen = { lost: none ? kept : gone, notices, how: name };
      last = { name, until, seen };
      return seen;
    },
    get lookAgainAt() {
      return last?.until;
    },
    forget() {
      last = undefined;
    },
  };
}

function known(steady: Record<Family, SteadyAddress>): string[] {
  return families.flatMap((family) => steady[family].state.current ?? []);
}

function unresolved(name: string, why: string, last: readonly string[]): Notice {
  return {
    code: "network/unresolved",
    message: `${name} (sys.xmpp.externalip) does not resolve: ${why}.`,
    hint: last.length === 0 ? "The address in force stays." : `Its last address ${last.join(", ")} stays.`,
  };
}

/** DNS has said that there is nothing, as opposed to saying nothing. */
function isNothing(reason: unknown): boolean {
  const code = reason instanceof Error ? (reason as NodeJS.ErrnoException).code : undefined;
  return code === undefined || code === "ENODATA" || code === "ENOTFOUND";
}

/** Round-robin DNS answers in another order each time: the one that is offered stays, else the first by its text. */
function choose(records: readonly AddressRecord[], last: string | undefined): AddressRecord {
  const sorted = [...records].sort((a, b) => isIP(a.address) - isIP(b.address) || (a.address < b.address ? -1 : 1));
  return records.find((one) => one.address === last) ?? (sorted[0] as AddressRecord);
}
