/**
 * The address by which clients outside the NAT reach us: a literal, a host name that is followed, or `auto`, which is
 * found by STUN. docs/network.md
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { z } from "zod";
import type { Desired, Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import type { AddressResolver } from "./address-resolver.ts";
import { dnsAddress } from "./dns-address.ts";
import type { FollowReport, Seen } from "./seen.ts";
import { type SteadyAddress, type SteadyState, steadyAddress } from "./steady-address.ts";
import { confirmations, stunAddress } from "./stun-address.ts";
import type { After } from "./stun-client.ts";
import { type AskStun, type Family, families } from "./stun-round.ts";
import type { StunServer } from "./stun-servers.ts";

export { type AddressRecord, type AddressResolver, systemResolver } from "./address-resolver.ts";

export interface ExternalAddress {
  /** The same wish with a host name or `auto` replaced by the present address; what cannot be found keeps the last one. */
  follow(wanted: Desired): Promise<Desired>;
  /** When the answer should be looked at again, in milliseconds since the epoch; undefined if nobody needs to ask. */
  readonly lookAgainAt: number | undefined;
  /** Asks nobody any more. */
  close(): void;
}

/** How what is followed stands; outlives the agent, so that a restart neither forgets an address nor what it is damped for. */
interface Following {
  /** The setting: a host name or `auto`. */
  readonly text: string;
  readonly steady: Record<Family, SteadyAddress>;
  /** What it has meant, newest last. */
  readonly published: string[];
}

/** No answer is asked for more often. */
const shortestMs = 5_000;
const defaultEveryMs = 60_000;
const mostPublished = 20;

export function externalAddress(options: {
  resolver: AddressResolver;
  now: () => number;
  /** No DNS answer is asked for more often. */
  leastMs?: number;
  report?: FollowReport;
  /** File of what is known; without it a restart knows nothing. */
  stateFile?: string;
  /** STUN servers for `auto`, and the time between two rounds. */
  stun?: { readonly servers: readonly StunServer[]; readonly everyMs?: number };
  /** `auto` has found something: look again. */
  moved?: (cause: string) => void;
  after?: After;
  ask?: AskStun;
}): ExternalAddress {
  const { resolver, now, report, stateFile, leastMs = shortestMs } = options;
  const dns = dnsAddress({ resolver, now, leastMs, report });
  const servers = options.stun?.servers ?? [];
  const stun = stunAddress({
    ...{ servers, resolver, now, report, after: options.after, ask: options.ask },
    everyMs: options.stun?.everyMs ?? defaultEveryMs,
    moved: (cause) => options.moved?.(cause),
  });
  let following: Following | undefined = stateFile === undefined ? undefined : restored(stateFile);
  let saved = "";
  let byDns = false;

  function stop(): void {
    stun.rest();
    dns.forget();
    byDns = false;
  }

  function followed(text: string): Following {
    if (following?.text === text) return following;
    stop();
    following = fresh(text);
    return following;
  }

  async function save(): Promise<void> {
    if (stateFile === undefined || following === undefined) return;
    const text = stored(following);
    if (text === saved) return;
    // A disk that does not take it costs the memory of a restart, not the service.
    const written = writeFile(`${stateFile}.new`, text, { mode: 0o600 }).then(() =>
      rename(`${stateFile}.new`, stateFile),
    );
    await written.then(
      () => {
        saved = text;
      },
      () => undefined,
    );
  }

  return {
    async follow(wanted) {
      const given = wanted.state.settings.externalAddress?.trim();
      const auto = given?.toLowerCase() === "auto";
      if (given === undefined || (!auto && (isIP(given) !== 0 || !isHostName(given)))) {
        stop();
        following = undefined;
        return wanted;
      }
      if (auto && servers.length === 0) {
        stop();
        return left(wanted, unset(given), []);
      }
      const ours = followed(auto ? "auto" : given);
      if (auto) dns.forget();
      else stun.rest();
      byDns = !auto;
      const seen: Seen = auto ? await stun.look(ours.steady) : await dns.look(given, ours.steady);
      const address = families
        .filter((family) => !seen.lost.includes(family))
        .flatMap((family) => ours.steady[family].state.current ?? [])
        .join(", ");
      if (address === "") return left(wanted, auto ? unknown(given) : unresolved(given), seen.notices);
      const former = [...ours.published];
      if (ours.published.at(-1) !== address) ours.published.push(address);
      ours.published.splice(0, ours.published.length - mostPublished);
      await save();
      const settings = { ...wanted.state.settings, externalAddress: address };
      return {
        ...wanted,
        state: { ...wanted.state, settings },
        notices: [...wanted.notices, ...seen.notices],
        followed: { how: seen.how, former },
      };
    },
    get lookAgainAt() {
      return byDns ? dns.lookAgainAt : undefined;
    },
    close: stop,
  };
}

/** A name's own TTL says how often it may change, STUN has to see a new address twice. */
function steadyOf(text: string, states: Partial<Record<Family, SteadyState>>): Record<Family, SteadyAddress> {
  const times = text === "auto" ? confirmations : 1;
  return { 4: steadyAddress(times, states[4]), 6: steadyAddress(times, states[6]) };
}

function fresh(text: string): Following {
  return { text, steady: steadyOf(text, {}), published: [] };
}

function stored({ text, steady, published }: Following): string {
  return `${JSON.stringify({ text, 4: steady[4].state, 6: steady[6].state, published })}\n`;
}

const steadyState = z.object({
  current: z.string().optional(),
  movedAt: z.number().optional(),
  holdMs: z.number().optional(),
});
const storedState = z.object({ text: z.string(), 4: steadyState, 6: steadyState, published: z.array(z.string()) });

/** Undefined if there is none, or none that can be read: it is found anew. */
function restored(path: string): Following | undefined {
  try {
    const { text, published, ...states } = storedState.parse(JSON.parse(readFileSync(path, "utf8")));
    return { text, steady: steadyOf(text, states), published };
  } catch {
    return undefined;
  }
}

/** Left alone, as a rejection is: what is in force stays. */
function left(wanted: Desired, reason: Omit<Rejection, "subject" | "key">, notices: readonly Notice[]): Desired {
  const { externalAddress: _, ...settings } = wanted.state.settings;
  const subject = { kind: "setting", name: "external-address" } as const;
  return {
    ...wanted,
    state: { ...wanted.state, settings },
    rejections: [...wanted.rejections, { ...reason, subject, key: "sys.xmpp.externalip" }],
    notices: [...wanted.notices, ...notices],
  };
}

function unresolved(value: string): Omit<Rejection, "subject" | "key"> {
  return {
    code: "network/unresolved",
    value,
    rule: "an IPv4 address, an IPv6 address, a host name that resolves, or auto",
    hint: "It is looked up again by itself.",
  };
}

function unset(value: string): Omit<Rejection, "subject" | "key"> {
  return {
    code: "network/stun-unset",
    value,
    rule: "an IPv4 address, an IPv6 address or a host name, as no STUN server is named for auto",
    hint: "Set FIREKEEPER_STUN to servers outside the NAT, for example stun.example.org, and start the agent again.",
  };
}

function unknown(value: string): Omit<Rejection, "subject" | "key"> {
  return {
    code: "network/stun-silent",
    value,
    rule: "an address that the STUN servers have seen",
    hint: "They are asked again by themselves; the address in force stays.",
  };
}

function isHostName(text: string): boolean {
  return text.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(text) && /[a-z]/i.test(text);
}
