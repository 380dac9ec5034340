import { Gauge } from "prom-client";
import { httpChallenges, type Ports } from "../certificates/http-challenges.ts";
import { acmeOrders } from "../certificates/orders.ts";
import { namedFile, type OwnFiles, ownFiles, printOf, readOwn } from "../certificates/own-files.ts";
import { acmeEnabled, fileProperties } from "../certificates/properties.ts";
import type { Clock } from "../clock.ts";
import { CodedError, explain } from "../errors.ts";
import type { Property } from "../properties/property.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Names } from "../routing/names.ts";
import { fqdn } from "../stream/properties.ts";
import {
  type CertificateFacts,
  certificateFacts,
  checkCertificate,
  type LoadedCertificate,
} from "../transport/certificates.ts";
import type { Gate } from "../transport/gate.ts";
import { ensureSelfSigned } from "../transport/self-signed.ts";
import type { CoreStatus } from "./contract.ts";

/** How often files are looked at; what has changed is taken when two looks saw the same. */
const lookEveryMs = 2000;
/** A key that comes after its chain is no fault worth a line in the log before this. */
const graceMs = 20_000;
/** Self-signed ones are made anew in time, and what was not valid yet is tried again. */
const refreshEveryMs = 3_600_000;
const warnDays = 21;
const orderEveryMs = 60_000;
/** An apply that changes the domain waits so long for its certificate. */
const orderBeforeChangeMs = 90_000;

type Get = <T>(property: Property<T>) => T;

/** The certificates of all live names, swapped while connections stand: own files, else ordered ones, else self-signed. docs/certificates.md */
export interface Certificates {
  /** Loads what names and properties ask for and gives it to the gate. Names that own files do not cover stay self-signed. */
  refresh(): Promise<void>;
  /**
   * Makes and tests what the current name, or `newName`, would be served with under other properties. Own files that
   * are new and cannot be used for it throw (certificate/unreadable, /pair-mismatch, /names-missing …).
   */
  prepare(get: Get, newName: string | undefined): Promise<void>;
  /** Before a domain changes: orders a certificate for the new name, if that is asked for. Resolves with a sentence when there is something to say. */
  obtain(get: Get, newName: string | undefined): Promise<string | undefined>;
  /** What `name` would be served with, as it stands after "Certificate: ". */
  prospect(name: string): string;
  status(): CoreStatus["certificates"];
  /** For everybody: what is in use, without keys. */
  served(): readonly { readonly name: string; readonly chain: string; readonly selfSigned: boolean }[];
  /** What a person should do something about, a sentence each. */
  notices(): string[];
  close(): void;
}

interface Serving {
  readonly certificate: LoadedCertificate;
  readonly facts: CertificateFacts;
  readonly source: "self-signed" | "file" | "acme";
  /** For people: where it comes from. */
  readonly file?: string;
}

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly since: number;
  reported: boolean;
}

