import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CodedError } from "../../xmpp-core/errors.ts";
import { serverEndPoint } from "../../xmpp-core/gate/secure-contexts.ts";
import { checkCertificate, loadCertificate } from "../../xmpp-core/transport/certificates.ts";
import { ensureSelfSigned, newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";

const now = new Date("2027-01-10T12:00:00Z");
const later = (days: number) => new Date(now.getTime() + days * 86_400_000);
const names = { domain: "example.org", extra: ["chat.example.net", "192.0.2.7", "2001:db8::7"] };

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "certificates-"));
});
afterEach(() => rmSync(home, { recursive: true }));

function source(covers = ["example.org"]) {
  return { name: "own", chainPath: join(home, "chain.pem"), keyPath: join(home, "key.pem"), covers };
}

async function writePair(key = newKey(), made = names, at = now): Promise<{ key: string; chain: string }> {
  const chain = await selfSigned(made, key, at);
  writeFileSync(source().chainPath, chain);
  writeFileSync(source().keyPath, key);
  return { key, chain };
}

describe("the self-signed certificate", () => {
  test("covers the domain, its wildcard, further names and addresses, and names the service for XMPP", async () => {
    const { chain, key, made } = await ensureSelfSigned(home, "self", names, now);
    expect(made).toBe(true);
    const certificate = new X509Certificate(chain);
    for (const host of ["example.org", "proxy.example.org", "chat.example.net"])
      expect(certificate.checkHost(host)).toBeDefined();
    for (const ip of ["192.0.2.7", "2001:db8::7"]) expect(certificate.checkIP(ip)).toBeDefined();
    expect(certificate.checkHost("example.com")).toBeUndefined();
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    const text = execFileSync("openssl", ["x509", "-noout", "-text"], { input: chain }).toString();
    expect(text).toContain("othername: XmppAddr::example.org");
    expect(text).toContain("othername: SRVName::_xmpp-client.example.org");
    expect(text).toContain("TLS Web Server Authentication");
    // Without these NSS, and so Pidgin, takes it for a broken chain instead of a self-signed certificate.
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE/);
    expect(text).toContain("Certificate Sign");
    expect(text).toContain("SSL Client, SSL Server, SSL CA");
    expect(checkCertificate(source(), chain, key, now)).toMatchObject({ daysLeft: 824, selfSigned: true });
    for (const file of ["key.pem", "chain.pem"])
      expect(statSync(join(home, "certificates/self", file)).mode & 0o777).toBe(0o600);
  });

  test("stays as it is while it is good, and keeps its key when it is renewed", async () => {
    const first = await ensureSelfSigned(home, "self", names, now);
    expect(await ensureSelfSigned(home, "self", names, later(700))).toEqual({ ...first, made: false });
    const renewed = await ensureSelfSigned(home, "self", names, later(800));
    expect(renewed.made).toBe(true);
    expect(renewed.key).toBe(first.key);
    expect(renewed.chain).not.toBe(first.chain);
    const widened = await ensureSelfSigned(
      home,
      "self",
      { ...names, extra: [...names.extra, "203.0.113.9"] },
      later(800),
    );
    expect(widened.key).toBe(first.key);
    expect(new X509Certificate(widened.chain).checkIP("203.0.113.9")).toBeDefined();
  });

  test("serves a domain without a dot and one beyond ASCII", async () => {
    const single = new X509Certificate(
      await selfSigned({ domain: "mobydick", extra: ["proxy.mobydick"] }, newKey(), now),
    );
    expect(single.checkHost("mobydick")).toBeDefined();
    expect(single.checkHost("proxy.mobydick")).toBeDefined();
    const foreign = new X509Certificate(await selfSigned({ domain: "bücher.example", extra: [] }, newKey(), now));
    expect(foreign.checkHost("xn--bcher-kva.example")).toBeDefined();
  });
});

describe("own certificates", () => {
  test("are read with what one wants to know of them", async () => {
    const { chain, key } = await writePair();
    const loaded = await loadCertificate(source(), now);
    expect(loaded).toMatchObject({ name: "own", chain, key });
    expect(loaded.facts.names).toEqual([
      "example.org",
      "*.example.org",
      "chat.example.net",
      "192.0.2.7",
      "2001:DB8:0:0:0:0:0:7",
    ]);
    expect(loaded.facts.fingerprint).toBe(new X509Certificate(chain).fingerprint256);
  });

  const spoilt: [code: string, file: "key.pem" | "chain.pem", spoil: () => Promise<void>, at?: Date][] = [
    ["certificate/unreadable", "key.pem", async () => rmSync(source().keyPath)],
    ["certificate/not-pem", "chain.pem", async () => writeFileSync(source().chainPath, "nonsense")],
    [
      "certificate/not-pem",
      "chain.pem",
      async () => writeFileSync(source().chainPath, readFileSync(source().chainPath, "utf8").slice(0, 300)),
    ],
    ["certificate/key-not-pem", "key.pem", async () => writeFileSync(source().keyPath, "nonsense")],
    ["certificate/key-encrypted", "key.pem", async () => writeFileSync(source().keyPath, encryptedKey())],
    ["certificate/pair-mismatch", "key.pem", async () => writeFileSync(source().keyPath, newKey())],
    [
      "certificate/chain-broken",
      "chain.pem",
      async () =>
        writeFileSync(
          source().chainPath,
          readFileSync(source().chainPath, "utf8") + (await selfSigned(names, newKey(), now)),
        ),
    ],
    ["certificate/expired", "chain.pem", async () => undefined, later(900)],
    ["certificate/not-yet-valid", "chain.pem", async () => undefined, later(-3)],
    [
      "certificate/names-missing",
      "chain.pem",
      async () => void (await writePair(newKey(), { domain: "example.com", extra: [] })),
    ],
  ];
  test.each(spoilt)("%s names the file %s and the mend", async (code, file, spoil, at = now) => {
    await writePair();
    await spoil();
    const error = (await loadCertificate(source(), at).catch((caught) => caught)) as CodedError;
    expect(error.code).toBe(code);
    expect(error.fields.file).toBe(join(home, file));
    expect(error.message).toContain(file);
    expect(error.hint).toBeTruthy();
  });
});

describe("tls-server-end-point", () => {
  test.each([
    ["ec", "sha256", "sha256"],
    ["ec", "sha384", "sha384"],
    ["rsa", "sha1", "sha256"],
    ["rsa", "sha512", "sha512"],
    ["rsa-pss", "sha384", "sha384"],
    ["ed25519", undefined, undefined],
  ])("of a certificate signed with %s and %s is its %s", (type, signed, expected) => {
    const raw = opensslCertificate(type, signed);
    const digest = expected === undefined ? undefined : createHash(expected).update(raw).digest("hex");
    expect(serverEndPoint(raw)?.toString("hex")).toBe(digest);
  });
});

function encryptedKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" }) as string;
}

function opensslCertificate(type: string, hash: string | undefined): Buffer {
  const key =
    type === "ec" ? ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] : type === "ed25519" ? [type] : ["rsa:2048"];
  const padding = type === "rsa-pss" ? ["-sigopt", "rsa_padding_mode:pss"] : [];
  const digest = hash === undefined ? [] : [`-${hash}`];
  const args = [
    "req",
    "-x509",
    "-newkey",
    ...key,
    "-nodes",
    "-keyout",
    "/dev/null",
    "-subj",
    "/CN=x",
    "-outform",
    "DER",
  ];
  return execFileSync("openssl", [...args, ...padding, ...digest], { stdio: ["ignore", "pipe", "ignore"] });
}
