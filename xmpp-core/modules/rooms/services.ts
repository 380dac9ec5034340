import { parseJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean, text } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Core } from "../module.ts";
import { typedServices } from "../web-points.ts";
import { openfireDefaults } from "./config.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import type { Occupant, Rooms, ServiceSettings } from "./room.ts";
import * as own from "./service-properties.ts";

const enabled = property("xmpp.muc.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the room service conference, and those of firekeeper.muc.services, are open.",
});

const idleReason = property("admin.mucRoom.timeoutKickReason", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "What somebody is told who is put out of a room for his silence (firekeeper.muc.tasks.user.idle); unset: a sentence that names the time.",
});

const barePresence = property("xmpp.muc.presence.overwrite-to-room", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether presence that an occupant sends to a room without a nickname, as some clients do, counts as sent to his own; else it is refused.",
});

const standard: own.DeclaredService = {
  name: "conference",
  subdomain: "conference",
  former: [],
  description: undefined,
  hidden: false,
  values: new Map(),
};
/** What a room remembers at most for newcomers, whatever is asked. */
const allHistory = 1000;
const idleCheckMs = 60_000;

/** The room services of the domain, and what properties say of each. Openfire's MultiUserChatManager */
export const roomServices: RoomFeature = {
  name: "room-services",
  properties: [enabled, idleReason, barePresence, own.services, ...own.serviceKeys],
  start(core, rooms): RoomExtension {
    const open = new Map<string, { declared: own.DeclaredService; settings: OwnSettings | undefined }>();

    function settings(name: string): OwnSettings {
      const known = open.get(name);
      if (known === undefined) return settingsOf(core, rooms, standard);
      known.settings ??= settingsOf(core, rooms, known.declared);
      return known.settings;
    }

    /** Opens, renames and closes, as the properties have it now. */
    function follow(): void {
      const declared = core.properties.get(own.services);
      const wanted = new Map([standard, ...declared].map((each) => [each.name, each]));
      if (!core.properties.get(enabled)) wanted.clear();
      for (const name of [...open.keys()])
        if (!wanted.has(name)) {
          open.delete(name);
          rooms.closeService(name);
          core.names.closeService(name);
        }
      for (const [name, each] of wanted) {
        const before = open.has(name);
        open.set(name, { declared: each, settings: undefined });
        core.names.openService(name);
        // The first name stays an address: bookmarks and old links lead here.
        const former = new Set([...each.former, ...(each.subdomain === name ? [] : [name])]);
        core.names.callService(name, each.subdomain, [...former].sort());
        if (!before) rooms.openService({ name, settings: () => settings(name) });
      }
    }

    for (const one of [...own.serviceKeys, barePresence])
      core.watch(one, () => {
        for (const known of open.values()) known.settings = undefined;
      });
    core.watch(own.services, follow);
    core.watch(enabled, follow);
    core.offer(typedServices, {
      services: () =>
        [...open].flatMap(([service, { declared }]) => (declared.hidden ? [] : [{ kind: "rooms" as const, service }])),
    });

    /** When each occupant spoke last, or came. */
    const active = new WeakMap<Occupant, number>();
    core.every(idleCheckMs, () => {
      const now = core.clock.now();
      for (const room of rooms.all()) {
        const idle = settings(room.service).idleMs;
        if (idle <= 0) continue;
        const seconds = Math.round(idle / 1000);
        const why = core.properties.get(idleReason) ?? `You were silent for more than ${seconds} seconds.`;
        for (const occupant of [...room.occupants.values()]) {
          const since = active.get(occupant);
          // After a restart everybody begins anew.
          if (since === undefined) active.set(occupant, now);
          else if (now - since > idle) rooms.setRole(occupant, "none", undefined, why);
        }
      }
    });
    return {
      joined: (occupant) => void active.set(occupant, core.clock.now()),
      admitMessage({ occupant }) {
        active.set(occupant, core.clock.now());
        return undefined;
      },
    };
  },
};

interface OwnSettings extends ServiceSettings {
  /** Silence after which an occupant is put out; below 1: never. */
  readonly idleMs: number;
}

function settingsOf(core: Core, rooms: Rooms, declared: own.DeclaredService): OwnSettings {
  const get = own.readerFor((of) => core.properties.get(of), declared);
  const people = (given: readonly string[]): ReadonlySet<string> =>
    new Set(given.flatMap((each) => personOf(core, rooms, each)));
  const [sysadmins, creators] = [people(get(own.sysadmins)), people(get(own.createJids))];
  const [restricted, registered] = [get(own.createRestricted), get(own.createRegistered)];
  const type = get(own.historyType);
  return {
    title: declared.description ?? "Public chat rooms",
    listed: !declared.hidden,
    historyNumber: type === "none" ? 0 : type === "all" ? allHistory : get(own.historyNumber),
    idleMs: get(own.idleTime),
    barePresenceIsOwn: core.properties.get(barePresence),
    discoverLocked: get(own.discoverLocked),
    discoverMembersOnly: get(own.discoverMembersOnly),
    defaults: own.defaultConfig(get, openfireDefaults),
    isSysadmin: (person) => sysadmins.has(person),
    mayCreate: (person: string, account: Account | undefined) =>
      !restricted || sysadmins.has(person) || creators.has(person) || (registered && account !== undefined),
  };
}

function personOf(core: Core, rooms: Rooms, given: string): string[] {
  const address = parseJid(given.includes("@") ? given : `${given}@${core.names.primary.name}`);
  return address === undefined ? [] : [rooms.person(address)];
}
