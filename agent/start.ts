/** Composition root of the agent: every part in one visible order, ended in reverse. */
import { mkdir } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Agent } from "./agent.ts";
import { serveAgentSocket } from "./agent-socket.ts";
import { openJournal } from "./apply/journal.ts";
import { probe } from "./apply/verify.ts";
import { openRestored } from "./backup/restored.ts";
import { applyMode, type Environment } from "./environment.ts";
import { type CodedError, explain } from "./errors.ts";
import { withInherited } from "./fleet/inherited.ts";
import { fleetReader, openFleet } from "./fleet/open.ts";
import { handlers } from "./handlers.ts";
import { measuredStore } from "./metrics/measured-store.ts";
import { openMetrics } from "./metrics/open.ts";
import { type AddressResolver, externalAddress, systemResolver } from "./network/external-address.ts";
import { reviewKey } from "./plan/review.ts";
import { patience } from "./policy/patience.ts";
import { openSchedules, windowsOf } from "./policy/schedules.ts";
import type { Parts } from "./reconcile.ts";
import type { Report } from "./report.ts";
import { openStore } from "./store/open.ts";
import { type EmbeddedServer, embeddedServer, runs, serverLog } from "./supervise/embedded-server.ts";
import { lockHome } from "./supervise/home-lock.ts";
import { lastWords } from "./supervise/last-words.ts";
import { openTarget } from "./target/open.ts";
import { clearPasswords } from "./target/openfire/clear-passwords.ts";
import { welcome } from "./welcome.ts";

export interface AgentProcess {
  /** Resolves after the first look: the server is as the host wants it, or it is known why not. */
  readonly settled: Promise<string>;
  /** Orderly: what is under way ends, an embedded server stops with us. */
  stop(by: string): Promise<void>;
  /** At once; an embedded server is killed. */
  force(): void;
  /** Certificates and log files are read again. */
  reload(): void;
}

export interface StartOptions {
  readonly report: Report;
  /** Module that is the gate; another one in tests. */
  readonly gate?: string;
  /** Milliseconds since the epoch; another clock in tests. */
  readonly now?: () => number;
  readonly resolver?: AddressResolver;
  /** No DNS answer is asked for more often. */
  readonly leastDnsMs?: number;
  /** How long the host file must stay as it is. */
  readonly quietMs?: number;
  /** How long a stop of the server may take. */
  readonly stopMs?: number;
}

