import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { OutsidePresence, PresenceFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { componentWatch } from "../component-points.ts";
import { type Core, defineModule } from "../module.ts";
import { becameAvailable, presences, subscriptions, visibility } from "../points.ts";
import { announcer } from "./announcer.ts";
import { directedRoad } from "./directed.ts";
import { directedTo, type LastPresence, lastPresence, nothingSaid, priorityOf, type Said, saidBy } from "./said.ts";

/** Who is there: broadcast, probes, directed presence. RFC 6121 §4 */
export const presence = defineModule({
  name: "presence",
  implements: [
    {
      spec: "RFC 6121",
      section: "4",
      status: "partial",
      note: "between accounts of this server and with contacts behind its components",
    },
  ],
  sessionState: [lastPresence, directedTo],
  start,
});

type Answer = StanzaError | undefined | Promise<StanzaError | undefined>;

function start(core: Core) {
  const crashed = new Set<Session>();
  const announce = announcer(core);
  const directed = directedRoad(core, announce);
  core.offer(presences, announce.points);
  core.offer(componentWatch, { connected: ({ label }) => announce.outside.came(label), gone: announce.outside.left });

  /** Runs `work` when the account's roster is in memory: at once if it is, so that no order is lost. */
  function withRoster(session: Session, work: () => void): Promise<undefined> | undefined {
    const loading = core.offered(visibility)[0]?.load(session.account);
    if (loading === undefined) {
      work();
      return undefined;
    }
    return loading.then(() => withRoster(session, work));
  }

  /** RFC 6121 §4.2 and §4.4: the first presence makes the session available, later ones say how. */
  function available(session: Session, said: Said, priority: number): void {
    if (session.ended) return;
    const before = lastPresence.get(session);
    const ready = before?.ready === true || priority >= 0;
    const now: LastPresence = {
      priority,
      payload: said.payload,
      ready,
      ...(said.lang !== undefined && { lang: said.lang }),
    };
    lastPresence.set(session, now);
    session.priority = priority;
    announce.broadcast(session, said);
    if (before === null) announce.welcome(session);
    if (ready && before?.ready !== true)
      for (const listener of core.offered(becameAvailable)) listener.becameAvailable(session);
  }

  /** RFC 6121 §4.5: everybody who could see the session is told, and whom it told itself. */
  function unavailable(session: Session, said: Said): void {
    const wasAvailable = lastPresence.get(session) !== null;
    if (wasAvailable) lastPresence.set(session, null);
    session.priority = undefined;
    const told = wasAvailable ? announce.broadcast(session, said) : new Set<Session>();
    directed.end(session, said, told);
  }

  function handle(flow: PresenceFlow): Answer {
    const { session, stanza, to } = flow;
    switch (stanza.type) {
      case undefined: {
        if (to !== undefined) return directed.send(flow);
        const priority = priorityOf(stanza);
        if (typeof priority !== "number") return priority;
        const said = saidBy(core, session, stanza);
        return withRoster(session, () => available(session, said, priority));
      }
      case "unavailable": {
        if (to !== undefined) return directed.send(flow);
        const said = saidBy(core, session, stanza);
        return withRoster(session, () => unavailable(session, said));
      }
      case "subscribe":
      case "subscribed":
      case "unsubscribe":
      case "unsubscribed":
        return core.offered(subscriptions)[0]?.handle(flow) ?? undefined;
      case "probe":
        return to === undefined ? undefined : directed.probe(flow);
      case "error":
        return to === undefined ? undefined : directed.send(flow);
      default:
        return stanzaError("bad-request", { text: `"${stanza.type}" is no type of presence.` });
    }
  }

  function fromOutside(flow: OutsidePresence): Answer {
    const { type } = flow.stanza;
    if (type === undefined || type === "unavailable" || type === "error") return directed.receive(flow);
    if (type === "probe") {
      announce.outside.answer(flow);
      return undefined;
    }
    return core.offered(subscriptions)[0]?.fromOutside(flow) ?? undefined;
  }

  return {
    presence: { handle, fromOutside },
    session: {
      restored(session: Session, after: "restart" | "crash") {
        session.priority = lastPresence.get(session)?.priority;
        if (after === "crash") crashed.add(session);
      },
      resumed(session: Session) {
        // What was on its way when the core died is lost: the client sees everybody anew. docs/architecture.md "What is on disk when", rule 4
        if (crashed.delete(session) && lastPresence.get(session) !== null)
          background(session, () => announce.welcome(session, "all"));
      },
      closed(session: Session) {
        crashed.delete(session);
        if (lastPresence.get(session) === null && directedTo.get(session).length === 0) return;
        background(session, () => unavailable(session, nothingSaid));
      },
    },
  };

  function background(session: Session, work: () => void): void {
    const waits = withRoster(session, work);
    if (waits !== undefined) core.seeThrough(`presence of ${session.address}`, waits);
  }
}
