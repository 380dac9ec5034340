import { readFileSync } from "node:fs";
import { startEjabberd } from "../peers/ejabberd.ts";
import { installed, type Peer, type PeerOptions } from "../peers/peer.ts";
import { startProsody } from "../peers/prosody.ts";
import { startService, until } from "../support/processes.ts";

/** A server that Smack's tests run against: at port 5222 of an address of its own, because they know no other. */
export type Subject = {
  readonly name: string;
  readonly version: string;
  readonly host: string;
  readonly domain: string;
  /** Whose commands of XEP-0133 make and remove the accounts; undefined: they register by XEP-0077. */
  readonly admin: { user: string; password: string } | undefined;
  logs(): string;
  stop(): Promise<void>;
};

export const subjectNames = ["firekeeper", "prosody", "ejabberd"] as const;
export type SubjectName = (typeof subjectNames)[number];

const domain = "localhost";
const admin = { user: "admin", password: "secret-admin" };

/** Starts a server; undefined with a printed reason where its program is missing. */
export async function startSubject(name: SubjectName): Promise<Subject | undefined> {
  switch (name) {
    case "firekeeper":
      return startFirekeeper();
    case "prosody":
      return startPeer("prosody", "prosody", startProsody, "127.0.0.72");
    case "ejabberd":
      return startPeer("ejabberd", "ejabberdctl", startEjabberd, "127.0.0.73");
  }
}

async function startPeer(
  name: string,
  program: string,
  start: (options: PeerOptions) => Promise<Peer>,
  address: string,
): Promise<Subject | undefined> {
  if (!(await installed(program))) return undefined;
  const peer = await start({ domain, archive: true, listen: { address, port: 5222 }, services: true });
  await peer.addUsers([admin]);
  return { name, version: peer.version, host: address, domain, admin, logs: peer.output, stop: peer.stop };
}

async function startFirekeeper(): Promise<Subject> {
  const service = await startService({
    domain,
    listen: { address: "127.0.0.71", plain: 5222 },
    readyWithinMs: 120_000,
    host: {
      users: [{ name: admin.user, password: admin.password }],
      settings: { "sys.xmpp.adminuser": admin.user, "sys.xmpp.externalip": "127.0.0.71" },
    },
    properties: {
      // All accounts are made and log in from one address.
      "xmpp.ratelimit.newconnections.c2s.enabled": false,
      "firekeeper.client.trusted-networks": "127.0.0.0/8",
      // Files are where the server is, not where localhost is.
      "plugin.httpfileupload.announcedWebHost": "127.0.0.71",
    },
  });
  // The admin can log in when nothing of the host is left to apply.
  const inStep = async (): Promise<boolean> => (await service.cli(["plan"])).code === 0;
  await until(inStep, 60_000, () => `the admin is not there\n${service.logs()}`).catch(async (error: unknown) => {
    await service.stop();
    throw error;
  });
  return {
    name: "firekeeper",
    version: ownVersion(),
    host: service.host,
    domain,
    admin,
    logs: service.logs,
    stop: service.stop,
  };
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return version;
}
