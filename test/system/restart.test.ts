import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { type Service, startService } from "../support/processes.ts";
import { Crowd, crowdUsers } from "./crowd.ts";

/** People who chat through every kind of orderly restart; RESTART_CLIENTS says how many. docs/architecture.md "Three processes". */
const size = Number(process.env.RESTART_CLIENTS ?? 40);
const root = fileURLToPath(new URL("../..", import.meta.url));
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function chattingService(options: Parameters<typeof startService>[0] = {}): Promise<[Service, Crowd]> {
  const service = await startService({ ...options, host: { users: await crowdUsers(size) } });
  closing.push(() => service.stop());
  const crowd = await Crowd.gather(service, size);
  closing.push(() => crowd.leave());
  return [service, crowd];
}

const commandLine = async (pid: number) => (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0");

test(`${size} people chat through firekeeper restart, a plan that restarts, and an upgrade: no connection closed, nothing lost, doubled or disordered`, async () => {
  const program = await upgradable();
  const [service, crowd] = await chattingService({ program });
  const gate = service.pid("gate");
  crowd.chat();
  await crowd.progress(5);

  const cores = [service.pid("core")];
  expect(await service.run(["restart"])).toContain(`process ${service.pid("core")}`);
  cores.push(service.pid("core"));
  await crowd.progress(5);

  expect(await commandLine(service.pid("core"))).not.toContain("--max-old-space-size=512");
  await service.run(["settings", "set", "sys.xmpp.java_options", "-Xmx512m -XX:+UseG1GC"]);
  cores.push(service.pid("core"));
  expect(await commandLine(service.pid("core"))).toContain("--max-old-space-size=512");
  const status = await service.run(["status"]);
  expect(status.match(/-XX:\+UseG1GC/g), status).toHaveLength(1);
  await crowd.progress(5);

  await replaceVersion(program, "9.9.9");
  await service.run(["restart"]);
  cores.push(service.pid("core"));
  expect(JSON.parse(await service.run(["status", "--json"])).server.version).toBe("9.9.9");
  await crowd.progress(5);

  await crowd.settle();
  crowd.undisturbed();
  expect(new Set(cores).size).toBe(4);
  expect(service.pid("gate")).toBe(gate);
}, 120_000);

test("SIGTERM of the agent stops everything; connections are dropped without </stream:stream>, and managed people resume after the next start", async () => {
  const [service, crowd] = await chattingService();
  crowd.chat();
  await crowd.progress(3);
  await service.kill("agent", "SIGTERM");
  expect(service.pids()).toEqual([]);
  await crowd.dropped();
  await service.startAgent();
  await crowd.comeBack();
  crowd.chat();
  await crowd.settle("managed");
}, 120_000);

/** A build of its own that a test may replace while it runs. */
async function upgradable(): Promise<string> {
  const program = await mkdtemp(join(tmpdir(), "firekeeper-program-"));
  closing.push(() => rm(program, { recursive: true, force: true }));
  await cp(join(root, "dist"), join(program, "dist"), { recursive: true });
  await cp(join(root, "package.json"), join(program, "package.json"));
  await symlink(join(root, "node_modules"), join(program, "node_modules"));
  return program;
}

async function replaceVersion(program: string, version: string): Promise<void> {
  const file = join(program, "dist/xmpp-core/version.js");
  await writeFile(file, (await readFile(file, "utf8")).replace(/"[\d.]+"/, JSON.stringify(version)));
}
