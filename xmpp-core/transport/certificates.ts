import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { CodedError } from "../errors.ts";

/** A certificate that may be given to the gate. */
export interface LoadedCertificate {
  readonly name: string;
  /** PEM, the server's own first. */
  readonly chain: string;
  /** PEM, not encrypted. */
  readonly key: string;
}

export interface CertificateFacts {
  /** DNS names and addresses, as written in the certificate. */
  readonly names: readonly string[];
  readonly issuer: string;
  /** SHA-256 in the form openssl prints. */
  readonly fingerprint: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  /** Whole days, rounded down. */
  readonly daysLeft: number;
  readonly selfSigned: boolean;
}

/** Own certificates: where the files are and what they must cover. */
export interface CertificateSource {
  readonly name: string;
  readonly chainPath: string;
  readonly keyPath: string;
  readonly covers: readonly string[];
}

const day = 86_400_000;

/** What a certificate says; the first of the chain counts. */
export function certificateFacts(chain: string, now: Date): CertificateFacts {
  const certificate = new X509Certificate(chain);
  const validTo = new Date(certificate.validTo);
  return {
    names: (certificate.subjectAltName ?? "")
      .split(", ")
      .filter((name) => /^(DNS|IP Address):/.test(name))
      .map((name) => name.slice(name.indexOf(":") + 1)),
    issuer: certificate.issuer.replaceAll("\n", ", "),
    fingerprint: certificate.fingerprint256,
    validFrom: new Date(certificate.validFrom),
    validTo,
    daysLeft: Math.floor((validTo.getTime() - now.getTime()) / day),
    selfSigned: certificate.verify(certificate.publicKey),
  };
}

/**
 * Says whether chain and key can serve these names now.
 *
 * @throws CodedError certificate/not-pem, /key-encrypted, /key-not-pem, /pair-mismatch, /chain-broken, /weak-key,
 *   /weak-signature, /expired, /not-yet-valid, /names-missing; each names the file and the mend
 */
export function checkCertificate(source: CertificateSource, chain: string, key: string, now: Date): CertificateFacts {
  const { chainPath, keyPath } = source;
  const certificates = readChain(chain, chainPath);
  const own = certificates[0] as X509Certificate;
  if (!own.checkPrivateKey(readKey(key, keyPath, undefined))) {
    throw broken("certificate/pair-mismatch", `${keyPath} is not the key of ${chainPath}.`, {
      fields: { file: keyPath, chain: chainPath },
      hint: "The server's own certificate must come first in the chain, and the key must be the one it was requested with.",
    });
  }
  certificates.slice(1).forEach((issuer, index) => {
    const issued = certificates[index] as X509Certificate;
    if (issued.checkIssued(issuer) && issued.verify(issuer.publicKey)) return;
    throw broken(
      "certificate/chain-broken",
      `Certificate ${index + 2} in ${chainPath} did not issue the one before it.`,
      {
        fields: { file: chainPath, at: index + 2 },
        hint: "Order the file: the server's own certificate, then each issuer in turn; the root may be left out.",
      },
    );
  });
  checkStrength(certificates, chainPath);
  checkDates(own, chainPath, now);
  const missing = source.covers.filter((name) => own.checkHost(name, { subject: "never" }) === undefined);
  const facts = certificateFacts(chain, now);
  if (missing.length > 0) {
    throw broken(
      "certificate/names-missing",
      `${chainPath} does not cover ${missing.join(", ")}; it has ${facts.names.join(", ") || "no names"}.`,
      {
        fields: { file: chainPath, missing: missing.join(","), names: facts.names.join(",") },
        hint: `Request a certificate whose subject alternative names include ${missing.join(", ")}.`,
      },
    );
  }
  return facts;
}

/**
 * Reads and checks own certificates; an encrypted key is opened with the passphrase. Throws like
 * {@link checkCertificate}, and certificate/unreadable, /key-passphrase.
 */
export async function loadCertificate(
  source: CertificateSource,
  now: Date,
  passphrase?: string,
): Promise<LoadedCertificate & { facts: CertificateFacts }> {
  const chain = await readText(source.chainPath);
  const key = clearKey(await readText(source.keyPath), source.keyPath, passphrase);
  return { name: source.name, chain, key, facts: checkCertificate(source, chain, key, now) };
}

/** The key as the gate takes it: an encrypted one is opened, all else stays as it is for {@link checkCertificate}. */
function clearKey(key: string, file: string, passphrase: string | undefined): string {
  if (passphrase === undefined || !isEncrypted(key)) return key;
  return readKey(key, file, passphrase).export({ type: "pkcs8", format: "pem" }) as string;
}

const broken = (code: string, message: string, options: ConstructorParameters<typeof CodedError>[2]) =>
  new CodedError(code, message, options);

/** Bytes; a chain with its key is a few KiB. */
const mostBytes = 1024 * 1024;

