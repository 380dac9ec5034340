import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const domain = "chat.example.org";
const day = 86_400_000;

let core: TestCore;
let agent: TestAgent;
let clock: ManualClock;
let folder: string;
let selfSignedPrint: string | undefined;

beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({ domain, users: ["alice"], clock, properties: { "xmpp.client.idle": "-1" } });
  agent = await connectAgent(core);
  folder = mkdtempSync(join(tmpdir(), "own-certificates-"));
  selfSignedPrint = await shown();
});
afterEach(async () => {
  await agent.set(Object.fromEntries(properties.map((key) => [key, null])));
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
  rmSync(folder, { recursive: true });
});

const properties = ["directory", "p12-password", "key-passphrase", "chain", "key"].map(
  (name) => `firekeeper.certificate.${name}`,
);
const useFolder = () => agent.set({ "firekeeper.certificate.directory": folder });

async function shown(name = domain): Promise<string | undefined> {
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: name });
  client.drop();
  return client.certificate?.fingerprint256;
}
async function makePair(name = domain) {
  const key = newKey();
  const chain = await selfSigned({ domain: name, extra: [] }, key, new Date(clock.now()));
  return { key, chain, print: new X509Certificate(chain).fingerprint256 };
}
const put = (path: string, text: string) => {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
};
const status = (name = domain) => core.server.serving.status().find((one) => one.name === name);
/** Files are looked at twice; each look ends before the next begins. */
async function untilShown(print: string | undefined, name = domain): Promise<void> {
  const look = () => {
    clock.pass(2000);
    return status(name)?.sha256;
  };
  await expect.poll(look, { interval: 10, timeout: 5000 }).toBe(print);
  expect(await shown(name)).toBe(print);
}

test("a folder per domain is taken over when files are copied into it, under open connections", async () => {
  const alice = await core.login("alice");
  await useFolder();
  expect(await shown()).toBe(selfSignedPrint);
  const first = await makePair();
  put(`${domain}/privkey.pem`, first.key);
  put(`${domain}/fullchain.pem`, first.chain);
  await untilShown(first.print);
  expect(status()).toMatchObject({ source: "file", file: join(folder, domain, "fullchain.pem") });
  expect(status()?.daysLeft).toBeGreaterThan(822);

  // Half a copy: the old one stays, status says why while it lasts.
  const second = await makePair();
  put(`${domain}/fullchain.pem`, second.chain);
  const why = () => {
    clock.pass(2000);
    return status()?.problem;
  };
  await expect.poll(why, { interval: 10, timeout: 8000 }).toContain("is not the key of");
  expect(await shown()).toBe(first.print);
  put(`${domain}/privkey.pem`, second.key);
  await untilShown(second.print);
  expect(status()?.problem).toBeUndefined();

  // Links are followed, as Kubernetes and certbot make them.
  const third = await makePair();
  put("live/1/tls.crt", third.chain);
  put("live/1/tls.key", third.key);
  renameSync(join(folder, domain), join(folder, "gone"));
  symlinkSync("live/1", join(folder, domain));
  await untilShown(third.print);
  await alice.ping();
  // A folder that is taken away means that nothing is given any more.
  rmSync(join(folder, domain));
  await untilShown(selfSignedPrint);
  await alice.ping();
});

test("files named by domain serve each live name with its own, and one file may hold both", async () => {
  const [own, other, trap] = [await makePair(), await makePair("second.example.org"), await makePair("evil.example")];
  put(`${domain}.pem`, own.chain + own.key);
  put("second.example.org.crt", other.chain);
  put("second.example.org.key", other.key);
  put("evil.example/fullchain.pem", trap.chain);
  put("evil.example/privkey.pem", trap.key);
  await useFolder();
  expect(await shown()).toBe(own.print);
  await agent.apply({ kind: "setting", setting: "domain", to: "second.example.org" });
  expect(await shown("second.example.org")).toBe(other.print);
  expect(await shown()).toBe(own.print);
  // Back again: the self-signed one of before was kept.
  await agent.apply({ kind: "setting", setting: "domain", to: domain });
  await agent.set({ "firekeeper.certificate.directory": null });
  expect(await shown()).toBe(selfSignedPrint);
});

