import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { read, write } from "../../storage/statement.ts";
import { rawXml, serialise, text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import type { Room, Rooms } from "./room.ts";

const enabled = property("xmpp.muc.vcard.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether rooms have a card, with an avatar, that their owners set.",
});

const advertised = property("xmpp.muc.vcard.presence-advertising.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether a room also sends presence from its own address with the hash of its avatar, which some clients wait for and others take for a nameless occupant.",
});

const migration = {
  name: "0048_room-vcard",
  sql: `
    CREATE TABLE room_vcard (room INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, hashes TEXT NOT NULL, payload BLOB NOT NULL);`,
};
const put = write<[room: number, epoch: number, hashes: string, payload: Buffer]>(
  "INSERT OR REPLACE INTO room_vcard (room, epoch, hashes, payload) VALUES (?, ?, ?, ?)",
);
const drop = write<[room: number]>("DELETE FROM room_vcard WHERE room = ?");
const one = read<[room: number], { epoch: number; payload: Uint8Array }>(
  "SELECT epoch, payload FROM room_vcard WHERE room = ?",
);
const allHashes = read<[], { room: number; hashes: string }>("SELECT room, hashes FROM room_vcard");

const largest = 256 * 1024;

/** The card of a room, with its avatar: set by owners, seen by everybody who may see the room. XEP-0486, XEP-0054, XEP-0153 */
export const roomAvatars: RoomFeature = {
  name: "room-avatars",
  implements: [{ spec: "XEP-0486", version: "0.1.0", status: "complete" }],
  properties: [enabled, advertised],
  migrations: [migration],
  start(core, rooms): RoomExtension {
    /** SHA-1 of each picture, of rooms that have one. */
    const hashes = new Map<number, readonly string[]>();
    const on = (): boolean => core.properties.get(enabled);

    /** Presence from the room's own address, to one device or to all. XEP-0486 §5 */
    function advertise(room: Room, to: readonly string[]): void {
      if (!on() || !core.properties.get(advertised)) return;
      const [hash = ""] = hashes.get(room.id) ?? [];
      for (const device of to) sendHash(core, rooms, room, device, hash);
    }

    async function fetch(request: OpenRequest): Promise<IqAnswer> {
      const room = visible(rooms, request);
      if ("condition" in room) return request.error(room);
      if (!on()) return request.error(stanzaError("service-unavailable"));
      const found = (await core.storage.read(one, room.id))[0];
      if (found === undefined) return request.result(x("vCard", { xmlns: ns.vcard }));
      const written = core.names.epochName(found.epoch);
      return request.result(rawXml(core.router.views.payload(Buffer.from(found.payload), written, request.view)));
    }

    function store(request: OpenRequest): IqAnswer {
      const room = visible(rooms, request);
      if ("condition" in room) return request.error(room);
      if (!on()) return request.error(stanzaError("service-unavailable", { text: "Rooms have no cards here." }));
      if (rooms.affiliation(room, rooms.person(request.from)) !== "owner")
        return request.error(stanzaError("forbidden", { text: "Only owners of a room set its card." }));
      const payload = Buffer.from(serialise(request.element, ns.client));
      if (payload.length > largest)
        return request.error(
          stanzaError("policy-violation", { text: `The card of a room may have ${largest / 1024} KiB at most.` }),
        );
      const pictures = picturesIn(request.element);
      if (pictures.length === 0) hashes.delete(room.id);
      else hashes.set(room.id, pictures);
      const empty = request.element.getChildElements().length === 0;
      const epoch = core.names.epochOf(request.view);
      const row = empty ? drop.with(room.id) : put.with(room.id, epoch, pictures.join(" "), payload);
      const after = core.storage.commit([row]);
      rooms.tell(room, [104], after);
      advertise(room, devicesOf(room));
      return request.result(undefined, after);
    }

    return {
      features: () => (on() ? [ns.vcard] : []),
      serviceFeatures: () => (on() ? [ns.vcard] : []),
      infoFields(room) {
        const values = on() ? hashes.get(room.id) : undefined;
        if (values === undefined) return [];
        return [{ name: "muc#roominfo_avatarhash", type: "text-multi", label: "Avatar hash", values }];
      },
      joined(occupant) {
        const device = occupant.devices.at(-1);
        if (device !== undefined && hashes.has(occupant.room.id)) advertise(occupant.room, [device.address]);
      },
      destroyed(room) {
        hashes.delete(room.id);
        return [drop.with(room.id)];
      },
      handlers: {
        ready: core.storage.read(allHashes).then((rows) => {
          for (const { room, hashes: known } of rows) if (known !== "") hashes.set(room, known.split(" "));
        }),
        iq: [
          { get: [ns.vcard, "vCard"], at: ["service:conference"], open: true, answer: fetch },
          { set: [ns.vcard, "vCard"], at: ["service:conference"], open: true, answer: store },
        ],
      },
    };
  },
};

/** Whoever may ask a room what it is sees its card before he comes in. XEP-0486 §4.2 */
function visible(rooms: Rooms, request: OpenRequest): Room | StanzaError {
  const room = rooms.at(request.place);
  const bare = request.place.at === "service" && request.place.resource === "";
  if (room === undefined || !bare) return stanzaError("item-not-found", { text: "There is no such room." });
  if (rooms.affiliation(room, rooms.person(request.from)) === "outcast") return stanzaError("forbidden");
  return room;
}

/** SHA-1 of the bytes of each picture, in order. XEP-0153 §3.1 */
function picturesIn(vCard: Element): string[] {
  const found: string[] = [];
  for (const photo of vCard.getChildren("PHOTO", ns.vcard)) {
    const bytes = Buffer.from(photo.getChildText("BINVAL", ns.vcard) ?? "", "base64");
    if (bytes.length > 0) found.push(createHash("sha1").update(bytes).digest("hex"));
  }
  return found;
}

const devicesOf = (room: Room): string[] =>
  [...room.occupants.values()].flatMap(({ devices }) => devices.map(({ address }) => address));

function sendHash(core: Core, rooms: Rooms, room: Room, device: string, hash: string): void {
  const jid = parseJid(core.names.absolute(device, core.names.primary.name));
  if (jid === undefined) return;
  core.router.sendTo(jid, (view, to) => {
    const photo: Xml = x("photo", {}, text(hash));
    return x("presence", { from: rooms.address(room, view), to }, x("x", { xmlns: ns.vcardUpdate }, photo));
  });
}
