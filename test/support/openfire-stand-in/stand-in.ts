/**
 * A local Openfire to the outside of its REST plugin: routes, methods, media types, authentication and status codes are
 * those of restapi.json, which was read from the plugin's sources; its memory and its traps are in state.ts and handlers.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Call, handlers, RestFailure } from "./handlers.ts";
import restapi from "./restapi.json" with { type: "json" };
import { OpenfireState } from "./state.ts";
import { entityXml } from "./xml.ts";
import { type StandInXmpp, startStandInXmpp } from "./xmpp.ts";

export type Fault = {
  /** The how-manieth changing request from now on, 1 is the next. */
  at: number;
  /** `before` and `after` it took effect the connection is cut; `refuse` answers 500; `hang` never answers. */
  how: "before" | "after" | "refuse" | "hang";
  /** Nothing answers any more until `revive`. */
  dies?: boolean;
};

export type OpenfireStandIn = {
  readonly url: string;
  readonly state: OpenfireState;
  readonly secret: string;
  readonly xmpp: StandInXmpp | undefined;
  /** Method and path of every request so far. */
  readonly requests: string[];
  /** Resolves when it has come to pass. */
  fault(fault: Fault): Promise<void>;
  /** How many requests changed something since the last fault was set. */
  changed(): number;
  revive(): void;
  /** Ends and starts again on the same port. */
  restart(during?: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
};

export type StandInOptions = {
  domain?: string;
  version?: string;
  plugin?: string | undefined;
  auth?: "secret" | "basic";
  allowedIps?: string[];
  enabled?: boolean;
  /** Ports on which users log in; otherwise nothing listens there. */
  xmpp?: boolean;
};

type Route = (typeof restapi.endpoints)[number] & { readonly pattern: RegExp; readonly names: string[] };

const base = restapi.base.path;
const routes: Route[] = restapi.endpoints.map((endpoint) => ({
  ...endpoint,
  names: [...endpoint.path.matchAll(/\{([^}]+)\}/g)].map(([, name = ""]) => name),
  pattern: new RegExp(`^${endpoint.path.replaceAll(".", "\\.").replaceAll(/\{[^}]+\}/g, "([^/]+)")}$`),
}));

/** Every route of the file, and whether this stand-in serves it. */
export function coverage(): { route: string; served: boolean }[] {
  return routes.map(({ method, path }) => {
    const route = `${method} ${path.slice(base.length)}`;
    return { route, served: route in handlers || path.endsWith("/openapi.yaml") };
  });
}

