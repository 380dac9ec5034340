import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  agent,
  authority,
  clock,
  core,
  domain,
  hour,
  metrics,
  reconnectAgent,
  type Status,
  shown,
  stageForEach,
  status,
  turnOn,
} from "../support/acme-fixture.ts";

stageForEach();

// At an authority of the test's own, which does what no real one would on demand.
describe("a certificate by ACME", () => {
  test("is due when a third of its life is left, and outlives restarts and the end of orders", async () => {
    await turnOn();
    const first = await status(({ source }) => source === "acme");
    await agent.target.close();
    await core.restart();
    await reconnectAgent();
    expect((await shown())?.fingerprint256).toBe(first.sha256);
    clock.pass(58 * 24 * hour);
    await core.server.serving.refresh();
    expect(authority.issued).toHaveLength(1);
    authority.behaviour.days = 1000;
    clock.pass(2 * 24 * hour);
    const second = await status(({ sha256 }) => sha256 !== first.sha256);
    expect(authority.accounts.size).toBe(1);
    await agent.set({ "firekeeper.acme.enabled": null });
    expect((await shown())?.fingerprint256).toBe(second.sha256);
    expect(core.server.control()?.status().notices.join()).toContain("is not renewed");
  });

  test("that was refused waits as long as the authority says, over a restart, unless the settings change", async () => {
    const before = (await shown())?.fingerprint256;
    authority.behaviour.refuseOrders = {
      ...{ status: 429, type: "rateLimited", detail: "too many for chat.example.org", retryAfter: "90000" },
    };
    await turnOn();
    const refused = await status(({ problem }) => problem !== undefined);
    expect(refused.problem).toContain("too many for chat.example.org");
    expect(Date.parse(refused.renewal ?? "") - clock.now()).toBe(90_000_000);
    expect((await shown())?.fingerprint256).toBe(before);
    const asked = () => authority.requests.filter((what) => what === "order").length;
    await agent.target.close();
    await core.restart();
    await reconnectAgent();
    clock.pass(24 * hour);
    await core.server.serving.refresh();
    expect(asked()).toBe(1);
    authority.behaviour.refuseOrders = undefined;
    await agent.set({ "firekeeper.acme.email": "ops@example.org" });
    await status(({ source, problem }) => source === "acme" && problem === undefined);
    expect(asked()).toBe(2);
    expect(await metrics()).not.toContain('source="self-signed"');
  });

  test("is tried after ten minutes, then twice that, and ten times a day at most, whatever the settings do", async () => {
    authority.behaviour.httpPort = 1;
    await turnOn();
    const wait = (one: Status): number => Date.parse(one.renewal ?? "") - clock.now();
    const first = wait(await status(({ problem }) => problem !== undefined));
    expect(first / 600_000).toBeCloseTo(1, 0);
    clock.pass(first);
    const second = wait(await status((one) => wait(one) > 0));
    expect(second / 1_200_000).toBeCloseTo(1, 0);
    const record = () => JSON.parse(readFileSync(join(core.home, "certificates", domain, "acme.json"), "utf8"));
    for (let round = 2; round < 10; round++) {
      await agent.set({ "firekeeper.acme.email": `ops${round}@example.org` });
      await expect.poll(() => record().failures, { interval: 5, timeout: 8000 }).toBe(round + 1);
    }
    await agent.set({ "firekeeper.acme.email": "last@example.org" });
    clock.pass(23 * hour);
    await core.server.serving.refresh();
    expect(record().attempts).toHaveLength(10);
    // A reason, and nothing of the authority's that could break a line.
    expect(record().error).toContain("The proof is not there.");
  });

  test("comes before a change of domain; where it cannot be had the change is made and says why", async () => {
    await turnOn();
    await status(({ source }) => source === "acme");
    await agent.apply({ kind: "setting", setting: "domain", to: "new.example.org" });
    expect((await shown("new.example.org"))?.issuer).toContain("Test authority");
    authority.behaviour.httpPort = 1;
    const { done } = await agent.apply({ kind: "setting", setting: "domain", to: "third.example.org" });
    expect(done.join()).toContain("third.example.org has a self-signed certificate for now: The authority did not see");
    expect((await shown("third.example.org"))?.checkHost("third.example.org")).toBeDefined();
  });
});
