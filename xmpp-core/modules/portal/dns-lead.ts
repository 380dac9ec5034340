import dns from "node:dns/promises";
import type { Clock } from "../../clock.ts";

/**
 * Whether clients that know nothing but the domain find this server: by SRV records (RFC 6120 §3.2.1), by the domain's
 * own address (§3.2.2), or not at all. `elsewhere`: DNS answers with what is not known to be here, as behind a NAT
 * whose outer address nobody told. `unknown`: DNS did not answer.
 */
export type Lead = "srv" | "address" | "elsewhere" | "none" | "unknown";

/** Where this server is reached, as far as it knows. */
export interface Here {
  readonly hosts: readonly string[];
  readonly addresses: readonly string[];
  readonly port: number;
}

export interface Leads {
  /** Answers within two seconds; what DNS said is kept for five minutes. */
  of(name: string, here: Here): Promise<Lead>;
}

interface Found {
  readonly srv: readonly Target[] | "failed";
  /** Of the domain itself. */
  readonly addresses: readonly string[] | "failed";
}
interface Target {
  readonly name: string;
  readonly port: number;
  readonly addresses: readonly string[];
}
interface Known {
  readonly at: number;
  found: Found | undefined;
  asking: Promise<Found>;
}

const keptMs = 5 * 60_000;
const patienceMs = 2000;
const mostNames = 32;
const mostTargets = 8;

/** Asks the resolver of this machine; names come from the served domains alone, never from a request. */
export function leads(clock: Clock): Leads {
  const known = new Map<string, Known>();

  function ask(name: string): Known {
    const before = known.get(name);
    if (before !== undefined && clock.now() - before.at < keptMs) return before;
    if (before === undefined && known.size >= mostNames) known.clear();
    const asked: Known = { at: clock.now(), found: before?.found, asking: find(name) };
    void asked.asking.then((found) => {
      asked.found = found;
    });
    known.set(name, asked);
    return asked;
  }

  return {
    async of(name, here) {
      const asked = ask(name);
      // DNS that is slow is waited for once.
      if (clock.now() - asked.at >= patienceMs)
        return asked.found === undefined ? "unknown" : verdict(asked.found, here);
      let cancel = (): void => undefined;
      const late = new Promise<undefined>((resolve) => {
        cancel = clock.after(patienceMs, () => resolve(undefined));
      });
      const found = (await Promise.race([asked.asking, late])) ?? asked.found;
      cancel();
      return found === undefined ? "unknown" : verdict(found, here);
    },
  };
}

function verdict({ srv, addresses }: Found, here: Here): Lead {
  if (srv === "failed") return "unknown";
  const isHere = (given: readonly string[]): boolean => given.some((one) => here.addresses.includes(one));
  // A single "." says that the service is not to be had (RFC 2782).
  if (srv.length > 0)
    return srv.some(({ name, port, addresses: of }) => port === here.port && (here.hosts.includes(name) || isHere(of)))
      ? "srv"
      : "elsewhere";
  if (addresses === "failed") return "unknown";
  if (addresses.length === 0) return "none";
  return here.port === 5222 && isHere(addresses) ? "address" : "elsewhere";
}

const nothingThere = new Set(["ENOTFOUND", "ENODATA", "NXDOMAIN"]);

async function find(name: string): Promise<Found> {
  const [srv, addresses] = await Promise.all([
    dns
      .resolveSrv(`_xmpp-client._tcp.${name}`)
      .catch((error: NodeJS.ErrnoException) => (nothingThere.has(error.code ?? "") ? [] : ("failed" as const))),
    addressesOf(name),
  ]);
  if (srv === "failed") return { srv, addresses };
  const targets = srv.filter((record) => record.name !== "").slice(0, mostTargets);
  const resolved = targets.map(async (record): Promise<Target> => {
    const found = await addressesOf(record.name);
    return { name: record.name.toLowerCase(), port: record.port, addresses: found === "failed" ? [] : found };
  });
  return { srv: await Promise.all(resolved), addresses };
}

async function addressesOf(name: string): Promise<readonly string[] | "failed"> {
  try {
    return (await dns.lookup(name, { all: true })).map(({ address }) => address);
  } catch (error) {
    return nothingThere.has((error as NodeJS.ErrnoException).code ?? "") ? [] : "failed";
  }
}
