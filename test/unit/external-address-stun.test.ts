/** `sys.xmpp.externalip: auto`: what STUN servers say, how many must agree, and when a new address is taken. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { Desired } from "../../agent/desired/desired.ts";
import { externalAddress } from "../../agent/network/external-address.ts";
import { steadyAddress } from "../../agent/network/steady-address.ts";
import { agreement, isInside } from "../../agent/network/stun-round.ts";
import { readStunServers } from "../../agent/network/stun-servers.ts";

const wish = (address = "auto"): Desired => ({
  state: { settings: { properties: {}, externalAddress: address }, groups: [], supervisors: [], accounts: [] },
  domainFrom: "store",
  rejections: [],
  notices: [],
});

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Servers whose answers the test sets, and a clock that it moves. */
function world(options: { servers?: string; stateFile?: string } = {}) {
  const says: Record<string, string | Error> = {};
  const clock = { now: 1_700_000_000_000 };
  const timers = new Set<{ at: number; work: () => void }>();
  let moved = 0;
  let rounds = 0;
  const external = externalAddress({
    resolver: { resolve4: async () => [], resolve6: async () => [] },
    now: () => clock.now,
    stun: { servers: readStunServers(options.servers ?? "192.0.2.1, 192.0.2.2, 192.0.2.3") ?? [], everyMs: 60_000 },
    ...(options.stateFile === undefined ? {} : { stateFile: options.stateFile }),
    moved: () => moved++,
    after(ms, work) {
      const timer = { at: clock.now + ms, work };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async ask({ address }) {
      rounds += address === "192.0.2.1" ? 1 : 0;
      const said = says[address] ?? new Error("it does not answer");
      if (said instanceof Error) throw said;
      return said;
    },
  });
  onTestFinished(() => external.close());
  return {
    says,
    clock,
    external,
    moves: () => moved,
    rounds: () => rounds,
    /** Lets time pass, with every round that is due. */
    async pass(ms: number) {
      const until = clock.now + ms;
      for (;;) {
        await settled();
        await settled();
        const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers.delete(next);
        clock.now = Math.max(clock.now, next.at);
        next.work();
      }
      clock.now = until;
    },
    all(address: string) {
      for (const server of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) says[server] = address;
    },
    address: async () => (await external.follow(wish())).state.settings.externalAddress,
  };
}

test.each([
  [["a"], { is: "agreed", by: 1, of: 1 }],
  [["a", undefined], { is: "agreed", by: 1, of: 2 }],
  [["a", "b"], { is: "disagree" }],
  [["a", "a", "b"], { is: "agreed", by: 2, of: 3 }],
  [["a", undefined, undefined], { is: "disagree" }],
  [["a", "a", "b", "b"], { is: "disagree" }],
  [["a", "a", "b", "c", "d"], { is: "disagree" }],
  [[undefined, undefined], { is: "silent" }],
  [["inside", "a", "a"], { is: "agreed", by: 2, of: 3 }],
  [["inside", "inside"], { is: "silent" }],
])("of %j: %j", (said, found) => {
  const addresses: Record<string, string> = { inside: "10.0.0.1" };
  for (const [place, name] of ["a", "b", "c", "d"].entries()) addresses[name] = `198.51.100.${place}`;
  const answers = said.map((name) => ({
    server: "s",
    family: 4 as const,
    ...(name === undefined ? {} : { address: addresses[name] ?? "" }),
  }));
  expect(agreement(answers)).toMatchObject(found);
});

test.each([
  "10.1.2.3",
  "172.31.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "127.0.0.1",
  "169.254.1.1",
  "fe80::1",
  "fd00::1",
  "::1",
])("%s is inside", (address) => expect(isInside(address)).toBe(true));
test.each(["172.32.0.1", "100.128.0.1", "198.51.100.1", "2001:db8::1"])("%s is not", (address) =>
  expect(isInside(address)).toBe(false),
);

test("without servers auto is rejected, and what is in force stays", async () => {
  const external = externalAddress({ resolver: { resolve4: async () => [], resolve6: async () => [] }, now: () => 0 });
  const wanted = await external.follow(wish("Auto"));
  expect(wanted.state.settings).not.toHaveProperty("externalAddress");
  expect(wanted.rejections).toMatchObject([{ code: "network/stun-unset", key: "sys.xmpp.externalip", value: "Auto" }]);
  expect(wanted.rejections[0]?.hint).toContain("FIREKEEPER_STUN");
});

test("the first look has the address, and says who has seen it", async () => {
  const { all, says, external } = world();
  all("198.51.100.7");
  says["192.0.2.3"] = new Error("it does not answer");
  const wanted = await external.follow(wish());
  expect(wanted.state.settings.externalAddress).toBe("198.51.100.7");
  expect(wanted.followed).toEqual({ how: "auto, seen by 2 of 3 STUN servers", former: [] });
});

test("a new address is taken when it was seen twice, and the plan knows what it was before", async () => {
  const { all, address, external, pass, moves } = world();
  all("198.51.100.7");
  await address();
  await settled();
  const before = moves();
  all("198.51.100.8");
  await pass(60_000);
  expect([await address(), moves()]).toEqual(["198.51.100.7", before]);
  await pass(5_000);
  expect(moves()).toBe(before + 1);
  const wanted = await external.follow(wish());
  expect(wanted.state.settings.externalAddress).toBe("198.51.100.8");
  expect(wanted.followed?.former).toEqual(["198.51.100.7"]);
});

test("an address that is seen once and not again is forgotten", async () => {
  const { all, address, pass } = world();
  all("198.51.100.7");
  await address();
  all("198.51.100.8");
  await pass(60_000);
  all("198.51.100.7");
  await pass(300_000);
  all("198.51.100.8");
  // The rounds are 5 s off the minute since the one that had seen it.
  await pass(6_000);
  expect(await address()).toBe("198.51.100.7");
  await pass(5_000);
  expect(await address()).toBe("198.51.100.8");
});

test("servers that disagree or are silent take nothing away; one that stands inside does not count", async () => {
  const { all, says, external, pass } = world();
  all("198.51.100.7");
  await external.follow(wish());
  const codes = async () => {
    const wanted = await external.follow(wish());
    expect(wanted.state.settings.externalAddress).toBe("198.51.100.7");
    return wanted.notices.map(({ code }) => code);
  };
  Object.assign(says, { "192.0.2.1": "198.51.100.8", "192.0.2.2": "198.51.100.9", "192.0.2.3": "198.51.100.10" });
  await pass(120_000);
  expect(await codes()).toEqual(["network/stun-disagree"]);
  Object.assign(says, { "192.0.2.1": "198.51.100.7", "192.0.2.2": "198.51.100.7", "192.0.2.3": "192.168.1.5" });
  await pass(120_000);
  expect(await codes()).toEqual(["network/stun-inside"]);
  for (const server of Object.keys(says)) says[server] = new Error("it does not answer");
  await pass(120_000);
  expect(await codes()).toEqual(["network/stun-silent"]);
});

test("servers that never answered leave what is in force, and are asked until they do", async () => {
  const { all, external, address, pass, moves } = world();
  const wanted = await external.follow(wish());
  expect(wanted.rejections).toMatchObject([{ code: "network/stun-silent" }]);
  expect(wanted.notices[0]?.message).toContain("192.0.2.2: it does not answer");
  all("198.51.100.7");
  const before = moves();
  await pass(60_000);
  expect([await address(), moves()]).toEqual(["198.51.100.7", before + 1]);
});

test("IPv4 and IPv6 are both offered when both are seen", async () => {
  const { says, address } = world({ servers: "192.0.2.1, [2001:db8::1]" });
  says["192.0.2.1"] = "198.51.100.7";
  says["2001:db8::1"] = "2001:db8:7::7";
  expect(await address()).toBe("198.51.100.7, 2001:db8:7::7");
});

test("an address family that nobody has seen for an hour is no longer offered, while the other is", async () => {
  const { says, address, pass } = world({ servers: "192.0.2.1, [2001:db8::1]" });
  says["192.0.2.1"] = "198.51.100.7";
  says["2001:db8::1"] = "2001:db8:7::7";
  await address();
  delete says["2001:db8::1"];
  await pass(55 * 60_000);
  expect(await address()).toBe("198.51.100.7, 2001:db8:7::7");
  await pass(10 * 60_000);
  expect(await address()).toBe("198.51.100.7");
  says["2001:db8::1"] = "2001:db8:7::7";
  await pass(2 * 60_000);
  expect(await address()).toBe("198.51.100.7, 2001:db8:7::7");
});

test("an address that flaps is followed ever more slowly, and is followed again when it is calm", async () => {
  const { all, address, external, pass, clock } = world();
  const start = clock.now;
  const moves: number[] = [];
  let offered = "";
  for (let turn = 0; clock.now - start < 4 * 3_600_000; turn++) {
    all(`198.51.100.${turn % 2}`);
    const now = (await address()) ?? "";
    if (now !== offered) moves.push(clock.now - start);
    offered = now;
    await pass(130_000);
  }
  // Without damping it would move 110 times.
  expect(moves.length).toBeGreaterThan(3);
  expect(moves.length).toBeLessThan(13);
  const held = await external.follow(wish());
  const other = offered.endsWith("0") ? "198.51.100.1" : "198.51.100.0";
  all(other);
  await pass(130_000);
  expect((await external.follow(wish())).notices.concat(held.notices).map(({ code }) => code)).toContain(
    "network/address-held",
  );
  all(offered);
  await pass(3 * 3_600_000);
  all("198.51.100.9");
  await pass(65_000);
  expect(await address()).toBe("198.51.100.9");
});

test("the hold doubles from a minute to an hour, and a clock set back does not make it longer", () => {
  const steady = steadyAddress(1);
  let now = 0;
  steady.saw("a", now);
  const holds: number[] = [];
  for (let turn = 0; turn < 9; turn++) {
    expect(steady.saw(`b${turn}`, now)).toEqual({ is: "taken" });
    expect(steady.saw("x", now)).toMatchObject({ is: "held" });
    holds.push((steady.state.holdMs ?? 0) / 60_000);
    now += steady.state.holdMs ?? 0;
  }
  expect(holds).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60]);
  expect(steady.saw("y", 0)).toMatchObject({ is: "held", until: 3_600_000 });
});

test("a restart of the agent forgets neither the address nor what it meant before", async () => {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-address-"));
  onTestFinished(() => rm(home, { recursive: true }));
  const stateFile = join(home, "external-address.json");
  const first = world({ stateFile });
  first.all("198.51.100.7");
  expect(await first.address()).toBe("198.51.100.7");
  first.external.close();
  const second = world({ stateFile });
  const wanted = await second.external.follow(wish());
  expect(wanted.state.settings.externalAddress).toBe("198.51.100.7");
  expect(wanted.followed?.former).toEqual(["198.51.100.7"]);
});

test("a literal address asks nobody any more", async () => {
  const { all, address, external, pass, rounds } = world();
  all("198.51.100.7");
  await address();
  expect(await external.follow(wish("192.0.2.77"))).toEqual(wish("192.0.2.77"));
  const before = rounds();
  await pass(600_000);
  expect(rounds()).toBe(before);
});
