import { recentlyUsed } from "../../recently-used.ts";
import type { Account, Accounts } from "../../routing/accounts.ts";
import type { Write } from "../../storage/statement.ts";
import type { Storage } from "../../storage/storage.ts";
import { type Standing, type State, type Subscription, standingOf, stateOf } from "./states.ts";
import * as tables from "./tables.ts";

/** A contact that the user keeps himself. Immutable. */
export interface Item {
  /** Bare address relative to the domain. */
  readonly contact: string;
  readonly name: string | undefined;
  readonly subscription: Subscription;
  readonly ask: boolean;
  /** A request of this contact will be granted when it comes. RFC 6121 §3.4 */
  readonly approved: boolean;
  readonly groups: readonly string[];
  /** Of the roster when the item changed last. */
  readonly version: number;
}

/** A request for a subscription as it came, for the user to answer. */
export interface Request {
  readonly contact: string;
  readonly id: string | undefined;
  readonly epoch: number;
  readonly payload: Buffer;
}

/** An account's own contacts; the changing methods change memory and give the rows for the same turn's commit. */
export interface Roster {
  readonly account: Account;
  /** Counts the changes. */
  version: number;
  readonly items: ReadonlyMap<string, Item>;
  readonly requests: ReadonlyMap<string, Request>;
  /** Of the items those behind services: gateways and what is at them. */
  readonly outside: ReadonlySet<string>;
  put(item: Omit<Item, "version">): Write[];
  remove(contact: string): Write[];
  ask(request: Request): Write[];
  answer(contact: string): Write[];
}

/** A client this many changes behind gets single pushes, one further behind the whole roster. */
export const longestStory = 500;
// Removed contacts are kept somewhat longer than they can be asked for.
const removedKept = 2 * longestStory;
const keptOfOffline = 200;

export interface Rosters {
  /** The roster if it is in memory. */
  get(account: Account): Roster | undefined;
  load(account: Account): Promise<Roster>;
  /** Memory may differ from the disk (a failed commit, a change of names): the next one reads again. */
  forget(account: Account): void;
  forgetOffline(): void;
  forgetAll(): void;
  /** Rosters in memory now, of accounts with sessions. */
  held(): readonly Roster[];
  /** From now on the account's roster stays in memory. */
  hold(account: Account): Promise<unknown> | undefined;
  sessionOpened(account: Account): void;
  sessionClosed(account: Account): void;
}

/** Rosters of accounts with sessions stay in memory, and a few others that were just needed. */
export function openRosters(storage: Storage): Rosters {
  const online = new Map<number, Roster>();
  const recent = recentlyUsed<number, Roster>(keptOfOffline);
  /** Those that others ask for on the way of a stanza, when there is no time to read. */
  const lasting = new Map<number, Roster | undefined>();
  const loading = new Map<number, Promise<Roster>>();
  let generation = 0;

  function keep(roster: Roster): Roster {
    if (lasting.has(roster.account.id)) lasting.set(roster.account.id, roster);
    if (roster.account.sessions.length > 0) online.set(roster.account.id, roster);
    else recent.set(roster.account.id, roster);
    return roster;
  }

  async function readRoster(account: Account): Promise<Roster> {
    const started = generation;
    const [items, versions, requests] = await Promise.all([
      storage.read(tables.itemsOf, account.id),
      storage.read(tables.versionOf, account.id),
      storage.read(tables.requestsOf, account.id),
    ]);
    loading.delete(account.id);
    // What was forgotten meanwhile may have changed on disk.
    if (started !== generation) return rosters.load(account);
    return keep(newRoster(account, versions[0]?.version ?? 0, items.map(itemOf), requests.map(requestOf)));
  }

  const rosters: Rosters = {
    get: (account) => online.get(account.id) ?? recent.get(account.id) ?? lasting.get(account.id),
    load(account) {
      const known = rosters.get(account);
      if (known !== undefined) return Promise.resolve(known);
      const reading = loading.get(account.id) ?? readRoster(account);
      loading.set(account.id, reading);
      return reading.catch((error: unknown) => {
        loading.delete(account.id);
        throw error;
      });
    },
    forget(account) {
      generation++;
      loading.delete(account.id);
      online.delete(account.id);
      recent.delete(account.id);
      if (lasting.has(account.id)) lasting.set(account.id, undefined);
    },
    forgetOffline() {
      generation++;
      recent.clear();
      for (const id of lasting.keys()) lasting.set(id, online.get(id));
    },
    forgetAll() {
      generation++;
      for (const id of lasting.keys()) lasting.set(id, undefined);
      loading.clear();
      online.clear();
      recent.clear();
    },
    held: () => [...online.values()],
    hold(account) {
      if (lasting.get(account.id) !== undefined) return undefined;
      lasting.set(account.id, rosters.get(account));
      return lasting.get(account.id) === undefined ? rosters.load(account) : undefined;
    },
    sessionOpened(account) {
      const known = recent.get(account.id) ?? lasting.get(account.id);
      if (known === undefined) return;
      recent.delete(account.id);
      online.set(account.id, known);
    },
    sessionClosed(account) {
      const known = online.get(account.id);
      if (known === undefined || account.sessions.length > 0) return;
      online.delete(account.id);
      recent.set(account.id, known);
    },
  };
  return rosters;
}

