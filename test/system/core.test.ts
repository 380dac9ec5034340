import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCore } from "../../agent/target/core.ts";
import type { Target } from "../../agent/target/target.ts";
import type { Change, CredentialsText } from "../../xmpp-core/control/contract.ts";
import { type Child, startChild } from "../support/child.ts";
import { credentialsOf, freePort } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// The built core as a process of its own, started by the gate: npm run build before. docs/architecture.md "Three processes"
const root = new URL("../..", import.meta.url).pathname;
let home: string;
let gate: Child | undefined;
let target: Target | undefined;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "core-"));
});
afterEach(async () => {
  XmppClient.dropAll();
  await target?.close();
  await gate?.stop();
  await rm(home, { recursive: true, force: true });
});

function startGate(env: NodeJS.ProcessEnv = {}): Child {
  return startChild(process.execPath, ["dist/xmpp-core/gate/main.js"], {
    cwd: root,
    env: { FIREKEEPER_HOME: home, FIREKEEPER_LOG_LEVEL: "info", ...env },
  });
}

function startCoreAlone(env: NodeJS.ProcessEnv = {}): Child {
  return startChild(process.execPath, ["dist/xmpp-core/main.js"], {
    cwd: root,
    env: { FIREKEEPER_HOME: home, ...env },
  });
}

function connectTarget(): Target {
  const events = { event: () => undefined, greeted: () => undefined, lost: () => undefined };
  return openCore({ socket: join(home, "control.sock"), agent: "the test", events, retryMs: 50 });
}

const setting = (name: string, to: string): Change => ({ kind: "setting", setting: name, to });

/** A running service with one account, on a port of its own. */
async function service(): Promise<{
  target: Target;
  port: number;
  apply(...changes: Change[]): ReturnType<Target["apply"]>;
}> {
  gate = startGate({ FIREKEEPER_FIRST_DOMAIN: "first.example" });
  const made = connectTarget();
  target = made;
  await made.ready(25_000);
  const port = await freePort();
  const apply = async (...changes: Change[]) => {
    const { revision } = await made.revisions();
    return made.apply({ expected: revision, revision: revision + 1, by: "a test", changes, aliasDays: 90 });
  };
  const credentials = (await credentialsOf("alice")) as CredentialsText;
  await apply(
    {
      kind: "account-set",
      account: { name: "alice", enabled: true, credentials },
    },
    setting("property:network.interface", "127.0.0.1"),
    setting("property:xmpp.socket.plain.port", String(port)),
    setting("property:xmpp.socket.ssl.active", "false"),
    setting("property:xmpp.proxy.enabled", "false"),
    setting("property:httpbind.enabled", "false"),
    setting("property:adminConsole.port", "-1"),
    setting("property:adminConsole.securePort", "-1"),
  );
  return { target: made, port, apply };
}

const login = (port: number) =>
  XmppClient.login({ host: "127.0.0.1", port, domain: "first.example", user: "alice", password: "alice" });

test("a heap limit replaces the core: the client stays, the new process has the limit; an orderly stop ends both", async () => {
  const { target: agent, port, apply } = await service();
  const before = await agent.ready(1000);
  const alice = await login(port);
  expect(await apply(setting("runtime-options", "-Xmx300m"))).toMatchObject({ restarting: true });
  const after = await agent.ready(25_000);
  expect(after.pid).not.toBe(before.pid);
  expect(after).toMatchObject({ instance: before.instance, gatePid: before.gatePid, revision: 2 });
  await alice.ping();
  expect(await readFile(`/proc/${after.pid}/cmdline`, "utf8")).toContain("--max-old-space-size=300");
  await agent.restart("a test");
  expect((await agent.ready(25_000)).pid).not.toBe(after.pid);
  await alice.ping();
  await agent.stop("a test");
  expect(await gate?.exited).toBe(0);
  expect((await alice.ended).streamEnded).toBe(false);
});

