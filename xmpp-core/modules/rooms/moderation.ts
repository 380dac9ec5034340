import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { parseDocument } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { archiveEntry } from "./archive.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import { occupantIds } from "./payload.ts";
import type { Occupant, Room, RoomMessage, Rooms } from "./room.ts";

const said = read<
  [room: number, id: number],
  { payload: Uint8Array; sender: string; account: number | null; person: string }
>(
  `SELECT s.payload, s.sender, a.account, a.person FROM room_archive a JOIN stanza s ON s.id = a.id
   WHERE a.room = ? AND a.id = ?`,
);
const bury = write<[payload: Buffer, epoch: number, id: number]>(
  "UPDATE stanza SET payload = ?, epoch = ? WHERE id = ?",
);
/** Only what the same person said in the same room. */
const buryOwn = write<
  [payload: Buffer, epoch: number, id: number, room: number, id2: number, account: number, person: string]
>(
  `UPDATE stanza SET payload = ?, epoch = ? WHERE id = ? AND EXISTS (SELECT 1 FROM room_archive
     WHERE room = ? AND id = ? AND (account = ? OR (account IS NULL AND person <> '' AND person = ?)))`,
);

const longestReason = 2000;

/** Taking back what was said, by who said it or by a moderator. XEP-0424, XEP-0425 */
export const roomModeration: RoomFeature = {
  name: "room-moderation",
  implements: [
    {
      spec: "XEP-0425",
      version: "0.3.0",
      status: "complete",
      note: "also asked for as in version 0.2, and told in both forms",
    },
    {
      spec: "XEP-0424",
      version: "0.4.3",
      status: "partial",
      note: "tombstones in the archives of rooms; those of persons keep message and retraction",
    },
  ],
  start(core, rooms): RoomExtension {
    async function moderate(request: OpenRequest, ask: Ask | StanzaError): Promise<IqAnswer> {
      if ("condition" in ask) return request.error(ask);
      const room = rooms.at(request.place);
      if (room === undefined) return request.error(stanzaError("item-not-found", { text: "There is no such room." }));
      const moderator = rooms.speaker(room, request);
      const refused = mayModerate(rooms, room, moderator, request);
      if (refused !== undefined) return request.error(refused);
      const found = (await core.storage.read(said, room.id, ask.id))[0];
      if (found === undefined || room.destroyed)
        return request.error(stanzaError("item-not-found", { text: "No message of this room has this id." }));
      const by = rooms.address(room, request.view, moderator?.nick);
      const author = occupantIdIn(Buffer.from(found.payload));
      const stone = tombstone(core, author, { by, moderator: moderator?.id, ...ask });
      inMemory(room, ask.id, () => true, stone, request.view);
      const epoch = core.names.epochOf(request.view);
      const { ticket } = rooms.say(
        room,
        {
          payload: announcement(ask, by, moderator?.id),
          view: request.view,
          lasting: false,
          writes: (id) => [bury.with(stone, epoch, ask.id), archiveEntry(room.id, id, undefined)],
        },
        { person: rooms.person(request.from), nick: moderator?.nick, session: request.session },
      );
      return request.result(undefined, ticket);
    }

    return {
      features: () => [ns.moderation, ns.moderationBefore, ns.retraction, `${ns.retraction}#tombstone`],
      storeMessage(room, message) {
        const retracted = retractedBy(message);
        const author = message.occupantId === undefined ? undefined : room.occupants.get(message.nick);
        if (retracted === undefined || author === undefined) return [];
        const stone = tombstone(core, author.id, { retraction: message.stanzaId });
        const own = (each: RoomMessage) => (each.occupantId ?? occupantIdIn(each.payload)) === author.id;
        inMemory(room, retracted, own, stone, message.view);
        const { id } = room;
        const epoch = core.names.epochOf(message.view);
        return [
          buryOwn.with(stone, epoch, retracted, id, retracted, author.account?.id ?? -1, author.user),
        ] satisfies Write[];
      },
      handlers: {
        iq: [
          {
            set: [ns.moderation, "moderate"],
            at: ["service:conference"],
            open: true,
            answer: (request) => moderate(request, asked(request.element)),
          },
          {
            set: [ns.fastening, "apply-to"],
            at: ["service:conference"],
            open: true,
            answer: (request) => moderate(request, askedBefore(request.element)),
          },
        ],
      },
    };
  },
};

interface Ask {
  readonly id: number;
  readonly reason: string | undefined;
}

