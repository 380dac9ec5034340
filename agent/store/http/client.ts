/** Requests to the host: bounded in time and size, to one origin only, with errors that hold nothing of the request. */
import { Agent as HttpAgent, type IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import axios, { isAxiosError } from "axios";
import { errno } from "../../errors.ts";
import { StoreError } from "../host-store.ts";
import { type HttpConfiguration, placeOf } from "./configuration.ts";
import { connectionFailure, cutShort, statusFailure, tooLarge } from "./failures.ts";

/** A host's answer to a GET. */
export type Answer =
  | { readonly is: "same"; readonly headers: IncomingHttpHeaders }
  | { readonly is: "document"; readonly headers: IncomingHttpHeaders; readonly etag?: string; readonly text: string };

export interface HostClient {
  /** A document as text; `etag` makes the question conditional. Throws `StoreError`. */
  get(url: URL, options?: { readonly etag?: string | undefined; readonly maxBytes?: number }): Promise<Answer>;
  /** The head of an answer whose body comes bit by bit; whoever asks destroys `body`. Throws `StoreError`. */
  open(url: URL, options: OpenOptions): Promise<Opened>;
  /** Sends JSON. Follows no redirect. Gives the status and at most 64 KiB of the answer. Throws `StoreError`. */
  send(method: "POST" | "PUT" | "PATCH", url: URL, data: unknown): Promise<{ readonly status: number; text: string }>;
  /** Ends what is under way. */
  close(): void;
}

export interface OpenOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** For the head of the answer. */
  readonly headMs: number;
  readonly signal: AbortSignal;
}

export interface Opened {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: IncomingMessage;
}

const mostRedirects = 5;
const mostAnswerBytes = 64 * 1024;
const unzip = promisify(gunzip);

type Wire = Pick<HttpConfiguration, "authorization" | "ca" | "timeoutMs" | "maxBytes">;

export function hostClient(wire: Wire, now: () => number = Date.now): HostClient {
  const httpAgent = new HttpAgent({ keepAlive: true });
  const httpsAgent = new HttpsAgent({ keepAlive: true, ...(wire.ca === undefined ? {} : { ca: wire.ca }) });
  const underWay = new Set<AbortController>();
  let closed = false;
  const wireAxios = axios.create({
    adapter: "http",
    httpAgent,
    httpsAgent,
    // Neither environment variables nor redirects decide where the credentials go.
    proxy: false,
    maxRedirects: 0,
    // Size and completeness are ours to judge: axios takes a cut gzip stream for a whole one.
    decompress: false,
    responseType: "stream",
    maxContentLength: -1,
    validateStatus: () => true,
  });

  /** One request; `work` gets the head and the stream, all within `withinMs`. */
  async function exchange<T>(
    method: string,
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    withinMs: number,
    work: (opened: Opened) => Promise<T>,
    options: { readonly outer?: AbortSignal; readonly again?: boolean } = {},
  ): Promise<T> {
    const { outer, again = false } = options;
    const place = placeOf(url);
    const authorization = await wire.authorization();
    const ending = new AbortController();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      ending.abort();
    }, withinMs);
    const stop = () => ending.abort();
    outer?.addEventListener("abort", stop);
    underWay.add(ending);
    if (closed || outer?.aborted) ending.abort();
    let stream: IncomingMessage | undefined;
    const hangUp = () => stream?.destroy();
    ending.signal.addEventListener("abort", hangUp);
    try {
      const response = await wireAxios.request<unknown>({
        method,
        url: url.href,
        headers: {
          "User-Agent": "Firekeeper",
          ...headers,
          ...(authorization === undefined ? {} : { Authorization: authorization }),
        },
        ...(body === undefined ? {} : { data: body }),
        signal: ending.signal,
      });
      if (!(response.data instanceof IncomingMessage)) throw cutShort(place);
      stream = response.data;
      // A stream that is destroyed later must not end the process.
      stream.on("error", () => {});
      if (ending.signal.aborted) stream.destroy();
      return await work({ status: response.status, headers: stream.headers, body: stream });
    } catch (error) {
      stream?.destroy();
      if (stream && !timedOut && !(error instanceof StoreError)) throw cutShort(place);
      // An idle connection that the host closed just now is no failure of the host: asked once more on a fresh one.
      if (method === "GET" && !again && !timedOut && staleConnection(error))
        return await exchange(method, url, headers, body, withinMs, work, { ...options, again: true });
      throw connectionFailure(error, place, timedOut, withinMs);
    } finally {
      clearTimeout(timer);
      underWay.delete(ending);
      outer?.removeEventListener("abort", stop);
      ending.signal.removeEventListener("abort", hangUp);
    }
  }

  async function getOnce(url: URL, etag: string | undefined, maxBytes: number): Promise<Answer | { to: URL }> {
    const headers = {
      Accept: "application/json",
      "Accept-Encoding": "gzip",
      ...(etag === undefined ? {} : { "If-None-Match": etag }),
    };
    return exchange("GET", url, headers, undefined, wire.timeoutMs, async ({ status, headers, body }) => {
      const place = placeOf(url);
      if (status === 304 && etag !== undefined) {
        body.resume();
        return { is: "same", headers };
      }
      if ([301, 302, 303, 307, 308].includes(status)) {
        body.destroy();
        return { to: redirectTarget(url, headers.location) };
      }
      if (status !== 200) {
        body.destroy();
        throw statusFailure(status, place, headers, now());
      }
      const refused = contentRefusal(place, headers);
      if (refused) {
        body.destroy();
        throw refused;
      }
      const bytes = await wholeBody(body, place, maxBytes);
      const plain = await decoded(bytes, headers["content-encoding"], place, maxBytes);
      const tag = headers.etag;
      return { is: "document", headers, text: utf8(plain, place), ...(tag === undefined ? {} : { etag: tag }) };
    });
  }

  return {
    async get(url, { etag, maxBytes = wire.maxBytes } = {}) {
      let at = url;
      for (let hop = 0; hop <= mostRedirects; hop++) {
        const answer = await getOnce(at, etag, maxBytes);
        if ("is" in answer) return answer;
        at = answer.to;
      }
      throw redirectFailure(placeOf(url), `more than ${mostRedirects} times`);
    },
    open: (url, { headers, headMs, signal }) =>
      exchange("GET", url, headers, undefined, headMs, async (opened) => opened, { outer: signal }),
    async send(method, url, data) {
      const headers = { Accept: "application/json", "Content-Type": "application/json", "Accept-Encoding": "identity" };
      return exchange(method, url, headers, JSON.stringify(data), wire.timeoutMs, async ({ status, body }) => {
        const bytes = await wholeBody(body, placeOf(url), mostAnswerBytes);
        return { status, text: bytes.toString("utf8") };
      });
    },
    close() {
      closed = true;
      for (const one of underWay) one.abort();
      httpAgent.destroy();
      httpsAgent.destroy();
    },
  };
}