function newRoster(account: Account, version: number, found: Item[], waiting: Request[]): Roster {
  const items = new Map(found.map((item) => [item.contact, item]));
  const requests = new Map(waiting.map((request) => [request.contact, request]));
  const outside = new Set([...items.keys()].filter(isOutside));
  const roster: Roster = {
    account,
    version,
    items,
    requests,
    outside,
    put(wanted) {
      const item: Item = { ...wanted, version: ++roster.version };
      items.set(item.contact, item);
      if (isOutside(item.contact)) outside.add(item.contact);
      return [row(item, item.subscription)];
    },
    remove(contact) {
      const item = items.get(contact);
      if (item === undefined) return [];
      items.delete(contact);
      outside.delete(contact);
      const gone = { ...item, name: undefined, ask: false, approved: false, groups: [], version: ++roster.version };
      return [row(gone, "removed"), tables.forgetRemoved.with(account.id, roster.version - removedKept)];
    },
    ask(request) {
      requests.set(request.contact, request);
      const { contact, id, epoch, payload } = request;
      return [tables.putRequest.with(account.id, contact, id ?? null, epoch, payload)];
    },
    answer(contact) {
      return requests.delete(contact) ? [tables.dropRequest.with(account.id, contact)] : [];
    },
  };
  const row = (item: Item, subscription: string): Write =>
    tables.putItem.with(
      account.id,
      item.contact,
      item.name ?? null,
      subscription,
      item.ask ? 1 : 0,
      item.approved ? 1 : 0,
      item.groups.length === 0 ? "" : JSON.stringify(item.groups),
      item.version,
    );
  return roster;
}

function itemOf(row: tables.ItemRow): Item {
  return {
    contact: row.contact,
    name: row.name ?? undefined,
    subscription: row.subscription,
    ask: row.ask === 1,
    approved: row.approved === 1,
    groups: row.groups === "" ? [] : (JSON.parse(row.groups) as string[]),
    version: row.version,
  };
}

function requestOf(row: tables.RequestRow): Request {
  return { contact: row.contact, id: row.stanza_id ?? undefined, epoch: row.epoch, payload: Buffer.from(row.payload) };
}

/** The state of one contact by RFC 6121 appendix A. */
export function stateWith(roster: Roster, contact: string): State {
  const item = roster.items.get(contact);
  return stateOf({
    subscription: item?.subscription ?? "none",
    pendingOut: item?.ask ?? false,
    pendingIn: roster.requests.has(contact),
  });
}

/**
 * Puts a contact into a state. An item is made when there is none and the new state needs one; a request that no longer
 * waits is forgotten. Making one wait is up to the caller, who has its stanza.
 */
export function changeState(roster: Roster, contact: string, state: State): { writes: Write[]; itemChanged: boolean } {
  const next: Standing = standingOf(state);
  const item = roster.items.get(contact);
  const writes = next.pendingIn ? [] : roster.answer(contact);
  const before = { subscription: item?.subscription ?? "none", ask: item?.ask ?? false };
  const itemChanged = before.subscription !== next.subscription || before.ask !== next.pendingOut;
  if (itemChanged) {
    const facts = item ?? { contact, name: undefined, approved: false, groups: [] };
    writes.push(...roster.put({ ...facts, subscription: next.subscription, ask: next.pendingOut }));
  }
  return { writes, itemChanged };
}

/** The account behind a stored contact, if it is one of the same domain. */
export function contactAccount(accounts: Accounts, owner: Account, contact: string): Account | undefined {
  const name = localName(contact);
  const found = name === undefined ? undefined : accounts.get(owner.served, name);
  // Items follow a renamed account, so what stands under its former name is nobody.
  return found === owner || found?.name !== name ? undefined : found;
}

/** `"bob"` for `bob@`; undefined for services and foreign addresses. */
export function localName(contact: string): string | undefined {
  const at = contact.indexOf("@");
  return at > 0 && at === contact.length - 1 ? contact.slice(0, -1) : undefined;
}

/** Whether a stored contact is at a service: `@irc.`, `someone@irc.`. */
function isOutside(contact: string): boolean {
  return contact.endsWith(".") && contact.includes("@");
}

/** The stored form of a local account's address. */
export function contactOf(account: Account): string {
  return `${account.name}@`;
}
