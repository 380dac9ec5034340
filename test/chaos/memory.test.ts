import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { rawConnection } from "../hostile/doors.ts";
import { type Service, startService, until } from "../support/processes.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** Hostile connections against real processes: what they cost is given back. FIREKEEPER_TEST_HOSTILE sets how many, 20,000 in .ci/run. */

const connections = Number(process.env.FIREKEEPER_TEST_HOSTILE ?? 3000);
const atOnce = 40;

let service: Service;
beforeAll(async () => {
  service = await startService({
    host: { users: [{ name: "alice", password: "alice" }] },
    properties: { "firekeeper.client.connections-per-address": 1_000_000 },
  });
}, 60_000);
afterAll(() => service.stop());

const opening =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
const endings = [
  ["<!DOCTYPE a [<!ENTITY b 'c'>]>", "restricted-xml"],
  [`<message to='${"x".repeat(20_000)}`, "policy-violation"],
  [`<message>${"<a/>".repeat(2000)}`, "policy-violation"],
  ["<message>".repeat(2000), "policy-violation"],
  [`<message ${Array.from({ length: 500 }, (_, i) => `a${i}='x'`).join(" ")}`, "policy-violation"],
  [Buffer.from([0x3c, 0x61, 0x3e, 0xc0, 0xaf, 0x3c, 0x2f, 0x61, 0x3e]), "unsupported-encoding"],
  ["<presence/>", "not-authorized"],
  [`<starttls xmlns='${ns.tls}'/><message/>`, ""],
] as const;

/** One of each kind in turn; now and then over TLS, now and then cut in the middle. */
async function hostile(i: number): Promise<void> {
  const direct = i % 20 === 0;
  const raw = await rawConnection(direct ? service.ports.tls : service.ports.plain, direct ? "direct" : "clear");
  const [bytes, condition] = endings[i % endings.length] as (typeof endings)[number];
  if (i % 5 === 1) {
    raw.write(opening);
    raw.write(typeof bytes === "string" ? bytes.slice(0, 40) : bytes.subarray(0, 3));
    raw.socket.resetAndDestroy();
    await raw.everything;
    return;
  }
  raw.write(Buffer.concat([Buffer.from(opening), Buffer.from(bytes)]));
  if (condition !== "") expect(await raw.everything).toContain(`<stream:error><${condition} `);
  else await raw.everything;
}

async function flood(count: number): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    while (next < count) await hostile(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

const residentMiB = (part: "gate" | "core"): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${service.pid(part)}/status`, "utf8"))?.[1]) / 1024;

test(`${connections} hostile connections leave gate and core as large as they found them`, {
  timeout: 600_000,
}, async () => {
  const alice = await XmppClient.login({ ...at(service.ports.plain), user: "alice", password: "alice" });
  const pids = [service.pid("gate"), service.pid("core")];
  // A heap that was never used is no measure: its largest size while it warms up is. 1 KiB lost by each of 20,000 would still show.
  const most = { gate: 0, core: 0 };
  for (let round = 0; round < 3; round++) {
    await flood(Math.max(1000, connections / 10));
    for (const part of ["gate", "core"] as const) most[part] = Math.max(most[part], residentMiB(part));
  }
  await flood(connections);
  await alice.ping();
  expect([service.pid("gate"), service.pid("core")]).toEqual(pids);
  for (const part of ["gate", "core"] as const)
    await until(
      () => residentMiB(part) <= most[part] * 1.2,
      60_000,
      () => `the ${part} holds ${residentMiB(part).toFixed(0)} MiB, and at most ${most[part].toFixed(0)} before`,
    );
  await alice.close();
});

const at = (port: number) => ({ host: "127.0.0.1", port, domain: service.domain });
