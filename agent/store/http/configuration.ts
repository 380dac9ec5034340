/** What `FIREKEEPER_STORE_CONFIG` says of an HTTP host, checked. docs/stores/http.md. */
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { errno, type Notice } from "../../errors.ts";
import { yamlRule } from "../host-file-rules.ts";
import { StoreError } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";
import type { StorePlace } from "../place.ts";

export const parts = ["settings", "roles", "teams", "users"] as const;
export type Part = (typeof parts)[number];

const seconds = 1000;
const minutes = 60 * seconds;
const text = z.string("text").min(1, "text that is not empty");
const milliseconds = (least: number, most: number) => {
  const rule = `a whole number of milliseconds from ${least} to ${most}`;
  return z.int(rule).min(least, rule).max(most, rule);
};

const changes = z.strictObject({
  longPoll: text.optional(),
  /** How long the host may keep a long poll open. */
  waitSeconds: z.int("a whole number of seconds").min(1, "1 or more").max(600, "at most 600").default(50),
  events: text.optional(),
  /** An event stream that says nothing, not even a comment, for so long is dead. */
  silenceMs: milliseconds(100, 60 * minutes).default(minutes),
});

const webhook = z.strictObject({
  path: text.regex(/^\/[\x21-\x7e]*$/, "a path that begins with a slash, such as /firekeeper"),
  secret: text.optional(),
  secretFile: text.optional(),
  port: z.int("a port").min(1, "a port").max(65535, "a port").default(9094),
  address: z.union([z.ipv4(), z.ipv6()], "an IP address").default("127.0.0.1"),
});

const passwordWrite = z.strictObject({
  url: text,
  method: z.enum(["POST", "PUT", "PATCH"], "POST, PUT or PATCH").default("POST"),
});

const configuration = z.strictObject({
  document: text.optional(),
  settings: text.optional(),
  roles: text.optional(),
  teams: text.optional(),
  users: text.optional(),
  token: text.optional(),
  tokenFile: text.optional(),
  user: text.optional(),
  password: text.optional(),
  passwordFile: text.optional(),
  ca: text.optional(),
  allowPlainHttp: z.boolean("true or false").default(false),
  timeoutMs: milliseconds(100, 10 * minutes).default(30 * seconds),
  maxBytes: z
    .int("a number of bytes")
    .min(1024, "1024 or more bytes")
    .max(2 ** 30, "at most 1 GiB")
    .default(64 * 1024 * 1024),
  pollMs: milliseconds(100, 60 * minutes).default(30 * seconds),
  /** Wait after a first failure; it doubles up to `mostRetryMs`. */
  retryMs: milliseconds(10, minutes).default(seconds),
  changes: changes.optional(),
  write: z.strictObject({ password: passwordWrite }).optional(),
  webhook: webhook.optional(),
});

/** Known keys by where they stand, for "did you mean". */
const known: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(configuration.shape),
  changes: Object.keys(changes.shape),
  webhook: Object.keys(webhook.shape),
  write: ["password"],
  "write.password": Object.keys(passwordWrite.shape),
};

export interface HttpConfiguration {
  /** `https://host.example.org/api/xmpp`, without query: what people are shown. */
  readonly place: string;
  readonly read: { readonly document: URL } | { readonly split: readonly (readonly [Part, URL])[] };
  /** The header's value, read anew each time so that a rotated file counts at once. */
  readonly authorization: () => Promise<string | undefined>;
  /** PEM; the only roots that are trusted then. */
  readonly ca: string | undefined;
  readonly warnings: readonly Notice[];
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly pollMs: number;
  readonly retryMs: number;
  readonly longPoll: { readonly url: URL; readonly waitSeconds: number } | undefined;
  readonly events: { readonly url: URL; readonly silenceMs: number } | undefined;
  readonly passwordWrite: { readonly url: URL; readonly method: "POST" | "PUT" | "PATCH" } | undefined;
  readonly webhook:
    | {
        readonly path: string;
        readonly port: number;
        readonly address: string;
        readonly secret: () => Promise<string>;
      }
    | undefined;
}

