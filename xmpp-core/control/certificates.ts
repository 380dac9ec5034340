import { X509Certificate } from "node:crypto";
import type { Clock } from "../clock.ts";
import { CodedError, explain } from "../errors.ts";
import { type Property, property } from "../properties/property.ts";
import type { Registry } from "../properties/registry.ts";
import { text } from "../properties/text-schema.ts";
import type { Report } from "../report.ts";
import type { Names } from "../routing/names.ts";
import { fqdn } from "../stream/properties.ts";
import {
  type CertificateSource,
  certificateFacts,
  type LoadedCertificate,
  loadCertificate,
  watchCertificate,
} from "../transport/certificates.ts";
import type { Gate } from "../transport/gate.ts";
import { ensureSelfSigned } from "../transport/self-signed.ts";
import type { CoreStatus } from "./contract.ts";

export const chainPath = property("firekeeper.certificate.chain", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "File with the server's own certificate chain (PEM); with firekeeper.certificate.key it replaces the self-signed one and is watched for changes.",
});

export const keyPath = property("firekeeper.certificate.key", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "File with the private key (PEM, not encrypted) of firekeeper.certificate.chain.",
});

const lookEveryMs = 2000;

/** The certificates of all live names: self-signed unless own files are named, swapped while connections stand. */
export interface Certificates {
  /** Loads what names and properties ask for and gives it to the gate. Names that own files do not cover stay self-signed. */
  refresh(): Promise<void>;
  /**
   * Makes and tests what the current name, or `newName`, would be served with under other properties. Own files that
   * are new and cannot be used for it throw (certificate/unreadable, /pair-mismatch, /names-missing …).
   */
  prepare(get: <T>(property: Property<T>) => T, newName: string | undefined): Promise<void>;
  status(): CoreStatus["certificates"];
  close(): void;
}

export function certificates(parts: {
  home: string;
  clock: Clock;
  gate: Gate;
  names: Names;
  properties: Registry;
  report: Report;
  externalAddress: () => string | undefined;
}): Certificates {
  const { home, gate, names, properties, report } = parts;
  let inUse: readonly LoadedCertificate[] = [];
  const problems = new Map<string, string>();
  const watches = new Map<string, { close(): void }>();
  let last: Promise<void> = Promise.resolve();

  const now = (): Date => new Date(parts.clock.now());

  function extraNames(name: string): string[] {
    // OpenSSL matches no wildcard directly below a name of one label: `*.mobydick` is not `proxy.mobydick`.
    const services = name.includes(".") ? [] : names.serviceHosts(name);
    return [...services, properties.get(fqdn), parts.externalAddress()].filter((extra) => extra !== undefined);
  }

  function ownSource(name: string): CertificateSource | undefined {
    const chain = properties.get(chainPath);
    const key = properties.get(keyPath);
    return chain === undefined || key === undefined
      ? undefined
      : { name, chainPath: chain, keyPath: key, covers: [name] };
  }

  async function certificateFor(name: string): Promise<LoadedCertificate> {
    const source = ownSource(name);
    if (source !== undefined) {
      try {
        const loaded = await loadCertificate(source, now());
        problems.delete(name);
        return loaded;
      } catch (error) {
        problems.set(name, explain(error));
        report.certificateRefused({
          name,
          code: error instanceof CodedError ? error.code : "certificate/unreadable",
          message: explain(error),
        });
        const standing = inUse.find((certificate) => certificate.name === name);
        if (standing !== undefined) return standing;
      }
    } else problems.delete(name);
    return ensureSelfSigned(home, name, { domain: name, extra: extraNames(name) }, now());
  }

  async function load(): Promise<void> {
    const live = names.served.flatMap((served) => served.live.map(({ name }) => name));
    const loaded: LoadedCertificate[] = [];
    for (const name of live) loaded.push(await certificateFor(name));
    await gate.certificates({ certificates: loaded, default: names.primary.name });
    for (const certificate of loaded) {
      if (inUse.some(({ chain }) => chain === certificate.chain)) continue;
      const facts = certificateFacts(certificate.chain, now());
      report.certificateChanged({
        name: certificate.name,
        until: facts.validTo.toISOString(),
        selfSigned: facts.selfSigned,
      });
    }
    inUse = loaded;
    follow(live);
  }

  /** Own files are read again when they change; a wrong new file leaves the old certificate in use. */
  function follow(live: readonly string[]): void {
    for (const watch of watches.values()) watch.close();
    watches.clear();
    for (const name of live) {
      const source = ownSource(name);
      if (source === undefined) continue;
      const serving = inUse.find((certificate) => certificate.name === name);
      watches.set(
        name,
        watchCertificate(source, {
          intervalMs: lookEveryMs,
          now,
          changed: () => void self.refresh(),
          rejected: (error) => {
            problems.set(name, explain(error));
            report.certificateRefused({ name, code: error.code, message: explain(error) });
          },
          ...(serving === undefined ? {} : { serving }),
        }),
      );
    }
  }

  const self: Certificates = {
    refresh() {
      // One after another: two at once would hand the gate an older set last.
      last = last.then(load, load);
      return last;
    },
    async prepare(get, newName) {
      const [chain, key] = [get(chainPath), get(keyPath)];
      const changed = chain !== properties.get(chainPath) || key !== properties.get(keyPath);
      if (changed && chain !== undefined && key !== undefined) {
        const name = newName ?? names.primary.name;
        await loadCertificate({ name, chainPath: chain, keyPath: key, covers: [name] }, now());
      }
      if (newName === undefined) return;
      await ensureSelfSigned(home, newName, { domain: newName, extra: extraNames(newName) }, now());
    },
    status: () =>
      inUse.map((certificate) => {
        const facts = certificateFacts(certificate.chain, now());
        const problem = problems.get(certificate.name);
        return {
          name: certificate.name,
          names: [...facts.names],
          until: facts.validTo.toISOString(),
          sha256: new X509Certificate(certificate.chain).fingerprint256,
          selfSigned: facts.selfSigned,
          ...(problem === undefined ? {} : { problem }),
        };
      }),
    close() {
      for (const watch of watches.values()) watch.close();
    },
  };
  return self;
}
