/** Branches inherit settings of headquarters: real sockets, real files. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axios from "axios";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type InheritedLayer, openLayer } from "../../agent/fleet/inherited.ts";
import { inheriting } from "../../agent/fleet/layered-store.ts";
import { openHeadquarters } from "../../agent/fleet/open.ts";
import { publishedSettings } from "../../agent/fleet/published.ts";
import { signatureDigest } from "../../agent/network/signed-request.ts";
import { openFileStore } from "../../agent/store/file.ts";
import { agentFixture, hostText } from "./agent-fixture.ts";

const north = "n".repeat(64);
const idle = "sys.xmpp.properties.xmpp.client.idle";
const muc = "sys.xmpp.properties.xmpp.muc.history.maxNumber";
let home: string;
let hq: Awaited<ReturnType<typeof openHeadquarters>>;
let said: string[];
const layers: InheritedLayer[] = [];
const publish = (text: string) => writeFile(join(home, "published.yaml"), text);
const open = (port = 0) =>
  openHeadquarters(
    { address: "127.0.0.1", port },
    join(home, "fleet.yaml"),
    { home, now: Date.now, failed: (code) => said.push(code) },
    join(home, "published.yaml"),
  );

beforeEach(async () => {
  said = [];
  home = await mkdtemp(join(tmpdir(), "firekeeper-fleet-"));
  await writeFile(join(home, "north.key"), north);
  await writeFile(join(home, "fleet.yaml"), "branches:\n  north: { secretFile: north.key }\n");
  await writeFile(join(home, "host.yaml"), hostText({ settings: { [muc]: "7" } }));
  await publish(`settings:\n  ${idle}: 010\n  ${muc}: 5\n`);
  hq = await open();
});
afterEach(async () => {
  for (const layer of layers.splice(0)) layer.close();
  await hq.close();
  await rm(home, { recursive: true, force: true });
});

async function branch(everyMs?: number) {
  const place = { reportTo: `http://127.0.0.1:${hq.port}`, secretFile: join(home, "north.key"), ca: undefined };
  const parts = { home, instance: "north", failed: (code: string) => void said.push(code), now: Date.now };
  const layer = await openLayer(place, parts, everyMs);
  layers.push(layer);
  const own = await openFileStore({ path: join(home, "host.yaml"), home, create: false, quietMs: 10 });
  return { layer, own, store: inheriting(own, layer) };
}

async function get(given: { key?: string; etag?: string; age?: number } = {}) {
  const time = String(Math.floor(Date.now() / 1000) - (given.age ?? 0));
  return axios.get(`http://127.0.0.1:${hq.port}/fleet/settings`, {
    headers: {
      "X-Firekeeper-Branch": "north",
      "X-Firekeeper-Signature": `t=${time},v1=${signatureDigest(given.key ?? north, time, "").toString("hex")}`,
      ...(given.etag === undefined ? {} : { "If-None-Match": given.etag }),
    },
    validateStatus: () => true,
    proxy: false,
  });
}

test("what the store does not set is inherited, and its own keys win", async () => {
  const { own, store } = await branch();
  const snapshot = await store.read();
  expect(Object.fromEntries(snapshot.settings)).toMatchObject({ [idle]: "010", [muc]: "7" });
  expect([...(snapshot.origins ?? [])]).toEqual([[idle, "headquarters"]]);
  expect(snapshot.warnings.filter((one) => one.code === "fleet/own-value").map((one) => one.message)).toEqual([
    expect.stringContaining(muc),
  ]);
  expect(snapshot.hash).not.toBe((await own.read()).hash);
  expect((await store.lastGood())?.hash).toBe(snapshot.hash);
  const { snapshot: edited } = await store.edit({ kind: "setting-set", key: idle, value: "20" });
  expect(edited.settings.get(idle)).toBe("20");
  expect(edited.origins).toBeUndefined();
});

test("a branch may have values of its own at headquarters", async () => {
  await publish(`settings:\n  ${idle}: 1\nbranches:\n  north: { ${idle}: 2 }\n  south: { ${idle}: 3 }\n`);
  const { store } = await branch();
  expect((await store.read()).settings.get(idle)).toBe("2");
});

test("a file with keys that are a branch's own is not published, and said once", async () => {
  const lines: string[] = [];
  const told = publishedSettings(join(home, "published.yaml"), (_, why) => lines.push(why));
  for (const key of ["sys.xmpp.domain", "sys.xmpp.adminuser", "sys.xmpp.externalip", "server.port", "sys.xmpp.typo"]) {
    await publish(`settings: { ${key}: x }\n`);
    expect(await told("north")).toBeUndefined();
    expect(await told("north")).toBeUndefined();
    expect(lines.splice(0)).toEqual([expect.stringContaining(key)]);
    await publish(`settings: {}\nbranches: { north: { ${key}: x } }\n`);
    expect(await told("north")).toBeUndefined();
    lines.length = 0;
  }
  for (const broken of ["settings: {}\nsecrets: {}\n", "settings: [", "settings: { }\nbranches: { 'A B': {} }\n"]) {
    await publish(broken);
    expect((await get()).status).toBe(503);
  }
  expect(said).toEqual(Array(3).fill("fleet/settings-unreadable"));
  await publish("settings: {}\n");
  expect((await get()).data).toEqual({ settings: {} });
});

test("only the branch itself is told, and only what is new", async () => {
  expect((await get({ key: "s".repeat(64) })).status).toBe(401);
  expect((await get({ age: 400 })).status).toBe(401);
  const { status, headers } = await get();
  const { etag } = headers;
  expect([status, headers["cache-control"]]).toEqual([200, "no-store"]);
  expect(await get({ etag })).toMatchObject({ status: 304, data: "" });
  await publish(`settings:\n  ${idle}: 11\n`);
  expect((await get({ etag })).status).toBe(200);
});

test("without headquarters the last settings stay, also over a restart", async () => {
  const first = await branch();
  await first.store.read();
  expect((await stat(join(home, "inherited.json"))).mode & 0o777).toBe(0o600);
  await hq.close();
  await first.layer.refresh();
  for (const { store } of [first, await branch()]) {
    const snapshot = await store.read();
    expect(snapshot.settings.get(idle)).toBe("010");
    expect(snapshot.warnings.map((one) => one.code)).toContain("fleet/layer-away");
  }
  hq = await open(hq.port);
  await first.layer.refresh();
  expect((await first.store.read()).warnings.map((one) => one.code)).not.toContain("fleet/layer-away");
});

test("a branch that never heard its headquarters has its own settings", async () => {
  await hq.close();
  const { own, store } = await branch();
  const snapshot = await store.read();
  expect(snapshot.hash).toBe((await own.read()).hash);
  expect(snapshot.warnings.map((one) => one.code)).toContain("fleet/layer-away");
  expect(said).toEqual(["fleet/layer-away"]);
});

test("a change at headquarters becomes a look", async () => {
  const { store } = await branch(20);
  await store.read();
  const causes: string[] = [];
  const end = store.watch((cause) => causes.push(cause));
  try {
    await publish(`settings:\n  ${idle}: 30\n`);
    await expect.poll(() => causes).toContain("headquarters changed its settings");
    expect((await store.read()).settings.get(idle)).toBe("30");
  } finally {
    await end();
  }
});

test("headquarters cannot name a branch's domain, whatever it answers", async () => {
  const { layer, store } = await branch();
  await store.read();
  const { port } = hq;
  await hq.close();
  const { createServer } = await import("node:http");
  const body = JSON.stringify({ settings: { "sys.xmpp.domain": "evil", [idle]: "1" } });
  const evil = createServer((_, response) => response.end(body));
  await new Promise<void>((resolve) => evil.listen(port, "127.0.0.1", resolve));
  try {
    expect(await layer.refresh()).toBe(false);
    const { settings } = await store.read();
    expect([settings.get("sys.xmpp.domain"), settings.get(idle)]).toEqual([undefined, "010"]);
  } finally {
    evil.closeAllConnections();
    evil.close();
  }
});

test("the plan of an agent names headquarters", async () => {
  const fixture = await agentFixture(
    { settings: { [idle]: "9", [muc]: "7" } },
    {
      FIREKEEPER_APPLY: "manual",
      FIREKEEPER_INSTANCE: "north",
      FIREKEEPER_REPORT_TO: `http://127.0.0.1:${hq.port}`,
      FIREKEEPER_REPORT_SECRET_FILE: join(home, "north.key"),
      FIREKEEPER_INHERIT: "yes",
    },
  );
  try {
    await fixture.start();
    await fixture.write({ settings: { [muc]: "8" } });
    const { plan } = await fixture.ask("plan");
    expect(plan.changes.map((one) => [one.source, one.to])).toEqual([
      [`${idle}, inherited from headquarters`, "10"],
      [muc, "8"],
    ]);
  } finally {
    await fixture.close();
  }
});
