/** DNS: the zone lines this configuration needs, and each fault of what is published. RFC 6120 §3.2, RFC 2782, XEP-0368. */
import { Resolver } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { domainToASCII } from "node:url";
import { errno, explain } from "../errors.ts";
import type { Facts, Listener } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

/** What is asked; `SrvRecord` as node has it. */
export type DnsQuestions = Pick<Resolver, "resolveSrv" | "resolve4" | "resolve6" | "resolveCname">;

/** A resolver at `address[:port]`, or the system's. */
export function resolverAt(address: string | undefined): DnsQuestions {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (address !== undefined) resolver.setServers([address]);
  return resolver;
}

const ttl = 86_400;

interface Service {
  readonly label: string;
  readonly port: number;
  readonly need: "clients" | "clients by direct TLS" | "federation only";
}

function services({ listeners }: Pick<Facts, "listeners">): Service[] {
  const port = (name: string) => listeners.find((one) => one.name === name)?.port;
  const clients: [string, number | undefined, Service["need"]][] = [
    ["_xmpp-client._tcp", port("c2s"), "clients"],
    ["_xmpps-client._tcp", port("c2s-tls"), "clients by direct TLS"],
    ["_xmpp-server._tcp", 5269, "federation only"],
    ["_xmpps-server._tcp", 5270, "federation only"],
  ];
  return clients.flatMap(([label, port, need]) => (port === undefined ? [] : [{ label, port, need }]));
}

function srvLine(facts: Pick<Facts, "domain">, { label, port }: Service): string {
  const domain = domainToASCII(facts.domain);
  return `${label}.${domain}. ${ttl} IN SRV 5 0 ${port} ${domain}.`;
}

/** The lines for the zone of the domain; those that nobody needs without federation are comments. */
export function zoneLines(facts: Pick<Facts, "domain" | "listeners" | "external">): string[] {
  const domain = domainToASCII(facts.domain);
  if (!domain.includes(".")) return [];
  const known = facts.external.map((one) => `${domain}. ${ttl} IN ${isIP(one) === 6 ? "AAAA" : "A"} ${one}`);
  return [
    ...(known.length > 0 ? known : [`; ${domain}. ${ttl} IN A <the external address: set sys.xmpp.externalip>`]),
    ...services(facts).map((one) =>
      one.need === "federation only" ? `; federation only: ${srvLine(facts, one)}` : srvLine(facts, one),
    ),
  ];
}

/** Every fault by its name, as `resolver` answers; `via` names the resolver for people. */
export async function checkDns(facts: Facts, resolver: DnsQuestions, via: string): Promise<Verdict[]> {
  const domain = domainToASCII(facts.domain);
  if (!domain.includes(".")) {
    const fix = "set sys.xmpp.domain to a full name if clients shall find the service by name";
    return [
      verdict("dns.dotless", "skipped", domain, "A name without a dot has no records; clients need the address.", fix),
    ];
  }
  const found: Verdict[] = [];
  const targets = new Map<string, Listener | undefined>();
  try {
    for (const service of services(facts)) {
      const of = `${service.label}.${domain} by ${via}`;
      const records = await orNothing(resolver.resolveSrv(`${service.label}.${domain}`));
      if (records.length === 0) {
        found.push(service.need === "federation only" ? notNeeded(of) : missing(facts, service, of));
        if (service.label === "_xmpp-client._tcp") targets.set(domain, listenerOf(facts, "c2s"));
        continue;
      }
      for (const record of records) {
        found.push(judgeRecord(facts, service, of, record));
        const listener = listenerOf(facts, service.label === "_xmpps-client._tcp" ? "c2s-tls" : "c2s");
        if (record.name !== "" && record.name !== "." && service.need !== "federation only")
          targets.set(record.name.replace(/\.$/, ""), listener);
      }
    }
    const ours = await ourAddresses(facts, resolver);
    for (const [target, listener] of targets) found.push(...(await judgeTarget(target, listener, ours, resolver, via)));
  } catch (error) {
    const fix = "name a resolver that answers: firekeeper doctor --resolver ADDRESS";
    found.push(verdict("dns.answers", "fail", via, `The resolver gives no answer: ${explain(error)}.`, fix));
  }
  return [...found, verdict("dns.dnssec", "skipped", domain, "Signatures are not judged.")];
}

function listenerOf({ listeners }: Facts, name: string): Listener | undefined {
  return listeners.find((one) => one.name === name);
}

function notNeeded(of: string): Verdict {
  return verdict("dns.srv", "skipped", of, "There is none, and none is needed without federation.");
}

function missing(facts: Facts, service: Service, of: string): Verdict {
  // Without a record clients go to port 5222 of the domain itself, RFC 6120 §3.2.2.
  const standing = service.need === "clients" && service.port !== 5222 ? "fail" : "warn";
  return verdict("dns.srv", standing, of, "The SRV record is missing.", srvLine(facts, service));
}

