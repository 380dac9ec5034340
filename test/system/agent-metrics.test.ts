/** What the agent tells a monitor. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Agent } from "../../agent/agent.ts";
import { agentCounters } from "../../agent/metrics/counters.ts";
import { agentObstacles } from "../../agent/metrics/gauges.ts";
import { periodicLook } from "../../agent/policy/schedules.ts";
import { freePort } from "../support/core.ts";
import { type AgentFixture, agentFixture } from "./agent-fixture.ts";

const user = (name: string) => ({ name, password: "known" });
let agent: AgentFixture;
let port: number;
const get = async (path: string) => {
  const reply = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: reply.status, type: reply.headers.get("content-type"), text: await reply.text() };
};
/** The value of a series, as it is written. */
const value = async (series: string) => {
  const { text } = await get("/metrics");
  const line = text.split("\n").find((one) => one.startsWith(`firekeeper_agent_${series} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
};

beforeAll(async () => {
  port = await freePort();
  agent = await agentFixture(
    { users: [user("alice")] },
    { FIREKEEPER_APPLY: "manual", FIREKEEPER_METRICS: `127.0.0.1:${port}` },
  );
  await agent.start();
});
afterAll(() => agent?.close());

test("after the first apply it is ready, and the numbers are those of the status", async () => {
  expect(await get("/health/live")).toMatchObject({ status: 200 });
  expect(await get("/health/ready")).toMatchObject({ status: 200, text: '{"missing":[]}\n' });
  const { journal } = await agent.status();
  expect((await get("/metrics")).type).toContain("text/plain; version=0.0.4");
  expect(await value("ready")).toBe(1);
  expect(await value("revision")).toBe(journal.revision);
  expect(await value("proven_revision")).toBe(journal.proven);
  expect(await value(`journal_head{head="${journal.head}"}`)).toBe(1);
  expect(await value("journal_entries")).toBe((await agent.journal()).trim().split("\n").length);
  expect(await value('mode{mode="manual"}')).toBe(1);
  expect(await value('applies_total{result="applied"}')).toBe(1);
  expect(await value('looks_total{result="applied"}')).toBe(1);
  expect(await value("last_look_timestamp_seconds")).toBeGreaterThan(Date.now() / 1000 - 60);
  expect(await value('store_reads_total{result="read"}')).toBeGreaterThan(0);
});

test("what waits is told by its impact, and a freeze as such", async () => {
  await agent.write({ users: [user("alice"), user("bob")] });
  expect((await agent.ask("plan")).plan.changes.length).toBe(1);
  expect(await value('pending_changes{impact="live"}')).toBe(1);
  expect(await value('pending_changes{impact="restart"}')).toBe(0);
  expect(await value("frozen")).toBe(0);
  await agent.ask("freeze", { by: "anna" });
  expect(await value("frozen")).toBe(1);
  await agent.ask("unfreeze", { by: "anna" });
  await agent.ask("apply", { by: "anna" });
  expect(await value('pending_changes{impact="live"}')).toBe(0);
  expect(await value("held")).toBe(0);
  await agent.ask("rollback", { by: "anna" });
  expect(await value("held")).toBe(1);
});

test("a server that is away is not ready, and says what is missing", async () => {
  await agent.core.close();
  const ready = await get("/health/ready");
  expect([ready.status, JSON.parse(ready.text).missing]).toEqual([503, expect.arrayContaining(["server"])]);
  expect(await value("ready")).toBe(0);
  await expect(agent.ask("plan")).rejects.toThrow();
  expect(await value('looks_total{result="no comparison"}')).toBeGreaterThan(0);
  expect((await get("/metrics")).text).toMatch(/firekeeper_agent_last_error\{code="target\/[a-z-]+"\} 1/);
});

test("nobody is told twice: a port that is taken stops the start with its code", async () => {
  const other = await agentFixture({ users: [user("alice")] }, { FIREKEEPER_METRICS: `127.0.0.1:${port}` });
  await expect(other.start()).rejects.toMatchObject({ code: "metrics/not-listening" });
  await other.close();
});

test("three periods without a look that succeeds are told, a single failure is not", async () => {
  const counters = agentCounters();
  const standing = { parts: { target: { status: async () => ({}) } } } as unknown as Agent;
  const missing = () => agentObstacles(standing, counters, 1_000);
  expect(await missing()).toEqual(["look"]);
  counters.looked("in step", 0, 0);
  for (const _period of [1, 2]) counters.woken(periodicLook);
  counters.looked("no comparison", 0, 0);
  counters.woken("host.yaml changed");
  expect(await missing()).toEqual([]);
  counters.woken(periodicLook);
  expect(await missing()).toEqual(["look"]);
  counters.looked("waiting", 0, 0);
  expect(await missing()).toEqual([]);
});
