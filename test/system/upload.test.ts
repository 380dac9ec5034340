/** Files and a server that dies, or whose disk is full: real processes, a real disk. docs/uploads.md "On disk" */
import { execFileSync } from "node:child_process";
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Service, startService } from "../support/processes.ts";
import { askSlot, http, type Slot, slotOf, upload, uploaded } from "../support/uploads.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { crowdUsers } from "./crowd.ts";

const soon = { timeout: 20_000 };
const mib = 1024 * 1024;
let service: Service;
let name: string;
let mounted = false;
beforeAll(async () => {
  const users = await crowdUsers(1);
  name = users[0]?.name ?? "";
  service = await startService({ host: { users }, properties: { "firekeeper.upload.keep-free-bytes": 0 } });
});
afterAll(async () => {
  XmppClient.dropAll();
  // What is mounted goes once nobody has a file open on it.
  for (const pid of service?.pids() ?? []) process.kill(pid, "SIGKILL");
  await service?.dead();
  if (mounted) execFileSync("umount", [path()]);
  await service?.stop();
});

const path = (...names: string[]) => join(service.home, "uploads", ...names);
const login = () =>
  XmppClient.login({
    ...{ host: service.host, port: service.ports.plain, domain: service.domain },
    ...{ user: name, password: name },
  });
const files = async () =>
  (await readdir(path(), { recursive: true })).filter((one) => /[0-9a-f]{32}$/.test(one)).sort();
const put = (slot: Slot, body: Buffer) =>
  http("PUT", slot.put, { headers: { ...slot.headers, accept: "application/json" }, body });

test("a kill in the middle of an upload leaves no file and no row behind; the place may be used again, and what was acknowledged stays", async () => {
  const size = 2 * mib;
  const alice = await login();
  const kept = await uploaded(alice, "kept");
  const before = await files();
  const slot = slotOf(await askSlot(alice, { size }));
  const asked = request(new URL(slot.put), {
    ...{ method: "PUT", agent: false, rejectUnauthorized: false, family: 4 },
    headers: { ...slot.headers, "content-length": String(size) },
  });
  const over = new Promise<string>((resolve) => {
    asked.once("response", ({ statusCode }) => resolve(String(statusCode)));
    asked.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  asked.write(Buffer.alloc(size / 2));
  const partial = async () => {
    const [one] = await readdir(path("incoming"));
    return one === undefined ? 0 : (await stat(path("incoming", one))).size;
  };
  await expect.poll(partial, soon).toBeGreaterThan(0);
  await service.kill("core");
  expect(await over).toBe("ECONNRESET");
  await service.served();
  await expect.poll(files, soon).toEqual(before);
  expect((await http("GET", slot.get)).status).toBe(404);
  expect((await http("GET", kept)).body.toString()).toBe("kept");
  const content = Buffer.alloc(size, "again");
  expect((await put(slot, content)).status).toBe(201);
  expect((await http("GET", slot.get)).body.equals(content)).toBe(true);
});

test("a disk without space is said to who sends, to who asks and in the log; nothing half stays, and the place may be used again", async ({
  skip,
}) => {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", path()], { stdio: "pipe" });
    mounted = true;
  } catch {
    console.log("skipped: only root may mount a small disk");
    return skip("cannot mount");
  }
  // The next core takes the other disk for its own.
  await service.kill("core");
  await service.served();
  const alice = await login();
  const slot = slotOf(await askSlot(alice, { size: 3 * mib }));
  const { bavail, bsize } = statfsSync(path());
  writeFileSync(path("filler"), Buffer.alloc(bavail * bsize - mib));
  const refused = await put(slot, Buffer.alloc(3 * mib));
  expect(refused.status).toBe(507);
  expect(JSON.parse(refused.body.toString())).toMatchObject({ error: { code: "upload/no-space" } });
  expect(await files()).toEqual([]);
  const told = (await askSlot(alice, { size: 3 * mib })).getChild("error");
  expect(told?.getChild("resource-constraint")).toBeDefined();
  expect(told?.getChild("file-too-large", upload)).toBeUndefined();
  await expect.poll(() => service.logs(), soon).toMatch(/"code":"ENOSPC".*an uploaded file could not be stored/);
  rmSync(path("filler"));
  expect((await put(slot, Buffer.alloc(3 * mib))).status).toBe(201);
});
