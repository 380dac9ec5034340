import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { isIP, isIPv4 } from "node:net";
import { join } from "node:path";
import { domainToASCII } from "node:url";
import ipaddr from "ipaddr.js";
import { writeWhole } from "../storage/files.ts";
import type { LoadedCertificate } from "./certificates.ts";

/** What a self-signed certificate has to stand for. */
export interface CertificateNames {
  /** The served domain: named itself, as `*.domain`, as xmppAddr and as SRVName. */
  readonly domain: string;
  /** More host names and IP addresses: live aliases, the external address, "proxy.mobydick". */
  readonly extra: readonly string[];
}

const day = 86_400_000;
// Longer is refused by Apple's clients even where a person trusts the certificate.
const validDays = 825;
const renewDays = 30;

/**
 * The self-signed certificate of a home, `<home>/certificates/<name>/{key,chain}.pem` (0600): made when it is missing,
 * made again when the names it must cover have grown or it runs out within 30 days. The key is kept, so pins hold.
 */
export async function ensureSelfSigned(
  home: string,
  name: string,
  names: CertificateNames,
  now: Date,
): Promise<LoadedCertificate & { made: boolean }> {
  const directory = join(home, "certificates", name);
  const keyPath = join(directory, "key.pem");
  const chainPath = join(directory, "chain.pem");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const standing = await readPair(keyPath, chainPath);
  if (standing?.chain !== undefined && !isStale(standing.chain, standing.key, names, now)) {
    return { name, chain: standing.chain, key: standing.key, made: false };
  }
  const key = standing?.key ?? newKey();
  const chain = await selfSigned(names, key, now);
  await writeWhole(keyPath, key);
  await writeWhole(chainPath, chain);
  return { name, chain, key, made: true };
}

/** A P-256 key in PKCS#8 PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

/** A self-signed certificate in PEM, valid for 825 days from a day ago (clocks of clients differ). */
export async function selfSigned(names: CertificateNames, key: string, now: Date): Promise<string> {
  // Loaded here because it takes a tenth of a second, which every start but the first can save; reflect-metadata must come first.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const privateKey = createPrivateKey(key);
  const keys = {
    privateKey: await importKey(privateKey, "pkcs8", algorithm, ["sign"]),
    publicKey: await importKey(createPublicKey(privateKey), "spki", algorithm, ["verify"]),
  };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: `01${randomBytes(15).toString("hex")}`,
      name: [{ CN: [names.domain.slice(0, 64)] }],
      notBefore: new Date(now.getTime() - day),
      notAfter: new Date(now.getTime() + (validDays - 1) * day),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        // It is its own issuer and has to look like one: NSS (Pidgin, Finch) takes anything else for a broken chain, which a
        // person cannot accept. Once it looks like one, NSS wants Netscape's type (sslClient, sslServer, sslCA) to serve as well.
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign, true),
        new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]),
        new x509.Extension("2.16.840.1.113730.1.1", false, Buffer.from("030202c4", "hex")),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        new x509.Extension("2.5.29.17", false, alternativeNames(names)),
      ],
    },
    webcrypto,
  );
  return `${certificate.toString("pem")}\n`;
}

async function importKey(key: KeyObject, format: "pkcs8" | "spki", algorithm: object, usages: ("sign" | "verify")[]) {
  const der = key.export({ type: format, format: "der" } as { type: "spki"; format: "der" });
  return await webcrypto.subtle.importKey(format, der, algorithm as { name: string; namedCurve: string }, true, usages);
}

/** DNS names and addresses as they stand in the certificate: lower case, A-labels, no doubles. */
function hostNames({ domain, extra }: CertificateNames): { dns: string[]; ips: string[] } {
  const all = [domain, ...extra];
  const ips = all.filter((name) => isIP(name) !== 0);
  const hosts = all.filter((name) => isIP(name) === 0).map((name) => domainToASCII(name) || name.toLowerCase());
  const first = hosts[0];
  const wildcard = isIP(domain) === 0 && first !== undefined ? [`*.${first}`] : [];
  return { dns: [...new Set([...hosts.slice(0, 1), ...wildcard, ...hosts.slice(1)])], ips: [...new Set(ips)] };
}

const xmppAddr = Buffer.from("2b06010505070805", "hex");
const srvName = Buffer.from("2b06010505070807", "hex");
const tag = {
  sequence: 0x30,
  oid: 0x06,
  utf8: 0x0c,
  ia5: 0x16,
  explicit: 0xa0,
  dnsName: 0x82,
  ipAddress: 0x87,
} as const;

/** GeneralNames in DER: dNSName, iPAddress, and for the domain xmppAddr (RFC 6120 §13.7.1.4) and SRVName (RFC 4985). */
function alternativeNames(names: CertificateNames): Buffer {
  const { dns, ips } = hostNames(names);
  const others =
    isIP(names.domain) === 0
      ? [
          otherName(xmppAddr, der(tag.utf8, Buffer.from(names.domain))),
          ...["_xmpp-client", "_xmpp-server"].map((service) =>
            otherName(srvName, der(tag.ia5, Buffer.from(`${service}.${dns[0]}`))),
          ),
        ]
      : [];
  return der(
    tag.sequence,
    ...dns.map((name) => der(tag.dnsName, Buffer.from(name))),
    ...ips.map((ip) => der(tag.ipAddress, Buffer.from(ipaddr.parse(ip).toByteArray()))),
    ...others,
  );
}

function otherName(oid: Buffer, value: Buffer): Buffer {
  return der(tag.explicit, der(tag.oid, oid), der(tag.explicit, value));
}

function der(type: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([type, ...size]), body]);
}

function isStale(chain: string, key: string, names: CertificateNames, now: Date): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(chain);
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return true;
  } catch {
    return true;
  }
  if (new Date(certificate.validTo).getTime() - now.getTime() < renewDays * day) return true;
  const has = new Set((certificate.subjectAltName ?? "").split(", "));
  const { dns, ips } = hostNames(names);
  const covered = (ip: string) => certificate.checkIP(isIPv4(ip) ? ip : ipaddr.parse(ip).toString()) !== undefined;
  return !(dns.every((name) => has.has(`DNS:${name}`)) && ips.every(covered));
}

async function readPair(
  keyPath: string,
  chainPath: string,
): Promise<{ key: string; chain: string | undefined } | undefined> {
  const key = await readFile(keyPath, "utf8").catch(onlyMissing);
  if (key === undefined) return undefined;
  return { key, chain: await readFile(chainPath, "utf8").catch(onlyMissing) };
}

// An unreadable key must not be replaced by a new one: that would break every pin for a matter of permissions.
function onlyMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
  return undefined;
}
