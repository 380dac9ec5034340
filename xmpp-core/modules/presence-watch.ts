import type { SessionHandlers } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import type { SessionState } from "../routing/session-state.ts";
import { type Xml, x } from "../xml/writer.ts";
import type { Core } from "./module.ts";
import { presenceBroadcast, presences, rightsChanged, visibility } from "./points.ts";

/** Sessions of supervisors that asked to see the presence of everybody in their domain. docs/settings.md */
export interface PresenceWatch {
  /** From now on the session sees everybody; returns how many sessions it sees now. */
  begin(session: Session): number;
  /** It sees its contacts only; everybody else goes offline for it. */
  end(session: Session): void;
  readonly session: SessionHandlers;
}

export function presenceWatch(core: Core, watching: SessionState<boolean>): PresenceWatch {
  const { rights, router, sessions } = core;
  const watchers = new Set<Session>();
  const crashed = new Set<Session>();

  const mayWatch = ({ account }: Session): boolean =>
    account.enabled && (rights.isSupervisor(account.id) || rights.isAdmin(account.id));

  /** Who is seen by watching alone: not one's own account, nor who shows his presence anyway. */
  function isWatched(watcher: Session, other: Session): boolean {
    const { account } = other;
    if (account === watcher.account || account.probe || account.served !== watcher.account.served) return false;
    const [sight] = core.offered(visibility);
    const loading = sight?.load(account);
    // A roster that is not in memory is not waited for: a presence that comes twice does no harm.
    loading?.catch((error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }));
    return loading !== undefined || !sight?.shows(account, watcher.account);
  }

  function* watchedBy(watcher: Session): IterableIterator<Session> {
    for (const other of sessions.all()) if (other.priority !== undefined && isWatched(watcher, other)) yield other;
  }

  function showAll(watcher: Session): number {
    const accounts = new Set([...watchedBy(watcher)].map(({ account }) => account));
    let shown = 0;
    for (const account of accounts)
      for (const presence of core.offered(presences)[0]?.current(account, watcher.view, watcher.address) ?? []) {
        router.send(watcher, presence);
        shown++;
      }
    return shown;
  }

  function end(watcher: Session): void {
    if (!watchers.delete(watcher)) return;
    watching.set(watcher, false);
    for (const other of watchedBy(watcher)) {
      const from = router.views.address(other.address, watcher.view);
      router.send(watcher, x("presence", { type: "unavailable", from, to: watcher.address }));
    }
  }

  core.offer(presenceBroadcast, {
    broadcast(session: Session, render: (view: string, to: string) => Xml) {
      for (const watcher of watchers)
        if (isWatched(watcher, session)) router.send(watcher, render(watcher.view, watcher.address));
    },
  });
  core.offer(rightsChanged, {
    rightsChanged() {
      for (const watcher of watchers) if (!mayWatch(watcher)) end(watcher);
    },
  });

  return {
    begin(session) {
      watching.set(session, true);
      watchers.add(session);
      return showAll(session);
    },
    end,
    session: {
      restored(session, after) {
        if (!watching.get(session)) return;
        if (!mayWatch(session)) {
          watching.set(session, false);
          return;
        }
        watchers.add(session);
        if (after === "crash") crashed.add(session);
      },
      resumed(session) {
        if (crashed.delete(session) && watchers.has(session)) showAll(session);
      },
      closed(session) {
        watchers.delete(session);
        crashed.delete(session);
      },
    },
  };
}
