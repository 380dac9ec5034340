/** Proves from outside that the server works. What was green before an apply and is red after it was broken by it. docs/architecture.md "A setting's way". */
import type { X509Certificate } from "node:crypto";
import { domainToASCII } from "node:url";
import type { CoreStatus, GroupWanted } from "../../xmpp-core/control/contract.ts";
import { explain } from "../errors.ts";
import type { Target } from "../target/target.ts";
import { probeLogin, probePort } from "./probe-client.ts";

/** One thing looked at. The name stays the same from one look to the next. */
export interface Probe {
  readonly name: string;
  readonly green: boolean;
  /** What was seen, one sentence. */
  readonly detail: string;
}

export type ProbeOptions = {
  /** Where listeners on all addresses are reached; 127.0.0.1 unless core and agent are in different containers. */
  host?: string;
  timeoutMs?: number;
  now?: () => Date;
};

/** Looks at every listener: TCP connect, and where clients log in, a login of a probe account and the certificate. */
export async function probe(target: Target, options: ProbeOptions = {}): Promise<Probe[]> {
  const probes: Probe[] = [];
  const server = await look("server", async () => {
    probes.push(...(await probeListeners(target, options)));
    return "the server answers";
  });
  return [server, ...probes];
}

async function probeListeners(target: Target, options: ProbeOptions): Promise<Probe[]> {
  const status = await target.status();
  const watched = status.listeners.filter((one) => one.state !== "closed");
  const ports = watched.map((one) => look(`port ${one.name}`, () => checkPort(one, options)));
  if (!target.capabilities.probes) return Promise.all(ports);
  const account = await target.openProbe();
  try {
    const logins = watched
      .filter((one) => one.state === "open" && (one.name === "c2s" || one.name === "c2s-tls"))
      .map((one) => checkLogin(one, account, status, options));
    return [...(await Promise.all(ports)), ...(await Promise.all(logins)).flat()];
  } finally {
    await target.closeProbe(account.name);
  }
}

/** What turned from green to red, a sentence each. A listener that was closed on purpose is gone, not red. */
export function broken(before: readonly Probe[], after: readonly Probe[]): string[] {
  const green = new Set(before.filter((one) => one.green).map((one) => one.name));
  return after.filter((one) => !one.green && green.has(one.name)).map((one) => `${one.name}: ${one.detail}`);
}

/** Whether the groups that were touched are to their members what was asked for; a sentence for each that is not. */
export async function wrongGroups(target: Target, groups: readonly GroupWanted[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const group of groups) {
    const seen = await target.groupView(group.name);
    if (!seen.exists) wrong.push(`group ${group.name}: it does not exist`);
    else if (seen.displayName !== group.displayName)
      wrong.push(`group ${group.name}: it shows as "${seen.displayName}"`);
    else if (group.members !== "all" && seen.members !== group.members.length) {
      wrong.push(`group ${group.name}: it has ${seen.members} members instead of ${group.members.length}`);
    }
  }
  return wrong;
}

type Listener = CoreStatus["listeners"][number];

async function checkPort(listener: Listener, options: ProbeOptions): Promise<string> {
  if (listener.state === "failed") throw new Error(listener.error ?? "it could not be opened");
  await probePort(reachable(listener.address, options), listener.port, options.timeoutMs ?? 5000);
  return `${listener.address} port ${listener.port} is open`;
}

async function checkLogin(
  listener: Listener,
  account: Awaited<ReturnType<Target["openProbe"]>>,
  status: CoreStatus,
  options: ProbeOptions,
): Promise<Probe[]> {
  let certificate: X509Certificate | undefined;
  const login = await look(`login ${listener.name}`, async () => {
    certificate = await probeLogin({
      host: reachable(listener.address, options),
      port: listener.port,
      direct: listener.name === "c2s-tls",
      timeoutMs: options.timeoutMs ?? 5000,
      ...account,
    });
    return `a probe account logged in on port ${listener.port} and heard itself`;
  });
  const shown = certificate;
  if (!shown) return [login];
  return [
    login,
    await look(`certificate ${listener.name}`, async () => checkCertificate(shown, account.domain, status, options)),
  ];
}

function checkCertificate(shown: X509Certificate, domain: string, status: CoreStatus, options: ProbeOptions): string {
  const now = options.now?.() ?? new Date();
  if (!shown.checkHost(domainToASCII(domain)))
    throw new Error(`it does not cover ${domain}, but ${shown.subjectAltName ?? "nothing"}`);
  if (new Date(shown.validTo) <= now) throw new Error(`it expired on ${shown.validTo}`);
  if (new Date(shown.validFrom) > now) throw new Error(`it is valid only from ${shown.validFrom}`);
  const fingerprint = plainHex(shown.fingerprint256);
  if (!status.certificates.some((one) => plainHex(one.sha256) === fingerprint)) {
    throw new Error("the server shows another certificate than it reports");
  }
  return `it covers ${domain} until ${shown.validTo}`;
}

async function look(name: string, at: () => Promise<string>): Promise<Probe> {
  try {
    return { name, green: true, detail: await at() };
  } catch (error) {
    return { name, green: false, detail: explain(error) };
  }
}

function reachable(address: string, options: ProbeOptions): string {
  return address === "0.0.0.0" || address === "::" || address === "" ? (options.host ?? "127.0.0.1") : address;
}

function plainHex(text: string): string {
  return text.replace(/:/g, "").toLowerCase();
}
