import type { Core } from "../module.ts";
import { type RosterFacts, sharedContacts } from "../points.ts";
import { contactAccount, type Rosters } from "./rosters.ts";
import { shownContact } from "./shown.ts";

/** What contact lists say of an address, for modules that decide by it. */
export function factsOf(core: Core, rosters: Rosters, active: () => boolean): RosterFacts {
  const { names, accounts } = core;
  return {
    hold(account) {
      rosters.hold(account)?.catch((error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }));
    },
    contact(account, other) {
      if (!active()) return undefined;
      const contact = names.relative({ ...other, resource: "" });
      const item = rosters.get(account)?.items.get(contact);
      const place = names.locate(other);
      const known =
        place.at === "account" ? accounts.get(place.served.id, place.name) : contactAccount(accounts, account, contact);
      const shared = known && known !== account ? core.offered(sharedContacts)[0]?.contact(account, known) : undefined;
      return shownContact(item, shared);
    },
  };
}
