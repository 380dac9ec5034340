import { CodedError } from "../errors.ts";

/** Codes that have a status of their own; what an agent or a check refuses is a conflict with how things are. */
const statuses: Readonly<Record<string, number>> = {
  "admin/bad-request": 400,
  "admin/not-logged-in": 401,
  "admin/wrong-login": 401,
  "admin/not-admin": 403,
  "admin/forged": 403,
  "admin/not-found": 404,
  "admin/unknown-session": 404,
  "admin/wrong-host": 421,
  "admin/too-many-failures": 429,
  "admin/agent-answer": 502,
  "admin/no-verdict": 503,
  "admin/not-built": 503,
  "admin/starting": 503,
  "auth/busy": 503,
  "control/no-agent": 503,
  "control/agent-silent": 504,
  "property/value": 422,
  "property/reserved": 422,
  "control/unknown-setting": 422,
};

export interface FailureDocument {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly fields?: Record<string, string | number | boolean>;
  };
}

/** How a failure is told; what is our own fault says no more than that. */
export function failureAnswer(error: unknown): { status: number; body: FailureDocument; ours: boolean } {
  if (error instanceof CodedError) {
    const fields = Object.fromEntries(
      Object.entries(error.fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    );
    const { code, message, hint } = error;
    const body = {
      error: {
        ...{ code, message },
        ...(hint === undefined ? {} : { hint }),
        ...(Object.keys(fields).length === 0 ? {} : { fields }),
      },
    };
    return { status: statuses[code] ?? 409, body, ours: false };
  }
  // fastify's own: a body that is too long, of another type, or no JSON.
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  if (typeof status === "number" && status >= 400 && status < 500)
    return {
      status,
      body: { error: { code: "admin/bad-request", message: "The request is not as it must be." } },
      ours: false,
    };
  return {
    status: 500,
    body: {
      error: {
        code: "admin/internal",
        message: "The server failed by its own fault.",
        hint: "Its log says more: logs/server.log in the home directory.",
      },
    },
    ours: true,
  };
}
