import type { Account } from "../routing/accounts.ts";

/** Runs work on one person's data one after the other, in the order of the calls. */
export type AccountTurns = <T>(account: Account, work: () => Promise<T>) => Promise<T>;

export function accountTurns(): AccountTurns {
  const last = new Map<number, Promise<unknown>>();
  return (account, work) => {
    const before = last.get(account.id) ?? Promise.resolve();
    const now = before.then(work, work);
    last.set(account.id, now);
    const forget = (): void => {
      if (last.get(account.id) === now) last.delete(account.id);
    };
    now.then(forget, forget);
    return now;
  };
}
