/**
 * A private network behind a NAT, in network namespaces of the kernel. The test's own namespace is the world outside:
 * there are the clients and the STUN servers; a router translates with nftables, and a machine inside runs the service.
 *
 *   test (outside)  ── veth ──  router: public addresses, nat  ── veth ──  inside: 10.77.0.2
 */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { type Child, startChild } from "./child.ts";

const run = promisify(execFile);

export interface NatNetwork {
  /** Addresses outside that the test may bind. */
  readonly outside: readonly string[];
  /** The router's addresses outside; it translates to one of them at a time. */
  readonly public: readonly [string, string];
  /** Translates what goes out to this address; flows that stand keep the one they have. Ports lead inside on `forwarded`. */
  translateTo(address: string, forwarded?: readonly string[]): Promise<void>;
  /** Starts a program on the machine inside. */
  inside(command: string, argv: string[], options?: { env?: NodeJS.ProcessEnv; cwd?: string }): Child;
  /** Ends everything that runs inside, and removes the network. */
  close(): Promise<void>;
}

/** Why there can be no such network here; undefined if there can. */
export async function whyNoNamespaces(): Promise<string | undefined> {
  if (process.platform !== "linux") return "network namespaces need Linux";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  if (!existsSync("/usr/sbin/nft")) return "nftables is not installed";
  const name = `fk-try-${process.pid}`;
  try {
    await run("ip", ["netns", "add", name]);
    await run("ip", ["netns", "exec", name, "nft", "add", "table", "ip", "try"]);
    return undefined;
  } catch (error) {
    return `network namespaces cannot be made: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await run("ip", ["netns", "del", name]).catch(() => undefined);
  }
}

/** @param ports TCP ports of the public addresses that lead to the machine inside */
export async function natNetwork(ports: readonly number[]): Promise<NatNetwork> {
  // A sixteenth of a network that is set aside for documentation: nobody routes it, and two runs rarely meet.
  const id = randomInt(0x1000, 0xffff).toString(16);
  const base = 16 * randomInt(16);
  const at = (place: number) => `${["203.0.113", "198.51.100"][id.charCodeAt(0) % 2]}.${base + place}`;
  const [router, inside] = [`fk-nat-${id}`, `fk-in-${id}`];
  const [outLink, inLink] = [`fko${id}`, `fki${id}`];
  const outside = [1, 2, 3, 4].map(at);
  const addresses = [at(7), at(8)] as const;
  const started: Child[] = [];

  const close = async () => {
    await Promise.all(started.map((child) => child.stop()));
    for (const name of [inside, router]) {
      const { stdout } = await run("ip", ["netns", "pids", name]).catch(() => ({ stdout: "" }));
      for (const pid of stdout.split("\n").map(Number).filter(Boolean)) process.kill(pid, "SIGKILL");
      await run("ip", ["netns", "del", name]).catch(() => undefined);
    }
    await run("ip", ["link", "del", outLink]).catch(() => undefined);
  };
  const ip = (...argv: string[]) => run("ip", argv);
  try {
    for (const name of [router, inside]) {
      await ip("netns", "add", name);
      await ip("-n", name, "link", "set", "lo", "up");
    }
    await ip("link", "add", outLink, "type", "veth", "peer", "name", "out", "netns", router);
    await ip("link", "add", inLink, "netns", router, "type", "veth", "peer", "name", "eth0", "netns", inside);
    for (const address of outside) await ip("addr", "add", `${address}/28`, "dev", outLink);
    for (const address of addresses) await ip("-n", router, "addr", "add", `${address}/28`, "dev", "out");
    await ip("-n", router, "addr", "add", "10.77.0.1/24", "dev", inLink);
    await ip("-n", inside, "addr", "add", "10.77.0.2/24", "dev", "eth0");
    await ip("link", "set", outLink, "up");
    await ip("-n", router, "link", "set", "out", "up");
    await ip("-n", router, "link", "set", inLink, "up");
    await ip("-n", inside, "link", "set", "eth0", "up");
    await ip("-n", inside, "route", "add", "default", "via", "10.77.0.1");
    await ip("netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1");
  } catch (error) {
    await close();
    throw error;
  }

  return {
    outside,
    public: addresses,
    async translateTo(address, forwarded = addresses) {
      const rules = [
        "table ip nat {}",
        "flush table ip nat",
        "table ip nat {",
        `  chain out { type nat hook postrouting priority 100; oifname out snat to ${address}; }`,
        "  chain in { type nat hook prerouting priority -100;",
        `    iifname out ip daddr { ${forwarded.join(", ")} } tcp dport { ${ports.join(", ")} } dnat to 10.77.0.2; }`,
        "}",
      ];
      const applied = startChild("ip", ["netns", "exec", router, "nft", rules.join("\n")]);
      if ((await applied.exited) !== 0) throw new Error(applied.output());
    },
    inside(command, argv, options) {
      const child = startChild("ip", ["netns", "exec", inside, command, ...argv], options);
      started.push(child);
      return child;
    },
    close,
  };
}
