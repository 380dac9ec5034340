import type { Jid } from "../jid/jid.ts";
import type { Session } from "../routing/session.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Point } from "./module.ts";

/** The typed points around clients that do not look or are away. */
function point<T>(name: string): Point<T> {
  return { name };
}

/** What somebody is in a room, for the question what is urgent. Offered by the rooms. */
export interface RoomPlaces {
  /** Undefined: the address is no room, or the session is not in it. */
  placeIn(session: Session, room: Jid): { readonly nick: string; readonly membersOnly: boolean } | undefined;
}
export const roomPlaces = point<RoomPlaces>("room places");

/** Told what a person wants to know of at once, when it goes to a client that does not look or is away. */
export interface Wakers {
  woken(session: Session, stanza: Stanza): void;
}
export const wakers = point<Wakers>("wakers");

/** Whether a message would wake the person it is for. Offered by client-state. */
export interface Urgent {
  /** `from`: full address of the sender; `own`: bare address of the person, both under one view. */
  wakes(message: Stanza, from: string, own: string): boolean;
}
export const urgent = point<Urgent>("urgent");

/** Sessions that are kept for long after their connection is gone, since something can call their client back. */
export interface Hibernation {
  hibernates(session: Session): boolean;
}
export const hibernation = point<Hibernation>("hibernation");

/** How a client looks at what it gets. Offered by client-state. */
export interface Attention {
  /** Whether `Wakers` were told of what went to the session until now: it had said that nobody looks. XEP-0352 */
  wasTold(session: Session): boolean;
  /** The stanza, if it would wake the person. */
  wakes(session: Session, data: Buffer | string): Stanza | undefined;
}
export const attention = point<Attention>("attention");

/** Told when a client looks again: it said so, or it is back. */
export interface LooksAgain {
  looksAgain(session: Session): void;
}
export const looksAgain = point<LooksAgain>("looks again");
