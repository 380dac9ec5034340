import { readFileSync } from "node:fs";
import { startService, until } from "../support/processes.ts";
import type { Subject } from "./subject.ts";

/** Starts the built program with `users` in its host.yaml; ready when all of them have their keys. */
export async function startFirekeeper(options: {
  archive: boolean;
  users: readonly { user: string; password: string }[];
}): Promise<Subject> {
  const service = await startService({
    host: { users: options.users.map(({ user, password }) => ({ name: user, password })) },
    properties: {
      // The load comes from one address, all at once.
      "xmpp.ratelimit.newconnections.c2s.enabled": false,
      "firekeeper.client.trusted-networks": "127.0.0.0/8",
      "firekeeper.archive.enabled": options.archive,
    },
    readyWithinMs: 120_000,
  });
  try {
    // Three SCRAM keys a user are derived before the plan is empty.
    const inStep = async (): Promise<boolean> => (await service.cli(["plan"])).code === 0;
    await until(inStep, 180_000, () => `the accounts did not get ready\n${service.logs()}`);
  } catch (error) {
    await service.stop();
    throw error;
  }
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  return {
    name: "firekeeper",
    version,
    setup: `archive ${options.archive ? "on" : "off"}, SQLite, synchronous=FULL`,
    target: { host: service.host, port: service.ports.plain, domain: service.domain, kind: "xmpp" },
    webPort: service.ports.secureWeb,
    pids: () => service.pids(),
    async restart() {
      await service.run(["restart"]);
    },
    stop: service.stop,
  };
}