export function certificates(parts: {
  home: string;
  clock: Clock;
  gate: Gate;
  names: Names;
  properties: Registry;
  report: Report;
  random: (bytes: number) => Buffer;
  externalAddresses: () => readonly string[];
  /** Where http-01 challenges are answered. */
  ports: Ports;
  /** The program that publishes DNS records. */
  acmeHook: string | undefined;
}): Certificates {
  const { home, clock, gate, names, properties, report } = parts;
  let inUse: readonly Serving[] = [];
  const refusals = new Map<string, Refusal>();
  /** Of each name's files: as they were read last, and as they were seen at the last look. */
  const used = new Map<string, string>();
  const seen = new Map<string, string>();
  /** What good files held, so that no refresh opens a P12 again. */
  const read = new Map<string, { print: string; certificate: LoadedCertificate }>();
  let last: Promise<void> = Promise.resolve();

  const now = (): Date => new Date(clock.now());
  const live = (): string[] => [
    ...names.served.flatMap((served) => served.live.map(({ name }) => name)),
    ...names.aliasDomains,
  ];
  const servingOf = (name: string): Serving | undefined => inUse.find(({ certificate }) => certificate.name === name);

  function extraNames(name: string): string[] {
    // OpenSSL matches no wildcard directly below a name of one label: `*.mobydick` is not `proxy.mobydick`.
    const services = name.includes(".") ? [] : names.serviceHosts(name);
    return [...services, properties.get(fqdn), ...parts.externalAddresses()].filter((extra) => extra !== undefined);
  }

  async function fromFiles(name: string): Promise<Serving | undefined> {
    const files = await ownFiles(name, properties.get);
    if (files === undefined) return undefined;
    // Taken before they are read: what changes meanwhile is seen at the next look.
    const print = await printOf(files, properties.get);
    used.set(name, print);
    const known = read.get(name);
    const loaded =
      known?.print === print ? recheck(known.certificate, files) : await readOwn(name, files, properties.get, now());
    const certificate = { name, chain: loaded.chain, key: loaded.key };
    read.set(name, { print, certificate });
    return { certificate, facts: loaded.facts, source: "file", file: namedFile(files) };
  }

  function recheck(certificate: LoadedCertificate, files: OwnFiles) {
    const { name, chain, key } = certificate;
    const file = namedFile(files);
    const facts = checkCertificate({ name, covers: [name], chainPath: file, keyPath: file }, chain, key, now());
    return { ...certificate, facts };
  }

  async function servingFor(name: string): Promise<Serving> {
    used.delete(name);
    try {
      const own = await fromFiles(name);
      refusals.delete(name);
      if (own !== undefined) return own;
    } catch (error) {
      refuse(name, error);
      const standing = servingOf(name);
      if (standing !== undefined && standing.source !== "self-signed") return standing;
    }
    const ordered = await orders.issued(name);
    if (ordered !== undefined) return { ...ordered, source: "acme" };
    const certificate = await ensureSelfSigned(home, name, { domain: name, extra: extraNames(name) }, now());
    return { certificate, facts: certificateFacts(certificate.chain, now()), source: "self-signed" };
  }

  function refuse(name: string, error: unknown): void {
    const code = error instanceof CodedError ? error.code : "certificate/unreadable";
    const before = refusals.get(name);
    const same = before?.code === code;
    const refusal = {
      ...{ code, message: explain(error) },
      since: same ? before.since : clock.now(),
      reported: same && before.reported,
    };
    refusals.set(name, refusal);
    // Without one in use that stays there is nothing to be patient for.
    if (servingOf(name)?.source === undefined) reportLasting(0);
  }

  function reportLasting(patienceMs: number): void {
    for (const [name, refusal] of refusals) {
      if (refusal.reported || clock.now() - refusal.since < patienceMs) continue;
      refusal.reported = true;
      report.certificateRefused({ name, code: refusal.code, message: refusal.message });
    }
  }

  async function load(): Promise<void> {
    const next: Serving[] = [];
    for (const name of live()) next.push(await servingFor(name));
    await gate.certificates({ certificates: next.map(({ certificate }) => certificate), default: names.primary.name });
    for (const { certificate, facts } of next) {
      if (inUse.some((one) => one.certificate.chain === certificate.chain)) continue;
      const { name } = certificate;
      report.certificateChanged({ name, until: facts.validTo.toISOString(), selfSigned: facts.selfSigned });
    }
    inUse = next;
    orderDue();
    for (const name of [...refusals.keys(), ...read.keys()])
      if (servingOf(name) === undefined) {
        refusals.delete(name);
        read.delete(name);
      }
  }

  /** Key and chain are copied one after the other: files are read when they have come to rest. */
  async function lookAtFiles(): Promise<void> {
    let settled = false;
    for (const name of live()) {
      const files = await ownFiles(name, properties.get).catch(() => undefined);
      const print = files === undefined ? "" : await printOf(files, properties.get);
      if (print !== (used.get(name) ?? "") && print === seen.get(name)) settled = true;
      seen.set(name, print);
    }
    reportLasting(graceMs);
    if (settled) await self.refresh();
  }

  const orders = acmeOrders({
    ...{ home, clock, report, random: parts.random, get: properties.get, hook: parts.acmeHook },
    wanted: () => live().filter((name) => servingOf(name)?.source !== "file" && !refusals.has(name)),
    primary: () => names.primary.name,
    challenges: httpChallenges({
      ...{ clock, ports: parts.ports },
      onConnection: (listener, handler) => gate.onConnection(listener, handler),
    }),
    changed: () => void again(),
  });

  /** Ordering takes its time: nobody waits for it. */
  function orderDue(): void {
    orders.look().catch((error: unknown) => report.wrong({ what: "ordering certificates", error }));
  }

  function again(): Promise<void> {
    return self.refresh().catch((error: unknown) => report.wrong({ what: "certificates", error }));
  }

  new Gauge({
    name: "firekeeper_certificate_expiry_seconds",
    help: "Seconds until the certificate runs out",
    labelNames: ["name", "source"],
    registers: [report.metrics],
    collect() {
      this.reset();
      for (const { certificate, facts, source } of inUse)
        this.set({ name: certificate.name, source }, Math.round((facts.validTo.getTime() - clock.now()) / 1000));
    },
  });

  let looking = false;
  const stopLooking = clock.every(lookEveryMs, () => {
    if (looking) return;
    looking = true;
    lookAtFiles()
      .catch((error: unknown) => report.wrong({ what: "looking at certificates", error }))
      .finally(() => {
        looking = false;
      });
  });
  const stopRefreshing = clock.every(refreshEveryMs, () => void again());
  const stopOrdering = clock.every(orderEveryMs, orderDue);

  const self: Certificates = {
    refresh() {
      // One after another: two at once would hand the gate an older set last.
      last = last.then(load, load);
      return last;
    },
    async prepare(get, newName) {
      if (fileProperties.some((each) => get(each) !== properties.get(each))) {
        const name = newName ?? names.primary.name;
        const files = await ownFiles(name, get);
        if (files !== undefined) {
          const print = await printOf(files, get);
          const { chain, key } = await readOwn(name, files, get, now());
          read.set(name, { print, certificate: { name, chain, key } });
        }
      }
      if (newName === undefined) return;
      await ensureSelfSigned(home, newName, { domain: newName, extra: extraNames(newName) }, now());
    },
    async obtain(get, newName) {
      if (newName === undefined || (await ownFiles(newName, get).catch(() => undefined)) !== undefined)
        return undefined;
      const why = await orders.obtain(newName, get, orderBeforeChangeMs);
      return why === undefined ? undefined : `${newName} has a self-signed certificate for now: ${why}`;
    },
    prospect(name) {
      const covering = inUse.find(({ facts, source }) => facts.names.includes(name) && source !== "self-signed");
      if (covering !== undefined)
        return `your own already covers ${name}, until ${covering.facts.validTo.toISOString()}`;
      const ordered = orders.prospect(name, properties.get);
      if (ordered?.can) return ordered.sentence;
      const selfSigned = `a self-signed one for ${name} is made; clients ask their users about it unless you give your own`;
      return ordered === undefined ? selfSigned : `${selfSigned}. ${ordered.sentence}`;
    },
    status: () =>
      inUse.map(({ certificate: { name }, facts, source, file }) => {
        const { next, error } = orders.state(name);
        const problem = refusals.get(name)?.message ?? (source === "file" ? undefined : error);
        return {
          ...{ name, names: [...facts.names], until: facts.validTo.toISOString(), sha256: facts.fingerprint },
          ...{ selfSigned: facts.selfSigned, source, daysLeft: daysLeft(facts) },
          ...(file === undefined ? {} : { file }),
          ...(next === undefined || source === "file" ? {} : { renewal: new Date(next).toISOString() }),
          ...(problem === undefined ? {} : { problem }),
        };
      }),
    served: () => inUse.map(({ certificate: { name, chain }, facts: { selfSigned } }) => ({ name, chain, selfSigned })),
    notices: () => [
      ...orders.notices(),
      ...inUse.flatMap(({ certificate: { name }, facts, source, file }) => {
        const days = daysLeft(facts);
        if (source === "file" && days < warnDays)
          return [
            `The certificate for ${name} in ${file} runs out in ${days} days: replace the file, it is taken over without a restart.`,
          ];
        if (source === "acme" && !properties.get(acmeEnabled))
          return [
            `The certificate for ${name} was ordered by ACME, is not renewed and runs out in ${days} days: ${acmeEnabled.key} is off.`,
          ];
        return [];
      }),
    ],
    close() {
      stopLooking();
      stopRefreshing();
      stopOrdering();
      orders.close();
    },
  };

  const daysLeft = ({ validTo }: CertificateFacts): number =>
    Math.floor((validTo.getTime() - clock.now()) / 86_400_000);
  return self;
}
