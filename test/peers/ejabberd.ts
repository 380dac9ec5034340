import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import axios from "axios";
import { freePorts, startChild } from "../support/child.ts";
import { freshDirectory, type Peer, type PeerOptions, packageVersion, selfSigned } from "./peer.ts";

/** Starts Debian's ejabberd with a configuration of its own: TLS required, c2s only, Mnesia, no shapers. */
export async function startEjabberd(options: PeerOptions): Promise<Peer> {
  const domain = options.domain ?? "localhost";
  const directory = await freshDirectory("ejabberd");
  const { key, cert } = await selfSigned(directory.path, domain);
  const pem = join(directory.path, "both.pem");
  await writeFile(pem, (await readFile(key, "utf8")) + (await readFile(cert, "utf8")));
  const [freePort = 0, directTlsPort = 0, apiPort = 0] = await freePorts(3);
  const { address, port } = options.listen ?? { address: "127.0.0.1", port: freePort };
  const config = join(directory.path, "ejabberd.yml");
  const spool = join(directory.path, "spool");
  await mkdir(spool);
  await writeFile(config, configuration({ ...options, domain, pem, address, port, directTlsPort, apiPort }));
  // As ejabberdctl starts it, but not distributed (no epmd is left behind) and without the schedulers' busy waiting,
  // which would count as CPU of its messages.
  const idle = ["+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"];
  const limits = ["+K", "true", "+P", "250000", "+Q", "65536"];
  const program = ["-noinput", "-mnesia", "dir", `"${spool}"`, "-s", "ejabberd"];
  const child = startChild("erl", [...limits, ...idle, ...program], {
    cwd: directory.path,
    env: {
      HOME: directory.path,
      ERL_LIBS: "/usr/lib/x86_64-linux-gnu",
      EJABBERD_CONFIG_PATH: config,
      EJABBERD_LOG_PATH: join(directory.path, "ejabberd.log"),
    },
  });
  const stop = async (): Promise<void> => {
    await child.stop("SIGKILL");
    await directory.remove();
  };
  try {
    await child.printed(/Start accepting TCP connections at \S+ for ejabberd_http/, 40_000);
  } catch (error) {
    await stop();
    throw error;
  }
  const version = await packageVersion("ejabberd");
  return {
    name: "ejabberd",
    version,
    host: address,
    port,
    directTlsPort,
    domain,
    pid: child.pid,
    setup: `mod_mam ${options.archive ? "on, Mnesia" : "off"}, no shapers, schedulers without busy waiting`,
    output: child.output,
    stop,
    async addUsers(users) {
      for (const { user, password } of users)
        await axios.post(`http://127.0.0.1:${apiPort}/api/register`, { user, host: domain, password });
    },
  };
}

function configuration(c: {
  archive: boolean;
  domain: string;
  pem: string;
  services?: boolean;
  address: string;
  port: number;
  directTlsPort: number;
  apiPort: number;
}): string {
  const modules = [
    "mod_roster: { versioning: true }",
    "mod_offline: {}",
    "mod_disco: {}",
    "mod_caps: {}",
    "mod_ping: {}",
  ];
  modules.push("mod_carboncopy: {}", "mod_blocking: {}", "mod_privacy: {}", "mod_private: {}", "mod_vcard: {}");
  modules.push(
    "mod_stream_mgmt: { resend_on_timeout: if_offline }",
    "mod_version: {}",
    "mod_time: {}",
    "mod_http_api: {}",
  );
  modules.push("mod_client_state: {}", "mod_admin_extra: {}", "mod_pubsub: { plugins: [flat, pep] }");
  if (c.services) {
    const rooms = "max_users: 5000, max_user_conferences: 100, default_room_options: { max_users: 5000 }";
    modules.push(`mod_muc: { ${rooms} }`, "mod_muc_admin: {}", "mod_adhoc: {}", "mod_configure: {}", "mod_last: {}");
    modules.push("mod_vcard_xupdate: {}", "mod_avatar: {}", 'mod_proxy65: { ip: "127.0.0.1" }');
  }
  if (c.archive) modules.push("mod_mam: { default: always, assume_mam_usage: true, db_type: mnesia }");
  const listener = (port: number, tls: string): string =>
    `  - { port: ${port}, ip: "${c.address}", module: ejabberd_c2s, max_stanza_size: 262144, shaper: none, access: all, ${tls} }`;
  return `
loglevel: info
hosts: ["${c.domain}"]
certfiles: ["${c.pem}"]
default_db: mnesia
auth_method: internal
auth_password_format: scram
c2s_protocol_options: [no_sslv3, no_tlsv1, no_tlsv1_1, no_compression]
registration_timeout: infinity
listen:
${listener(c.port, "starttls_required: true")}
  - { port: ${c.apiPort}, ip: "127.0.0.1", module: ejabberd_http, request_handlers: { /api: mod_http_api } }
${listener(c.directTlsPort, "tls: true")}
acl:
  admin: { user: admin@${c.domain} }
access_rules:
  configure: { allow: admin }
api_permissions:
  loopback: { who: { ip: 127.0.0.1/8 }, what: "*" }
shaper: {}
shaper_rules: { max_user_sessions: 100, max_user_offline_messages: 5000 }
modules:
${modules.map((line) => `  ${line}`).join("\n")}
`;
}
