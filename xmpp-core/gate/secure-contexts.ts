import { constants, createHash, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { CertificateSet } from "../frames.ts";
import { failed } from "./failure.ts";

/** One certificate, ready to serve. */
export interface Served {
  readonly name: string;
  readonly context: SecureContext;
  readonly certificate: X509Certificate;
  /** tls-server-end-point in hex (RFC 5929 §4.1). */
  readonly endPoint: string | undefined;
}

/** A loaded set; a connection keeps the one it began with. */
export interface SecureContexts {
  /** By SNI if a certificate covers it, else by name, else the default. */
  choose(sni: string | undefined, name: string): Served;
  /** What TLSSocket asks when a client sends SNI; undefined when there is nothing to choose. */
  chooser(name: string): Chooser | undefined;
}

type Chooser = (sni: string, done: (error: Error | null, context?: SecureContext) => void) => void;

// Forward secrecy and AEAD only; the order is the server's, AES-128 first for the sake of the CPU.
const ciphers = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/**
 * Loads a set of certificates. Every context gets ticket keys of its own (OpenSSL's default), so that a session never
 * resumes past a change of certificate and tls-server-end-point stays the one the client has seen.
 *
 * @throws GateFailure gate/certificate-unusable
 */
export function loadContexts(set: CertificateSet): SecureContexts {
  const served = new Map<string, Served>();
  for (const { name, chain, key } of set.certificates) {
    try {
      const certificate = new X509Certificate(chain);
      const context = createSecureContext({
        cert: chain,
        key,
        ciphers,
        minVersion: "TLSv1.2",
        secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE,
      });
      served.set(name, { name, context, certificate, endPoint: serverEndPoint(certificate.raw)?.toString("hex") });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw failed("gate/certificate-unusable", `The certificate "${name}" cannot be served: ${why}.`, {
        fields: { name },
        hint: "Chain and key must be PEM and belong together; the certificates in use stay.",
      });
    }
  }
  const fallback = served.get(set.default);
  if (fallback === undefined) {
    throw failed("gate/certificate-unusable", `The default certificate "${set.default}" is not in the set.`, {
      fields: { name: set.default },
      hint: "Give it, or name another default.",
    });
  }
  const choose = (sni: string | undefined, name: string): Served => {
    const named = served.get(name) ?? fallback;
    if (sni === undefined || sni === "" || covers(named, sni)) return named;
    for (const each of served.values()) if (covers(each, sni)) return each;
    return named;
  };
  // One closure per name, not per connection.
  const choosers = new Map<string, Chooser>();
  return {
    choose,
    chooser(name) {
      if (served.size < 2) return undefined;
      let chooser = choosers.get(name);
      if (chooser === undefined) {
        chooser = (sni, done) => done(null, choose(sni, name).context);
        choosers.set(served.has(name) ? name : "", chooser);
      }
      return chooser;
    },
  };
}

function covers(served: Served, sni: string): boolean {
  return served.certificate.checkHost(sni, { subject: "never" }) !== undefined;
}

/** Hash of each signature algorithm, by OID in hex; MD5 and SHA-1 count as SHA-256 (RFC 5929 §4.1). */
const signatureHashes: Readonly<Record<string, string>> = {
  "2a864886f70d010104": "sha256",
  "2a864886f70d010105": "sha256",
  "2a864886f70d01010b": "sha256",
  "2a864886f70d01010c": "sha384",
  "2a864886f70d01010d": "sha512",
  "2a864886f70d01010e": "sha224",
  "2a8648ce3d0401": "sha256",
  "2a8648ce3d040301": "sha224",
  "2a8648ce3d040302": "sha256",
  "2a8648ce3d040303": "sha384",
  "2a8648ce3d040304": "sha512",
};
const rsaPss = "2a864886f70d01010a";
const pssHashes: readonly (readonly [string, string])[] = [
  ["608648016503040201", "sha256"],
  ["608648016503040202", "sha384"],
  ["608648016503040203", "sha512"],
  ["608648016503040204", "sha224"],
];

/** Channel binding data tls-server-end-point of a certificate in DER; undefined where RFC 5929 defines none (EdDSA). */
export function serverEndPoint(der: Buffer): Buffer | undefined {
  const body = derElement(der, 0);
  const signed = derElement(der, body.start);
  const algorithm = derElement(der, signed.end);
  const oid = derElement(der, algorithm.start);
  const name = der.toString("hex", oid.start, oid.end);
  let hash = signatureHashes[name];
  if (name === rsaPss) {
    const parameters = der.toString("hex", oid.end, algorithm.end);
    // Without a hash of its own RSASSA-PSS means SHA-1, which counts as SHA-256.
    hash = pssHashes.find(([hashOid]) => parameters.includes(`0609${hashOid}`))?.[1] ?? "sha256";
  }
  return hash === undefined ? undefined : createHash(hash).update(der).digest();
}

/** Where the content of the DER element at `at` starts and ends. */
function derElement(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0;
  if (first < 0x80) return { start: at + 2, end: at + 2 + first };
  const lengthBytes = first & 0x7f;
  const start = at + 2 + lengthBytes;
  return { start, end: start + der.readUIntBE(at + 2, lengthBytes) };
}
