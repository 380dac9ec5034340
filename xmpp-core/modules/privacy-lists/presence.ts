import type { Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import { x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { presences, visibility } from "../points.ts";

const available = (account: Account): readonly Session[] =>
  account.sessions.filter((session) => session.priority !== undefined);

/**
 * Remembers who sees the account's presence now, and whom it sees. The function that it returns, called behind a change
 * of the rules, ends presence for those who see it no more and sends it to those who see it now.
 */
export function changesOfPresence(
  core: Core,
  account: Account,
  hides: (session: Session, kind: "presence-in" | "presence-out", other: Jid) => boolean,
): () => void {
  const sight = core.offered(visibility)[0];
  const own = available(account);
  if (sight === undefined || own.length === 0 || sight.load(account) !== undefined) return () => undefined;
  const watching = [...sight.watchers(account)].flatMap((other) => available(other));
  const watched = [...sight.watched(account)];
  const hiddenFrom = (): Set<Session> =>
    new Set(watching.filter((target) => own.every((session) => hides(session, "presence-out", target.jid))));
  const notTaken = (session: Session): Set<Account> =>
    new Set(
      watched.filter(({ name }) => hides(session, "presence-in", { local: name, domain: session.view, resource: "" })),
    );
  const hidden = hiddenFrom();
  const missed = own.map((session) => ({ session, from: notTaken(session) }));
  return () => {
    const now = hiddenFrom();
    const shown = core.offered(presences)[0];
    for (const target of watching) {
      if (now.has(target) === hidden.has(target)) continue;
      const { view, bareAddress } = target;
      const said = now.has(target)
        ? own.map(({ address }) => {
            const from = core.router.views.address(address, view);
            return x("presence", { type: "unavailable", from, to: bareAddress });
          })
        : (shown?.current(account, view, bareAddress) ?? []);
      for (const each of said) core.router.send(target, each);
    }
    for (const { session, from } of missed) {
      const still = notTaken(session);
      for (const other of from) {
        if (still.has(other)) continue;
        for (const said of shown?.current(other, session.view, session.bareAddress) ?? [])
          core.router.send(session, said);
      }
    }
  };
}
