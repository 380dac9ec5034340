import { createHmac } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { openAdmin } from "./admin/http.ts";
import { adminAddress, adminListenSpecs, adminProperties } from "./admin/properties.ts";
import { devicesMigration, openDevices } from "./auth/devices.ts";
import { directories as openDirectories } from "./auth/directories.ts";
import { openHashCheck } from "./auth/hash-check.ts";
import { liveCheck } from "./auth/live.ts";
import { cacheSeconds, failuresPerMinute, liveProperties, outageSeconds } from "./auth/live-properties.ts";
import { passwordJudge } from "./auth/passwords.ts";
import { derivationPool } from "./auth/pool.ts";
import { downgradeProtection, plainAlone, saslMechanisms, scramIterations, tokenDays } from "./auth/properties.ts";
import { slowDown } from "./auth/slow-down.ts";
import { certificateProperties } from "./certificates/properties.ts";
import type { Clock } from "./clock.ts";
import { certificates } from "./control/certificates.ts";
import { type Control, hostPasswords, openControl } from "./control/control.ts";
import { fallingBack } from "./control/fall-back.ts";
import { listening as openListening } from "./control/listening.ts";
import { openNameNotices } from "./control/name-notices.ts";
import type { ControlParts, ProcessParts } from "./control/parts.ts";
import { openRevisions } from "./control/revisions.ts";
import { openRights } from "./control/rights.ts";
import { openSettings, settingsMigration } from "./control/settings.ts";
import { lifetime } from "./lifetime.ts";
import { allModules } from "./modules/all.ts";
import type { Module } from "./modules/module.ts";
import { becameAvailable } from "./modules/points.ts";
import { recoveredMessages } from "./modules/recovered-messages.ts";
import { startModules } from "./modules/start.ts";
import { publicPages, webRoutes } from "./modules/web-points.ts";
import type { Property } from "./properties/property.ts";
import { openProperties } from "./properties/registry.ts";
import { openReport } from "./report.ts";
import { accountAddressesMigration } from "./routing/account-addresses.ts";
import { accountIdsMigration, accountsMigration, cardsMigration, openAccounts } from "./routing/accounts.ts";
import { passwordsMigration, plainNeed } from "./routing/credentials.ts";
import { namesMigration, openNames } from "./routing/names.ts";
import { router as openRouter } from "./routing/router.ts";
import { highestSession, sessionsMigration } from "./routing/session-rows.ts";
import { openSessions } from "./routing/sessions.ts";
import { highestStanza, storedStanzasMigration } from "./routing/stored-stanzas.ts";
import { views as openViews } from "./routing/views.ts";
import { archiveIds } from "./storage/archive-id.ts";
import { writeWhole } from "./storage/files.ts";
import { openStorage, type StorageTesting } from "./storage/storage.ts";
import { timedCommits } from "./storage/timed.ts";
import { clients as openClients } from "./stream/clients.ts";
import { clientListeners, clientListenSpecs } from "./stream/listeners.ts";
import { isTrusted } from "./stream/login.ts";
import type { StreamParts } from "./stream/parts.ts";
import { fqdn, streamProperties } from "./stream/properties.ts";
import { webAddress, webListeners, webListenSpecs, webProperties } from "./stream/web-ports.ts";
import { webStreamProperties } from "./stream/web-properties.ts";
import type { Gate } from "./transport/gate.ts";
import { programVersion } from "./version.ts";
import { hostMetaPage } from "./web/host-meta.ts";
import { openWeb } from "./web/http.ts";
import { httpBindRoute } from "./web/http-bind.ts";
import { webSocketUpgrade } from "./web/websocket.ts";

export interface ServerOptions {
  readonly home: string;
  readonly gate: Gate;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly log: Logger;
  /** The domain of a new home. */
  readonly firstDomain: string;
  readonly modules?: readonly Module[];
  readonly testing?: StorageTesting;
  /** `proven`: start on the last revision that verify has proven. */
  readonly boot?: "newest" | "proven";
  readonly process: ProcessParts;
  /** FIREKEEPER_ACME_HOOK: the program that publishes DNS records for ACME. */
  readonly acmeHook?: string | undefined;
}

