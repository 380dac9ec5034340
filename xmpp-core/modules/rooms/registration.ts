import type { Element } from "ltx";
import { type DataForm, formElement, formIn, singleValueOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { text, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import type { JoinAsk, RoomExtension, RoomFeature } from "./extensions.ts";
import type { Room, Rooms } from "./room.ts";

const migration = {
  name: "0047_room-registration",
  sql: `
    CREATE TABLE room_registration (
      room INTEGER NOT NULL, person TEXT NOT NULL, nick TEXT NOT NULL, PRIMARY KEY (room, person), UNIQUE (room, nick)
    ) WITHOUT ROWID;`,
};
const all = read<[], { room: number; person: string; nick: string }>(
  "SELECT room, person, nick FROM room_registration",
);
const put = write<[room: number, person: string, nick: string]>(
  "INSERT OR REPLACE INTO room_registration (room, person, nick) VALUES (?, ?, ?)",
);
const drop = write<[room: number, person: string]>("DELETE FROM room_registration WHERE room = ? AND person = ?");
const dropPerson = write<[person: string]>("DELETE FROM room_registration WHERE person = ?");
const dropRoom = write<[room: number]>("DELETE FROM room_registration WHERE room = ?");
const rename = write<[now: string, before: string]>(
  "UPDATE OR REPLACE room_registration SET person = ? WHERE person = ?",
);

const itemNode = "x-roomuser-item";

/** The nicks of one room, both ways. */
interface Nicks {
  readonly ofPerson: Map<string, string>;
  readonly ofNick: Map<string, string>;
}

/** Registering with a room: a nick that nobody else bears there, and membership. XEP-0045 §7.10, §7.12 */
export const roomRegistration: RoomFeature = {
  name: "room-registration",
  migrations: [migration],
  start(core, rooms): RoomExtension {
    const reserved = new Map<number, Nicks>();
    const nicks = (room: number): Nicks => {
      const known = reserved.get(room) ?? { ofPerson: new Map(), ofNick: new Map() };
      reserved.set(room, known);
      return known;
    };
    const forget = (room: number, person: string): void => {
      const { ofPerson, ofNick } = nicks(room);
      const nick = ofPerson.get(person);
      ofPerson.delete(person);
      if (nick !== undefined) ofNick.delete(nick);
    };
    const remember = (room: number, person: string, nick: string): void => {
      forget(room, person);
      nicks(room).ofPerson.set(person, nick);
      nicks(room).ofNick.set(nick, person);
    };

    /** The name is free for somebody else, who has none of these nicks. */
    const forgetPerson = ({ name }: Account): Write[] => {
      for (const room of reserved.keys()) forget(room, `${name}@`);
      return [dropPerson.with(`${name}@`)];
    };

    function admitJoin({ room, nick, person }: JoinAsk): StanzaError | undefined {
      const known = reserved.get(room.id);
      if (known === undefined) return undefined;
      const owner = known.ofNick.get(nick);
      if (owner !== undefined && owner !== person)
        return stanzaError("conflict", { text: `The nickname "${nick}" is reserved for somebody else.` });
      const own = known.ofPerson.get(person);
      if (!room.config.reservedNickOnly || own === undefined || own === nick) return undefined;
      return stanzaError("not-acceptable", { text: `In this room you are registered as "${own}".` });
    }

    function ask(request: OpenRequest): IqAnswer {
      const room = rooms.at(request.place);
      const refused = mayRegister(rooms, room, request);
      if (room === undefined || refused !== undefined) return request.error(refused ?? stanzaError("item-not-found"));
      const person = rooms.person(request.from);
      const nick = reserved.get(room.id)?.ofPerson.get(person);
      if (nick !== undefined)
        return request.result(x("query", { xmlns: ns.register }, x("registered"), x("username", {}, text(nick))));
      return request.result(x("query", { xmlns: ns.register }, formElement(registrationForm(room))));
    }

    function register(request: OpenRequest): IqAnswer {
      const room = rooms.at(request.place);
      const refused = mayRegister(rooms, room, request);
      if (room === undefined || refused !== undefined) return request.error(refused ?? stanzaError("item-not-found"));
      const person = rooms.person(request.from);
      if (request.element.getChild("remove") !== undefined) return unregister(request, room, person);
      const nick = nickIn(request.element);
      if (typeof nick !== "string") return request.error(nick);
      const owner = reserved.get(room.id)?.ofNick.get(nick);
      const bearer = room.occupants.get(nick);
      if ((owner !== undefined && owner !== person) || (bearer !== undefined && bearer.user !== person))
        return request.error(stanzaError("conflict", { text: `The nickname "${nick}" is taken.` }));
      // First the rights, since losing them would take the nick, too.
      if (rooms.affiliation(room, person) === "none") rooms.setAffiliation(room, person, "member");
      remember(room.id, person, nick);
      return request.result(undefined, core.storage.commit([put.with(room.id, person, nick)]));
    }

    function unregister(request: OpenRequest, room: Room, person: string): IqAnswer {
      if (reserved.get(room.id)?.ofPerson.get(person) === undefined)
        return request.error(stanzaError("unexpected-request", { type: "cancel", text: "You are not registered." }));
      forget(room.id, person);
      let after = core.storage.commit([drop.with(room.id, person)]);
      // XEP-0077 §3.2: whoever came by registering goes by it; admins and owners stay what they are.
      if (rooms.affiliation(room, person) === "member") after = rooms.setAffiliation(room, person, "none");
      return request.result(undefined, after);
    }

    return {
      features: (room) => (room.config.registration ? [ns.register] : []),
      admitJoin,
      nodeInfo(request, room, node) {
        if (node !== itemNode) return undefined;
        const nick = reserved.get(room.id)?.ofPerson.get(rooms.person(request.from));
        return {
          identities: nick === undefined ? [] : [{ category: "conference", type: "text", name: nick }],
          features: [],
        };
      },
      // A ban takes the nick, and so does the end of membership. XEP-0045 §9.1
      affiliationChanged(room, person) {
        const affiliation = rooms.affiliation(room, person);
        if (affiliation !== "none" && affiliation !== "outcast") return [];
        if (reserved.get(room.id)?.ofPerson.has(person) !== true) return [];
        forget(room.id, person);
        return [drop.with(room.id, person)];
      },
      destroyed(room) {
        reserved.delete(room.id);
        return [dropRoom.with(room.id)];
      },
      renamed(before, now) {
        for (const [room, { ofPerson }] of reserved) {
          const nick = ofPerson.get(before);
          if (nick === undefined) continue;
          forget(room, before);
          remember(room, now, nick);
        }
        return [rename.with(now, before)];
      },
      handlers: {
        ready: load(core, remember),
        account: { setAside: forgetPerson, removed: forgetPerson },
        iq: [
          { get: [ns.register, "query"], at: ["service:conference"], open: true, answer: ask },
          { set: [ns.register, "query"], at: ["service:conference"], open: true, answer: register },
        ],
      },
    };
  },
};

async function load(core: Core, remember: (room: number, person: string, nick: string) => void): Promise<void> {
  for (const { room, person, nick } of await core.storage.read(all)) remember(room, person, nick);
}

function mayRegister(rooms: Rooms, room: Room | undefined, request: OpenRequest): StanzaError | undefined {
  if (request.place.at !== "service" || request.place.local === "" || request.place.resource !== "")
    return stanzaError("service-unavailable", { text: "Register with a room, at its address." });
  if (room === undefined) return stanzaError("item-not-found", { text: "There is no such room." });
  const affiliation = rooms.affiliation(room, rooms.person(request.from));
  if (affiliation === "outcast") return stanzaError("forbidden");
  if (affiliation === "owner" || affiliation === "admin") return undefined;
  if (!room.config.registration)
    return stanzaError("service-unavailable", { text: "Nobody can register with this room." });
  // Otherwise whoever asks would let himself in.
  if (room.config.membersOnly && affiliation === "none")
    return stanzaError("not-allowed", { text: "This room is for members: ask one of its owners for membership." });
  return undefined;
}

function registrationForm(room: Room): DataForm {
  const name = room.config.name === "" ? room.name : room.config.name;
  return {
    type: "form",
    formType: ns.mucRegister,
    title: `Registration with ${name}`,
    instructions: "The nickname will be yours alone in this room, and you become a member of it.",
    fields: [{ name: "muc#register_roomnick", type: "text-single", label: "Nickname", required: true, values: [] }],
  };
}

/** The nick of a submitted form, prepared as in an address, or of the simple form of XEP-0077. */
function nickIn(query: Element): string | StanzaError {
  const form = formIn(query);
  if (form !== undefined && (form.type !== "submit" || (form.formType ?? ns.mucRegister) !== ns.mucRegister))
    return stanzaError("bad-request", { text: "This is not the form of a registration with a room." });
  const given = form === undefined ? query.getChildText("username") : singleValueOf(form, "muc#register_roomnick");
  if (given === undefined || given === null || given.trim() === "")
    return stanzaError("bad-request", { text: "A nickname is needed." });
  const prepared = parseJid(`nick@nick.invalid/${given}`)?.resource;
  return prepared ?? stanzaError("jid-malformed", { text: `"${given.slice(0, 80)}" cannot be a nickname.` });
}
