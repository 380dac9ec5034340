/** `firekeeper doctor` against a zone that dnsmasq serves: each fault is found by its name, and a zone made of the printed lines has none. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { userInfo } from "node:os";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkDns, resolverAt, zoneLines } from "../../agent/doctor/dns.ts";
import type { Facts } from "../../agent/doctor/facts.ts";
import { freePort } from "../support/core.ts";

const installed = (() => {
  try {
    execFileSync("dnsmasq", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("skipped: dnsmasq is not installed (apt-get install dnsmasq-base)");
    return false;
  }
})();

const srv = (domain: string, target: string, port = 5222, service = "_xmpp-client") =>
  `--srv-host=${service}._tcp.${domain},${target},${port},5,0`;
const both = (domain: string, target: string) => [srv(domain, target), srv(domain, target, 5223, "_xmpps-client")];

const zone = [
  ...both("good.test", "good.test"),
  "--host-record=good.test,203.0.113.7,2001:db8::7",
  "--host-record=plain.test,203.0.113.7",
  srv("port.test", "port.test", 5333),
  "--host-record=port.test,203.0.113.7",
  ...both("foreign.test", "foreign.test"),
  "--host-record=foreign.test,198.51.100.9",
  ...both("mixed.test", "mixed.test"),
  "--host-record=mixed.test,203.0.113.7",
  "--host-record=mixed.test,198.51.100.9",
  ...both("alias.test", "xmpp.alias.test"),
  "--cname=xmpp.alias.test,good.test",
  ...both("nowhere.test", "nothing.nowhere.test"),
  ...both("private.test", "private.test"),
  "--host-record=private.test,192.168.7.7",
  ...both("invited.test", "good.test"),
  srv("invited.test", "good.test", 5269, "_xmpp-server"),
];

describe.skipIf(!installed)("a zone", () => {
  let port = 0;
  let stop = () => {};

  beforeAll(async () => {
    port = await freePort();
    const where = [
      `--port=${port}`,
      "--listen-address=127.0.0.1",
      "--bind-interfaces",
      `--user=${userInfo().username}`,
    ];
    const alone = [
      "--no-daemon",
      "--no-resolv",
      "--no-hosts",
      "--conf-file=/dev/null",
      "--pid-file=",
      "--local=/test/",
    ];
    const server = spawn("dnsmasq", [...where, ...alone, ...zone], { stdio: ["ignore", "ignore", "pipe"] });
    const gone = once(server, "exit");
    stop = () => server.kill();
    const lines = createInterface({ input: server.stderr });
    const started = (async () => {
      for await (const line of lines) if (line.includes("started")) return "started";
      return "ended";
    })();
    expect(await Promise.race([started, gone.then(() => "exited")])).toBe("started");
  });
  afterAll(() => stop());

  const factsOf = (domain: string, more: Partial<Facts> = {}) =>
    ({
      domain,
      external: ["203.0.113.7", "2001:db8::7"],
      externalSetting: "203.0.113.7",
      listeners: [
        { name: "c2s", address: "::", port: 5222, state: "open" },
        { name: "c2s-tls", address: "::", port: 5223, state: "open" },
      ],
      ...more,
    }) as Facts;
  /** `check standing` of all that is not in order. */
  const look = (facts: Facts) => checkDns(facts, resolverAt(`127.0.0.1:${port}`), "dnsmasq");
  const faults = async (domain: string, more?: Partial<Facts>) =>
    (await look(factsOf(domain, more)))
      .filter((one) => one.standing === "warn" || one.standing === "fail")
      .map((one) => `${one.check} ${one.standing}`);

  test("as printed is in order", async () => {
    expect(await faults("good.test")).toEqual([]);
    expect(zoneLines(factsOf("good.test"))).toEqual([
      "good.test. 86400 IN A 203.0.113.7",
      "good.test. 86400 IN AAAA 2001:db8::7",
      "_xmpp-client._tcp.good.test. 86400 IN SRV 5 0 5222 good.test.",
      "_xmpps-client._tcp.good.test. 86400 IN SRV 5 0 5223 good.test.",
      "; federation only: _xmpp-server._tcp.good.test. 86400 IN SRV 5 0 5269 good.test.",
      "; federation only: _xmpps-server._tcp.good.test. 86400 IN SRV 5 0 5270 good.test.",
    ]);
  });

  test("without SRV records", async () => {
    expect(await faults("plain.test")).toEqual(["dns.srv warn", "dns.srv warn"]);
    // Without a record no client finds another port than 5222.
    const listeners = [{ name: "c2s", address: "::", port: 15_222, state: "open" as const }];
    expect(await faults("plain.test", { listeners })).toEqual(["dns.srv fail"]);
  });

  test.each([
    ["a wrong port", "port.test", ["dns.srv fail", "dns.srv warn"]],
    ["a target that is another machine", "foreign.test", ["dns.address fail"]],
    ["one address that is not ours", "mixed.test", ["dns.address fail"]],
    ["a target that is a CNAME", "alias.test", ["dns.cname fail"]],
    ["a target that does not resolve", "nowhere.test", ["dns.target fail"]],
    ["a private address", "private.test", ["dns.address fail", "dns.private warn"]],
    ["a record for servers", "invited.test", ["dns.srv warn"]],
  ])("with %s", async (_, domain, expected) => {
    expect(await faults(domain)).toEqual(expected);
  });

  test("tells another machine from one address too many", async () => {
    const found = async (domain: string) =>
      (await look(factsOf(domain))).find((one) => one.check === "dns.address")?.found;
    expect(await found("foreign.test")).toContain("Wrong target: 198.51.100.9");
    expect(await found("mixed.test")).toBe("198.51.100.9 is not our external address.");
  });

  test("with an IPv6 address on which nobody listens", async () => {
    const listeners = factsOf("good.test").listeners.map((one) => ({ ...one, address: "0.0.0.0" }));
    expect(await faults("good.test", { listeners })).toEqual(["dns.ipv6 fail"]);
  });

  test("an external address that is a name is resolved", async () => {
    expect(await faults("good.test", { external: [], externalSetting: "good.test" })).toEqual([]);
    expect(await faults("foreign.test", { external: [], externalSetting: "good.test" })).toEqual(["dns.address fail"]);
  });

  test("of a name without a dot cannot be", async () => {
    expect((await look(factsOf("mobydick"))).map((one) => `${one.check} ${one.standing}`)).toEqual([
      "dns.dotless skipped",
    ]);
    expect(zoneLines(factsOf("mobydick"))).toEqual([]);
  });

  test("whose server does not answer", async () => {
    const silent = resolverAt(`127.0.0.1:${await freePort()}`);
    const verdicts = await checkDns(factsOf("good.test"), silent, "nobody");
    expect(verdicts.find((one) => one.check === "dns.answers")?.standing).toBe("fail");
  });
});
