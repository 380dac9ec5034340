/** What the console asks of the server. */
import type { Ask, CoreStatus, SessionStatus } from "../../../control/contract.ts";

export interface Me {
  readonly admin: string;
  readonly name: string;
  readonly displayName: string | null;
  readonly csrf: string;
}

export interface Status {
  readonly server: CoreStatus;
  readonly agent: Ask<"agent"> | null;
  readonly ready: readonly string[];
}

export interface Change {
  readonly subject: string;
  readonly action: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly impact: string;
  readonly source: string;
}

export interface Notice {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly where?: string;
}

export interface Outcome {
  readonly is: string;
  readonly plan: {
    readonly revision: number;
    readonly impact: string;
    readonly changes: readonly Change[];
    readonly rejected: readonly { key: string; value: string; rule: string; hint: string }[];
    readonly notices: readonly Notice[];
  };
  readonly why: readonly string[];
  readonly revision?: number;
  readonly done?: readonly string[];
}

export interface ShownPlan extends Outcome {
  readonly id: string;
  readonly removals?: number;
}

export interface Revision {
  readonly revision: number;
  readonly at: string;
  readonly by: string;
  readonly cause: string;
  readonly impact: string;
  readonly changes: readonly Change[];
  readonly result: string;
  readonly why?: string;
}

export interface Property {
  readonly key: string;
  readonly effect: string;
  readonly type: string;
  readonly secret: boolean;
  readonly value?: string;
  readonly stored: boolean;
  readonly default?: string;
  readonly impact?: string;
  readonly unit?: string;
  readonly doc?: string;
  readonly rule?: string;
  readonly options?: readonly string[];
  readonly notes: readonly string[];
  readonly weakens?: string;
  readonly owner: "host" | "local" | null;
  readonly path?: string;
}

export interface Branch {
  readonly branch: string;
  readonly heard: string | null;
  readonly stale: boolean;
  readonly report: {
    readonly domain: string | null;
    readonly revision: number;
    readonly proven: number;
    readonly pending: number;
    readonly rejected: number;
    readonly held: boolean;
    readonly frozen: boolean;
    readonly error: string | null;
    readonly certificateDays: number | null;
    readonly sessions: number | null;
    readonly program: string | null;
  } | null;
}

export interface Fleet {
  readonly branches: readonly Branch[];
  readonly conflicts: readonly string[];
  readonly warnings: readonly string[];
}

export interface Answers {
  "/api/me": Me;
  "/api/login": { csrf: string };
  "/api/status": Status;
  "/api/sessions": { total: number; sessions: readonly SessionStatus[] };
  "/api/plan": ShownPlan;
  "/api/history": readonly Revision[];
  "/api/fleet": Fleet | null;
  "/api/properties": { properties: readonly Property[] };
}

/** What the server refused; `status` 0: it did not answer. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, error: { code?: string; message?: string; hint?: string }) {
    super(error.message ?? "");
    this.status = status;
    this.code = error.code ?? "";
    this.hint = error.hint ?? "";
  }
}

let token = "";
let lost: (why: Refused) => void = () => undefined;

/** Called when the session is over, with the server's reason. */
export function onLost(listener: (why: Refused) => void): void {
  lost = listener;
}

/** @param quiet a poll, which does not prolong the session */
export function get<P extends keyof Answers>(path: P, quiet = false): Promise<Answers[P]> {
  return ask("GET", path, undefined, quiet ? { "x-background": "1" } : {}) as Promise<Answers[P]>;
}

export function post<T = unknown>(path: string, body: unknown = {}): Promise<T> {
  return ask("POST", path, body, { "x-csrf-token": token }) as Promise<T>;
}

export async function whoAmI(): Promise<Me> {
  return remember(await get("/api/me"));
}

export async function logIn(user: string, password: string): Promise<Me> {
  token = (await get("/api/login")).csrf;
  return remember(await post<Me>("/api/login", { user, password }));
}

function remember(me: Me): Me {
  token = me.csrf;
  return me;
}

async function ask(method: string, path: string, body: unknown, headers: Record<string, string>): Promise<unknown> {
  const sent =
    body === undefined
      ? { method, headers }
      : { method, headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(path, sent);
    answer = await response.json();
  } catch {
    throw new Refused(0, { code: "unreachable" });
  }
  if (response.ok) return answer;
  const refused = new Refused(response.status, (answer as { error?: Record<string, string> }).error ?? {});
  if (path !== "/api/login" && path !== "/api/me" && ["admin/not-logged-in", "admin/not-admin"].includes(refused.code))
    lost(refused);
  throw refused;
}
