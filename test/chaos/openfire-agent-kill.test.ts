import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { startOpenfire } from "../support/openfire-stand-in/stand-in.ts";

/** The agent's process is killed while it changes an Openfire; the next one ends what it began. */

let child: ChildProcess | undefined;
afterEach(() => {
  child?.kill("SIGKILL");
});

test("an agent that is killed in the middle leaves the old revision behind, once the next one has looked", async () => {
  const openfire = await startOpenfire();
  openfire.state.stored.set("provider.auth.className", "org.jivesoftware.openfire.auth.JDBCAuthProvider");
  const home = await mkdtemp(join(tmpdir(), "firekeeper-openfire-kill-"));
  const half = Buffer.alloc(32).toString("base64");
  const credentials = { sha256: `SCRAM-SHA-256$4096:${Buffer.alloc(16).toString("base64")}$${half}:${half}` };
  const host = {
    settings: { "sys.xmpp.domain": "example.test", "sys.xmpp.properties.plugin.mine": "1" },
    roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] }],
    users: [
      { name: "alice", credentials },
      { name: "bob", credentials },
    ],
  };
  await writeFile(join(home, "host.yaml"), `${stringify(host)}...\n`, { mode: 0o600 });
  await writeFile(join(home, "secret"), openfire.secret, { mode: 0o600 });
  const before = openfire.state.content();

  const begin = async () => {
    child = spawn(process.execPath, ["--import", "tsx", "agent/main.ts"], {
      env: {
        ...process.env,
        FIREKEEPER_HOME: home,
        FIREKEEPER_TARGET: "openfire",
        FIREKEEPER_OPENFIRE_URL: openfire.url,
        FIREKEEPER_OPENFIRE_SECRET_FILE: join(home, "secret"),
        FIREKEEPER_RECONCILE: "0 0 1 1 *",
        FIREKEEPER_LOG_LEVEL: "silent",
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    // It says how it stands after its first look.
    if (child.stdout) await once(child.stdout, "data");
    return child;
  };

  const first = await begin();
  for (const at of [2, 6, 9]) {
    const running = at === 2 ? first : await begin();
    const came = openfire.fault({ at, how: "hang" });
    const lost = askAgent(home, "apply").catch(() => "killed");
    await came;
    const gone = once(running, "exit");
    running.kill("SIGKILL");
    await gone;
    expect(await lost).toBe("killed");
    openfire.revive();
  }
  const last = await begin();
  expect(openfire.state.content()).toBe(before);
  const journal = (await readFile(join(home, "journal.jsonl"), "utf8")).trim().split("\n");
  const written = journal.map((line): { is: string } => JSON.parse(line)).map(({ is }) => is);
  expect(written.filter((is) => is !== "step")).toEqual(["intent", "undone", "intent", "undone", "intent", "undone"]);
  expect(await askAgent(home, "apply")).toMatchObject({ is: "applied", revision: 4 });
  expect([...(openfire.state.groups.get("Sales")?.members ?? [])].sort()).toEqual([
    "alice@example.test",
    "bob@example.test",
  ]);
  const gone = once(last, "exit");
  last.kill("SIGTERM");
  await gone;
  await openfire.close();
  await rm(home, { recursive: true, force: true });
});