/** Throws `store/config` with the key and its rule, never with a value that may be a secret. */
export async function readHttpConfiguration({ at, config }: StorePlace): Promise<HttpConfiguration> {
  const base = storeUrl(at);
  const given = checked(config === undefined ? {} : await readYaml(config), config ?? "FIREKEEPER_STORE_CONFIG");
  const file = config ?? "the configuration";
  const directory = config === undefined ? "." : dirname(config);
  const fail = (key: string, rule: string, hint?: string) => refusal(file, key, rule, hint);

  const urlOf = (key: string, where: string): URL => {
    const url = parsedUrl(where, base);
    if (!url) throw fail(key, "a URL, or a path on the host");
    if (url.username !== "" || url.password !== "") throw fail(key, "a URL without user and password", tokenHint);
    // One origin for everything: the credentials can then go nowhere else.
    if (url.origin !== base.origin) throw fail(key, `a URL at ${base.origin}, the origin of FIREKEEPER_STORE`);
    url.hash = "";
    return url;
  };
  const optionalUrl = (key: string, where: string | undefined) => (where === undefined ? undefined : urlOf(key, where));

  const split = parts.flatMap((part) => {
    const where = given[part];
    return where === undefined ? [] : [[part, urlOf(part, where)] as const];
  });
  if (split.length > 0 && given.document !== undefined)
    throw fail("document", "absent where settings, roles, teams or users have URLs of their own");

  const secure = base.protocol === "https:" || isLoopback(base.hostname);
  if (!secure && !given.allowPlainHttp)
    throw new StoreError("store/config", `${base.origin} would be read without TLS.`, {
      rule: "https, or http on this machine",
      hint: "Use https://, or say allowPlainHttp: true in FIREKEEPER_STORE_CONFIG if the network is yours alone.",
    });
  if (given.changes && (given.changes.longPoll === undefined) === (given.changes.events === undefined))
    throw fail("changes", "an object with either longPoll or events");
  const longPoll = optionalUrl("changes.longPoll", given.changes?.longPoll);
  const events = optionalUrl("changes.events", given.changes?.events);
  const write = given.write?.password;
  if (write && !secure) throw fail("write.password", "used with https only, since passwords travel in clear inside it");

  return {
    place: placeOf(base),
    read: split.length > 0 ? { split } : { document: urlOf("document", given.document ?? base.href) },
    authorization: authorizationOf(given, directory, fail),
    ca: given.ca === undefined ? undefined : await readSecret(resolve(directory, given.ca), "ca"),
    warnings: [
      ...(secure ? [] : [plainNotice(placeOf(base))]),
      ...(config !== undefined && holdsSecret(given) ? await readableNotice(config) : []),
    ],
    timeoutMs: given.timeoutMs,
    maxBytes: given.maxBytes,
    pollMs: given.pollMs,
    retryMs: given.retryMs,
    longPoll: longPoll && { url: longPoll, waitSeconds: given.changes?.waitSeconds ?? 50 },
    events: events && { url: events, silenceMs: given.changes?.silenceMs ?? minutes },
    passwordWrite: write && { url: urlOf("write.password.url", write.url), method: write.method },
    webhook: given.webhook && {
      path: given.webhook.path,
      port: given.webhook.port,
      address: given.webhook.address,
      secret: webhookSecret(given.webhook, directory, fail),
    },
  };
}

