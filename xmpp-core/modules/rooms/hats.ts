import { createHash } from "node:crypto";
import { type Field, formElement, formIn, singleValueOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { bare, parseJid } from "../../jid/jid.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import type { Ticket } from "../../storage/storage.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import { type Hat, type Hats, hatsMigration, openHats } from "./hat-tables.ts";
import type { Room, Rooms } from "./room.ts";

const actions = new Map([
  ["create", "Create or change a hat"],
  ["destroy", "Destroy a hat"],
  ["list", "List hats"],
  ["assign", "Assign a hat"],
  ["unassign", "Remove a hat from somebody"],
  ["list-assigned", "List who wears which hat"],
]);
const nodeOf = (action: string): string => `${ns.hatCommands}:${action}`;
const mostHats = 100;
const mostWorn = 1000;

/** Hats: roles that a room names itself and its owners and admins give. XEP-0317 */
export const roomHats: RoomFeature = {
  name: "room-hats",
  implements: [{ spec: "XEP-0317", version: "0.3.1", status: "complete" }],
  migrations: [hatsMigration],
  start(core, rooms): RoomExtension {
    const hats = openHats(core);

    function command(request: OpenRequest): IqAnswer {
      const room = rooms.at(request.place);
      const node: unknown = request.element.attrs.node;
      const action = typeof node === "string" ? node.slice(ns.hatCommands.length + 1) : "";
      if (room === undefined || !actions.has(action) || node !== nodeOf(action))
        return request.error(stanzaError("item-not-found", { text: "There is no such command here." }));
      const affiliation = rooms.affiliation(room, rooms.person(request.from));
      if (affiliation !== "owner" && affiliation !== "admin")
        return request.error(stanzaError("forbidden", { text: "Only owners and admins of the room give hats." }));
      if (request.element.attrs.action === "cancel") return request.result(answer(core, request, "canceled"));
      const done = run({ core, rooms, hats, request, room }, action);
      if (isError(done)) return request.error(done);
      return request.result(
        answer(core, request, done.form === "asked" ? "executing" : "completed", done.show),
        done.after,
      );
    }

    return {
      features: () => [ns.hats, ns.commands],
      infoFields(room) {
        const known = hats.of(room.id);
        if (known.length === 0) return [];
        const hash = createHash("sha1").update(JSON.stringify(known)).digest("hex");
        return [{ name: "hats#hash", type: "text-single", label: "Hats hash", values: [hash] }];
      },
      nodeItems(request, room, node) {
        if (room === undefined || node !== ns.commands) return undefined;
        const affiliation = rooms.affiliation(room, rooms.person(request.from));
        if (affiliation !== "owner" && affiliation !== "admin") return { items: [] };
        const jid = rooms.address(room, request.view);
        return { items: [...actions].map(([action, name]) => ({ jid, node: nodeOf(action), name })) };
      },
      presence({ room, user }) {
        const worn = hats.wornBy(room.id, user);
        return worn.length === 0 ? undefined : x("hats", { xmlns: ns.hats }, worn.map(hatElement));
      },
      destroyed: (room) => hats.forgetRoom(room.id),
      renamed: (before, now) => hats.renamed(before, now),
      handlers: {
        ready: hats.ready,
        account: {
          setAside: ({ name }) => hats.forget(`${name}@`),
          removed: ({ name }) => hats.forget(`${name}@`),
        },
        iq: [{ set: [ns.commands, "command"], at: ["service:conference"], open: true, answer: command }],
      },
    };
  },
};

const isError = (done: Done | StanzaError): done is StanzaError => "condition" in done;
const hatElement = ({ uri, title, hue }: Hat): Xml => x("hat", { uri, title, hue: hue === "" ? undefined : hue });

function answer(core: Core, { element }: OpenRequest, status: string, form?: Xml): Xml {
  const given: unknown = element.attrs.sessionid;
  const sessionid = typeof given === "string" && given !== "" ? given : core.random(9).toString("base64url");
  const actionsOffered = status === "executing" && x("actions", { execute: "complete" }, x("complete"));
  const { node } = element.attrs as { node: string };
  return x("command", { xmlns: ns.commands, node, sessionid, status }, actionsOffered, form);
}

interface Done {
  readonly form: "asked" | "done";
  readonly show?: Xml;
  readonly after?: Ticket;
}

interface Ask {
  readonly core: Core;
  readonly rooms: Rooms;
  readonly hats: Hats;
  readonly request: OpenRequest;
  readonly room: Room;
}

const wrong = (text: string): StanzaError => stanzaError("bad-request", { text });

function run(ask: Ask, action: string): Done | StanzaError {
  const { hats, room, request } = ask;
  const { view } = request;
  if (action === "list") return { form: "done", show: table("Hats", hats.of(room.id).map(rowOf)) };
  if (action === "list-assigned") {
    const rows = hats
      .worn(room.id)
      .map(({ person, hat }) => [{ name: "hats#jid", values: [ask.core.names.absolute(person, view)] }, ...rowOf(hat)]);
    return { form: "done", show: table("Assigned hats", rows) };
  }
  const form = formIn(request.element);
  if (form === undefined || form.type !== "submit") return { form: "asked", show: empty(ask, action) };
  const value = (name: string): string => (singleValueOf(form, `hats#${name}`) ?? "").trim();
  const uri = value("uri");
  if (uri === "" || uri.length > 1000) return wrong("A hat is named by a URI of 1000 characters at most.");
  const known = hats.of(room.id).find((hat) => hat.uri === uri);
  if (action === "create") return create(ask, { uri, title: value("title"), hue: value("hue") }, known === undefined);
  if (known === undefined) return stanzaError("item-not-found", { text: "This room has no such hat." });
  if (action === "destroy") {
    const wearers = hats.worn(room.id).filter(({ hat }) => hat.uri === uri);
    const after = ask.core.storage.commit(hats.destroy(room.id, uri));
    refresh(
      ask,
      wearers.map(({ person }) => person),
      after,
    );
    ask.rooms.tell(room, [104], after);
    return { form: "done", after };
  }
  return wear(ask, action === "assign", uri, value("jid"));
}

function create({ core, rooms, hats, room }: Ask, hat: Hat, fresh: boolean): Done | StanzaError {
  if (hat.title === "" || hat.title.length > 255) return wrong("A hat has a title of 255 characters at most.");
  if (hat.hue !== "" && !(/^\d{1,3}(\.\d{1,10})?$/.test(hat.hue) && Number(hat.hue) <= 360))
    return wrong("The hue is an angle from 0 to 360.");
  if (fresh && hats.of(room.id).length >= mostHats)
    return stanzaError("resource-constraint", { text: `A room has ${mostHats} hats at most.` });
  const after = core.storage.commit(hats.create(room.id, hat));
  const wearers = hats.worn(room.id).filter((each) => each.hat.uri === hat.uri);
  refresh(
    { rooms, room },
    wearers.map(({ person }) => person),
    after,
  );
  rooms.tell(room, [104], after);
  return { form: "done", after };
}

function wear(ask: Ask, puts: boolean, uri: string, address: string): Done | StanzaError {
  const { core, rooms, hats, room } = ask;
  const jid = address === "" ? undefined : parseJid(address);
  if (jid === undefined) return wrong("The address of the person is needed.");
  // Those who see only nicks name the occupant.
  const place = core.names.locate(jid);
  const nick = rooms.at(place) === room ? jid.resource : "";
  const person = nick === "" ? rooms.person(bare(jid)) : room.occupants.get(nick)?.user;
  if (person === undefined) return stanzaError("item-not-found", { text: "Nobody in the room has this nickname." });
  const wears = hats.wornBy(room.id, person).some((hat) => hat.uri === uri);
  if (puts === wears)
    return puts ? { form: "done" } : stanzaError("item-not-found", { text: "This person does not wear that hat." });
  if (puts && hats.worn(room.id).length >= mostWorn)
    return stanzaError("resource-constraint", { text: `At most ${mostWorn} hats are worn in a room.` });
  const after = core.storage.commit(puts ? hats.assign(room.id, person, uri) : hats.unassign(room.id, person, uri));
  refresh(ask, [person], after);
  return { form: "done", after };
}

/** Everybody sees these people with the hats they have now. XEP-0317 §4 */
function refresh({ rooms, room }: Pick<Ask, "rooms" | "room">, people: readonly string[], after: Ticket): void {
  const whom = new Set(people);
  for (const occupant of room.occupants.values()) if (whom.has(occupant.user)) rooms.showPresence(occupant, after);
}

const rowOf = ({ title, uri, hue }: Hat): Field[] => [
  { name: "hats#title", values: [title] },
  { name: "hats#uri", values: [uri] },
  { name: "hats#hue", values: [hue] },
];

function table(title: string, items: readonly (readonly Field[])[]): Xml {
  const reported = (items[0] ?? rowOf({ title: "", uri: "", hue: "" })).map(({ name }) => ({ name, values: [] }));
  return formElement({ type: "result", title, fields: [], reported, items });
}

function empty({ hats, room }: Ask, action: string): Xml {
  const options = hats.of(room.id).map(({ title, uri }) => ({ label: title, value: uri }));
  const fields: Field[] = [];
  if (action === "assign" || action === "unassign")
    fields.push({ name: "hats#jid", type: "jid-single", label: "Address of the person", required: true, values: [] });
  if (action === "create")
    fields.push(
      { name: "hats#title", type: "text-single", label: "Title", required: true, values: [] },
      { name: "hats#uri", type: "text-single", label: "URI", required: true, values: [] },
      { name: "hats#hue", type: "text-single", label: "Hue", values: [] },
    );
  else fields.push({ name: "hats#uri", type: "list-single", label: "Hat", required: true, values: [], options });
  return formElement({ type: "form", formType: ns.hatCommands, title: actions.get(action) ?? "", fields });
}
