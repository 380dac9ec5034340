/** Proofs of where certificates come from: a folder, P12 files, encrypted keys, and orders at an authority of the test's. */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { type Authority, startAuthority } from "../support/acme-authority.ts";
import { connectAgent } from "../support/agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { makeCertificate } from "./gate-fixture.ts";
import type { Proof, World } from "./properties-world.ts";

/** A pair for the world's domain in a folder of its own, and what it is known by. */
async function withFiles(
  world: World,
  work: (folder: string, shows: () => Promise<boolean>) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "proof-"));
  const { chain, key } = await makeCertificate("localhost");
  const { serialNumber } = new X509Certificate(chain);
  writeFileSync(join(folder, "localhost.crt"), chain);
  writeFileSync(join(folder, "localhost.key"), key);
  try {
    await work(folder, async () => (await world.connect()).certificate?.serialNumber === serialNumber);
  } finally {
    await world.reset();
    rmSync(folder, { recursive: true });
  }
}

interface Stage {
  readonly authority: Authority;
  readonly core: TestCore;
  set(properties: Record<string, string | null>): Promise<unknown>;
  /** Once a certificate of the authority's is in use, or an order has failed. */
  settled(): Promise<{ source: string | undefined; problem: string | undefined }>;
  /** As if nothing had ever been ordered. */
  forget(): Promise<void>;
  close(): Promise<void>;
}

const domain = "chat.example.org";
let opened: Promise<Stage> | undefined;

/** The world's domain has no dot, so nobody issues for it: orders have a server of their own. */
async function openStage(): Promise<Stage> {
  const authority = await startAuthority(await freePort());
  const clock = manualClock();
  // A program that does nothing publishes everything that this authority asks for.
  const core = await startTestCore({ domain, clock, acmeHook: "/bin/true" });
  const agent = await connectAgent(core);
  return {
    ...{ authority, core },
    set: (properties) => agent.set(properties),
    async settled() {
      const status = () => core.server.serving.status().find(({ name }) => name === domain);
      const over = () => {
        const { source, problem, renewal } = status() ?? {};
        return problem !== undefined || (source === "acme" && renewal !== undefined && authority.issued.length > 0);
      };
      await expect.poll(over, { interval: 5, timeout: 8000 }).toBe(true);
      return { source: status()?.source, problem: status()?.problem };
    },
    async forget() {
      for (const file of readdirSync(join(core.home, "secrets")).filter((name) => name.startsWith("acme-account")))
        rmSync(join(core.home, "secrets", file));
      rmSync(join(core.home, "certificates", domain, "acme.pem"), { force: true });
      // Orders of one day are counted.
      clock.pass(25 * 3_600_000);
      await core.server.serving.refresh();
    },
    async close() {
      await agent.target.close();
      await core.close();
      authority.close();
    },
  };
}

let ordered = 0;
async function placed({ core }: Stage): Promise<number> {
  const text = await core.server.report.metrics.metrics();
  return Number(/certificate_orders_total\{result="issued"\} (\d+)/.exec(text)?.[1] ?? 0);
}

/** On a server that never ordered; `given` besides what every order needs. */
function ordering(given: Record<string, string>, proof: (stage: Stage) => Promise<void>): Proof {
  return async () => {
    opened ??= openStage();
    const stage = await opened;
    const { authority } = stage;
    const base = {
      "firekeeper.acme.directory": authority.directory,
      "firekeeper.acme.http-port": String(authority.behaviour.httpPort),
      "firekeeper.acme.accept-terms": "true",
      "firekeeper.acme.enabled": "true",
    };
    const usual = authority.behaviour.httpPort;
    authority.issued.length = 0;
    authority.contacts.length = 0;
    authority.bindings.length = 0;
    await stage.set({ ...base, ...given });
    try {
      await proof(stage);
    } finally {
      // The authority has given it out before the server has put it in place.
      ordered += authority.issued.length;
      await expect.poll(() => placed(stage), { interval: 5, timeout: 8000 }).toBe(ordered);
      authority.behaviour.httpPort = usual;
      const touched = stage.core.server.properties.stored().keys();
      const all = [...touched].filter((key) => key.startsWith("firekeeper.acme."));
      await stage.set(Object.fromEntries(all.map((key) => [key, null])));
      await stage.forget();
    }
  };
}

const issued = async (stage: Stage): Promise<void> =>
  expect(await stage.settled()).toEqual({ source: "acme", problem: undefined });
const refused = async (stage: Stage): Promise<string> => (await stage.settled()).problem ?? "nothing was refused";
const bound = { "firekeeper.acme.eab-key-id": "kid-1", "firekeeper.acme.eab-hmac-key": "c2VjcmV0" };