function ask(id: unknown, retracts: boolean, reason: string | undefined): Ask | StanzaError {
  if (!retracts) return stanzaError("feature-not-implemented", { text: "A moderator can retract messages, no more." });
  if (typeof id !== "string" || !/^\d{1,16}$/.test(id) || !Number.isSafeInteger(Number(id)))
    return stanzaError("item-not-found", { text: "No message of this room has this id." });
  if ((reason ?? "").length > longestReason)
    return stanzaError("not-acceptable", { text: `A reason has ${longestReason} characters at most.` });
  return { id: Number(id), reason: reason === "" ? undefined : reason };
}

function asked(moderate: Element): Ask | StanzaError {
  const retracts = moderate.getChild("retract", ns.retraction) !== undefined;
  return ask(moderate.attrs.id, retracts, moderate.getChildText("reason") ?? undefined);
}

/** Version 0.2: the message is named by the element around. */
function askedBefore(applyTo: Element): Ask | StanzaError {
  const moderate = applyTo.getChild("moderate", ns.moderationBefore);
  const retracts = moderate?.getChild("retract", ns.retractionBefore) !== undefined;
  return ask(applyTo.attrs.id, retracts, moderate?.getChildText("reason") ?? undefined);
}

function mayModerate(
  rooms: Rooms,
  room: Room,
  occupant: Occupant | undefined,
  { from }: OpenRequest,
): StanzaError | undefined {
  const affiliation = rooms.affiliation(room, rooms.person(from));
  if (occupant?.role === "moderator" || affiliation === "owner" || affiliation === "admin") return undefined;
  return stanzaError("forbidden", { text: "Only moderators may retract what others said." });
}

const occupantId = (id: string | undefined): Xml | undefined =>
  id === undefined ? undefined : x("occupant-id", { xmlns: occupantIds, id });
const reasonElement = (reason: string | undefined): Xml | undefined =>
  reason === undefined ? undefined : x("reason", {}, text(reason));

/** What everybody hears: as XEP-0425 has it now, and behind it as clients of version 0.2 know it. */
function announcement({ id, reason }: Ask, by: string, moderator: string | undefined): Xml {
  const moderated = x("moderated", { xmlns: ns.moderation, by }, occupantId(moderator));
  const now = x("retract", { xmlns: ns.retraction, id }, moderated, reasonElement(reason));
  const before = x(
    "moderated",
    { xmlns: ns.moderationBefore, by },
    x("retract", { xmlns: ns.retractionBefore }),
    reasonElement(reason),
  );
  return (now + x("apply-to", { xmlns: ns.fastening, id }, before)) as Xml;
}

/** What stands in a message's place. XEP-0424 §4, XEP-0425 §5 */
function tombstone(
  core: Core,
  author: string | undefined,
  how: {
    readonly retraction?: string | undefined;
    readonly by?: string;
    readonly moderator?: string | undefined;
    readonly reason?: string | undefined;
  },
): Buffer {
  const stamp = new Date(core.clock.now()).toISOString();
  const moderated =
    how.by !== undefined && x("moderated", { xmlns: ns.moderation, by: how.by }, occupantId(how.moderator));
  const retracted = x(
    "retracted",
    { xmlns: ns.retraction, stamp, id: how.retraction },
    moderated,
    reasonElement(how.reason),
  );
  return Buffer.from(`${occupantId(author) ?? ""}${retracted}`);
}

/** Newcomers do not get it as history any more. */
function inMemory(
  room: Room,
  id: number,
  isIt: (message: RoomMessage) => boolean,
  payload: Buffer,
  view: string,
): void {
  const at = room.history.findIndex((message) => message.id === id && isIt(message));
  const message = room.history[at];
  if (message !== undefined) room.history[at] = { ...message, payload, view };
}

function occupantIdIn(payload: Buffer): string | undefined {
  if (!payload.includes(occupantIds)) return undefined;
  const id: unknown = inside(payload).getChild("occupant-id", occupantIds)?.attrs.id;
  return typeof id === "string" ? id : undefined;
}

/** The id of the message that its author takes back. XEP-0424 §3 */
function retractedBy({ payload }: RoomMessage): number | undefined {
  if (!payload.includes(ns.retraction)) return undefined;
  const retract = inside(payload).getChild("retract", ns.retraction);
  const id: unknown = retract?.attrs.id;
  if (typeof id !== "string" || !/^\d{1,16}$/.test(id) || !Number.isSafeInteger(Number(id))) return undefined;
  return Number(id);
}

// What is stored was read within the limits in force at the time.
const limits = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };

function inside(payload: Buffer): Element {
  const whole = Buffer.concat([Buffer.from("<message xmlns='jabber:client'>"), payload, Buffer.from("</message>")]);
  return parseDocument(whole, limits);
}
