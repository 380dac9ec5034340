import { type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";
import { renamed } from "../stored-address.ts";

export const pushMigration = {
  name: "0087_push",
  sql: `
    CREATE TABLE push (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, jid TEXT NOT NULL, node TEXT NOT NULL,
      options TEXT, session INTEGER NOT NULL, since INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (account, jid, node)
    ) WITHOUT ROWID;`,
};

const everything = read<
  [],
  {
    account: number;
    jid: string;
    node: string;
    options: string | null;
    session: number;
    since: number;
    failures: number;
  }
>("SELECT account, jid, node, options, session, since, failures FROM push ORDER BY since");
const put = write<
  [account: number, jid: string, node: string, options: string | null, session: number, since: number, failures: number]
>("INSERT OR REPLACE INTO push (account, jid, node, options, session, since, failures) VALUES (?, ?, ?, ?, ?, ?, ?)");
const drop = write<[account: number, jid: string, node: string]>(
  "DELETE FROM push WHERE account = ? AND jid = ? AND node = ?",
);
const dropAll = write<[account: number]>("DELETE FROM push WHERE account = ?");

/** Where an app of a person wants to be called. */
export interface Registration {
  readonly account: Account;
  /** Stored address of the push service. */
  jid: string;
  /** "" if the client named none. */
  readonly node: string;
  /** The data form with what the service wants to be told, as canonical XML. */
  options: string | undefined;
  /** Id of the session that enabled it last; it may be gone. */
  session: number;
  /** ms since 1970: when it was enabled last. */
  since: number;
  /** Permanent errors of the service in a row. */
  failures: number;
}

/** Who wants to be called where; on disk, and all of it in memory. */
export interface Registrations {
  readonly ready: Promise<void>;
  of(account: Account): readonly Registration[];
  find(account: Account, jid: string, node: string): Registration | undefined;
  /** In memory at once; the write keeps it. */
  add(registration: Registration): Write;
  /** Says how it is now. */
  row(registration: Registration): Write;
  remove(registration: Registration): Write;
  /** The account's own, and those of others that lead to it. */
  removeAll(account: Account): Write[];
  /** Those that lead to the account follow its name. */
  follow(account: Account, before: string): Write[];
}

export function openRegistrations(core: Core, ended: (registration: Registration) => void): Registrations {
  const byAccount = new Map<number, Registration[]>();

  function enter(registration: Registration): void {
    const list = byAccount.get(registration.account.id);
    if (list === undefined) byAccount.set(registration.account.id, [registration]);
    else if (!list.includes(registration)) list.push(registration);
  }

  function leave(registration: Registration): void {
    const { id } = registration.account;
    const left = (byAccount.get(id) ?? []).filter((one) => one !== registration);
    if (left.length > 0) byAccount.set(id, left);
    else byAccount.delete(id);
    ended(registration);
  }

  const row = ({ account, jid, node, options, session, since, failures }: Registration): Write =>
    put.with(account.id, jid, node, options ?? null, session, since, failures);

  function* leadingTo(account: Account, name: string): IterableIterator<Registration> {
    for (const list of byAccount.values())
      for (const one of list)
        if (one.account.served === account.served && renamed(one.jid, name, "") !== undefined) yield one;
  }

  const dropOf = ({ account, jid, node }: Registration): Write => drop.with(account.id, jid, node);

  return {
    ready: core.storage.read(everything).then((rows) => {
      for (const found of rows) {
        const account = core.accounts.byId(found.account);
        if (account !== undefined) enter({ ...found, account, options: found.options ?? undefined });
      }
    }),
    of: (account) => byAccount.get(account.id) ?? [],
    find: (account, jid, node) => byAccount.get(account.id)?.find((one) => one.jid === jid && one.node === node),
    add(registration) {
      enter(registration);
      return row(registration);
    },
    row,
    remove(registration) {
      leave(registration);
      return dropOf(registration);
    },
    removeAll(account) {
      const toIt = [...leadingTo(account, account.name)];
      for (const one of [...toIt, ...(byAccount.get(account.id) ?? [])]) leave(one);
      return [dropAll.with(account.id), ...toIt.map(dropOf)];
    },
    follow(account, before) {
      return [...leadingTo(account, before)].flatMap((one) => {
        const old = dropOf(one);
        one.jid = renamed(one.jid, before, account.name) ?? one.jid;
        return [old, row(one)];
      });
    },
  };
}

/** Whether somebody is the service itself, or behind it. */
export function isService(core: Core, { jid }: Registration, sender: Jid): boolean {
  const service = parseJid(core.names.absolute(jid, core.names.primary.name));
  if (service === undefined) return false;
  const same = (one: Jid): string => core.names.relative({ ...one, resource: "" });
  const domain = (one: Jid): string => core.names.relative({ local: "", domain: one.domain, resource: "" });
  return service.local === "" ? domain(service) === domain(sender) : same(service) === same(sender);
}
