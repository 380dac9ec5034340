/** A user who gave up the own account in a client or on the web is removed from the host store. docs/accounts.md */
import type { accountRemoved, ControlEvent } from "../xmpp-core/control/contract.ts";
import type { Agent } from "./agent.ts";
import { foldName } from "./desired/accounts.ts";
import { CodedError } from "./errors.ts";
import type { HostStore } from "./store/host-store.ts";

type Asked = Extract<ControlEvent, { event: "removal" }>;

/** Others take new passwords at most. */
export function takesRemovals({ kind }: HostStore): boolean {
  return kind === "file";
}

/**
 * In every mode, also while the agent holds or is frozen: the server has shut the account already, and nothing else of the
 * store goes live by it. What the user removed is no news to the brake. Throws what the store says.
 */
export async function removeUser(
  agent: Agent,
  { account }: Asked,
): Promise<ReturnType<(typeof accountRemoved)["parse"]>> {
  const { store, journal, keepDays } = agent.parts;
  await agent.inTurn(async () => {
    const before = await store.lastGood();
    const user = before?.users.find((one) => foldName(one.name) === account);
    if (user === undefined)
      throw new CodedError("removal/unknown-user", `The host has no user ${account}.`, {
        hint: "It may have been removed a moment ago.",
      });
    const { hold } = journal;
    const { snapshot, removes } = await store.edit({ kind: "user-remove", name: user.name });
    // The hold waits for another change of the store than this one.
    if (hold && before && hold.snapshot === before.hash)
      await journal.append({ is: "held", why: hold.why, snapshot: snapshot.hash, by: "agent" });
    await journal.append({
      is: "edited",
      by: account,
      summary: `${account} gave up the own account.`,
      removes: { users: [...removes.users], roles: [...removes.roles], memberships: [...removes.memberships] },
    });
  });
  agent.wake(`${account} gave up the own account`);
  return { keepDays };
}
