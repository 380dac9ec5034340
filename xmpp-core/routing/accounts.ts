import type { HashName } from "../auth/keys.ts";
import type { Write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import { openAddresses } from "./account-addresses.ts";
import { allCards, cardOfRow, type HostCard } from "./account-cards.ts";
import {
  allAccounts,
  allAliases,
  dropAccount,
  highestId,
  putAccount,
  putAlias,
  rememberId,
  setAside,
} from "./account-rows.ts";
import {
  addKeys,
  credentialsOf,
  credentialsOfRow,
  dropCredentials,
  learnKeys,
  type PasswordMix,
  type PasswordStanding,
  passwordMix,
  putCredentials,
  type StoredCredentials,
  standingOf,
} from "./credentials.ts";
import type { Served } from "./names.ts";
import type { Session } from "./session.ts";

/** An account of a served domain, as it is kept in memory; keys and personal data stay on disk. */
export interface Account {
  readonly id: number;
  readonly served: number;
  /** The prepared localpart. */
  name: string;
  hostId: string | undefined;
  displayName: string | undefined;
  email: string | undefined;
  /** What else the host says of the person. */
  card?: HostCard | undefined;
  enabled: boolean;
  /** Disabled because the host opens chat to others only, not as a person. */
  barred: boolean;
  origin: "host" | "local";
  /** Set while a vanished person's data is kept: ms since 1970. */
  keptUntil: number | undefined;
  credentialsHash: string | undefined;
  /** How the password is checked; undefined: there is none. */
  password: PasswordStanding | undefined;
  /** Made for one verify: invisible, without rights. */
  readonly probe: boolean;
  /** A team: in contact lists, but nobody logs in as it, writes to it or counts it. */
  readonly contact: boolean;
  /** Further addresses, prepared: `a.martin`, or `a.martin@alias.example` under an alias domain. */
  aliases: readonly string[];
  /** Bound sessions, connected or waiting to be resumed. */
  readonly sessions: Session[];
}

export { cardsMigration } from "./account-cards.ts";
export { accountIdsMigration, accountsMigration } from "./account-rows.ts";
export type { StoredCredentials } from "./credentials.ts";

/**
 * The accounts of all served domains, by name. A change is made in two steps that one commit joins: `writes…` gives
 * the rows, and the same call changes memory, so that a caller commits what it changed in the same turn.
 */
export interface Accounts {
  get(served: number, name: string): Account | undefined;
  byId(id: number): Account | undefined;
  /** Without contacts that are no accounts. */
  all(): IterableIterator<Account>;
  readonly size: number;
  /** Teams. */
  contacts(): IterableIterator<Account>;
  /** The name behind a full address under an alias domain that belongs to one person; undefined: the same local part. */
  nameBehind(served: number, address: string): string | undefined;
  /** Counts every change of an account's row or name, also those taken back. */
  readonly version: number;
  /** Names that changed after a version, gone ones too; undefined: too long ago to tell. */
  changedSince(version: number): string[] | undefined;
  /** Says that a name's account is not as it was, where memory was changed by hand. */
  touched(name: string): void;
  /** The account's keys; undefined: it cannot log in. */
  credentials(account: Account): Promise<StoredCredentials | undefined>;
  create(
    served: Served,
    facts: Omit<
      Account,
      "id" | "served" | "sessions" | "credentialsHash" | "password" | "barred" | "contact" | "aliases"
    > &
      Partial<Pick<Account, "barred" | "contact">>,
    now: number,
  ): { account: Account; writes: Write[] };
  save(account: Account): Write[];
  rename(account: Account, name: string): Write[];
  /** The person's further addresses from now on. A name somebody bears wins over an alias. */
  setAliases(account: Account, aliases: readonly string[]): Write[];
  setCredentials(account: Account, keys: StoredCredentials | undefined, hash: string | undefined): Write[];
  /** Keys derived from a password that was right for the account's hash; memory follows by `enter` once they are stored. */
  learn(account: Account, keys: StoredCredentials, from: string): { writes: Write[]; enter: () => void };
  /** Keys for a hash that the account lacks, of the password that it has; memory follows by `enter` once they are stored. */
  addKeys(
    account: Account,
    hash: HashName,
    keys: string,
    /** `credentialsHash` when the password was proved: with another one the keys are nobody's. */
    of: string | undefined,
  ): { writes: Write[]; enter: () => void };
  /** How the passwords of those who may log in to this domain are checked. */
  passwords(served: number): PasswordMix;
  /** The name is free again; the former data is kept apart and never shown. */
  setAside(account: Account): Write[];
  remove(account: Account): Write[];
  /**
   * Runs changes whose commit may still fail; `undo` takes them back in memory. What the caller changes in an account
   * before `save` it takes back itself.
   */
  tentatively<T>(work: () => T): { result: T; undo: () => void };
  /** An account in memory only, found by its name and id and nowhere else: for one verify. */
  addProbe(served: Served, name: string, keys: StoredCredentials): Account;
  dropProbe(account: Account): void;
}

/** More changes than this between two looks of the agent, and it reads all accounts again. */
const mostChangesTold = 10_000;

/** Loads every account; keys stay on disk until somebody logs in. */
export async function openAccounts(storage: Storage): Promise<Accounts> {
  const byId = new Map<number, Account>();
  const teams = new Map<number, Account>();
  const byName = new Map<string, Account>();
  const key = (served: number, name: string): string => `${served}:${name}`;
  for (const row of await storage.read(allAccounts)) {
    const account: Account = {
      id: row.id,
      served: row.served,
      name: row.name,
      hostId: row.host_id ?? undefined,
      displayName: row.display_name ?? undefined,
      email: row.email ?? undefined,
      enabled: row.enabled === 1,
      origin: row.origin,
      keptUntil: row.kept_until ?? undefined,
      credentialsHash: row.hash ?? undefined,
      barred: row.barred === 1,
      password: row.hash === null ? undefined : standingOf(credentialsOfRow(row)),
      probe: false,
      contact: row.contact === 1,
      aliases: [],
      sessions: [],
    };
    (account.contact ? teams : byId).set(account.id, account);
    byName.set(key(account.served, account.name), account);
  }
  for (const row of await storage.read(allCards)) {
    const account = byId.get(row.account);
    if (account !== undefined) account.card = cardOfRow(row);
  }
  const addresses = await openAddresses(storage, (id) => byId.get(id));
  // A former name leads to the renamed person unless somebody bears it again.
  const aliases = new Map<string, number>();
  for (const row of await storage.read(allAliases)) aliases.set(key(row.served, row.name), row.account);
  let lastId = (await storage.read(highestId))[0]?.highest ?? 0;

  // Negative ids: no row of the database can mean them.
  const probes = new Map<Account, StoredCredentials>();
  let lastProbeId = 0;
  let inverses: (() => void)[] | undefined;
  let version = 0;
  let floor = 0;
  const changedAt = new Map<string, number>();
  const mixes = new Map<number, { version: number; counts: PasswordMix }>();

  function touched(name: string): void {
    changedAt.set(name, ++version);
    if (changedAt.size <= mostChangesTold) return;
    changedAt.clear();
    floor = version;
  }

  const row = (account: Account, createdAt: number): Write => {
    touched(account.name);
    inverses?.push(() => touched(account.name));
    return putAccount.with(
      account.id,
      account.served,
      account.name,
      account.hostId ?? null,
      account.displayName ?? null,
      account.email ?? null,
      account.enabled ? 1 : 0,
      account.origin,
      account.keptUntil ?? null,
      createdAt,
      account.barred ? 1 : 0,
      account.contact ? 1 : 0,
    );
  };

  function forget(account: Account): void {
    touched(account.name);
    inverses?.push(() => touched(account.name));
    const shelf = account.contact ? teams : byId;
    shelf.delete(account.id);
    byName.delete(key(account.served, account.name));
    const known = addresses.leave(account);
    inverses?.push(() => {
      known();
      shelf.set(account.id, account);
      byName.set(key(account.served, account.name), account);
    });
  }

  return {
    get(served, name) {
      const found = byName.get(key(served, name));
      if (found !== undefined) return found;
      const person = addresses.get(served, name);
      if (person !== undefined) return person;
      const alias = aliases.get(key(served, name));
      if (alias !== undefined) return byId.get(alias);
      for (const probe of probes.keys()) if (probe.served === served && probe.name === name) return probe;
      return undefined;
    },
    byId(id) {
      if (id >= 0) return byId.get(id) ?? teams.get(id);
      for (const probe of probes.keys()) if (probe.id === id) return probe;
      return undefined;
    },
    all: () => byId.values(),
    contacts: () => teams.values(),
    nameBehind: (served, address) => addresses.get(served, address)?.name,
    get size() {
      return byId.size;
    },
    get version() {
      return version;
    },
    changedSince(since) {
      if (since < floor) return undefined;
      return [...changedAt].filter(([, at]) => at > since).map(([name]) => name);
    },
    touched,
    async credentials(account) {
      if (account.probe) return probes.get(account);
      const found = (await storage.read(credentialsOf, account.id))[0];
      return found && credentialsOfRow(found);
    },
    create(served, facts, now) {
      const account: Account = {
        ...{ barred: false, contact: false, aliases: [], ...facts, id: ++lastId, served: served.id },
        ...{ credentialsHash: undefined, password: undefined, sessions: [] },
      };
      const shelf = account.contact ? teams : byId;
      shelf.set(account.id, account);
      byName.set(key(served.id, account.name), account);
      inverses?.push(() => {
        shelf.delete(account.id);
        byName.delete(key(served.id, account.name));
      });
      return { account, writes: [row(account, now)] };
    },
    save: (account) => [row(account, 0)],
    rename(account, name) {
      const before = account.name;
      touched(before);
      inverses?.push(() => {
        touched(before);
        touched(name);
      });
      const formerAlias = aliases.get(key(account.served, before));
      byName.delete(key(account.served, before));
      account.name = name;
      byName.set(key(account.served, name), account);
      aliases.set(key(account.served, before), account.id);
      inverses?.push(() => {
        if (formerAlias === undefined) aliases.delete(key(account.served, before));
        else aliases.set(key(account.served, before), formerAlias);
        byName.delete(key(account.served, name));
        account.name = before;
        byName.set(key(account.served, before), account);
      });
      return [row(account, 0), putAlias.with(account.served, before, account.id)];
    },
    setAliases(account, wanted) {
      touched(account.name);
      const { writes, undo } = addresses.set(account, wanted);
      inverses?.push(() => {
        undo();
        touched(account.name);
      });
      return writes;
    },
    setCredentials(account, keys, hash) {
      const { credentialsHash, password } = account;
      touched(account.name);
      inverses?.push(() => {
        Object.assign(account, { credentialsHash, password });
        touched(account.name);
      });
      account.credentialsHash = keys === undefined ? undefined : hash;
      account.password = keys && standingOf(keys);
      if (keys === undefined) return [dropCredentials.with(account.id)];
      const { sha1 = null, sha256 = null, sha512 = null, passwordHash = null, passwordFrom = null } = keys;
      return [putCredentials.with(account.id, sha1, sha256, sha512, hash ?? "", passwordHash, passwordFrom)];
    },
    learn(account, { sha1 = null, sha256 = null, sha512 = null }, from) {
      const { credentialsHash } = account;
      return {
        writes: [learnKeys.with(sha1, sha256, sha512, account.id, from)],
        enter() {
          const { password } = account;
          if (password?.cost === undefined || password.hasKeys || account.credentialsHash !== credentialsHash) return;
          account.password = { ...password, hasKeys: true };
          // Counted on, not anew: when everybody logs in there may be 50,000 of these.
          const mix = mixes.get(account.served);
          if (mix === undefined || mix.version !== version) return;
          mix.counts.derived++;
          mix.counts.hashed.set(password.cost, (mix.counts.hashed.get(password.cost) ?? 1) - 1);
        },
      };
    },
    addKeys(account, hash, keys, of) {
      return {
        writes: [addKeys[hash].with(keys, account.id, of ?? "")],
        enter() {
          const { password } = account;
          if (password === undefined || account.credentialsHash !== of) return;
          // That the domain still counts as lacking some until its next change costs nobody anything.
          account.password = { ...password, lacks: password.lacks.filter((one) => one !== hash) };
        },
      };
    },
    passwords(served) {
      const known = mixes.get(served);
      if (known?.version === version) return known.counts;
      const counts = passwordMix(byId.values(), served);
      mixes.set(served, { version, counts });
      return counts;
    },
    setAside(account) {
      forget(account);
      return [setAside.with(account.id)];
    },
    remove(account) {
      forget(account);
      return [rememberId.with(account.id), dropAccount.with(account.id)];
    },
    tentatively(work) {
      const done: (() => void)[] = [];
      const undo = (): void => {
        for (let last = done.pop(); last !== undefined; last = done.pop()) last();
      };
      inverses = done;
      try {
        return { result: work(), undo };
      } catch (error) {
        undo();
        throw error;
      } finally {
        inverses = undefined;
      }
    },
    addProbe(served, name, keys) {
      const account: Account = {
        ...{ id: --lastProbeId, served: served.id, name, hostId: undefined, displayName: undefined, email: undefined },
        ...{
          enabled: true,
          origin: "local",
          keptUntil: undefined,
          barred: false,
          credentialsHash: undefined,
          password: undefined,
          probe: true,
          contact: false,
          aliases: [],
          sessions: [],
        },
      };
      probes.set(account, keys);
      return account;
    },
    dropProbe: (account) => void probes.delete(account),
  };
}
