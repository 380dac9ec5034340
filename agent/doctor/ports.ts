/** Ports: what listens, what stands in the way, and the firewall rules of this very configuration. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { connect, isIP } from "node:net";
import type { Facts, Listener } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

/** Listeners that clients outside need; the console is for the own network. */
const forClients = ["c2s", "c2s-tls", "proxy65"];

/** Copy-paste rules for nftables. They stand before what the chain drops; table and chain are left as they are. */
export function firewallRules({ listeners }: Pick<Facts, "listeners">, running = true): string[] {
  const used = listeners.filter((one) => !running || one.state !== "closed");
  const rule = (one: Listener, more = "") =>
    `insert rule inet filter input ${more}tcp dport ${one.port} accept comment "firekeeper ${one.name}"`;
  return [
    "add table inet filter",
    "add chain inet filter input",
    ...used.filter((one) => forClients.includes(one.name)).map((one) => rule(one)),
    ...used
      .filter((one) => !forClients.includes(one.name))
      .map((one) => `# only from your own network: ${rule(one, "ip saddr 192.168.0.0/16 ")}`),
  ];
}

/** Running: each listener is connected to, by both families where it is on all addresses. Else: whether its port is free. */
export async function checkPorts(facts: Facts): Promise<Verdict[]> {
  const { server, listeners } = facts;
  if (server === undefined) return Promise.all(listeners.map(isFree));
  return (
    await Promise.all(
      listeners.map(async (one) => {
        if (one.state === "closed") return [verdict("ports.open", "skipped", `port ${one.name}`, "Closed, as asked.")];
        if (one.state === "failed") return [await failed(one)];
        return Promise.all(hostsOf(one, facts.place.probeHost).map((host) => isOpen(one, host)));
      }),
    )
  ).flat();
}

async function isFree(listener: Listener): Promise<Verdict> {
  const of = `port ${listener.port} (${listener.name})`;
  const holder = await holderOf(listener.port);
  if (holder === undefined) return verdict("ports.taken", "ok", of, "Nobody else holds it; the service does not run.");
  const fix = `end ${holder}, or give ${listener.name} another port (docs/properties.md)`;
  return verdict("ports.taken", "fail", of, `Held by ${holder}.`, fix);
}

async function failed(listener: Listener): Promise<Verdict> {
  const holder = await holderOf(listener.port);
  const fix =
    holder === undefined ? "correct its address or port (docs/properties.md)" : `end ${holder}, or take another port`;
  const found = `${listener.error ?? "It could not be opened."}${holder === undefined ? "" : ` Held by ${holder}.`}`;
  return verdict("ports.taken", "fail", `port ${listener.port} (${listener.name})`, found, fix);
}

async function isOpen({ name, port }: Listener, host: string): Promise<Verdict> {
  const of = `port ${port} (${name}) on ${host}`;
  const why = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ host, port });
    socket.setTimeout(3000, () => socket.destroy(new Error("no answer within 3 s")));
    socket.once("error", (error) => resolve(error.message));
    socket.once("connect", () => {
      socket.destroy();
      resolve(undefined);
    });
  });
  if (why === undefined) return verdict("ports.open", "ok", of, "Takes connections.");
  // A machine without IPv6 has nothing to be reached by.
  if (isIP(host) === 6 && /EADDRNOTAVAIL|EAFNOSUPPORT|ENETUNREACH/.test(why))
    return verdict("ports.open", "skipped", of, "This machine has no IPv6.");
  return verdict(
    "ports.open",
    "fail",
    of,
    `Takes no connection: ${why}.`,
    "firekeeper restart; firekeeper doctor --ports prints the firewall rules",
  );
}

/** Where a listener is reached from here. */
export function hostsOf({ address }: Pick<Listener, "address">, probeHost: string): string[] {
  if (address === "::") return [probeHost, ...(probeHost === "127.0.0.1" ? ["::1"] : [])];
  return address === "0.0.0.0" || address === "" ? [probeHost] : [address];
}

/** `nginx (pid 812)`: which process listens on a TCP port, as far as /proc shows it to us; undefined: none. */
async function holderOf(port: number): Promise<string | undefined> {
  const tables = await Promise.all(["tcp", "tcp6"].map((one) => readFile(`/proc/net/${one}`, "utf8").catch(() => "")));
  const sockets = tables.flatMap((table) =>
    table.split("\n").flatMap((line) => {
      const columns = line.trim().split(/\s+/);
      // 0A is LISTEN; the port is in hexadecimal.
      const listens = columns[3] === "0A" && Number.parseInt(columns[1]?.split(":")[1] ?? "", 16) === port;
      return listens ? [`socket:[${columns[9]}]`] : [];
    }),
  );
  if (sockets.length === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((one) => /^\d+$/.test(one))) {
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      if (!sockets.includes(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""))) continue;
      const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "a process");
      return `${name.trim()} (pid ${pid})`;
    }
  }
  return "a process of another user";
}
