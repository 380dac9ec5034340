/** Fingerprints on a page and as JSON, compared with what openssl says of the certificates that clients meet. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { certificatesDocument } from "../../xmpp-core/modules/portal/certificate-facts.ts";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let folder: string;

beforeAll(async () => {
  port = await freePort();
  folder = mkdtempSync(join(tmpdir(), "certificates-page-"));
  core = await startTestCore({
    domain: "chat.example",
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": "-1",
      "httpbind.port.secure": String(port),
      fqdn: "host.example",
    },
  });
});
afterAll(async () => {
  await core.close();
  rmSync(folder, { recursive: true });
});

const openssl = (pem: string, ...words: string[]): string =>
  execFileSync("openssl", ["x509", "-noout", ...words], { input: pem })
    .toString()
    .trim();

async function told() {
  const { status, body } = await fetchPage(port, "/certificates.json");
  expect(status).toBe(200);
  return certificatesDocument.parse(JSON.parse(body)).certificates;
}

/** PEM of what a client is shown who comes for this domain. */
async function met(domain: string): Promise<string> {
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain });
  const raw = client.certificate?.raw.toString("base64") ?? "";
  client.drop();
  return `-----BEGIN CERTIFICATE-----\n${raw.replaceAll(/(.{64})/g, "$1\n")}\n-----END CERTIFICATE-----\n`;
}

async function compare(domain: string): Promise<void> {
  const pem = await met(domain);
  const found = (await told()).find((one) => one.domain === domain);
  expect(`sha1 Fingerprint=${found?.sha1}`.toLowerCase()).toBe(openssl(pem, "-fingerprint", "-sha1").toLowerCase());
  expect(`sha256 Fingerprint=${found?.sha256}`.toLowerCase()).toBe(
    openssl(pem, "-fingerprint", "-sha256").toLowerCase(),
  );
  expect(found?.validTo).toBe(new Date(openssl(pem, "-enddate").replace("notAfter=", "")).toISOString());
  const key = execFileSync("openssl", ["pkey", "-pubin", "-outform", "DER"], { input: openssl(pem, "-pubkey") });
  const pin = execFileSync("openssl", ["dgst", "-sha256", "-binary"], { input: key }).toString("base64");
  expect(found?.spki).toBe(pin);
  const names = openssl(pem, "-ext", "subjectAltName");
  expect(found?.names.length).toBeGreaterThan(0);
  for (const name of found?.names ?? []) expect(names).toContain(name);
  const { body } = await fetchPage(port, "/certificates", { host: domain });
  for (const shown of [found?.sha1, found?.sha256, found?.spki, ...(found?.names ?? [])])
    expect(body).toContain(`<code>${shown}</code>`);
}

test("G9: a self-signed certificate, as openssl reads it", async () => {
  await compare("chat.example");
  const [first] = await told();
  expect(first).toMatchObject({ selfSigned: true, names: expect.arrayContaining(["chat.example", "host.example"]) });
  expect((await fetchPage(port, "/certificates?lang=de")).body).toContain("selbstsigniert");
});

test("G9: another certificate is on the page as soon as clients meet it", async () => {
  const key = newKey();
  const chain = await selfSigned({ domain: "chat.example", extra: ["third.example"] }, key, new Date());
  writeFileSync(join(folder, "chain.pem"), chain);
  writeFileSync(join(folder, "key.pem"), key, { mode: 0o600 });
  const before = (await told())[0]?.sha256;
  await core.set({
    "firekeeper.certificate.chain": join(folder, "chain.pem"),
    "firekeeper.certificate.key": join(folder, "key.pem"),
  });
  await core.server.serving.refresh();
  await compare("chat.example");
  expect((await told())[0]?.sha256).not.toBe(before);
  expect((await fetchPage(port, "/certificates.json")).body).not.toContain("PRIVATE");
});

test("after a change of domain both names stand there", async () => {
  await core.rename("new.example", null);
  await compare("new.example");
  await compare("chat.example");
  expect((await told()).map(({ domain }) => domain).sort()).toEqual(["chat.example", "new.example"]);
});
