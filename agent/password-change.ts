/** A password that its user changed in a client goes back to the host store and is in force at once. docs/passwords.md. */
import type { AccountWanted, ControlEvent } from "../xmpp-core/control/contract.ts";
import type { Agent } from "./agent.ts";
import { foldName } from "./desired/accounts.ts";
import { desired } from "./desired/desired.ts";
import { CodedError } from "./errors.ts";
import type { Parts } from "./reconcile.ts";
import type { Snapshot } from "./store/host-store.ts";

type Asked = Extract<ControlEvent, { event: "password" }>;

/**
 * In every mode, also while the agent holds or is frozen: it is the user's own, it is no setting, and no revision ever
 * holds a password. Nothing else of the store goes live by it. Throws what the store says, `password/not-live`.
 */
export async function changePassword(agent: Agent, { account, password }: Asked): Promise<void> {
  await agent.inTurn(async () => {
    const { parts } = agent;
    const { store, journal } = parts;
    const before = await store.lastGood();
    const user = before?.users.find((one) => foldName(one.name) === account);
    if (user === undefined)
      throw new CodedError("password/unknown-user", `The host has no user ${account}.`, {
        hint: "It may have been removed a moment ago.",
      });
    const { hold } = journal;
    const { snapshot } = await store.edit({ kind: "user-password", name: user.name, password });
    // The hold waits for another change of the store than this one.
    if (hold && before && hold.snapshot === before.hash)
      await journal.append({ is: "held", why: hold.why, snapshot: snapshot.hash, by: "agent" });
    await journal.append({
      is: "edited",
      by: account,
      summary: `${account} changed the own password in a client.`,
      removes: { users: [], roles: [], memberships: [] },
    });
    await putInForce(parts, snapshot, account);
  });
  agent.wake(`${account} changed the own password`);
}

async function putInForce({ target, instance }: Parts, snapshot: Snapshot, account: string): Promise<void> {
  const later = (why: string) =>
    new CodedError("password/not-live", `The host has the new password, but the server has not taken it yet: ${why}`, {
      hint: "It is taken with the next apply.",
    });
  const wanted = desired(snapshot, { instance }).state.accounts.find((one) => foldName(one.name) === account);
  const given = wanted && passwordOf(wanted);
  if (given === undefined || target.setPassword === undefined) throw later("the host does not show it.");
  await target.setPassword({ name: account, ...given });
}

function passwordOf({ credentials, passwordHash, passwordFrom }: AccountWanted) {
  if (passwordFrom !== undefined) return undefined;
  if (credentials !== undefined) return { credentials };
  return passwordHash === undefined ? undefined : { passwordHash };
}