test("a P12 file is read as it is, with its password or not at all", async () => {
  const { chain, key, print } = await makePair();
  put("chain.pem", chain);
  put("key.pem", key);
  const export12 = (out: string, password: string) =>
    execFileSync("openssl", [
      ...["pkcs12", "-export", "-in", join(folder, "chain.pem"), "-inkey", join(folder, "key.pem")],
      ...["-out", join(folder, out), "-passout", `pass:${password}`],
    ]);
  export12(`${domain}.pfx`, "s3cret");
  await expect(useFolder()).rejects.toThrow(`${domain}.pfx needs a password`);
  await expect(
    agent.set({ "firekeeper.certificate.directory": folder, "firekeeper.certificate.p12-password": "wrong" }),
  ).rejects.toThrow("The password does not open");
  expect(await shown()).toBe(selfSignedPrint);
  await agent.set({ "firekeeper.certificate.directory": folder, "firekeeper.certificate.p12-password": "s3cret" });
  expect(await shown()).toBe(print);
  // A password in a file beside wins, with the line's end that editors add.
  export12(`${domain}.pfx`, "other");
  writeFileSync(join(folder, `${domain}.pfx.password`), "other\n");
  await core.server.serving.refresh();
  expect(status()?.problem).toBeUndefined();
});

test("an encrypted key is opened with its passphrase, and said without", async () => {
  const { chain, key, print } = await makePair();
  put("chain.pem", chain);
  put("plain.pem", key);
  const [from, to] = [join(folder, "plain.pem"), join(folder, "key.pem")];
  execFileSync("openssl", ["pkey", "-in", from, "-aes256", "-passout", "pass:open", "-out", to]);
  const files = { "firekeeper.certificate.chain": join(folder, "chain.pem"), "firekeeper.certificate.key": to };
  await expect(agent.set(files)).rejects.toThrow("is encrypted");
  const passphrase = "firekeeper.certificate.key-passphrase";
  await expect(agent.set({ ...files, [passphrase]: "shut" })).rejects.toThrow("does not open");
  await agent.set({ ...files, [passphrase]: "open" });
  expect(await shown()).toBe(print);
  expect(JSON.stringify(core.server.properties.describe().find((one) => one.key === passphrase))).not.toContain(
    'open"',
  );
});

test("less than 21 days before the end status says so; past it the one in use stays, with the reason", async () => {
  const { chain, key, print } = await makePair();
  put(`${domain}/cert.pem`, chain);
  put(`${domain}/key.pem`, key);
  await useFolder();
  expect(core.server.serving.notices()).toEqual([]);
  clock.pass(805 * day);
  expect(core.server.control()?.status().notices.join()).toContain(`${domain}/cert.pem runs out in 1`);
  clock.pass(30 * day);
  await core.server.serving.refresh();
  expect(status()?.problem).toContain("ran out on");
  expect(await shown()).toBe(print);
});

test("the self-signed one keeps its fingerprint over restart and in a copied home, and its key when names change", async () => {
  const before = await shown();
  await agent.target.close();
  await core.restart();
  expect(await shown()).toBe(before);
  const copy = mkdtempSync(join(tmpdir(), "restored-"));
  cpSync(join(core.home, "certificates"), join(copy, "certificates"), { recursive: true });
  const { ensureSelfSigned } = await import("../../xmpp-core/transport/self-signed.ts");
  const restored = await ensureSelfSigned(copy, domain, { domain, extra: [] }, new Date(clock.now()));
  expect(new X509Certificate(restored.chain).fingerprint256).toBe(before);
  copyFileSync(join(core.home, "certificates", domain, "key.pem"), join(copy, "key-before.pem"));
  agent = await connectAgent(core);
  await agent.set({ fqdn: "machine.example.org" });
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain });
  client.drop();
  expect(client.certificate?.checkHost("machine.example.org")).toBeDefined();
  expect(client.certificate?.publicKey.equals(new X509Certificate(restored.chain).publicKey)).toBe(true);
  await agent.set({ fqdn: null });
  rmSync(copy, { recursive: true });
});
