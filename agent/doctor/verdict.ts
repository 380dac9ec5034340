/** What `firekeeper doctor` may say. Every verdict is declared here once; docs/doctor.md has each with its fix. */

/** `skipped`: it could not be looked at, and why. Only `fail` makes the exit code 1. */
export type Standing = "ok" | "warn" | "fail" | "skipped";

/** Name of a verdict and what is looked at. */
export const checks = {
  "dns.dotless": "whether the domain can have records at all",
  "dns.answers": "whether the resolver answers",
  "dns.srv": "the SRV record of a service, its port and its target",
  "dns.cname": "whether the target of an SRV record is a name of its own",
  "dns.target": "whether the target of an SRV record resolves",
  "dns.address": "whether the addresses of a name are ours",
  "dns.private": "whether an address is of use outside this network",
  "dns.ipv6": "whether somebody listens on a published IPv6 address",
  "dns.dnssec": "signatures of the zone",
  "ports.open": "whether a listener takes connections",
  "ports.taken": "whether another program holds a port that the service needs",
  "certificates.served": "the certificate shown for each name",
  "certificates.names": "service names the certificate covers besides",
  "certificates.days": "days until the certificate ends",
  "certificates.chain": "whether clients can follow the certificate to an authority they know",
  "clock.journal": "the clock against the newest journal entry",
  "clock.steps": "whether the clock jumps while we look",
  "clock.ntp": "the clock against the server of --ntp",
  "clock.http": "the clock against the Date of an HTTP store",
  "disk.writable": "whether the home can be written",
  "disk.space": "free space of the home",
  "disk.inodes": "free files of the home",
  "disk.kind": "whether the file system keeps its locks",
  "disk.permissions": "who else may read the home and what is in it",
  "disk.descriptors": "how many files and connections a process may have open",
  "disk.memory": "the heap that is asked for against the memory of the machine",
  "database.integrity": "what the database says of itself",
  "database.migrations": "the newest migration of the database",
  "database.log": "size of the write-ahead log",
  "store.readable": "whether the host store can be read whole",
  "store.writable": "whether edits can go back to the host store",
  "store.permissions": "who else may read or write the file of the store",
  "store.notices": "what the store says that means nothing, or less than it seems",
  "store.changes": "whether changes wait, are held by the brake or rejected",
  "reachability.agent": "whether the agent runs and its server answers",
  "reachability.address": "the external address, and whether it resolves",
  "reachability.outside": "whether a listener is reached from a vantage point outside",
  "reachability.uploads": "whether uploaded files are where programs are told they are",
  "reachability.web": "whether web clients reach the addresses that host-meta tells them",
  "login.name": "whether the name is written as a login name",
  "login.step": "one step of a login, in the order in which it is met",
  "login.pending": "whether a change of this account waits",
  "login.real": "a real login over TLS",
} as const;
export type CheckName = keyof typeof checks;

export interface Verdict {
  readonly check: CheckName;
  readonly standing: Standing;
  /** What was looked at: `_xmpp-client._tcp.example.org`, `port c2s`. */
  readonly of: string;
  /** What was found, one sentence. */
  readonly found: string;
  /** The exact command, setting or zone line. */
  readonly fix?: string | undefined;
}

/** One verdict; shorter to write where there are many. */
export function verdict(check: CheckName, standing: Standing, of: string, found: string, fix?: string): Verdict {
  return { check, standing, of, found, ...(fix === undefined ? {} : { fix }) };
}

export function verdictLine({ check, standing, of, found, fix }: Verdict): string {
  const line = `${standing.padEnd(7)} ${check}: ${of}: ${found}`;
  return fix === undefined ? line : `${line}\n        fix: ${fix}`;
}

/** `41 ok, 2 warn, 1 fail, 3 skipped` */
export function tally(verdicts: readonly Verdict[]): string {
  return (["ok", "warn", "fail", "skipped"] as const)
    .map((standing) => `${verdicts.filter((one) => one.standing === standing).length} ${standing}`)
    .join(", ");
}
