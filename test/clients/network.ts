/** What a program finds out about the network by itself: SRV records, host names and the authorities it trusts. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { freshDirectory, installed, succeeds } from "../peers/peer.ts";

export interface Network {
  /** The start of a command line: what follows it runs with this network's DNS and trust, this machine's stay as they are. */
  readonly enter: readonly string[];
  stop(): Promise<void>;
}

const run = promisify(execFile);
let networks = 0;

/** Why no network can be made here; undefined if one can. */
export async function networkMissing(): Promise<string | undefined> {
  if (!(await installed("dnsmasq", "unshare"))) return "apt-get install dnsmasq util-linux";
  return (await succeeds("unshare", "--mount", "true")) ? undefined : "a mount namespace needs root";
}

/**
 * A network in which the domain leads to these ports of 127.0.0.1 by SRV records, and in which the certificate that
 * answers there is an authority like those that the system trusts.
 */
export async function startNetwork(where: { domain: string; port: number; directPort: number }): Promise<Network> {
  const directory = await freshDirectory("network");
  const file = (name: string): string => join(directory.path, name);
  // The resolver's port cannot be chosen, so its address is: one of its own in 127/8.
  const address = `127.${100 + (process.pid % 100)}.${(process.pid >> 8) % 250}.${10 + ++networks}`;
  const host = `host.${where.domain}`;
  const records = [
    `--srv-host=_xmpp-client._tcp.${where.domain},${host},${where.port},0,5`,
    `--srv-host=_xmpps-client._tcp.${where.domain},${host},${where.directPort},1,5`,
    `--host-record=${host},127.0.0.1`,
    `--local=/#/`,
  ];
  const alone = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file="];
  const listen = ["--port=53", `--listen-address=${address}`, "--bind-interfaces", `--user=${userInfo().username}`];
  const server = spawn("dnsmasq", [...alone, "--log-facility=-", ...listen, ...records], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = once(server, "exit");
  const stop = async (): Promise<void> => {
    if (server.exitCode === null) server.kill();
    await gone;
    await directory.remove();
  };
  try {
    const said: string[] = [];
    const started = (async () => {
      for await (const line of createInterface({ input: server.stderr })) {
        said.push(line);
        if (line.includes("started")) return;
      }
      throw new Error(`dnsmasq does not start\n${said.join("\n")}`);
    })();
    await started;
    await writeFile(file("resolv.conf"), `nameserver ${address}\n`);
    await writeFile(file("hosts"), "127.0.0.1 localhost\n");
    // Some read one file of authorities, some one file for each, found by its hash.
    const certificate = await certificateOf({ ...where, host: "127.0.0.1" });
    await mkdir(file("trusted"));
    await writeFile(file("trusted/server.pem"), certificate);
    await writeFile(file("trusted/ca-certificates.crt"), certificate);
    await run("openssl", ["rehash", file("trusted")]);
  } catch (error) {
    await stop();
    throw error;
  }
  const binds = [
    ["resolv.conf", "/etc/resolv.conf"],
    ["hosts", "/etc/hosts"],
    ["trusted", "/etc/ssl/certs"],
  ].map(([from = "", to]) => `mount --bind '${file(from)}' ${to}`);
  return { enter: ["unshare", "--mount", "sh", "-c", `${binds.join(" && ")} && exec "$0" "$@"`], stop };
}

/** The certificate that a server shows after STARTTLS on its port, PEM. */
export async function certificateOf(where: { host: string; port: number; domain: string }): Promise<string> {
  const argv = ["s_client", "-connect", `${where.host}:${where.port}`, "-starttls", "xmpp", "-xmpphost", where.domain];
  const child = spawn("openssl", argv, { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(child, "close");
  const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n/.exec(text)?.[0];
  if (certificate === undefined) throw new Error(`no certificate at ${where.host}:${where.port}`);
  return certificate;
}
