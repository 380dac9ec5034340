/**
 * Openfire's REST plugin over HTTP: JSON both ways, bounded in time and size. What goes wrong becomes a `CodedError`
 * with method and path; headers and bodies, which hold secrets, are in no error and no log.
 */
import { readFile } from "node:fs/promises";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import axios, { type AxiosInstance } from "axios";
import { z } from "zod";
import { CodedError, errno } from "../../errors.ts";

export type OpenfireAccess =
  | { readonly by: "secret"; readonly file: string }
  | { readonly by: "password"; readonly user: string; readonly file: string };

export type RestOptions = {
  /** Of the admin console: `https://xmpp.example.org:9091`. */
  url: string;
  access: OpenfireAccess;
  /** Path of a PEM file with the authority of the console's certificate. */
  ca?: string | undefined;
  timeoutMs?: number;
  /** Called with each failure to reach the server, and after the first answer that follows. */
  reached?: (reached: boolean, why?: string) => void;
};

export interface Rest {
  readonly url: URL;
  /** The document, or undefined where there is none (404). Rejects with `target/lost`, `openfire/…`. */
  find<T>(path: string, shape: z.ZodType<T>): Promise<T | undefined>;
  /** As `find`; a missing document is `openfire/request-failed`. */
  get<T>(path: string, shape: z.ZodType<T>): Promise<T>;
  /** Resolves with false where the answer is 404, 409 or whatever `unless` holds. */
  send(method: "POST" | "PUT" | "DELETE", path: string, body?: object, unless?: readonly number[]): Promise<boolean>;
  /** Without authentication and below the console's root: status and text. */
  page(path: string): Promise<{ status: number; text: string }>;
  close(): void;
}

const base = "/plugins/restapi/v1";
/** 50,000 users with properties are 15 MB. */
const mostBytes = 128 * 1024 * 1024;
/** Openfire's console has a pool of few threads. */
const mostSockets = 4;

const failure = z.object({ message: z.string().optional(), exception: z.string().optional() });

export async function openRest(options: RestOptions): Promise<Rest> {
  const { access, timeoutMs = 30_000, reached = () => {} } = options;
  const url = new URL(options.url);
  const ca = options.ca === undefined ? undefined : await secretFile(options.ca);
  const agents = {
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets: mostSockets }),
    httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets: mostSockets, ...(ca === undefined ? {} : { ca }) }),
  };
  const http: AxiosInstance = axios.create({
    ...agents,
    baseURL: url.origin,
    timeout: timeoutMs,
    maxContentLength: mostBytes,
    maxBodyLength: mostBytes,
    maxRedirects: 0,
    proxy: false,
    responseType: "text",
    transformResponse: (text: string) => text,
    validateStatus: () => true,
  });
  let authorization: string | undefined;

  const ask = async (method: string, path: string, headers: Record<string, string>, body?: object) => {
    try {
      const { status, data } = await http.request<string>({
        method,
        url: path,
        headers,
        ...(body === undefined ? {} : { data: JSON.stringify(body) }),
      });
      reached(true);
      return { status, text: typeof data === "string" ? data : "" };
    } catch (error) {
      // The library's error holds the request with its headers, so none of it goes on.
      const why = networkWords(error);
      reached(false, why);
      throw new CodedError("target/lost", `Openfire did not answer ${method} ${path}: ${why}.`, {
        hint: `Is ${url.origin} its admin console, and does it run?`,
      });
    }
  };

  const call = async (method: string, path: string, body?: object) => {
    authorization ??= await authorizationOf(access);
    const headers = { authorization, accept: "application/json", "content-type": "application/json" };
    const answer = await ask(method, base + path, headers, body);
    // A secret that was changed on both sides is read again at the next request.
    if (answer.status === 401) authorization = undefined;
    return answer;
  };

  const find = async <T>(path: string, shape: z.ZodType<T>): Promise<T | undefined> => {
    const { status, text } = await call("GET", path);
    if (status === 404) return undefined;
    if (status !== 200) throw refused("GET", path, status, text, access);
    try {
      return shape.parse(JSON.parse(text));
    } catch {
      throw new CodedError("target/protocol", `Openfire's answer to GET ${path} is not understood.`, {
        hint: "Is the REST API plugin 1.12 or newer?",
      });
    }
  };

  return {
    url,
    find,
    async get(path, shape) {
      const found = await find(path, shape);
      if (found === undefined) throw refused("GET", path, 404, "", access);
      return found;
    },
    async send(method, path, body, unless = []) {
      const { status, text } = await call(method, path, body);
      if (status === 200 || status === 201) return true;
      if (unless.includes(status)) return false;
      throw refused(method, path, status, text, access);
    },
    page: (path) => ask("GET", path, { accept: "*/*" }),
    close() {
      agents.httpAgent.destroy();
      agents.httpsAgent.destroy();
    },
  };
}

/** One segment of a path. Jetty refuses `/`, `\`, `;` and `%` in it, however they are written: see `addressable`. */
export function segment(name: string): string {
  return encodeURIComponent(name);
}

/** Whether a name can stand in a path of the REST plugin. */
export function addressable(name: string): boolean {
  return !/[/\\;%?#\p{Cc}]/u.test(name) && name !== "." && name !== "..";
}

function refused(method: string, path: string, status: number, text: string, access: OpenfireAccess): CodedError {
  const fields = { method, path, status };
  if (status === 401)
    return new CodedError("openfire/not-authorized", "Openfire's REST plugin refuses our credentials (401).", {
      fields,
      hint:
        access.by === "secret"
          ? `In the console, Server > Server Settings > REST API: is "Secret key auth" chosen, is it the secret of ${access.file}, and is this agent's address among the allowed IP addresses (an empty list allows all)?`
          : `In the console, Server > Server Settings > REST API: is "HTTP basic auth" chosen, is ${access.user} an Openfire admin with the password of ${access.file}, and is this agent's address among the allowed IP addresses (an empty list allows all)?`,
    });
  if (status === 403)
    return new CodedError("openfire/disabled", "Openfire's REST plugin is installed, but switched off (403).", {
      fields,
      hint: "In the console, Server > Server Settings > REST API: choose Enabled.",
    });
  const said = failure.safeParse(jsonOf(text));
  const reason = said.success ? [said.data.exception, said.data.message].filter(Boolean).join(": ") : "";
  return new CodedError(
    "openfire/request-failed",
    `Openfire answered ${method} ${path} with ${status}${reason ? ` (${reason})` : ""}.`,
    { fields, hint: "Openfire's log says more." },
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function authorizationOf(access: OpenfireAccess): Promise<string> {
  const secret = (await secretFile(access.file)).trim();
  if (access.by === "secret") return secret;
  return `Basic ${Buffer.from(`${access.user}:${secret}`).toString("base64")}`;
}

async function secretFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new CodedError("openfire/credentials-file", `${path} cannot be read (${errno(error) ?? "unknown error"}).`, {
      hint: "FIREKEEPER_OPENFIRE_SECRET_FILE, _PASSWORD_FILE and _CA name files that the agent's user may read.",
    });
  }
}

function networkWords(error: unknown): string {
  const code = errno(error);
  if (code === "ERR_BAD_RESPONSE") return "the answer is too large";
  if (code === "ECONNABORTED" || code === "ETIMEDOUT") return "no answer in time";
  return code ?? "unknown error";
}
