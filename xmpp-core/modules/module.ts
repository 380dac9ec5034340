import type { Devices } from "../auth/devices.ts";
import type { PasswordJudge } from "../auth/passwords.ts";
import type { DerivationPool } from "../auth/pool.ts";
import type { SlowDown } from "../auth/slow-down.ts";
import type { Clock } from "../clock.ts";
import type { ListenSpec } from "../frames.ts";
import type { Property } from "../properties/property.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Accounts } from "../routing/accounts.ts";
import type { AccountHandlers, Handlers, IqHandler } from "../routing/handlers.ts";
import type { Names } from "../routing/names.ts";
import type { Router } from "../routing/router.ts";
import type { SessionState } from "../routing/session-state.ts";
import type { Sessions } from "../routing/sessions.ts";
import type { AddressPlace } from "../routing/views.ts";
import type { Migration, Storage } from "../storage/storage.ts";
import type { Gate } from "../transport/gate.ts";
import type { Xml } from "../xml/writer.ts";

/** What a module is handed when it starts; it keeps nothing at module level, so that two servers live in one process. */
export interface Core {
  readonly clock: Clock;
  /** The directory of everything that is kept; each module that has files there has one of its own in it. */
  readonly home: string;
  /** Cryptographic randomness: n bytes. */
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly properties: Registry;
  readonly storage: Storage;
  readonly names: Names;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly gate: Gate;
  /** `sys.xmpp.externalip` as it is now: a host name, an address, or an IPv4 and an IPv6 address; empty if it is unset. */
  readonly externalAddresses: () => readonly string[];
  /** The certificates in use, one for each name that is served, the primary's first. */
  readonly certificates: () => readonly ServedCertificate[];
  /** Where a password goes that a user of the host changes; see docs/passwords.md. */
  readonly hostPasswords: HostPasswords;
  /** Judges a password that comes in clear. */
  readonly passwords: PasswordJudge;
  /** Devices that log in, and their tokens. */
  readonly devices: Devices;
  /** Failed logins of everybody, for whoever else takes passwords. */
  readonly slowDown: SlowDown;
  /** A key of this home for one purpose, the same after each start; it stands nowhere. */
  readonly keyFor: (purpose: string) => Buffer;
  /** Where keys of new passwords are derived. */
  readonly derivations: DerivationPool;
  /** Sortable ids for stored stanzas, strictly rising. */
  readonly archiveIds: () => number;
  /** The admin by docs/settings.md, the supervisors by role. */
  readonly rights: Rights;
  /** Orderly restart of the core, and orderly stop of everything; who asked is answered first. */
  readonly operation: { restart(): void; stop(): void };
  /** Where a browser finds the public pages: `https://chat.example.org:9091`; undefined: there is no web port. */
  readonly webAddress: (view: string) => string | undefined;
  /** Typed points where modules meet without importing each other. */
  offer<T>(point: Point<T>, value: T): void;
  offered<T>(point: Point<T>): readonly T[];
  /** Handlers of accounts of all modules, for who makes or removes an account. */
  readonly accountHandlers: () => readonly AccountHandlers[];
  /** Shorthand of `properties.watch` that stops with the module. Calls at once with the present value. */
  watch<T>(property: Property<T>, listener: (value: T) => void): void;
  /** Work in the background that tells sessions something: a failure is logged, an orderly restart waits for it. */
  seeThrough(what: string, work: Promise<unknown>): void;
  /** Calls every `ms` until the module stops. */
  every(ms: number, work: () => void): void;
}

export interface ServedCertificate {
  /** The domain that it is for. */
  readonly name: string;
  /** PEM, the server's own first. */
  readonly chain: string;
  readonly selfSigned: boolean;
}

export interface HostPasswords {
  /** Whether the host takes a password back now: an agent is there, and its store is writable. */
  takes(): boolean;
  /** Resolves once the host has it and it is in force. Rejects with the host's refusal. */
  change(account: string, password: string): Promise<void>;
  /** Whether the host store takes it that a user removes himself now. */
  removes(): boolean;
  /** Resolves once the host no longer has the user: the days for which the data is kept. Rejects with the host's refusal. */
  remove(account: string): Promise<number>;
}

export interface Rights {
  isAdmin(accountId: number): boolean;
  isSupervisor(accountId: number): boolean;
  /** A use of rights that belongs into the agent's journal. */
  used(who: string, what: string, on: string): void;
  /** Told whose role or admin rights ended. */
  onLost(listener: (accountId: number) => void): void;
}

/** A port of the server, as the properties have it; the same function gives what an apply would change. */
export interface Listener {
  specs(get: <T>(property: Property<T>) => T): readonly ListenSpec[];
}

/** A typed extension point; its homes are modules/*points.ts. */
export interface Point<T> {
  readonly name: string;
  /** Never set: carries the type. */
  readonly type?: T;
}

export interface Implements {
  /** `XEP-0199` or `RFC 6121`. */
  readonly spec: string;
  readonly section?: string;
  readonly version?: string;
  readonly status: "complete" | "partial";
  readonly note?: string;
}

export interface Identity {
  readonly category: string;
  readonly type: string;
  readonly name?: string;
}

/** A service of the domain: `<label>.<domain>`. */
export interface Service {
  /** The name by which code and stored addresses know it; its label, unless the module calls `names.callService`. */
  readonly label: string;
  readonly name: string;
  readonly identities: readonly Identity[];
  readonly features: readonly string[];
}

/** One capability: what it is, what it answers to, where it is specified, what it keeps. docs/architecture.md. */
export interface Module {
  readonly name: string;
  readonly implements: readonly Implements[];
  /** Shown by disco#info of the server. */
  readonly features?: readonly string[];
  /** Shown by disco#info of an account's bare JID. */
  readonly accountFeatures?: readonly string[];
  readonly identities?: readonly Identity[];
  readonly accountIdentities?: readonly Identity[];
  readonly services?: readonly Service[];
  /** Offered in stream features after login. */
  readonly streamFeatures?: readonly Xml[];
  readonly properties?: readonly Property<unknown>[];
  readonly migrations?: readonly Migration[];
  readonly sessionState?: readonly SessionState<unknown>[];
  readonly addresses?: readonly AddressPlace[];
  readonly listener?: Listener;
  /** For capabilities without state. */
  readonly iq?: readonly IqHandler[];
  readonly start?: (core: Core) => Handlers | undefined;
}

/** Declares a capability. */
export function defineModule(module: Module): Module {
  return module;
}
