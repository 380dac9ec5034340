import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Jid } from "../../jid/jid.ts";
import type { Write } from "../../storage/statement.ts";
import { text, x } from "../../xml/writer.ts";
import { storedConfig } from "./config.ts";
import { perView } from "./fan-out.ts";
import type { Hall } from "./hall.ts";
import type { History } from "./history.ts";
import { roleAfter } from "./powers.ts";
import type { Actor, Affiliation, Device, Occupant, Role, Room, RoomConfig } from "./room.ts";
import type { Showing, Shown } from "./showing.ts";
import type { Speaking } from "./speaking.ts";
import * as tables from "./tables.ts";

/** What is told once the rows are on their way to disk. */
type Telling = (ticket: number) => void;

/** Changes of rooms: rows first, then everybody concerned is told in one order. Rights are asked for elsewhere. */
export interface Changes {
  create(
    at: { served: number; service: string; name: string },
    /** Undefined: it is nobody's. */
    owner: string | undefined,
    options?: { config?: Partial<RoomConfig>; locked?: boolean; subject?: string; writes?: Write[] },
  ): Room;
  affiliate(
    room: Room,
    wanted: readonly { person: string; affiliation: Affiliation; reason?: string | undefined }[],
    by?: Actor,
    more?: readonly Write[],
  ): number;
  setRole(occupant: Occupant, role: Role, by?: Actor, reason?: string): number;
  configure(room: Room, config: RoomConfig, by?: Actor): number;
  setSubject(room: Room, subject: string, by?: Actor & { failed?: () => void }): number;
  destroy(
    room: Room,
    why?: { alternate?: Jid | undefined; reason?: string | undefined; password?: string | undefined; by?: Actor },
  ): number;
  /** One device leaves on its own, or is gone. */
  leave(occupant: Occupant, device: Device, shown?: Shown): void;
  /** Everybody leaves. */
  empty(room: Room, shown: Shown): void;
  /** The room goes if nothing keeps it. */
  tidy(room: Room): void;
}

/** So many people have an affiliation in one room at most. */
export const mostAffiliations = 20_000;

export const tooMany = (): StanzaError =>
  stanzaError("resource-constraint", { text: `A room knows ${mostAffiliations} people at most.` });