function judgeRecord(facts: Facts, service: Service, of: string, record: { name: string; port: number }): Verdict {
  const line = srvLine(facts, service);
  if (service.need === "federation only")
    return verdict(
      "dns.srv",
      "warn",
      of,
      "Other servers are invited, but this one does not federate.",
      "remove the record",
    );
  if (record.name === "" || record.name === ".")
    return verdict("dns.srv", "fail", of, "The target is the root: the zone says there is no such service.", line);
  if (record.port !== service.port)
    return verdict(
      "dns.srv",
      "fail",
      of,
      `The port is ${record.port}, wrong: the service is on ${service.port}.`,
      line,
    );
  return verdict("dns.srv", "ok", of, `Leads to ${record.name} port ${record.port}.`);
}

async function judgeTarget(
  target: string,
  listener: Listener | undefined,
  ours: readonly string[],
  resolver: DnsQuestions,
  via: string,
): Promise<Verdict[]> {
  const of = `${target} by ${via}`;
  const [alias] = await orNothing(resolver.resolveCname(target));
  const addresses = [...(await orNothing(resolver.resolve4(target))), ...(await orNothing(resolver.resolve6(target)))];
  const found: Verdict[] = [];
  const line = (address: string) => `${target}. ${ttl} IN ${isIP(address) === 6 ? "AAAA" : "A"} ${address}`;
  const [first] = ours;
  const wanted = first === undefined ? "an A record with the external address" : line(first);
  if (alias !== undefined)
    found.push(verdict("dns.cname", "fail", of, `It is a CNAME for ${alias}, which SRV does not allow.`, wanted));
  if (addresses.length === 0)
    return [...found, verdict("dns.target", "fail", of, "It does not resolve: neither A nor AAAA.", wanted)];
  found.push(verdict("dns.target", "ok", of, `Resolves to ${addresses.join(", ")}.`));
  const foreign = addresses.filter((one) => !ours.includes(canonical(one)));
  if (ours.length === 0)
    found.push(verdict("dns.address", "skipped", of, "Our external address is not known.", "set sys.xmpp.externalip"));
  else if (foreign.length === addresses.length)
    found.push(
      verdict(
        "dns.address",
        "fail",
        of,
        `Wrong target: ${foreign.join(", ")} is not our address ${ours.join(", ")}.`,
        wanted,
      ),
    );
  else if (foreign.length > 0)
    found.push(
      verdict(
        "dns.address",
        "fail",
        of,
        `${foreign.join(", ")} is not our external address.`,
        `remove ${line(foreign[0] ?? "")}`,
      ),
    );
  else found.push(verdict("dns.address", "ok", of, "Every address is ours."));
  for (const one of addresses.filter(isPrivate))
    found.push(
      verdict(
        "dns.private",
        "warn",
        of,
        `${one} is private: nobody outside this network reaches it.`,
        `remove ${line(one)} from the public zone`,
      ),
    );
  const six = addresses.find((one) => isIP(one) === 6);
  if (six !== undefined && listener !== undefined && isIP(listener.address) === 4)
    found.push(
      verdict(
        "dns.ipv6",
        "fail",
        of,
        `${six} is published, but ${listener.name} listens on ${listener.address} only.`,
        `remove ${line(six)}, or let the listener have an IPv6 address`,
      ),
    );
  return found;
}

/** The external address; where it is a name, what the name resolves to; where it is unset, the addresses of this machine that are no private ones. */
async function ourAddresses({ external, externalSetting }: Facts, resolver: DnsQuestions): Promise<string[]> {
  if (external.length > 0) return external.map(canonical);
  if (externalSetting !== undefined && externalSetting !== "auto") {
    const names = externalSetting.split(/[\s,]+/);
    const asked = names.flatMap((name) => [orNothing(resolver.resolve4(name)), orNothing(resolver.resolve6(name))]);
    return (await Promise.all(asked)).flat().map(canonical);
  }
  const own = Object.values(networkInterfaces()).flatMap((many) => many ?? []);
  return own
    .map(({ address }) => address)
    .filter((one) => !isPrivate(one))
    .map(canonical);
}

/** Nothing is an answer too; everything else is none. */
async function orNothing<T>(asked: Promise<T[]>): Promise<T[]> {
  try {
    return await asked;
  } catch (error) {
    if (errno(error) === "ENODATA" || errno(error) === "ENOTFOUND") return [];
    throw error;
  }
}

function canonical(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address;
}

const notPublic = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
] as const)
  notPublic.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of [
  ["fc00::", 7],
  ["fe80::", 10],
  ["::1", 128],
] as const)
  notPublic.addSubnet(network, prefix, "ipv6");

/** RFC 1918, RFC 6598, RFC 4193, loopback and link-local. */
export function isPrivate(address: string): boolean {
  return notPublic.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}
