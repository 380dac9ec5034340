import type { Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { type VirtualPresences, virtualPresences } from "../component-points.ts";
import type { Core } from "../module.ts";
import { blocking, type Presences, presenceBroadcast, presenceFlows, subscriptions, visibility } from "../points.ts";
import { type OutsidePresences, outsidePresences } from "./outside.ts";
import { amended, directedTo, lastPresence, nothingSaid, renderer, type Said } from "./said.ts";

/** Tells sessions of each other. Everything here runs while the account's roster is in memory. */
export interface Announcer {
  /** To the session's own available resources, itself among them, and to all who see it. Returns who was told. */
  broadcast(session: Session, said: Said): Set<Session>;
  /** Who else is there, and who waits for an answer; `all`: who is not there, too. RFC 6121 §4.2.2, §4.3 */
  welcome(session: Session, who?: "all"): void;
  /** Whether presence may pass between the two, as far as blocking and privacy lists go. XEP-0191 §3.2, XEP-0016 §2.10 */
  mayPass(from: Session, to: Session): boolean;
  mayPassFrom(account: Account, resource: string, to: Session): boolean;
  readonly outside: OutsidePresences;
  /** The present presence of an account's sessions, as `view` sees it. */
  current(account: Account, view: string, to: string, resource?: string): Xml[];
  /** What says that nobody is there, from the bare address. RFC 6121 §4.3.2 */
  nobody(account: Account, session: Session): Xml;
  readonly points: Presences;
}

export function announcer(core: Core): Announcer {
  const { router, names, accounts } = core;
  const isAvailable = (session: Session): boolean => session.priority !== undefined;

  function mayPass(from: Session, to: Session): boolean {
    for (const one of core.offered(blocking)) {
      const hidden =
        one.hidesPresence === undefined
          ? one.blocks(from.account, to.jid) || one.blocks(to.account, from.jid)
          : one.hidesPresence(from, "out", to.jid) || one.hidesPresence(to, "in", from.jid);
      if (hidden) return false;
    }
    return true;
  }

  /** The same for what a component shows in the name of an account. */
  function mayPassFrom(account: Account, resource: string, to: Session): boolean {
    const address = { local: account.name, domain: to.view, resource };
    return !core.offered(blocking).some((one) => one.blocks(account, to.jid) || one.blocks(to.account, address));
  }

  const virtual = (): VirtualPresences | undefined => core.offered(virtualPresences)[0];

  const lastSaid = (session: Session): Said | undefined => {
    const last = lastPresence.get(session);
    return last === null ? undefined : { type: undefined, id: undefined, lang: last.lang, payload: last.payload };
  };

  const outside = outsidePresences(core, lastSaid);

  function broadcast(session: Session, said: Said): Set<Session> {
    const told = new Set<Session>();
    const render = renderer(router.views, session, said);
    const tell = (target: Session): void => {
      told.add(target);
      router.send(target, render(target.view, target.bareAddress));
    };
    // The session hears its own presence, the last one too. RFC 6121 §4.2.2, §4.5.2
    for (const own of session.account.sessions) if (isAvailable(own) || own === session) tell(own);
    if (!session.account.probe)
      for (const other of core.offered(visibility)[0]?.watchers(session.account) ?? [])
        for (const target of other.sessions) if (isAvailable(target) && mayPass(session, target)) tell(target);
    if (!session.account.probe)
      for (const contact of core.offered(visibility)[0]?.outsideWatchers(session.account) ?? [])
        outside.send(session.account, contact, render);
    for (const listener of core.offered(presenceBroadcast)) listener.broadcast(session, render);
    return told;
  }

  /** Sends the present presence of every session of `from` to one session. */
  function showAll(from: Account, to: Session): number {
    let shown = 0;
    for (const session of from.sessions) {
      const said = lastSaid(session);
      if (said === undefined || session === to || !mayPass(session, to)) continue;
      router.send(to, renderer(router.views, session, said)(to.view, to.bareAddress));
      shown++;
    }
    const behind = virtual();
    if (behind?.any !== true || !mayPassFrom(from, "", to)) return shown;
    for (const presence of behind.current(from, to.view, to.bareAddress)) {
      router.send(to, presence);
      shown++;
    }
    return shown;
  }

  function nobody(account: Account, session: Session): Xml {
    const from = names.absolute(`${account.name}@`, session.view);
    return x("presence", { type: "unavailable", from, to: session.bareAddress });
  }

  function welcome(session: Session, who?: "all"): void {
    const { account } = session;
    showAll(account, session);
    // Whom a component shows may have no session.
    const everybody = who ?? (virtual()?.any === true ? "all" : undefined);
    for (const other of core.offered(visibility)[0]?.watched(account, everybody) ?? [])
      if (showAll(other, session) === 0 && who === "all") router.send(session, nobody(other, session));
    outside.probe(session);
    for (const request of core.offered(subscriptions)[0]?.waiting(session) ?? []) router.send(session, request);
  }

  function flow(from: Account, to: Account, shown: boolean): void {
    for (const listener of core.offered(presenceFlows)) listener.flowed(from, to, shown);
    for (const session of from.sessions) {
      const said = lastSaid(session);
      if (said === undefined) continue;
      const render = renderer(router.views, session, shown ? said : nothingSaid);
      for (const target of to.sessions)
        if (isAvailable(target) && (!shown || mayPass(session, target)))
          router.send(target, render(target.view, target.bareAddress));
    }
    const behind = virtual();
    if (behind?.any !== true) return;
    for (const target of to.sessions) {
      if (!isAvailable(target) || (shown && !mayPassFrom(from, "", target))) continue;
      const found = shown ? behind.current : behind.ended;
      for (const presence of found(from, target.view, target.bareAddress)) router.send(target, presence);
    }
  }

  function tell(from: Account, resource: string, render: (view: string, to: string) => Xml): void {
    const sight = core.offered(visibility)[0];
    const loading = sight?.load(from);
    if (loading !== undefined) {
      const again = (): void => tell(from, resource, render);
      loading.then(again, (error: unknown) => core.report.wrong({ what: `roster of ${from.name}`, error }));
      return;
    }
    for (const own of from.sessions) if (isAvailable(own)) router.send(own, render(own.view, own.bareAddress));
    for (const other of sight?.watchers(from) ?? [])
      for (const target of other.sessions)
        if (isAvailable(target) && mayPassFrom(from, resource, target))
          router.send(target, render(target.view, target.bareAddress));
  }

  function current(account: Account, view: string, to: string, resource?: string): Xml[] {
    const found: Xml[] = [];
    for (const session of account.sessions) {
      const said = resource === undefined || resource === session.resource ? lastSaid(session) : undefined;
      if (said !== undefined) found.push(renderer(router.views, session, said)(view, to));
    }
    found.push(...(virtual()?.current(account, view, to, resource) ?? []));
    return found;
  }

  async function showsTo(account: Account, other: Jid): Promise<boolean> {
    const place = names.locate(other);
    const asker = place.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
    if (asker === undefined) return false;
    if (asker === account) return true;
    const sight = core.offered(visibility)[0];
    for (let loading = sight?.load(account); loading !== undefined; loading = sight?.load(account)) await loading;
    return sight?.shows(account, asker) ?? false;
  }

  function blockingChanged(account: Account, other: Account, blocked: boolean): void {
    const sight = core.offered(visibility)[0];
    const loading = sight?.load(account);
    if (loading !== undefined) {
      const again = (): void => blockingChanged(account, other, blocked);
      loading.then(again, (error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }));
      return;
    }
    // Whoever never saw the presence must not learn of it by its end.
    if (sight?.shows(account, other) === true) flow(account, other, !blocked);
    if (!blocked && sight?.sees(account, other) === true) flow(other, account, true);
  }

  function again(account: Account): void {
    const loading = core.offered(visibility)[0]?.load(account);
    if (loading !== undefined) {
      loading.then(
        () => again(account),
        (error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }),
      );
      return;
    }
    for (const session of account.sessions) {
      const last = lastPresence.get(session);
      if (last === null) continue;
      const payload = amended(core, session, last.payload, "again");
      if (payload === last.payload) continue;
      lastPresence.set(session, { ...last, payload });
      broadcast(session, { type: undefined, id: undefined, lang: last.lang, payload });
      core.sessions.commit(session, []);
    }
  }

  const points: Presences = { showsTo, current, again, tell, flow, flowOutside: outside.flow, blockingChanged };
  return { outside, broadcast, welcome, mayPass, mayPassFrom, current, nobody, points };
}

/** Whether the session has sent its presence to this address on its own. */
export function toldDirectly(session: Session, stored: string): boolean {
  const bare = stored.split("/")[0] ?? "";
  return directedTo.get(session).some((told) => told === stored || told === bare);
}
