import { createHmac } from "node:crypto";
import { formatJid, type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { ServiceStanza } from "../../routing/handlers.ts";
import type { Place } from "../../routing/names.ts";
import type { Cargo } from "../../routing/outbound.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Xml } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import type { RoomExtension } from "./extensions.ts";
import type { Affiliation, Device, Occupant, Room, RoomService } from "./room.ts";
import * as tables from "./tables.ts";

/** The rooms in memory, who is where, and how everybody is addressed. What changes them is in the files beside. */
export interface Hall {
  readonly core: Core;
  /** Of all features, in their order; filled once at start. */
  readonly extensions: RoomExtension[];
  readonly services: Map<string, RoomService>;
  readonly byId: Map<number, Room>;
  /** Where each session is, and each guest: somebody behind a component, by stored full address. */
  readonly seats: Map<Session | string, Map<Room, Occupant>>;
  all(): Iterable<Room>;
  get(served: number, service: string, name: string): Room | undefined;
  at(place: Place): Room | undefined;
  add(room: Room): void;
  remove(room: Room): void;
  address(room: Room, view: string, nick?: string): string;
  jid(room: Room, view: string, nick?: string): Jid;
  person(jid: Jid): string;
  accountOf(served: number, person: string): Account | undefined;
  /** Full stored address of who sent it. */
  sender(flow: Pick<ServiceStanza, "session" | "from">): string;
  affiliation(room: Room, person: string): Affiliation;
  speaker(room: Room, flow: Pick<ServiceStanza, "session" | "from">): Occupant | undefined;
  deviceOf(occupant: Occupant, key: Session | string): Device | undefined;
  occupantId(room: Room, person: string): string;
  seat(occupant: Occupant, device: Device): void;
  unseat(occupant: Occupant, device: Device): void;
  occupantRow(occupant: Occupant, device: Device): Write;
  /** Remembers for a while that this nick is nobody's any more. */
  leftRow(occupant: Occupant): Write;
  seesAddresses(room: Room, person: string, occupant: Occupant | undefined): boolean;
  /** Told of guests that could not be reached, after the turn in which that was tried. */
  onLost: (guest: string) => void;
  /** False: nobody is there. */
  send(device: Device, write: (view: string, to: string) => Xml | Buffer, ticket?: number, cargo?: Cargo): boolean;
  /** To every device in the room. */
  sendAll(room: Room, write: (view: string, to: string) => Xml, ticket?: number, cargo?: Cargo): void;
}

const keyOf = (served: number, service: string, name: string): string => `${served} ${service} ${name}`;

export function openHall(core: Core): Hall {
  const { names, accounts, router } = core;
  const byKey = new Map<string, Room>();
  const byId = new Map<number, Room>();
  const services = new Map<string, RoomService>();
  const seats = new Map<Session | string, Map<Room, Occupant>>();
  const get = (served: number, service: string, name: string): Room | undefined =>
    byKey.get(keyOf(served, service, name));
  const jid = (room: Room, view: string, nick = ""): Jid => ({
    local: room.name,
    domain: names.hostName(view, room.service),
    resource: nick,
  });

  function person(given: Jid): string {
    const place = names.locate(given);
    if (place.at !== "account") return names.relative({ ...given, resource: "" });
    return `${accounts.get(place.served.id, place.name)?.name ?? place.name}@`;
  }

  function accountOf(served: number, stored: string): Account | undefined {
    const at = stored.indexOf("@");
    return at > 0 && at === stored.length - 1 ? accounts.get(served, stored.slice(0, at)) : undefined;
  }

  function sender({ session, from }: Pick<ServiceStanza, "session" | "from">): string {
    return session === undefined ? names.relative(from) : `${session.account.name}@/${session.resource}`;
  }

  function affiliation(room: Room, stored: string): Affiliation {
    if (services.get(room.service)?.settings().isSysadmin(stored) === true) return "owner";
    const own = room.affiliations.get(stored)?.affiliation;
    if (own !== undefined) return own;
    const domain = stored.slice(stored.indexOf("@") + 1);
    return room.affiliations.get(domain === "" ? "@" : domain)?.affiliation === "outcast" ? "outcast" : "none";
  }

  function occupantId(room: Room, stored: string): string {
    const account = accountOf(room.served, stored);
    const whom = account === undefined ? `address:${stored}` : `account:${account.id}`;
    return createHmac("sha256", room.secret).update(whom).digest("base64url");
  }

  function send(device: Device, write: (view: string, to: string) => Xml | Buffer, ticket = 0, cargo?: Cargo): boolean {
    const { session } = device;
    if (session !== undefined) {
      if (session.ended) return false;
      session.outbound.stanza(write(session.view, session.address), ticket, cargo);
      return true;
    }
    const to = parseJid(names.absolute(device.address, names.primary.name));
    const sent = to !== undefined && router.sendTo(to, write, ticket, cargo);
    // Later: whoever is being told of things goes through the occupants now.
    if (!sent) queueMicrotask(() => hall.onLost(device.address));
    return sent;
  }

  const hall: Hall = {
    onLost: () => undefined,
    ...{
      core,
      extensions: [],
      services,
      byId,
      seats,
      get,
      jid,
      person,
      accountOf,
      sender,
      affiliation,
      occupantId,
      send,
    },
    all: () => byId.values(),
    at: (place) => (place.at === "service" ? get(place.served.id, place.label, place.local) : undefined),
    add(room) {
      byKey.set(keyOf(room.served, room.service, room.name), room);
      byId.set(room.id, room);
    },
    remove(room) {
      room.destroyed = true;
      byKey.delete(keyOf(room.served, room.service, room.name));
      byId.delete(room.id);
    },
    address: (room, view, nick) => formatJid(jid(room, view, nick)),
    speaker: (room, flow) => seats.get(flow.session ?? sender(flow))?.get(room),
    deviceOf: (occupant, key) =>
      occupant.devices.find(({ session, address }) => (typeof key === "string" ? address === key : session === key)),
    seat(occupant, device) {
      occupant.devices.push(device);
      const key = device.session ?? device.address;
      const mine = seats.get(key) ?? new Map<Room, Occupant>();
      seats.set(key, mine.set(occupant.room, occupant));
    },
    unseat(occupant, device) {
      const place = occupant.devices.indexOf(device);
      if (place >= 0) occupant.devices.splice(place, 1);
      const key = device.session ?? device.address;
      const mine = seats.get(key);
      if (mine?.get(occupant.room) === occupant) mine.delete(occupant.room);
      if (mine?.size === 0) seats.delete(key);
    },
    occupantRow: ({ room, nick, role }, { session, address, presence: { lang, payload, view } }) =>
      tables.putOccupant.with(
        ...([room.id, address, session?.id ?? null, nick, role] as const),
        ...([lang ?? null, names.epochOf(view), payload] as const),
      ),
    leftRow: ({ room, nick }) => tables.putLeft.with(room.id, nick, core.clock.now()),
    seesAddresses: (room, stored, occupant) =>
      room.config.whois === "anyone" ||
      occupant?.role === "moderator" ||
      affiliation(room, stored) === "owner" ||
      affiliation(room, stored) === "admin",
    sendAll(room, write, ticket, cargo) {
      for (const occupant of room.occupants.values())
        for (const device of occupant.devices) send(device, write, ticket, cargo);
    },
  };
  return hall;
}
