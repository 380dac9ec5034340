/** What the plan says about passwords and who may use them. docs/passwords.md. */
import { createHash } from "node:crypto";
import {
  type AccountWanted,
  type ActualAccount,
  type ActualSettings,
  canonicalPassword,
} from "../../xmpp-core/control/contract.ts";
import { allowedRoles } from "../desired/allowed.ts";
import type { Notice } from "../errors.ts";
import type { PlanInput } from "./plan.ts";

/** Whether the password is another one than the server has. */
export function passwordChanges(wanted: AccountWanted, now: ActualAccount): boolean {
  const text = canonicalPassword(wanted);
  const hash = text === undefined ? undefined : `sha256:${createHash("sha256").update(text).digest("hex")}`;
  return hash !== now.credentialsHash;
}

/** While the roles of `sys.xmpp.allowedroles` cannot be told, nobody is let in who was not, and nobody shut out. */
export function admission({ desired, actual }: PlanInput): (account: AccountWanted) => AccountWanted {
  const untold = desired.rejections.some(
    ({ subject }) => subject.kind === allowedRoles.kind && subject.name === allowedRoles.name,
  );
  if (!untold) return (account) => account;
  const standing = new Map(actual.accounts.map((one) => [one.name, one]));
  return (account) => {
    const now = standing.get(account.name);
    const shut = now === undefined || now.origin === "local" || now.keptUntil !== undefined || now.barred === true;
    return account.enabled && shut ? { ...account, enabled: false, barred: true } : account;
  };
}

/** Accounts without keys cost everybody SCRAM: that stands at the head of the plan, with their number. */
export function plainOnly(
  wanted: Iterable<AccountWanted>,
  actual: ReadonlyMap<string, ActualAccount>,
  standing: ActualSettings["passwords"],
): Notice[] {
  let hashed = 0;
  let unchanged = 0;
  let live = 0;
  for (const account of wanted) {
    if (!account.enabled) continue;
    if (account.passwordFrom !== undefined) live++;
    else if (account.credentials === undefined && account.passwordHash !== undefined) {
      hashed++;
      const now = actual.get(account.name);
      if (now?.enabled && !passwordChanges(account, now)) unchanged++;
    }
  }
  if (hashed + live === 0) return [];
  const without = hashed - Math.min(unchanged, standing?.derived ?? 0);
  const message = [
    ...(without > 0 ? [`${counted(without)} only a hash of the password; each login makes SCRAM keys of it.`] : []),
    ...(live > 0 ? [`${counted(live)} the password in a directory, which never gives keys.`] : []),
    ...(without + live === 0 ? [`All ${hashed} accounts whose password came as a hash have SCRAM keys now.`] : []),
    ...(standing?.plainAlone === false && unchanged + live > 0
      ? ["They need clients that try PLAIN beside SCRAM."]
      : ["Clients are offered PLAIN alone, over TLS."]),
  ].join(" ");
  const hint =
    without + live === 0
      ? "To offer SCRAM again set sys.xmpp.properties.firekeeper.sasl.plain-alone to never."
      : "See docs/passwords.md.";
  return [{ code: "plan/plain-only", message, hint }];
}

function counted(count: number): string {
  return count === 1 ? "1 account has" : `${count} accounts have`;
}
