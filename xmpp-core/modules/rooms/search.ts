import { booleanOf, type DataForm, formElement, formIn, singleValueOf, valuesOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { RoomExtension, RoomFeature } from "./extensions.ts";
import type { Room, Rooms } from "./room.ts";

const enabled = property("xmpp.muc.extendedchannelsearch.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether room services answer searches for public rooms by word and size.",
});

const pageMost = 100;
const longestQuery = 250;
const orders = { users: `{${ns.channelSearchOrder}}nusers`, address: `{${ns.channelSearchOrder}}address` } as const;

/** Looks for public rooms by words in name, description and address. XEP-0433 */
export const roomSearch: RoomFeature = {
  name: "room-search",
  implements: [
    { spec: "XEP-0433", version: "0.1.0", status: "complete", note: "over the public rooms of the service asked" },
  ],
  properties: [enabled],
  start(core, rooms): RoomExtension {
    const atService = ({ place }: OpenRequest): boolean =>
      place.at === "service" && place.local === "" && core.properties.get(enabled);
    return {
      serviceFeatures: () => (core.properties.get(enabled) ? [ns.channelSearch] : []),
      handlers: {
        iq: [
          {
            get: [ns.channelSearch, "search"],
            at: ["service:conference"],
            open: true,
            answer(request) {
              if (!atService(request)) return request.error(stanzaError("service-unavailable"));
              const form = formIn(request.element);
              return form === undefined ? request.result(searchForm()) : search(rooms, request, form);
            },
          },
        ],
      },
    };
  },
};

function searchForm(): Xml {
  const on = ["true"];
  const form: DataForm = {
    type: "form",
    formType: ns.channelSearchParams,
    fields: [
      { name: "q", type: "text-single", label: "Search for", values: [] },
      { name: "all", type: "boolean", label: "All rooms, whatever the words", values: ["false"] },
      { name: "sinname", type: "boolean", label: "Search in names", values: on },
      { name: "sindescription", type: "boolean", label: "Search in descriptions", values: on },
      { name: "sinaddr", type: "boolean", label: "Search in addresses", values: on },
      { name: "min_users", type: "text-single", label: "Occupants at least", values: ["0"] },
      {
        ...{ name: "types", type: "list-multi", label: "Kinds of rooms", values: ["xep-0045"] },
        options: [{ label: "Multi-user chats", value: "xep-0045" }],
      },
      {
        ...{ name: "key", type: "list-single", label: "Order", values: [orders.users] },
        options: [
          { label: "Number of occupants", value: orders.users },
          { label: "Address", value: orders.address },
        ],
      },
    ],
  };
  return x("search", { xmlns: ns.channelSearch }, formElement(form));
}

const wrong = (condition: string, why: string, inside?: Xml[]): StanzaError =>
  stanzaError("bad-request", { text: why, application: x(condition, { xmlns: ns.channelSearchError }, inside) });

interface Found {
  readonly room: Room;
  readonly address: string;
}

function search(rooms: Rooms, request: OpenRequest, form: DataForm): IqAnswer {
  const { element, view, place } = request;
  const wanted = read(form);
  if ("condition" in wanted) return request.error(wanted);
  const page = parsePageRequest(element) ?? {};
  if (page === "malformed")
    return request.error(wrong("invalid-search-terms", "The result set request cannot be read."));
  const label = place.at === "service" ? place.label : "";
  const settings = rooms.service(label)?.settings();
  const found: Found[] = [];
  if (wanted.kind)
    for (const room of rooms.all()) {
      const { config } = room;
      if (room.service !== label || room.served !== request.served.id || !config.public || room.locked) continue;
      if (config.membersOnly && settings?.discoverMembersOnly === false) continue;
      if (room.occupants.size < wanted.least) continue;
      const address = rooms.address(room, view);
      if (wanted.words.every((each) => wanted.texts(room, address).includes(each))) found.push({ room, address });
    }
  found.sort(
    (one, other) =>
      (wanted.order === orders.users ? other.room.occupants.size - one.room.occupants.size : 0) ||
      (one.address < other.address ? -1 : 1),
  );
  const after = page.after === undefined ? 0 : found.findIndex(({ address }) => address === page.after) + 1;
  if (page.after !== undefined && after === 0) return request.error(stanzaError("item-not-found"));
  const shown = found.slice(after, after + Math.min(page.max ?? pageMost, pageMost));
  const set = pageElement({
    ...{ first: shown[0]?.address, last: shown.at(-1)?.address, count: found.length },
    ...(shown.length > 0 ? { index: after } : {}),
  });
  return request.result(x("result", { xmlns: ns.channelSearch }, shown.map(item), set));
}

function item({ room, address }: Found): Xml {
  const { name, description, lang, membersOnly, password, whois } = room.config;
  return x(
    "item",
    { address },
    x("name", {}, text(name === "" ? room.name : name)),
    description !== "" && x("description", {}, text(description)),
    lang !== "" && x("language", {}, text(lang)),
    x("nusers", {}, text(room.occupants.size)),
    x("service-type", {}, text("xep-0045")),
    !membersOnly && password === "" && x("is-open"),
    x("anonymity-mode", {}, text(whois === "anyone" ? "none" : "semi")),
  );
}

interface Wanted {
  readonly words: readonly string[];
  readonly least: number;
  readonly order: string;
  readonly kind: boolean;
  texts(room: Room, address: string): string;
}

function read(form: DataForm): Wanted | StanzaError {
  const words = (singleValueOf(form, "q") ?? "").trim().toLowerCase();
  const all = booleanOf(form, "all") === true;
  const names = (fields: readonly string[]): Xml[] => fields.map((field) => x("var", {}, text(field)));
  if (words !== "" && all) return wrong("conflicting-fields", "Either words or all rooms.", names(["all", "q"]));
  if (words === "" && !all) return wrong("no-search-conditions", "Give words to look for, or ask for all rooms.");
  if (words.length > longestQuery) return wrong("invalid-search-terms", `At most ${longestQuery} characters.`);
  const order = singleValueOf(form, "key") ?? orders.users;
  if (order !== orders.users && order !== orders.address)
    return stanzaError("feature-not-implemented", {
      type: "modify",
      application: x("invalid-sort-key", { xmlns: ns.channelSearchError }),
    });
  const least = singleValueOf(form, "min_users") ?? "0";
  const types = valuesOf(form, "types");
  const within = (field: string): boolean => booleanOf(form, field) !== false;
  const [byName, byDescription, byAddress] = [within("sinname"), within("sindescription"), within("sinaddr")];
  return {
    words: words.split(/\s+/).filter((word) => word !== ""),
    least: /^\d{1,6}$/.test(least) ? Number(least) : 0,
    order,
    kind: types.length === 0 || types.includes("xep-0045"),
    texts({ name, config }, address) {
      const parts = [
        byName ? config.name || name : "",
        byDescription ? config.description : "",
        byAddress ? address : "",
      ];
      return parts.join("\n").toLowerCase();
    },
  };
}
