/** HTTP for everybody on the gate's connections: what modules and streams offer to browsers. docs/web.md */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { pipeline } from "node:stream";
import type { Clock } from "../clock.ts";
import {
  type CrossOrigin,
  type PublicPage,
  plainAnswer,
  type WebAnswer,
  type WebRequest,
  type WebRoute,
} from "../modules/web-points.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Visitor } from "../stream/visitor.ts";
import { cspEnabled, cspValue, webListeners } from "../stream/web-ports.ts";
import type { Connection } from "../transport/connection.ts";
import type { Gate } from "../transport/gate.ts";
import { openDoor } from "../transport/http-door.ts";
import type { ConnectionStream } from "../transport/stream.ts";
import { segmentsOf } from "./path.ts";
import { hostOf, visitorOf } from "./visitor.ts";

export interface WebParts {
  readonly clock: Clock;
  readonly report: Report;
  readonly gate: Gate;
  readonly properties: Registry;
  readonly routes: () => readonly WebRoute[];
  readonly pages: () => readonly PublicPage[];
  readonly upgrade: Upgrade;
}

/** A request with `Upgrade`; nothing has been answered. */
export interface UpgradeRequest extends Pick<WebRequest, "segments" | "headers">, Visitor {
  readonly method: string;
}

/** Takes a connection that asked to go on in another protocol, or says why it does not. */
export type Upgrade = (request: UpgradeRequest, take: () => Connection) => WebAnswer | undefined;

export interface Web {
  /** Answers who waits with 503 and closes every connection that is still HTTP. */
  close(): Promise<void>;
}

/** What every answer carries that does not say otherwise: nothing is run, framed, guessed or kept. */
const protection = {
  "content-security-policy":
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
} as const;

const contradiction = "The headers in which proxies say who asks contradict each other.";

/** Bytes a second: who sends a large file more slowly than this is not waited for. */
const leastRate = 1024;

/** Takes the connections of the listeners `web` and `web-tls`. */
export function openWeb(parts: WebParts): Web {
  const routes = new Map([...parts.routes(), ...parts.pages().map(asRoute)].map((route) => [route.root, route]));

  const door = openDoor(
    parts.clock,
    protection,
    (request, response) => {
      answer(request).then(
        (given) => send(request, response, { ...given, headers: { ...policy(), ...given.headers } }),
        (error: unknown) => {
          parts.report.wrong({ what: `${request.method} on the web port`, error });
          send(request, response, plainAnswer(500, "The server failed by its own fault."));
        },
      );
    },
    { leastRate },
  );
  door.server.on("upgrade", (request: IncomingMessage, socket: ConnectionStream, head: Buffer) => {
    const segments = segmentsOf(request.url);
    const { headers, method = "" } = request;
    const who = visitor(request);
    const refused =
      segments === undefined || namesTwoHosts(request)
        ? plainAnswer(404, "There is nothing here.")
        : who === undefined
          ? plainAnswer(400, contradiction)
          : parts.upgrade({ segments, headers, method, ...who }, () => socket.detach(head));
    if (refused !== undefined) sendRaw(socket, refused);
  });

  async function answer(request: IncomingMessage): Promise<WebAnswer> {
    if (namesTwoHosts(request)) return plainAnswer(400, "A request is for one host.", { connection: "close" });
    const who = visitor(request);
    if (who === undefined) return plainAnswer(400, contradiction);
    const segments = segmentsOf(request.url);
    const [root = "", ...rest] = segments ?? [];
    const route = segments && routes.get(root);
    if (route === undefined) return plainAnswer(404, "There is nothing here.");
    const method = request.method ?? "";
    if (method === "OPTIONS") return preflight(route, request);
    const shared = crossOrigin(route, request);
    const asked = route.methods.find((one) => one === (method === "HEAD" ? "GET" : method));
    if (asked === undefined)
      return plainAnswer(405, "Not by this method.", { allow: allowed(route).join(", "), ...shared });
    const given = await route.answer({
      ...{ method: asked, segments: rest, headers: request.headers, body: request },
      query: new URL(request.url ?? "/", "http://host").searchParams,
      ...asker(request, who),
    });
    return { ...given, headers: { ...given.headers, ...shared } };
  }

  function visitor(request: IncomingMessage): Visitor | undefined {
    return visitorOf(request.socket as unknown as ConnectionStream, request.headers, parts.properties.get);
  }

  function asker(
    request: IncomingMessage,
    { address, secure }: Visitor,
  ): Pick<WebRequest, "remote" | "secure" | "local" | "host"> {
    const socket = request.socket as unknown as ConnectionStream;
    const asked = hostOf(socket, request.headers, parts.properties.get);
    return { remote: address, secure, local: socket.localAddress, host: asked };
  }

  /** What replaces our own policy. */
  function policy(): Record<string, string> {
    const own = parts.properties.get(cspEnabled) ? parts.properties.get(cspValue) : "";
    return own === undefined ? {} : { "content-security-policy": own };
  }

  for (const listener of [webListeners.plain, webListeners.secure])
    parts.gate.onConnection(listener, (connection) => {
      // What was asked before a restart died with the process; the browser asks again.
      if (!connection.adopted) door.take(connection);
    });
  return { close: async () => door.close() };
}