test("a core that is killed comes back with its revision", async () => {
  const { target: agent, port } = await service();
  await agent.prove(1);
  const { pid } = await agent.ready(1000);
  const again = new Promise((resolve) => gate?.printed(/"event":"core-ended"/).then(resolve));
  process.kill(pid, "SIGKILL");
  await again;
  await expect.poll(async () => (await agent.ready(25_000)).pid, { timeout: 25_000 }).not.toBe(pid);
  expect(await agent.revisions()).toEqual({ revision: 1, proven: 1 });
  await login(port);
});

test("killed at any moment of an apply, the core comes back with the old revision or the new one, never between", async () => {
  const { target: agent, apply } = await service();
  // Some of them die before the commit, some after it, as the machine likes.
  for (const [round, delayMs] of [1, 6, 15].entries()) {
    const { pid } = await agent.ready(25_000);
    const before = (await agent.revisions()).revision;
    const idle = String(100_000 + round);
    const applied = apply(
      { kind: "account-set", account: { name: `person${round}`, enabled: true } },
      {
        kind: "group-set",
        group: { name: `Group ${round}`, displayName: "G", showInRoster: "onlyGroup", groupList: [] },
      },
      { kind: "group-members", group: `Group ${round}`, add: [`person${round}`], remove: [] },
      setting("property:xmpp.client.idle", idle),
      setting("domain", `name${round}.example`),
    ).then(
      () => "answered",
      () => "lost",
    );
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    process.kill(pid, "SIGKILL");
    const answered = await applied;
    await expect.poll(async () => (await agent.ready(25_000)).pid, { timeout: 25_000 }).not.toBe(pid);
    const { revision } = await agent.revisions();
    const { settings, accounts, groups } = await agent.actual();
    const taken = [
      revision === before + 1,
      settings.domain === `name${round}.example`,
      settings.properties.some(({ key, value }) => key === "xmpp.client.idle" && value === idle),
      accounts.some(({ name }) => name === `person${round}`),
      groups.some(({ name, members }) => name === `Group ${round}` && members.includes(`person${round}`)),
    ];
    expect(new Set(taken).size, `round ${round}, killed after ${delayMs} ms, ${answered}: ${taken}`).toBe(1);
    if (answered === "answered") expect(taken[0]).toBe(true);
  }
}, 120_000);

test("a second core on one home refuses, naming the first", async () => {
  const { target: agent } = await service();
  const { pid } = await agent.ready(1000);
  const second = startCoreAlone();
  expect(await second.exited, second.output()).toBe(3);
  expect(second.output()).toContain("home/locked");
  expect(second.output()).toContain(String(pid));
});

test("without a gate the core says so", async () => {
  const alone = startCoreAlone();
  expect(await alone.exited).toBe(4);
  expect(alone.output()).toContain("gate/unreachable");
  expect(alone.output()).not.toMatch(/\n\s+at /);
});

test("a database that is none, and a first domain that is none: one clear sentence, nothing touched", async () => {
  const garbage = randomBytes(9000);
  await writeFile(join(home, "core.db"), garbage);
  gate = startGate();
  await gate.printed(/storage\/(damaged|unreadable)/);
  await gate.stop();
  expect(await readFile(join(home, "core.db"))).toEqual(garbage);
  await rm(join(home, "core.db"));
  gate = startGate({ FIREKEEPER_FIRST_DOMAIN: "no domain" });
  await gate.printed(/core\/first-domain/);
});

test("a port that is taken at the start fails alone: the server runs, says which, and takes another by an apply", async () => {
  const { target: agent, port } = await service();
  await agent.prove(1);
  await agent.close();
  await gate?.stop();
  const other = createServer().listen(port, "127.0.0.1");
  gate = startGate();
  target = connectTarget();
  await target.ready(25_000);
  const [listener] = (await target.status()).listeners;
  expect(listener).toMatchObject({ name: "c2s", state: "failed", error: expect.stringContaining(String(port)) });
  const free = await freePort();
  await target.apply({
    ...{ expected: 1, revision: 2, by: "a test", aliasDays: 90 },
    changes: [setting("property:xmpp.socket.plain.port", String(free))],
  });
  other.close();
  await login(free);
});
