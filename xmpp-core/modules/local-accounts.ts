/** Accounts that belong to the server, not to the host: made and removed over the chat protocol, by their owner or an admin. */

import type { Account } from "../routing/accounts.ts";
import type { Served } from "../routing/names.ts";
import type { Write } from "../storage/statement.ts";
import type { Core } from "./module.ts";
import { hashOfOwn, keysOf, stored } from "./own-password.ts";

export interface LocalFacts {
  /** The prepared localpart. */
  readonly name: string;
  readonly displayName?: string | undefined;
  readonly email?: string | undefined;
}

/** Rows that belong into the commit that makes an account. */
interface Also {
  readonly writes: readonly Write[];
  undo(): void;
}
const nothingElse: Also = { writes: [], undo: () => undefined };

/**
 * Makes an account whose password `badPassword` found nothing wrong with. `taken`: somebody bears the name or once bore
 * it, or it is the admin's, which nobody may take while it is free. `also`: what is committed with it; undefined: it may
 * not be made after all.
 */
export async function makeLocal(
  core: Core,
  served: Served,
  { name, displayName, email }: LocalFacts,
  password: string,
  also: (account: Account) => Also | undefined = () => nothingElse,
): Promise<Account | "taken" | "not-stored" | "refused"> {
  const { accounts } = core;
  const keys = await keysOf(core, password);
  // Former names of people and names of disabled accounts lead to their bearers still.
  if (accounts.get(served.id, name) !== undefined) return "taken";
  const { result, undo } = accounts.tentatively(() => {
    const facts = { name, hostId: undefined, displayName, email, enabled: true };
    const now = core.clock.now();
    const made = accounts.create(served, { ...facts, origin: "local", keptUntil: undefined, probe: false }, now);
    return {
      account: made.account,
      writes: [...made.writes, ...accounts.setCredentials(made.account, keys, hashOfOwn(core))],
    };
  });
  if (core.rights.isAdmin(result.account.id)) {
    undo();
    return "taken";
  }
  const more = also(result.account);
  if (more === undefined) {
    undo();
    return "refused";
  }
  if (!(await stored(core, [...result.writes, ...more.writes]))) {
    more.undo();
    undo();
    return "not-stored";
  }
  for (const handlers of core.accountHandlers()) handlers.created?.(result.account);
  return result.account;
}

/** The account and everything that was kept for it is gone; its sessions are the caller's business. False: the disk does not take it. */
export async function eraseLocal(core: Core, account: Account): Promise<boolean> {
  const ofModules = core.accountHandlers().flatMap((handlers) => handlers.removed?.(account) ?? []);
  const { result, undo } = core.accounts.tentatively(() => core.accounts.remove(account));
  if (await stored(core, [...ofModules, ...result])) return true;
  undo();
  return false;
}

/** Ends every session of the account but one. */
export function endSessionsOf(core: Core, account: Account, why: string, but?: Account["sessions"][number]): void {
  for (const session of [...account.sessions]) {
    if (session === but) continue;
    if (session.carrier !== undefined) session.carrier.end("not-authorized", why);
    else core.sessions.end(session, "ended");
  }
}