/** The host had closed the idle connection on which the request was sent. */
function staleConnection(error: unknown): boolean {
  if (!isAxiosError(error) || !["ECONNRESET", "EPIPE"].includes(errno(error) ?? "")) return false;
  const { request } = error;
  return typeof request === "object" && request !== null && "reusedSocket" in request && request.reusedSocket === true;
}

function redirectTarget(from: URL, location: string | undefined): URL {
  const place = placeOf(from);
  if (location === undefined) throw redirectFailure(place, "to nowhere");
  let to: URL;
  try {
    to = new URL(location, from);
  } catch {
    throw redirectFailure(place, "to something that is no URL");
  }
  if (to.origin !== from.origin || to.username !== "" || to.password !== "")
    throw redirectFailure(place, `to another origin (${to.origin})`);
  return to;
}

function redirectFailure(place: string, where: string): StoreError {
  return new StoreError("store/redirected", `${place} redirects ${where}.`, {
    rule: "redirects within the same scheme, host and port",
    hint: "Our credentials go to no other place. If the host has moved, change FIREKEEPER_STORE.",
  });
}

function contentRefusal(place: string, headers: IncomingHttpHeaders): StoreError | undefined {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const charset = parameters.map((one) => /^\s*charset="?([^"\s]+)"?\s*$/.exec(one)?.[1]).find((one) => one);
  const json = /^\s*application\/([a-z0-9.!#$&^_-]+\+)?json\s*$/.test(type);
  if (json && (charset === undefined || charset === "utf-8" || charset === "utf8")) return undefined;
  const what = json ? `characters in ${printable(charset ?? "")}` : `${printable(type.trim()) || "no Content-Type"}`;
  return new StoreError("store/not-json", `${place} answers with ${what}.`, {
    rule: "Content-Type application/json, in UTF-8",
    hint: "Is the URL right, and is a login page in the way?",
  });
}

/** Of text that a host sent, what may stand in a message. */
export function printable(text: string, most = 200): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+/gu, " ").trim();
  return clean.length > most ? `${clean.slice(0, most)}…` : clean;
}

async function wholeBody(stream: IncomingMessage, place: string, maxBytes: number): Promise<Buffer> {
  if (Number(stream.headers["content-length"]) > maxBytes) throw tooLarge(place, maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(place, maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function decoded(bytes: Buffer, encoding: string | undefined, place: string, maxBytes: number): Promise<Buffer> {
  const name = (encoding ?? "identity").trim().toLowerCase();
  if (name === "identity") return bytes;
  if (name !== "gzip" && name !== "x-gzip")
    throw new StoreError("store/not-json", `${place} answers in the encoding ${printable(name)}.`, {
      rule: "gzip or no Content-Encoding",
      hint: "We ask for gzip only: look at the proxy before the host.",
    });
  try {
    return await unzip(bytes, { maxOutputLength: maxBytes });
  } catch (error) {
    throw errno(error) === "ERR_BUFFER_TOO_LARGE" ? tooLarge(place, maxBytes) : cutShort(place);
  }
}

function utf8(bytes: Buffer, place: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new StoreError("store/not-utf8", `The answer of ${place} is not UTF-8.`, {
      rule: "text in UTF-8",
      hint: "Send JSON as RFC 8259 has it.",
    });
  }
}
