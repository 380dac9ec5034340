/** A certificate that an authority issued, as programs trust it without asking once they know the authority. Made by openssl. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM, all of it. */
export interface Issued {
  readonly authority: string;
  readonly chain: string;
  readonly key: string;
}

/** Valid for 30 days from now, for these host names and domains. */
export function issuedCertificate(names: readonly string[]): Issued {
  const folder = mkdtempSync(join(tmpdir(), "issued-certificate-"));
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const make = (name: string, subject: string, ...more: string[]): void => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${name}.key`];
    const given = ["-x509", "-days", "30", ...key, "-out", `${name}.pem`, "-subj", `/CN=${subject}`, ...more];
    execFileSync("openssl", ["req", "-config", "/dev/null", ...given], { cwd: folder, stdio: "pipe" });
  };
  const extension = (text: string): string[] => ["-addext", text];
  try {
    const signs = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash"];
    make("authority", "Authority of the tests", ...signs.flatMap(extension));
    const serves = [
      "basicConstraints=critical,CA:FALSE",
      "extendedKeyUsage=serverAuth",
      `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`,
    ];
    make("own", names[0] ?? "", "-CA", "authority.pem", "-CAkey", "authority.key", ...serves.flatMap(extension));
    return { authority: read("authority.pem"), chain: read("own.pem"), key: read("own.key") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
