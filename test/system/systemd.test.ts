import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";
import { tellSystemd as agentTells } from "../../agent/supervise/systemd.ts";
import { tellSystemd as gateTells } from "../../xmpp-core/gate/systemd.ts";

/** The units of docs/systemd and what they wait for. */

const units = fileURLToPath(new URL("../../docs/systemd/", import.meta.url));
const has = (program: string, argument = "--version") => spawnSync(program, [argument]).error === undefined;
const folders: string[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

test.skipIf(!has("systemd-analyze"))("systemd finds no fault in the units", async () => {
  const files = (await readdir(units)).filter((name) => name.endsWith(".service"));
  expect(files).toHaveLength(2);
  const { stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", ...files.map((name) => join(units, name))], {
    encoding: "utf8",
  });
  // Programs and users of an installed host are not here.
  expect(stderr.split("\n").filter((line) => /Unknown|Failed to parse|invalid|Invalid/.test(line))).toEqual([]);
});

test.skipIf(!has("systemd-notify") || !has("python3"))("agent and gate tell systemd when they are ready", async () => {
  const folder = await mkdtemp(join(tmpdir(), "notify-"));
  folders.push(folder);
  const path = join(folder, "notify.sock");
  const listener = spawn(
    "python3",
    [
      "-u",
      "-c",
      `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); print("bound")
ready = 0
while ready < 2:
  text = s.recv(4096).decode(); print(text); ready += text.count("READY=1")`,
      path,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let heard = "";
  const bound = new Promise<void>((resolve) => listener.stdout.once("data", () => resolve()));
  listener.stdout.on("data", (text: Buffer) => {
    heard += text.toString();
  });
  await bound;
  vi.stubEnv("NOTIFY_SOCKET", path);
  agentTells("READY=1");
  gateTells("READY=1");
  await new Promise((resolve) => listener.once("exit", resolve));
  expect(heard.match(/READY=1/g)).toHaveLength(2);
});

test.skipIf(!has("bash"))("bash completes commands, options and choices as the program has them", () => {
  const cli = fileURLToPath(new URL("../../agent/cli.ts", import.meta.url));
  const script = `source <(node --import tsx "${cli}" completion bash 2>/dev/null)
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _firekeeper; echo "\${COMPREPLY[*]}"; }
ask firekeeper us; ask firekeeper users ad; ask firekeeper apply --sc; ask firekeeper completion f`;
  const lines = execFileSync("bash", ["-c", script], { encoding: "utf8", cwd: join(units, "../..") })
    .trim()
    .split("\n");
  expect(lines).toEqual(["users", "add", "--scope", "fish"]);
});
