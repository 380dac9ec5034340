import { type DataForm, field } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { OpenRequest } from "../../routing/handlers.ts";
import type { DiscoInfo, DiscoItems, ServiceDisco } from "../points.ts";
import { configFeatures, roomInfo } from "./config.ts";
import type { Hall } from "./hall.ts";
import { occupantIds } from "./payload.ts";
import { atLeast } from "./powers.ts";
import type { Room, RoomService, ServiceSettings } from "./room.ts";

export const selfPing = "http://jabber.org/protocol/muc#self-ping-optimization";
const stableIds = "http://jabber.org/protocol/muc#stable_id";
const pageMost = 500;

type Listed = DiscoItems["items"][number];

/** What services, rooms and occupants tell who asks. XEP-0045 §6, XEP-0059, XEP-0128 */
export function discovery(hall: Hall): ServiceDisco {
  const service = (name: string): RoomService | undefined => hall.services.get(name);
  const noNode = (): StanzaError => stanzaError("item-not-found", { text: "There is no such node here." });
  const noRoom = (): StanzaError => stanzaError("item-not-found", { text: "There is no such room." });

  /** Whether a room is in the directory for this person: public ones are, and those he belongs to. */
  function isListed(room: Room, settings: ServiceSettings, person: string): boolean {
    if (atLeast(hall.affiliation(room, person), "member")) return true;
    if (!room.config.public || hall.affiliation(room, person) === "outcast") return false;
    if (room.locked && !settings.discoverLocked) return false;
    return !room.config.membersOnly || settings.discoverMembersOnly;
  }

  /** Who is in a room is for those in it, and no secret where anybody may come in. CVE-2021-37601 */
  function isOpen(room: Room, person: string): boolean {
    const { config, locked } = room;
    if (!config.public || config.membersOnly || config.password !== "" || locked) return false;
    return hall.affiliation(room, person) !== "outcast";
  }

  function page(request: OpenRequest, all: readonly Listed[]): DiscoItems | StanzaError {
    const wanted = parsePageRequest(request.element);
    if (wanted === "malformed") return stanzaError("bad-request", { text: "The page wanted cannot be read." });
    const id = (item: Listed | undefined): string | undefined => item?.jid;
    const max = Math.min(wanted?.max ?? pageMost, pageMost);
    const after = wanted?.after === undefined ? -1 : all.findIndex((item) => id(item) === wanted.after);
    const before = wanted?.before ? all.findIndex((item) => id(item) === wanted.before) : all.length;
    if ((wanted?.after !== undefined && after < 0) || before < 0)
      return stanzaError("item-not-found", { text: "The item that the page follows is gone." });
    let from = wanted?.index ?? after + 1;
    if (wanted?.before !== undefined) from = Math.max(0, before - max);
    const items = all.slice(from, Math.min(from + max, wanted?.before === undefined ? all.length : before));
    if (wanted === undefined && items.length === all.length) return { items };
    const ends = { first: id(items[0]), last: id(items.at(-1)), index: from, count: all.length };
    return { items, page: pageElement(ends) };
  }

  function infoOfService(known: RoomService): DiscoInfo {
    return {
      identities: [{ category: "conference", type: "text", name: known.settings().title }],
      features: [
        ...[ns.discoInfo, ns.discoItems, ns.muc, ns.rsm, ns.ping, `${ns.muc}#unique`],
        ...hall.extensions.flatMap((each) => each.serviceFeatures?.(known) ?? []),
      ],
      forms: hall.extensions.flatMap((each) => each.serviceForms?.(known) ?? []),
    };
  }

  function infoOfRoom(room: Room, request: OpenRequest): DiscoInfo {
    const { config } = room;
    const affiliation = hall.affiliation(room, hall.person(request.from));
    const subject = config.membersOnly && !atLeast(affiliation, "member") ? "" : (room.subject?.text ?? "");
    const facts = { occupants: room.occupants.size, subject, mayChangeSubject: config.changeSubject };
    const form: DataForm = {
      type: "result",
      formType: `${ns.muc}#roominfo`,
      fields: [
        ...roomInfo(config, facts),
        field("x-muc#roominfo_creationdate", new Date(room.createdAt).toISOString()),
        ...hall.extensions.flatMap((each) => each.infoFields?.(room) ?? []),
      ],
    };
    return {
      identities: [{ category: "conference", type: "text", name: config.name === "" ? room.name : config.name }],
      features: [
        ...[ns.discoInfo, ns.discoItems, ns.muc, stableIds, selfPing, occupantIds, ns.stanzaIds],
        ...[`${ns.muc}#request`, ...configFeatures(config)],
        ...hall.extensions.flatMap((each) => each.features?.(room) ?? []),
      ],
      forms: [form, ...hall.extensions.flatMap((each) => each.infoForms?.(room) ?? [])],
    };
  }

  return {
    services: () =>
      [...hall.services.values()].map((each) => {
        const { title, listed } = each.settings();
        return { service: each.name, name: title, listed };
      }),
    info(request, node) {
      const { place } = request;
      if (place.at !== "service") return noRoom();
      const known = service(place.label);
      if (place.local === "") return known === undefined || node !== undefined ? noNode() : infoOfService(known);
      const room = hall.at(place);
      if (room === undefined) return noRoom();
      if (node === undefined) return infoOfRoom(room, request);
      // Nothing is taken out of what people say here. XEP-0045 §17.1.1
      if (node === `${ns.muc}#traffic`) return stanzaError("service-unavailable");
      for (const each of hall.extensions) {
        const found = each.nodeInfo?.(request, room, node);
        if (found !== undefined) return found;
      }
      return noNode();
    },
    items(request, node) {
      const { place, view } = request;
      const settings = place.at === "service" ? service(place.label)?.settings() : undefined;
      if (place.at !== "service" || settings === undefined) return noNode();
      const room = place.local === "" ? undefined : hall.at(place);
      if (place.local !== "" && room === undefined) return noRoom();
      for (const each of hall.extensions) {
        const found = node === undefined ? undefined : each.nodeItems?.(request, room, node);
        if (found !== undefined) return found;
      }
      if (node !== undefined) return noNode();
      const person = hall.person(request.from);
      if (room !== undefined) {
        const shown = hall.speaker(room, request) !== undefined || isOpen(room, person);
        const present = shown ? [...room.occupants.values()] : [];
        const nicks = present
          .filter(({ role }) => room.config.presenceBroadcast.includes(role))
          .map(({ nick }) => nick);
        return page(
          request,
          nicks.sort(order).map((nick) => ({ jid: hall.address(room, view, nick) })),
        );
      }
      const rooms = [...hall.all()].filter(
        (each) => each.served === place.served.id && each.service === place.label && isListed(each, settings, person),
      );
      rooms.sort((one, other) => order(one.name, other.name));
      const listed = rooms.map((each) => ({
        jid: hall.address(each, view),
        name: each.config.name === "" ? each.name : each.config.name,
      }));
      return page(request, listed);
    },
  };
}

const order = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
