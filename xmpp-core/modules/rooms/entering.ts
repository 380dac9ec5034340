import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { parseStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { ServiceStanza } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import { text, x } from "../../xml/writer.ts";
import type { Changes } from "./changes.ts";
import type { Hall } from "./hall.ts";
import type { History } from "./history.ts";
import type { Pace } from "./pace.ts";
import { presencePayload } from "./payload.ts";
import { atLeast, initialRole } from "./powers.ts";
import type { Device, Occupant, Room } from "./room.ts";
import type { Showing } from "./showing.ts";
import type { Speaking } from "./speaking.ts";

export interface Entering {
  presence(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** An error that came back for something the room sent; ghosts go. XEP-0045 §11.1, §17.4 */
  errorFrom(occupant: Occupant, device: Device, flow: ServiceStanza): void;
  /** The session is in its rooms again after a crash: it sees everybody anew, and who left just before. */
  returned(session: Session, left: (room: Room) => Iterable<string>): void;
}

const nobodyThere = new Set<string>([
  "gone",
  "item-not-found",
  "recipient-unavailable",
  "redirect",
  "remote-server-not-found",
  "remote-server-timeout",
]);

const first = <T>(found: readonly (T | undefined)[]): T | undefined => found.find((one) => one !== undefined);

/** Coming in, showing presence, changing the nick, leaving. XEP-0045 §7.1, §7.2, §7.6, §7.7, §7.14 */
export function entering(parts: {
  hall: Hall;
  past: History;
  show: Showing;
  speak: Speaking;
  change: Changes;
  joins: Pace;
}): Entering {
  const { hall, past, show, speak, change, joins } = parts;
  const { core } = hall;

  const saidBy = ({ stanza, view }: ServiceStanza): Device["presence"] => ({
    ...{ lang: stanza.lang, payload: presencePayload(stanza), view },
  });

  function presence(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined> {
    const { stanza, place } = flow;
    if (flow.session?.account.probe === true || place.local === "") return undefined;
    const room = hall.at(place);
    const occupant = room && hall.speaker(room, flow);
    const device = occupant && hall.deviceOf(occupant, flow.session ?? hall.sender(flow));
    if (stanza.type === "unavailable" || stanza.type === "error") {
      if (occupant === undefined || device === undefined) return undefined;
      if (stanza.type === "error") errorFrom(occupant, device, flow);
      else change.leave(occupant, device, { payload: saidBy(flow) });
      return undefined;
    }
    if (stanza.type !== undefined) return undefined;
    if (place.resource === "") {
      const isOwn = hall.services.get(place.label)?.settings().barePresenceIsOwn === true;
      if (occupant === undefined || device === undefined || !isOwn) return nameless();
      update(occupant, device, flow);
      return undefined;
    }
    const asked = stanza.child(ns.muc, "x");
    if (occupant !== undefined && device !== undefined && asked === undefined && occupant.nick === place.resource) {
      update(occupant, device, flow);
      return undefined;
    }
    if (occupant === undefined && asked === undefined && stanza.has(ns.capabilities)) {
      strayed(flow);
      return undefined;
    }
    if (!joins.allows(flow.session ?? hall))
      return stanzaError("resource-constraint", { text: "That was too much at once. Please try again in a moment." });
    const loading = room && past.load(room);
    return loading === undefined ? enter(flow, asked) : loading.then(() => enter(flow, asked));
  }

  /** A client of today that believes to be in the room: a join would leave it half in step. XEP-0045 §7.2.17 */
  function strayed(flow: ServiceStanza): void {
    const kicked = x(
      "x",
      { xmlns: ns.mucUser },
      x("item", { affiliation: "none", role: "none" }, x("reason", {}, text("You are not in the room."))),
      [110, 307, 333].map((code) => x("status", { code })),
    );
    core.router.sendTo(flow.from, (view, to) => {
      const from = core.names.absolute(core.names.relative(flow.to), view);
      return x("presence", { from, to, type: "unavailable", id: flow.stanza.id }, kicked);
    });
  }

  function enter(flow: ServiceStanza, asked: Element | undefined): StanzaError | undefined {
    const { place, session } = flow;
    if (session?.ended === true) return undefined;
    const known = hall.at(place);
    const inside = known && hall.speaker(known, flow);
    const device = inside && hall.deviceOf(inside, session ?? hall.sender(flow));
    if (inside !== undefined && device !== undefined) {
      if (inside.nick !== place.resource) return rename(inside, device, flow);
      device.presence = saidBy(flow);
      show.changed(inside);
      core.sessions.commit(session, [hall.occupantRow(inside, device)]);
      tellOthers(inside, 0);
      inform(inside, device, asked, 0, { id: flow.stanza.id });
      return undefined;
    }
    const person = hall.person(flow.from);
    const writes: Write[] = [];
    const at = { served: place.served.id, service: place.label, name: place.local };
    const builtIn = known === undefined ? first(hall.extensions.map((each) => each.builtIn?.(at))) : undefined;
    const created = known === undefined && builtIn === undefined;
    const refused =
      known !== undefined ? mayEnter(known, person, flow, asked) : builtIn ? undefined : mayCreate(flow, person);
    if (refused !== undefined) return refused;
    // The old protocol knows no configuration: what it makes is open at once. XEP-0045 §7.2.17
    const room =
      known ??
      (builtIn === undefined
        ? change.create(at, person, { locked: asked !== undefined, writes })
        : change.create(at, undefined, { ...builtIn, writes }));
    const vetoed = veto(room, person, flow, true);
    if (vetoed !== undefined) {
      if (known === undefined) hall.remove(room);
      return vetoed;
    }
    takeSeat(room, person, flow, asked, writes, created);
    return undefined;
  }

  function veto(room: Room, person: string, flow: ServiceStanza, isEntering: boolean): StanzaError | undefined {
    for (const each of hall.extensions) {
      const refused = each.admitJoin?.({ room, nick: flow.place.resource, person, flow, entering: isEntering });
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  function mayCreate({ place, session }: ServiceStanza, person: string): StanzaError | undefined {
    const settings = hall.services.get(place.label)?.settings();
    if (settings === undefined) return stanzaError("service-unavailable");
    if (settings.mayCreate(person, session?.account)) return undefined;
    return stanzaError("not-allowed", { text: "You may not create rooms here." });
  }

  function mayEnter(
    room: Room,
    person: string,
    { place }: ServiceStanza,
    asked: Element | undefined,
  ): StanzaError | undefined {
    const { config } = room;
    const affiliation = hall.affiliation(room, person);
    if (affiliation === "outcast") return stanzaError("forbidden", { text: "You are banned from this room." });
    if (room.locked && affiliation !== "owner")
      return stanzaError("item-not-found", { text: "This room is not open yet." });
    if (config.membersOnly && affiliation === "none")
      return stanzaError("registration-required", { text: "Only members may enter this room." });
    if (config.password !== "" && asked?.getChildText("password", ns.muc) !== config.password)
      return stanzaError("not-authorized", { text: "This room asks for a password." });
    const holder = room.occupants.get(place.resource);
    if (holder !== undefined && holder.user !== person)
      return stanzaError("conflict", { text: "Somebody else has this nickname." });
    if (holder === undefined && config.maxUsers > 0 && room.occupants.size >= config.maxUsers)
      if (!atLeast(affiliation, "admin")) return stanzaError("service-unavailable", { text: "The room is full." });
    return undefined;
  }

  function takeSeat(
    room: Room,
    person: string,
    flow: ServiceStanza,
    asked: Element | undefined,
    writes: Write[],
    created: boolean,
  ): void {
    const { place, session, stanza } = flow;
    const device: Device = { session, address: hall.sender(flow), presence: saidBy(flow) };
    const holder = room.occupants.get(place.resource);
    const occupant: Occupant = holder ?? {
      ...{ room, nick: place.resource, user: person, devices: [] },
      account: session?.account ?? hall.accountOf(room.served, person),
      ...{ id: hall.occupantId(room, person), role: initialRole(hall.affiliation(room, person), room.config) },
    };
    room.occupants.set(occupant.nick, occupant);
    hall.seat(occupant, device);
    show.changed(occupant);
    writes.push(hall.occupantRow(occupant, device));
    const ticket = core.sessions.commit(session, writes);
    tellOthers(occupant, ticket);
    inform(occupant, device, asked, ticket, { id: stanza.id, ...(created && { codes: [201] }) });
  }

  function tellOthers(occupant: Occupant, ticket: number): void {
    if (occupant.room.config.presenceBroadcast.includes(occupant.role)) show.others(occupant, {}, ticket);
  }

  /** What somebody who comes in is told, in this order. XEP-0045 §7.1 */
  function inform(
    occupant: Occupant,
    device: Device,
    asked: Element | undefined,
    ticket: number,
    { codes = [], id }: { codes?: readonly number[]; id?: string | undefined },
  ): void {
    const { room } = occupant;
    const to = { occupant, device };
    show.welcome(to, ticket);
    const about = [...(room.config.whois === "anyone" ? [100] : []), ...(room.config.logging ? [170] : []), ...codes];
    show.show(to, occupant, {}, ticket, { codes: about, id });
    past.send(room, occupant.user, device, asked, ticket);
    speak.subject(room, device, ticket);
    for (const each of hall.extensions) each.joined?.(occupant, device.session);
  }

  function update(occupant: Occupant, device: Device, flow: ServiceStanza): void {
    device.presence = saidBy(flow);
    // Who showed itself last speaks for the nick.
    occupant.devices.push(...occupant.devices.splice(occupant.devices.indexOf(device), 1));
    show.changed(occupant);
    core.sessions.commit(flow.session, [hall.occupantRow(occupant, device)]);
    show.announce(occupant, {}, 0);
  }

  function rename(occupant: Occupant, device: Device, flow: ServiceStanza): StanzaError | undefined {
    const { room } = occupant;
    const nick = flow.place.resource;
    if (!room.config.changeNick && !atLeast(hall.affiliation(room, occupant.user), "admin"))
      return stanzaError("not-acceptable", { text: "Nicknames are not changed in this room." });
    const holder = room.occupants.get(nick);
    if (holder !== undefined && holder.user !== occupant.user)
      return stanzaError("conflict", { text: "Somebody else has this nickname." });
    const vetoed = veto(room, occupant.user, flow, false);
    if (vetoed !== undefined) return vetoed;
    device.presence = saidBy(flow);
    if (occupant.devices.length > 1 || holder !== undefined) {
      moveDevice(occupant, device, nick);
      return undefined;
    }
    const before: Occupant = { ...occupant };
    const left = hall.leftRow(before);
    room.occupants.delete(occupant.nick);
    occupant.nick = nick;
    room.occupants.set(nick, occupant);
    show.changed(occupant);
    const ticket = core.sessions.commit(flow.session, [hall.occupantRow(occupant, device), left]);
    const shown = { unavailable: true, codes: [303], newNick: nick, role: occupant.role } as const;
    if (room.config.presenceBroadcast.includes(occupant.role)) show.others(before, shown, ticket, device);
    show.show({ occupant: before, device }, before, shown, ticket);
    show.announce(occupant, {}, ticket);
    return undefined;
  }

  /** One of several devices takes another nick, maybe one that a further device has: to the others it goes and comes. */
  function moveDevice(occupant: Occupant, device: Device, nick: string): void {
    const { room } = occupant;
    const before: Occupant = { ...occupant, devices: [device] };
    const last = occupant.devices.length === 1;
    hall.unseat(occupant, device);
    if (last) room.occupants.delete(occupant.nick);
    const target = room.occupants.get(nick) ?? { ...occupant, nick, devices: [] };
    room.occupants.set(nick, target);
    hall.seat(target, device);
    show.changed(target);
    show.changed(occupant);
    const rows = [hall.occupantRow(target, device), ...(last ? [hall.leftRow(before)] : [])];
    const ticket = core.sessions.commit(device.session, rows);
    const shown = { unavailable: true, codes: [303], newNick: nick, role: occupant.role } as const;
    if (last) show.others(before, { unavailable: true }, ticket, device);
    show.show({ occupant: before, device }, before, shown, ticket);
    if (!last) show.announce(occupant, {}, ticket);
    show.announce(target, {}, ticket);
  }

  function errorFrom(occupant: Occupant, device: Device, { stanza }: ServiceStanza): void {
    const error = parseStanzaError(stanza);
    if (error === undefined || error.type === "wait" || !nobodyThere.has(error.condition)) return;
    change.leave(occupant, device, { codes: [333], reason: "What was sent could not be delivered." });
  }

  const gone = (room: Room, nick: string) => (view: string, to: string) =>
    x(
      "presence",
      { from: hall.address(room, view, nick), to, type: "unavailable" },
      x("x", { xmlns: ns.mucUser }, x("item", { affiliation: "none", role: "none" })),
    );

  return {
    presence,
    errorFrom,
    returned(session, left) {
      for (const [, occupant] of hall.seats.get(session) ?? []) {
        const device = hall.deviceOf(occupant, session);
        if (device === undefined) continue;
        const { room } = occupant;
        for (const nick of left(room)) if (!room.occupants.has(nick)) hall.send(device, gone(room, nick));
        show.welcome({ occupant, device }, 0);
        show.show({ occupant, device }, occupant, {}, 0);
      }
    },
  };
}

const nameless = (): StanzaError =>
  stanzaError("jid-malformed", { text: "A room is entered under a nickname: room@service/nickname." });
