import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { Point } from "./module.ts";

/** The typed points of what browsers get. */
function point<T>(name: string): Point<T> {
  return { name };
}

/** Pages on the web ports that anybody may read; they look at nothing but their path, and the name in front of it. */
export interface PublicPage {
  /** First segment of the path: `/status` answers `/status`, `/status/bob` and `/status/bob/text`. */
  readonly root: string;
  /** The segments behind it, and the name that was asked for; undefined: there is no such page. */
  answer(
    segments: readonly string[],
    host: string | undefined,
  ): PageAnswer | undefined | Promise<PageAnswer | undefined>;
}
export interface PageAnswer {
  readonly type: string;
  readonly body: string;
}
export const publicPages = point<PublicPage>("public pages");

export type WebMethod = "GET" | "POST" | "PUT" | "DELETE";

/** What browsers and other programs get on the ports for them; pages that look at nothing but their path are simpler. */
export interface WebRoute {
  /** First segment of the path: `upload` answers `/upload`, `/upload/a` and so on; "" answers `/` alone. */
  readonly root: string;
  /** HEAD comes with GET. */
  readonly methods: readonly WebMethod[];
  /** Whether pages of every origin may ask, without cookies. */
  readonly everyOrigin?: boolean;
  /** Headers that such pages may send; default content-type. */
  readonly requestHeaders?: readonly string[];
  /** Which pages may ask, where that is settled while it runs; undefined: those of this server alone. */
  crossOrigin?(): CrossOrigin | undefined;
  answer(request: WebRequest): WebAnswer | Promise<WebAnswer>;
}
export interface CrossOrigin {
  /** Origins such as `https://example.org`; `*`: all. */
  readonly origins: readonly string[];
  readonly headers: readonly string[];
  readonly maxAgeSeconds: number;
}
export interface WebRequest {
  /** HEAD comes as GET; the body of the answer is thrown away. */
  readonly method: WebMethod;
  /** Behind the root, decoded; none is empty, "." or "..", or holds a slash, backslash or control character. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The client's address, as far as proxies that are trusted say. */
  readonly remote: string;
  /** TLS on the client's side. */
  readonly secure: boolean;
  /** Our address that it came to. */
  readonly local: string;
  /** The name that it asked for, lower case, without a port. */
  readonly host: string | undefined;
  /** Unread; whoever does not read it need not. */
  readonly body: Readable;
}
export interface WebAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | Readable;
}
/** An answer that is one sentence. */
export function plainAnswer(
  status: number,
  sentence: string,
  headers: Readonly<Record<string, string>> = {},
): WebAnswer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers }, body: `${sentence}\n` };
}
export const webRoutes = point<WebRoute>("web routes");

/** Services whose addresses people type into their programs; the public page of the domain shows them. docs/guides.md */
export interface TypedServices {
  /** As they are now; none of those that are off. */
  services(): readonly TypedService[];
}
export interface TypedService {
  readonly kind: "rooms" | "search" | "file-proxy" | "uploads";
  /** Its name in `names`. */
  readonly service: string;
  readonly port?: number;
  /** The largest file it takes. */
  readonly mostBytes?: number;
  /** Days after which what it keeps is deleted. */
  readonly keptDays?: number;
}
export const typedServices = point<TypedServices>("typed services");

/** Pages where people make an account or an invitation leads; the public page of the domain links to them. */
export interface AccountPage {
  readonly kind: "register" | "password" | "web-chat";
  /** Its path on the ports for browsers, `/account/register`; undefined: it is not to be had now. */
  path(): string | undefined;
}
export const accountPages = point<AccountPage>("account pages");

/** Where programs are told that files are, and what was found there; for status and doctor. */
export interface UploadAddresses {
  /** Undefined: not looked at yet, or files are turned off. */
  state(): UploadAddress | undefined;
}
export interface UploadAddress {
  readonly address: string;
  /** Why this server cannot be reached there; absent: it can. */
  readonly problem?: string;
}
export const uploadAddress = point<UploadAddresses>("upload address");
