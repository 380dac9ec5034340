import { stanzaError } from "../../formats/stanza-error.ts";
import type { ConfigField, RoomExtension, RoomFeature } from "./extensions.ts";
import type { Occupant, Room } from "./room.ts";

const longest = 86_400;

const pause: ConfigField = {
  field: {
    name: "muc#roomconfig_slow_mode_duration",
    type: "text-single",
    label: "Seconds that an occupant waits between two messages (0: none)",
    values: ["0"],
  },
  check: ([value = ""]) =>
    /^\d{1,5}$/.test(value) && Number(value) <= longest ? undefined : `A whole number of seconds, ${longest} at most.`,
};

const secondsOf = (room: Room): number => Number(room.config.extra.get(pause.field.name)?.[0] ?? 0);

/** A pause between two messages of one occupant, as the room's owner sets it; moderators need none. XEP-0500 */
export const roomSlowMode: RoomFeature = {
  name: "room-slow-mode",
  implements: [{ spec: "XEP-0500", version: "0.1.0", status: "complete" }],
  start(core): RoomExtension {
    const spoke = new WeakMap<Occupant, number>();
    return {
      configFields: [pause],
      infoFields: (room) => [
        {
          ...{ name: "muc#roominfo_slow_mode_duration", type: "text-single", label: "Slow mode, seconds" },
          values: [String(secondsOf(room))],
        },
      ],
      admitMessage({ room, occupant, flow: { stanza } }) {
        const seconds = secondsOf(room);
        // Typing, markers and the like are no messages that anybody reads.
        if (seconds === 0 || occupant.role === "moderator" || !stanza.has(stanza.ns, "body")) return undefined;
        const now = core.clock.now();
        const wait = (spoke.get(occupant) ?? 0) + seconds * 1000 - now;
        if (wait > 0)
          return stanzaError("policy-violation", {
            type: "wait",
            text: `This room is in slow mode: wait ${Math.ceil(wait / 1000)} s.`,
          });
        spoke.set(occupant, now);
        return undefined;
      },
    };
  },
};
