import { z } from "zod";
import { ns } from "../../formats/namespaces.ts";
import { property } from "../../properties/property.ts";
import { boolean, integer, milliseconds } from "../../properties/text-schema.ts";
import type { Keeper } from "../../routing/held-back.ts";
import type { Session } from "../../routing/session.ts";
import { sessionState } from "../../routing/session-state.ts";
import { x } from "../../xml/writer.ts";
import { attention, hibernation, looksAgain, roomPlaces, urgent, wakers } from "../mobile-points.ts";
import { type Core, defineModule } from "../module.ts";
import { judge, type Reader, readOutgoing, wouldWake } from "./urgency.ts";

const enabled = property("xmpp.client.csi.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether clients may say that nobody looks at them (XEP-0352).",
});

const delayed = property("xmpp.client.csi.delay.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether what is not urgent waits while nobody looks at a client: presence, typing notices, receipts, what contacts publish, rooms that do not mention the person.",
});

const longest = property("xmpp.client.csi.delay.max-duration", {
  schema: milliseconds.min(0),
  default: 600_000,
  impact: "live",
  doc: "How long something waits at most for a client that is connected; 0: until it looks.",
});

const capacity = property("xmpp.client.csi.delay.queue.capacity", {
  schema: integer(0, 100_000),
  default: 500,
  impact: "live",
  doc: "How many stanzas wait at most for one client; with more, all of them are sent. Four times as many for one that is away.",
});

const bytes = property("firekeeper.csi.queue-bytes", {
  schema: integer(0, 64 * 1024 * 1024),
  default: 262_144,
  impact: "live",
  unit: "bytes",
  doc: "How many bytes wait at most for one client; with more, all of them are sent. Four times as many for one that is away.",
});

const roomsUrgent = property("firekeeper.csi.rooms-urgent", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether everything said in rooms is urgent. Otherwise only what mentions the person, what is encrypted, and members-only rooms.",
});

const inactive = sessionState("client-state", { schema: z.boolean(), initial: false });

const sweepMs = 1000;
/** So much more may wait for a client that is away: sending it would wake nobody. */
const awayFactor = 4;

/** Lets clients say whether anybody looks at them; what is not urgent waits meanwhile. XEP-0352, docs/mobile.md */
export const clientState = defineModule({
  name: "client-state",
  implements: [{ spec: "XEP-0352", version: "1.0.0", status: "complete" }],
  sessionState: [inactive],
  properties: [enabled, delayed, longest, capacity, bytes, roomsUrgent],
  start,
});

function start(core: Core) {
  const { properties } = core;
  /** Sessions for which things wait, and since when something does. */
  const quiet = new Map<Session, number | undefined>();

  const readerOf = (session: Session): Reader => ({
    own: session.bareAddress,
    get roomsUrgent() {
      return properties.get(roomsUrgent);
    },
    placeIn(room) {
      for (const rooms of core.offered(roomPlaces)) {
        const place = rooms.placeIn(session, room);
        if (place !== undefined) return place;
      }
      return undefined;
    },
  });

  function keeperOf(session: Session): Keeper {
    const reader = readerOf(session);
    return {
      judge(data) {
        const found = judge(data, reader);
        if (found.is === "now" || properties.get(delayed)) return found;
        return { is: "now", from: found.from, wakes: false };
      },
      limits() {
        const times = session.outbound.attached ? 1 : awayFactor;
        return { count: properties.get(capacity) * times, bytes: properties.get(bytes) * times };
      },
      woken(data) {
        const stanza = readOutgoing(data);
        for (const one of core.offered(wakers)) one.woken(session, stanza);
      },
    };
  }

  function hold(session: Session): void {
    if (quiet.has(session)) return;
    quiet.set(session, undefined);
    session.outbound.hold(keeperOf(session));
  }

  function unhold(session: Session): void {
    quiet.delete(session);
    session.outbound.unhold();
    for (const one of core.offered(looksAgain)) one.looksAgain(session);
  }

  function say(session: Session, isInactive: boolean): void {
    if (inactive.get(session) === isInactive || (isInactive && !properties.get(enabled))) return;
    inactive.set(session, isInactive);
    if (isInactive) hold(session);
    else unhold(session);
  }

  const hibernates = (session: Session): boolean =>
    session.resumeToken !== undefined && core.offered(hibernation).some((one) => one.hibernates(session));

  core.offer(attention, {
    wasTold: (session) => inactive.get(session),
    wakes(session, data) {
      const found = judge(data, readerOf(session));
      return found.is === "now" && found.wakes ? readOutgoing(data) : undefined;
    },
  });
  core.offer(urgent, {
    wakes: (stanza, from, own) =>
      wouldWake(stanza, from, { own, roomsUrgent: properties.get(roomsUrgent), placeIn: () => undefined }),
  });

  core.watch(enabled, (on) => {
    if (!on) for (const session of [...quiet.keys()]) say(session, false);
  });

  /** Whose connection was to be taken over: whether it was is known a little later. */
  let restored: Session[] = [];

  /** What has waited for too long goes out to who is there. */
  function sweep(): void {
    for (const session of restored)
      if (!session.ended && !session.outbound.attached && hibernates(session)) hold(session);
    restored = [];
    const now = core.clock.now();
    const most = properties.get(longest);
    for (const [session, since] of quiet) {
      const waits = session.outbound.holdsBack;
      if (!waits || since === undefined) quiet.set(session, waits ? now : undefined);
      else if (most > 0 && now - since >= most && session.outbound.attached) {
        session.outbound.letGo();
        quiet.set(session, undefined);
      }
    }
  }
  core.every(sweepMs, sweep);

  return {
    streamFeatures: () => (properties.get(enabled) ? [x("csi", { xmlns: ns.clientState })] : []),
    nonzas: [
      {
        namespace: ns.clientState,
        names: ["active", "inactive"],
        take: (session: Session, { name }: { name: string }) => say(session, name === "inactive"),
      },
    ],
    inlineBind: [
      {
        namespace: ns.clientState,
        take(session: Session, element: { getName(): string }) {
          say(session, element.getName() === "inactive");
          return undefined;
        },
      },
    ],
    session: {
      detached(session: Session) {
        if (hibernates(session)) hold(session);
      },
      restored(session: Session, after: "restart" | "crash") {
        // Whoever comes back after a crash is active; after a restart nobody was away.
        if (after === "crash") inactive.set(session, false);
        if (session.expectsConnection) restored.push(session);
        const isAway = !session.expectsConnection && hibernates(session);
        // What waits goes on waiting, whatever became of the app: else it would stay behind for ever.
        if (inactive.get(session) || isAway || session.outbound.holdsBack) hold(session);
      },
      resumed(session: Session) {
        inactive.set(session, false);
        if (quiet.has(session)) unhold(session);
      },
      closed: (session: Session) => void quiet.delete(session),
    },
  };
}
