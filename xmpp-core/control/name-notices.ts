/** Tells everybody who is online under a former name of the domain what the address is now, once. docs/architecture.md "One service, two names". */
import type { Names } from "../routing/names.ts";
import type { Router } from "../routing/router.ts";
import type { Session } from "../routing/session.ts";
import type { Sessions } from "../routing/sessions.ts";
import { read, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import { text, x } from "../xml/writer.ts";

export interface NameNotices {
  /** A session became available: its user hears of the new name if it came under another one. */
  becameAvailable(session: Session): void;
  /** The domain has just changed: everybody online under another name hears of it. */
  changed(): void;
}

const allTold = read<[], { account: number; since: number }>("SELECT account, since FROM told_name");
const putTold = write<[account: number, since: number]>(
  "INSERT OR REPLACE INTO told_name (account, since) VALUES (?, ?)",
);

export async function openNameNotices(parts: {
  storage: Storage;
  names: Names;
  router: Router;
  sessions: Sessions;
  random: (bytes: number) => Buffer;
}): Promise<NameNotices> {
  const { storage, names, router, sessions } = parts;
  /** Account to the time since which the name it was told of has been in force. */
  const told = new Map((await storage.read(allTold)).map(({ account, since }) => [account, since]));

  const current = () => names.primary.live.find(({ name }) => name === names.primary.name);

  /** Whether there is something to say; what was once said is not said again. */
  function isDue(session: Session): boolean {
    const { account, view } = session;
    return !account.probe && view !== names.primary.name && told.get(account.id) !== current()?.since;
  }

  function tell(session: Session): void {
    const { account, view } = session;
    const now = `${account.name}@${names.primary.name}`;
    const until = names.primary.live.find(({ name }) => name === view)?.until ?? null;
    const deadline = until === null ? "" : ` until ${new Date(until).toISOString().slice(0, 10)}`;
    const body = `This service is now called ${names.primary.name}. Your new address is ${now}; the old one works${deadline}.`;
    const id = parts.random(9).toString("base64url");
    router.send(
      session,
      x("message", { from: view, to: session.address, type: "headline", id }, x("body", {}, text(body))),
    );
  }

  function remember(session: Session): void {
    const since = current()?.since ?? 0;
    told.set(session.account.id, since);
    storage.commit([putTold.with(session.account.id, since)]);
  }

  return {
    becameAvailable(session) {
      if (!isDue(session)) return;
      tell(session);
      remember(session);
    },
    changed() {
      const due = [...sessions.all()].filter((session) => session.priority !== undefined && isDue(session));
      for (const session of due) tell(session);
      for (const session of due) remember(session);
    },
  };
}
