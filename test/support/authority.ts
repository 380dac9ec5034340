/** An authority that issues certificates, as programs trust them without asking once they know it. By openssl. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** PEM. */
export interface Pair {
  readonly chain: string;
  readonly key: string;
}

export interface TestAuthority {
  /** Its own certificate, PEM. */
  readonly certificate: string;
  /** A new key and certificate, valid for 30 days from now, for these host names, domains and addresses. */
  issue(names: readonly string[]): Pair;
}

export function testAuthority(): TestAuthority {
  const own = make(undefined, "Authority of the tests", [
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign",
    "subjectKeyIdentifier=hash",
  ]);
  return {
    certificate: own.chain,
    issue: (names) =>
      make(own, names[0] ?? "", [
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth",
        `subjectAltName=${names.map((name) => (isIP(name) ? `IP:${name}` : `DNS:${name}`)).join(",")}`,
      ]),
  };
}

function make(by: Pair | undefined, subject: string, extensions: readonly string[]): Pair {
  const folder = mkdtempSync(join(tmpdir(), "test-authority-"));
  try {
    if (by !== undefined) {
      writeFileSync(join(folder, "by.pem"), by.chain);
      writeFileSync(join(folder, "by.key"), by.key);
    }
    const signed = by === undefined ? [] : ["-CA", "by.pem", "-CAkey", "by.key"];
    const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "own.key"];
    const more = extensions.flatMap((text) => ["-addext", text]);
    const words = [...fresh, "-out", "own.pem", "-days", "30", "-subj", `/CN=${subject}`, ...signed, ...more];
    execFileSync("openssl", ["req", "-x509", "-config", "/dev/null", ...words], { cwd: folder, stdio: "pipe" });
    const read = (name: string): string => readFileSync(join(folder, name), "utf8");
    return { chain: read("own.pem"), key: read("own.key") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
