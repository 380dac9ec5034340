import { readFileSync } from "node:fs";
import { startService } from "../support/processes.ts";

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

export const subjectNames = ["firekeeper"] as const;
export type SubjectName = (typeof subjectNames)[number];

const domain = "localhost";
const admin = { user: "admin", password: "secret-admin" };

/** Starts a server; undefined with a printed reason where its program is missing. */
export async function startSubject(name: SubjectName): Promise<Subject | undefined> {
  switch (name) {
    case "firekeeper":
      return startFirekeeper();
  }
}

async function startFirekeeper(): Promise<Subject> {
  const service = await startService({
    domain,
    listen: { address: "127.0.0.71", plain: 5222 },
    host: { users: [{ name: admin.user, password: admin.password }], settings: { "sys.xmpp.adminuser": admin.user } },
    properties: {
      // All accounts are made and log in from one address.
      "xmpp.ratelimit.newconnections.c2s.enabled": false,
      "firekeeper.client.trusted-networks": "127.0.0.0/8",
    },
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
