import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCore } from "../../agent/target/core.ts";
import type { ActualState, Target } from "../../agent/target/target.ts";
import type { Change } from "../../xmpp-core/control/contract.ts";
import { startTestCore, type TestCore } from "../support/core.ts";

/** What crosses the control socket when the agent looks again: what changed, and nothing else. */

type Answer = { accounts: { value?: unknown[]; changed?: { name: string }[]; gone?: string[] } };

let core: TestCore;
let folder: string;
let tap: Server;
let target: Target;
let heard: string[] = [];

beforeAll(async () => {
  core = await startTestCore();
  folder = await mkdtemp(join(tmpdir(), "firekeeper-tap-"));
  tap = createServer((agent) => {
    const server = connect(join(core.home, "control.sock"));
    agent.pipe(server).on("error", () => agent.destroy());
    server.pipe(agent).on("error", () => server.destroy());
    server.on("error", () => agent.destroy()).on("close", () => agent.destroy());
    createInterface({ input: server })
      .on("line", (line) => heard.push(line))
      .on("error", () => undefined);
  });
  await new Promise<void>((resolve) => tap.listen(join(folder, "tap.sock"), resolve));
  target = connected(join(folder, "tap.sock"), "the test");
  await target.ready(5000);
});
afterAll(async () => {
  await target.close();
  tap.close();
  await core.close();
  await rm(folder, { recursive: true });
});

const connected = (socket: string, agent: string): Target =>
  openCore({ socket, agent, events: { event: () => undefined, greeted: () => undefined, lost: () => undefined } });

const named = (name: string, more: object = {}): Change => ({
  kind: "account-set",
  account: { name, enabled: true, ...more },
});

async function apply(...changes: Change[]): Promise<void> {
  const { revision } = await target.revisions();
  await target.apply({ expected: revision, revision: revision + 1, by: "a test", changes, aliasDays: 90 });
}

/** What the agent then holds, and the line that told it. */
async function look(): Promise<{ state: ActualState; told: Answer; bytes: number }> {
  heard = [];
  const state = await target.actual();
  const [line = ""] = heard;
  return { state, told: (JSON.parse(line) as { ok: Answer }).ok, bytes: line.length };
}

const names = (state: ActualState): string[] => state.accounts.map((one) => one.name).sort();

test("a second look at the same tells nothing, and gives the very same lists", async () => {
  await apply(...Array.from({ length: 50 }, (_, i) => named(`user${i}`)));
  const first = await look();
  const second = await look();
  expect(first.state.accounts).toHaveLength(50);
  expect(second.bytes).toBeLessThan(1000);
  for (const part of ["settings", "groups", "supervisors", "accounts"] as const)
    expect(second.state[part]).toBe(first.state[part]);
});

test("of accounts only those that changed are told: added, changed, renamed and removed", async () => {
  const { state: before } = await look();
  await apply(
    named("anna"),
    named("user1", { displayName: "One" }),
    { kind: "account-rename", from: "user2", account: { name: "zoe", enabled: true } },
    { kind: "account-remove", name: "user3", keepDays: 30 },
  );
  const { state, told } = await look();
  expect(told.accounts.value).toBeUndefined();
  expect(told.accounts.changed?.map((one) => one.name).sort()).toEqual(["anna", "user1", "user3", "zoe"]);
  expect(told.accounts.gone).toEqual(["user2"]);
  expect(names(state)).toEqual([...names(before).filter((name) => name !== "user2"), "anna", "zoe"].sort());
  expect(state.accounts.find((one) => one.name === "user1")).toMatchObject({ displayName: "One" });
  expect(state.accounts.find((one) => one.name === "user3")).toMatchObject({ enabled: false });
});

test("what an agent pieced together is what a new one reads whole, also over a restart of the server", async () => {
  await apply(named("ben"), named("user4", { enabled: false }));
  const { state: pieced } = await look();
  await core.restart();
  await target.ready(5000);
  const { state: whole, told } = await look();
  expect(told.accounts.value).toHaveLength(names(whole).length);
  const sorted = (state: ActualState) => [...state.accounts].sort((a, b) => (a.name < b.name ? -1 : 1));
  expect(sorted(pieced)).toEqual(sorted(whole));
});

test("an apply that is refused leaves the agent with what is in force", async () => {
  const { state: before } = await look();
  await expect(apply(named("user5", { displayName: "Five" }), named("No Such Name"))).rejects.toMatchObject({
    code: "control/name",
  });
  const { state } = await look();
  expect(state.accounts.find((one) => one.name === "user5")).toEqual(
    before.accounts.find((one) => one.name === "user5"),
  );
});
