/** An account is given up by its owner: one of the server's is erased, one of the host's is removed from the host store. */
import { CodedError } from "../errors.ts";
import { notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { enumeration } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import { endSessionsOf, eraseLocal } from "./local-accounts.ts";
import type { Core } from "./module.ts";
import { stored } from "./own-password.ts";

export const removal = property("firekeeper.register.removal", {
  schema: enumeration("none", "local", "all"),
  default: "local",
  impact: "live",
  doc: "Who may give up his own account: nobody, those whose account belongs to the server, or all; a user of the host is then removed from the host store, if that takes it.",
  weakens: (who) => (who === "all" ? "Users can remove themselves from the host's store." : undefined),
});

const dayMs = 24 * 3600_000;
const gone = "The account was given up.";

const hostOwned = stanzaError("not-allowed", {
  text: "This account belongs to the host application that manages the users: remove it there.",
});

/** Why the owner cannot give it up here; undefined: he can. */
export function removalRefused(core: Core, account: Account): StanzaError | undefined {
  const who = core.properties.get(removal);
  if (account.probe || who === "none")
    return stanzaError("not-allowed", { text: "Accounts are not given up here; ask the administrator." });
  if (account.origin === "local") return undefined;
  return who === "all" && core.hostPasswords.removes() ? undefined : hostOwned;
}

/** Its sessions end; the one who asks, if it is one of them, hears the answer first. */
export async function giveUpAccount(core: Core, account: Account, by?: Session): Promise<StanzaError | undefined> {
  const refused = removalRefused(core, account);
  if (refused !== undefined) return refused;
  if (account.origin === "host") {
    const failed = await removeAtHost(core, account);
    if (failed !== undefined) return failed;
    endSessionsOf(core, account, gone, by);
  } else {
    endSessionsOf(core, account, gone, by);
    if (!(await eraseLocal(core, account))) return notStored;
  }
  core.report.unregistered({ name: account.name });
  if (by !== undefined) setImmediate(() => endSessionsOf(core, account, gone));
  return undefined;
}

/** As an apply does with a user whom the host no longer has; in manual mode that may come much later. */
async function shut(core: Core, account: Account, keepDays: number): Promise<StanzaError | undefined> {
  if (account.keptUntil !== undefined) return undefined;
  const before = { enabled: account.enabled, barred: account.barred, keptUntil: account.keptUntil };
  Object.assign(account, { enabled: false, barred: false, keptUntil: core.clock.now() + keepDays * dayMs });
  const { result, undo } = core.accounts.tentatively(() => core.accounts.save(account));
  if (!(await stored(core, result))) {
    undo();
    Object.assign(account, before);
    return notStored;
  }
  for (const handlers of core.accountHandlers()) handlers.changed?.(account);
  return undefined;
}

async function removeAtHost(core: Core, account: Account): Promise<StanzaError | undefined> {
  try {
    const keepDays = await core.hostPasswords.remove(account.name);
    return await shut(core, account, keepDays);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    core.report.accountNotRemoved({ name: account.name, code: error.code });
    if (error.code === "store/read-only" || error.code === "removal/unknown-user") return hostOwned;
    return stanzaError("resource-constraint", {
      text: "The host application did not remove the account. Try again later.",
    });
  }
}