/** Without query and fragment: they may hold a key. */
export function placeOf(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Whether a host name of a URL is this machine. */
export function isLoopback(hostname: string): boolean {
  return /^(localhost|(.+\.)?localhost|127(\.\d{1,3}){3}|\[::1\])$/i.test(hostname);
}

function plainNotice(place: string): Notice {
  return {
    code: "store/plain-http",
    message: `${place} is read without TLS: whoever is on the way reads passwords and may change everything.`,
    hint: "Serve it by https:// and remove allowPlainHttp.",
  };
}

function holdsSecret({ token, password, webhook }: Given): boolean {
  return token !== undefined || password !== undefined || webhook?.secret !== undefined;
}

async function readableNotice(config: string): Promise<Notice[]> {
  if (((await stat(config)).mode & 0o004) === 0) return [];
  const message = `${config} holds a secret and every user of this machine may read it.`;
  return [{ code: "store/readable-secret", message, hint: `chmod 640 ${config}` }];
}

const tokenHint = "Put them into FIREKEEPER_STORE_CONFIG as user and passwordFile, or tokenFile.";

type Given = z.output<typeof configuration>;
type Fail = (key: string, rule: string, hint?: string) => StoreError;

function storeUrl(at: string): URL {
  const url = parsedUrl(at);
  // The text itself is not repeated: it may hold a password.
  if (!url || !/^https?:$/.test(url.protocol))
    throw new StoreError("store/config", "FIREKEEPER_STORE is no usable URL.", {
      rule: "a URL that begins with https://",
      hint: "Such as https://host.example.org/api/xmpp.",
    });
  if (url.username !== "" || url.password !== "")
    throw new StoreError("store/config", `FIREKEEPER_STORE names ${url.origin} with a user or a password.`, {
      rule: "a URL without user and password",
      hint: tokenHint,
    });
  url.hash = "";
  return url;
}

function parsedUrl(where: string, base?: URL): URL | null {
  try {
    return new URL(where, base);
  } catch {
    return null;
  }
}

async function readYaml(path: string): Promise<unknown> {
  const content = await readSecret(path, "FIREKEEPER_STORE_CONFIG");
  try {
    return parse(content) ?? {};
  } catch (error) {
    // The library's message quotes the line, which may hold a secret.
    const { rule, hint } = yamlRule(error instanceof YAMLParseError ? error.code : "");
    const line = error instanceof YAMLParseError ? error.linePos?.[0].line : undefined;
    const at = line === undefined ? path : `${path}:${line}`;
    throw new StoreError("store/config", `${at}: ${rule}.`, { rule, hint });
  }
}

function checked(data: unknown, file: string): Given {
  const parsed = configuration.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = (issue?.path ?? []).map(String).join(".");
  if (issue?.code !== "unrecognized_keys")
    throw refusal(file, at || "the file", issue?.message ?? "an object with the keys of docs/stores/http.md");
  const [key = ""] = issue.keys;
  const here = known[at] ?? [];
  const meant = nearestName(key, here);
  const path = at === "" ? key : `${at}.${key}`;
  throw new StoreError("store/config", `${file}: ${path} means nothing.`, {
    rule: `one of ${here.join(", ")}`,
    hint: meant ? `Did you mean ${meant}?` : `Known are ${here.join(", ")}.`,
  });
}

function refusal(file: string, key: string, rule: string, hint = "See docs/stores/http.md."): StoreError {
  return new StoreError("store/config", `${file}: ${key} must be ${rule}.`, { rule, hint });
}

function authorizationOf(given: Given, directory: string, fail: Fail): HttpConfiguration["authorization"] {
  const { token, tokenFile, user, password, passwordFile } = given;
  const bearer = token !== undefined || tokenFile !== undefined;
  if (bearer && user !== undefined) throw fail("user", "absent where a token is given");
  if (token !== undefined && tokenFile !== undefined) throw fail("tokenFile", "absent where token is given");
  if (password !== undefined && passwordFile !== undefined)
    throw fail("passwordFile", "absent where password is given");
  if (user === undefined && (password !== undefined || passwordFile !== undefined))
    throw fail("user", "given where there is a password");
  if (user?.includes(":")) throw fail("user", "a name without a colon");
  const secret = async (inline: string | undefined, file: string | undefined, key: string) =>
    inline ?? (file === undefined ? "" : (await readSecret(resolve(directory, file), key)).trim());
  if (bearer)
    return async () => {
      const value = await secret(token, tokenFile, "tokenFile");
      if (!/^[\x21-\x7e]+$/.test(value)) throw fail(token === undefined ? "tokenFile" : "token", "one word of ASCII");
      return `Bearer ${value}`;
    };
  if (user === undefined) return async () => undefined;
  return async () => {
    const value = await secret(password, passwordFile, "passwordFile");
    return `Basic ${Buffer.from(`${user}:${value}`).toString("base64")}`;
  };
}

function webhookSecret(given: z.output<typeof webhook>, directory: string, fail: Fail): () => Promise<string> {
  const { secret, secretFile } = given;
  if ((secret === undefined) === (secretFile === undefined))
    throw fail("webhook", "an object with either secret or secretFile");
  return async () => {
    const value =
      secretFile === undefined
        ? (secret ?? "")
        : (await readSecret(resolve(directory, secretFile), "webhook.secretFile")).trim();
    if (value.length < 16)
      throw fail(
        secretFile === undefined ? "webhook.secret" : "webhook.secretFile",
        "16 characters or more",
        "openssl rand -hex 32 makes one.",
      );
    return value;
  };
}

async function readSecret(path: string, key: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new StoreError("store/config", `${key}: ${path} cannot be read (${errno(cause) ?? "unknown error"}).`, {
      rule: "the path of a file that the agent may read",
      hint: "Paths are relative to the file that names them.",
    });
  }
}
