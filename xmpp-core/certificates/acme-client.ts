/** One ACME order from account to certificate (RFC 8555), behind an interface of our own. Nothing here keeps state. */
import { Agent } from "node:https";
import { rootCertificates } from "node:tls";
import type { InternalAxiosRequestConfig } from "axios";
import { CodedError } from "../errors.ts";

export interface AcmeAccount {
  /** PEM. */
  readonly key: string;
  /** As the authority knows it; undefined before it is registered there. */
  readonly url: string | undefined;
  readonly email: string | undefined;
}

export interface AcmeOrder {
  readonly directory: string;
  readonly account: AcmeAccount;
  readonly email: string | undefined;
  readonly binding: { readonly keyId: string; readonly hmacKey: string } | undefined;
  /** PEM of roots for the authority's own HTTPS, besides the usual ones. */
  readonly roots: string | undefined;
  /** DNS names, A-labels; the first is the domain. */
  readonly names: readonly string[];
  /** PEM, of the certificate. */
  readonly key: string;
  readonly challenge: "http-01" | "dns-01";
  /** Makes one name's proof visible; resolves with what takes it away. `value`: key authorization, or the TXT record's text. */
  prove(name: string, token: string, value: string): Promise<() => Promise<void>>;
  /** Called as soon as the account is registered: a crash after it must not register another. */
  registered(account: AcmeAccount): Promise<void>;
  readonly signal: AbortSignal;
}

/** Why an order failed. `retryAfterMs`: the authority's own word. */
export class AcmeFailure extends CodedError {
  readonly retryAfterMs: number | undefined;
  readonly type: string;

  constructor(message: string, more: { type?: string; retryAfterMs?: number | undefined; cause?: unknown } = {}) {
    const type = more.type?.replace("urn:ietf:params:acme:error:", "") ?? "unreachable";
    super("certificate/acme-failed", message, { fields: { type }, cause: more.cause });
    this.type = type;
    this.retryAfterMs = more.retryAfterMs;
  }
}

interface Reply {
  readonly status: number;
  readonly data: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
}
type Request = (url: string, method: string, options?: object) => Promise<Reply>;

const oneRequestMs = 30_000;
const mostBytes = 1024 * 1024;
/** Between two looks at whether the authority has made up its mind. */
const polling = { backoffAttempts: 30, backoffMin: 500, backoffMax: 10_000 };

/** Orders one certificate: PEM chain, the server's own first. Throws AcmeFailure, or what `prove` throws. */
export async function orderCertificate(order: AcmeOrder): Promise<string> {
  const client = await openClient(order, order.account.url);
  await register(client, order);
  const identifiers = order.names.map((value) => ({ type: "dns", value }));
  const placed = await client.createOrder({ identifiers });
  // One after another: a program that replaces a DNS record would take away what the name before still needs.
  for (const authorization of await client.getAuthorizations(placed)) {
    if (authorization.status === "valid") continue;
    const { value: name } = authorization.identifier;
    const challenge = authorization.challenges.find(({ type }) => type === order.challenge);
    if (challenge === undefined)
      throw new AcmeFailure(`The authority offers no ${order.challenge} challenge for ${name}.`, { type: "challenge" });
    const takeAway = await order.prove(name, challenge.token, await client.getChallengeKeyAuthorization(challenge));
    try {
      await client.completeChallenge(challenge);
      await settled(
        client.waitForValidStatus(challenge),
        `The authority did not see the proof for ${name}`,
        order.signal,
      );
    } finally {
      await takeAway();
    }
  }
  const { crypto } = await acmeLibrary();
  const [, request] = await crypto.createCsr({ altNames: [...order.names] }, order.key);
  const finalized = await client.finalizeOrder(placed, request);
  const ready = await settled(
    client.waitForValidStatus({ ...finalized, url: placed.url }),
    "The authority did not issue the certificate",
    order.signal,
  );
  return client.getCertificate({ ...ready, url: placed.url });
}

type Client = Awaited<ReturnType<typeof openClient>>;

/** Loaded at the first order: it takes a tenth of a second that no other server has to spend. */
async function acmeLibrary() {
  await import("reflect-metadata");
  const library = await import("acme-client");
  // We have our own delays, which outlast a restart.
  Object.assign(library.axios.defaults, { acmeSettings: { retryMaxAttempts: 0, retryDefaultDelay: 1 } });
  return library;
}

