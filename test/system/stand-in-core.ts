/**
 * A stand-in for gate and core: speaks the control contract on a real socket over the model server, keeps its state in a
 * file of the home, and can be told to fail. Run as a program it plays the gate that the agent starts.
 *
 * Properties that make trouble: `standin.refuse` (apply fails), `standin.break` (port closed after the apply, until
 * it is unset), `standin.forget` (applies nothing of the property but says so), `storage.engine` (restarts).
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  type Answer,
  type Ask,
  type ControlEvent,
  type CoreStatus,
  canonicalPassword,
  contractVersion,
  type RequestName,
  requestLine,
  requests,
} from "../../xmpp-core/control/contract.ts";
import { applied, canonical, newWorld, type World } from "../support/model-server.ts";

type Stored = { revision: number; proven: number; world: World; probes: string[]; applies: number };

export type StandIn = {
  readonly stored: Stored;
  /** Every request that came, by name. */
  readonly asked: string[];
  /** Answers of `answer` requests and states told by the agent. */
  readonly told: Ask<"agent">[];
  /** Runs before an apply is stored, and after it before the answer; for crashes. */
  hooks: { beforeCommit?: () => void; afterCommit?: () => void };
  /** Changes the world behind the agent's back. */
  change(edit: (world: World) => void): void;
  tell(event: ControlEvent): void;
  /** Drops the connection, as a core that is killed does. */
  hangUp(): void;
  /** Sends a console event and resolves with the agent's answer. */
  console(
    ask: Extract<ControlEvent, { event: "console" }>["ask"],
    params?: Record<string, unknown>,
  ): Promise<Omit<Ask<"answer">, "to">>;
  close(): Promise<void>;
};

