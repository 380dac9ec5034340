import { parseJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Core } from "../module.ts";
import { openfireDefaults } from "./config.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import type { RoomService, Rooms, ServiceSettings } from "./room.ts";
import * as own from "./service-properties.ts";

const enabled = property("xmpp.muc.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the room service conference, and those of firekeeper.muc.services, are open.",
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

/** The room services of the domain, and what properties say of each. Openfire's MultiUserChatManager */
export const roomServices: RoomFeature = {
  name: "room-services",
  properties: [enabled, own.services, ...own.serviceKeys],
  start(core, rooms): RoomExtension {
    const open = new Map<string, { declared: own.DeclaredService; settings: ServiceSettings | undefined }>();

    function service(name: string): RoomService {
      return {
        name,
        settings() {
          const known = open.get(name);
          if (known === undefined) return settingsOf(core, rooms, standard);
          known.settings ??= settingsOf(core, rooms, known.declared);
          return known.settings;
        },
      };
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
        if (!before) rooms.openService(service(name));
      }
    }

    for (const one of own.serviceKeys)
      core.watch(one, () => {
        for (const known of open.values()) known.settings = undefined;
      });
    core.watch(own.services, follow);
    core.watch(enabled, follow);
    return {};
  },
};

function settingsOf(core: Core, rooms: Rooms, declared: own.DeclaredService): ServiceSettings {
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
