import { z } from "zod";
import { type Property, property } from "../../properties/property.ts";
import {
  boolean,
  enumeration,
  hostLabel,
  integer,
  jidList,
  milliseconds,
  readText,
  type TextSchema,
} from "../../properties/text-schema.ts";
import type { RoomConfig } from "./room.ts";

/**
 * What Openfire keeps for each MUC service in a table of its own (`ofMucServiceProp`), under the same names behind
 * `firekeeper.muc.`: they hold for every room service, unless `firekeeper.muc.services` gives one of them another value.
 */
function own<T, const D extends T | undefined>(key: string, schema: TextSchema<T>, fallback: D, doc: string) {
  return property<T, D>(key, { schema, default: fallback, impact: "live", doc });
}

const newRooms = (what: string): string => `In new rooms: ${what}.`;

export const historyType = own(
  "firekeeper.muc.history.type",
  enumeration("none", "number", "all"),
  "number",
  "Which messages of the past newcomers are shown: none, the last ones up to history.maxNumber, or all that a room remembers (1000 at most).",
);
export const historyNumber = own(
  "firekeeper.muc.history.maxNumber",
  integer(0, 1000),
  25,
  "How many messages of the past newcomers are shown at most.",
);
export const sysadmins = own(
  "firekeeper.muc.sysadmin.jid",
  jidList,
  [],
  "People who are owners of every room; a name without a domain is one of this server.",
);
export const discoverLocked = own(
  "firekeeper.muc.discover.locked",
  boolean,
  true,
  "Whether rooms that are not configured yet are listed among the public ones.",
);
export const discoverMembersOnly = own(
  "firekeeper.muc.discover.membersOnly",
  boolean,
  true,
  "Whether public rooms for members only are listed for everybody; false: for those who belong to them.",
);
export const createRestricted = own(
  "firekeeper.muc.create.anyone",
  boolean,
  false,
  "Whether making rooms is restricted, in spite of its name, which is Openfire's: true leaves it to those whom create.jid, create.all-registered and sysadmin.jid name.",
);
export const createRegistered = own(
  "firekeeper.muc.create.all-registered",
  boolean,
  false,
  "Whether everybody with an account here makes rooms although create.anyone restricts it.",
);
export const createJids = own(
  "firekeeper.muc.create.jid",
  jidList,
  [],
  "People who make rooms although create.anyone restricts it; a name without a domain is one of this server.",
);
export const idleTime = own(
  "firekeeper.muc.tasks.user.idle",
  milliseconds.min(-1),
  -1,
  "Silence after which an occupant is put out of a room; -1: never.",
);

const bit = (key: string, fallback: boolean, what: string) => own(key, boolean, fallback, newRooms(what));

/** Of a new room; each goes into one field of its configuration. */
export const roomDefaults = {
  publicRoom: bit("firekeeper.muc.room.publicRoom", true, "listed in the directory"),
  persistent: bit("firekeeper.muc.room.persistent", false, "kept when nobody is in them"),
  moderated: bit("firekeeper.muc.room.moderated", false, "only who was given voice may speak"),
  membersOnly: bit("firekeeper.muc.room.membersOnly", false, "only members may come in"),
  canOccupantsInvite: bit(
    "firekeeper.muc.room.canOccupantsInvite",
    false,
    "occupants may invite others into rooms for members only",
  ),
  canOccupantsChangeSubject: bit(
    "firekeeper.muc.room.canOccupantsChangeSubject",
    false,
    "participants may change the subject",
  ),
  canAnyoneDiscoverJID: bit(
    "firekeeper.muc.room.canAnyoneDiscoverJID",
    true,
    "everybody sees real addresses, not only moderators",
  ),
  canChangeNickname: bit("firekeeper.muc.room.canChangeNickname", true, "occupants may change their nicknames"),
  registrationEnabled: bit("firekeeper.muc.room.registrationEnabled", true, "people may register with them"),
  loginRestrictedToNickname: bit(
    "firekeeper.muc.room.loginRestrictedToNickname",
    false,
    "who has registered a nickname must use it",
  ),
  logEnabled: bit("firekeeper.muc.room.logEnabled", true, "an archive is kept"),
  broadcastModerator: bit(
    "firekeeper.muc.room.broadcastModerator",
    true,
    "the presence of moderators is told to others",
  ),
  broadcastParticipant: bit(
    "firekeeper.muc.room.broadcastParticipant",
    true,
    "the presence of participants is told to others",
  ),
  broadcastVisitor: bit("firekeeper.muc.room.broadcastVisitor", true, "the presence of visitors is told to others"),
} as const;
export const maxUsers = own(
  "firekeeper.muc.room.maxUsers",
  integer(0, 100_000),
  30,
  newRooms("so many occupants at most; 0: as many as come"),
);
export const allowPm = own(
  "firekeeper.muc.room.allowpm",
  enumeration("anyone", "participants", "moderators", "none"),
  "anyone",
  newRooms("who may send private messages"),
);

export const serviceKeys: readonly Property<unknown>[] = [
  ...[historyType, historyNumber, sysadmins, discoverLocked, discoverMembersOnly],
  ...[createRestricted, createRegistered, createJids, idleTime, maxUsers, allowPm],
  ...Object.values(roomDefaults),
] as readonly Property<unknown>[];

const prefix = "firekeeper.muc.";
const byKey = new Map(serviceKeys.map((each) => [each.key.slice(prefix.length), each]));