function asRoute({ root, answer }: PublicPage): WebRoute {
  return {
    root: root.slice(1),
    methods: ["GET"],
    everyOrigin: true,
    async answer({ segments, host }) {
      const page = await answer(segments, host);
      return page === undefined
        ? plainAnswer(404, "There is nothing here.")
        : { status: 200, headers: { "content-type": page.type }, body: page.body };
    },
  };
}

/** A proxy in front may have taken the other. RFC 9112 §3.2 */
function namesTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  return rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === "host").length > 1;
}

function allowed({ methods }: WebRoute): string[] {
  return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
}

/** Who may ask from a page of another site. */
function sharing(route: WebRoute): CrossOrigin | undefined {
  if (route.crossOrigin !== undefined) return route.crossOrigin();
  if (route.everyOrigin !== true) return undefined;
  return { origins: ["*"], headers: route.requestHeaders ?? ["content-type"], maxAgeSeconds: 7200 };
}

/** Says on every answer, errors too, that pages of others may read it: a browser hides the reason otherwise. */
function crossOrigin(route: WebRoute, request: IncomingMessage): Record<string, string> {
  const { origin } = request.headers;
  const rules = sharing(route);
  if (rules === undefined) return {};
  if (rules.origins.includes("*"))
    return { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
  if (origin === undefined || !rules.origins.includes(origin)) return { vary: "origin" };
  return {
    "access-control-allow-origin": origin,
    "cross-origin-resource-policy": "cross-origin",
    vary: "origin",
  };
}

function preflight(route: WebRoute, request: IncomingMessage): WebAnswer {
  const headers: Record<string, string> = { allow: allowed(route).join(", "), ...crossOrigin(route, request) };
  const rules = sharing(route);
  if (rules !== undefined && headers["access-control-allow-origin"] !== undefined) {
    headers["access-control-allow-methods"] = headers.allow ?? "";
    headers["access-control-allow-headers"] = rules.headers.join(", ");
    headers["access-control-max-age"] = String(rules.maxAgeSeconds);
  }
  return { status: 204, headers };
}

/** An answer on a connection that node gave up since it asked for another protocol. */
function sendRaw(socket: ConnectionStream, { status, headers = {}, body }: WebAnswer): void {
  const text = typeof body === "string" ? body : "";
  const all = { ...protection, ...headers, connection: "close", "content-length": String(Buffer.byteLength(text)) };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n${text}`);
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers = {}, body }: WebAnswer): void {
  // Whoever waited was told by the door that we are leaving.
  if (response.headersSent) {
    if (typeof body === "object" && !Buffer.isBuffer(body)) body.destroy();
    return;
  }
  for (const [name, value] of Object.entries(headers))
    if (value === "") response.removeHeader(name);
    else response.setHeader(name, value);
  // Whoever still sends what nobody reads is not waited for.
  if (!request.complete) response.setHeader("connection", "close");
  response.statusCode = status;
  if (body === undefined || typeof body === "string" || Buffer.isBuffer(body)) {
    response.end(request.method === "HEAD" ? undefined : body);
    return;
  }
  if (request.method === "HEAD") {
    body.destroy();
    response.end();
    return;
  }
  pipeline(body, response, () => undefined);
}
