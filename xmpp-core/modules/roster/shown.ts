import type { Accounts } from "../../routing/accounts.ts";
import type { Names } from "../../routing/names.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { SharedContact, SharedContacts } from "../points.ts";
import { contactAccount, contactOf, type Item, type Roster } from "./rosters.ts";

/** A contact as the user's clients see it: his own item, a shared contact, or both in one. */
export interface Shown extends Omit<Item, "version"> {
  /** A shared group shows it: it cannot be removed. */
  readonly shared: boolean;
}

/**
 *  own item | shared contact | shown
 *  ---------|----------------|-------------------------------------------------------------------------------
 *  yes      | none, or from  | the own item
 *  none     | none, or from  | nothing
 *  none     | to, both       | the shared one, under the contact's display name
 *  yes      | to, both       | subscription both, own name and groups, the shared groups added (openfire)
 */
export function shownContact(item: Item | undefined, shared: SharedContact | undefined): Shown | undefined {
  if (shared === undefined || shared.subscription === "from") return item && { ...item, shared: false };
  const own = item?.groups ?? [];
  return {
    contact: item?.contact ?? contactOf(shared.account),
    name: item?.name ?? shared.label,
    subscription: item === undefined ? shared.subscription : "both",
    ask: false,
    approved: item?.approved ?? false,
    groups: [...own, ...shared.groups.filter((group) => !own.includes(group))],
    shared: true,
  };
}

/** Every contact of an account, in no particular order. */
export function* everyShown(
  roster: Roster,
  accounts: Accounts,
  sharing: SharedContacts | undefined,
): IterableIterator<Shown> {
  const { account, items } = roster;
  for (const item of items.values()) {
    const other = contactAccount(accounts, account, item.contact);
    const shown = shownContact(item, other && sharing?.contact(account, other));
    if (shown !== undefined) yield shown;
  }
  for (const shared of sharing?.contactsOf(account) ?? []) {
    if (items.has(contactOf(shared.account))) continue;
    const shown = shownContact(undefined, shared);
    if (shown !== undefined) yield shown;
  }
}

/** The `<item/>` as somebody under `view` sees it. RFC 6121 §2.1.2 */
export function itemElement(names: Names, shown: Shown, view: string): Xml {
  return x(
    "item",
    {
      jid: names.absolute(shown.contact, view),
      name: shown.name,
      subscription: shown.subscription,
      ask: shown.ask ? "subscribe" : undefined,
      approved: shown.approved ? "true" : undefined,
    },
    ...shown.groups.map((group) => x("group", {}, text(group))),
  );
}