/** A small file that somebody named. Throws certificate/unreadable, also for what is no file and would never end. */
export async function readSmall(file: string): Promise<Buffer> {
  try {
    const facts = await stat(file);
    if (!facts.isFile() || facts.size > mostBytes)
      throw Object.assign(new Error(), { code: facts.isFile() ? "EFBIG" : "no regular file" });
    return await readFile(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw broken("certificate/unreadable", `${file} cannot be read (${code}).`, {
      fields: { file, reason: code },
      hint:
        code === "ENOENT" ? "Put the file there, or correct the path." : "Let the user that runs the server read it.",
      cause,
    });
  }
}

async function readText(file: string): Promise<string> {
  return (await readSmall(file)).toString("utf8");
}

function readChain(chain: string, file: string): X509Certificate[] {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (blocks.length > 0) return blocks.map((block) => new X509Certificate(block));
  } catch {
    // Falls through to the same answer as a file without a block.
  }
  throw broken("certificate/not-pem", `${file} holds no certificate in PEM.`, {
    fields: { file },
    hint: 'It must contain "-----BEGIN CERTIFICATE-----"; convert DER or P12 with openssl.',
  });
}

const isEncrypted = (key: string): boolean => /ENCRYPTED/.test(key);

function readKey(key: string, file: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey(passphrase === undefined ? key : { key, passphrase });
  } catch (cause) {
    if (isEncrypted(key) && passphrase !== undefined) {
      throw broken("certificate/key-passphrase", `The passphrase does not open the key in ${file}.`, {
        fields: { file },
        hint: "Correct firekeeper.certificate.key-passphrase, or the file beside the key that ends with .password.",
        cause,
      });
    }
    if (isEncrypted(key)) {
      throw broken("certificate/key-encrypted", `The key in ${file} is encrypted.`, {
        fields: { file },
        hint: `Set firekeeper.certificate.key-passphrase, or decrypt it: openssl pkey -in ${file} -out key.pem`,
        cause,
      });
    }
    throw broken("certificate/key-not-pem", `${file} holds no private key in PEM.`, {
      fields: { file },
      hint: 'It must contain "-----BEGIN PRIVATE KEY-----" or the like.',
      cause,
    });
  }
}

/** Signatures with MD2, MD5 or SHA-1, by OID in hex: clients refuse them. */
const weakSignatures: Readonly<Record<string, string>> = {
  "2a864886f70d010102": "MD2",
  "2a864886f70d010104": "MD5",
  "2a864886f70d010105": "SHA-1",
  "2a8648ce3d0401": "SHA-1",
  "2a8648ce380403": "SHA-1",
};

/** What no current client accepts is refused here, where a person can be told. A root's own signature counts for nobody. */
function checkStrength(certificates: readonly X509Certificate[], file: string): void {
  certificates.forEach((certificate, index) => {
    const which = `Certificate ${index + 1} in ${file}`;
    const { publicKey } = certificate;
    const { modulusLength, namedCurve } = publicKey.asymmetricKeyDetails ?? {};
    const kind = publicKey.asymmetricKeyType ?? "unknown";
    const weak =
      (modulusLength !== undefined && modulusLength < 2048 && `a key of ${modulusLength} bits`) ||
      (kind === "dsa" && "a DSA key") ||
      (namedCurve !== undefined && !strongCurves.has(namedCurve) && `a key on the curve ${namedCurve}`);
    if (weak)
      throw broken("certificate/weak-key", `${which} has ${weak}.`, {
        fields: { file, at: index + 1 },
        hint: "Request one with RSA of at least 2048 bits, or with P-256 or P-384.",
      });
    const digest = weakSignatures[signatureOid(certificate.raw)];
    if (digest !== undefined && !certificate.verify(publicKey))
      throw broken("certificate/weak-signature", `${which} is signed with ${digest}.`, {
        fields: { file, at: index + 1 },
        hint: "Clients refuse it. Have it issued again with SHA-256.",
      });
  });
}

const strongCurves = new Set(["prime256v1", "secp384r1", "secp521r1"]);

/** OID in hex of the algorithm that a certificate in DER is signed with (RFC 5280 §4.1.1.2). */
function signatureOid(der: Buffer): string {
  const element = (at: number): { start: number; end: number } => {
    const first = der[at + 1] ?? 0;
    const more = first < 0x80 ? 0 : first & 0x7f;
    const start = at + 2 + more;
    return { start, end: start + (more === 0 ? first : der.readUIntBE(at + 2, more)) };
  };
  const body = element(element(0).start);
  const oid = element(element(body.end).start);
  return der.toString("hex", oid.start, oid.end);
}

function checkDates(certificate: X509Certificate, file: string, now: Date): void {
  const from = new Date(certificate.validFrom);
  const to = new Date(certificate.validTo);
  if (to < now) {
    throw broken("certificate/expired", `${file} ran out on ${to.toISOString().slice(0, 10)}.`, {
      fields: { file, validTo: to.toISOString() },
      hint: "Renew it and replace the file; it is taken over without a restart.",
    });
  }
  if (from > now) {
    throw broken("certificate/not-yet-valid", `${file} is not valid before ${from.toISOString()}.`, {
      fields: { file, validFrom: from.toISOString() },
      hint: "Check this machine's clock.",
    });
  }
}
