import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { IqAnswer, IqHandler, OpenRequest } from "../../routing/handlers.ts";
import { text, x } from "../../xml/writer.ts";
import { type Changes, mostAffiliations, tooMany } from "./changes.ts";
import type { Hall } from "./hall.ts";
import { affiliationRefusal, affiliations, atLeast, roleRefusal, roles } from "./powers.ts";
import type { Actor, Affiliation, Occupant, Role, Room } from "./room.ts";

const namespace = `${ns.muc}#admin`;

/** One line of a request, understood. */
type Wanted =
  | { readonly is: "affiliation"; readonly person: string; readonly affiliation: Affiliation; readonly reason?: string }
  | { readonly is: "role"; readonly occupant: Occupant; readonly role: Role; readonly reason?: string };

const rule = (text: string): StanzaError => stanzaError("bad-request", { text });

/** Lists of people and occupants, and what moderators, admins and owners change in them. XEP-0045 §8.2 to §8.5, §9, §10.3 to §10.8 */
export function adminRequests(hall: Hall, change: Changes): readonly IqHandler[] {
  const { core } = hall;
  const who = (room: Room, request: OpenRequest) => {
    const person = hall.person(request.from);
    const occupant = hall.speaker(room, request);
    return { person, occupant, affiliation: hall.affiliation(room, person) };
  };
  const at = ["service:conference"] as const;
  const common = { at, open: true } as const;

  function roomOf(request: OpenRequest): Room | StanzaError {
    return hall.at(request.place) ?? stanzaError("item-not-found", { text: "There is no such room." });
  }

  // ---------------------------------------------------------------- reading

  function list(request: OpenRequest): IqAnswer {
    const room = roomOf(request);
    if ("kind" in room) return request.error(room);
    const items = request.element.getChildren("item", namespace);
    const [item] = items;
    if (item === undefined || items.length > 1) return request.error(rule("One list is asked for at a time."));
    const affiliation = wordOf(item.attrs.affiliation, affiliations);
    const role = wordOf(item.attrs.role, roles);
    const refused =
      affiliation === undefined
        ? role === undefined || role === "none"
          ? rule("A list is named by an affiliation or a role.")
          : mayListRole(room, request, role)
        : mayListAffiliation(room, request, affiliation);
    if (refused !== undefined) return request.error(refused);
    const found = affiliation === undefined ? ofRole(room, request, role as Role) : people(room, request, affiliation);
    return request.result(x("query", { xmlns: namespace }, found));
  }

  /** CVE-2021-37601: nobody from outside reads lists, and real addresses only who may see them. */
  function mayListAffiliation(room: Room, request: OpenRequest, wanted: Affiliation): StanzaError | undefined {
    const { affiliation, occupant } = who(room, request);
    if (affiliation === "owner") return undefined;
    const forbidden = stanzaError("forbidden", { text: "You may not read this list." });
    if (affiliation === "outcast" || wanted === "none") return forbidden;
    if (affiliation === "admin" && (wanted === "member" || wanted === "outcast")) return undefined;
    if (wanted === "outcast" || room.config.whois !== "anyone") return forbidden;
    const inside = occupant !== undefined && room.config.memberListFor.includes(occupant.role);
    return inside || affiliation === "admin" ? undefined : forbidden;
  }

  function mayListRole(room: Room, request: OpenRequest, wanted: Role): StanzaError | undefined {
    const { affiliation, occupant } = who(room, request);
    if (atLeast(affiliation, "admin")) return undefined;
    if (occupant?.role === "moderator" && wanted !== "moderator") return undefined;
    return stanzaError("forbidden", { text: "You may not read this list." });
  }

  function people(room: Room, { view }: OpenRequest, wanted: Affiliation) {
    const found = [...room.affiliations].filter(([, entry]) => entry.affiliation === wanted);
    return found.map(([person, { affiliation, reason }]) =>
      x(
        "item",
        { affiliation, jid: core.names.absolute(person, view) },
        reason !== undefined && x("reason", {}, text(reason)),
      ),
    );
  }

  function ofRole(room: Room, request: OpenRequest, wanted: Role) {
    const { person, occupant } = who(room, request);
    const sees = hall.seesAddresses(room, person, occupant);
    return [...room.occupants.values()]
      .filter(({ role }) => role === wanted)
      .map(({ nick, role, user, devices }) =>
        x("item", {
          ...{ affiliation: hall.affiliation(room, user), role, nick },
          jid: sees ? core.names.absolute(devices.at(-1)?.address ?? user, request.view) : undefined,
        }),
      );
  }

  // ---------------------------------------------------------------- changing

  function set(request: OpenRequest): IqAnswer {
    const room = roomOf(request);
    if ("kind" in room) return request.error(room);
    const { person, occupant, affiliation } = who(room, request);
    if (affiliation === "outcast" || (occupant === undefined && !atLeast(affiliation, "admin")))
      return request.error(stanzaError("forbidden", { text: "You may not change anything here." }));
    const items = request.element.getChildren("item", namespace);
    if (items.length === 0) return request.error(rule("What is to be changed is missing."));
    const wanted: Wanted[] = [];
    for (const item of items) {
      const one = understood(room, item);
      if ("kind" in one) return request.error(one);
      const refused = mayChange(room, one, { person, affiliation, occupant });
      if (refused !== undefined) return request.error(refused);
      wanted.push(one);
    }
    // All or nothing, so the last owner is looked for in the whole.
    const given = wanted.flatMap((one) => (one.is === "affiliation" ? [one] : []));
    const refused = keepsOwner(room, given) ?? (fits(room, given) ? undefined : tooMany());
    if (refused !== undefined) return request.error(refused);
    const by: Actor = { person, nick: occupant?.nick, session: request.session };
    let ticket = given.length === 0 ? 0 : change.affiliate(room, given, by);
    for (const one of wanted) {
      const present = one.is === "role" && room.occupants.get(one.occupant.nick) === one.occupant;
      if (present) ticket = change.setRole(one.occupant, one.role, by, one.reason);
    }
    return request.result(undefined, ticket);
  }

  function understood(room: Room, item: Element): Wanted | StanzaError {
    const affiliation = wordOf(item.attrs.affiliation, affiliations);
    const role = wordOf(item.attrs.role, roles);
    const nick: unknown = item.attrs.nick;
    const jid: unknown = item.attrs.jid;
    const reason = item.getChildText("reason", namespace);
    const more = typeof reason === "string" && reason !== "" ? { reason: reason.slice(0, 1000) } : {};
    if ((item.attrs.affiliation !== undefined) === (item.attrs.role !== undefined))
      return rule("Either an affiliation or a role is changed.");
    const inside = typeof nick === "string" ? room.occupants.get(nick) : undefined;
    if (item.attrs.role !== undefined) {
      if (role === undefined) return rule("There is no such role.");
      if (typeof nick !== "string") return rule("Whose role is changed is named by the nickname.");
      if (inside === undefined) return stanzaError("item-not-found", { text: "Nobody has this nickname here." });
      return { is: "role", occupant: inside, role, ...more };
    }
    if (affiliation === undefined) return rule("There is no such affiliation.");
    if (typeof jid !== "string") {
      if (inside === undefined) return stanzaError("item-not-found", { text: "Nobody has this nickname here." });
      return { is: "affiliation", person: inside.user, affiliation, ...more };
    }
    const address = parseJid(jid);
    if (address === undefined) return stanzaError("jid-malformed", { text: "The address is not valid." });
    if (address.local === "" && affiliation !== "outcast" && affiliation !== "none")
      return rule("A whole domain is banned or not, nothing else.");
    return { is: "affiliation", person: hall.person(address), affiliation, ...more };
  }

  function mayChange(
    room: Room,
    wanted: Wanted,
    by: { person: string; affiliation: Affiliation; occupant: Occupant | undefined },
  ): StanzaError | undefined {
    const why =
      wanted.is === "affiliation"
        ? affiliationRefusal(
            by.affiliation,
            hall.affiliation(room, wanted.person),
            wanted.affiliation,
            wanted.person === by.person,
          )
        : roleRefusal(
            { affiliation: by.affiliation, role: by.occupant?.role ?? "none" },
            { affiliation: hall.affiliation(room, wanted.occupant.user), role: wanted.occupant.role },
            wanted.role,
            wanted.occupant === by.occupant,
          );
    return why === undefined
      ? undefined
      : stanzaError(why, { text: "Your standing in this room does not allow that." });
  }

  return [
    { ...common, get: [namespace, "query"], answer: list },
    { ...common, set: [namespace, "query"], answer: set },
  ];
}

/** Somebody must stay owner. XEP-0045 §10.4 */
export function keepsOwner(
  room: Room,
  wanted: readonly { person: string; affiliation: Affiliation }[],
): StanzaError | undefined {
  const owners = new Set(
    [...room.affiliations].flatMap(([person, one]) => (one.affiliation === "owner" ? person : [])),
  );
  const before = owners.size;
  for (const { person, affiliation } of wanted)
    if (affiliation === "owner") owners.add(person);
    else owners.delete(person);
  if (owners.size > 0 || before === 0) return undefined;
  return stanzaError("conflict", { text: "A room has at least one owner." });
}

export function fits(room: Room, wanted: readonly { affiliation: Affiliation }[]): boolean {
  const more = wanted.filter(({ affiliation }) => affiliation !== "none").length;
  return more === 0 || room.affiliations.size + more <= mostAffiliations;
}

function wordOf<const W extends string>(given: unknown, words: readonly W[]): W | undefined {
  return words.find((word) => word === given);
}
