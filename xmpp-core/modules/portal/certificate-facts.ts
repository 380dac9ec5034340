import { createHash, X509Certificate } from "node:crypto";
import { z } from "zod";
import type { ServedCertificate } from "../module.ts";

const print = z.string().regex(/^[0-9A-F]{2}(:[0-9A-F]{2})+$/);

/** /certificates.json: the certificates that clients meet now. Fields are only added within a version. */
export const certificatesDocument = z
  .object({
    version: z.literal(1),
    certificates: z.array(
      z.object({
        domain: z.string(),
        names: z.array(z.string()).describe("Names and addresses that the certificate is for."),
        issuer: z.string(),
        selfSigned: z.boolean(),
        validFrom: z.iso.datetime(),
        validTo: z.iso.datetime(),
        sha1: print.describe("Fingerprint, as openssl x509 -fingerprint -sha1 prints it."),
        sha256: print,
        spki: z
          .string()
          .describe("SHA-256 of the public key in base64 (RFC 7469 §2.4); it stays when a self-signed one is renewed."),
      }),
    ),
  })
  .strict();

export type CertificatesFacts = z.infer<typeof certificatesDocument>;

/** What anybody sees who connects, told beforehand. */
export function certificatesFacts(served: readonly ServedCertificate[]): CertificatesFacts {
  return {
    version: 1,
    certificates: served.map(({ name, chain, selfSigned }) => {
      const certificate = new X509Certificate(chain);
      const spki = certificate.publicKey.export({ type: "spki", format: "der" });
      return {
        domain: name,
        names: namesOf(certificate),
        issuer: certificate.issuer.replaceAll("\n", ", "),
        selfSigned,
        validFrom: new Date(certificate.validFrom).toISOString(),
        validTo: new Date(certificate.validTo).toISOString(),
        sha1: certificate.fingerprint,
        sha256: certificate.fingerprint256,
        spki: createHash("sha256").update(spki).digest("base64"),
      };
    }),
  };
}

function namesOf({ subjectAltName }: X509Certificate): string[] {
  return (subjectAltName ?? "")
    .split(", ")
    .flatMap((name) => (/^(DNS|IP Address):/.test(name) ? [name.slice(name.indexOf(":") + 1)] : []));
}
