import type { Jid } from "../jid/jid.ts";
import { formatJid } from "../jid/jid.ts";
import { read, type Write, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";

/**
 * The names of the served domains. Storage knows a domain by its row, never by its name: a domain change is one new
 * epoch row, and each session sees the service under the name it logged in with, its view. docs/architecture.md "One service, two names".
 */
export interface Served {
  readonly id: number;
  /** The current name. */
  readonly name: string;
  /** Every name under which the domain is served now, the current one among them. */
  readonly live: readonly LiveName[];
}

export interface LiveName {
  readonly name: string;
  /** Number of the name epoch: what is written under this view carries it. */
  readonly epoch: number;
  /** ms since 1970. */
  readonly since: number;
  /** When a former name stops being served; null: never, or current. */
  readonly until: number | null;
}

/** A host part under which something of ours answers: `example.org` itself or `<label>.example.org` of a service. */
export interface Host {
  readonly served: Served;
  /** The live name that was used. */
  readonly view: string;
  /** "" for the server itself, else the declared name of a service (`proxy`), whatever label it answers under. */
  readonly service: string;
}

/** Where an address leads. */
export type Place =
  | { readonly at: "server"; readonly served: Served; readonly resource: string }
  | { readonly at: "account"; readonly served: Served; readonly name: string; readonly resource: string }
  | {
      readonly at: "service";
      readonly served: Served;
      readonly label: string;
      readonly local: string;
      readonly resource: string;
    }
  | { readonly at: "foreign"; readonly jid: Jid };

export const namesMigration = {
  name: "0001_names",
  sql: `
    CREATE TABLE served (id INTEGER PRIMARY KEY, current_epoch INTEGER NOT NULL);
    CREATE TABLE epoch (
      id INTEGER PRIMARY KEY, served INTEGER NOT NULL REFERENCES served(id), name TEXT NOT NULL,
      since INTEGER NOT NULL, until INTEGER, live INTEGER NOT NULL
    );`,
};

const allServed = read<[], { id: number; current_epoch: number }>("SELECT id, current_epoch FROM served ORDER BY id");
const allEpochs = read<
  [],
  { id: number; served: number; name: string; since: number; until: number | null; live: number }
>("SELECT id, served, name, since, until, live FROM epoch ORDER BY id");
const putServed = write<[id: number, epoch: number]>("INSERT OR REPLACE INTO served (id, current_epoch) VALUES (?, ?)");
const putEpoch = write<[id: number, served: number, name: string, since: number, until: number | null, live: number]>(
  "INSERT OR REPLACE INTO epoch (id, served, name, since, until, live) VALUES (?, ?, ?, ?, ?, ?)",
);

interface EpochRow {
  readonly id: number;
  readonly served: number;
  readonly name: string;
  since: number;
  until: number | null;
  live: boolean;
}

/** How a service is called now, and how it was. */
interface CalledService {
  readonly label: string;
  readonly former: readonly string[];
  readonly certified: boolean;
}

/** Resolves host parts and renders stored addresses; the only place that knows which names are ours. */
export interface Names {
  /** Every served domain; the first one is the instance's own. */
  readonly served: readonly Served[];
  /** The instance's own domain. */
  readonly primary: Served;
  /** Whether the domain still is as the very first start found it. */
  readonly fresh: boolean;
  host(domain: string): Host | undefined;
  locate(jid: Jid): Place;
  /** The host text of a place of ours under a view: `example.org`, `proxy.example.org`. */
  hostName(view: string, service: string): string;
  /** The hosts of all services under a view that a certificate should name. */
  serviceHosts(view: string): readonly string[];
  /** An address in the form that is stored: relative (`bob@`, `@proxy.`) if it is ours, else in full. */
  relative(jid: Jid): string;
  /** A stored address as `view` sees it. */
  absolute(stored: string, view: string): string;
  /** The host part as `view` sees it, or undefined if `domain` is not ours. `writtenUnder`: a name that was ours then, live or not. */
  seenFrom(view: string, domain: string, writtenUnder?: string): string | undefined;
  /** The current name of the domain that once had this name and is no longer served under it. */
  successorOf(domain: string): string | undefined;
  epochOf(view: string): number;
  /** The name that an epoch was written under. */
  epochName(epoch: number): string;
  /**
   * Makes `name` the current name: the rows for the caller's transaction, and `enter` for when they are on disk. The
   * former name stays live until `aliasUntil` (null: for ever); with `instead` it was never used and is forgotten.
   */
  renaming(
    name: string,
    change: { now: number; aliasUntil: number | null; instead?: boolean },
  ): { readonly writes: readonly Write[]; readonly enter: () => void };
  /** Ends former names whose time has come; returns those that ended. */
  expire(now: number): Promise<readonly string[]>;
  /** Domains that are also ours: every local part means the same there, and nobody ever sees them. docs/people.md */
  readonly aliasDomains: readonly string[];
  /** `nameBehind`: the local part that a full address under an alias domain stands for; undefined: its own. */
  setOthers(
    aliasDomains: readonly string[],
    nameBehind?: (served: number, address: string) => string | undefined,
  ): void;
  onChanged(listener: () => void): () => void;
  /** Services by their declared names, set once by the server; each answers under its own name until `callService`. */
  setServices(declared: ReadonlySet<string>): void;
  /**
   * From now on the service answers under `<label>.<domain>`, and is understood under its former labels too. Stored
   * addresses keep its declared name, so they follow.
   */
  callService(service: string, label: string, former?: readonly string[]): void;
  /** A service that comes with the running server: a further room service, a component. `certified`: certificates name it. */
  openService(service: string, options?: { certified?: boolean }): void;
  /** It is no service any more: its addresses are foreign ones. */
  closeService(service: string): void;
}

/** Reads the names from storage; a new database gets `firstName` as its domain. */
export async function openNames(storage: Storage, firstName: string, now: number): Promise<Names> {
  const rows: EpochRow[] = (await storage.read(allEpochs)).map((row) => ({ ...row, live: row.live === 1 }));
  const currentOf = new Map((await storage.read(allServed)).map((row) => [row.id, row.current_epoch]));
  if (currentOf.size === 0) {
    rows.push({ id: 1, served: 1, name: firstName, since: now, until: null, live: true });
    currentOf.set(1, 1);
    await storage.settled(storage.commit([putServed.with(1, 1), putEpoch.with(1, 1, firstName, now, null, 1)]));
  }
  let services = new Map<string, CalledService>();
  let served: readonly Served[] = [];
  let hosts = new Map<string, Host>();
  let aliasDomains: readonly string[] = [];
  let nameBehind: (served: number, address: string) => string | undefined = () => undefined;
  const listeners = new Set<() => void>();

  function rebuild(): void {
    served = [...currentOf].map(([id, epoch]) => ({
      id,
      name: rows.find((row) => row.id === epoch)?.name ?? "",
      live: rows
        .filter((row) => row.served === id && row.live)
        .map((row) => ({ name: row.name, epoch: row.id, since: row.since, until: row.until })),
    }));
    hosts = new Map();
    const [first] = served;
    // What is seen is the present name, whatever domain was written; a name of our own wins.
    if (first !== undefined)
      for (const name of aliasDomains) hosts.set(name, { served: first, view: first.name, service: "" });
    for (const domain of served)
      for (const { name } of domain.live) {
        for (const [service, { former }] of services)
          for (const label of former) hosts.set(`${label}.${name}`, { served: domain, view: name, service });
        for (const [service, { label }] of services)
          hosts.set(`${label}.${name}`, { served: domain, view: name, service });
      }
    // A served name wins over a service of another one (`proxy.a` served beside `a`).
    for (const domain of served)
      for (const { name } of domain.live) hosts.set(name, { served: domain, view: name, service: "" });
  }
  rebuild();

  const hostName = (view: string, service: string): string =>
    service === "" ? view : `${services.get(service)?.label ?? service}.${view}`;

  function localOf({ served: { id } }: Host, { local, domain }: Jid): string {
    return (aliasDomains.length > 0 ? nameBehind(id, `${local}@${domain}`) : undefined) ?? local;
  }

  function locate(jid: Jid): Place {
    const host = hosts.get(jid.domain);
    if (host === undefined) return { at: "foreign", jid };
    if (host.service !== "")
      return { at: "service", served: host.served, label: host.service, local: jid.local, resource: jid.resource };
    if (jid.local === "") return { at: "server", served: host.served, resource: jid.resource };
    return { at: "account", served: host.served, name: localOf(host, jid), resource: jid.resource };
  }

  return {
    get served() {
      return served;
    },
    get primary() {
      const first = served[0];
      if (first === undefined) throw new Error("no served domain");
      return first;
    },
    get fresh() {
      return rows.length === 1;
    },
    host: (domain) => hosts.get(domain),
    locate,
    hostName,
    serviceHosts: (view) =>
      [...services].flatMap(([service, { certified }]) => (certified ? [hostName(view, service)] : [])),
    relative(jid) {
      const host = hosts.get(jid.domain);
      if (host === undefined) return formatJid(jid);
      const tail = host.service === "" ? "" : `${host.service}.`;
      return `${localOf(host, jid)}@${tail}${jid.resource === "" ? "" : `/${jid.resource}`}`;
    },
    absolute(stored, view) {
      const slash = stored.indexOf("/");
      const bare = slash < 0 ? stored : stored.slice(0, slash);
      const at = bare.indexOf("@");
      if (at < 0) return stored; // a foreign server
      const host = bare.slice(at + 1);
      if (host !== "" && !host.endsWith(".")) return stored;
      const name = hostName(view, host === "" ? "" : host.slice(0, -1));
      return `${at === 0 ? "" : bare.slice(0, at + 1)}${name}${slash < 0 ? "" : stored.slice(slash)}`;
    },
    seenFrom(view, domain, writtenUnder) {
      const host = hosts.get(domain);
      if (host !== undefined) return hostName(view, host.service);
      if (writtenUnder === undefined) return undefined;
      if (domain === writtenUnder) return view;
      const label = domain.endsWith(`.${writtenUnder}`) ? domain.slice(0, -writtenUnder.length - 1) : "";
      for (const [service, known] of services)
        if (known.label === label || known.former.includes(label)) return hostName(view, service);
      return undefined;
    },
    successorOf(domain) {
      const former = rows.find((row) => !row.live && row.name === domain);
      return former && served.find((each) => each.id === former.served)?.name;
    },
    epochOf(view) {
      const live = hosts.get(view)?.served.live.find((entry) => entry.name === view);
      return live?.epoch ?? currentOf.values().next().value ?? 1;
    },
    epochName: (epoch) => rows.find((row) => row.id === epoch)?.name ?? rows[0]?.name ?? "",
    renaming(name, { now: at, aliasUntil, instead = false }) {
      const id = served[0]?.id ?? 1;
      const before = rows.find((row) => row.id === currentOf.get(id));
      const again = rows.find((row) => row.served === id && row.name === name);
      const epoch = again?.id ?? (instead && before !== undefined ? before.id : rows.length + 1);
      const former = before === undefined || before.id === epoch ? undefined : before;
      const writes = [putEpoch.with(epoch, id, name, at, null, 1), putServed.with(id, epoch)];
      if (former !== undefined) writes.push(putEpoch.with(former.id, id, former.name, former.since, aliasUntil, 1));
      function enter(): void {
        if (former !== undefined) former.until = aliasUntil;
        const next = { id: epoch, served: id, name, since: at, until: null, live: true };
        const place = rows.findIndex((row) => row.id === epoch);
        if (place < 0) rows.push(next);
        else rows[place] = next;
        currentOf.set(id, epoch);
        rebuild();
        for (const listener of listeners) listener();
      }
      return { writes, enter };
    },
    async expire(at) {
      const ended = rows.filter(
        (row) => row.live && row.until !== null && row.until <= at && row.id !== currentOf.get(row.served),
      );
      if (ended.length === 0) return [];
      await storage.settled(
        storage.commit(ended.map((row) => putEpoch.with(row.id, row.served, row.name, row.since, row.until, 0))),
      );
      for (const row of ended) row.live = false;
      rebuild();
      for (const listener of listeners) listener();
      return ended.map((row) => row.name);
    },
    get aliasDomains() {
      return aliasDomains;
    },
    setOthers(domains, behind = nameBehind) {
      aliasDomains = domains;
      nameBehind = behind;
      rebuild();
      for (const listener of listeners) listener();
    },
    onChanged(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    setServices(declared) {
      services = new Map([...declared].map((service) => [service, { label: service, former: [], certified: true }]));
      rebuild();
    },
    callService(service, label, former = []) {
      const before = services.get(service);
      if (before?.label === label && before.former.join() === former.join()) return;
      services.set(service, { certified: before?.certified ?? true, label, former });
      rebuild();
      for (const listener of listeners) listener();
    },
    openService(service, { certified = true } = {}) {
      if (services.has(service)) return;
      services.set(service, { label: service, former: [], certified });
      rebuild();
      if (certified) for (const listener of listeners) listener();
    },
    closeService(service) {
      const known = services.get(service);
      if (known === undefined) return;
      services.delete(service);
      rebuild();
      if (known.certified) for (const listener of listeners) listener();
    },
  };
}
