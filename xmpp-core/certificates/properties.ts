/** Where certificates come from. docs/certificates.md */
import { isAbsolute } from "node:path";
import type { Property } from "../properties/property.ts";
import { property } from "../properties/property.ts";
import { boolean, canonicalHost, enumeration, listOf, port, type TextSchema, text } from "../properties/text-schema.ts";

const absolutePath: TextSchema<string> = {
  ...text,
  zod: text.zod.refine((path) => isAbsolute(path)),
  rule: "an absolute path",
  hint: () => "For example /etc/firekeeper/certificates.",
};

const caUrl: TextSchema<string> = {
  ...text,
  zod: text.zod.refine(isCaUrl),
  rule: "an https URL",
  hint: () => "It is the CA's directory, for example https://acme-v02.api.letsencrypt.org/directory.",
};

/** RFC 8555 §6.1 wants HTTPS; on this machine itself nobody can listen. */
function isCaUrl(given: string): boolean {
  if (!URL.canParse(given)) return false;
  const { protocol, hostname, username } = new URL(given);
  const loopback = /^(localhost|127\.[0-9.]+|\[::1\])$/.test(hostname);
  return username === "" && (protocol === "https:" || (protocol === "http:" && loopback));
}

const mailAddress: TextSchema<string> = {
  ...text,
  zod: text.zod.refine((given) => /^[^\s@,?:/]+@[^\s@,?:/]+$/.test(given)),
  rule: "one e-mail address",
  hint: () => "For example ops@example.org.",
};

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
  doc: "File with the private key (PEM) of firekeeper.certificate.chain.",
});

export const certificateDirectory = property("firekeeper.certificate.directory", {
  schema: absolutePath,
  default: undefined,
  impact: "live",
  doc: "Folder with a sub-folder, or files, named by domain (PEM, P12, PFX); watched, and preferred to firekeeper.certificate.chain.",
});

export const p12Password = property("firekeeper.certificate.p12-password", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Password of P12 and PFX files; a file beside one, named like it plus .password, wins.",
});

export const keyPassphrase = property("firekeeper.certificate.key-passphrase", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Passphrase of encrypted PEM keys; a file beside one, named like it plus .password, wins.",
});

export const acmeEnabled = property("firekeeper.acme.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Order and renew certificates by ACME for every name that is served and has no files of its own.",
});

export const acmeDirectory = property("firekeeper.acme.directory", {
  schema: caUrl,
  default: "https://acme-v02.api.letsencrypt.org/directory",
  impact: "live",
  doc: "Directory of the ACME certificate authority (RFC 8555).",
});

export const acmeTerms = property("firekeeper.acme.accept-terms", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether you accept the certificate authority's terms of service; nothing is ordered before.",
});

export const acmeEmail = property("firekeeper.acme.email", {
  schema: mailAddress,
  default: undefined,
  impact: "live",
  doc: "Where the certificate authority may write to.",
});

export const acmeNames = property("firekeeper.acme.names", {
  schema: listOf("list", {
    canonical: canonicalHost,
    rule: "host names",
    hint: (refused) => `"${refused}" is no host name.`,
  }),
  default: [],
  impact: "live",
  doc: "More host names for the domain's certificate, besides the domain and fqdn; each must be proven like the domain.",
});

export const acmeChallenge = property("firekeeper.acme.challenge", {
  schema: enumeration("http-01", "dns-01"),
  default: "http-01",
  impact: "live",
  doc: "How names are proven: http-01 answers on firekeeper.acme.http-port while an order is pending; dns-01 runs the program in FIREKEEPER_ACME_HOOK and covers *.domain too.",
});

export const acmeHttpPort = property("firekeeper.acme.http-port", {
  schema: port,
  default: 80,
  impact: "live",
  doc: "Port that answers http-01 challenges; the authority asks on port 80, so another one needs a reverse proxy or port forwarding.",
});

export const acmeCaFile = property("firekeeper.acme.ca-file", {
  schema: absolutePath,
  default: undefined,
  impact: "live",
  doc: "PEM file with the roots that the ACME server's own HTTPS certificate is checked against; for private authorities.",
});

export const acmeEabKeyId = property("firekeeper.acme.eab-key-id", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "Key identifier of an external account binding (RFC 8555 §7.3.4), if the authority wants one.",
});

export const acmeEabKey = property("firekeeper.acme.eab-hmac-key", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "HMAC key (base64url) of the external account binding.",
});

/** Files that people give. */
export const fileProperties = [chainPath, keyPath, certificateDirectory, p12Password, keyPassphrase] as const;

export const certificateProperties = [
  ...fileProperties,
  ...[acmeEnabled, acmeDirectory, acmeTerms, acmeEmail, acmeNames, acmeChallenge, acmeHttpPort, acmeCaFile],
  ...[acmeEabKeyId, acmeEabKey],
] as unknown as readonly Property<unknown>[];