export const certificateProofs: Record<string, Proof> = {
  "firekeeper.certificate.directory": (world) =>
    withFiles(world, async (folder, shows) => {
      expect(await shows()).toBe(false);
      await world.set({ "firekeeper.certificate.directory": folder });
      expect(await shows()).toBe(true);
    }),
  "firekeeper.certificate.p12-password": (world) =>
    withFiles(world, async (folder, shows) => {
      const [chain, key, p12] = ["crt", "key", "p12"].map((end) => join(folder, `localhost.${end}`)) as [
        string,
        string,
        string,
      ];
      const to = ["-out", p12, "-passout", "pass:opens"];
      execFileSync("openssl", ["pkcs12", "-export", "-in", chain, "-inkey", key, ...to]);
      for (const file of [chain, key]) rmSync(file);
      const directory = { "firekeeper.certificate.directory": folder };
      await world.set({ ...directory, "firekeeper.certificate.p12-password": "opens" });
      expect(await shows()).toBe(true);
    }),
  "firekeeper.certificate.key-passphrase": (world) =>
    withFiles(world, async (folder, shows) => {
      const key = join(folder, "localhost.key");
      const clear = join(folder, "clear.key");
      renameSync(key, clear);
      execFileSync("openssl", ["pkey", "-in", clear, "-aes256", "-passout", "pass:opens", "-out", key]);
      const directory = { "firekeeper.certificate.directory": folder };
      await expect(world.set(directory)).rejects.toThrow("is encrypted");
      await world.set({ ...directory, "firekeeper.certificate.key-passphrase": "opens" });
      expect(await shows()).toBe(true);
    }),
  "firekeeper.acme.enabled": ordering({ "firekeeper.acme.enabled": "false" }, async (stage) => {
    expect(stage.authority.requests).not.toContain("order");
    await stage.set({ "firekeeper.acme.enabled": "true" });
    await issued(stage);
  }),
  "firekeeper.acme.accept-terms": ordering({ "firekeeper.acme.accept-terms": "false" }, async (stage) => {
    expect(stage.core.server.serving.notices().join()).toContain("before you accept the terms");
    await stage.set({ "firekeeper.acme.accept-terms": "true" });
    await issued(stage);
  }),
  "firekeeper.acme.directory": ordering({}, async (stage) => {
    await issued(stage);
    await stage.set({ "firekeeper.acme.directory": stage.authority.otherDirectory });
    await expect
      .poll(() => stage.authority.issued.map(({ via }) => via), { interval: 5, timeout: 8000 })
      .toEqual(["one", "other"]);
  }),
  "firekeeper.acme.email": ordering({ "firekeeper.acme.email": "ops@example.org" }, async (stage) => {
    await issued(stage);
    expect(stage.authority.contacts).toEqual([["mailto:ops@example.org"]]);
  }),
  "firekeeper.acme.names": ordering({ "firekeeper.acme.names": "mail.example.org" }, async (stage) => {
    await issued(stage);
    expect(stage.authority.issued.map(({ names }) => names)).toEqual([[domain, "mail.example.org"]]);
  }),
  "firekeeper.acme.challenge": ordering({ "firekeeper.acme.challenge": "dns-01" }, async (stage) => {
    await issued(stage);
    expect(stage.authority.issued.map(({ names, challenges }) => [names, challenges])).toEqual([
      [
        [domain, `*.${domain}`],
        ["dns-01", "dns-01"],
      ],
    ]);
  }),
  "firekeeper.acme.http-port": ordering({ "firekeeper.acme.enabled": "false" }, async (stage) => {
    const port = await freePort();
    stage.authority.behaviour.httpPort = port;
    await stage.set({ "firekeeper.acme.enabled": "true" });
    expect(await refused(stage)).toContain("did not see the proof");
    await stage.set({ "firekeeper.acme.http-port": String(port) });
    await expect.poll(() => stage.authority.issued.length, { interval: 5, timeout: 8000 }).toBe(1);
  }),
  "firekeeper.acme.ca-file": ordering({ "firekeeper.acme.enabled": "false" }, async (stage) => {
    const file = join(stage.core.home, "root.pem");
    writeFileSync(file, stage.authority.root);
    const { secureDirectory } = stage.authority;
    await stage.set({ "firekeeper.acme.enabled": "true", "firekeeper.acme.directory": secureDirectory });
    expect(await refused(stage)).toContain("cannot be reached: self-signed certificate");
    await stage.set({ "firekeeper.acme.ca-file": file });
    await expect.poll(() => stage.authority.issued.length, { interval: 5, timeout: 8000 }).toBe(1);
  }),
  "firekeeper.acme.eab-key-id": ordering(bound, async (stage) => {
    stage.authority.behaviour.bindingKey = "c2VjcmV0";
    await issued(stage);
    expect(stage.authority.bindings).toEqual(["kid-1"]);
  }),
  "firekeeper.acme.eab-hmac-key": ordering(bound, async (stage) => {
    stage.authority.behaviour.bindingKey = "b3RoZXI";
    await issued(stage);
    expect(stage.authority.bindings).toEqual(["wrong"]);
  }),
};

export async function closeCertificateStage(): Promise<void> {
  await (await opened)?.close();
}
