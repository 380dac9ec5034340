/** Whether the host must be typed: as DNS says of the domain, asked of a name server of our own. */
import { getServers, setServers } from "node:dns";
import { afterAll, beforeAll, expect, test } from "vitest";
import { portalDocument } from "../../xmpp-core/modules/portal/facts.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type DnsStub, dnsStub } from "../support/dns-stub.ts";
import { manualClock } from "../support/manual-clock.ts";
import { fetchPage } from "../support/public-pages.ts";

let core: TestCore;
let dns: DnsStub;
let port: number;
const before = getServers();
const clock = manualClock();

beforeAll(async () => {
  dns = await dnsStub();
  setServers([dns.address]);
  port = await freePort();
  core = await startTestCore({
    domain: "srv.invalid",
    clock,
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": "-1",
      "httpbind.port.secure": String(port),
      fqdn: "host.invalid",
    },
  });
});
afterAll(async () => {
  setServers(before);
  await core.close();
  await dns.close();
});

const client = async () => portalDocument.parse(JSON.parse((await fetchPage(port, "/portal.json")).body)).client;
const hostStep = async (guide: string) => /<li id="host">/.test((await fetchPage(port, `/guide/${guide}`)).body);
const fiveMinutes = 5 * 60_000 + 1;

test("without records the host is typed, and DNS is asked once", async () => {
  const told = await client();
  expect(told).toMatchObject({ typeHost: true, host: "host.invalid" });
  expect(await hostStep("pidgin")).toBe(true);
  expect(dns.asked.filter((name) => name === "_xmpp-client._tcp.srv.invalid")).toHaveLength(1);
});

test("B17: with SRV records that lead here the field is left out, five minutes later at the latest", async () => {
  dns.answer("_xmpp-client._tcp.srv.invalid", [{ name: "host.invalid", port: core.port }]);
  clock.pass(fiveMinutes);
  expect(await client()).toMatchObject({ typeHost: false, dns: "srv" });
  for (const guide of ["pidgin", "gajim", "thunderbird", "spark"]) expect(await hostStep(guide)).toBe(false);
  expect((await fetchPage(port, "/")).body).toContain("leave it empty");
});

test("records that lead to another port or host are none", async () => {
  for (const record of [
    { name: "host.invalid", port: core.port + 1 },
    { name: "elsewhere.invalid", port: core.port },
  ]) {
    dns.answer("_xmpp-client._tcp.srv.invalid", [record]);
    clock.pass(fiveMinutes);
    expect(await client()).toMatchObject({ typeHost: true, dns: "elsewhere" });
    expect(await hostStep("pidgin")).toBe(true);
  }
});

test("a name in a request is never asked for", async () => {
  await fetchPage(port, "/portal.json", { host: "attacker.invalid" });
  expect(dns.asked.filter((name) => name.includes("attacker"))).toEqual([]);
});
