import type { Accounts } from "../routing/accounts.ts";
import { read, type Write, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

const allSupervisors = read<[], { account: number }>("SELECT account FROM supervisor");
const putSupervisor = write<[number]>("INSERT OR REPLACE INTO supervisor (account) VALUES (?)");
const dropSupervisor = write<[number]>("DELETE FROM supervisor WHERE account = ?");

/** Who may do what others may not. docs/settings.md: `sys.xmpp.adminuser` and role type `xmpp.supervisor`. */
export interface RightsTable {
  isAdmin(accountId: number): boolean;
  isSupervisor(accountId: number): boolean;
  supervisors(): IterableIterator<number>;
  /** A use of rights that belongs into the agent's journal. */
  used(who: string, what: string, on: string): void;
  onUsed(listener: (use: { who: string; what: string; on: string }) => void): void;
  /** Told who lost the role, or the admin's rights. */
  onLost(listener: (accountId: number) => void): void;
  /** The row for the caller's transaction, and what to call once it is on disk. */
  grant(accountId: number, granted: boolean): { readonly write: Write; readonly enter: () => void };
  /** The admin's name changed: told to those who must know at once. */
  adminChanged(before: number | undefined): void;
  admin(): number | undefined;
}

export async function openRights(
  storage: Storage,
  parts: { accounts: Accounts; settings: Settings; served: () => number },
): Promise<RightsTable> {
  const supervisors = new Set((await storage.read(allSupervisors)).map((row) => row.account));
  const onLost = new Set<(accountId: number) => void>();
  const onUsed = new Set<(use: { who: string; what: string; on: string }) => void>();
  const admin = (): number | undefined => {
    const account = parts.accounts.get(parts.served(), parts.settings.get("admin") ?? "admin");
    return account?.enabled === true && !account.probe ? account.id : undefined;
  };
  return {
    admin,
    isAdmin: (id) => admin() === id,
    isSupervisor: (id) => supervisors.has(id),
    supervisors: () => supervisors.values(),
    used(who, what, on) {
      for (const listener of onUsed) listener({ who, what, on });
    },
    onUsed: (listener) => void onUsed.add(listener),
    onLost: (listener) => void onLost.add(listener),
    grant: (id, granted) => ({
      write: granted ? putSupervisor.with(id) : dropSupervisor.with(id),
      enter() {
        if (granted) supervisors.add(id);
        else if (supervisors.delete(id)) for (const listener of onLost) listener(id);
      },
    }),
    adminChanged(before) {
      if (before !== undefined && before !== admin()) for (const listener of onLost) listener(before);
    },
  };
}