/** Throws `agent/home-in-use`, `journal/broken` or what the store says; nothing is left open then. */
export async function startAgent(environment: Environment, options: StartOptions): Promise<AgentProcess> {
  const { home } = environment;
  const { report, stopMs = 35_000 } = options;
  const ending: (() => unknown)[] = [];
  const end = async () => {
    for (const close of ending.splice(0).reverse()) await close();
  };
  try {
    await mkdir(home, { recursive: true, mode: 0o700 });
    ending.push(await lockHome(home));
    const journal = await openJournal(home);
    ending.push(() => journal.close());
    const restored = await openRestored(home);
    const clear = clearPasswords(environment.core.kind === "openfire");
    const opened = await openStore(
      { at: environment.store, config: environment.storeConfig },
      {
        home,
        instance: environment.instance,
        heard: clear.heard,
        onProgress: report.keysDerived,
        ...(options.quietMs === undefined ? {} : { quietMs: options.quietMs }),
      },
    );
    ending.push(() => opened.close());
    const inherits = { home, instance: environment.instance, failed: report.failed, now: options.now ?? Date.now };
    const store = measuredStore(await withInherited(opened.store, environment.fleet, inherits, ending), report);
    let server: EmbeddedServer | undefined;
    let gatePid: number | undefined;
    let serverLost: () => void = () => {};
    const target = await openTarget(environment, {
      home,
      journal,
      clear,
      socket: environment.core.kind === "socket" ? environment.core.path : join(home, "control.sock"),
      agent: `process ${process.pid} on ${hostname()}`,
      ...(environment.core.kind === "embedded" ? { lastWords: () => lastWords(serverLog(home)) } : {}),
      events: {
        event: (event) =>
          void agent.event(event).catch((error: CodedError) => report.failed(error.code, explain(error))),
        greeted(greeting, again) {
          gatePid = greeting.gatePid;
          report.greeted(greeting.program, greeting.revision, greeting.pid, again);
          if (again) agent.wake("the server is back");
        },
        lost(reason) {
          report.lost(reason);
          server?.lost(gatePid);
          serverLost();
        },
      },
    });
    ending.push(() => target.close());
    const parts: Parts = {
      store,
      target,
      journal,
      report,
      policy: {
        mode: applyMode(environment, store),
        autoMigrate: environment.autoMigrate,
        maxRemovePercent: environment.maxRemove,
        windows: windowsOf(environment),
      },
      external: externalAddress({
        ...(options.leastDnsMs === undefined ? {} : { leastMs: options.leastDnsMs }),
        resolver: options.resolver ?? systemResolver(),
        now: Date.now,
        report,
        stun: environment.stun,
        stateFile: join(home, "external-address.json"),
        moved: (cause) => agent.wake(cause),
      }),
      patience: patience(Date.now),
      probes: () => probe(target, { host: environment.probeHost, from: environment.probeFrom }),
      instance: environment.instance,
      keepDays: environment.keepRemovedDays,
      memo: {},
      now: options.now ?? Date.now,
      reviewKey: await reviewKey(home),
      get aliasDays() {
        return restored.aliasDays ?? environment.aliasDays;
      },
      restartMs: 60_000,
    };
    ending.push(() => parts.external.close());
    const agent = new Agent({ parts, report, now: parts.now, fleet: fleetReader(environment.fleet, home, parts.now) });
    const socket = await serveAgentSocket(
      home,
      handlers(agent, { home, hostFile: store.kind === "file" ? environment.store : undefined }),
    );
    ending.push(() => socket.close());
    ending.push(await openMetrics(environment.metrics, agent, report));
    const { fleet, instance } = environment;
    const status = () => agent.status();
    ending.push(await openFleet(fleet, { home, instance, status, failed: report.failed, now: parts.now }));
    ending.push(() => agent.stop());
    if (environment.core.kind === "embedded") {
      const { acmeHook } = environment;
      server = embeddedServer({ home, target, report, acmeHook, ...(options.gate ? { program: options.gate } : {}) });
    }
    ending.push(store.watch((cause) => agent.wake(cause)));
    ending.push(openSchedules(environment, parts, (cause) => agent.wake(cause)));
    await server?.ensure();

    const firstLook = async () => {
      await target.ready(parts.restartMs);
      await restored.finish(agent);
      const { ordered } = journal;
      if (ordered)
        await agent.rollBack({ by: ordered.by, from: "rollback --offline" }, ordered.revision, ordered.accounts);
      else await agent.look({ text: "start", by: "agent", person: false });
    };
    const settled = firstLook().then(
      async () => welcome(await agent.status(), environment, opened.created),
      (error: unknown) => `Not ready: ${explain(error)}\nThe agent goes on trying. Next: npx firekeeper status`,
    );

    const stopServer = async (by: string) => {
      if (!server) return;
      server.retire();
      const gone = new Promise<void>((resolve) => {
        serverLost = resolve;
      });
      const patient = new Promise<void>((resolve) => setTimeout(resolve, stopMs).unref());
      const asked = await target.stop(by).then(
        () => true,
        () => false,
      );
      if (asked) await Promise.race([gone, patient]);
      for (const until = Date.now() + stopMs; gatePid !== undefined && runs(gatePid) && asked && Date.now() < until; ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    return {
      settled,
      async stop(by) {
        await agent.stop();
        await stopServer(by);
        await end();
      },
      force() {
        server?.retire();
        if (server && gatePid !== undefined && runs(gatePid)) process.kill(gatePid, "SIGKILL");
      },
      reload() {
        if (server && gatePid !== undefined && runs(gatePid)) process.kill(gatePid, "SIGHUP");
        agent.wake("SIGHUP");
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}
