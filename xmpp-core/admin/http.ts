/** Console, health and metrics over HTTP on the gate's connections. docs/architecture.md "Three processes"; docs/rest.md */
import cookie from "@fastify/cookie";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { CodedError } from "../errors.ts";
import type { PublicPage } from "../modules/web-points.ts";
import { fqdn } from "../stream/properties.ts";
import type { Connection } from "../transport/connection.ts";
import { type Door, openDoor } from "../transport/http-door.ts";
import { builtConsole, type ConsoleFile, consoleFiles } from "./console-files.ts";
import { failureAnswer } from "./failures.ts";
import { protection } from "./headers.ts";
import { registerGauges } from "./health.ts";
import { notAdmin } from "./login.ts";
import type { AdminParts } from "./parts.ts";
import { adminListeners } from "./properties.ts";
import { redirecting } from "./redirect.ts";
import { type Access, Answer, type Asked, adminRoutes, json, notLoggedIn } from "./routes.ts";
import { exactPath, mayUsePlain, namesThisMachine, type Visitor, visitorOf } from "./visitor.ts";
import { equalSecrets, type WebSession, type WebSessions, webSessions } from "./web-sessions.ts";

export interface Admin {
  /** Answers who waits with 503 and closes every connection; browsers come back by themselves. */
  close(): Promise<void>;
}

const bodyBytes = 64 * 1024;

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
  }
}

/** Takes the connections of the listeners `admin` and `admin-tls`. */
export async function openAdmin(parts: AdminParts, options: { consoleFolder?: string } = {}): Promise<Admin> {
  const files = await consoleFiles(options.consoleFolder ?? builtConsole());
  const sessions = webSessions(parts);
  let content: Door | undefined;
  const app = fastify({
    bodyLimit: bodyBytes,
    trustProxy: false,
    logger: false,
    // The door answers what is no HTTP; fastify's own answer would be cut off.
    clientErrorHandler: () => undefined,
    serverFactory(handler) {
      content = openDoor(parts.clock, protection, (request, response) => {
        // No route is written in any other way, so the router never sees a path that could be read twice.
        if (exactPath(request.url) === undefined) request.url = "/404";
        handler(request, response);
      });
      return content.server;
    },
  });
  await app.register(cookie);
  app.removeContentTypeParser("text/plain");
  app.addHook("onRequest", async (request) => admit(parts, sessions, request));
  app.setErrorHandler((error, request, reply) => refuse(parts, sessions, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    refuse(parts, sessions, new CodedError("admin/not-found", "There is nothing here."), request, reply),
  );
  registerGauges(parts);
  addRoutes(app, parts, sessions);
  addFiles(app, files);
  addPages(app, parts.pages());
  await app.ready();

  const strangers = openDoor(parts.clock, protection, redirecting(parts), { wantsBodies: false });
  const take = (door: Door | undefined, connection: Connection): void => {
    // What was asked before a restart died with the process; the browser asks again.
    if (connection.adopted || door === undefined) connection.drop();
    else door.take(connection);
  };
  parts.gate.onConnection(adminListeners.plain, (connection) =>
    take(mayUsePlain(parts, connection.remote.address) ? content : strangers, connection),
  );
  parts.gate.onConnection(adminListeners.secure, (connection) => take(content, connection));

  return {
    async close() {
      strangers.close();
      content?.close();
    },
  };
}

function addRoutes(app: FastifyInstance, parts: AdminParts, sessions: WebSessions): void {
  for (const { method, path, access = "admin", answer } of adminRoutes(parts))
    app.route({
      method,
      url: path,
      config: { access },
      async handler(request, reply) {
        const given = await answer(askedOf(sessions, request, reply));
        if (!(given instanceof Answer)) return reply.type(json).send(JSON.stringify(given));
        return reply.code(given.status).type(given.type).send(given.body);
      },
    });
}

/** The console's own files hold nothing that is secret: they are the login page, too. */
function addFiles(app: FastifyInstance, files: readonly ConsoleFile[]): void {
  for (const file of files)
    app.route({
      method: "GET",
      url: file.path,
      config: { access: "everyone" },
      handler(request, reply) {
        const zipped = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
        if (zipped) reply.header("content-encoding", "gzip");
        if (file.immutable) reply.header("cache-control", "private, max-age=31536000, immutable");
        return reply
          .header("vary", "accept-encoding")
          .type(file.type)
          .send(zipped ? file.gzipped : file.bytes);
      },
    });
  if (files.length > 0) return;
  app.route({
    method: "GET",
    url: "/",
    config: { access: "everyone" },
    handler() {
      throw new CodedError("admin/not-built", "The console is not built.", { hint: "npm run build makes it." });
    },
  });
}

/** What modules show to everybody. Nothing of the request but its path and host reaches them, and nobody keeps the answer. */
function addPages(app: FastifyInstance, pages: readonly PublicPage[]): void {
  for (const { root, answer } of pages)
    for (const url of [root, `${root}/:first`, `${root}/:first/:second`])
      app.route<{ Params: { first?: string; second?: string } }>({
        method: "GET",
        url,
        config: { access: "everyone" },
        async handler({ params: { first, second }, headers }, reply) {
          const host = headers.host?.replace(/:\d+$/, "").toLowerCase();
          const given = await answer(
            [first, second].filter((segment) => segment !== undefined),
            host,
          );
          if (given === undefined) throw new CodedError("admin/not-found", "There is nothing here.");
          // They are made to be shown on pages of others.
          return reply
            .header("cross-origin-resource-policy", "cross-origin")
            .header("access-control-allow-origin", "*")
            .type(given.type)
            .send(given.body);
        },
      });
}

// ---------------------------------------------------------------- who may

/** Before the body is read: deny, unless the route and the visitor go together. */
function admit(parts: AdminParts, sessions: WebSessions, request: FastifyRequest): void {
  const visitor = visitorOf(request.raw);
  if (!visitor.secure && !namesThisMachine(parts, request.headers.host))
    throw new CodedError("admin/wrong-host", "This server has another name.", {
      hint: `Call it by its domain or address. For more names set ${fqdn.key}.`,
    });
  if (request.is404) return;
  const access = request.routeOptions.config.access ?? "admin";
  const changes = request.method !== "GET" && request.method !== "HEAD";
  if (changes) sameOrigin(request);
  if (access === "everyone") return;
  if (access === "form") {
    if (changes) mustBe(sessions.formToken(request.cookies[cookieName("form", visitor)] ?? ""), request);
    return;
  }
  const session = sessionOf(sessions, request, visitor);
  if (session === "gone") throw notAdmin();
  if (session === "none") {
    if (access === "monitor" && visitor.local) return;
    throw notLoggedIn();
  }
  if (changes) mustBe(session.csrf, request);
}

function sessionOf(sessions: WebSessions, request: FastifyRequest, visitor: Visitor): WebSession | "none" | "gone" {
  const quiet = request.headers["x-background"] !== undefined;
  return sessions.find(request.cookies[cookieName("session", visitor)], visitor.secure, quiet);
}

/** Browsers say where a request comes from; whoever says nothing has no cookies of a victim. */
function sameOrigin(request: FastifyRequest): void {
  const { origin, host } = request.headers;
  const site = request.headers["sec-fetch-site"];
  const foreign = origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase());
  if (foreign || (site !== undefined && site !== "same-origin")) throw forged();
}

