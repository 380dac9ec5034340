import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { deriveCredentials, formatCredentials } from "../../xmpp-core/auth/keys.ts";
import { derivationPool } from "../../xmpp-core/auth/pool.ts";
import { type Clock, systemClock } from "../../xmpp-core/clock.ts";
import type { GateOptions } from "../../xmpp-core/gate/gate.ts";
import { type Server, startServer } from "../../xmpp-core/server.ts";
import type { StorageTesting } from "../../xmpp-core/storage/storage.ts";
import { type InProcessGate, inProcessGate } from "../../xmpp-core/transport/in-process.ts";
import { type Login, XmppClient } from "./xmpp-client.ts";

export interface TestCoreOptions {
  domain?: string;
  /** Accounts to make, each with its name as password. */
  users?: readonly string[];
  /** Server properties, besides ports that the kernel chooses. */
  properties?: Record<string, string>;
  clock?: Clock;
  testing?: StorageTesting;
  /** The program that publishes DNS records for ACME. */
  acmeHook?: string;
  /** Deadlines of the gate, and who hears what it reports. */
  gate?: Pick<Partial<GateOptions>, "handshakeMs" | "lingerMs" | "report">;
  /** Told when somebody asks for an orderly stop; the server goes on. */
  onStop?: () => void;
  /** Log lines of this level go to standard error. */
  log?: string;
}

/** A whole server in the test's process: real sockets, real TLS, a real database file in a directory of its own. */
export interface TestCore {
  server: Server;
  readonly home: string;
  readonly port: number;
  readonly directPort: number;
  readonly domain: string;
  /** Logs a user in by SCRAM over STARTTLS; the password is the name. */
  login(user: string, options?: Partial<Login>): Promise<XmppClient>;
  addUser(name: string, options?: { displayName?: string }): Promise<void>;
  /** Changes server properties as an apply would, without listeners. */
  set(properties: Record<string, string | null>): Promise<void>;
  /** Gives the domain another name; the former one stays until `aliasUntil` (ms; null: for ever). */
  rename(name: string, aliasUntil: number | null): Promise<void>;
  /** Replaces the core behind the gate: connections stay. */
  restart(boot?: "newest" | "proven"): Promise<void>;
  /** Resolves when the restart that was asked for on the control socket is over. */
  restarted(): Promise<void>;
  /** Ends the core without storing anything, as kill -9 does, and starts another. */
  crash(): Promise<void>;
  close(): Promise<void>;
}

/** Those that run at once have different numbers from 1 on; a process of its own runs each file. */
const worker = Number(process.env.VITEST_POOL_ID ?? 0) % 4;
let lastPort = process.pid * 31;

/**
 * A port that nothing listens on. Below those that the kernel gives to outgoing connections, of which tests open
 * thousands: one of them would take the port before the server does. Each worker has a range of its own.
 */
export const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const port = 10_000 + worker * 5000 + (lastPort++ % 5000);
    const probe = createServer().listen(port, "127.0.0.1", () => probe.close(() => resolve(port)));
    probe.once("error", () => resolve(freePort()));
  });

// Few iterations: what is tested here is not the derivation.
const pool = derivationPool();
const credentials = new Map<string, Promise<ReturnType<typeof formatCredentials>>>();
export function credentialsOf(name: string) {
  const known = credentials.get(name);
  if (known !== undefined) return known;
  const made = deriveCredentials(name, { iterations: 64, random: randomBytes, pool }).then(formatCredentials);
  credentials.set(name, made);
  return made;
}

export async function startTestCore(options: TestCoreOptions = {}): Promise<TestCore> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-test-"));
  const domain = options.domain ?? "localhost";
  const ports = { plain: await freePort(), direct: await freePort() };
  const gates: InProcessGate = await inProcessGate(options.gate);
  const log = pino({ level: options.log ?? "silent" }, pino.destination(2));
  const clock = options.clock ?? systemClock;

  let restarting: Promise<void> | undefined;
  const start = async (
    gate: InProcessGate["gate"],
    first: boolean,
    boot: "newest" | "proven" = "newest",
  ): Promise<Server> => {
    const server = await startServer({
      ...{ home, gate, clock, random: randomBytes, log, firstDomain: domain, boot, acmeHook: options.acmeHook },
      process: {
        gatePid: process.pid,
        restart() {
          restarting = new Promise((resolve) => setImmediate(resolve)).then(() => core.restart());
        },
        stop: () => options.onStop?.(),
      },
      ...(options.testing === undefined ? {} : { testing: options.testing }),
    });
    if (first)
      await setProperties(server, {
        "network.interface": "127.0.0.1",
        "xmpp.socket.plain.port": String(ports.plain),
        "xmpp.socket.ssl.port": String(ports.direct),
        "xmpp.proxy.enabled": "false",
        "httpbind.enabled": "false",
        "adminConsole.port": "-1",
        "adminConsole.securePort": "-1",
        ...options.properties,
      });
    await server.open();
    return server;
  };

  async function setProperties(server: Server, values: Record<string, string | null>): Promise<void> {
    const writes = Object.entries(values).flatMap(([key, value]) => server.settings.setHost(`property:${key}`, value));
    server.properties.set(new Map(Object.entries(values)));
    await server.storage.write(writes);
  }

  const core: TestCore = {
    server: await start(gates.gate, true),
    ...{ home, domain, port: ports.plain, directPort: ports.direct },
    login: (user, more) =>
      XmppClient.login({ host: "127.0.0.1", port: ports.plain, domain, user, password: user, ...more }),
    async addUser(name, more = {}) {
      const { accounts, names, storage } = core.server;
      const facts = { name, hostId: undefined, displayName: more.displayName, email: undefined, enabled: true };
      const { account, writes } = accounts.create(
        names.primary,
        { ...facts, origin: "host", keptUntil: undefined, probe: false },
        clock.now(),
      );
      await storage.write([...writes, ...accounts.setCredentials(account, await credentialsOf(name), `test:${name}`)]);
      for (const handlers of core.server.handlers) handlers.account?.created?.(account);
    },
    set: (values) => setProperties(core.server, values),
    async rename(name, aliasUntil) {
      const { names, storage, serving } = core.server;
      const { writes, enter } = names.renaming(name, { now: clock.now(), aliasUntil });
      await storage.write(writes);
      enter();
      await serving.refresh();
    },
    async restart(boot) {
      await core.server.leave(true);
      core.server = await start(await gates.next(), false, boot);
    },
    restarted: async () => restarting,
    async crash() {
      await core.server.abandon();
      core.server = await start(await gates.next(), false);
    },
    async close() {
      XmppClient.dropAll();
      await restarting;
      await core.server.leave(false);
      gates.close();
      // A thread that has been told to end may still be taking its files with it.
      await rm(home, { recursive: true, force: true, maxRetries: 10 });
    },
  };
  // In their order, and one sync for all.
  await Promise.all((options.users ?? []).map((user) => core.addUser(user)));
  return core;
}
