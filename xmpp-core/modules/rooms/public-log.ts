import { ns } from "../../formats/namespaces.ts";
import { prepareLocal } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { StoredStanza } from "../../routing/stored-stanzas.ts";
import { archiveTime, firstArchiveId } from "../../storage/archive-id.ts";
import { read } from "../../storage/statement.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { rawXml, text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { type PageAnswer, publicPages } from "../web-points.ts";
import type { ConfigField, RoomExtension, RoomFeature } from "./extensions.ts";
import type { Room, Rooms } from "./room.ts";

const enabled = property("firekeeper.muc.public-logs", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether owners of rooms may have what is said there shown on web pages: /logs/<room> on the web port.",
});

const name = "firekeeper#publiclog";
const dayMs = 24 * 3600 * 1000;
const mostShown = 5000;

const ofDay = read<[room: number, from: number, to: number, most: number], StoredStanza>(
  `SELECT s.* FROM room_archive a JOIN stanza s ON s.id = a.id
   WHERE a.room = ? AND a.id >= ? AND a.id < ? ORDER BY a.id LIMIT ?`,
);

/** Pages of what was said, day by day, of rooms that anybody may enter and whose owners want it so. docs/rooms.md */
export const roomPublicLog: RoomFeature = {
  name: "room-public-log",
  properties: [enabled],
  start(core, rooms): RoomExtension {
    core.offer(publicPages, {
      root: "/logs",
      answer([where, day, ...more]) {
        const room = where === undefined || more.length > 0 ? undefined : roomNamed(core, rooms, where);
        const from = day === undefined ? startOfDay(core.clock.now()) : dayOf(day);
        return room === undefined || from === undefined || !isShown(core, room) ? undefined : page(core, room, from);
      },
    });
    const wanted: ConfigField = {
      field: { name, type: "boolean", label: "Show what is said on public web pages", values: ["0"] },
      check: ([value = ""]) =>
        value === "0" || value === "false" || core.properties.get(enabled)
          ? undefined
          : "Logs of rooms are not shown on web pages here.",
    };
    return {
      configFields: [wanted],
      infoFields(room) {
        const place = isShown(core, room) ? core.webAddress(core.names.primary.name) : undefined;
        if (place === undefined) return [];
        const values = [`${place}/logs/${encodeURIComponent(pathOf(core, room))}`];
        return [{ name: "muc#roominfo_logs", type: "text-single", label: "What was said, on the web", values }];
      },
    };
  },
};

/** Only what anybody might have heard by coming in. */
function isShown(core: Core, { config, locked }: Room): boolean {
  const [value] = config.extra.get(name) ?? [];
  const open = !locked && !config.membersOnly && config.password === "" && config.logging;
  return open && (value === "1" || value === "true") && core.properties.get(enabled);
}

/** `lobby`, or `lobby@team` in a room service of another label. */
function pathOf({ names }: Core, room: Room): string {
  const [label = ""] = names.hostName(names.primary.name, room.service).split(".");
  return room.service === "conference" ? room.name : `${room.name}@${label}`;
}

function roomNamed({ names }: Core, rooms: Rooms, where: string): Room | undefined {
  const [given = "", label] = where.split("@");
  const local = prepareLocal(given);
  const view = names.primary.name;
  const host = label === undefined ? undefined : names.host(`${label}.${view}`)?.service;
  const service = label === undefined ? "conference" : host;
  return local === undefined || service === undefined ? undefined : rooms.get(names.primary.id, service, local);
}

const startOfDay = (ms: number): number => ms - (ms % dayMs);

function dayOf(day: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\d$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined;
}

const dateText = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

async function page(core: Core, room: Room, from: number): Promise<PageAnswer> {
  const rows = await core.storage.read(ofDay, room.id, firstArchiveId(from), firstArchiveId(from + dayMs), mostShown);
  const said = rows.flatMap(lineOf);
  const title = `${room.config.name || room.name}, ${dateText(from)}`;
  const base = `/logs/${encodeURIComponent(pathOf(core, room))}`;
  const other = (ms: number, label: string): Xml => x("a", { href: `${base}/${dateText(ms)}` }, text(label));
  const links = [
    other(from - dayMs, "the day before"),
    ...(from + dayMs > core.clock.now() ? [] : [text(" "), other(from + dayMs, "the day after")]),
  ];
  const body = x(
    "html",
    { lang: room.config.lang || "en" },
    x("head", {}, x("meta", { charset: "utf-8" }), x("title", {}, text(title))),
    x(
      "body",
      {},
      x("h1", {}, text(title)),
      x("p", {}, links),
      said.length === 0 ? x("p", {}, text("Nothing was said.")) : x("dl", {}, said),
    ),
  );
  return { type: "text/html; charset=utf-8", body: `<!DOCTYPE html>${body}\n` };
}

function lineOf(row: StoredStanza): Xml[] {
  const payload = rawXml(Buffer.from(row.payload));
  const stanza = parseStanza(x("message", { xmlns: ns.client }, payload), ns.client, whole);
  const words = stanza.child(ns.client, "body")?.getText() ?? "";
  const nick = row.sender.slice(row.sender.indexOf("/") + 1);
  if (words === "" || !row.sender.includes("/")) return [];
  const time = new Date(archiveTime(row.id)).toISOString().slice(11, 16);
  return [x("dt", {}, text(`${time} ${nick}`)), x("dd", {}, text(words))];
}

// What is stored was read within the limits in force at the time.
const whole = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };
