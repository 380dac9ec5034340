/** The invitations that are open, in memory and on disk. */
import { createHmac } from "node:crypto";
import type { Account } from "../../routing/accounts.ts";
import type { Write } from "../../storage/statement.ts";
import type { Invitation } from "../account-points.ts";
import type { Core } from "../module.ts";
import { stored } from "../own-password.ts";
import * as tables from "./tables.ts";

export interface Entry extends Invitation {
  readonly id: number;
  /** Of the token, with a key of this home. */
  readonly mark: string;
  usesLeft: number;
}

export interface Wanted extends Pick<Invitation, "by" | "makesAccount" | "makesContact" | "name" | "expiresAt"> {
  readonly uses: number;
}

export interface Book {
  readonly ready: Promise<unknown>;
  /** Makes one; its token, which is told this once. Undefined: the disk does not take it. */
  add(wanted: Wanted): Promise<{ token: string; entry: Entry } | undefined>;
  find(token: string): Entry | undefined;
  of(account: Account): readonly Entry[];
  all(): readonly Entry[];
  keeps(served: number, name: string): boolean;
  /** One use less, at once in memory. Undefined: none is left. */
  take(entry: Entry): { writes: Write[]; undo: () => void } | undefined;
  /** False: the disk does not take it. */
  revoke(entry: Entry): Promise<boolean>;
  forget(account: Account): Write[];
  sweep(): void;
}

/** 128 bits. */
const tokenBytes = 16;
const tokenForm = /^[A-Za-z0-9_-]{22}$/;

export function openBook(core: Core): Book {
  const { accounts, clock, random, storage } = core;
  const key = core.keyFor("invitations");
  const markOf = (token: string): string => createHmac("sha256", key).update(token).digest("base64");
  const byMark = new Map<string, Entry>();
  const byAccount = new Map<number, Set<Entry>>();
  /** By the name that is kept for who is invited. */
  const kept = new Map<string, Entry>();
  let lastId = 0;

  function enter(entry: Entry): void {
    byMark.set(entry.mark, entry);
    if (entry.name !== undefined) kept.set(`${entry.served} ${entry.name}`, entry);
    const mine = byAccount.get(entry.by.id) ?? new Set();
    byAccount.set(entry.by.id, mine.add(entry));
  }
  function leave(entry: Entry): void {
    byMark.delete(entry.mark);
    const place = `${entry.served} ${entry.name}`;
    if (kept.get(place) === entry) kept.delete(place);
    const mine = byAccount.get(entry.by.id);
    mine?.delete(entry);
    if (mine?.size === 0) byAccount.delete(entry.by.id);
  }

  async function load(): Promise<void> {
    for (const row of await storage.read(tables.allInvitations)) {
      const by = accounts.byId(row.account);
      if (by === undefined) continue;
      lastId = Math.max(lastId, row.id);
      enter({
        ...{ id: row.id, served: row.served, by, mark: Buffer.from(row.token).toString("base64") },
        ...{ makesAccount: row.makes_account === 1, makesContact: row.makes_contact === 1 },
        ...{ name: row.name ?? undefined, usesLeft: row.uses_left, expiresAt: row.expires_at },
      });
    }
  }

  const open = (entry: Entry): boolean => entry.expiresAt > clock.now() && entry.by.enabled;

  return {
    ready: load(),
    async add({ uses, ...wanted }) {
      const token = random(tokenBytes).toString("base64url");
      const entry: Entry = { ...wanted, served: wanted.by.served, id: ++lastId, mark: markOf(token), usesLeft: uses };
      const { makesAccount, makesContact, name = null, expiresAt, by } = wanted;
      const flags = [makesAccount ? 1 : 0, makesContact ? 1 : 0] as const;
      const mark = Buffer.from(entry.mark, "base64");
      enter(entry);
      const row = tables.putInvitation.with(
        ...([entry.id, by.id, by.served, mark, ...flags, name, uses, clock.now(), expiresAt] as const),
      );
      if (await stored(core, [row])) return { token, entry };
      leave(entry);
      return undefined;
    },
    find(token) {
      // A token of another form costs what one costs that nobody made.
      const entry = byMark.get(markOf(tokenForm.test(token) ? token : "-"));
      return entry !== undefined && open(entry) ? entry : undefined;
    },
    of: (account) => [...(byAccount.get(account.id) ?? [])].filter(open),
    all: () => [...byMark.values()].filter(open),
    keeps(served, name) {
      const entry = kept.get(`${served} ${name}`);
      return entry !== undefined && open(entry);
    },
    take(entry) {
      // XEP-0445 §4: time is judged when the token is shown, not again when it is used.
      if (entry.usesLeft === 0 || !entry.by.enabled) return undefined;
      entry.usesLeft--;
      if (entry.usesLeft === 0) leave(entry);
      return {
        writes: [
          entry.usesLeft === 0 ? tables.dropInvitation.with(entry.id) : tables.setUses.with(entry.usesLeft, entry.id),
        ],
        undo() {
          entry.usesLeft++;
          enter(entry);
        },
      };
    },
    async revoke(entry) {
      const before = entry.usesLeft;
      leave(entry);
      entry.usesLeft = 0;
      if (await stored(core, [tables.dropInvitation.with(entry.id)])) return true;
      entry.usesLeft = before;
      enter(entry);
      return false;
    },
    forget(account) {
      for (const entry of [...(byAccount.get(account.id) ?? [])]) {
        leave(entry);
        entry.usesLeft = 0;
      }
      return [tables.dropInvitationsOf.with(account.id)];
    },
    sweep() {
      const over = [...byMark.values()].filter((entry) => entry.expiresAt <= clock.now());
      for (const entry of over) leave(entry);
      if (over.length > 0) storage.commit(over.map(({ id }) => tables.dropInvitation.with(id)));
    },
  };
}