function mustBe(token: string, request: FastifyRequest): void {
  if (!equalSecrets(request.headers["x-csrf-token"], token)) throw forged();
}

function forged(): CodedError {
  return new CodedError("admin/forged", "This request did not come from the console.", {
    hint: "Load the page again.",
  });
}

// ---------------------------------------------------------------- cookies and answers

function cookieName(of: "session" | "form", { secure }: Visitor): string {
  return `${secure ? "__Host-" : ""}firekeeper-${of}`;
}

function askedOf(sessions: WebSessions, request: FastifyRequest, reply: FastifyReply): Asked {
  const visitor = visitorOf(request.raw);
  const found = sessionOf(sessions, request, visitor);
  const set = (of: "session" | "form", value: string): void => {
    const { secure } = visitor;
    reply.setCookie(cookieName(of, visitor), value, { path: "/", httpOnly: true, sameSite: "strict", secure });
  };
  const leave = (): void => {
    const id = request.cookies[cookieName("session", visitor)];
    if (id !== undefined) sessions.end(id);
    forget(reply, "session", visitor);
  };
  return {
    visitor,
    body: request.body,
    query: request.query as Record<string, unknown>,
    session: typeof found === "string" ? undefined : found,
    browser: {
      enter(account) {
        const before = request.cookies[cookieName("session", visitor)];
        if (before !== undefined) sessions.end(before);
        const { id, session } = sessions.open(account, visitor.secure);
        forget(reply, "form", visitor);
        set("session", id);
        return session;
      },
      leave,
      newForm() {
        const made = sessions.newForm();
        set("form", made);
        return sessions.formToken(made);
      },
    },
  };
}

function forget(reply: FastifyReply, of: "session" | "form", visitor: Visitor): void {
  const { secure } = visitor;
  reply.clearCookie(cookieName(of, visitor), { path: "/", httpOnly: true, sameSite: "strict", secure });
}

function refuse(
  parts: AdminParts,
  sessions: WebSessions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { status, body, ours } = failureAnswer(error);
  if (ours) parts.report.wrong({ what: `${request.method} ${exactPath(request.url) ?? ""}`, error });
  if (status === 429 || status === 503) reply.header("retry-after", "10");
  const visitor = visitorOf(request.raw);
  if (status === 403 && sessionOf(sessions, request, visitor) === "none") forget(reply, "session", visitor);
  return reply.code(status).type(json).send(JSON.stringify(body));
}
