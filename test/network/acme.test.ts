import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { absent, type Pebble, startPebble } from "./pebble.ts";

if (absent !== undefined) console.warn(`skipped: ${absent} is not installed (apt-get install pebble openssl)`);

const domain = "chat.example.com";
const day = 86_400_000;

interface Stage {
  pebble: Pebble;
  core: TestCore;
  agent: TestAgent;
  clock: ManualClock;
}

let closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
});

async function stage(
  options: Parameters<typeof startPebble>[0] & { challenge?: "http-01" | "dns-01" } = {},
): Promise<Stage> {
  const pebble = await startPebble(options);
  closing.push(() => pebble.close());
  const clock = manualClock();
  const core = await startTestCore({
    ...{ domain, users: ["alice"], clock, acmeHook: pebble.hook },
    properties: {
      "firekeeper.acme.directory": pebble.directory,
      "firekeeper.acme.ca-file": pebble.caFile,
      "firekeeper.acme.http-port": String(pebble.httpPort),
      "firekeeper.acme.challenge": options.challenge ?? "http-01",
      "firekeeper.acme.accept-terms": "true",
      // Years pass here in a moment.
      "xmpp.client.idle": "-1",
    },
  });
  closing.push(() => core.close());
  const agent = await connectAgent(core);
  closing.push(() => agent.target.close());
  return { pebble, core, agent, clock };
}

const shown = async ({ core }: Stage, name = domain) => {
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: name });
  const { certificate } = client;
  client.drop();
  if (certificate === undefined) throw new Error("no certificate was shown");
  return certificate;
};

