import { BlockList, createServer, type Server, type Socket } from "node:net";
import type { Bound, ListenSpec } from "../frames.ts";
import { failed, GateFailure } from "./failure.ts";
import { Admission, networks } from "./limits.ts";
import { portHolder } from "./port-holder.ts";

/** A named listener; its connections keep it, so a change of options reaches them too. */
export interface Listener {
  spec: ListenSpec;
  readonly admission: Admission;
  /** Whose connections begin with a PROXY header. */
  proxies: BlockList;
  servers: Server[];
}

/** What a prepared change will do at the switch. */
interface Prepared {
  readonly spec: ListenSpec;
  /** Bound beside the old ones; undefined when those stay. */
  readonly servers: Server[] | undefined;
  /** Connections that came before the switch. */
  readonly early: Socket[];
}

/** The listening sockets: bound in prepare, opened in switch, kept over a restart of the core. */
export class Listeners {
  readonly #byName = new Map<string, Listener>();
  readonly #accept: (socket: Socket, listener: Listener) => void;
  readonly #now: () => number;
  #prepared = new Map<string, Prepared>();
  #without: readonly string[] = [];
  /** Closed in prepare because the new listener needs their very port; opened again if the change is given up. */
  #yielded = new Map<Listener, number>();

  constructor(accept: (socket: Socket, listener: Listener) => void, now: () => number) {
    this.#accept = accept;
    this.#now = now;
  }

  names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** Binds what is new; nothing is accepted yet. Throws GateFailure and binds nothing if one of them cannot be bound. */
  async prepare(specs: readonly ListenSpec[], without: readonly string[]): Promise<Bound[]> {
    await this.cancel();
    const leaving = this.#leaving(specs, without);
    const bound: Bound[] = [];
    const prepared = new Map<string, Prepared>();
    try {
      for (const spec of specs) {
        // Whatever the switch could stumble over is tried here.
        networks([...(spec.limits?.trusted ?? []), ...(spec.proxies ?? [])]);
        const standing = this.#byName.get(spec.name);
        const early: Socket[] = [];
        const servers =
          standing !== undefined && sameSockets(standing, spec) ? undefined : await this.#bind(spec, early, leaving);
        prepared.set(spec.name, { spec, servers, early });
        bound.push(boundTo(spec.name, servers ?? standing?.servers ?? []));
      }
    } catch (error) {
      for (const each of prepared.values()) abandon(each);
      await this.#restore();
      throw error;
    }
    this.#prepared = prepared;
    this.#without = without;
    return bound;
  }

