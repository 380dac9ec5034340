import type { DataForm, Field } from "../../formats/data-form.ts";
import type { StanzaError } from "../../formats/stanza-error.ts";
import type { Property } from "../../properties/property.ts";
import type { Handlers, OpenRequest, ServiceStanza } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import type { AddressPlace } from "../../routing/views.ts";
import type { Write } from "../../storage/statement.ts";
import type { Migration } from "../../storage/storage.ts";
import type { Xml } from "../../xml/writer.ts";
import type { Core, Implements } from "../module.ts";
import type { DiscoInfo, DiscoItems } from "../points.ts";
import type { Actor, Occupant, Room, RoomConfig, RoomMessage, RoomService, Rooms } from "./room.ts";

/**
 * How a feature of rooms plugs in: it is a `RoomFeature` in a file of this folder and stands in the list `roomFeatures`
 * of features.ts. Its declarations (specifications, properties, tables, addresses) become the module's; `start` gives
 * the hooks. Requests are answered by ordinary IQ handlers at `service:conference`, which `start` returns as
 * `handlers.iq`; the kind of every room service is "conference", `rooms.at(request.place)` gives the room. Hooks of
 * one kind run in the order of the list, and none of them waits: they run in the turn of the stanza.
 */
export interface RoomFeature {
  readonly name: string;
  readonly implements?: readonly Implements[];
  readonly properties?: readonly Property<unknown>[];
  readonly migrations?: readonly Migration[];
  readonly addresses?: readonly AddressPlace[];
  readonly start: (core: Core, rooms: Rooms) => RoomExtension;
}

/** A field of the configuration form that a feature owns; its value is in `RoomConfig.extra`. */
export interface ConfigField {
  /** With its type, label, options; `values` is the default. */
  readonly field: Field & { readonly name: string };
  /** What is wrong with submitted values, as a sentence; undefined: nothing. */
  check?(values: readonly string[]): string | undefined;
}

/** A device that asks to come in. */
export interface JoinAsk {
  readonly room: Room;
  readonly nick: string;
  /** Stored bare address. */
  readonly person: string;
  readonly flow: ServiceStanza;
  /** False: it is in already and wants another nick. */
  readonly entering: boolean;
}

/** A message from an occupant to all, before it is stored. */
export interface Saying {
  readonly room: Room;
  readonly occupant: Occupant;
  readonly flow: ServiceStanza;
}

export interface RoomExtension {
  /** More IQ, account or session handlers, `ready` and `stop`. */
  readonly handlers?: Pick<Handlers, "iq" | "account" | "session" | "message" | "ready" | "stop">;
  readonly configFields?: readonly ConfigField[];
  /** Features in disco#info of a room, of a service. */
  features?(room: Room): readonly string[];
  serviceFeatures?(service: RoomService): readonly string[];
  /** Fields added to `muc#roominfo` of a room. */
  infoFields?(room: Room): readonly Field[];
  /** Whole forms added to disco#info of a room, of a service. */
  infoForms?(room: Room): readonly DataForm[];
  serviceForms?(service: RoomService): readonly DataForm[];
  /** disco#info of a room at a node: `x-roomuser-item`. */
  nodeInfo?(request: OpenRequest, room: Room, node: string): DiscoInfo | undefined;
  nodeItems?(request: OpenRequest, room: Room | undefined, node: string): DiscoItems | undefined;
  /** Appended to every presence of the occupant that others (and it) get. Same for every reader but his view. */
  presence?(occupant: Occupant, view: string): Xml | undefined;
  /** A room that is nobody's, made by the server when the first one enters. */
  builtIn?(at: {
    served: number;
    service: string;
    name: string;
  }): { readonly config: Partial<RoomConfig>; readonly subject: string } | undefined;
  /** A refusal keeps somebody out, or his old nick. */
  admitJoin?(ask: JoinAsk): StanzaError | undefined;
  /** A refusal is told to the sender, nobody else sees the message. */
  admitMessage?(saying: Saying): StanzaError | undefined;
  /** Rows for the commit of a message that everybody gets; also for what the room itself says and for subjects. */
  storeMessage?(room: Room, message: RoomMessage): readonly Write[];
  /** After presences, history and subject went out. */
  joined?(occupant: Occupant, session: Session | undefined): void;
  /** The last device of the occupant is gone. */
  left?(occupant: Occupant): void;
  /** In memory it is so already; rows for the same commit. */
  affiliationChanged?(room: Room, person: string, by: Actor | undefined): readonly Write[];
  configured?(room: Room, before: RoomConfig): readonly Write[];
  /** What becomes of a configuration that is about to be in force, of a new room too (`before` undefined): presets. */
  shapeConfig?(config: RoomConfig, before: RoomConfig | undefined): RoomConfig;
  /** Messages with a lower id are not for this person, neither as history on joining nor from the archive; 0: all are. */
  seesFrom?(room: Room, person: string): number;
  /** Rows for the commit that removes it for good. */
  destroyed?(room: Room): readonly Write[];
  /** A local user is another name now; rows of the core tables follow by themselves. */
  renamed?(before: string, now: string): readonly Write[];
}
