import { parseCredentials } from "../../auth/keys.ts";
import type { Account } from "../../routing/accounts.ts";
import { localpartOf } from "../../stream/login.ts";
import type { Core } from "../module.ts";

/**
 * Whose account it is, by name and password; failures count together with those of all other ways in. Names that do not
 * exist take the same time.
 */
export async function owner(
  core: Core,
  given: { readonly name: string; readonly password: string; readonly remote: string },
): Promise<Account | "wrongLogin" | "tooMany" | "busy"> {
  const { accounts, clock, names, passwords, slowDown } = core;
  const typed = given.name.trim().slice(0, 512);
  const name = localpartOf({ names }, names.primary.name, typed);
  const attempt = slowDown.attempt({ account: name ?? typed, address: given.remote });
  if (attempt.is === "refused") return "tooMany";
  if (attempt.waitMs > 0) await new Promise<void>((resolve) => clock.after(attempt.waitMs, resolve));
  const account = name === undefined ? undefined : accounts.get(names.primary.id, name);
  const keys = account && (await accounts.credentials(account));
  const known = keys && { ...keys, credentials: parseCredentials(keys) };
  const verdict = await passwords.judge(account?.name ?? name ?? typed, known, given.password);
  if (verdict === "busy" || verdict === "unavailable" || verdict === "throttled") return "busy";
  if (verdict === "right" && account?.enabled === true && !account.probe) {
    attempt.succeeded();
    return account;
  }
  attempt.failed();
  core.report.loginFailed({
    name: account?.name,
    remote: given.remote,
    mechanism: "page",
    condition: "not-authorized",
  });
  return "wrongLogin";
}