/** A service as `firekeeper.muc.services` has it. */
export interface DeclaredService {
  /** By which it is known to stored addresses, whatever it is called. */
  readonly name: string;
  /** Its label below the domain. */
  readonly subdomain: string;
  /** Labels it had, under which it is still found. */
  readonly former: readonly string[];
  readonly description: string | undefined;
  readonly hidden: boolean;
  /** Openfire's keys with the values that differ for this service. */
  readonly values: ReadonlyMap<string, string>;
}

const word = /^([^\s="]+)=(?:"([^"]*)"|([^\s"]*))$/;

/** `teams subdomain=team former=chat description="Team rooms" room.persistent=true; support`; a string says what is wrong. */
export function parseServices(given: string): readonly DeclaredService[] | string {
  const found: DeclaredService[] = [];
  for (const part of given.split(";").filter((each) => each.trim() !== "")) {
    const [name = "", ...words] = part.match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
    if (!hostLabel.test(name)) return `"${name.slice(0, 80)}" cannot be a service's name.`;
    const service = serviceOf(name, words);
    if (typeof service === "string") return `${name}: ${service}`;
    found.push(service);
  }
  const labels = found.flatMap(({ subdomain, former }) => [subdomain, ...former]);
  if (new Set(found.map(({ name }) => name)).size < found.length) return "A service is named twice.";
  return new Set(labels).size < labels.length ? "Two services have one label." : found;
}

function serviceOf(name: string, words: readonly string[]): DeclaredService | string {
  const values = new Map<string, string>();
  let [subdomain, description, hidden] = [name, undefined as string | undefined, false];
  let former: readonly string[] = [];
  for (const each of words) {
    const [, key = "", quoted, plain] = word.exec(each) ?? [];
    const value = quoted ?? plain;
    if (key === "" || value === undefined) return `"${each.slice(0, 80)}" is not written as key=value.`;
    if (key === "subdomain") subdomain = value.toLowerCase();
    else if (key === "former") former = value.toLowerCase().split(",");
    else if (key === "description") description = value;
    else if (key === "isHidden") hidden = value.toLowerCase() === "true";
    else {
      const known = byKey.get(key);
      if (known === undefined) return `${key} is not known.`;
      if (readText(known.schema, value) === undefined) return `${key} must be ${known.schema.rule}.`;
      values.set(key, value);
    }
  }
  const strange = [subdomain, ...former].find((each) => !hostLabel.test(each));
  return strange === undefined
    ? { name, subdomain, former, description, hidden, values }
    : `"${strange.slice(0, 80)}" is no label of a host name.`;
}

function written({ name, subdomain, former, description, hidden, values }: DeclaredService): string {
  const words = [
    name,
    ...(subdomain === name ? [] : [`subdomain=${subdomain}`]),
    ...(former.length === 0 ? [] : [`former=${former.join(",")}`]),
    ...(description === undefined ? [] : [`description="${description}"`]),
    ...(hidden ? ["isHidden=true"] : []),
    ...[...values].map(([key, value]) => (/\s/.test(value) || value === "" ? `${key}="${value}"` : `${key}=${value}`)),
  ];
  return words.join(" ");
}

const servicesSchema: TextSchema<readonly DeclaredService[]> = {
  type: "text",
  zod: z.string().transform((given, context): readonly DeclaredService[] => {
    const found = parseServices(given);
    if (typeof found !== "string") return found;
    context.addIssue({ code: "custom", message: found });
    return z.NEVER;
  }),
  write: (services) => services.map(written).join("; "),
  rule: 'services separated by semicolons, each a name and key=value words: teams subdomain=team description="Team rooms" room.persistent=true',
  hint(refused) {
    const problem = parseServices(refused);
    return typeof problem === "string" ? problem : "Write one service: teams";
  },
};

export const services = property("firekeeper.muc.services", {
  schema: servicesSchema,
  default: [] as readonly DeclaredService[],
  impact: "live",
  doc: "Room services besides conference, and what differs for each (conference may be named, too): its label, labels it had, its description, isHidden, and any of Openfire's properties of a service.",
});

/** Reads one of the properties as it holds for a service. */
export type Reader = <T>(of: Property<T>) => T;

export function readerFor(get: Reader, { values }: Pick<DeclaredService, "values">): Reader {
  return (of) => {
    const text = values.get(of.key.slice(prefix.length));
    const found = text === undefined ? undefined : readText(of.schema, text);
    return found === undefined ? get(of) : found.value;
  };
}

/** The configuration of new rooms. */
export function defaultConfig(get: Reader, base: RoomConfig): RoomConfig {
  const is = (key: keyof typeof roomDefaults): boolean => get(roomDefaults[key]);
  return {
    ...base,
    ...{ public: is("publicRoom"), persistent: is("persistent"), moderated: is("moderated") },
    ...{ membersOnly: is("membersOnly"), allowInvites: is("canOccupantsInvite") },
    ...{ changeSubject: is("canOccupantsChangeSubject"), changeNick: is("canChangeNickname") },
    ...{ registration: is("registrationEnabled"), reservedNickOnly: is("loginRestrictedToNickname") },
    logging: is("logEnabled"),
    whois: is("canAnyoneDiscoverJID") ? "anyone" : "moderators",
    allowPm: get(allowPm),
    maxUsers: get(maxUsers),
    presenceBroadcast: [
      ...(is("broadcastModerator") ? (["moderator"] as const) : []),
      ...(is("broadcastParticipant") ? (["participant"] as const) : []),
      ...(is("broadcastVisitor") ? (["visitor"] as const) : []),
    ],
  };
}