  /** The listeners that this change closes or binds elsewhere. */
  #leaving(specs: readonly ListenSpec[], without: readonly string[]): readonly Listener[] {
    const replaced = specs.flatMap((spec) => {
      const standing = this.#byName.get(spec.name);
      return standing === undefined || sameSockets(standing, spec) ? [] : [standing];
    });
    return [...replaced, ...without.flatMap((name) => this.#byName.get(name) ?? [])];
  }

  /**
   * Binds beside what stands. Where a socket of ours that is about to go has the port (another address of it, two
   * listeners that change places), that one goes first: for a moment nobody answers there.
   */
  async #bind(spec: ListenSpec, early: Socket[], leaving: readonly Listener[]): Promise<Server[]> {
    try {
      return await bind(spec, early);
    } catch (error) {
      const own = leaving.filter((each) => !this.#yielded.has(each) && boundTo("", each.servers).port === spec.port);
      if (!(error instanceof GateFailure) || error.failure.code !== "gate/port-taken" || own.length === 0) throw error;
      for (const each of own) {
        this.#yielded.set(each, spec.port);
        for (const server of each.servers) server.close();
      }
      return await bind(spec, early);
    }
  }

  /** Opens again what had yielded its port to a change that is given up. */
  async #restore(): Promise<void> {
    const yielded = [...this.#yielded];
    this.#yielded.clear();
    for (const [listener, port] of yielded) {
      const early: Socket[] = [];
      listener.servers = await bind({ ...listener.spec, port }, early);
      this.#open(listener, early);
    }
  }

  #open(listener: Listener, early: readonly Socket[]): void {
    for (const server of listener.servers) {
      server.removeAllListeners("connection");
      server.on("connection", (socket) => this.#accept(socket, listener));
    }
    for (const socket of early) this.#accept(socket, listener);
  }

  switch(): void {
    const prepared = this.#prepared;
    this.#yielded.clear();
    this.#prepared = new Map();
    for (const name of this.#without) this.close(name);
    this.#without = [];
    for (const [name, { spec, servers, early }] of prepared) {
      let listener = this.#byName.get(name);
      if (listener === undefined) {
        listener = { spec, admission: new Admission(this.#now), proxies: new BlockList(), servers: [] };
        this.#byName.set(name, listener);
      }
      const to = listener;
      to.spec = spec;
      to.admission.set(spec.limits ?? {});
      to.proxies = networks(spec.proxies ?? []);
      if (servers === undefined) continue;
      for (const server of to.servers) server.close();
      to.servers = servers;
      this.#open(to, early);
    }
  }

  async cancel(): Promise<void> {
    this.#abandon();
    await this.#restore();
  }

  #abandon(): void {
    for (const each of this.#prepared.values()) abandon(each);
    this.#prepared = new Map();
    this.#without = [];
  }

  close(name: string): void {
    const listener = this.#byName.get(name);
    this.#byName.delete(name);
    for (const server of listener?.servers ?? []) server.close();
  }

  closeAll(): void {
    this.#abandon();
    for (const name of this.names()) this.close(name);
  }
}

function abandon({ servers, early }: Prepared): void {
  for (const server of servers ?? []) server.close();
  for (const socket of early) socket.destroy();
}

function sameSockets(standing: Listener, spec: ListenSpec): boolean {
  const addresses = (of: ListenSpec) => [...(of.addresses ?? [])].sort().join();
  if (addresses(standing.spec) !== addresses(spec)) return false;
  return standing.spec.port === spec.port || boundTo("", standing.servers).port === spec.port;
}

function boundTo(name: string, servers: readonly Server[]): Bound {
  const at = servers
    .map((server) => server.address())
    .filter((address) => address !== null && typeof address === "object");
  return { name, port: at[0]?.port ?? 0, addresses: at.map(({ address }) => address) };
}

async function bind(spec: ListenSpec, early: Socket[]): Promise<Server[]> {
  const servers: Server[] = [];
  let { port } = spec;
  try {
    for (const address of spec.addresses?.length ? spec.addresses : [undefined]) {
      const server = await bindOne(spec.name, address, port, early);
      servers.push(server);
      port = boundTo("", [server]).port;
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return servers;
}

async function bindOne(name: string, address: string | undefined, port: number, early: Socket[]): Promise<Server> {
  try {
    // "::" without IPV6_V6ONLY takes IPv4 too.
    return await listening(address ?? "::", port, early);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const noIpv6 = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
    if (address !== undefined || !noIpv6)
      throw await explained(error as NodeJS.ErrnoException, name, address ?? "::", port);
  }
  try {
    return await listening("0.0.0.0", port, early);
  } catch (error) {
    throw await explained(error as NodeJS.ErrnoException, name, "0.0.0.0", port);
  }
}

function listening(host: string, port: number, early: Socket[]): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.on("connection", (socket) => early.push(socket));
    server.listen({ host, port, ipv6Only: false, backlog: 4096 }, () => {
      server.removeAllListeners("error");
      // Out of descriptors: the kernel keeps the connection until one is free.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

async function explained(
  error: NodeJS.ErrnoException,
  name: string,
  address: string,
  port: number,
): Promise<GateFailure> {
  const fields = { name, address, port };
  switch (error.code) {
    case "EADDRINUSE": {
      const holder = await portHolder(port);
      return failed(
        "gate/port-taken",
        `Port ${port} on ${address} is taken${holder === undefined ? "" : ` by ${holder}`}.`,
        {
          fields: { ...fields, holder: holder ?? "unknown" },
          hint: `Stop that program or give the listener "${name}" another port.`,
        },
      );
    }
    case "EACCES":
      return failed("gate/port-forbidden", `Port ${port} on ${address} may not be opened by this user.`, {
        fields,
        hint: "Ports below 1024 need CAP_NET_BIND_SERVICE, or a port forward.",
      });
    case "EADDRNOTAVAIL":
      return failed("gate/address-unavailable", `This machine has no address ${address}.`, {
        fields,
        hint: "network.interface must name an address of this machine, or be unset.",
      });
    default:
      return failed("gate/listen-failed", `Port ${port} on ${address} cannot be opened: ${error.message}.`, {
        fields,
        hint: "Check address and port of the listener.",
      });
  }
}
