import { createHash, createHmac, pbkdf2, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePorts, startChild } from "../support/child.ts";
import { freshDirectory, type Peer, type PeerOptions, packageVersion, selfSigned } from "./peer.ts";

const derive = promisify(pbkdf2);

/** Starts Debian's Prosody with a configuration of its own: TLS required, c2s only, internal storage, no limits. */
export async function startProsody(options: PeerOptions): Promise<Peer> {
  const domain = options.domain ?? "localhost";
  const directory = await freshDirectory("prosody");
  const { key, cert } = await selfSigned(directory.path, domain);
  const [freePort = 0, directTlsPort = 0] = await freePorts(2);
  const { address, port } = options.listen ?? { address: "127.0.0.1", port: freePort };
  const data = join(directory.path, "data");
  await mkdir(data);
  const config = join(directory.path, "prosody.cfg.lua");
  await writeFile(config, configuration({ ...options, domain, data, key, cert, address, port, directTlsPort }));
  const child = startChild("prosody", ["-F", "--config", config]);
  const stop = async (): Promise<void> => {
    await child.stop();
    await directory.remove();
  };
  try {
    await child.printed(/Activated service 'c2s_direct_tls'/);
  } catch (error) {
    await stop();
    throw error;
  }
  const version = await packageVersion("prosody");
  return {
    name: "prosody",
    version,
    host: address,
    port,
    directTlsPort,
    domain,
    pid: child.pid,
    setup: `mod_mam ${options.archive ? "on, internal storage (files)" : "off"}, epoll, no limits`,
    output: child.output,
    stop,
    async addUsers(users) {
      // One prosodyctl a user takes minutes for thousands; this is the file it writes.
      const accounts = join(data, domain.replace(/[^A-Za-z0-9]/g, escapeByte), "accounts");
      await mkdir(accounts, { recursive: true });
      for (const { user, password } of users) {
        const salt = randomUUID();
        const salted = await derive(password, salt, 4096, 20, "sha1");
        const stored = createHash("sha1").update(hmac(salted, "Client Key")).digest("hex");
        const server = hmac(salted, "Server Key").toString("hex");
        const file = `return {\n\t["iteration_count"] = 4096;\n\t["salt"] = "${salt}";\n\t["stored_key"] = "${stored}";\n\t["server_key"] = "${server}";\n};\n`;
        await writeFile(join(accounts, `${user.replace(/[^A-Za-z0-9]/g, escapeByte)}.dat`), file);
      }
    },
  };
}

function configuration(c: {
  archive: boolean;
  domain: string;
  data: string;
  key: string;
  cert: string;
  services?: boolean;
  address: string;
  port: number;
  directTlsPort: number;
}): string {
  const modules = ["roster", "saslauth", "tls", "disco", "presence", "message", "iq", "offline", "c2s"];
  modules.push("carbons", "smacks", "blocklist", "private", "vcard_legacy", "pep", "ping", "time", "version", "csi");
  if (c.archive) modules.push("mam");
  if (c.services) modules.push("admin_adhoc", "bookmarks", "vcard4");
  return `
run_as_root = true
daemonize = false
data_path = "${c.data}"
plugin_paths = {}
log = { { levels = { min = "info" }, to = "console" } }
interfaces = { "${c.address}" }
c2s_ports = { ${c.port} }
c2s_direct_tls_ports = { ${c.directTlsPort} }
http_ports = {}
https_ports = {}
s2s_ports = {}
s2s_direct_tls_ports = {}
modules_enabled = { ${modules.map((name) => `"${name}"`).join("; ")} }
modules_disabled = { "s2s"; "http"; "posix" }
c2s_require_encryption = true
authentication = "internal_hashed"
storage = "internal"
archive_expires_after = "never"
default_archive_policy = true
network_settings = { tcp_backlog = 1024 }
ssl = { key = "${c.key}"; certificate = "${c.cert}" }
admins = { "admin@${c.domain}" }
VirtualHost "${c.domain}"
${c.services ? services(c.domain, c.address) : ""}`;
}

function services(domain: string, address: string): string {
  return `Component "conference.${domain}" "muc"
  restrict_room_creation = false
  modules_enabled = { "muc_mam" }
Component "pubsub.${domain}" "pubsub"
  autocreate_on_publish = true
  default_admin_affiliation = "owner"
Component "proxy.${domain}" "proxy65"
  proxy65_address = "${address}"
`;
}

function escapeByte(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac("sha1", key).update(data).digest();
}
