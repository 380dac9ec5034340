/** What the pages for browsers share. docs/guides.md */
import { createHash } from "node:crypto";
import { domainToUnicode } from "node:url";
import { canonicalHost } from "../properties/text-schema.ts";
import { webBase } from "../stream/web-ports.ts";
import type { Core } from "./module.ts";
import type { WebAnswer, WebRequest } from "./web-points.ts";

/** The live name that the browser was pointed to, or of a service of it; the primary one for every other host. */
export function viewOf({ names }: Core, { headers }: WebRequest): string {
  const bare = canonicalHost((headers.host ?? "").slice(0, 300).replace(/:\d{1,5}$/, ""));
  const found = bare === undefined ? undefined : (names.host(bare) ?? names.host(domainToUnicode(bare)));
  return found?.served.id === names.primary.id ? found.view : names.primary.name;
}

/** What a proxy in front puts before every path: "" or `/chat`. */
export function pathPrefix({ properties }: Core): string {
  const base = properties.get(webBase);
  return base === undefined ? "" : new URL(base).pathname.replace(/\/$/, "");
}

/** A text that is computed at each request and always asked for again: a browser that has it hears that it is the same. */
export function fresh(
  request: WebRequest,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): WebAnswer {
  const etag = `"${createHash("sha256").update(type).update(body).digest("base64url").slice(0, 22)}"`;
  const given = { "cache-control": "no-cache", etag, ...headers };
  const known = (request.headers["if-none-match"] ?? "").slice(0, 1024).split(",");
  if (known.some((one) => one.trim().replace(/^W\//, "") === etag)) return { status: 304, headers: given };
  return { status: 200, headers: { ...given, "content-type": type }, body };
}
