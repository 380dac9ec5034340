import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
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
    validTo,
    daysLeft: Math.floor((validTo.getTime() - now.getTime()) / day),
    selfSigned: certificate.verify(certificate.publicKey),
  };
}

/**
 * Says whether chain and key can serve these names now.
 *
 * @throws CodedError certificate/not-pem, /key-encrypted, /key-not-pem, /pair-mismatch, /chain-broken, /expired,
 *   /not-yet-valid, /names-missing; each names the file and the mend
 */
export function checkCertificate(source: CertificateSource, chain: string, key: string, now: Date): CertificateFacts {
  const { chainPath, keyPath } = source;
  const certificates = readChain(chain, chainPath);
  const own = certificates[0] as X509Certificate;
  if (!own.checkPrivateKey(readKey(key, keyPath))) {
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

/** Reads and checks own certificates. Throws like {@link checkCertificate}, and certificate/unreadable. */
export async function loadCertificate(
  source: CertificateSource,
  now: Date,
): Promise<LoadedCertificate & { facts: CertificateFacts }> {
  const chain = await readText(source.chainPath);
  const key = await readText(source.keyPath);
  return { name: source.name, chain, key, facts: checkCertificate(source, chain, key, now) };
}

export interface CertificateWatch {
  /** Looks now, without waiting for the second look (SIGHUP). */
  check(): Promise<void>;
  close(): void;
}

/**
 * Looks at the files every `intervalMs`. When their content has changed and stays so for two looks (key and chain are
 * copied one after the other), it is checked: `changed` gets what may be served, `rejected` why the old one stays.
 */
export function watchCertificate(
  source: CertificateSource,
  options: {
    readonly intervalMs: number;
    readonly now: () => Date;
    readonly changed: (certificate: LoadedCertificate & { facts: CertificateFacts }) => void;
    readonly rejected: (error: CodedError) => void;
    /** What is served now: the same content is no change. */
    readonly serving?: LoadedCertificate;
  },
): CertificateWatch {
  const contentOf = (chain: string, key: string) =>
    createHash("sha256").update(chain).update("\0").update(key).digest("hex");
  let settled = options.serving === undefined ? undefined : contentOf(options.serving.chain, options.serving.key);
  let seen: string | undefined;
  const look = async (atOnce: boolean) => {
    const content = await Promise.all([readText(source.chainPath), readText(source.keyPath)]).then(
      ([chain, key]) => contentOf(chain, key),
      (error: CodedError) => `${error.code} ${error.fields.file}`,
    );
    const steady = atOnce || content === seen;
    seen = content;
    if (!steady || content === settled) return;
    settled = content;
    try {
      options.changed(await loadCertificate(source, options.now()));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      options.rejected(error);
    }
  };
  let busy: Promise<void> = Promise.resolve();
  const next = (atOnce: boolean) => {
    busy = busy.then(() => look(atOnce));
    return busy;
  };
  const timer = setInterval(() => void next(false), options.intervalMs);
  timer.unref();
  return { check: () => next(true), close: () => clearInterval(timer) };
}

const broken = (code: string, message: string, options: ConstructorParameters<typeof CodedError>[2]) =>
  new CodedError(code, message, options);

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
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

function readKey(key: string, file: string): KeyObject {
  try {
    return createPrivateKey(key);
  } catch (cause) {
    if (/ENCRYPTED/.test(key)) {
      throw broken("certificate/key-encrypted", `The key in ${file} is encrypted.`, {
        fields: { file },
        hint: `Decrypt it: openssl pkey -in ${file} -out key.pem`,
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