export async function startStandIn(home: string, onStop: () => void = () => {}): Promise<StandIn> {
  const file = join(home, "stand-in.json");
  const stored = load(file);
  const startedAt = new Date().toISOString();
  const save = () => {
    writeFileSync(`${file}.new`, JSON.stringify(stored));
    renameSync(`${file}.new`, file);
  };
  const asked: string[] = [];
  const told: Ask<"agent">[] = [];
  const answers = new Map<number, (answer: Omit<Ask<"answer">, "to">) => void>();
  const hooks: StandIn["hooks"] = {};
  const sockets = new Set<Socket>();
  const port = await listening(createServer((socket) => socket.destroy()));
  let holder: { socket: Socket; agent: string } | undefined;
  let number = 0;

  const property = (key: string) => stored.world.settings.properties.find((one) => one.key === key)?.value;

  const answer = <N extends RequestName>(name: N, ask: Ask<N>, socket: Socket): Answer<N> | Promise<Answer<N>> => {
    const handlers: { [K in RequestName]: (ask: Ask<K>) => Answer<K> | Promise<Answer<K>> } = {
      hello({ agent }) {
        if (holder && holder.socket !== socket)
          throw failure("control/held", `Another agent holds this server: ${holder.agent}.`);
        holder = { socket, agent };
        const { revision, proven } = stored;
        return {
          instance: "stand-in",
          version: contractVersion,
          program: "stand-in",
          revision,
          proven,
          pid: process.pid,
          gatePid: process.pid,
          startedAt,
        };
      },
      canonical: (desired) => canonical(desired, stored.world),
      actual({ known }) {
        const part = <T>(name: string, value: T) => {
          const hash = JSON.stringify(value);
          return known[name] === hash ? { hash } : { hash, value };
        };
        const { settings, groups, supervisors, accounts } = stored.world;
        return {
          settings: part("settings", settings),
          groups: part("groups", groups),
          supervisors: part("supervisors", supervisors),
          accounts: part("accounts", accounts),
        };
      },
      apply({ expected, revision, changes }) {
        stored.applies++;
        if (expected !== stored.revision)
          throw failure("control/stale-revision", `Revision ${stored.revision} is in force.`);
        if (
          changes.some((one) => one.kind === "setting" && one.setting === "property:standin.refuse" && one.to !== null)
        ) {
          throw failure("listeners/port-taken", "Port 5222 is taken by another program.");
        }
        const world = applied(
          stored.world,
          changes.filter((one) => !(one.kind === "setting" && one.setting === "property:standin.forget")),
        );
        hooks.beforeCommit?.();
        Object.assign(stored, { world, revision });
        save();
        hooks.afterCommit?.();
        return { revision, done: ["stored"], restarting: false };
      },
      "set-password"({ name, ...password }) {
        const found = stored.world.accounts.find((one) => one.name === name);
        const text = canonicalPassword(password);
        if (found === undefined || text === undefined) throw failure("control/unknown-account", `No ${name}.`);
        found.credentialsHash = `sha256:${createHash("sha256").update(text).digest("hex")}`;
        save();
        return {};
      },
      "check-login": () => ({ checks: [] }),
      prove({ revision }) {
        stored.proven = revision;
        save();
        return {};
      },
      restart: () => ({}),
      stop() {
        setImmediate(onStop);
        return {};
      },
      status: () => status(),
      sessions: () => ({ sessions: [] }),
      "probe-open"() {
        stored.probes.push("probe-1");
        return { name: "probe-1", password: "p", domain: stored.world.settings.domain };
      },
      "probe-close"({ name }) {
        stored.probes = stored.probes.filter((one) => one !== name);
        return {};
      },
      "group-view"({ group }) {
        const found = stored.world.groups.find((one) => one.name === group);
        if (!found) return { exists: false, displayName: "", members: 0 };
        const members = found.members === "all" ? stored.world.accounts.length : found.members.length;
        return { exists: true, displayName: found.displayName, members };
      },
      answer({ to, ...rest }) {
        answers.get(to)?.(rest);
        return {};
      },
      backup: () => ({}),
      agent(state) {
        told.push(state);
        return {};
      },
    };
    return handlers[name](ask);
  };

  const status = (): CoreStatus => ({
    domain: stored.world.settings.domain,
    aliases: stored.world.settings.aliases,
    revision: stored.revision,
    proven: stored.proven,
    startedAt,
    pid: process.pid,
    version: "stand-in",
    listeners: [
      {
        name: "proxy65",
        address: "127.0.0.1",
        port,
        state: property("standin.break") === undefined ? "open" : "failed",
        ...(property("standin.break") === undefined ? {} : { error: "it was told to break" }),
      },
    ],
    certificates: [],
    sessions: 0,
    detachedSessions: 0,
    accounts: stored.world.accounts.length,
    storage: "model",
    weakens: [],
    notices: [],
  });

  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => {
      sockets.delete(socket);
      if (holder?.socket === socket) holder = undefined;
    });
    socket.on("error", () => socket.destroy());
    createInterface({ input: socket })
      .on("error", () => {})
      .on("line", async (line) => {
        const request = requestLine.parse(JSON.parse(line));
        const name = request.ask as RequestName;
        asked.push(name);
        try {
          const params = requests[name].ask.parse(request.with);
          const ok = await answer(name, params as never, socket);
          socket.write(`${JSON.stringify({ id: request.id, ok })}\n`);
        } catch (error) {
          socket.write(`${JSON.stringify({ id: request.id, error: asFailure(error) })}\n`);
        }
      });
  });
  rmSync(join(home, "control.sock"), { force: true });
  await new Promise<void>((resolve) => server.listen(join(home, "control.sock"), resolve));

  return {
    stored,
    asked,
    told,
    hooks,
    change(edit) {
      edit(stored.world);
      save();
    },
    tell: (event) => {
      holder?.socket.write(`${JSON.stringify(event)}\n`);
    },
    hangUp: () => holder?.socket.destroy(),
    console(ask, params = {}) {
      number++;
      const to = number;
      return new Promise((resolve) => {
        answers.set(to, resolve);
        holder?.socket.write(
          `${JSON.stringify({ event: "console", number: to, admin: "admin@localhost", ask, with: params } satisfies ControlEvent)}\n`,
        );
      });
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function load(file: string): Stored {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Stored;
  } catch {
    return { revision: 0, proven: 0, world: newWorld(), probes: [], applies: 0 };
  }
}

function listening(server: Server): Promise<number> {
  server.unref();
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    }),
  );
}

class Failure extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

function failure(code: string, message: string): Failure {
  return new Failure(code, message);
}

function asFailure(error: unknown): { code: string; message: string } {
  if (error instanceof Failure) return { code: error.code, message: error.message };
  if (error instanceof z.ZodError) return { code: "control/malformed", message: error.message };
  return { code: "control/failed", message: error instanceof Error ? error.message : String(error) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const stop = () => process.exit(0);
  process.on("SIGTERM", stop);
  const home = process.env.FIREKEEPER_HOME ?? ".";
  writeFileSync(join(home, "stand-in.pid"), String(process.pid));
  await startStandIn(home, stop);
}
