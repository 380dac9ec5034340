import { stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { probe } from "../../agent/apply/verify.ts";
import type { DesiredState } from "../../xmpp-core/control/contract.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: TestAgent;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  agent = await connectAgent(core);
});
afterEach(async () => {
  await agent.target.close();
  await core.close();
});

const nothing: DesiredState = { settings: { properties: {} }, groups: [], supervisors: [], accounts: [] };

test("the greeting says who is there", async () => {
  const greeting = await agent.target.ready(1000);
  expect(greeting).toMatchObject({ version: { major: 1, minor: 0 }, revision: 0, proven: 0, pid: process.pid });
  expect(greeting.instance).toMatch(/^[0-9a-f-]{36}$/);
  await core.restart();
  const again = await connectAgent(core, "the same");
  expect((await again.target.ready(1000)).instance).toBe(greeting.instance);
  await again.target.close();
});

test("status, sessions and actual state say what runs", async () => {
  const alice = await core.login("alice", { resource: "desk" });
  const status = await agent.target.status();
  expect(status).toMatchObject({ domain: "localhost", revision: 0, sessions: 1, accounts: 2, storage: "ok" });
  expect(status.listeners.map(({ name, port, state }) => [name, port, state])).toEqual([
    ["c2s", core.port, "open"],
    ["c2s-tls", core.directPort, "open"],
  ]);
  expect(status.certificates).toMatchObject([{ name: "localhost", selfSigned: true }]);
  expect(await agent.target.sessions()).toMatchObject([{ address: alice.jid, account: "alice", connected: true }]);
  const actual = await agent.target.actual();
  expect(actual.accounts.map(({ name }) => name)).toEqual(["alice", "bob"]);
});

test("verification logs in with an account that nobody else sees", async () => {
  const seen = await probe(agent.target);
  expect(seen.filter(({ green }) => !green)).toEqual([]);
  expect(seen.map(({ name }) => name)).toContain("login c2s-tls");
  expect((await agent.target.actual()).accounts).toHaveLength(2);
  const { name } = await agent.target.openProbe();
  await agent.target.closeProbe(name);
  await expect(core.login(name)).rejects.toThrow("not-authorized");
});
