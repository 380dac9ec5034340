/** Proves from outside that the server works. What was green before an apply and is red after it was broken by it. docs/architecture.md "A setting's way". */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import type { CoreStatus, GroupWanted } from "../../xmpp-core/control/contract.ts";
import { explain } from "../errors.ts";
import { covers } from "../network/address-list.ts";
import { connectFrom, type VantagePoint } from "../network/vantage.ts";
import type { Target } from "../target/target.ts";
import { type ProbePlace, probeCertificate, probeLogin, probePort } from "./probe-client.ts";

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
  /** Proxies outside, through which the external address is looked at. */
  from?: readonly VantagePoint[];
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
  const ports = [
    ...watched.map((one) => look(`port ${one.name}`, () => checkPort(one, options))),
    ...(await fromOutside(target, status, options)),
  ];
  if (!target.capabilities.probes) return Promise.all(ports);
  const account = await target.openProbe();
  try {
    const logins = watched
      .filter((one) => one.state === "open" && (one.name === "c2s" || one.name === "c2s-tls"))
      .map((one) =>
        refusesHere(one, options) ? checkRefusal(one, account, options) : checkLogin(one, account, status, options),
      );
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
    else if (seen.unseen !== undefined && seen.unseen.length > 0) wrong.push(`group ${group.name}: ${seen.unseen[0]}`);
    else if (group.members !== "all" && seen.members !== group.members.length) {
      wrong.push(`group ${group.name}: it has ${seen.members} members instead of ${group.members.length}`);
    }
  }
  return wrong;
}

type Listener = CoreStatus["listeners"][number];

async function checkPort(listener: Listener, options: ProbeOptions): Promise<string> {
  if (listener.state === "failed") throw new Error(listener.error ?? "it could not be opened");
  await probePort(placeOf(listener, options));
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
    certificate = await probeLogin({ ...placeOf(listener, options), ...account });
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
  if (!isServed(shown, status)) throw new Error("the server shows another certificate than it reports");
  return `it covers ${domain} until ${shown.validTo}`;
}

async function look(name: string, at: () => Promise<string>): Promise<Probe> {
  try {
    return { name, green: true, detail: await at() };
  } catch (error) {
    return { name, green: false, detail: explain(error) };
  }
}

/** Whether clients are refused, on purpose, where we look. */
function refusesHere(listener: Listener, options: ProbeOptions): boolean {
  const host = reachable(listener.address, options);
  return listener.refusesOn !== undefined && isIP(host) !== 0 && covers(listener.refusesOn, host);
}

/** A port on which nobody may log in is as it should be when nobody can. */
async function checkRefusal(
  listener: Listener,
  account: Awaited<ReturnType<Target["openProbe"]>>,
  options: ProbeOptions,
): Promise<Probe[]> {
  const host = reachable(listener.address, options);
  const refused = await look(`login ${listener.name}`, async () => {
    const answer = await probeLogin({ ...placeOf(listener, options), ...account }).then(
      () => "",
      (error: unknown) => explain(error),
    );
    if (!answer.includes("policy-violation"))
      throw new Error(`clients are not refused on ${host}, as asked: ${answer}`);
    return `clients are refused on ${host}, as asked`;
  });
  return [refused];
}

/** Looks through every proxy whether the external address leads to these listeners, by TLS to this certificate. */
async function fromOutside(target: Target, status: CoreStatus, options: ProbeOptions): Promise<Promise<Probe>[]> {
  const points = options.from ?? [];
  if (points.length === 0) return [];
  const told = (await target.actual()).settings.externalAddress.value;
  const open = status.listeners.filter((one) => one.state === "open" && outside.includes(one.name));
  return (told ?? "")
    .split(", ")
    .flatMap((host, place) =>
      host === ""
        ? []
        : points.flatMap((point) => open.map((one) => lookThrough(point, { host, place }, one, status, options))),
    );
}

const outside = ["c2s", "c2s-tls", "proxy65"];

function lookThrough(
  point: VantagePoint,
  { host, place }: { host: string; place: number },
  listener: Listener,
  status: CoreStatus,
  options: ProbeOptions,
): Promise<Probe> {
  const timeoutMs = options.timeoutMs ?? 5000;
  const which = place === 0 ? "" : " (second address)";
  return look(`${listener.name} from ${point.name}${which}`, async () => {
    const where = `${host} port ${listener.port}`;
    const socket = await connectFrom(point, { host, port: listener.port }, timeoutMs).catch((error: unknown) => {
      throw new Error(`${where} is not reached: ${explain(error)}`);
    });
    try {
      if (listener.name === "proxy65") return `${where} is reached`;
      const direct = listener.name === "c2s-tls";
      const shown = await probeCertificate(socket, { domain: status.domain, direct, timeoutMs });
      if (!isServed(shown, status)) throw new Error(`${where} leads to another server`);
      return `${where} leads here`;
    } finally {
      socket.destroy();
    }
  });
}

function placeOf(listener: Listener, options: ProbeOptions): ProbePlace {
  return {
    host: reachable(listener.address, options),
    port: listener.port,
    direct: listener.name === "c2s-tls",
    timeoutMs: options.timeoutMs ?? 5000,
    proxies: listener.proxies ?? [],
  };
}

function reachable(address: string, options: ProbeOptions): string {
  return address === "0.0.0.0" || address === "::" || address === "" ? (options.host ?? "127.0.0.1") : address;
}

function isServed(shown: X509Certificate, status: CoreStatus): boolean {
  const fingerprint = plainHex(shown.fingerprint256);
  return status.certificates.some((one) => plainHex(one.sha256) === fingerprint);
}

function plainHex(text: string): string {
  return text.replace(/:/g, "").toLowerCase();
}
