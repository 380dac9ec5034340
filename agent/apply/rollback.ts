/** A former revision as something to want again: settings, groups and supervisors; never credentials. docs/settings.md. */
import type { Desired } from "../desired/desired.ts";
import type { Notice } from "../errors.ts";
import type { PlanInput } from "../plan/plan.ts";
import type { ActualState } from "../target/target.ts";
import { contentOf, type RevisionState } from "./revision-state.ts";

/**
 * What to plan in order to return to `state`. Accounts stay as the server has them, keys and secrets always do.
 * With `accounts`, those that the revision had in use and that were removed or disabled since come back.
 */
export function returnTo(
  state: RevisionState,
  actual: ActualState,
  options: { accounts: boolean },
): { desired: Desired } & Pick<PlanInput, "leave" | "keepCredentials"> {
  const { settings, groups, contacts, supervisors, accounts } = contentOf(state);
  const notices: Notice[] = [];
  const wanted = [];
  const gone: string[] = [];
  for (const one of actual.accounts) {
    if (one.origin !== "host") continue;
    const former = accounts.get(one.name);
    const back = former?.enabled === true && (!one.enabled || one.keptUntil !== undefined);
    if (back && !options.accounts) gone.push(one.name);
    if (one.keptUntil !== undefined && !(back && options.accounts)) continue;
    const { name, id, displayName, email, aliases } = one;
    wanted.push({ name, id, displayName, email, aliases, enabled: one.enabled || (back && options.accounts) });
  }
  if (gone.length > 0) {
    notices.push({
      code: "plan/stays-removed",
      message: `Removed or disabled since and staying so: ${gone.sort().slice(0, 20).join(", ")}${gone.length > 20 ? ` and ${gone.length - 20} more` : ""}.`,
      hint: "firekeeper rollback --accounts brings them back.",
    });
  }
  const secrets = actual.settings.properties.filter((one) => one.secret).map((one) => `property:${one.key}`);
  return {
    desired: {
      state: { settings, groups, contacts, supervisors, accounts: wanted },
      domainFrom: "store",
      rejections: [],
      notices,
    },
    leave: new Set(secrets),
    keepCredentials: true,
  };
}
