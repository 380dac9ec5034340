/** One round of questions to all STUN servers, and what their answers are worth together. */
import { BlockList, isIP } from "node:net";
import { explain } from "../errors.ts";
import type { AddressResolver } from "./address-resolver.ts";
import { type After, askStun } from "./stun-client.ts";
import { type StunServer, stunServerName } from "./stun-servers.ts";

export type Family = 4 | 6;
export const families: readonly Family[] = [4, 6];

/** What one server said over one family. */
export interface StunAnswer {
  readonly server: string;
  readonly family: Family;
  /** The address that it sees, or why there is none. */
  readonly address?: string;
  readonly why?: string;
}

export type AskStun = typeof askStun;

/** Once one server has answered, the others have so long. */
const lateMs = 2000;

/** Asks every server over every family that it has an address of. Ends when all have answered or are given up. */
export async function stunRound(options: {
  readonly servers: readonly StunServer[];
  readonly resolver: AddressResolver;
  readonly after: After;
  readonly signal: AbortSignal;
  readonly ask?: AskStun;
}): Promise<StunAnswer[]> {
  const { servers, resolver, after, ask = askStun } = options;
  const patience = new AbortController();
  const stop = () => patience.abort();
  options.signal.addEventListener("abort", stop);
  let stopTimer: (() => void) | undefined;
  const one = async (server: StunServer, family: Family): Promise<StunAnswer | undefined> => {
    const from = { server: stunServerName(server), family };
    try {
      const at = await addressOf(server.host, family, resolver);
      if (at === undefined) return undefined;
      const address = await ask({ address: at, port: server.port }, { after, signal: patience.signal });
      stopTimer ??= after(lateMs, stop);
      return { ...from, address };
    } catch (error) {
      return { ...from, why: explain(error) };
    }
  };
  try {
    const all = servers.flatMap((server) => families.map((family) => one(server, family)));
    return (await Promise.all(all)).filter((answer) => answer !== undefined);
  } finally {
    stopTimer?.();
    options.signal.removeEventListener("abort", stop);
  }
}

/** Undefined if the host has no address of the family; rejects if a name does not resolve at all. */
async function addressOf(host: string, family: Family, resolver: AddressResolver): Promise<string | undefined> {
  const literal = isIP(host);
  if (literal !== 0) return literal === family ? host : undefined;
  const [asked, other] = family === 4 ? (["resolve4", "resolve6"] as const) : (["resolve6", "resolve4"] as const);
  try {
    return (await resolver[asked](host))[0]?.address;
  } catch (error) {
    const elsewhere = await resolver[other](host).catch(() => []);
    // One complaint about a name is enough, and IPv6 is the family that may be missing.
    if (elsewhere.length > 0 || family === 6) return undefined;
    throw new Error(`it does not resolve: ${explain(error)}`);
  }
}

export type Agreement =
  | { readonly is: "agreed"; readonly address: string; readonly by: number; readonly of: number }
  | { readonly is: "silent" }
  | { readonly is: "disagree"; readonly said: readonly string[] };

/**
 * What the answers of one family are worth: more than half of those who answer must say the same, and with three or more
 * servers at least two. An address that cannot be reached from outside is no answer: that server stands inside.
 *
 *  asked | answers       | outcome
 *  ------|---------------|--------------------
 *  1     | a             | a
 *  2     | a             | a
 *  2     | a, b          | disagree
 *  3     | a             | disagree (one of three)
 *  3     | a, a, b       | a
 *  4     | a, a, b, b    | disagree
 *  any   | none          | silent
 */
export function agreement(answers: readonly StunAnswer[]): Agreement {
  const servers = answers.length;
  const said = answers.flatMap(({ address }) => (address !== undefined && !isInside(address) ? [address] : []));
  if (said.length === 0) return { is: "silent" };
  const needed = Math.max(Math.floor(said.length / 2) + 1, servers >= 3 ? 2 : 1);
  for (const address of new Set(said)) {
    const by = said.filter((one) => one === address).length;
    if (by >= needed) return { is: "agreed", address, by, of: servers };
  }
  return { is: "disagree", said: [...new Set(said)].sort() };
}

const inside = new BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const)
  inside.addSubnet(network, bits, "ipv4");
for (const [network, bits] of [
  ["::1", 128],
  ["fc00::", 7],
  ["fe80::", 10],
] as const)
  inside.addSubnet(network, bits, "ipv6");

/** Private, shared (CGNAT), loopback or link-local: no address that anybody outside could use. */
export function isInside(address: string): boolean {
  return inside.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
