/** One request for a page: who asks, in which language, with which form. */

import { createHmac, timingSafeEqual } from "node:crypto";
import { languageOf } from "../../formats/language.ts";
import type { Core } from "../module.ts";
import type { WebAnswer, WebRequest } from "../web-points.ts";
import type { Place } from "./layout.ts";
import { words } from "./words.ts";

export interface Visit extends Place {
  readonly remote: string;
  readonly userAgent: string;
  /** Of a form that was sent from a page of ours; undefined: it was only asked for. */
  readonly sent: ReadonlyMap<string, string> | undefined;
  /** For the hidden field of a form. */
  readonly token: string;
  /** The name of the domain that the pages show. */
  readonly domain: string;
}

const longestForm = 8192;
const cookieName = "__Host-form";
const cookieForm = /^[A-Za-z0-9_-]{22}$/;

/**
 * Answers a request for a page with forms. A form counts if it brings the cookie and the token that its page came with,
 * which no page of another origin has; `stale` answers one that does not.
 * @param purpose a token for one form is none for another
 */
export async function visited(
  core: Core,
  request: WebRequest,
  { root, purpose }: { root: string; purpose: string },
  pages: {
    answer: (visit: Visit) => WebAnswer | Promise<WebAnswer>;
    stale: (visit: Visit) => WebAnswer | Promise<WebAnswer>;
  },
): Promise<WebAnswer> {
  const known = cookieOf(request.headers.cookie);
  const cookie = known ?? core.random(16).toString("base64url");
  const token = createHmac("sha256", core.keyFor("forms")).update(`${purpose} ${cookie}`).digest("base64url");
  const language = languageOf(request.query.get("lang"), request.headers["accept-language"]);
  const visit: Visit = {
    ...{ language, words: words[language], root, token, remote: request.remote },
    ...{ domain: core.names.primary.name, userAgent: request.headers["user-agent"] ?? "", sent: undefined },
  };
  const given = await (async () => {
    if (request.method !== "POST") return pages.answer(visit);
    const sent = await formOf(request);
    const proved = known !== undefined && sameText(sent?.get("token") ?? "", token);
    return proved && sent !== undefined ? pages.answer({ ...visit, sent }) : pages.stale(visit);
  })();
  const set = `${cookieName}=${cookie}; Path=/; Max-Age=7200; Secure; HttpOnly; SameSite=Strict`;
  return { ...given, headers: { ...given.headers, "set-cookie": set, vary: "accept-language, cookie" } };
}

function sameText(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function cookieOf(header: string | undefined): string | undefined {
  for (const pair of (header ?? "").split(";")) {
    const [name, value = ""] = pair.trim().split("=");
    if (name === cookieName && cookieForm.test(value)) return value;
  }
  return undefined;
}

/** Undefined: too long, of another type, or a field twice. */
async function formOf({ body, headers }: WebRequest): Promise<ReadonlyMap<string, string> | undefined> {
  if (headers["content-type"]?.split(";")[0]?.trim() !== "application/x-www-form-urlencoded") return undefined;
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of body) {
    size += (part as Buffer).length;
    if (size > longestForm) return undefined;
    parts.push(part as Buffer);
  }
  const fields = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(Buffer.concat(parts).toString("utf8"))) {
    if (fields.has(name)) return undefined;
    fields.set(name, value);
  }
  return fields;
}
