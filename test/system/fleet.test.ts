/** Branches report to headquarters: real sockets, real files. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axios from "axios";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { StatusDocument } from "../../agent/agent.ts";
import { renderFleet } from "../../agent/commands/fleet.ts";
import { branchReport } from "../../agent/fleet/branch-report.ts";
import { type FleetDocument, fleetDocument, readFleet } from "../../agent/fleet/fleet-state.ts";
import { openHeadquarters, openReporter } from "../../agent/fleet/open.ts";
import { signatureDigest } from "../../agent/network/signed-request.ts";
import { type AgentFixture, agentFixture } from "./agent-fixture.ts";

const north = "n".repeat(64);
const south = "s".repeat(64);
let home: string;
let hq: Awaited<ReturnType<typeof openHeadquarters>>;
let branch: AgentFixture | undefined;
const open = () =>
  openHeadquarters({ address: "127.0.0.1", port: 0 }, join(home, "fleet.yaml"), { home, now: Date.now });

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-fleet-"));
  await writeFile(join(home, "north.key"), north);
  await writeFile(join(home, "south.key"), south);
  await writeFile(
    join(home, "fleet.yaml"),
    "branches:\n  north: { secretFile: north.key }\n  south: { secretFile: south.key }\n",
  );
  hq = await open();
});
afterEach(async () => {
  await branch?.close();
  branch = undefined;
  await hq.close();
  await rm(home, { recursive: true, force: true });
});

async function reporter(instance: string, status: () => Promise<StatusDocument>) {
  return openReporter(
    `http://127.0.0.1:${hq.port}`,
    { secretFile: join(home, `${instance}.key`), ca: undefined },
    { home, instance, status, failed: () => {}, now: Date.now },
  );
}

test("two branches with one domain are heard, shown as a conflict, and kept over a restart", async () => {
  const fixture = await agentFixture({ settings: { "sys.xmpp.domain": "muc" } });
  branch = fixture;
  await fixture.start();
  for (const name of ["north", "south"]) {
    const one = await reporter(name, () => fixture.status());
    await one.send();
    one.close();
  }
  await hq.close();
  hq = await open();
  const document = fleetDocument(await readFleet(home), Date.now());
  expect(document.conflicts).toEqual([expect.stringMatching(/^muc is served by north and south\./)]);
  expect(renderFleet(document)).toMatch(/^north +muc +1\/1 +none /m);
  expect(document.branches[0]?.report).toMatchObject({ program: "stand-in", frozen: false });
  expect(document.warnings).toEqual([]);
  expect(document.branches.every((one) => !one.stale)).toBe(true);
  expect(fleetDocument(await readFleet(home), Date.now() + 600_000).branches[0]?.stale).toBe(true);
  expect((await stat(join(home, "fleet.json"))).mode & 0o777).toBe(0o600);
});

test("different versions are a warning, a frozen branch is shown, and a branch that says neither is heard", async () => {
  const report = {
    ...{ branch: "north", counter: 5, domain: "a", aliases: [], revision: 1, proven: 1, pending: 0, rejected: 0 },
    ...{ held: false, error: null, certificateDays: null, sessions: 0, accounts: 0, serverSince: null, agentSince: "" },
  };
  const heard = (given: object) => ({ expected: null, heard: 0, report: branchReport.parse({ ...report, ...given }) });
  const branches = {
    north: heard({ program: "1.0.0", frozen: true }),
    south: heard({ program: "1.1.0" }),
    west: heard({}),
    east: heard({ program: "1.0.0" }),
  };
  const document = fleetDocument({ branches }, 0);
  expect(document.warnings).toEqual([
    "Branches run different versions: 1.0.0 (north, east); 1.1.0 (south). Upgrade those that are behind.",
  ]);
  const shown = renderFleet(document);
  expect(shown).toMatch(/^warning: Branches run different versions/m);
  expect(shown).toMatch(/^north .* frozen .* 1\.0\.0 /m);
  expect(shown).toMatch(/^west .* none /m);
});

test("what is unsigned, foreign, replayed, old or too large is refused, and changes nothing", async () => {
  const report = {
    ...{ branch: "north", counter: 5, domain: "a", aliases: [], revision: 1, proven: 1, pending: 0, rejected: 0 },
    ...{ held: false, error: null, certificateDays: null, sessions: 0, accounts: 0, serverSince: null, agentSince: "" },
  };
  const post = async (body: string, given: { key?: string; branch?: string; age?: number; path?: string } = {}) => {
    const time = String(Math.floor(Date.now() / 1000) - (given.age ?? 0));
    const { status } = await axios.post(`http://127.0.0.1:${hq.port}${given.path ?? "/fleet/report"}`, body, {
      headers: {
        "X-Firekeeper-Branch": given.branch ?? "north",
        "X-Firekeeper-Signature": `t=${time},v1=${signatureDigest(given.key ?? north, time, body).toString("hex")}`,
      },
      validateStatus: () => true,
      proxy: false,
    });
    return status;
  };
  const text = JSON.stringify(report);
  expect(await post(text, { key: south })).toBe(401);
  expect(await post(text, { branch: "south", key: south })).toBe(400);
  expect(await post(text, { branch: "west" })).toBe(401);
  expect(await post(text, { age: 400 })).toBe(401);
  expect(await post(text, { path: "/" })).toBe(404);
  expect(await post("x".repeat(65 * 1024))).toBe(413);
  expect(await post(JSON.stringify({ ...report, users: ["alice"] }))).toBe(400);
  expect((await readFleet(home)).branches.north?.report).toBeNull();
  expect(await post(text)).toBe(204);
  expect(await post(text)).toBe(409);
  await hq.close();
  hq = await open();
  expect(await post(text)).toBe(409);
});

test("a branch reports over TLS, or to loopback only", async () => {
  const parts = { home, instance: "north", status: () => Promise.reject(), failed: () => {}, now: Date.now };
  const place = { secretFile: join(home, "north.key"), ca: undefined };
  await expect(openReporter("http://192.0.2.1", place, parts)).rejects.toMatchObject({ code: "fleet/invalid" });
});

test("agents started with the variables find each other", async () => {
  const { port } = hq;
  await hq.close();
  const headquarters = await agentFixture(
    {},
    { FIREKEEPER_FLEET_LISTEN: `127.0.0.1:${port}`, FIREKEEPER_FLEET_FILE: join(home, "fleet.yaml") },
  );
  try {
    await headquarters.start();
    branch = await agentFixture(
      { settings: { "sys.xmpp.domain": "muc" } },
      {
        FIREKEEPER_INSTANCE: "north",
        FIREKEEPER_REPORT_TO: `http://127.0.0.1:${port}`,
        FIREKEEPER_REPORT_SECRET_FILE: join(home, "north.key"),
      },
    );
    await branch.start();
    await expect
      .poll(async () => (await headquarters.ask<FleetDocument>("fleet")).branches.map((one) => one.heard !== null))
      .toEqual([true, false]);
    expect(await headquarters.core.console("fleet")).toMatchObject({
      ok: {
        branches: [
          { branch: "north", report: { branch: "north" } },
          { branch: "south", report: null },
        ],
      },
    });
    expect(await branch.core.console("fleet")).toMatchObject({ ok: null });
  } finally {
    await headquarters.close();
  }
});