/** What status says of a name, as soon as it is as wanted. */
async function status({ core, pebble }: Stage, wanted: (one: Status) => boolean, name = domain): Promise<Status> {
  for (const late = Date.now() + 30_000; Date.now() < late; ) {
    const now = core.server.serving.status().find((one) => one.name === name);
    if (now !== undefined && wanted(now)) return now;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${JSON.stringify(core.server.serving.status(), null, 1)}\n${pebble.log().slice(-3000)}`);
}
type Status = ReturnType<TestCore["server"]["serving"]["status"]>[number];

const accounts = (pebble: Pebble): number => pebble.log().split(" accounts in memory").length - 1;

describe.skipIf(absent !== undefined)("certificates by ACME", () => {
  test("are ordered by http-01, renewed under an open connection, and the account outlives a restart", async () => {
    const on = await stage();
    const { core, agent, clock, pebble } = on;
    const before = await shown(on);
    const alice = await core.login("alice");
    await agent.set({ "firekeeper.acme.enabled": "true", "firekeeper.acme.email": "ops@example.com" });
    const first = await status(on, ({ source }) => source === "acme");
    const certificate = await shown(on);
    expect(certificate.issuer).toContain("Pebble Intermediate");
    expect(certificate.fingerprint256).toBe(first.sha256);
    expect(certificate.fingerprint256).not.toBe(before.fingerprint256);
    expect(first).toMatchObject({ names: [domain], selfSigned: false });
    // The port is open only while an order is pending.
    await expect(fetch(`http://127.0.0.1:${pebble.httpPort}/`)).rejects.toThrow();
    for (const file of readdirSync(join(core.home, "certificates", domain)))
      expect(statSync(join(core.home, "certificates", domain, file)).mode & 0o777, file).toBe(0o600);
    const [account] = readdirSync(join(core.home, "secrets")).filter((file) => file.startsWith("acme-account"));
    expect(statSync(join(core.home, "secrets", account ?? "")).mode & 0o777).toBe(0o600);

    await agent.target.close();
    await core.restart();
    expect((await shown(on)).fingerprint256).toBe(first.sha256);
    const due = Date.parse(first.renewal ?? "") - clock.now();
    const life = Date.parse(certificate.validTo) - Date.parse(certificate.validFrom);
    expect(due / life).toBeGreaterThan(0.63);
    expect(due / life).toBeLessThan(0.67);
    clock.pass(due - day);
    await alice.ping();
    expect((await shown(on)).fingerprint256).toBe(first.sha256);
    clock.pass(2 * day);
    const second = await status(on, ({ sha256 }) => sha256 !== first.sha256);
    const renewed = await shown(on);
    expect(renewed.fingerprint256).toBe(second.sha256);
    // The key stays, so that pins hold.
    expect(renewed.publicKey.equals(certificate.publicKey)).toBe(true);
    await alice.ping();
    expect(accounts(pebble)).toBe(1);
  });

  test("are ordered by dns-01 through a program, with a wildcard, and survive refused nonces", async () => {
    const on = await stage({ challenge: "dns-01", rejectNonces: 20 });
    await on.agent.set({ "firekeeper.acme.enabled": "true" });
    const { names } = await status(on, ({ source }) => source === "acme");
    expect([...names].sort()).toEqual([`*.${domain}`, domain]);
    const runs = await on.pebble.hookRuns();
    expect(runs.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(
      Array.from({ length: 2 }, () => [
        `present _acme-challenge.${domain}`,
        `cleanup _acme-challenge.${domain}`,
      ]).flat(),
    );
  });

  test("fail without harm while the authority is away, and are tried less and less often, over restarts too", async () => {
    const on = await stage();
    const { core, agent, clock, pebble } = on;
    const before = await shown(on);
    await pebble.stop();
    await agent.set({ "firekeeper.acme.enabled": "true" });
    const failed = await status(on, ({ problem }) => problem !== undefined);
    expect(failed.problem).toContain("cannot be reached");
    expect((await shown(on)).fingerprint256).toBe(before.fingerprint256);
    const tries = (): number =>
      JSON.parse(readFileSync(join(core.home, "certificates", domain, "acme.json"), "utf8")).attempts.length;
    const wait = (one: Status) => Date.parse(one.renewal ?? "") - clock.now();
    const firstWait = wait(failed);
    await agent.target.close();
    await core.restart();
    clock.pass(1000);
    await core.server.serving.refresh();
    expect(tries()).toBe(1);
    clock.pass(firstWait);
    const again = await status(on, (one) => wait(one) > 0 && tries() === 2);
    expect(wait(again) / firstWait).toBeGreaterThan(1.5);
    await pebble.start();
    clock.pass(wait(again) + 1000);
    await status(on, ({ source, problem }) => source === "acme" && problem === undefined);
  });

  test("are not given for a name that leads elsewhere: the reason is in status, the old one stays", async () => {
    const on = await stage();
    await on.pebble.point(domain, "127.0.0.2");
    const before = await shown(on);
    await on.agent.set({ "firekeeper.acme.enabled": "true", "network.interface": "127.0.0.1" });
    const { problem } = await status(on, (one) => one.problem !== undefined);
    expect(problem).toMatch(/did not see the proof|refused|127\.0\.0\.2/);
    expect((await shown(on)).fingerprint256).toBe(before.fingerprint256);
    await expect(fetch(`http://127.0.0.1:${on.pebble.httpPort}/`)).rejects.toThrow();
  });

  test("come before a change of domain, so that the new name never shows a self-signed one", async () => {
    const on = await stage();
    await on.agent.set({ "firekeeper.acme.enabled": "true" });
    await status(on, ({ source }) => source === "acme");
    await on.agent.apply({ kind: "setting", setting: "domain", to: "new.example.com" });
    expect((await shown(on, "new.example.com")).issuer).toContain("Pebble Intermediate");
    expect((await shown(on)).checkHost(domain)).toBe(domain);
  });

  test("are bound to an account elsewhere where the authority wants that", async () => {
    const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const on = await stage({ binding: { "kid-1": key } });
    await on.agent.set({ "firekeeper.acme.enabled": "true" });
    const { problem } = await status(on, (one) => one.problem !== undefined);
    expect(problem).toContain("externalAccountBinding");
    await on.agent.set({ "firekeeper.acme.eab-key-id": "kid-1", "firekeeper.acme.eab-hmac-key": key });
    await status(on, ({ source }) => source === "acme");
  });
});