export async function startOpenfire(options: StandInOptions = {}): Promise<OpenfireStandIn> {
  const { domain = "example.test", version = "5.1.1", auth = "secret", enabled = true } = options;
  const plugin = "plugin" in options ? options.plugin : "1.12.0";
  const state = new OpenfireState(domain);
  const secret = "s3cret-of-the-plugin";
  state.stored.set("plugin.restapi.secret", secret);
  const xmpp = options.xmpp ? await startStandInXmpp(state) : undefined;
  const closed = ["xmpp.socket.plain.active", "xmpp.socket.ssl.active", "xmpp.proxy.enabled"];
  if (!xmpp) for (const key of closed) state.stored.set(key, "false");
  state.restart();
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  let fault: Fault | undefined;
  let count = 0;
  let dead = false;
  let came: () => void = () => {};

  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = "GET" } = request;
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://stand-in");
    requests.push(`${method} ${pathname}`);
    const body = await bodyOf(request);
    if (dead) return void request.socket.destroy();
    const changes = method !== "GET";
    if (changes) count += 1;
    const hit = changes && fault && count === fault.at ? fault : undefined;
    if (hit?.dies) dead = true;
    if (hit && hit.how !== "after") came();
    if (hit?.how === "hang") return;
    if (hit?.how === "before") return void request.socket.destroy();
    if (hit?.how === "refuse") return void response.writeHead(500).end();
    const answer = answered(method, request.url ?? "", pathname, searchParams, body, request);
    if (hit?.how === "after") {
      came();
      return void request.socket.destroy();
    }
    response.writeHead(answer.status, { "content-type": answer.type, ...answer.headers }).end(answer.text);
  };

  const page = (pathname: string) => {
    if (pathname === "/login.jsp") {
      const line = `<div class="text" id="jive-loginVersion"> Openfire, Version: ${version}</div>`;
      return { status: 200, type: "text/html", text: `<html><body>${line}</body></html>` };
    }
    return { status: 302, type: "text/html", text: "", headers: { location: "/login.jsp" } };
  };

  const refusal = (pathname: string, request: IncomingMessage): number | undefined => {
    if (pathname.endsWith("/openapi.yaml") || /\/system\/(liveness|readiness)(\/|$)/.test(pathname)) return undefined;
    if (!enabled) return 403;
    const ips = options.allowedIps ?? [];
    const from = String(request.headers["x-forwarded-for"] ?? request.socket.remoteAddress);
    if (ips.length > 0 && !ips.includes(from)) return 401;
    const given = request.headers.authorization;
    if (auth === "secret") return given === secret ? undefined : 401;
    const [name = "", password = ""] = Buffer.from(given?.replace(/^Basic /, "") ?? "", "base64")
      .toString()
      .split(":");
    return state.isAdmin(name) && state.mayLogIn(name, password) ? undefined : 401;
  };

  const answered = (
    method: string,
    rawUrl: string,
    pathname: string,
    query: URLSearchParams,
    body: string,
    request: IncomingMessage,
  ): { status: number; type: string; text: string; headers?: Record<string, string> } => {
    // Jetty takes no path with an encoded separator.
    if (/%2f|%5c|%25|%3b/i.test(rawUrl.split("?")[0] ?? ""))
      return { status: 400, type: "text/html", text: "Ambiguous" };
    if (!pathname.startsWith(base) || plugin === undefined) return page(pathname);
    if (pathname === `${base}/openapi.yaml`)
      return {
        status: 200,
        type: "application/yaml",
        text: `openapi: 3.0.1\ninfo:\n  title: REST API\n  version: ${plugin}\n`,
      };
    const refused = refusal(pathname, request);
    if (refused !== undefined) return { status: refused, type: "text/html", text: "" };
    const matching = routes.filter((one) => one.pattern.test(pathname));
    if (matching.length === 0) return { status: 404, type: "text/html", text: "" };
    const route = matching.find((one) => one.method === method);
    if (!route) return { status: 405, type: "text/html", text: "" };
    const xml = !/json/.test(request.headers.accept ?? "");
    const type = xml ? "application/xml" : "application/json";
    const handler = handlers[`${method} ${route.path.slice(base.length)}`];
    if (!handler)
      return { status: 501, type: "text/plain", text: `the stand-in does not serve ${method} ${route.path}` };
    if (body !== "" && !/json/.test(request.headers["content-type"] ?? ""))
      return { status: 415, type: "text/html", text: "" };
    const values = route.pattern.exec(pathname)?.slice(1) ?? [];
    const params = Object.fromEntries(route.names.map((name, at) => [name, decodeURIComponent(values[at] ?? "")]));
    const call: Call = { state, params, query, body: body === "" ? undefined : JSON.parse(body) };
    try {
      const { status, entity } = handler(call);
      if (![...route.success, ...route.errors].includes(status)) throw new Error(`${status} is not documented`);
      if (entity === undefined) return { status, type, text: "" };
      return { status, type, text: xml ? entityXml(route.response ?? "", entity) : JSON.stringify(entity) };
    } catch (error) {
      if (!(error instanceof RestFailure)) throw error;
      const { status, exception, resource, message } = error;
      const entity = { resource, message, exception };
      return { status, type, text: xml ? entityXml("ErrorResponse", entity) : JSON.stringify(entity) };
    }
  };

  const listen = async (port: number): Promise<Server> => {
    const server = createServer((request, response) => {
      serve(request, response).catch((error: unknown) => response.writeHead(599).end(String(error)));
    });
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return server;
  };
  const end = async (server: Server) => {
    const gone = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await gone;
  };

  let server = await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    state,
    secret,
    xmpp,
    requests,
    fault(next) {
      fault = next;
      count = 0;
      return new Promise((resolve) => {
        came = resolve;
      });
    },
    changed: () => count,
    revive() {
      dead = false;
      fault = undefined;
      for (const socket of sockets) socket.destroy();
    },
    async restart(during) {
      await end(server);
      await during?.();
      state.restart();
      server = await listen(port);
    },
    async close() {
      await end(server);
      await xmpp?.close();
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
