/** What verify sees of a real server: behind a proxy, with clients refused, from outside, and a group as its members see it. */
import { once } from "node:events";
import { createServer } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { broken, type Probe, probe, wrongGroups } from "../../agent/apply/verify.ts";
import { readVantagePoints, type VantagePoint } from "../../agent/network/vantage.ts";
import { sharedContacts } from "../../xmpp-core/modules/points.ts";
import { makeCertificate } from "../protocol/gate-fixture.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { socksServer } from "../support/socks5-server.ts";

let core: TestCore;
let agent: TestAgent;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
  agent = await connectAgent(core);
});
afterEach(async () => {
  await agent.set({ "firekeeper.client.proxy-protocol-from": null, "firekeeper.client.refuse-on": null });
  await agent.apply({ kind: "setting", setting: "external-address", to: null });
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const red = (probes: readonly Probe[]) =>
  probes.filter(({ green }) => !green).map(({ name, detail }) => `${name}: ${detail}`);

test("a server that takes a PROXY header from here gets one, and stays green", async () => {
  const before = await probe(agent.target);
  await agent.set({ "firekeeper.client.proxy-protocol-from": "127.0.0.0/8" });
  const after = await probe(agent.target);
  expect([...red(before), ...red(after)]).toEqual([]);
  expect(after.map(({ name }) => name)).toContain("login c2s-tls");
});

test("an address on which clients are refused is green when they are", async () => {
  await agent.set({ "firekeeper.client.refuse-on": "127.0.0.1" });
  const refusing = await probe(agent.target);
  expect(red(refusing)).toEqual([]);
  expect(refusing.find(({ name }) => name === "login c2s")?.detail).toBe("clients are refused on 127.0.0.1, as asked");
  // A refusal that nobody asked for is red.
  const status = await agent.target.status();
  const listeners = status.listeners.map(({ refusesOn: _, ...one }) => one);
  const unasked = { ...status, listeners };
  const target = new Proxy(agent.target, {
    get(of, name) {
      if (name === "status") return async () => unasked;
      const value: unknown = Reflect.get(of, name, of);
      return typeof value === "function" ? value.bind(of) : value;
    },
  });
  expect(broken(refusing, await probe(target))).toEqual([
    expect.stringMatching(/^login c2s: .*policy-violation/),
    expect.stringMatching(/^login c2s-tls: .*policy-violation/),
  ]);
});

test("from outside the external address must lead to this server and its certificate", async () => {
  const vantage = await socksServer();
  onTestFinished(() => vantage.close());
  const from = readVantagePoints(`socks5://127.0.0.1:${vantage.port}`) as VantagePoint[];
  expect((await probe(agent.target, { from })).filter(({ name }) => name.includes("socks5"))).toEqual([]);
  await agent.apply({ kind: "setting", setting: "external-address", to: "127.0.0.1" });
  const here = await probe(agent.target, { from });
  expect(red(here)).toEqual([]);
  expect(here.find(({ name }) => name === `c2s from socks5://127.0.0.1:${vantage.port}`)?.detail).toBe(
    `127.0.0.1 port ${core.port} leads here`,
  );

  // Another server has that address, and nobody the next.
  const other = await makeCertificate("localhost");
  const impostor = createServer({ cert: other.chain, key: other.key }).listen(core.directPort, "127.0.0.7");
  await once(impostor, "listening");
  onTestFinished(() => void impostor.close());
  await agent.apply({ kind: "setting", setting: "external-address", to: "127.0.0.7" });
  const wrong = broken(here, await probe(agent.target, { from }));
  expect(wrong.join("\n")).toContain(`127.0.0.7 port ${core.directPort} leads to another server`);
  expect(wrong.join("\n")).toContain(`127.0.0.7 port ${core.port} is not reached: the connection is refused`);
});

test("a vantage point that is away is red at once, so nothing is rolled back for it", async () => {
  await agent.apply({ kind: "setting", setting: "external-address", to: "127.0.0.1" });
  const from = readVantagePoints("socks5://127.0.0.1:9") as VantagePoint[];
  const before = await probe(agent.target, { from });
  expect(red(before)).toHaveLength(2);
  expect(broken(before, await probe(agent.target, { from }))).toEqual([]);
});

test("a group that its members do not see is wrong, and says who does not see whom", async () => {
  const sales = { name: "Sales", displayName: "Sales Team", showInRoster: "onlyGroup" as const, groupList: [] };
  const members = ["alice", "bob", "carol"];
  await agent.apply(
    { kind: "group-set", group: sales },
    { kind: "group-members", group: "Sales", add: members, remove: [] },
  );
  const wanted = [{ ...sales, members }];
  expect(await wrongGroups(agent.target, wanted)).toEqual([]);
  const [sharing] = core.server.core.offered(sharedContacts);
  const contact = sharing?.contact;
  Object.assign(sharing ?? {}, {
    contact: (...pair: Parameters<NonNullable<typeof contact>>) =>
      pair[0].name === "bob" && pair[1].name === "carol" ? undefined : contact?.(...pair),
  });
  expect(await wrongGroups(agent.target, wanted)).toEqual(["group Sales: bob does not see carol under Sales Team"]);
});
