import type { Account } from "../../routing/accounts.ts";
import type { Core } from "../module.ts";
import { type SharedContact, sharedContacts, type Visibility } from "../points.ts";
import { contactAccount, contactOf, type Item, type Rosters } from "./rosters.ts";

/** Who sees whose presence: own subscriptions and shared groups together. */
export function rosterVisibility(core: Core, rosters: Rosters, active: () => boolean): Visibility {
  const { accounts } = core;
  const showing = new Set(["from", "both"]);
  const seeing = new Set(["to", "both"]);

  function* linked(account: Account, wanted: ReadonlySet<string>, who?: "all"): IterableIterator<Account> {
    if (!active()) return;
    const items = rosters.get(account)?.items;
    const sharing = core.offered(sharedContacts)[0];
    for (const item of items?.values() ?? []) {
      if (!wanted.has(item.subscription)) continue;
      const other = contactAccount(accounts, account, item.contact);
      if (other !== undefined) yield other;
    }
    const shown = who === "all" ? sharing?.contactsOf(account) : sharing?.onlineContactsOf(account);
    for (const shared of shown ?? []) {
      if (!wanted.has(shared.subscription)) continue;
      const own = items?.get(contactOf(shared.account));
      if (own === undefined || !wanted.has(own.subscription)) yield shared.account;
    }
  }

  function link(account: Account, other: Account): { own: Item | undefined; shared: SharedContact | undefined } {
    return {
      own: rosters.get(account)?.items.get(contactOf(other)),
      shared: core.offered(sharedContacts)[0]?.contact(account, other),
    };
  }

  function has(account: Account, other: Account, wanted: ReadonlySet<string>): boolean {
    if (!active()) return false;
    const { own, shared } = link(account, other);
    return wanted.has(own?.subscription ?? "none") || wanted.has(shared?.subscription ?? "none");
  }

  function* outside(account: Account, wanted: ReadonlySet<string>): IterableIterator<string> {
    const mine = active() ? rosters.get(account) : undefined;
    for (const contact of mine?.outside ?? [])
      if (wanted.has(mine?.items.get(contact)?.subscription ?? "none")) yield contact;
  }

  return {
    outsideWatchers: (account) => outside(account, showing),
    outsideWatched: (account) => outside(account, seeing),
    load(account) {
      return rosters.get(account) === undefined ? rosters.load(account).then(() => undefined) : undefined;
    },
    watchers: (account) => linked(account, showing),
    watched: (account, who) => linked(account, seeing, who),
    shows: (account, other) => has(account, other, showing),
    sees: (account, other) => has(account, other, seeing),
    groups(account, other) {
      const { own, shared } = link(account, other);
      return [...(own?.groups ?? []), ...(shared?.groups ?? [])];
    },
  };
}
