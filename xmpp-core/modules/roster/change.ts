import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Core } from "../module.ts";
import type { Rosters } from "./rosters.ts";

/**
 * One unit of roster changes on its way to disk: rows, the accounts whose memory they concern, and what is told
 * afterwards, in this order: stanzas, pushes, presence.
 */
export interface Change {
  readonly writes: Write[];
  readonly touched: Set<Account>;
  readonly stanzas: (() => void)[];
  /** By account, the contacts to push, each once. */
  readonly pushes: Map<Account, Set<string>>;
  readonly flows: (() => void)[];
}

export function newChange(): Change {
  return { writes: [], touched: new Set(), stanzas: [], pushes: new Map(), flows: [] };
}

export function pushLater(change: Change, account: Account, contact: string): void {
  const contacts = change.pushes.get(account) ?? new Set();
  change.pushes.set(account, contacts.add(contact));
}

/**
 * Commits the change with the session's counter, then tells it; nothing is told of what is not on disk. Resolves to an
 * error when it could not be written: then memory is read from disk again.
 */
export async function settle(
  core: Core,
  rosters: Rosters,
  change: Change,
  session: Session | undefined,
  push: (account: Account, contacts: Iterable<string>) => void,
): Promise<StanzaError | undefined> {
  let refused = false;
  if (change.writes.length > 0) {
    const ticket = core.sessions.commit(session, change.writes, () => {
      refused = true;
    });
    await core.storage.settled(ticket).catch(() => {
      refused = true;
    });
  }
  if (refused) {
    for (const account of change.touched) rosters.forget(account);
    return stanzaError("resource-constraint", {
      text: "The server cannot store contacts at the moment. Please try again later.",
    });
  }
  for (const tell of change.stanzas) tell();
  for (const [account, contacts] of change.pushes) push(account, contacts);
  for (const flow of change.flows) flow();
  return undefined;
}
