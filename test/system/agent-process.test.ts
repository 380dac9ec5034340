/** The agent as a process: one for a home, adopting what runs, starting what died, stopping in order. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import type { StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { runs } from "../../agent/supervise/embedded-server.ts";
import { type Child, startChild } from "../support/child.ts";
import { until } from "../support/processes.ts";
import { hostText } from "./agent-fixture.ts";

const tsx = import.meta.resolve("tsx");
const program = fileURLToPath(new URL("agent-program.ts", import.meta.url));
const cli = fileURLToPath(new URL("../../dist/agent/cli.js", import.meta.url));
const closing: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-process-"));
  closing.push(async () => {
    const pid = gatePid(home);
    if (pid !== undefined && runs(pid)) process.kill(pid, "SIGKILL");
    await rm(home, { recursive: true, force: true });
  });
  const host = { settings: { "sys.xmpp.domain": "localhost" }, users: [{ name: "admin", password: "x" }] };
  await writeFile(join(home, "host.yaml"), hostText(host), { mode: 0o600 });
  return home;
}

function agentOf(home: string, env: Record<string, string> = {}): Child {
  const child = startChild(process.execPath, ["--import", tsx, program], {
    env: {
      FIREKEEPER_HOME: home,
      FIREKEEPER_CORE: "embedded",
      STAND_IN: "yes",
      FIREKEEPER_RECONCILE: "0 0 1 1 *",
      ...env,
    },
  });
  closing.push(() => child.stop("SIGKILL"));
  return child;
}

/** The stand-in writes down who it is. */
function gatePid(home: string): number | undefined {
  const file = join(home, "stand-in.pid");
  return existsSync(file) ? Number(readFileSync(file, "utf8")) : undefined;
}

async function serverOf(home: string): Promise<{ pid: number; startedAt: string }> {
  const { server } = (await askAgent(home, "status")) as StatusDocument;
  if ("unreachable" in server) throw new Error(server.unreachable);
  return server;
}

test("it starts a server, says where things are, and leaves it running when it is killed; its successor adopts it", async () => {
  const home = await newHome();
  const first = agentOf(home);
  await first.printed(/Firekeeper serves localhost/);
  expect(statSync(join(home, "agent.sock")).mode & 0o777).toBe(0o600);
  expect(statSync(home).mode & 0o777).toBe(0o700);
  const server = await serverOf(home);
  await first.stop("SIGKILL");
  expect(runs(server.pid)).toBe(true);
  const second = agentOf(home);
  await second.printed(/Firekeeper serves localhost/);
  expect(await serverOf(home)).toMatchObject(server);
  expect(await askAgent(home, "plan")).toMatchObject({ is: "in step" });
  await second.stop("SIGTERM");
  await until(
    () => !runs(server.pid),
    5000,
    () => "the server outlives an orderly stop",
  );
});

test("a second agent on one home is refused with the holder's name", async () => {
  const home = await newHome();
  const first = agentOf(home);
  await first.printed(/Firekeeper serves/);
  const second = agentOf(home);
  await second.printed(/agent\/home-in-use/);
  expect(second.output()).toContain(`process ${first.pid} on`);
  expect(await second.exited).toBe(1);
  expect(await askAgent(home, "plan")).toMatchObject({ is: "in step" });
});

test("a gate that is killed is started again, by the agent that started it and by one that adopted it", async () => {
  const home = await newHome();
  const first = agentOf(home);
  await first.printed(/Firekeeper serves/);
  const before = await serverOf(home);
  process.kill(before.pid, "SIGKILL");
  const back = async () => {
    const server = await serverOf(home).catch(() => undefined);
    return server !== undefined && server.startedAt !== before.startedAt;
  };
  await until(back, 15_000, () => first.output());
  await first.stop("SIGKILL");
  const second = agentOf(home);
  await second.printed(/Firekeeper serves/);
  const adopted = await serverOf(home);
  process.kill(adopted.pid, "SIGKILL");
  const again = async () => {
    const server = await serverOf(home).catch(() => undefined);
    return server !== undefined && server.startedAt !== adopted.startedAt;
  };
  await until(again, 15_000, () => second.output());
});

test("the command line: plan exits 0, 2 and 1; --json prints the documented shape", async () => {
  const home = await newHome();
  const env = { FIREKEEPER_HOME: home, FIREKEEPER_APPLY: "manual" };
  const run = async (...argv: string[]) => {
    const child = startChild(process.execPath, [cli, ...argv], { env, cwd: home });
    const code = await child.exited;
    return { code, output: child.output() };
  };
  expect(await run("plan")).toMatchObject({ code: 1, output: expect.stringContaining("No agent is running") });
  const agent = agentOf(home, { FIREKEEPER_APPLY: "manual" });
  await agent.printed(/Firekeeper serves/);
  expect(await run("plan")).toMatchObject({ code: 0 });
  const edited = await run("settings", "set", "sys.xmpp.properties.xmpp.client.idle", "5");
  expect(edited).toMatchObject({ code: 0, output: expect.stringContaining("waits for firekeeper apply") });
  const planned = await run("plan", "--json");
  expect(planned.code).toBe(2);
  expect(JSON.parse(planned.output)).toEqual({
    revision: 2,
    snapshot: expect.stringMatching(/^[0-9a-f]{64}$/),
    impact: "live",
    changes: [
      {
        subject: "property xmpp.client.idle",
        action: "set",
        from: null,
        to: "5",
        impact: "live",
        source: "sys.xmpp.properties.xmpp.client.idle",
      },
    ],
    rejected: [],
    notices: expect.any(Array),
    waits: [],
  });
  expect(await run("apply")).toMatchObject({
    code: 0,
    output: expect.stringContaining("Revision 2 is in force and verified"),
  });
  expect(await run("history")).toMatchObject({ code: 0, output: expect.stringMatching(/2 +\S+ +proven +live/) });
  expect(await run("status")).toMatchObject({ code: 0, output: expect.stringContaining("revision 2, proven 2") });
  expect(await run("rollback", "1", "--offline")).toMatchObject({
    code: 1,
    output: expect.stringContaining("Another agent"),
  });
  await agent.stop("SIGTERM");
  expect(await run("rollback", "1", "--offline")).toMatchObject({ code: 0 });
  const next = agentOf(home, { FIREKEEPER_APPLY: "manual" });
  await next.printed(/Firekeeper serves/);
  expect(await askAgent(home, "history")).toMatchObject([
    { revision: 3, cause: "rollback to revision 1", result: "proven" },
    {},
    {},
  ]);
}, 60_000);