async function openClient(order: AcmeOrder, accountUrl: string | undefined) {
  const { Client } = await acmeLibrary();
  const { getAdapter } = await import("axios");
  const { directory, account, binding, roots, signal } = order;
  const client = new Client({
    ...{ directoryUrl: directory, accountKey: account.key, ...polling },
    ...(accountUrl === undefined ? {} : { accountUrl }),
    ...(binding === undefined ? {} : { externalAccountBinding: { kid: binding.keyId, hmacKey: binding.hmacKey } }),
  });
  const httpsAgent = new Agent(roots === undefined ? {} : { ca: [...rootCertificates, roots] });
  // The library has one HTTP client for the whole process and no hook for its requests: each order sets its own here.
  const inner = (client as unknown as { http: { request: Request } }).http;
  const plain = inner.request.bind(inner);
  inner.request = async (url, method, options) => {
    signal.throwIfAborted();
    const limits = { timeout: oneRequestMs, maxContentLength: mostBytes, maxRedirects: 3, httpsAgent, signal };
    let reply: Reply;
    let failure: unknown;
    // The library loses why a connection failed when it is not to try again.
    const adapter = (config: InternalAxiosRequestConfig) =>
      getAdapter("http")(config).catch((error: unknown) => {
        failure = error;
        throw error;
      });
    try {
      reply = await plain(url, method, { ...options, ...limits, adapter });
    } catch (error) {
      const cause = failure ?? error;
      throw new AcmeFailure(`${new URL(url).host} cannot be reached: ${reason(cause)}.`, { cause });
    }
    refusal(reply, url);
    return reply;
  };
  return client;
}

/** Throws what the authority refused; badNonce is the library's to try again (RFC 8555 §6.5). */
function refusal(reply: Reply, url: string): void {
  if (reply.status < 400) return;
  const { type, detail, subproblems } = problemOf(reply.data);
  if (type?.endsWith(":badNonce")) return;
  const more = subproblems.length === 0 ? "" : ` (${subproblems.join("; ")})`;
  throw new AcmeFailure(`${new URL(url).host} says: ${detail ?? `status ${reply.status}`}${more}`, {
    ...(type === undefined ? {} : { type }),
    retryAfterMs: retryAfter(reply.headers["retry-after"]),
  });
}

function problemOf(data: unknown): { type?: string; detail?: string; subproblems: string[] } {
  if (typeof data !== "object" || data === null) return { subproblems: [] };
  const { type, detail, subproblems } = data as { type?: unknown; detail?: unknown; subproblems?: unknown };
  const nested = Array.isArray(subproblems) ? subproblems.slice(0, 5) : [];
  return {
    ...(typeof type === "string" ? { type } : {}),
    ...(typeof detail === "string" ? { detail: printable(detail) } : {}),
    subproblems: nested.map((one: unknown) => problemOf(one).detail ?? "").filter((text) => text !== ""),
  };
}

/** What a stranger wrote, fit for a line of status. */
const printable = (text: string): string => text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);

function retryAfter(header: unknown): number | undefined {
  if (typeof header !== "string") return undefined;
  const ms = /^[0-9]+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** A known account is used as it is; its address is told when it changed. */
async function register(client: Client, { account, email, registered }: AcmeOrder): Promise<void> {
  if (account.url !== undefined && account.email === email) return;
  const contact = email === undefined ? [] : [`mailto:${email}`];
  await client.createAccount({ termsOfServiceAgreed: true, contact });
  await registered({ key: account.key, url: client.getAccountUrl(), email });
}

/** The library's own sentence lacks what was waited for, and it waits on when nobody does any more. */
async function settled<T>(waiting: Promise<T>, what: string, signal: AbortSignal): Promise<T> {
  const { promise: given, reject: giveUp } = withReject();
  const stop = (): void => giveUp(signal.reason);
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([waiting, given]);
  } catch (error) {
    if (signal.aborted) throw new AcmeFailure(`${what} in time.`, { cause: error });
    if (error instanceof AcmeFailure) throw error;
    throw new AcmeFailure(`${what}: ${printable(reason(error))}`, { type: "refused", cause: error });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function withReject(): { promise: Promise<never>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<never>((_, refuse) => {
    reject = refuse;
  });
  return { promise, reject };
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return error.message === "" ? (code ?? error.name) : error.message;
}
