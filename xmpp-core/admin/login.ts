import { parseCredentials } from "../auth/keys.ts";
import { CodedError } from "../errors.ts";
import type { Account } from "../routing/accounts.ts";
import { localpartOf } from "../stream/login.ts";
import type { AdminParts } from "./parts.ts";

/**
 *  name             | password | answer
 *  -----------------|----------|------------------------------------------------------------
 *  the admin's      | right    | the account
 *  the admin's      | wrong    | admin/wrong-login (401)
 *  any other, known | any      | admin/not-admin (403): whether the password is right is not said
 *    or not
 *
 * The work is the same in each row: one look at the stored keys, one derivation. Throws the codes above, and
 * admin/too-many-failures or auth/busy.
 */
export async function checkLogin(
  parts: AdminParts,
  given: { user: string; password: string; remote: string },
): Promise<Account> {
  const { names, accounts, rights, auth, clock, report } = parts;
  const name = localpartOf({ names }, names.primary.name, given.user.trim());
  const attempt = auth.slowDown.attempt({ account: name ?? given.user, address: given.remote });
  if (attempt.is === "refused") {
    report.adminLoginFailed({ remote: given.remote });
    throw new CodedError("admin/too-many-failures", "Too many failed logins. Wait a minute, then try again.");
  }
  if (attempt.waitMs > 0) await new Promise<void>((resolve) => clock.after(attempt.waitMs, resolve));

  const admin = accounts.byId(rights.admin() ?? -1);
  const keys = admin && (await accounts.credentials(admin));
  const isAdmin = admin !== undefined && admin.name === name;
  const known = isAdmin && keys ? { ...keys, credentials: parseCredentials(keys) } : undefined;
  const verdict = await auth.passwords.judge(name ?? given.user, known, given.password);
  if (verdict === "busy") throw new CodedError("auth/busy", "Too many passwords wait to be checked.");
  if (verdict === "unavailable" || verdict === "throttled")
    throw new CodedError("admin/no-verdict", "The directory that knows the passwords gives no answer.", {
      hint: "Try again in a minute; the server's log says why.",
    });
  const right = verdict === "right" && admin?.enabled === true;

  // The right may have gone while the password was checked.
  if (isAdmin && right && rights.isAdmin(admin.id)) {
    attempt.succeeded();
    report.adminLoggedIn({ name: admin.name, remote: given.remote });
    return admin;
  }
  attempt.failed();
  report.adminLoginFailed({ remote: given.remote });
  if (isAdmin) throw new CodedError("admin/wrong-login", "Name or password is wrong.");
  throw notAdmin();
}

export function notAdmin(): CodedError {
  return new CodedError("admin/not-admin", "Only the admin of this service may enter.", {
    hint: "The setting sys.xmpp.adminuser says who that is.",
  });
}
