import { ns } from "../../formats/namespaces.ts";
import { errorReply, stanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { integer } from "../../properties/text-schema.ts";
import type { Handlers, ServiceHandler } from "../../routing/handlers.ts";
import type { Write } from "../../storage/statement.ts";
import { nothing, text, x } from "../../xml/writer.ts";
import { roomPlaces } from "../mobile-points.ts";
import { type Core, defineModule } from "../module.ts";
import { presenceBroadcast, serviceDisco } from "../points.ts";
import { adminRequests } from "./admin-requests.ts";
import { changes } from "./changes.ts";
import { discovery } from "./discovery.ts";
import { entering } from "./entering.ts";
import { roomFeatures } from "./features.ts";
import { openHall } from "./hall.ts";
import { history } from "./history.ts";
import { roomMessages } from "./messages.ts";
import { occupantRequests } from "./occupant-requests.ts";
import { ownerRequests } from "./owner-requests.ts";
import { pace } from "./pace.ts";
import { restoring } from "./restoring.ts";
import type { Room, Rooms } from "./room.ts";
import { showing } from "./showing.ts";
import { speaking } from "./speaking.ts";
import { leftMigration, roomsMigration } from "./tables.ts";
import { wrongAddress } from "./wrong-address.ts";

const messagesPerSecond = property("firekeeper.muc.messages-per-second", {
  schema: integer(0, 100_000),
  default: 20,
  impact: "live",
  doc: "How many messages one occupant of a room may send each second in the long run, six times as many at once; 0: as many as come.",
});

const joinsPerSecond = property("firekeeper.muc.joins-per-second", {
  schema: integer(0, 100_000),
  default: 5,
  impact: "live",
  doc: "How many rooms one session may enter, or nicknames it may take, each second in the long run, a hundred times as many at once; 0: as many as come.",
});

const sweepMs = 60_000;

/** Rooms for many people: the engine; what features add to it is in features.ts. XEP-0045 */
export const rooms = defineModule({
  name: "rooms",
  implements: [
    { spec: "XEP-0045", version: "1.35.5", status: "complete" },
    { spec: "XEP-0249", version: "1.2", status: "complete", note: "direct invitations pass between users" },
    { spec: "XEP-0410", version: "1.1.0", status: "complete", note: "self-pings are answered by the service" },
    { spec: "XEP-0421", version: "1.0.1", status: "complete" },
    ...roomFeatures.flatMap((feature) => feature.implements ?? []),
  ],
  properties: [messagesPerSecond, joinsPerSecond, ...roomFeatures.flatMap((feature) => feature.properties ?? [])],
  migrations: [roomsMigration, leftMigration, ...roomFeatures.flatMap((feature) => feature.migrations ?? [])],
  addresses: [
    { within: [[ns.mucUser, "x"]], element: [ns.mucUser, "destroy"], attributes: ["jid"] },
    ...roomFeatures.flatMap((feature) => feature.addresses ?? []),
  ],
  start,
});

function start(core: Core): Handlers {
  const { names, router } = core;
  const hall = openHall(core);
  const past = history(hall);
  const show = showing(hall);
  const speak = speaking(hall, past);
  const requests = occupantRequests(hall);
  const change = changes({ hall, past, show, speak, left: requests.left });
  const paced = (limit: () => number, factor: number) =>
    pace(
      () => core.clock.now(),
      () => ({ perSecond: limit(), burst: limit() * factor }),
    );
  const enter = entering({
    ...{ hall, past, show, speak, change },
    joins: paced(() => core.properties.get(joinsPerSecond), 100),
  });
  const message = roomMessages({
    ...{ hall, speak, change, enter },
    messages: paced(() => core.properties.get(messagesPerSecond), 6),
    refuse({ stanza, from, to }, error) {
      const reply = (view: string, address: string) =>
        errorReply(stanza, error, { from: names.absolute(names.relative(to), view), to: address });
      if (reply("", "") !== undefined) router.sendTo(from, (view, address) => reply(view, address) ?? nothing);
    },
  });
  const restore = restoring({ hall, change, enter });
  const ready: Promise<unknown>[] = [restore.load()];

  const handler: ServiceHandler = {
    kind: "conference",
    fullAddresses: true,
    message(flow) {
      restore.settle();
      return message(flow);
    },
    presence(flow) {
      restore.settle();
      return enter.presence(flow);
    },
    iq: requests.iq,
  };
  const closings = new Map<string, () => void>();

  const self: Rooms = {
    services: () => [...hall.services.values()],
    service: (name) => hall.services.get(name),
    openService(service) {
      names.openService(service.name);
      hall.services.set(service.name, service);
      closings.get(service.name)?.();
      closings.set(service.name, router.serve(service.name, handler));
    },
    closeService(name) {
      for (const room of [...hall.all()])
        if (room.service === name) change.empty(room, { codes: [332], reason: "The room service is closed." });
      hall.services.delete(name);
      closings.get(name)?.();
      closings.delete(name);
      names.closeService(name);
    },
    ...{ all: hall.all, byId: (id) => hall.byId.get(id), get: hall.get, at: hall.at, address: hall.address },
    ...{ person: hall.person, affiliation: hall.affiliation, speaker: hall.speaker },
    occupant: (room, device) => hall.seats.get(device)?.get(room),
    seesAddresses: hall.seesAddresses,
    create(at, owner, options = {}) {
      const writes: Write[] = options.writes ?? [];
      const room = change.create(at, owner, { ...options, writes });
      if (options.writes === undefined) core.storage.commit(writes);
      return room;
    },
    setAffiliation: (room, person, affiliation, by, reason) =>
      change.affiliate(room, [{ person, affiliation, reason }], by),
    setRole: change.setRole,
    configure: change.configure,
    setSubject: change.setSubject,
    destroy: change.destroy,
    say(room: Room, said, by) {
      const { payload, view, lasting, writes } = said;
      const { id, ticket } = speak.publish(
        room,
        {
          ...{ nick: "", occupantId: undefined, stanzaId: undefined, lang: undefined },
          ...{ payload: Buffer.from(payload), view, lasting },
        },
        { session: by?.session, ...(writes !== undefined && { writes }) },
      );
      return { archiveId: id, ticket };
    },
    showPresence(occupant, ticket = 0) {
      show.changed(occupant);
      show.announce(occupant, {}, ticket);
    },
    tell: (room, codes, ticket = 0) => speak.tell(room, codes, ticket),
  };
  for (const feature of roomFeatures) hall.extensions.push(feature.start(core, self));

  const wrong = wrongAddress(hall);
  core.offer(serviceDisco, discovery(hall));
  core.offer(roomPlaces, {
    placeIn(session, address) {
      const room = hall.at(names.locate(address));
      const nick = room && hall.seats.get(session)?.get(room)?.nick;
      return room && nick !== undefined ? { nick, membersOnly: room.config.membersOnly } : undefined;
    },
  });
  core.offer(presenceBroadcast, {
    broadcast(session) {
      if (session.priority === undefined) restore.unavailable(session);
    },
  });
  // Sessions say when they end; this finds what nobody said, guests and what a fault left behind.
  core.every(sweepMs, () => {
    restore.settle();
    restore.sweep();
  });

  const added = hall.extensions.flatMap(({ handlers }) => handlers ?? []);
  for (const each of added) if (each.ready !== undefined) ready.push(each.ready);
  const unique = `${ns.muc}#unique`;
  return {
    ready: Promise.all(ready),
    iq: [
      ...adminRequests(hall, change),
      ...ownerRequests(hall, change),
      {
        get: [unique, "unique"],
        at: ["service:conference"],
        open: true,
        answer(request) {
          if (request.place.at !== "service" || request.place.local !== "")
            return request.error(stanzaError("item-not-found"));
          return request.result(x("unique", { xmlns: unique }, text(core.random(15).toString("hex"))));
        },
      },
      ...added.flatMap(({ iq }) => iq ?? []),
    ],
    presence: wrong.presence,
    message: merged(wrong.admit, added),
    session: mergedSession(restore.session, added),
    account: mergedAccount(restore.account, added),
    async stop() {
      for (const each of added) await each.stop?.();
    },
  };
}

type Added = Pick<Handlers, "account" | "session" | "message">;

function merged(admit: NonNullable<NonNullable<Handlers["message"]>["admit"]>, added: readonly Added[]) {
  const all = added.flatMap(({ message }) => message ?? []);
  const first = <A>(results: Iterable<A | undefined>): A | undefined => {
    for (const result of results) if (result !== undefined) return result;
    return undefined;
  };
  return {
    admit: (flow) => admit(flow) ?? first(all.map((each) => each.admit?.(flow))),
    amend: (flow) => all.forEach((each) => void each.amend?.(flow)),
    store: (flow) => first(all.map((each) => each.store?.(flow))),
    copy: (flow) => all.forEach((each) => void each.copy?.(flow)),
    notify: (flow) => all.forEach((each) => void each.notify?.(flow)),
  } satisfies Handlers["message"];
}

function mergedSession(own: NonNullable<Handlers["session"]>, added: readonly Added[]) {
  const all = [own, ...added.flatMap(({ session }) => session ?? [])];
  return {
    opened: (session) => all.forEach((each) => void each.opened?.(session)),
    restored: (session, after) => all.forEach((each) => void each.restored?.(session, after)),
    resumed: (session, after) => all.forEach((each) => void each.resumed?.(session, after)),
    detached: (session) => all.forEach((each) => void each.detached?.(session)),
    closed: (session, why) => all.forEach((each) => void each.closed?.(session, why)),
  } satisfies Handlers["session"];
}

function mergedAccount(own: NonNullable<Handlers["account"]>, added: readonly Added[]) {
  const all = [own, ...added.flatMap(({ account }) => account ?? [])];
  return {
    created: (account) => all.forEach((each) => void each.created?.(account)),
    changed: (account) => all.forEach((each) => void each.changed?.(account)),
    renamed: (account, before) => all.forEach((each) => void each.renamed?.(account, before)),
    setAside: (account) => all.flatMap((each) => each.setAside?.(account) ?? []),
    removed: (account) => all.flatMap((each) => each.removed?.(account) ?? []),
  } satisfies Handlers["account"];
}
