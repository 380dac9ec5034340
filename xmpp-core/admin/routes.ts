/** Every route of console, health and metrics: what is not in this list does not exist. */
import { z } from "zod";
import type { Control } from "../control/control.ts";
import { CodedError } from "../errors.ts";
import { fleetSeen } from "./fleet.ts";
import { obstacles } from "./health.ts";
import { checkLogin } from "./login.ts";
import type { AdminParts } from "./parts.ts";
import { applyShown, resumed, revisionHistory, rolledBack, shownPlan } from "./plans.ts";
import { listProperties, setProperty } from "./properties-api.ts";
import type { Visitor } from "./visitor.ts";
import type { WebSession } from "./web-sessions.ts";

/**
 * Who may ask. `admin` is what a route is without saying otherwise; `form` is the login itself, which has a token of
 * its own; `monitor` is the admin, or this machine.
 */
export type Access = "everyone" | "form" | "monitor" | "admin";

export interface Asked {
  readonly visitor: Visitor;
  readonly body: unknown;
  readonly query: Readonly<Record<string, unknown>>;
  /** Of the admin; undefined only where others may ask. */
  readonly session: WebSession | undefined;
  /** Starts and ends the session of the browser, and starts a login form. */
  readonly browser: {
    enter(account: WebSession["account"]): WebSession;
    leave(): void;
    newForm(): string;
  };
}

export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly access?: Access;
  /** What it answers as JSON, or a whole answer. */
  answer(asked: Asked): unknown;
}

/** An answer that is not 200 with JSON. */
export class Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;

  constructor(status: number, type: string, body: string | Buffer) {
    this.status = status;
    this.type = type;
    this.body = body;
  }
}

const loginForm = z.strictObject({ user: z.string().min(1).max(3071), password: z.string().min(1).max(1024) });
const order = z.strictObject({
  plan: z.string().max(100),
  scope: z.enum(["roster", "settings"]).optional(),
  removals: z.number().int().nonnegative().optional(),
  adopt: z.array(z.string().max(1023)).max(1000).optional(),
});
const goal = z.strictObject({ revision: z.number().int().positive(), accounts: z.boolean().default(false) });
const edit = z.strictObject({
  // Openfire's column has 100 characters.
  key: z
    .string()
    .min(1)
    .max(100)
    .regex(/^[\x21-\x7e]+$/),
  value: z.string().max(4000).nullable(),
});
const which = z.strictObject({ address: z.string().min(1).max(3071) });
const nothing = z.strictObject({});
const mostSessions = 1000;

export function adminRoutes(parts: AdminParts): readonly Route[] {
  const control = (): Control => {
    const found = parts.control();
    if (found === undefined) throw new CodedError("admin/starting", "The server is starting.");
    return found;
  };
  const me = (session: WebSession) => ({
    admin: session.admin,
    name: session.account.name,
    displayName: session.account.displayName ?? null,
    csrf: session.csrf,
  });

  return [
    { method: "GET", path: "/health/live", access: "everyone", answer: () => ({ live: true }) },
    {
      method: "GET",
      path: "/health/ready",
      access: "everyone",
      answer() {
        const missing = obstacles(parts);
        const body = JSON.stringify({ ready: missing.length === 0, missing });
        return new Answer(missing.length === 0 ? 200 : 503, json, body);
      },
    },
    {
      method: "GET",
      path: "/metrics",
      access: "monitor",
      answer: async () => new Answer(200, parts.report.metrics.contentType, await parts.report.metrics.metrics()),
    },
    { method: "GET", path: "/api/login", access: "form", answer: ({ browser }) => ({ csrf: browser.newForm() }) },
    {
      method: "POST",
      path: "/api/login",
      access: "form",
      async answer({ body, visitor, browser }) {
        const { user, password } = understood(loginForm, body);
        return me(browser.enter(await checkLogin(parts, { user, password, remote: visitor.remote })));
      },
    },
    { method: "GET", path: "/api/me", answer: (asked) => me(admin(asked)) },
    {
      method: "POST",
      path: "/api/logout",
      answer({ browser, body }) {
        understood(nothing, body ?? {});
        browser.leave();
        return {};
      },
    },
    {
      method: "GET",
      path: "/api/status",
      answer: () => ({ server: control().status(), agent: control().agent() ?? null, ready: obstacles(parts) }),
    },
    {
      method: "GET",
      path: "/api/sessions",
      answer: () => ({ total: parts.sessions.size, sessions: control().sessions(mostSessions) }),
    },
    {
      method: "POST",
      path: "/api/sessions/end",
      answer(asked) {
        const { address } = understood(which, asked.body);
        const session = [...parts.sessions.all()].find((one) => one.address === address && !one.account.probe);
        if (session === undefined)
          throw new CodedError("admin/unknown-session", "This session is over already.", { fields: { address } });
        if (session.carrier === undefined) parts.sessions.end(session, "ended");
        else session.carrier.end("policy-violation", "An administrator has ended this session.");
        parts.rights.used(admin(asked).admin, "end session", address);
        return {};
      },
    },
    { method: "GET", path: "/api/plan", answer: (asked) => shownPlan(control(), admin(asked).admin) },
    {
      method: "POST",
      path: "/api/apply",
      answer: (asked) =>
        applyShown(control(), admin(asked).admin, { ...understood(order, asked.body), from: asked.visitor.remote }),
    },
    { method: "GET", path: "/api/history", answer: (asked) => revisionHistory(control(), admin(asked).admin) },
    { method: "GET", path: "/api/fleet", answer: (asked) => fleetSeen(control(), admin(asked).admin) },
    {
      method: "POST",
      path: "/api/rollback",
      answer: (asked) =>
        rolledBack(control(), admin(asked).admin, { ...understood(goal, asked.body), from: asked.visitor.remote }),
    },
    {
      method: "POST",
      path: "/api/resume",
      answer(asked) {
        understood(nothing, asked.body ?? {});
        return resumed(control(), admin(asked).admin);
      },
    },
    {
      method: "GET",
      path: "/api/properties",
      answer: ({ query }) => ({ properties: listProperties(parts, query.all === "1") }),
    },
    {
      method: "POST",
      path: "/api/properties",
      answer: (asked) => setProperty(parts, control(), admin(asked).admin, understood(edit, asked.body)),
    },
  ];
}

export const json = "application/json; charset=utf-8";

function admin({ session }: Asked): WebSession {
  if (session === undefined) throw notLoggedIn();
  return session;
}

export function notLoggedIn(): CodedError {
  return new CodedError("admin/not-logged-in", "Log in first.");
}

/** Names where the request is wrong and never what stood there: it may be a password. */
function understood<T>(schema: z.ZodType<T>, body: unknown): T {
  const read = schema.safeParse(body);
  if (read.success) return read.data;
  const where = read.error.issues[0]?.path.map(String).join(".") ?? "";
  throw new CodedError("admin/bad-request", `The request is not as it must be${where === "" ? "" : `, at ${where}`}.`, {
    fields: { where },
  });
}
