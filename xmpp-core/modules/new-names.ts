/** Which names people may give themselves: none that could be taken for somebody else's. */
import { createHmac } from "node:crypto";
import { skeleton } from "../jid/skeleton.ts";
import { property } from "../properties/property.ts";
import { boolean, integer, list } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import { read, type Write, write } from "../storage/statement.ts";
import type { Core } from "./module.ts";

const reservedByDefault: readonly string[] = [
  ...["abuse", "admin", "administrator", "helpdesk", "hostmaster", "info", "mailer-daemon", "moderator", "noreply"],
  ...["no-reply", "operator", "postmaster", "root", "security", "server", "support", "sysadmin", "system", "webmaster"],
  "xmpp",
];

export const reservedNames = property("firekeeper.register.reserved-names", {
  schema: list((word) => word.toLowerCase()),
  default: reservedByDefault,
  impact: "live",
  doc: "Names that nobody can give himself, and none that looks like them; an admin's invitation for a name may.",
});

export const lookAlikes = property("firekeeper.register.look-alikes", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether somebody may take a name that looks like one that is taken: b0b beside bob, or the same in other letters.",
  weakens: (on) => (on ? "People can take names that look like those of others." : undefined),
});

export const quarantineDays = property("firekeeper.register.quarantine-days", {
  schema: integer(0, 36_500),
  default: 30,
  impact: "live",
  doc: "Days for which nobody gets the name of an account that was given up or removed, so that nobody is taken for its owner.",
});

/** Only a mark made with a key of this home: whose account was erased is not listed anywhere. */
export const formerNamesMigration = {
  name: "0096_former-names",
  sql: "CREATE TABLE former_name (mark BLOB PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;",
};
const allFormer = read<[], { mark: Uint8Array; until: number }>("SELECT mark, until FROM former_name");
const putFormer = write<[mark: Buffer, until: number]>(
  "INSERT INTO former_name (mark, until) VALUES (?, ?) ON CONFLICT DO UPDATE SET until = excluded.until",
);
const dropFormer = write<[now: number]>("DELETE FROM former_name WHERE until <= ?");

const dayMs = 24 * 3600_000;
const longestName = 64;

export interface NewNames {
  readonly ready: Promise<unknown>;
  /** Why a prepared name is not to be had; undefined: it is free. `named`: an admin chose it for somebody. */
  refused(served: number, name: string, named: boolean): "name-taken" | "no-name" | undefined;
  /** Nobody gets the name for some time; rows for the commit that removes the account. */
  quarantine(account: Account): Write[];
}

export function newNames(core: Core): NewNames {
  const { accounts, clock, names, properties } = core;
  const key = core.keyFor("former names");
  const former = new Map<string, number>();
  const markOf = (served: number, name: string) => createHmac("sha256", key).update(`${served} ${name}`).digest();
  const ready = core.storage.read(allFormer).then((rows) => {
    for (const { mark, until } of rows) former.set(Buffer.from(mark).toString("base64"), until);
  });
  core.every(3600_000, () => {
    const now = clock.now();
    let gone = 0;
    for (const [mark, until] of former) if (until <= now && former.delete(mark)) gone++;
    if (gone > 0) core.storage.commit([dropFormer.with(now)]);
  });

  /** Names by what they look like, of all domains; as it was at a version of the accounts. */
  const looks = new Map<string, Set<string>>();
  let seen = -1;
  function catchUp(): void {
    if (seen === accounts.version) return;
    const changed = seen === -1 ? undefined : accounts.changedSince(seen);
    if (changed === undefined) looks.clear();
    for (const name of changed ?? Array.from(accounts.all(), (account) => account.name)) {
      const look = skeleton(name);
      const alike = looks.get(look) ?? new Set<string>();
      if (names.served.some(({ id }) => accounts.get(id, name) !== undefined)) looks.set(look, alike.add(name));
      else if (alike.delete(name) && alike.size === 0) looks.delete(look);
    }
    seen = accounts.version;
  }

  function looksLikeAnother(served: number, name: string): boolean {
    catchUp();
    return [...(looks.get(skeleton(name)) ?? [])].some((other) => accounts.get(served, other) !== undefined);
  }

  function isReserved(name: string): boolean {
    const look = skeleton(name);
    return properties.get(reservedNames).some((word) => skeleton(word) === look);
  }

  return {
    ready,
    refused(served, name, named) {
      if ([...name].length > longestName) return "no-name";
      // Former names of people and names of disabled accounts lead to their bearers still.
      if (accounts.get(served, name) !== undefined) return "name-taken";
      if (named) return undefined;
      if ((former.get(markOf(served, name).toString("base64")) ?? 0) > clock.now()) return "name-taken";
      if (isReserved(name)) return "name-taken";
      return !properties.get(lookAlikes) && looksLikeAnother(served, name) ? "name-taken" : undefined;
    },
    quarantine({ served, name }) {
      const days = properties.get(quarantineDays);
      if (days === 0) return [];
      const mark = markOf(served, name);
      const until = clock.now() + days * dayMs;
      former.set(mark.toString("base64"), until);
      return [putFormer.with(mark, until)];
    },
  };
}
