/** Who supervises, one line for each who gains or loses the right. */
import type { AccountsPlan } from "./accounts.ts";
import { hostAccounts } from "./groups.ts";
import type { PlanInput, PlanPart } from "./plan.ts";
import type { PlannedChange } from "./types.ts";

/**
 *  in a supervisor role | server             | in the plan
 *  ---------------------|--------------------|-------------------------
 *  yes                  | supervisor         | nothing
 *  yes                  | not                | grant
 *  no                   | supervisor         | revoke
 *  yes, account waits   | anything           | no right: a local account of that name may be somebody else
 */
export function planSupervisors(input: PlanInput, accounts: AccountsPlan): PlanPart {
  const standing = new Set(input.actual.supervisors.map((name) => accounts.renamed.get(name) ?? name));
  const wanted = new Set([
    ...hostAccounts(input.desired.state.supervisors, accounts).filter((name) => !accounts.unsettled.has(name)),
    ...[...standing].filter((name) => accounts.unsettled.has(name)),
  ]);
  const change = (name: string, grant: boolean): PlannedChange => ({
    subject: `supervisor ${name}`,
    action: grant ? "grant" : "revoke",
    from: grant ? null : name,
    to: grant ? name : null,
    impact: "live",
    source: "roles: xmpp.supervisor",
    scope: "roster",
    steps: [{ kind: "supervisor", name, grant }],
    removes: [],
  });
  return {
    changes: [
      ...[...wanted].filter((name) => !standing.has(name)).map((name) => change(name, true)),
      ...[...standing].filter((name) => !wanted.has(name)).map((name) => change(name, false)),
    ],
    rejected: [],
    notices: [],
  };
}
