import type { Jid } from "../jid/jid.ts";
import type { Core } from "./module.ts";

/** An address as lists keep it: relative to its domain, and of a person the one that is seen, whichever was written. */
export function storedAddress({ names, accounts }: Pick<Core, "names" | "accounts">, address: Jid): string {
  const place = names.locate(address);
  const account = place.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
  return names.relative(account === undefined ? address : { ...address, local: account.name });
}

/** The stored address under another local part; undefined: it does not name that person. `renamed("bob@/desk", "bob", "rob")` is `rob@/desk`. */
export function renamed(stored: string, before: string, now: string): string | undefined {
  if (stored !== `${before}@` && !stored.startsWith(`${before}@/`)) return undefined;
  return now + stored.slice(before.length);
}
