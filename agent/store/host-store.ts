/**
 * Where the host application keeps settings, roles and users, seen from the agent. docs/architecture.md.
 * A snapshot is whole or it is an error: a store that cannot read everything throws `StoreError` and never returns less.
 */
import type { CredentialsText, HostCardWanted } from "../../xmpp-core/control/contract.ts";
import { CodedError, type ErrorFields, type Notice } from "../errors.ts";
import type { HostChange, Removals } from "./host-change.ts";

/** A role of the host; its name identifies it. */
export interface Role {
  readonly name: string;
  /** A set, in the host's order; types we do not know are kept. */
  readonly types: readonly string[];
  readonly members: readonly string[] | "all";
  /** Ids of teams that are members. */
  readonly teams?: readonly string[];
  /** What the host attaches to the role; passed on unharmed. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** A queue or a call group of the host: no login, but a contact where a role names it. */
export interface Team {
  readonly id: string;
  readonly name: string;
  readonly extension?: string;
  readonly kind: "queue" | "callgroup";
  /** `dynamic` members come and go by themselves. */
  readonly members: readonly { readonly user: string; readonly dynamic: boolean }[];
}

/** Who judges a user's password: the keys or the hash the store holds, or a directory that is asked at each login. */
export const passwordSources = ["store", "ldap", "sql", "http"] as const;
export type PasswordSource = (typeof passwordSources)[number];

export interface User {
  /** The host's stable key of the person, which tells a rename from another person. */
  readonly id?: string;
  /** As the host spells it. */
  readonly name: string;
  readonly displayName?: string;
  readonly email?: string;
  readonly enabled: boolean;
  readonly credentials?: CredentialsText;
  /** A hash in the modular form of its kind (`$2b$…`, `$6$…`, `{SSHA256}…`, `pbkdf2-sha256$…`), where the host has no keys. */
  readonly passwordHash?: string;
  /** Absent: the store. */
  readonly passwordFrom?: PasswordSource;
  /** Further addresses of the same person: localparts, or full addresses under an alias domain. */
  readonly aliases?: readonly string[];
  /** Fields of the contact card that the host keeps. */
  readonly card?: HostCardWanted;
  /** The host has a password whose keys are still being derived; `credentials`, if any, are the former ones until then. */
  readonly deriving?: boolean;
}

/** One consistent read of the host store. */
export interface Snapshot {
  /** SHA-256 (hex) over what the snapshot says, not over how the host writes it: a changed comment changes nothing. */
  readonly hash: string;
  /** Dotted key to text, exactly as the host wrote both. */
  readonly settings: ReadonlyMap<string, string>;
  /** Whose a setting is that the store does not set itself: key to `headquarters`. */
  readonly origins?: ReadonlyMap<string, string>;
  readonly roles: readonly Role[];
  readonly users: readonly User[];
  readonly teams?: readonly Team[];
  /** Where it was read, for people: `/srv/firekeeper/host.yaml`. */
  readonly source: string;
  readonly warnings: readonly Notice[];
}

/** What an edit did. */
export interface Edited {
  readonly snapshot: Snapshot;
  /** False when the store already said so. */
  readonly changed: boolean;
  /** One sentence for the person and the journal. */
  readonly summary: string;
  /** What the person who asked has thereby confirmed to remove; the brake lets it through. */
  readonly removes: Removals;
}

export type StoreKind = "file" | "flat-file" | "directory" | "postgres" | "mysql" | "http";

export interface HostStore {
  /** What the `FIREKEEPER_APPLY` default depends on: `file` (a `host.yaml`) applies by itself, all others wait for a person. */
  readonly kind: StoreKind;
  /** Whether `edit` may succeed; known after the first `read`. */
  readonly writable: boolean;
  /** For people: `host.yaml at /srv/firekeeper/host.yaml`. */
  describe(): string;
  /** The whole store once it is quiet. Throws `StoreError`; what was in force stays in force then. */
  read(): Promise<Snapshot>;
  /** The last snapshot that was whole, also from before a restart of the agent; undefined if there never was one. */
  lastGood(): Promise<Snapshot | undefined>;
  /** Calls back whenever the store may have changed; the cause is a sentence for the log. Returns the way to stop. */
  watch(lookAgain: (cause: string) => void): () => Promise<void>;
  /** Changes the store itself. Needs no quiet time. Throws `StoreError` when the change is refused or the store not writable. */
  edit(change: HostChange): Promise<Edited>;
}

/** Where in the host's data something stands; lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A store that cannot be read whole, or an edit that is refused. `rule` is what the host's data must obey. */
export class StoreError extends CodedError {
  readonly place: Place | undefined;
  readonly rule: string | undefined;

  constructor(
    code: string,
    message: string,
    options: { place?: Place; rule?: string; hint?: string; fields?: ErrorFields; cause?: unknown } = {},
  ) {
    const { place, rule } = options;
    super(code, place ? `${place.file}:${place.line}:${place.column}: ${message}` : message, {
      ...options,
      fields: { ...options.fields, ...place, rule },
    });
    this.name = "StoreError";
    this.place = place;
    this.rule = rule;
  }
}

/** Time comes in from outside, so that a test can move it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
