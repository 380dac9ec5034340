/** The agent and the real core: probes log in over TLS, ports move, what cannot be done changes nothing. */
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { probeLogin } from "../../agent/apply/probe-client.ts";
import { broken, probe } from "../../agent/apply/verify.ts";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";
import { openCore } from "../../agent/target/core.ts";
import { credentialsOf, freePort, startTestCore, type TestCore } from "../support/core.ts";
import { hostText } from "./agent-fixture.ts";

const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function realCore(): Promise<TestCore> {
  const core = await startTestCore({ users: ["zoe"] });
  closing.push(() => core.close());
  return core;
}

async function agentOn(core: TestCore, settings: Record<string, string> = {}): Promise<AgentProcess> {
  const keep = {
    "network.interface": "127.0.0.1",
    "xmpp.socket.plain.port": String(core.port),
    "xmpp.socket.ssl.port": String(core.directPort),
    "xmpp.proxy.enabled": "false",
    "httpbind.enabled": "false",
    "adminConsole.port": "-1",
    "adminConsole.securePort": "-1",
    ...settings,
  };
  const prefixed = Object.fromEntries(
    Object.entries(keep).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]),
  );
  const host = {
    settings: { "sys.xmpp.domain": "localhost", ...prefixed },
    users: [{ name: "zoe", credentials: await credentialsOf("zoe") }],
  };
  await writeFile(join(core.home, "host.yaml"), hostText(host), { mode: 0o600 });
  const environment = readEnvironment(
    { FIREKEEPER_HOME: core.home, FIREKEEPER_CORE: join(core.home, "control.sock"), FIREKEEPER_RECONCILE: "0 0 1 1 *" },
    { dotenvPath: "/nonexistent" },
  );
  const agent = await startAgent(environment, { report: openReport("silent"), quietMs: 50 });
  closing.push(() => agent.stop("test"));
  await agent.settled;
  return agent;
}

const set = (core: TestCore, key: string, value: string) =>
  askAgent(core.home, "store-edit", {
    change: { kind: "setting-set", key: `sys.xmpp.properties.${key}`, value },
  }) as Promise<{ outcome: string }>;

test("probes log in over STARTTLS and direct TLS, check the certificate, and leave no account behind", async () => {
  const core = await realCore();
  const target = openCore({
    socket: join(core.home, "control.sock"),
    agent: "test",
    events: { event: () => {}, greeted: () => {}, lost: () => {} },
  });
  closing.push(() => target.close());
  await target.ready(5000);
  const probes = await probe(target);
  expect(probes.map((one) => `${one.name}: ${one.green ? "green" : one.detail}`).sort()).toEqual([
    "certificate c2s-tls: green",
    "certificate c2s: green",
    "login c2s-tls: green",
    "login c2s: green",
    "port c2s-tls: green",
    "port c2s: green",
    "server: green",
  ]);
  expect((await target.status()).sessions).toBe(0);
  expect((await target.actual()).accounts.map((one) => one.name)).toEqual(["zoe"]);
  const later = await probe(target, { now: () => new Date("2100-01-01") });
  expect(broken(probes, later)).toEqual([
    expect.stringMatching(/^certificate c2s: it expired/),
    expect.stringMatching(/^certificate c2s-tls: it expired/),
  ]);
});

test("a wrong password, a wrong domain and a closed port are red, each with its reason", async () => {
  const core = await realCore();
  const base = { host: "127.0.0.1", port: core.port, domain: "localhost", direct: false, timeoutMs: 5000 };
  await expect(probeLogin({ ...base, name: "zoe", password: "zoe" })).resolves.toBeDefined();
  await expect(probeLogin({ ...base, name: "zoe", password: "no" })).rejects.toThrow("not-authorized");
  await expect(probeLogin({ ...base, name: "zoe", password: "zoe", domain: "other" })).rejects.toThrow("host-unknown");
  await expect(probeLogin({ ...base, port: await freePort(), name: "zoe", password: "zoe" })).rejects.toThrow(
    "ECONNREFUSED",
  );
});

test("the host's state is applied and proven; a port moves and is proven there", async () => {
  const core = await realCore();
  await agentOn(core);
  expect((await askAgent(core.home, "plan")) as OutcomeDocument).toMatchObject({
    is: "in step",
    plan: { revision: 1 },
  });
  const port = await freePort();
  expect((await set(core, "xmpp.socket.plain.port", String(port))).outcome).toContain("live as revision 2");
  const status = (await askAgent(core.home, "status")) as StatusDocument;
  expect(status).toMatchObject({ journal: { revision: 2, proven: 2 }, server: { revision: 2, proven: 2 } });
  const client = await core.login("zoe", { port });
  await client.close();
});

test("a port that another program has is refused by name and changes nothing", async () => {
  const core = await realCore();
  await agentOn(core);
  const other = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
  closing.push(() => other.close());
  const { outcome } = await set(core, "xmpp.socket.plain.port", String(port));
  expect(outcome).toContain("It is not live");
  expect(outcome).toContain(String(port));
  const status = (await askAgent(core.home, "status")) as StatusDocument;
  expect(status.server).toMatchObject({ revision: 1, proven: 1 });
  const client = await core.login("zoe");
  await client.close();
});
