/** Who is admin, and that there always stays one. */
import type { Rejection } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import { type AccountsPlan, planAccounts } from "./accounts.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import { settingChange } from "./settings.ts";

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
  const works = (name: string) => accounts.after.get(name)?.enabled === true;
  const wanted = answer?.value ?? undefined;
  const refused = given !== undefined && (wanted === undefined || !works(wanted));
  const already = input.desired.rejections.some(
    (one) => one.subject.kind === "setting" && one.subject.name === "admin",
  );
  // Whoever is admin after this plan must still be able to log in, if that person is now.
  const stays = refused || already || given === undefined;
  const admin = given === undefined && !already ? "admin" : (standing.value ?? "admin");
  const moves = !works(admin) || accounts.renamed.has(admin);
  const saved = stays && moves && (standing.value ?? "admin") === admin && worksNow(input, admin);
  const settled = saved ? planAccounts(input, admin) : accounts;
  const change =
    refused || already
      ? undefined
      : settingChange(
          "admin",
          given === undefined ? undefined : answer,
          { ...standing, secret: false },
          answer?.impact ?? "live",
        );
  const nobody = given === undefined && !already && !saved && !works("admin");
  return {
    accounts: settled,
    changes: [...settled.changes, ...(change ? [change] : [])],
    rejected: [
      ...settled.rejected,
      ...(refused ? [refusal(given, answer?.rejected, wanted !== undefined && accounts.after.has(wanted))] : []),
      ...(saved ? [lastAdminStays(admin)] : []),
    ],
    notices: [...settled.notices, ...(nobody ? [nobodyIsAdmin] : [])],
  };
}

const nobodyIsAdmin: Notice = {
  code: "settings/no-admin",
  message: "Nobody may use the console: sys.xmpp.adminuser is not set and there is no user admin.",
  hint: "Set sys.xmpp.adminuser to the name of a user.",
};

function worksNow(input: PlanInput, name: string): boolean {
  return input.actual.accounts.some(
    (one) => one.name === name && one.origin === "host" && one.enabled && one.keptUntil === undefined,
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
