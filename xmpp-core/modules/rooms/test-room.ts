import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import { text, x } from "../../xml/writer.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import type { Room } from "./room.ts";

const enabled = property("firekeeper.muc.test-room", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the room that is named like the domain (example.org@conference.example.org) is open to everybody for trying a client, and greets them.",
});

const subject = "Try your client here. Nothing that is said is kept.";

/** A room that is nobody's, for people who want to know whether rooms work for them. */
export const testRoom: RoomFeature = {
  name: "test-room",
  properties: [enabled],
  start(core, rooms): RoomExtension {
    const isNamedSo = (served: number, name: string): boolean =>
      core.names.served.some((each) => each.id === served && each.live.some((live) => live.name === name));
    const isOpen = (room: Room): boolean => room.affiliations.size === 0 && isNamedSo(room.served, room.name);
    return {
      builtIn({ served, name }) {
        if (!core.properties.get(enabled) || !isNamedSo(served, name)) return undefined;
        const limits = { logging: false, maxHistory: 0, maxUsers: 0, persistent: false, moderated: false };
        const open = { public: true, membersOnly: false, password: "", registration: false };
        return { subject, config: { name: "Test room", description: subject, ...limits, ...open } };
      },
      joined({ room, nick }, session) {
        if (session === undefined || !isOpen(room)) return;
        const from = rooms.address(room, session.view);
        const body = x("body", {}, text(`You are in, ${nick}. What you write here, everybody in this room reads.`));
        core.router.send(session, x("message", { from, to: session.address, type: "groupchat" }, body));
      },
    };
  },
};
