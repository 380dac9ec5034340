/** The external address: literals as they are, host names followed by their TTL, failures that take nothing away. */
import { expect, onTestFinished, test } from "vitest";
import type { Desired } from "../../agent/desired/desired.ts";
import { type AddressRecord, externalAddress } from "../../agent/network/external-address.ts";
import { agentFixture, entries } from "./agent-fixture.ts";

function wish(address: string | undefined): Desired {
  const settings = { properties: {}, ...(address === undefined ? {} : { externalAddress: address }) };
  return {
    state: { settings, groups: [], supervisors: [], accounts: [] },
    domainFrom: "store",
    rejections: [],
    notices: [],
  };
}

function world() {
  const dns = { v4: [] as AddressRecord[], v6: [] as AddressRecord[], asked: 0, now: 0, failure: "ENODATA" };
  const answer = async (records: AddressRecord[]) => {
    dns.asked++;
    if (records.length === 0) throw Object.assign(new Error(dns.failure), { code: dns.failure });
    return records;
  };
  const external = externalAddress({
    resolver: { resolve4: () => answer(dns.v4), resolve6: () => answer(dns.v6) },
    now: () => dns.now,
  });
  const follow = async (text: string | undefined) => (await external.follow(wish(text))).state.settings.externalAddress;
  return { dns, external, follow };
}

test.each(["192.0.2.7", "2001:db8::7", "not a name", undefined])(
  "%s is passed on without asking anybody",
  async (text) => {
    const { dns, external, follow } = world();
    expect(await follow(text)).toBe(text);
    expect(dns.asked).toBe(0);
    expect(external.lookAgainAt).toBeUndefined();
  },
);

test("a host name becomes its address until its TTL ends, and then the next one", async () => {
  const { dns, external, follow } = world();
  dns.v4 = [{ address: "192.0.2.1", ttl: 30 }];
  expect(await follow("vpn.example.org")).toBe("192.0.2.1");
  expect(external.lookAgainAt).toBe(30_000);
  dns.v4 = [{ address: "192.0.2.2", ttl: 30 }];
  dns.now = 29_999;
  expect(await follow("vpn.example.org")).toBe("192.0.2.1");
  dns.now = 30_000;
  expect(await follow("vpn.example.org")).toBe("192.0.2.2");
});

test("among several addresses of a family the one that is offered stays, and both families are offered", async () => {
  const { dns, follow } = world();
  dns.v6 = [{ address: "2001:db8::1", ttl: 30 }];
  dns.v4 = [
    { address: "192.0.2.2", ttl: 30 },
    { address: "192.0.2.1", ttl: 30 },
  ];
  expect(await follow("vpn.example.org")).toBe("192.0.2.1, 2001:db8::1");
  dns.now = 60_000;
  dns.v4 = [
    { address: "192.0.2.1", ttl: 30 },
    { address: "192.0.2.0", ttl: 30 },
  ];
  expect(await follow("vpn.example.org")).toBe("192.0.2.1, 2001:db8::1");
  dns.now = 120_000;
  dns.v4 = [];
  expect(await follow("vpn.example.org")).toBe("2001:db8::1");
});

test("a name server that fails for one family takes that address away from nobody", async () => {
  const { dns, follow } = world();
  dns.v4 = [{ address: "192.0.2.1", ttl: 30 }];
  dns.v6 = [{ address: "2001:db8::1", ttl: 30 }];
  await follow("vpn.example.org");
  dns.v6 = [];
  dns.failure = "ESERVFAIL";
  dns.now = 60_000;
  expect(await follow("vpn.example.org")).toBe("192.0.2.1, 2001:db8::1");
});

test("a name that flaps is followed at once, then ever more slowly, with a notice", async () => {
  const { dns, external } = world();
  const moves: number[] = [];
  let held = 0;
  let offered: string | undefined;
  // Another address every 10 s for two hours.
  for (dns.now = 0; dns.now < 2 * 3_600_000; dns.now += 10_000) {
    dns.v4 = [{ address: `192.0.2.${(dns.now / 10_000) % 2}`, ttl: 5 }];
    const wanted = await external.follow(wish("vpn.example.org"));
    if (wanted.state.settings.externalAddress !== offered) moves.push(dns.now);
    offered = wanted.state.settings.externalAddress;
    if (wanted.notices.some(({ code }) => code === "network/address-held")) held++;
  }
  expect(moves.length).toBeLessThan(12);
  expect(moves.slice(0, 2)).toEqual([0, 10_000]);
  expect(held).toBeGreaterThan(100);
});

test("a name that no longer resolves keeps its last address, with a notice", async () => {
  const { dns, external } = world();
  dns.v4 = [{ address: "192.0.2.1", ttl: 30 }];
  await external.follow(wish("vpn.example.org"));
  dns.v4 = [];
  dns.now = 60_000;
  const wanted = await external.follow(wish("vpn.example.org"));
  expect(wanted.state.settings.externalAddress).toBe("192.0.2.1");
  expect(wanted.notices).toMatchObject([{ code: "network/unresolved", hint: "Its last address 192.0.2.1 stays." }]);
});

test("a name that never resolved is rejected, and what is in force stays", async () => {
  const { external } = world();
  const wanted = await external.follow(wish("vpn.example.org"));
  expect(wanted.state.settings).not.toHaveProperty("externalAddress");
  expect(wanted.rejections).toMatchObject([
    { subject: { kind: "setting", name: "external-address" }, key: "sys.xmpp.externalip", value: "vpn.example.org" },
  ]);
});

test("in manual mode a followed address moves by itself; another setting, and another name, wait for a person", async () => {
  const host = (externalip: string, idle: string) => ({
    settings: {
      "sys.xmpp.domain": "example.org",
      "sys.xmpp.externalip": externalip,
      "sys.xmpp.properties.xmpp.client.idle": idle,
    },
    users: [{ name: "admin", password: "secret" }],
  });
  const fixture = await agentFixture(host("vpn.example.org", "60000"), { FIREKEEPER_APPLY: "manual" });
  onTestFinished(() => fixture.close());
  const dns: Record<string, string> = { "vpn.example.org": "192.0.2.1", "other.example.org": "192.0.2.9" };
  await fixture.start({
    resolver: {
      resolve4: async (name) => [{ address: dns[name] ?? "", ttl: 0 }],
      resolve6: () => Promise.reject(new Error("ENODATA")),
    },
  });
  const inForce = () => fixture.core.stored.world.settings.externalAddress.value;
  const committed = () =>
    new Promise<void>((resolve) => {
      fixture.core.hooks.afterCommit = resolve;
    });
  expect(inForce()).toBe("192.0.2.1");

  await fixture.write(host("vpn.example.org", "90000"));
  dns["vpn.example.org"] = "192.0.2.2";
  await committed();
  expect(inForce()).toBe("192.0.2.2");
  const { plan } = await fixture.ask("plan");
  expect(plan.changes.map(({ subject }) => subject)).toEqual(["property xmpp.client.idle"]);
  const intents = entries(await fixture.journal()).filter(({ is }) => is === "intent");
  expect(JSON.stringify(intents.at(-1))).toContain("sys.xmpp.externalip (vpn.example.org)");

  await fixture.write(host("other.example.org", "90000"));
  await expect
    .poll(async () => (await fixture.ask("plan")).plan.changes.map(({ subject, to }) => `${subject} ${to}`))
    .toContain("external address 192.0.2.9");
  expect(inForce()).toBe("192.0.2.2");
});
