import type { Element } from "ltx";
import { formElement, parseForm } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { IqAnswer, IqHandler, OpenRequest } from "../../routing/handlers.ts";
import { x } from "../../xml/writer.ts";
import { fits, keepsOwner } from "./admin-requests.ts";
import { type Changes, tooMany } from "./changes.ts";
import { configForm, submitted } from "./config.ts";
import type { Hall } from "./hall.ts";
import type { Affiliation, Room } from "./room.ts";

const namespace = `${ns.muc}#owner`;
const refusal = (text: string): StanzaError => stanzaError("not-acceptable", { text });

/** Configuration and end of a room. XEP-0045 §10.1, §10.2, §10.9 */
export function ownerRequests(hall: Hall, change: Changes): readonly IqHandler[] {
  const { core } = hall;
  const common = { at: ["service:conference"], open: true } as const;

  function owned(request: OpenRequest): Room | StanzaError {
    const room = hall.at(request.place);
    if (room === undefined) return stanzaError("item-not-found", { text: "There is no such room." });
    if (hall.affiliation(room, hall.person(request.from)) === "owner") return room;
    return stanzaError("forbidden", { text: "Only owners of the room do that." });
  }

  function form(request: OpenRequest): IqAnswer {
    const room = owned(request);
    if ("kind" in room) return request.error(room);
    const people = (wanted: Affiliation): string[] =>
      [...room.affiliations].flatMap(([person, { affiliation }]) =>
        affiliation === wanted ? core.names.absolute(person, request.view) : [],
      );
    const title = `Configuration of ${hall.address(room, request.view)}`;
    const lists = { owners: people("owner"), admins: people("admin") };
    return request.result(
      x("query", { xmlns: namespace }, formElement(configForm(title, room.config, lists, hall.extensions))),
    );
  }

  function set(request: OpenRequest): IqAnswer {
    const room = owned(request);
    if ("kind" in room) return request.error(room);
    const destroy = request.element.getChild("destroy", namespace);
    if (destroy !== undefined) return end(request, room, destroy);
    const element = request.element.getChild("x", ns.dataForms);
    const given = element && parseForm(element);
    if (given?.type === "cancel") {
      // A room that was never opened is given up with its form. XEP-0045 §10.1.3
      const ticket = room.locked ? change.destroy(room, { by: actor(request, room) }) : 0;
      return request.result(undefined, ticket);
    }
    if (given?.type !== "submit")
      return request.error(stanzaError("bad-request", { text: "A submitted form or an end of the room is expected." }));
    const read = submitted(given, room.config, hall.extensions);
    if (typeof read === "string") return request.error(refusal(read));
    const people = peopleWanted(room, read.owners, read.admins);
    if ("kind" in people) return request.error(people);
    if (people.length > 0) change.affiliate(room, people, actor(request, room));
    return request.result(undefined, change.configure(room, read.config, actor(request, room)));
  }

  /** What makes the room's owners and admins those of the form; who is left out is a member from then on. */
  function peopleWanted(
    room: Room,
    owners: readonly string[] | undefined,
    admins: readonly string[] | undefined,
  ): { person: string; affiliation: Affiliation }[] | StanzaError {
    const wanted = new Map<string, Affiliation>();
    for (const [given, affiliation] of [
      [admins, "admin"],
      [owners, "owner"],
    ] as const) {
      if (given === undefined) continue;
      for (const [person, entry] of room.affiliations)
        if (entry.affiliation === affiliation && !wanted.has(person)) wanted.set(person, "member");
      for (const address of given) {
        const jid = parseJid(address.trim());
        if (jid === undefined || jid.local === "") return refusal(`"${address}" is not the address of a person.`);
        wanted.set(hall.person(jid), affiliation);
      }
    }
    const changes = [...wanted]
      .map(([person, affiliation]) => ({ person, affiliation }))
      .filter(({ person, affiliation }) => room.affiliations.get(person)?.affiliation !== affiliation);
    return keepsOwner(room, changes) ?? (fits(room, changes) ? changes : tooMany());
  }

  function actor(request: OpenRequest, room: Room) {
    const person = hall.person(request.from);
    return { person, nick: hall.speaker(room, request)?.nick, session: request.session };
  }

  function end(request: OpenRequest, room: Room, element: Element): IqAnswer {
    const given: unknown = element.attrs.jid;
    const alternate = typeof given === "string" && given !== "" ? parseJid(given) : undefined;
    if (typeof given === "string" && given !== "" && alternate === undefined)
      return request.error(stanzaError("jid-malformed", { text: "The address of the other room is not valid." }));
    const words = (name: string): string | undefined =>
      element.getChildText(name, namespace)?.slice(0, 1000) || undefined;
    const why = { alternate, reason: words("reason"), password: words("password"), by: actor(request, room) };
    return request.result(undefined, change.destroy(room, why));
  }

  return [
    { ...common, get: [namespace, "query"], answer: form },
    { ...common, set: [namespace, "query"], answer: set },
  ];
}
