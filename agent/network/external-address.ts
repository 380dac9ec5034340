/** The address by which clients outside the NAT reach us: a literal, or a host name that is followed. docs/settings.md. */
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import type { Desired } from "../desired/desired.ts";
import { explain, type Notice } from "../errors.ts";

export type AddressRecord = { address: string; ttl: number };

/** The two questions asked of DNS; node's resolver answers them. */
export interface AddressResolver {
  resolve4(name: string): Promise<AddressRecord[]>;
  resolve6(name: string): Promise<AddressRecord[]>;
}

export function systemResolver(): AddressResolver {
  const resolver = new Resolver({ timeout: 3000, tries: 2 });
  return {
    resolve4: (name) => resolver.resolve4(name, { ttl: true }),
    resolve6: (name) => resolver.resolve6(name, { ttl: true }),
  };
}

export interface ExternalAddress {
  /** The same wish with a host name replaced by its present address; a name that does not resolve keeps its last one. */
  follow(wanted: Desired): Promise<Desired>;
  /** When the answer should be looked at again, in milliseconds since the epoch; undefined without a host name. */
  readonly lookAgainAt: number | undefined;
}

type Followed = { name: string; address: string; until: number };

/** No answer is believed longer than this, whatever its TTL, nor asked for more often. */
const longestMs = 5 * 60_000;
const shortestMs = 5_000;

export function externalAddress(options: {
  resolver: AddressResolver;
  now: () => number;
  /** No answer is asked for more often. */
  leastMs?: number;
  report?: { addressFollowed(name: string, address: string): void; addressUnresolved(name: string, why: string): void };
}): ExternalAddress {
  const { resolver, now, report, leastMs = shortestMs } = options;
  let followed: Followed | undefined;

  async function current(name: string): Promise<{ address?: string; notice?: Notice }> {
    if (followed?.name === name && now() < followed.until) return { address: followed.address };
    const last = followed?.name === name ? followed.address : undefined;
    try {
      const found = await lookUp(name, resolver, last);
      if (found.address !== last) report?.addressFollowed(name, found.address);
      const lasts = Math.min(Math.max(found.ttl * 1000, leastMs), longestMs);
      followed = { name, address: found.address, until: now() + lasts };
      return { address: found.address };
    } catch (error) {
      report?.addressUnresolved(name, explain(error));
      followed = last === undefined ? undefined : { name, address: last, until: now() + leastMs };
      const notice: Notice = {
        code: "network/unresolved",
        message: `${name} (sys.xmpp.externalip) does not resolve: ${explain(error)}.`,
        hint: last === undefined ? "The address in force stays." : `Its last address ${last} stays.`,
      };
      return last === undefined ? { notice } : { address: last, notice };
    }
  }

  return {
    async follow(wanted) {
      const given = wanted.state.settings.externalAddress?.trim();
      if (given === undefined || isIP(given) !== 0 || !isHostName(given)) {
        followed = undefined;
        return wanted;
      }
      const { address, notice } = await current(given);
      const notices = notice ? [...wanted.notices, notice] : wanted.notices;
      if (address === undefined) return { ...wanted, ...unresolved(wanted, given), notices };
      const settings = { ...wanted.state.settings, externalAddress: address };
      return { ...wanted, state: { ...wanted.state, settings }, notices };
    },
    get lookAgainAt() {
      return followed?.until;
    },
  };
}

/** IPv4 first: it is what NATs are about. Among several addresses the one already offered stays. */
async function lookUp(name: string, resolver: AddressResolver, last: string | undefined): Promise<AddressRecord> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const records = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const [first] = records;
  if (first) return records.find((one) => one.address === last) ?? sorted(records)[0] ?? first;
  const failure = answers.find((answer) => answer.status === "rejected");
  throw failure?.status === "rejected" ? failure.reason : new Error("it has no address");
}

/** Round-robin DNS answers in another order each time; the choice must not follow it. */
function sorted(records: readonly AddressRecord[]): AddressRecord[] {
  return [...records].sort((a, b) => isIP(a.address) - isIP(b.address) || (a.address < b.address ? -1 : 1));
}

/** Left alone, as a rejection is: what is in force stays. */
function unresolved(wanted: Desired, name: string): Pick<Desired, "state" | "rejections"> {
  const { externalAddress: _, ...settings } = wanted.state.settings;
  const rejection = {
    code: "network/unresolved",
    subject: { kind: "setting", name: "external-address" } as const,
    key: "sys.xmpp.externalip",
    value: name,
    rule: "an IPv4 address, an IPv6 address or a host name that resolves",
    hint: "It is looked up again by itself.",
  };
  return { state: { ...wanted.state, settings }, rejections: [...wanted.rejections, rejection] };
}

function isHostName(text: string): boolean {
  return text.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(text) && /[a-z]/i.test(text);
}
