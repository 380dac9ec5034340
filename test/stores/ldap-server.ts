/** OpenLDAP's slapd, started by the test with a directory of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const slapd = "/usr/sbin/slapd";

/** Why there is no directory to test against; undefined: there is one. */
export const missingLdap = [slapd, "/usr/sbin/slapadd", "/usr/bin/openssl"]
  .filter((program) => !existsSync(program))
  .map((program) => `${program} is not installed (apt-get install slapd)`)[0];

export interface LdapServer {
  readonly port: number;
  readonly tlsPort: number;
  /** PEM file of its own authority. */
  readonly ca: string;
  readonly base: string;
  /** The account that may search, and its password. */
  readonly reader: { readonly dn: string; readonly password: string };
  /** Kills it; the port refuses then. */
  stop(): Promise<void>;
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface Person {
  readonly uid: string;
  readonly password: string;
}

/** A directory with these people under ou=people, and a referral that must not be followed. */
export async function startLdap(people: readonly Person[]): Promise<LdapServer> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-ldap-"));
  const [port, tlsPort] = [await freePort(), await freePort()];
  const base = "dc=example,dc=org";
  const reader = { dn: `cn=reader,${base}`, password: "reader's" };
  const [key, ca] = [join(home, "key.pem"), join(home, "ca.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", ca, ...subject],
    { stdio: "ignore" },
  );
  await mkdir(join(home, "db"));
  const config = join(home, "slapd.conf");
  await writeFile(
    config,
    [
      ...["core", "cosine", "inetorgperson"].map((schema) => `include /etc/ldap/schema/${schema}.schema`),
      `pidfile ${join(home, "slapd.pid")}`,
      `TLSCertificateFile ${ca}`,
      `TLSCertificateKeyFile ${key}`,
      // As strict directories are: nobody reads without a bind, and a bind without a password is somebody unknown.
      "allow bind_anon_cred",
      "modulepath /usr/lib/ldap",
      "moduleload back_mdb",
      "database mdb",
      `suffix "${base}"`,
      `directory ${join(home, "db")}`,
      "access to attrs=userPassword by anonymous auth by * none",
      `access to * by dn="${reader.dn}" read by * none`,
      "",
    ].join("\n"),
  );
  const entry = (dn: string, ...lines: string[]) => [`dn: ${dn}`, ...lines, ""].join("\n");
  const text = (value: string) => Buffer.from(value).toString("base64");
  const ldif = [
    entry(base, "objectClass: dcObject", "objectClass: organization", "dc: example", "o: Example"),
    entry(
      reader.dn,
      "objectClass: organizationalRole",
      "objectClass: simpleSecurityObject",
      "cn: reader",
      `userPassword:: ${text(reader.password)}`,
    ),
    entry(`ou=people,${base}`, "objectClass: organizationalUnit", "ou: people"),
    ...people.map(({ uid, password }) =>
      entry(
        `uid=${uid.replace(/[,+"\\<>;=]/g, (one) => `\\${one}`)},ou=people,${base}`,
        "objectClass: inetOrgPerson",
        `uid:: ${text(uid)}`,
        "cn: A Person",
        "sn: Person",
        `userPassword:: ${text(password)}`,
      ),
    ),
    // A referral to a server that does not exist: who followed it would fail otherwise.
    entry(
      `ou=elsewhere,ou=people,${base}`,
      "objectClass: referral",
      "objectClass: extensibleObject",
      "ou: elsewhere",
      "ref: ldap://127.0.0.1:1/ou=elsewhere",
    ),
  ].join("\n");
  await writeFile(join(home, "people.ldif"), ldif);
  execFileSync("/usr/sbin/slapadd", ["-f", config, "-l", join(home, "people.ldif")], {
    stdio: ["ignore", "ignore", "pipe"],
  });

  let process: ChildProcess | undefined;
  const server: LdapServer = {
    ...{ port, tlsPort, ca, base, reader },
    async start() {
      const urls = `ldap://127.0.0.1:${port} ldaps://127.0.0.1:${tlsPort}`;
      process = spawn(slapd, ["-f", config, "-h", urls, "-d", "0"], { stdio: "ignore" });
      await accepts(port);
      await accepts(tlsPort);
    },
    async stop() {
      const ending = process;
      process = undefined;
      if (ending === undefined || ending.exitCode !== null) return;
      const gone = new Promise((resolve) => ending.once("exit", resolve));
      ending.kill("SIGKILL");
      await gone;
    },
    async close() {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() =>
        typeof address === "object" && address ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

/** Resolves when something listens there; slapd says nothing when it is ready. */
async function accepts(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port }, () => resolve(socket.destroy() !== undefined));
      socket.once("error", () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`slapd does not listen on ${port}`);
}
