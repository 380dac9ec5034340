/** Thunderbird and the server's certificate, self-signed or not: rows B14 and B21 of the hosts' needs. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { type Pair, type TestAuthority, testAuthority } from "../support/authority.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { certificateOf } from "./network.ts";
import { patienceMs } from "./real-client.ts";
import { keep, results } from "./results.ts";
import { startThunderbird, type Thunderbird, thunderbird } from "./thunderbird.ts";

const domain = "chat.example";
const missing = await thunderbird.missing();
const result = results("Thunderbird", thunderbird, missing);

let core: TestCore;
let client: Thunderbird;
/** The box "Connect this account now" stays checked. */
async function begin(issued?: { readonly authority: TestAuthority; readonly names: string[] }): Promise<void> {
  core = await startTestCore({ domain, users: ["alice"] });
  if (issued !== undefined) await serve(issued.authority.issue(issued.names));
  const account = { host: "127.0.0.1", port: core.port, domain, user: "alice", password: "alice" };
  const trusted = issued === undefined ? {} : { authority: issued.authority.certificate };
  client = await startThunderbird(account, { connectNow: true, ...trusted });
}
async function end(): Promise<void> {
  await client?.stop();
  await core?.close();
}

/** Lets the server answer with it from now on. */
async function serve({ chain, key }: Pair): Promise<void> {
  const [chainPath, keyPath] = [join(core.home, "issued.pem"), join(core.home, "issued-key.pem")];
  writeFileSync(chainPath, chain);
  writeFileSync(keyPath, key, { mode: 0o600 });
  await core.set({ "firekeeper.certificate.chain": chainPath, "firekeeper.certificate.key": keyPath });
  await core.server.serving.refresh();
}
afterAll(() => keep(result));

let last = "";
const reaches = (state: RegExp): Promise<void> =>
  until(
    async () => {
      last = await client.state();
      return state.test(last);
    },
    patienceMs,
    () => `Thunderbird is ${last}, not ${state}\n${client.transcript()}`,
  ).catch(async (error: unknown) => {
    await client.picture(`not ${state.source}`);
    throw error;
  });

describe.skipIf(missing !== undefined)("a self-signed certificate", () => {
  beforeAll(() => begin());
  afterAll(end);

  test("the first connection fails without a session, the question is there, also when it was left unanswered once", () =>
    result.step("certificate", async () => {
      await client.exceptionOpen();
      await reaches(/^disconnected: .*(certificate|self-signed|trust)/i);
      expect(core.server.sessions.size).toBe(0);
      await client.picture("certificate");
      await client.declineException();
      await client.connect();
      await client.confirmException();
      await reaches(/^connected$/);
      expect(core.server.sessions.size).toBe(1);
    }));

  test("an exception holds when client and server were restarted", () =>
    result.step("certificate after a restart", async () => {
      await core.restart();
      await client.restart();
      await reaches(/^connected$/);
      expect(await client.exceptionWindows()).toBe(0);
    }));

  test("a renewed certificate is asked about once more, and that holds too", () =>
    result.step("certificate after a renewal", async () => {
      const before = await certificateOf({ host: "127.0.0.1", port: core.port, domain });
      const certificates = join(core.home, "certificates");
      for (const name of readdirSync(certificates)) {
        const key = readFileSync(join(certificates, name, "key.pem"), "utf8");
        writeFileSync(join(certificates, name, "chain.pem"), await selfSigned({ domain, extra: [] }, key, new Date()));
      }
      await core.restart();
      expect(await certificateOf({ host: "127.0.0.1", port: core.port, domain })).not.toBe(before);
      await client.restart();
      await client.connect();
      await client.confirmException();
      await reaches(/^connected$/);
      await client.restart();
      await reaches(/^connected$/);
      expect(await client.exceptionWindows()).toBe(0);
    }));
});

describe.skipIf(missing !== undefined)("a certificate of an authority", () => {
  const authority = testAuthority();
  // Thunderbird compares the server that was typed, not the domain.
  const names = [domain, "127.0.0.1"];
  beforeAll(() => begin({ authority, names }));
  afterAll(end);

  test("is never asked about, nor is the one that follows it", () =>
    result.step("trusted certificate", async () => {
      await reaches(/^connected$/);
      expect(await client.exceptionWindows()).toBe(0);
      await client.picture("trusted certificate");
      const before = await certificateOf({ host: "127.0.0.1", port: core.port, domain });
      await serve(authority.issue(names));
      await core.restart();
      expect(await certificateOf({ host: "127.0.0.1", port: core.port, domain })).not.toBe(before);
      await client.restart();
      await reaches(/^connected$/);
      expect(await client.exceptionWindows()).toBe(0);
    }));
});
