/** Who is admin, and that there always stays one. */
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import { type AccountsPlan, afterwards } from "./accounts.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import { settingChange } from "./settings.ts";
import type { PlannedChange } from "./types.ts";

/** The accounts' changes come out of here: the last working admin is never removed, whatever the store says. */
export interface AdminPlan extends PlanPart {
  readonly accounts: AccountsPlan;
}

/**
 *  sys.xmpp.adminuser | that account afterwards   | in the plan
 *  -------------------|---------------------------|---------------------------------------------------------
 *  name               | may log in                | set, or nothing when it is so already
 *  name               | missing, disabled         | rejected; who is admin stays, and so does that account
 *  rejected text      | —                         | who is admin stays, and so does that account
 *  absent             | `admin` may log in        | unset, or nothing
 *  absent             | no such, `admin` was it   | the account `admin` stays: it is the last
 *  absent             | no such                   | unset, or nothing, with a notice: nobody is admin
 */
export function planAdmin(input: PlanInput, accounts: AccountsPlan): AdminPlan {
  const { admin: standing } = input.actual.settings;
  const given = input.desired.state.settings.admin;
  const answer = input.canonical.settings.find((one) => one.setting === "admin");
  const already = input.desired.rejections.some(
    (one) => one.subject.kind === "setting" && one.subject.name === "admin",
  );
  const now = standing.value ?? "admin";
  // A former name is an alias, unless somebody else bears it now.
  const bearer = (name: string) => (accounts.after.has(name) ? name : (accounts.renamed.get(name) ?? name));
  const works = (name: string) => accounts.after.get(bearer(name))?.enabled === true;
  const rejected: Rejection[] = [];
  const notices: Notice[] = [];
  const changes: PlannedChange[] = [];
  const wanted = answer?.value ?? undefined;
  const refused = given !== undefined && (wanted === undefined || !works(wanted));
  if (refused) rejected.push(refusal(given, answer?.rejected, wanted !== undefined && accounts.after.has(wanted)));
  const stays = already || refused;
  if (!stays) {
    const change = settingChange(
      "admin",
      given === undefined ? undefined : answer,
      { ...standing, secret: false },
      answer?.impact ?? "live",
    );
    if (change) changes.push(change);
    if (given === undefined && !works("admin") && !workedBefore(input, "admin")) {
      notices.push({
        code: "settings/no-admin",
        message: "Nobody may use the console: sys.xmpp.adminuser is not set and there is no user admin.",
        hint: "Set sys.xmpp.adminuser to the name of a user.",
      });
    }
  }
  // Whoever is admin after this plan must still be able to log in, if that person is now.
  const lastAdmin = stays ? now : given === undefined ? "admin" : undefined;
  const isProtected =
    lastAdmin !== undefined && !works(lastAdmin) && (stays || now === "admin") && workedBefore(input, lastAdmin);
  if (!isProtected)
    return {
      accounts,
      changes: [...accounts.changes, ...changes],
      rejected: [...accounts.rejected, ...rejected],
      notices: [...accounts.notices, ...notices],
    };
  const kept = accounts.changes.filter((change) => !takesAway(change, lastAdmin));
  return {
    accounts: { ...accounts, changes: kept, after: afterwards(input.actual.accounts, kept) },
    changes: [...kept, ...changes],
    rejected: [...accounts.rejected, ...rejected, lastAdminStays(lastAdmin)],
    notices: [...accounts.notices, ...notices],
  };
}

function workedBefore(input: PlanInput, name: string): boolean {
  return input.actual.accounts.some(
    (one) => one.name === name && one.origin === "host" && one.enabled && one.keptUntil === undefined,
  );
}

function takesAway(change: PlannedChange, name: string): boolean {
  return change.steps.some(
    (step) =>
      (step.kind === "account-remove" && step.name === name) ||
      (step.kind === "account-set" && step.account.name === name && !step.account.enabled),
  );
}

function refusal(
  given: string,
  reason: { code: string; rule: string; hint: string } | undefined,
  exists: boolean,
): Rejection {
  return {
    code: reason?.code ?? (exists ? "settings/admin-disabled" : "settings/admin-missing"),
    subject: { kind: "setting", name: "admin" },
    key: "sys.xmpp.adminuser",
    value: given,
    rule: reason?.rule ?? "the name of an enabled user of the host",
    hint: reason?.hint ?? "The former admin keeps the rights until then.",
  };
}

function lastAdminStays(name: string): Rejection {
  return {
    code: "plan/last-admin",
    subject: { kind: "account", name },
    key: `users: ${name}`,
    value: name,
    rule: "the last admin is never removed or disabled",
    hint: "Name another user in sys.xmpp.adminuser first.",
  };
}
