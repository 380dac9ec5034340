import { property } from "../../properties/property.ts";
import { boolean, enumeration, host, integer, list, port, serviceLabel } from "../../properties/text-schema.ts";
import { webAddress } from "../../stream/web-ports.ts";
import type { Core } from "../module.ts";

/** What admins decide about uploaded files. docs/uploads.md */

export const enabled = property("firekeeper.upload.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether users may send files by way of this server; what was uploaded before can be read either way.",
});

export const serviceName = property("firekeeper.upload.service", {
  schema: serviceLabel,
  default: "upload",
  impact: "live",
  doc: "The first part of the upload service's address: upload.example.org.",
});

const mib = 1024 * 1024;
const most = 2 ** 49;
const bytes = integer(-1, most);
const unlimited = (value: number): string | undefined =>
  value === -1 ? "Nothing bounds what one user may store." : undefined;

export const maxFileSize = property("plugin.httpfileupload.maxFileSize", {
  schema: bytes,
  default: 50 * mib,
  impact: "live",
  unit: "bytes",
  doc: "The largest file that may be uploaded; -1: as large as the other limits allow.",
});

export const userBytes = property("firekeeper.upload.user-bytes", {
  schema: bytes,
  default: 2048 * mib,
  impact: "live",
  unit: "bytes",
  doc: "How much of what one user sent in messages is kept at the same time; -1: no limit.",
  weakens: unlimited,
});

export const dayBytes = property("firekeeper.upload.day-bytes", {
  schema: bytes,
  default: 1024 * mib,
  impact: "live",
  unit: "bytes",
  doc: "How much one user may upload in 24 hours; -1: no limit.",
  weakens: unlimited,
});

export const profileBytes = property("firekeeper.upload.profile-bytes", {
  schema: integer(0, most),
  default: 10 * mib,
  impact: "live",
  unit: "bytes",
  doc: "How much one user may keep as pictures of a profile, which stay as long as the account; 0: none.",
});

export const permanentBytes = property("firekeeper.upload.permanent-bytes", {
  schema: integer(0, most),
  default: 100 * mib,
  impact: "live",
  unit: "bytes",
  doc: "How much one user may keep for blogs and the like, which stays as long as the account; 0: none.",
});

export const allBytes = property("firekeeper.upload.all-bytes", {
  schema: bytes,
  default: -1,
  impact: "live",
  unit: "bytes",
  doc: "How much all uploaded files together may take; -1: as much as the disk has, but for firekeeper.upload.keep-free-bytes.",
});

export const keepFreeBytes = property("firekeeper.upload.keep-free-bytes", {
  schema: integer(0, most),
  default: 512 * mib,
  impact: "live",
  unit: "bytes",
  doc: "How much of the disk uploads leave free for everything else.",
});

export const days = property("firekeeper.upload.days", {
  schema: integer(0, 36_500),
  default: 90,
  impact: "live",
  unit: "days",
  doc: "How long files that were sent in messages are kept; 0: for ever.",
});

export const uploadingComponents = property("firekeeper.upload.components", {
  schema: list(),
  default: [],
  impact: "live",
  doc: "Components that may upload files, by the first part of their address, each with the limits of a user.",
});

export const announcedProtocol = property("plugin.httpfileupload.announcedWebProtocol", {
  schema: enumeration("https", "http"),
  default: "https",
  impact: "live",
  doc: "The scheme in the addresses of files, if it differs from that of firekeeper.web.address.",
  weakens: (value: "https" | "http") =>
    value === "http" ? "Files travel in clear, and many programs refuse such addresses." : undefined,
});

export const announcedHost = property("plugin.httpfileupload.announcedWebHost", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "The host in the addresses of files, if it differs from that of firekeeper.web.address.",
});

export const announcedPort = property("plugin.httpfileupload.announcedWebPort", {
  schema: port,
  default: undefined,
  impact: "live",
  doc: "The port in the addresses of files, if it differs from that of firekeeper.web.address.",
});

export const uploadProperties = [
  ...[enabled, serviceName, maxFileSize, userBytes, dayBytes, profileBytes, permanentBytes, allBytes, keepFreeBytes],
  ...[days, uploadingComponents, announcedProtocol, announcedHost, announcedPort],
] as const;

/** What addresses of files begin with, without a slash at the end; undefined: the ports for browsers are closed. */
export function uploadBase({ properties }: Core, view: string): string | undefined {
  const protocol = properties.get(announcedProtocol);
  const named = properties.get(announcedHost);
  const gate = properties.get(announcedPort);
  const web = webAddress(properties.get, view);
  if (web === undefined && named === undefined) return undefined;
  if (named === undefined && gate === undefined && protocol === "https") return web;
  const url = new URL(web ?? "https://host");
  const bracketed = named?.includes(":") === true ? `[${named}]` : named;
  const usual = protocol === "https" ? "443" : "80";
  const at = gate === undefined ? url.port : String(gate);
  return `${protocol}://${bracketed ?? url.hostname}${at === "" || at === usual ? "" : `:${at}`}${url.pathname.replace(/\/$/, "")}`;
}
