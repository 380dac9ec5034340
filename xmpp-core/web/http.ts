/** HTTP for everybody on the gate's connections: what modules and streams offer to browsers. docs/web.md */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import type { Clock } from "../clock.ts";
import type { PublicPage, WebAnswer, WebRequest, WebRoute } from "../modules/web-points.ts";
import type { Report } from "../report.ts";
import type { Connection } from "../transport/connection.ts";
import type { Gate } from "../transport/gate.ts";
import { openDoor } from "../transport/http-door.ts";
import type { ConnectionStream } from "../transport/stream.ts";
import { segmentsOf } from "./path.ts";
import { webListeners } from "./properties.ts";

export interface WebParts {
  readonly clock: Clock;
  readonly report: Report;
  readonly gate: Gate;
  readonly routes: () => readonly WebRoute[];
  readonly pages: () => readonly PublicPage[];
  /** Takes a connection that asked to go on in another protocol; false: not here, or not so. */
  readonly upgrade: (request: UpgradeRequest, take: () => Connection) => boolean;
}

/** A request with `Upgrade`; nothing has been answered. */
export interface UpgradeRequest extends Pick<WebRequest, "segments" | "headers" | "remote" | "secure"> {}

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

/** Takes the connections of the listeners `web` and `web-tls`. */
export function openWeb(parts: WebParts): Web {
  const routes = new Map([...parts.routes(), ...parts.pages().map(asRoute)].map((route) => [route.root, route]));

  const door = openDoor(parts.clock, protection, (request, response) => {
    answer(request).then(
      (given) => send(request, response, given),
      (error: unknown) => {
        parts.report.wrong({ what: `${request.method} on the web port`, error });
        send(request, response, plain(500, "The server failed by its own fault."));
      },
    );
  });
  door.server.on("upgrade", (request: IncomingMessage, socket: ConnectionStream, head: Buffer) => {
    const segments = segmentsOf(request.url);
    const { remote, secure } = visitor(request);
    const taken =
      segments !== undefined &&
      parts.upgrade({ segments, headers: request.headers, remote, secure }, () => socket.detach(head));
    if (!taken) socket.end("HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  });

  async function answer(request: IncomingMessage): Promise<WebAnswer> {
    const segments = segmentsOf(request.url);
    const [root = "", ...rest] = segments ?? [];
    const route = segments && routes.get(root);
    if (route === undefined) return plain(404, "There is nothing here.");
    const method = request.method ?? "";
    if (method === "OPTIONS") return preflight(route, request);
    const shared = crossOrigin(route, request);
    const asked = route.methods.find((one) => one === (method === "HEAD" ? "GET" : method));
    if (asked === undefined) return plain(405, "Not by this method.", { allow: allowed(route).join(", "), ...shared });
    const given = await route.answer({
      ...{ method: asked, segments: rest, headers: request.headers, body: request },
      query: new URL(request.url ?? "/", "http://host").searchParams,
      ...visitor(request),
    });
    return { ...given, headers: { ...given.headers, ...shared } };
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
    async answer({ segments }) {
      const page = await answer(segments);
      return page === undefined
        ? plain(404, "There is nothing here.")
        : { status: 200, headers: { "content-type": page.type }, body: page.body };
    },
  };
}

function visitor(request: IncomingMessage): Pick<WebRequest, "remote" | "secure"> {
  const { remoteAddress, encrypted } = request.socket as unknown as ConnectionStream;
  return { remote: remoteAddress, secure: encrypted };
}

function allowed({ methods }: WebRoute): string[] {
  return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
}

/** Says on every answer, errors too, that pages of others may read it: a browser hides the reason otherwise. */
function crossOrigin(route: WebRoute, request: IncomingMessage): Record<string, string> {
  if (request.headers.origin === undefined || route.everyOrigin !== true) return {};
  return { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };
}

function preflight(route: WebRoute, request: IncomingMessage): WebAnswer {
  const headers: Record<string, string> = { allow: allowed(route).join(", "), ...crossOrigin(route, request) };
  if (route.everyOrigin === true) {
    headers["access-control-allow-methods"] = headers.allow ?? "";
    headers["access-control-allow-headers"] = (route.requestHeaders ?? ["content-type"]).join(", ");
    headers["access-control-max-age"] = "7200";
  }
  return { status: 204, headers };
}

function plain(status: number, text: string, headers: Record<string, string> = {}): WebAnswer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers }, body: `${text}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers = {}, body }: WebAnswer): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
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
