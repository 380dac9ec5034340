/** What a snapshot asks of the server: pure, one file per part of the settings contract. docs/settings.md. */
import type { DesiredState } from "../../xmpp-core/control/contract.ts";
import type { Notice } from "../errors.ts";
import type { Snapshot } from "../store/host-store.ts";
import { wantedAccounts } from "./accounts.ts";
import { allowedUsers } from "./allowed.ts";
import { wantedGroups, wantedSupervisors } from "./roles.ts";
import { wantedSettings } from "./settings.ts";
import { wantedContacts } from "./teams.ts";

/** One thing the host asks for that is not done, and why. What is in force for `subject` stays in force. */
export interface Rejection {
  /** Stable, as in errors: `settings/not-yet`. */
  readonly code: string;
  /** `setting` is named as in the contract (`domain`, `external-address`, `property:KEY`), all else as the host writes it. */
  readonly subject: { readonly kind: "setting" | "account" | "group" | "contact"; readonly name: string };
  /** The host's key or name, for people: `sys.xmpp.externalip`, `users: Olsen`. */
  readonly key: string;
  readonly value: string;
  readonly rule: string;
  readonly hint: string;
}

export interface Desired {
  /** Without everything that is rejected: the plan leaves a rejection's subject alone instead of removing it. */
  readonly state: DesiredState;
  /** Who named the domain. Only `store` may change the domain of a service that has run. */
  readonly domainFrom: "store" | "instance" | "default";
  readonly rejections: readonly Rejection[];
  readonly notices: readonly Notice[];
  /** Whose a settings key is that the store does not set itself. */
  readonly origins?: ReadonlyMap<string, string>;
  /** Where the external address is from when the host names one that is followed, and what it has been before. */
  readonly followed?: { readonly how: string; readonly former: readonly string[] };
}

/** One part's share of the result. */
export interface Part<T> {
  readonly wanted: T;
  readonly rejections: readonly Rejection[];
  readonly notices: readonly Notice[];
}

/**
 * Snapshot to desired state. `instance` is `FIREKEEPER_INSTANCE`, the domain of a store that names none.
 * Names and values stay as the host wrote them; the target's `canonical` gives the server's form.
 */
export function desired(snapshot: Snapshot, defaults: { readonly instance?: string | undefined }): Desired {
  const settings = wantedSettings(snapshot, defaults);
  const allowed = allowedUsers(snapshot);
  const accounts = wantedAccounts(snapshot.users, allowed.wanted);
  const groups = wantedGroups(snapshot);
  const contacts = wantedContacts(snapshot);
  const supervisors = wantedSupervisors(snapshot);
  const parts = [settings, allowed, accounts, groups, contacts, supervisors];
  return {
    state: {
      settings: settings.wanted,
      groups: groups.wanted,
      supervisors: supervisors.wanted,
      accounts: accounts.wanted,
      ...(contacts.wanted.length > 0 ? { contacts: contacts.wanted } : {}),
    },
    domainFrom: settings.domainFrom,
    ...(snapshot.origins ? { origins: snapshot.origins } : {}),
    rejections: parts.flatMap((part) => part.rejections),
    notices: [...snapshot.warnings, ...parts.flatMap((part) => part.notices)],
  };
}
