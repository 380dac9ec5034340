import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { lockHome } from "../../xmpp-core/storage/home-lock.ts";
import { losePower, powerLossEnvironment, powerLossUnavailable } from "./power-loss.ts";

const childScript = fileURLToPath(new URL("./storage-child.ts", import.meta.url));
let home: string;
let children: ChildProcess[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "storage-crash-"));
  children = [];
});
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(home, { recursive: true });
});

function start(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ["--import", "tsx", childScript, ...args], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return { child, exited, lines: createInterface({ input: child.stdout }) };
}

/** Runs the committing child, kills it after so many groups, and returns the last unit it had reported. */
async function killAfter(groups: number, synchronous: string, env: Record<string, string> = {}): Promise<number> {
  const { child, exited, lines } = start(["commit", join(home, "core.db"), synchronous, "10000"], env);
  let reported = 0;
  let seen = 0;
  for await (const line of lines) {
    if (line === "closed") throw new Error("the child was done before it was killed");
    reported = Number(line);
    if (++seen === groups) child.kill("SIGKILL");
  }
  await exited;
  return reported;
}

/** What a restart finds: the units, in order, each whole. */
function unitsFound(): { last: number; complete: boolean; integrity: string } {
  const database = loadDriver().open(join(home, "core.db"));
  try {
    const one = (sql: string) => database.prepare(sql).rows([])[0]?.[0];
    const last = Number(one("SELECT coalesce(max(unit), 0) FROM row"));
    const rows = Number(one("SELECT count(*) FROM row"));
    return { last, complete: rows === 2 * last, integrity: String(one("PRAGMA integrity_check")) };
  } finally {
    database.close();
  }
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("kill -9 in the middle of 10,000 commits: all that was reported is there, no unit is half, and it goes on from there", async () => {
  let reported = 0;
  for (const groups of [1, 40, 333]) {
    const latest = await killAfter(groups, "full");
    expect(latest).toBeGreaterThan(reported);
    reported = latest;
    const found = unitsFound();
    expect(found).toMatchObject({ complete: true, integrity: "ok" });
    expect(found.last).toBeGreaterThanOrEqual(reported);
  }
});

const unavailable = powerLossUnavailable();
describe.skipIf(unavailable !== undefined)(`power loss${unavailable === undefined ? "" : ` (${unavailable})`}`, () => {
  test("with synchronous=full nothing that was reported is lost, whatever unsynced writes reached the disk", async () => {
    let unsynced = 0;
    for (const [seed, groups] of [3, 77, 450].entries()) {
      const reported = await killAfter(groups, "full", powerLossEnvironment(home));
      unsynced += losePower(home, seeded(seed));
      const found = unitsFound();
      expect(found).toMatchObject({ complete: true, integrity: "ok" });
      expect(found.last).toBeGreaterThanOrEqual(reported);
    }
    // The tool saw something: a run in which every write was synced would prove nothing.
    expect(unsynced).toBeGreaterThan(0);
  });

  test("with synchronous=normal reported units are lost, which shows that the tool drops what was not synced", async () => {
    const reported = await killAfter(100, "normal", powerLossEnvironment(home));
    expect(losePower(home, () => 0)).toBeGreaterThan(0);
    const found = unitsFound();
    expect(found).toMatchObject({ complete: true, integrity: "ok" });
    expect(found.last).toBeLessThan(reported);
  });
});

describe("the lock of a home", () => {
  test("a second taker is told who holds it, and a killed holder leaves nothing behind", async () => {
    const file = join(home, "core.lock.db");
    const { child, exited, lines } = start(["hold", file]);
    await new Promise((resolve) => lines.once("line", resolve));
    await expect(lockHome(file, { pid: process.pid, since: 0, version: "9" })).rejects.toMatchObject({
      code: "home/locked",
      fields: { file, pid: child.pid, version: "1.2.3" },
    });
    child.kill("SIGKILL");
    await exited;
    const lock = await lockHome(file, { pid: process.pid, since: 0, version: "9" });
    await expect(lockHome(file, { pid: 1, since: 0, version: "9" })).rejects.toMatchObject({
      code: "home/locked",
      fields: { pid: process.pid, version: "9" },
    });
    lock.release();
    (await lockHome(file, { pid: process.pid, since: 0, version: "9" })).release();
  });

  test("a home that does not exist is named", async () => {
    const file = join(home, "missing", "core.lock.db");
    await expect(lockHome(file, { pid: 1, since: 0, version: "9" })).rejects.toMatchObject({
      code: "home/unusable",
      fields: { file },
    });
  });
});
