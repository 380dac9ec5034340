import type { Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { ServiceStanza } from "../../routing/handlers.ts";
import type { Place } from "../../routing/names.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Ticket } from "../../storage/storage.ts";
import type { Xml } from "../../xml/writer.ts";

/**
 * What a room is made of. Persons are known by their *stored bare address* everywhere (`bob@` here, `carol@elsewhere.example`
 * in full; `Rooms.person` gives it), so that a change of the domain touches nothing. XEP-0045 §4, §5
 */
export type Affiliation = "owner" | "admin" | "member" | "none" | "outcast";
export type Role = "moderator" | "participant" | "visitor" | "none";

/** The configuration, as the form has it. Texts are "" if unset. XEP-0045 §10.1, §15.5.3 */
export interface RoomConfig {
  readonly name: string;
  readonly description: string;
  readonly lang: string;
  readonly public: boolean;
  readonly persistent: boolean;
  readonly moderated: boolean;
  readonly membersOnly: boolean;
  /** "": none is asked. */
  readonly password: string;
  /** Who sees real addresses: anyone makes it non-anonymous, moderators semi-anonymous. */
  readonly whois: "anyone" | "moderators";
  readonly allowPm: "anyone" | "participants" | "moderators" | "none";
  /** Whether participants change the subject. */
  readonly changeSubject: boolean;
  /** Whether every occupant invites; in a members-only room this makes members of those invited. */
  readonly allowInvites: boolean;
  /** 0: as many as come. */
  readonly maxUsers: number;
  /** Roles whose presence is told to others. */
  readonly presenceBroadcast: readonly Role[];
  /** Roles that may read the list of members. */
  readonly memberListFor: readonly Role[];
  /** Messages of the past that somebody gets at most on joining; undefined: as the service has it. */
  readonly maxHistory: number | undefined;
  readonly logging: boolean;
  /** Who has registered a nick comes under it or not at all. */
  readonly reservedNickOnly: boolean;
  readonly changeNick: boolean;
  /** Whether people may register with the room. */
  readonly registration: boolean;
  /** Values of fields that extensions declare, by the field's name; absent: its default. */
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

export interface AffiliationEntry {
  readonly affiliation: Exclude<Affiliation, "none">;
  readonly reason: string | undefined;
}

export interface Subject {
  readonly text: string;
  /** Nick of who set it; "" for the room itself. */
  readonly nick: string;
  /** Id of the message that set it: says when. */
  readonly archiveId: number;
}

export interface Room {
  /** Row id, never used again. */
  readonly id: number;
  readonly served: number;
  /** The service's declared name, `conference`. */
  readonly service: string;
  /** The local part of its address. */
  readonly name: string;
  readonly createdAt: number;
  config: RoomConfig;
  /** Made and not configured yet: only its owner is in. XEP-0045 §10.1 */
  locked: boolean;
  subject: Subject | undefined;
  /** Occupant ids derive from it. */
  readonly secret: Buffer;
  /** By stored bare address, or stored domain (`@`, `elsewhere.example`) for those banned as a whole. */
  readonly affiliations: Map<string, AffiliationEntry>;
  /** By nick, in the order in which they came. */
  readonly occupants: Map<string, Occupant>;
  /** The last messages, oldest first, as newcomers see them. */
  readonly history: RoomMessage[];
  destroyed: boolean;
}

/** Somebody in the room under one nick, with one or several devices. */
export interface Occupant {
  readonly room: Room;
  nick: string;
  /** Stored bare address. */
  user: string;
  /** Undefined: somebody behind a component. */
  readonly account: Account | undefined;
  /** The same in every presence and message, for as long as room and account are. XEP-0421 */
  readonly id: string;
  role: Role;
  /** Never empty while the occupant is in the room; the last one is who speaks for the nick. */
  readonly devices: Device[];
}

export interface Device {
  /** Undefined: somebody behind a component. */
  readonly session: Session | undefined;
  /** Stored full address. */
  address: string;
  /** Its last presence in the room, canonical, without what only the room may say. */
  presence: { readonly lang: string | undefined; readonly payload: Buffer; readonly view: string };
}

/** A message of the room: said by an occupant, or by the room itself (nick ""). */
export interface RoomMessage {
  /** Id of the stanza row, and of the `<stanza-id/>`. */
  readonly id: number;
  readonly nick: string;
  /** XEP-0421 id of who said it; undefined: the room. */
  readonly occupantId: string | undefined;
  /** The client's id of the stanza. */
  readonly stanzaId: string | undefined;
  readonly lang: string | undefined;
  /** The inside of the stanza, with the occupant id, without the stanza id; written under `view`. */
  readonly payload: Buffer;
  readonly view: string;
  /** Whether newcomers are shown it. */
  readonly lasting: boolean;
}

/** One of the room services of the domain. */
export interface RoomService {
  /** Its declared name, as in `names`. */
  readonly name: string;
  /** As it is now; asked each time. */
  settings(): ServiceSettings;
}

/** What properties of a service say; services.ts makes them from Openfire's names. */
export interface ServiceSettings {
  /** What people read in discovery. */
  readonly title: string;
  /** Among the items of the server. */
  readonly listed: boolean;
  /** Messages of the past for newcomers: none, or at most this many. */
  readonly historyNumber: number;
  /** Whether locked rooms, and rooms for members only, are among the public ones. */
  readonly discoverLocked: boolean;
  readonly discoverMembersOnly: boolean;
  /** Configuration of new rooms. */
  readonly defaults: RoomConfig;
  /** Whether presence of an occupant to the room's own address counts as sent to his nick. */
  readonly barePresenceIsOwn: boolean;
  /** Owner of every room, by stored bare address. */
  isSysadmin(person: string): boolean;
  mayCreate(person: string, account: Account | undefined): boolean;
}

/** Who does something to a room: an occupant, a person from outside, or (undefined) the server. */
export interface Actor {
  /** Stored bare address. */
  readonly person: string;
  /** Its nick, if it is in the room. */
  readonly nick?: string | undefined;
  readonly session?: Session | undefined;
}

/** The rooms of this server. What changes something writes it first: others are told when the returned group is on disk. */
export interface Rooms {
  services(): readonly RoomService[];
  service(name: string): RoomService | undefined;
  /** From now on rooms are served there; `conference` is open from the start. A second call replaces the settings. */
  openService(service: RoomService): void;
  /** Its rooms stay stored, and nobody is in them. */
  closeService(name: string): void;
  all(): Iterable<Room>;
  byId(id: number): Room | undefined;
  get(served: number, service: string, name: string): Room | undefined;
  /** The room addressed, with or without a nick. */
  at(place: Place): Room | undefined;
  /** Bare address as somebody under `view` sees it; with a nick, the occupant's. */
  address(room: Room, view: string, nick?: string): string;
  /** Stored bare address of a person, by whichever of his names: `bob@`. */
  person(jid: Jid): string;
  affiliation(room: Room, person: string): Affiliation;
  /** The occupant that this device is; a session, or a stored full address. */
  occupant(room: Room, device: Session | string): Occupant | undefined;
  /** The occupant that sent this, if it is one. */
  speaker(room: Room, flow: Pick<ServiceStanza, "session" | "from">): Occupant | undefined;
  /** Whether somebody may see real addresses in this room. */
  seesAddresses(room: Room, person: string, occupant: Occupant | undefined): boolean;
  create(
    at: { served: number; service: string; name: string },
    owner: string,
    options?: { config?: Partial<RoomConfig>; locked?: boolean; writes?: Write[] },
  ): Room;
  /** Without asking for rights. Everybody concerned is told, who must leave leaves; the group to wait for. */
  setAffiliation(room: Room, person: string, affiliation: Affiliation, by?: Actor, reason?: string): Ticket;
  /** "none" puts the occupant out. Without asking for rights. */
  setRole(occupant: Occupant, role: Role, by?: Actor, reason?: string): Ticket;
  configure(room: Room, config: RoomConfig, by?: Actor): Ticket;
  setSubject(room: Room, subject: string, by?: Actor): Ticket;
  destroy(room: Room, why?: { alternate?: Jid | undefined; reason?: string | undefined; by?: Actor }): Ticket;
  /**
   * The room itself says something to everybody: `payload` is written under `view`. It is stored with its id, and is
   * part of the history if it is lasting. `writes` go into the same commit.
   */
  say(
    room: Room,
    said: { payload: Xml; view: string; lasting: boolean; writes?: (archiveId: number) => readonly Write[] },
    by?: Actor,
  ): { archiveId: number; ticket: Ticket };
  /** Tells everybody the presence of an occupant again, as it is now (hats, avatars). `ticket`: not before that group. */
  showPresence(occupant: Occupant, ticket?: Ticket): void;
  /** A message without a body that tells everybody of status codes, 104 among others. XEP-0045 §10.2 */
  tell(room: Room, codes: readonly number[], ticket?: Ticket): void;
}
