/** XEP-0363 with programs that people and scripts use: slixmpp asks and uploads, curl reads; each checks the certificate. */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { installed, succeeds } from "../peers/peer.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { askSlot, slotOf } from "../support/uploads.ts";
import { slixmpp } from "./slixmpp.ts";

const run = promisify(execFile);
const withoutSlixmpp =
  (await slixmpp.missing()) ??
  ((await succeeds("/usr/bin/python3", "-c", "import aiohttp")) ? undefined : "apt-get install python3-aiohttp");
const withoutCurl = (await installed("curl")) ? undefined : "apt-get install curl";
if (withoutSlixmpp ?? withoutCurl) console.log(`skipped: ${withoutSlixmpp ?? withoutCurl}`);

let core: TestCore;
let place: string;
let certificate: string;
beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "firekeeper-upload-"));
  const web = {
    "httpbind.port.plain": "-1",
    "httpbind.port.secure": String(await freePort()),
    "httpbind.enabled": "true",
  };
  core = await startTestCore({ users: ["alice"], properties: { ...web, "firekeeper.upload.keep-free-bytes": "0" } });
  certificate = join(core.home, "certificates", "localhost", "chain.pem");
});
afterAll(async () => {
  await core?.close();
  await rm(place, { recursive: true, force: true });
});

/** What slixmpp tells of its upload. */
async function upload(path: string): Promise<{ url?: string; tooBig?: string; failed?: string }> {
  const script = fileURLToPath(new URL("slixmpp-upload.py", import.meta.url));
  const env = { ...process.env, SSL_CERT_FILE: certificate };
  const child = spawn("/usr/bin/python3", [script], { stdio: ["pipe", "pipe", "pipe"], env });
  let told = "";
  let log = "";
  child.stdout.on("data", (text) => {
    told += text;
  });
  child.stderr.on("data", (text) => {
    log = (log + text).slice(-20_000);
  });
  const login = { jid: "alice@localhost/up", password: "alice", host: "127.0.0.1", port: core.port, path };
  child.stdin.end(`${JSON.stringify(login)}\n`);
  await new Promise<void>((resolve) => child.once("close", () => resolve()));
  const [line = ""] = told.split("\n");
  if (line === "") throw new Error(log);
  return JSON.parse(line) as { url?: string };
}

test.skipIf(withoutSlixmpp ?? withoutCurl)("slixmpp uploads a file, and curl reads it, whole and in part", async () => {
  const path = join(place, "café photo.bin");
  const content = randomBytes(500_000);
  await writeFile(path, content);
  const { url = "", failed } = await upload(path);
  expect(failed).toBeUndefined();
  expect(url).toMatch(/\/caf%C3%A9%20photo\.bin$/);
  const curl = (...more: string[]) => run("curl", ["-sS", "--fail", "--cacert", certificate, ...more, url]);
  await curl("-o", join(place, "whole"));
  expect((await readFile(join(place, "whole"))).equals(content)).toBe(true);
  // A download that broke off goes on.
  await writeFile(join(place, "part"), content.subarray(0, 123_456));
  await curl("-C", "-", "-o", join(place, "part"));
  expect((await readFile(join(place, "part"))).equals(content)).toBe(true);
  expect((await curl("-I")).stdout).toMatch(/^content-length: 500000\r$/m);
});

test.skipIf(withoutSlixmpp)("slixmpp sees the limit before it asks", async () => {
  await core.set({ "plugin.httpfileupload.maxFileSize": "1000" });
  const path = join(place, "large");
  await writeFile(path, Buffer.alloc(2000));
  const told = await upload(path);
  await core.set({ "plugin.httpfileupload.maxFileSize": null });
  expect(told.tooBig).toBeDefined();
});

test.skipIf(withoutCurl)("curl uploads with the header of a slot, waiting to be told to go on", async () => {
  const alice = await core.login("alice");
  const size = 3 * 1024 * 1024;
  const slot = slotOf(await askSlot(alice, { size }));
  const path = join(place, "upload");
  await writeFile(path, Buffer.alloc(size, 7));
  const header = `Authorization: ${slot.headers.Authorization}`;
  const put = ["-sS", "--cacert", certificate, "-T", path, "-H", header, "-H", "Expect: 100-continue"];
  const told = await run("curl", [...put, "-w", "%{http_code}", "-o", join(place, "answer"), slot.put]);
  expect(told.stdout).toBe("201");
  const again = await run("curl", [...put, "-w", "%{http_code}", "-o", join(place, "answer"), slot.put]);
  expect(again.stdout).toBe("409");
});
