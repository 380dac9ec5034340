/** What is due by the clock: former names of the domain end, and the data of people who left is erased. */
import type { Account } from "../routing/accounts.ts";
import type { ControlParts } from "./parts.ts";

const lookEveryMs = 60_000;

/** Looks every minute; `changed` is told which part of the actual state is another one. */
export function upkeep(parts: ControlParts, changed: (part: "settings" | "accounts") => void): { stop(): void } {
  let busy = false;
  async function look(): Promise<void> {
    if (busy) return;
    busy = true;
    try {
      if (await endAliases(parts)) changed("settings");
      if (await erase(parts)) changed("accounts");
    } catch (error) {
      // A storage that fails now is asked again in a minute.
      parts.report.wrong({ what: "upkeep", error });
    } finally {
      busy = false;
    }
  }
  return { stop: parts.clock.every(lookEveryMs, () => void look()) };
}

/** Former names whose time has come: whoever is still online under one is told the new one and has to log in there. */
async function endAliases(parts: ControlParts): Promise<boolean> {
  const ended = await parts.names.expire(parts.clock.now());
  if (ended.length === 0) return false;
  for (const session of [...parts.sessions.all()].filter(({ view }) => ended.includes(view))) {
    const { name } = session.account;
    const now = parts.names.primary.name;
    if (session.carrier !== undefined)
      session.carrier.end("host-gone", `${session.view} is now ${now}. Log in as ${name}@${now}.`);
    else parts.sessions.end(session, "ended");
  }
  await parts.certificates.refresh();
  return true;
}

/** Erases accounts whose time is over; their rows go with them. True if there was one. */
async function erase(parts: ControlParts): Promise<boolean> {
  const now = parts.clock.now();
  const over = [...parts.accounts.all()].filter(({ keptUntil }) => keptUntil !== undefined && keptUntil <= now);
  for (const account of over) await eraseOne(parts, account);
  return over.length > 0;
}

async function eraseOne(parts: ControlParts, account: Account): Promise<void> {
  const ofModules = parts.handlers().flatMap((each) => each.account?.removed?.(account) ?? []);
  const { result, undo } = parts.accounts.tentatively(() => parts.accounts.remove(account));
  try {
    await parts.storage.write([...ofModules, ...result]);
  } catch (error) {
    undo();
    throw error;
  }
}
