import { parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { AccountHandlers, SessionHandlers } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Changes } from "./changes.ts";
import { readConfig } from "./config.ts";
import type { Entering } from "./entering.ts";
import type { Hall } from "./hall.ts";
import type { Device, Occupant, Room, Subject } from "./room.ts";
import type { Shown } from "./showing.ts";
import * as tables from "./tables.ts";

export interface Restoring {
  /** Reads the rooms and who is in them. */
  load(): Promise<void>;
  /** Those whose sessions did not come back have left; called before anything else happens in a room. */
  settle(): void;
  readonly session: SessionHandlers;
  readonly account: AccountHandlers;
  /** Takes out whoever has gone without a word. */
  sweep(): void;
  /** The session said that it is not available any more. */
  unavailable(session: Session): void;
}

/** Longer than a client takes to come back. */
const leftKeptMs = 3600_000;

/** Rooms and occupants over restarts and crashes, and over the changes of accounts. */
export function restoring(parts: { hall: Hall; change: Changes; enter: Entering }): Restoring {
  const { hall, change, enter } = parts;
  const { core } = hall;
  /** Rows of occupants whose sessions are not here yet, by the session's id. */
  const awaited = new Map<number, tables.OccupantRow[]>();
  /** Nicks that were given up shortly before this start, by room. */
  const left = new Map<number, string[]>();
  let settled = false;
  const crashed = new WeakSet<Session>();

  async function load(): Promise<void> {
    for (const row of await core.storage.read(tables.allRooms)) {
      const room: Room = {
        ...{ id: row.id, served: row.served, service: row.service, name: row.name, createdAt: row.created_at },
        ...{ config: readConfig(row.config), locked: row.locked === 1, secret: Buffer.from(row.secret) },
        subject: row.subject === null ? undefined : (JSON.parse(row.subject) as Subject),
        ...{ affiliations: new Map(), occupants: new Map(), history: [], destroyed: false },
      };
      hall.add(room);
    }
    for (const { room, person, affiliation, reason } of await core.storage.read(tables.allAffiliations))
      hall.byId.get(room)?.affiliations.set(person, { affiliation, reason: reason ?? undefined });
    for (const { room, nick } of await core.storage.read(tables.allLeft))
      left.set(room, [...(left.get(room) ?? []), nick]);
    for (const row of await core.storage.read(tables.allOccupants)) {
      if (row.session === null) takeBack(row, undefined);
      else awaited.set(row.session, [...(awaited.get(row.session) ?? []), row]);
    }
  }

  function takeBack(
    row: tables.OccupantRow,
    session: Session | undefined,
  ): { occupant: Occupant; device: Device } | undefined {
    const room = hall.byId.get(row.room);
    if (room === undefined) return undefined;
    const user = session === undefined ? (row.address.split("/")[0] ?? "") : `${session.account.name}@`;
    const presence = {
      ...{ lang: row.lang ?? undefined, payload: Buffer.from(row.payload) },
      view: core.names.epochName(row.epoch),
    };
    const device: Device = { session, address: row.address, presence };
    const occupant = room.occupants.get(row.nick) ?? {
      ...{ room, nick: row.nick, user, devices: [], role: row.role, id: hall.occupantId(room, user) },
      account: session?.account ?? hall.accountOf(room.served, user),
    };
    room.occupants.set(row.nick, occupant);
    hall.seat(occupant, device);
    return { occupant, device };
  }

  function settle(): void {
    if (settled) return;
    settled = true;
    for (const rows of awaited.values())
      for (const row of rows) {
        const back = takeBack(row, undefined);
        if (back !== undefined) change.leave(back.occupant, back.device, { codes: [333] });
      }
    awaited.clear();
    for (const room of [...hall.all()]) change.tidy(room);
  }

  function leaveAll(session: Session | string, shown: Shown = {}): void {
    for (const [, occupant] of [...(hall.seats.get(session) ?? [])]) {
      const device = hall.deviceOf(occupant, session);
      if (device !== undefined) change.leave(occupant, device, shown);
    }
  }

  /** A guest whose component is not connected sees nothing of the room any more. */
  function isReachable(address: string): boolean {
    const jid = parseJid(core.names.absolute(address, core.names.primary.name));
    const place = jid && core.names.locate(jid);
    return place?.at === "service" && core.router.service(place.label)?.link !== undefined;
  }

  /** Drops what is kept of a person; the rows go with the account's. */
  function forget(account: Account): Write[] {
    const person = `${account.name}@`;
    for (const room of hall.all()) if (room.served === account.served) room.affiliations.delete(person);
    return [tables.forgetPerson.with(person, account.served)];
  }

  hall.onLost = (guest) => leaveAll(guest, { codes: [333] });

  return {
    load,
    settle,
    sweep() {
      core.storage.commit([tables.forgetLeft.with(core.clock.now() - leftKeptMs)]);
      for (const session of [...hall.seats.keys()])
        if (typeof session === "string" ? !isReachable(session) : session.ended) leaveAll(session);
    },
    unavailable(session) {
      if (!hall.seats.has(session)) return;
      // The end of directed presence follows in this turn and says more.
      queueMicrotask(() => {
        if (session.priority === undefined) leaveAll(session);
      });
    },
    session: {
      restored(session, after) {
        for (const row of awaited.get(session.id) ?? []) takeBack(row, session);
        awaited.delete(session.id);
        if (after === "crash") crashed.add(session);
        // Every session is back before anything else runs.
        queueMicrotask(settle);
      },
      opened: settle,
      resumed(session) {
        if (crashed.delete(session)) enter.returned(session, (room) => left.get(room.id) ?? []);
      },
      closed: (session) => leaveAll(session),
    },
    account: {
      renamed(account, before) {
        const [was, now] = [`${before}@`, `${account.name}@`];
        const writes: Write[] = [tables.renamePerson.with(now, was, account.served)];
        for (const room of hall.all()) {
          if (room.served !== account.served) continue;
          const entry = room.affiliations.get(was);
          room.affiliations.delete(was);
          if (entry !== undefined) room.affiliations.set(now, entry);
          for (const occupant of room.occupants.values()) if (occupant.user === was) readdress(occupant, now, writes);
        }
        for (const each of hall.extensions) writes.push(...(each.renamed?.(was, now) ?? []));
        core.storage.commit(writes);
      },
      setAside: forget,
      removed: forget,
    },
  };

  function readdress(occupant: Occupant, user: string, writes: Write[]): void {
    occupant.user = user;
    for (const device of occupant.devices) {
      writes.push(tables.dropOccupant.with(occupant.room.id, device.address));
      device.address = `${user}/${device.address.slice(device.address.indexOf("/") + 1)}`;
      writes.push(hall.occupantRow(occupant, device));
    }
  }
}