export function changes(parts: {
  hall: Hall;
  past: History;
  show: Showing;
  speak: Speaking;
  /** The nick is nobody's any more. */
  left: (occupant: Occupant) => void;
}): Changes {
  const { hall, past, show, speak } = parts;
  const { core } = hall;

  function create(
    { served, service, name }: { served: number; service: string; name: string },
    owner: string | undefined,
    {
      config,
      locked = false,
      subject,
      writes = [],
    }: { config?: Partial<RoomConfig>; locked?: boolean; subject?: string; writes?: Write[] } = {},
  ): Room {
    const settings = hall.services.get(service)?.settings();
    if (settings === undefined) throw new Error(`no room service ${service}`);
    const room: Room = {
      ...{ id: core.archiveIds(), served, service, name, createdAt: core.clock.now(), locked },
      config: shaped({ ...settings.defaults, ...config }, undefined),
      subject: subject === undefined ? undefined : { text: subject, nick: "", archiveId: core.archiveIds() },
      ...{ secret: core.random(32), affiliations: new Map(), occupants: new Map(), history: [], destroyed: false },
    };
    past.begin(room);
    hall.add(room);
    writes.push(
      tables.putRoom.with(
        ...([room.id, served, service, name, room.createdAt, storedConfig(room.config)] as const),
        ...([locked ? 1 : 0, room.secret, room.subject === undefined ? null : JSON.stringify(room.subject)] as const),
      ),
    );
    if (owner === undefined) return room;
    room.affiliations.set(owner, { affiliation: "owner", reason: undefined });
    writes.push(tables.putAffiliation.with(room.id, owner, "owner", null));
    for (const each of hall.extensions) writes.push(...(each.affiliationChanged?.(room, owner, undefined) ?? []));
    return room;
  }

  /** Takes all devices of an occupant out; everybody is told with these codes. */
  function expel(occupant: Occupant, shown: Shown, writes: Write[], tells: Telling[]): void {
    const { room } = occupant;
    for (const device of occupant.devices) writes.push(tables.dropOccupant.with(room.id, device.address));
    writes.push(hall.leftRow(occupant));
    tells.push((ticket) => {
      show.announce(occupant, { ...shown, unavailable: true }, ticket);
      takeOut(occupant);
    });
  }

  function takeOut(occupant: Occupant): void {
    const { room } = occupant;
    for (const device of [...occupant.devices]) hall.unseat(occupant, device);
    if (room.occupants.get(occupant.nick) === occupant) room.occupants.delete(occupant.nick);
    parts.left(occupant);
    for (const each of hall.extensions) each.left?.(occupant);
  }

  /** Rows and memory of one role; the new presence is told. */
  function become(occupant: Occupant, role: Role, shown: Shown, writes: Write[], tells: Telling[]): void {
    occupant.role = role;
    show.changed(occupant);
    for (const device of occupant.devices) writes.push(hall.occupantRow(occupant, device));
    tells.push((ticket) => show.announce(occupant, shown, ticket));
  }

  function affiliate(
    room: Room,
    wanted: readonly { person: string; affiliation: Affiliation; reason?: string | undefined }[],
    by?: Actor,
    more: readonly Write[] = [],
  ): number {
    const writes: Write[] = [...more];
    const tells: Telling[] = [];
    for (const { person, affiliation, reason } of wanted) {
      const before = hall.affiliation(room, person);
      if (affiliation === "none") {
        room.affiliations.delete(person);
        writes.push(tables.dropAffiliation.with(room.id, person));
      } else {
        room.affiliations.set(person, { affiliation, reason });
        writes.push(tables.putAffiliation.with(room.id, person, affiliation, reason ?? null));
      }
      for (const each of hall.extensions) writes.push(...(each.affiliationChanged?.(room, person, by) ?? []));
      const domain = person.includes("@") && person !== "@" ? undefined : person.replace("@", "");
      const concerned = [...room.occupants.values()].filter(
        ({ user }) => user === person || (domain !== undefined && user.slice(user.indexOf("@") + 1) === domain),
      );
      for (const occupant of concerned) {
        const now = hall.affiliation(room, occupant.user);
        const role = roleAfter(occupant.role, before, now, room.config);
        show.changed(occupant);
        if (role !== "none") become(occupant, role, { actor: by, reason }, writes, tells);
        else expel(occupant, { codes: [now === "outcast" ? 301 : 321], actor: by, reason }, writes, tells);
      }
      if (concerned.length === 0 && before !== affiliation)
        tells.push((ticket) => tellAffiliation(room, person, affiliation, ticket));
    }
    return finish(room, by, writes, tells);
  }

  /** Somebody who is not in the room: those who may know hear of it. XEP-0045 §9.3, §9.4 */
  function tellAffiliation(room: Room, person: string, affiliation: Affiliation, ticket: number): void {
    const write = perView((view) =>
      x(
        "message",
        { to: "", from: hall.address(room, view), type: "normal" },
        x("x", { xmlns: ns.mucUser }, x("item", { affiliation, jid: core.names.absolute(person, view), role: "none" })),
      ),
    );
    for (const occupant of room.occupants.values())
      if (hall.seesAddresses(room, occupant.user, occupant))
        for (const device of occupant.devices) hall.send(device, write, ticket);
  }

  function finish(room: Room, by: Actor | undefined, writes: Write[], tells: Telling[]): number {
    const session = by?.session?.ended === true ? undefined : by?.session;
    const ticket = writes.length === 0 ? 0 : core.sessions.commit(session, writes);
    for (const tell of tells) tell(ticket);
    tidy(room);
    return ticket;
  }

  function setRole(occupant: Occupant, role: Role, by?: Actor, reason?: string): number {
    const writes: Write[] = [];
    const tells: Telling[] = [];
    if (role === "none") expel(occupant, { codes: [307], actor: by, reason }, writes, tells);
    else become(occupant, role, { actor: by, reason }, writes, tells);
    return finish(occupant.room, by, writes, tells);
  }

  function shaped(config: RoomConfig, before: RoomConfig | undefined): RoomConfig {
    return hall.extensions.reduce((made, each) => each.shapeConfig?.(made, before) ?? made, config);
  }

  function configure(room: Room, wanted: RoomConfig, by?: Actor): number {
    const before = room.config;
    const config = shaped(wanted, before);
    const wasLocked = room.locked;
    room.config = config;
    room.locked = false;
    const writes: Write[] = [tables.setConfig.with(storedConfig(config), 0, room.id)];
    for (const each of hall.extensions) writes.push(...(each.configured?.(room, before) ?? []));
    const tells: Telling[] = [];
    const codes: number[] = [];
    if (before.logging !== config.logging) codes.push(config.logging ? 170 : 171);
    if (before.whois !== config.whois) codes.push(config.whois === "anyone" ? 172 : 173);
    const same = { logging: config.logging, whois: config.whois };
    if (storedConfig({ ...before, ...same }) !== storedConfig({ ...config, ...same })) codes.push(104);
    if (codes.length > 0 && !wasLocked) tells.push((ticket) => speak.tell(room, codes, ticket));
    for (const occupant of room.occupants.values()) {
      const affiliation = hall.affiliation(room, occupant.user);
      if (config.membersOnly && !before.membersOnly && affiliation === "none")
        expel(occupant, { codes: [322], actor: by }, writes, tells);
      // Nobody needs voice any more.
      else if (before.moderated && !config.moderated && occupant.role === "visitor")
        become(occupant, "participant", {}, writes, tells);
    }
    return finish(room, by, writes, tells);
  }

  function setSubject(room: Room, subject: string, by?: Actor & { failed?: () => void }): number {
    const before = room.subject;
    const nick = by?.nick ?? "";
    const { ticket } = speak.publish(
      room,
      {
        ...{ nick, occupantId: undefined, stanzaId: undefined, lang: undefined, lasting: false },
        ...{ payload: Buffer.from(x("subject", {}, text(subject))), view: core.names.primary.name },
      },
      {
        session: by?.session,
        writes: (archiveId) => [keepSubject(room, { text: subject, nick, archiveId })],
        failed() {
          room.subject = before;
          by?.failed?.();
        },
      },
    );
    return ticket;
  }

  function destroy(
    room: Room,
    why: { alternate?: Jid | undefined; reason?: string | undefined; password?: string | undefined; by?: Actor } = {},
  ): number {
    const alternate = why.alternate === undefined ? "" : core.names.relative(why.alternate);
    const ticket = core.sessions.commit(why.by?.session, gone(room));
    const shown: Shown = {
      ...{ unavailable: true, role: "none", affiliation: "none" },
      destroy: { jid: alternate, reason: why.reason, password: why.password },
    };
    for (const occupant of [...room.occupants.values()]) {
      for (const device of occupant.devices) show.show({ occupant, device }, occupant, shown, ticket);
      takeOut(occupant);
    }
    return ticket;
  }

  /** Takes the room out of memory; the rows that go. Bodies of messages go with the retention of archives. */
  function gone(room: Room): Write[] {
    hall.remove(room);
    return [
      ...hall.extensions.flatMap((each) => each.destroyed?.(room) ?? []),
      ...[tables.dropHistory, tables.dropOccupants, tables.dropAffiliations, tables.dropRoom].map((drop) =>
        drop.with(room.id),
      ),
    ];
  }

  function tidy(room: Room): void {
    if (room.destroyed || room.occupants.size > 0 || (room.config.persistent && !room.locked)) return;
    core.storage.commit(gone(room));
  }

  function leave(occupant: Occupant, device: Device, shown: Shown = {}): void {
    const { room } = occupant;
    const { session } = device;
    const rows = [tables.dropOccupant.with(room.id, device.address)];
    if (occupant.devices.length <= 1) rows.push(hall.leftRow(occupant));
    const ticket = core.sessions.commit(session?.ended === true ? undefined : session, rows);
    const last: Shown = { ...shown, unavailable: true };
    if (occupant.devices.length <= 1) {
      show.announce(occupant, last, ticket);
      takeOut(occupant);
      return tidy(room);
    }
    const spoke = occupant.devices.at(-1) === device;
    show.show({ occupant, device }, occupant, last, ticket);
    hall.unseat(occupant, device);
    show.changed(occupant);
    // Another device speaks for the nick now.
    if (spoke) show.announce(occupant, {}, ticket);
  }

  function empty(room: Room, shown: Shown): void {
    const writes: Write[] = [];
    const tells: Telling[] = [];
    for (const occupant of room.occupants.values()) expel(occupant, shown, writes, tells);
    finish(room, undefined, writes, tells);
  }

  return { create, empty, affiliate, setRole, configure, setSubject, destroy, leave, tidy };
}

/** Memory and row of a subject that is being set. */
export function keepSubject(room: Room, subject: NonNullable<Room["subject"]>): Write {
  room.subject = subject;
  return tables.setSubjectOf.with(JSON.stringify(subject), room.id);
}
