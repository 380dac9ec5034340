/** A browser without scripts: what pages of the web ports say, and forms sent back with the cookie they came with. */
import { request } from "node:https";

export interface Page {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
  readonly bytes: Buffer;
}

export interface Browser {
  get(path: string, headers?: Record<string, string>): Promise<Page>;
  /** Fills in the form of the page at `path` and sends it; `over` replaces hidden fields too, undefined leaves one out. */
  send(path: string, fields: Record<string, string>, over?: Record<string, string | undefined>): Promise<Page>;
  /** Sends fields as they are. */
  post(path: string, body: string, headers?: Record<string, string>): Promise<Page>;
  /** Cookies by name. */
  readonly cookies: Map<string, string>;
}

/** @param from local address to connect from */
export function browser(port: number, from = "127.0.0.1"): Browser {
  const cookies = new Map<string, string>();

  function ask(method: string, path: string, headers: Record<string, string>, body?: string): Promise<Page> {
    return new Promise((resolve, reject) => {
      const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const asked = request(
        {
          ...{ host: "127.0.0.1", port, path, method, agent: false, rejectUnauthorized: false, localAddress: from },
          headers: { ...(cookie === "" ? {} : { cookie }), ...headers },
        },
        (answer) => {
          const parts: Buffer[] = [];
          answer.on("data", (part: Buffer) => parts.push(part));
          answer.once("end", () => {
            for (const set of answer.headers["set-cookie"] ?? []) {
              const [name = "", value = ""] = (set.split(";")[0] ?? "").split("=");
              cookies.set(name, value);
            }
            const bytes = Buffer.concat(parts);
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes.toString(), bytes });
          });
        },
      );
      asked.once("error", reject);
      asked.end(body);
    });
  }

  const post: Browser["post"] = (path, body, headers = {}) =>
    ask("POST", path, { "content-type": "application/x-www-form-urlencoded", ...headers }, body);

  return {
    cookies,
    get: (path, headers = {}) => ask("GET", path, headers),
    post,
    async send(path, fields, over = {}) {
      const page = await ask("GET", path, {});
      const filled = new Map(Object.entries({ ...hiddenFields(page.body), ...fields }));
      for (const [name, value] of Object.entries(over)) {
        if (value === undefined) filled.delete(name);
        else filled.set(name, value);
      }
      return post(path, new URLSearchParams([...filled]).toString());
    },
  };
}

export function hiddenFields(html: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [tag] of html.matchAll(/<input [^>]*>/g)) {
    if (!/ type="hidden"/.test(tag)) continue;
    found[/ name="([^"]*)"/.exec(tag)?.[1] ?? ""] = / value="([^"]*)"/.exec(tag)?.[1] ?? "";
  }
  return found;
}
