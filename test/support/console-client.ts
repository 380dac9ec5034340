/** A browser as far as console and REST need one: cookies, the CSRF token, and paths exactly as they are given. */
import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";

export interface Reply {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  /** The JSON document, if it is one. */
  // biome-ignore lint/suspicious/noExplicitAny: what a test expects of it stands in the test
  readonly json: any;
}

export interface ConsoleClient {
  /** Adds the token to what is not GET, unless `headers` has one. */
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  get(path: string, headers?: Record<string, string>): Promise<Reply>;
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  login(user: string, password: string): Promise<Reply>;
  readonly cookies: Map<string, string>;
  csrf: string;
}

export function consoleClient(port: number, { secure = false, host = "127.0.0.1" } = {}): ConsoleClient {
  const cookies = new Map<string, string>();
  const client: ConsoleClient = {
    cookies,
    csrf: "",
    ask(method, path, body, headers = {}) {
      const sent = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
      const own: Record<string, string> = {
        ...(cookies.size === 0 ? {} : { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") }),
        ...(sent === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(sent)) }),
        ...(method === "GET" || client.csrf === "" ? {} : { "x-csrf-token": client.csrf }),
      };
      return new Promise((resolve, reject) => {
        const send = secure ? secureRequest : plainRequest;
        const options = { host, port, method, path, headers: { ...own, ...headers }, agent: false };
        const asking = send({ ...options, ...(secure ? { rejectUnauthorized: false } : {}) }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("error", reject);
          response.on("end", () => {
            for (const each of response.headers["set-cookie"] ?? []) keep(cookies, each);
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json: parsed(text) });
          });
        });
        asking.on("error", reject);
        asking.end(sent);
      });
    },
    get: (path, headers) => client.ask("GET", path, undefined, headers),
    post: (path, body = {}, headers = {}) => client.ask("POST", path, body, headers),
    async login(user, password) {
      client.csrf = (await client.get("/api/login")).json.csrf;
      const reply = await client.post("/api/login", { user, password });
      if (reply.status === 200) client.csrf = reply.json.csrf;
      return reply;
    },
  };
  return client;
}

function keep(cookies: Map<string, string>, header: string): void {
  const [pair = "", ...attributes] = header.split(";");
  const at = pair.indexOf("=");
  const name = pair.slice(0, at);
  if (attributes.some((each) => /^\s*(?:max-age=0|expires=thu, 01 jan 1970)/i.test(each))) cookies.delete(name);
  else cookies.set(name, pair.slice(at + 1));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
