/** A server that orders its certificates at an authority in the test's process, one for each test. */
import { afterEach, beforeEach, expect } from "vitest";
import { type Authority, startAuthority } from "./acme-authority.ts";
import { connectAgent, type TestAgent } from "./agent.ts";
import { freePort, startTestCore, type TestCore } from "./core.ts";
import { type ManualClock, manualClock } from "./manual-clock.ts";
import { XmppClient } from "./xmpp-client.ts";

export const domain = "chat.example.org";
export const hour = 3_600_000;

export let authority: Authority;
export let core: TestCore;
export let agent: TestAgent;
export let clock: ManualClock;
export let httpPort: number;

/** Makes a new stage for each test of the file. */
export function stageForEach(): void {
  beforeEach(async () => {
    httpPort = await freePort();
    authority = await startAuthority(httpPort);
    clock = manualClock();
    core = await startTestCore({
      ...{ domain, users: ["alice"], clock },
      properties: {
        "xmpp.client.idle": "-1",
        "firekeeper.acme.directory": authority.directory,
        "firekeeper.acme.http-port": String(httpPort),
        "firekeeper.acme.accept-terms": "true",
      },
    });
    agent = await connectAgent(core);
  });
  afterEach(async () => {
    await agent.target.close();
    await core.close();
    authority.close();
  });
}

export const turnOn = () => agent.set({ "firekeeper.acme.enabled": "true" });

export async function shown(name = domain) {
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: name });
  client.drop();
  return client.certificate;
}

export type Status = ReturnType<TestCore["server"]["serving"]["status"]>[number];

/** The certificate of a name once it is as wanted. */
export async function status(wanted: (one: Status) => boolean, name = domain): Promise<Status> {
  let now: Status | undefined;
  const look = (): boolean => {
    now = core.server.serving.status().find((one) => one.name === name);
    return now !== undefined && wanted(now);
  };
  await expect.poll(look, { timeout: 8000, interval: 5, message: "status" }).toBe(true);
  return now as Status;
}

export const metrics = () => core.server.report.metrics.metrics();

/** The control connection ends with the core: a new one to the core that came after. */
export async function reconnectAgent(): Promise<void> {
  agent = await connectAgent(core);
}