export type Server = Awaited<ReturnType<typeof startServer>>;

/** Every declaration of a property, of modules and of the parts below them. */
export function allProperties(modules: readonly Module[] = allModules): readonly Property<unknown>[] {
  const login = [saslMechanisms, scramIterations, plainAlone, downgradeProtection, tokenDays] as const;
  const own = [...login, ...certificateProperties] as const;
  const below = [
    ...own,
    ...liveProperties,
    ...streamProperties,
    ...adminProperties,
    ...webProperties,
    ...webStreamProperties,
  ] as readonly unknown[];
  return [...(below as readonly Property<unknown>[]), ...modules.flatMap((module) => module.properties ?? [])];
}

/** Builds every part in one visible order and ends them in reverse. */
export async function startServer(options: ServerOptions) {
  const { home, gate, clock, random, log } = options;
  const startedAt = clock.now();
  const modules = options.modules ?? allModules;
  const life = lifetime();
  const preview = (texts: ReadonlyMap<string, string>) => openProperties(allProperties(modules), texts);
  try {
    const report = openReport(log);
    const database = life.own(
      await openStorage({
        path: join(home, "core.db"),
        clock,
        programVersion,
        migrations: [
          ...[namesMigration, accountsMigration, sessionsMigration, storedStanzasMigration, settingsMigration],
          accountIdsMigration,
          cardsMigration,
          passwordsMigration,
          accountAddressesMigration,
          devicesMigration,
          ...modules.flatMap((module) => module.migrations ?? []),
        ],
        ...(options.testing === undefined ? {} : { testing: options.testing }),
      }),
      (opened) => opened.close(),
    );
    const storage = timedCommits(database, clock, report);
    storage.onHealth((health) => {
      if (health === "ok") report.storageRecovered();
      else report.storageFailing({ code: health.failing.code, message: health.failing.message });
    });
    const settings = await openSettings(storage);
    const revisions = await openRevisions(storage, startedAt);
    const isSecret = (key: string): boolean => preview(new Map()).canonical(key, "").secret;
    const back = options.boot === "proven" ? await fallingBack({ storage, settings, revisions, isSecret }) : undefined;
    const properties = preview(settings.properties());
    const names = await openNames(storage, options.firstDomain, startedAt);
    const services = new Set(modules.flatMap((module) => (module.services ?? []).map(({ label }) => label)));
    names.setServices(services);
    const accounts = await openAccounts(storage);
    names.setOthers(settings.get("alias-domains")?.split(", ") ?? [], accounts.nameBehind);
    const rights = await openRights(storage, { accounts, settings, served: () => names.primary.id });
    const lastStanza = (await storage.read(highestStanza))[0]?.highest ?? 0;
    const nextArchiveId = archiveIds(clock, lastStanza);
    const lastSession = (await storage.read(highestSession))[0]?.highest ?? 0;
    const firstId = Math.max(lastSession, startedAt * 1000);
    const sessions = openSessions({ storage, clock, names, accounts, firstId });
    const views = openViews(
      names,
      modules.flatMap((module) => module.addresses ?? []),
    );
    const router = openRouter({ names, accounts, sessions, views, archiveIds: nextArchiveId, random, report });
    const externalAddresses = (): readonly string[] => settings.get("external-address")?.split(", ") ?? [];

    const derivations = derivationPool();
    const hashes = life.own(openHashCheck(), (opened) => opened.close());
    const directories = life.own(openDirectories(properties, hashes), (opened) => opened.close());
    const live = liveCheck({
      ...{ clock, random, directory: directories.open, configuration: directories.configuration },
      limits: () => ({
        freshMs: properties.get(cacheSeconds) * 1000,
        outageMs: properties.get(outageSeconds) * 1000,
        failuresPerMinute: properties.get(failuresPerMinute),
      }),
      failed: (source, why) => report.directoryFailed({ source, why }),
    });
    const decoySecret = await secret(home, "decoy-salts", random);
    const devices = await openDevices({ storage, clock, random, key: await secret(home, "login-tokens", random) });
    const passwords = passwordJudge({
      ...{ pool: derivations, hashes, live, clock, decoySecret },
      iterations: () => properties.get(scramIterations),
      mix: () => accounts.passwords(names.primary.id),
    });
    const slowing = slowDown({ clock, trusted: (address) => isTrusted({ properties }, address) });
    let control: Control | undefined;
    const { core, handlers, idle, stop } = startModules(
      modules,
      {
        home,
        clock,
        random,
        report,
        properties,
        storage,
        names,
        accounts,
        sessions,
        router,
        gate,
        rights,
        externalAddresses,
        certificates: () => serving.served(),
        ...{ passwords, devices },
        slowDown: slowing,
        keyFor: (purpose) => createHmac("sha256", decoySecret).update(purpose).digest(),
        hostPasswords: hostPasswords(() => control),
        derivations,
        archiveIds: nextArchiveId,
        operation: options.process,
        webAddress: (view) => webAddress(properties.get, view) ?? adminAddress(properties.get, view),
      },
      clock,
    );
    life.own(stop, (undo) => undo());
    const nameNotices = await openNameNotices({ storage, names, router, sessions, random });
    core.offer(becameAvailable, nameNotices);
    router.register(handlers, (session, by, place) => {
      const { id } = session.account;
      if (by === "admin") return rights.isAdmin(id);
      if (by === "supervisor") return rights.isSupervisor(id) || rights.isAdmin(id);
      if (by === "self") return place.at !== "account" || accounts.get(place.served.id, place.name) === session.account;
      return true;
    });
    sessions.handlers = handlers.flatMap((each) => each.session ?? []);
    sessions.onOwed = router.owed;

    const serving = life.own(
      certificates({
        ...{ home, clock, gate, names, properties, report, random, externalAddresses, acmeHook: options.acmeHook },
        ports: { open: (spec) => listening.open(spec), close: (name) => listening.shut(name) },
      }),
      (opened) => opened.close(),
    );
    const nonzas = handlers.flatMap((each) => each.nonzas ?? []);
    const inlineBinds = handlers.flatMap((each) => each.inlineBind ?? []);
    const bounds = handlers.flatMap((each) => each.bound ?? []);
    const streamParts: StreamParts = {
      ...{ clock, random, report, properties, storage, names, accounts, sessions, router },
      auth: {
        pool: derivations,
        ...{ passwords, decoySecret, devices },
        slowDown: slowing,
      },
      streamFeatures: () => [
        ...modules.flatMap((module) => module.streamFeatures ?? []),
        ...handlers.flatMap((each) => each.streamFeatures?.() ?? []),
      ],
      featuresBeforeLogin: () => handlers.flatMap((each) => each.featuresBeforeLogin?.() ?? []),
      beforeLogin: () => handlers.flatMap((each) => each.beforeLogin ?? []),
      sessionHandlers: () => sessions.handlers,
      nonzas: () => nonzas,
      inlineBinds: () => inlineBinds,
      bound: async (account) =>
        (await Promise.all(bounds.map((tell) => tell(account)))).filter((xml) => xml !== undefined),
      renderStored: recoveredMessages(core),
      alsoCalled: (name) => name === properties.get(fqdn) || externalAddresses().includes(name),
      plainNeed: (served) => plainNeed(accounts.passwords(served), properties.get(plainAlone)),
      lackingKeys: (served) => [...accounts.passwords(served).lacking],
    };
    const clients = life.own(openClients(streamParts), (opened) => opened.stop());
    const listenSpecs = (get: typeof properties.get) => [
      ...clientListenSpecs(get),
      ...modules.flatMap((module) => module.listener?.specs(get) ?? []),
      ...adminListenSpecs(get),
      ...webListenSpecs(get),
    ];

    const listening = life.own(openListening({ gate, clock, report, specs: listenSpecs }), (opened) => opened.close());
    const controlParts: ControlParts = {
      ...{
        home,
        clock,
        random,
        report,
        storage,
        settings,
        properties,
        preview,
        names,
        accounts,
        rights,
        sessions,
        router,
      },
      ...{ revisions, listening, certificates: serving, nameNotices, startedAt, process: options.process },
      handlers: () => handlers,
      offered: core.offered,
      auth: { passwords, live, slowDown: streamParts.auth.slowDown },
    };
    const pages = () => [...core.offered(publicPages), hostMetaPage(names, properties.get)];
    const admin = life.own(
      await openAdmin({
        ...{ clock, random, report, gate, properties, settings, storage, names, accounts, rights, sessions },
        ...{ auth: streamParts.auth, alsoCalled: streamParts.alsoCalled, control: () => control },
        ...{ listening, certificates: serving, gatePid: options.process.gatePid },
        pages,
      }),
      (opened) => opened.close(),
    );
    const web = life.own(
      openWeb({
        ...{ clock, report, gate },
        properties,
        routes: () => [...core.offered(webRoutes), httpBindRoute(clients.bosh, properties)],
        pages,
        upgrade: webSocketUpgrade(clients.acceptWebSocket),
      }),
      (opened) => opened.close(),
    );

    /** Restores what the predecessor left, opens the ports, lets clients in. */
    async function open(): Promise<void> {
      await serving.refresh();
      await Promise.all(handlers.map((each) => each.ready));
      await back?.finish({ offered: core.offered, accounts, names, rights });
      const stored = await sessions.restore();
      for (const handler of sessions.handlers)
        for (const { session, orderly } of stored) handler.restored?.(session, orderly ? "restart" : "crash");
      for (const name of clientListeners)
        gate.onConnection(name, (connection) => {
          if (!connection.adopted) clients.accept(connection);
        });
      await listening.start(properties.get);
      const carriers: readonly string[] = [...clientListeners, ...Object.values(webListeners)];
      clients.thaw(
        stored,
        gate.adopted.filter(({ listener }) => carriers.includes(listener)),
      );
      gate.ready();
      control = life.own(await openControl(controlParts), (opened) => opened.close());
      report.started({ domain: names.primary.name, revision: revisions.current, tookMs: clock.now() - startedAt });
    }

    /** Stores every session and what is on its way; with `keep` the connections go to the successor. */
    async function leave(keep: boolean): Promise<void> {
      report.stopping({ cause: keep ? "restart" : "stop", sessions: sessions.size });
      await admin.close();
      if (keep) await gate.prepareSuccessor();
      // As late as can be: who asks by HTTP from now on until the successor is there has to ask again.
      await clients.answerRequests();
      await web.close();
      if (keep) await gate.handover();
      await clients.quiesce();
      await idle(settleMs);
      const connectionOf = clients.freeze();
      const stored = await storeSessions(keep ? connectionOf : () => undefined);
      if (keep && stored) await gate.handed();
      else gate.close();
      await life.end();
    }

    /** False if the disk does not take it: managed sessions are then resumed as after a crash. */
    async function storeSessions(connectionOf: Parameters<typeof sessions.storeAll>[0]): Promise<boolean> {
      try {
        await sessions.storeAll(connectionOf);
        return true;
      } catch (error) {
        report.wrong({ what: "storing the sessions", error });
        return false;
      }
    }

    /** Ends without storing anything, as a killed process does. For tests. */
    async function abandon(): Promise<void> {
      gate.close();
      await life.end();
    }

    return {
      ...{
        core,
        handlers,
        storage,
        names,
        accounts,
        settings,
        properties,
        sessions,
        rights,
        clients,
        serving,
        router,
        report,
      },
      /** What console and REST use; undefined until `open`. */
      control: () => control,
      open,
      leave,
      abandon,
    };
  } catch (error) {
    await life.end();
    throw error;
  }
}

/** So long an orderly restart waits for what modules still have to tell sessions. */
const settleMs = 2000;

/** A secret of this home, made at its first use; 0600. */
async function secret(home: string, name: string, random: (bytes: number) => Buffer): Promise<Buffer> {
  const directory = join(home, "secrets");
  const file = join(directory, name);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  try {
    return await readFile(file);
  } catch {
    const made = random(32);
    await writeWhole(file, made);
    return made;
  }
}
