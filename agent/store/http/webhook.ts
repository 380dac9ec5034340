/**
 * The endpoint that the host may call to say "look again". Whoever can reach it may send anything, so it denies by default:
 * one path, one method, a signature over time and body, each only once. It tells the caller nothing about us.
 *
 *     X-Firekeeper-Signature: t=1767225600,v1=<HMAC-SHA-256 of "1767225600." and the body, hex>
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { errno } from "../../errors.ts";
import { bodyOf, signatureOf } from "../../network/signed-request.ts";
import { StoreError } from "../host-store.ts";

export interface WebhookOptions {
  readonly path: string;
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly secret: () => Promise<string>;
  /** A call that was signed. */
  readonly called: () => void;
  /** A call that was not, in a sentence for people. */
  readonly refused: (why: string) => void;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** For a whole request, head and body. */
  readonly requestMs?: number;
  /** Failures a minute after which no more is said about them. */
  readonly mostFailures?: number;
}

export interface Webhook {
  readonly port: number;
  close(): Promise<void>;
}

const toleranceSeconds = 5 * 60;
const mostBodyBytes = 64 * 1024;
const mostRemembered = 10_000;

/** Opens the listener. Throws `store/webhook-port` when the port cannot be had. */
export async function listenWebhook(options: WebhookOptions): Promise<Webhook> {
  const { path, address, port, requestMs = 10_000, mostFailures = 30 } = options;
  const now = options.now ?? Date.now;
  const remembered = rememberedSignatures();
  let failures: number[] = [];

  /** Undefined: it is signed. */
  async function refusalOf(request: IncomingMessage): Promise<Refusal | undefined> {
    if (request.url !== path) return { status: 404, why: "There is nothing here." };
    if (request.method !== "POST") return { status: 405, why: "Only POST.", allow: "POST" };
    const given = signatureOf(request.headers["x-firekeeper-signature"]);
    if (!given) return { status: 401, why: "The header X-Firekeeper-Signature is missing or malformed." };
    const seconds = now() / 1000;
    if (Math.abs(seconds - given.at) > toleranceSeconds)
      return { status: 401, why: "The time in the signature is more than 5 minutes off." };
    const body = await bodyOf(request, mostBodyBytes);
    if (body === undefined) return { status: 413, why: "The body is larger than 64 KiB." };
    const digest = createHmac("sha256", await options.secret())
      .update(`${given.time}.`)
      .update(body)
      .digest();
    // Every one is compared, so that the time taken says nothing of which.
    const right = given.signatures.filter((signature) => timingSafeEqual(signature, digest)).length > 0;
    if (!right) return { status: 401, why: "The signature is wrong." };
    return remembered.add(digest.toString("hex"), seconds, given.at + toleranceSeconds);
  }

  function refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
    const second = now() / 1000;
    failures = failures.filter((at) => second - at < 60);
    // Behind a reverse proxy all callers have one address. So nobody is locked out: a signed call counts at any time, only
    // what fails beyond the limit is neither told to people nor explained to the caller.
    const tooMany = failures.length >= mostFailures;
    if (!tooMany) {
      failures.push(second);
      options.refused(refusal.why);
    }
    const { status, why } = tooMany ? { status: 429, why: "Too many failures." } : refusal;
    answer(response, status, why, {
      Connection: "close",
      ...(refusal.allow && !tooMany ? { Allow: refusal.allow } : {}),
      ...(tooMany ? { "Retry-After": "60" } : {}),
    });
    // What is still on its way is not read.
    response.once("finish", () => request.destroy());
  }

  const server = createServer(
    {
      maxHeaderSize: 8 * 1024,
      requestTimeout: requestMs,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: Math.max(50, Math.floor(requestMs / 4)),
    },
    (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      refusalOf(request).then(
        (refusal) => {
          if (refusal) return refuse(request, response, refusal);
          answer(response, 202, "Looking again.");
          options.called();
        },
        (error: unknown) => {
          if (request.destroyed && !request.complete) return;
          options.refused(error instanceof StoreError ? error.message : "it could not be read.");
          answer(response, 500, "This cannot be checked now.", { Connection: "close" });
        },
      );
    },
  );
  server.maxConnections = 128;
  server.on("clientError", (error, socket) => {
    const status = errno(error) === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
    if (!socket.writable) socket.destroy();
    else socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
  });
  // "100-continue" is Node's to answer; everything else that a caller may expect is refused.
  server.on("checkExpectation", (_, response: ServerResponse) =>
    answer(response, 417, "Not this.", { Connection: "close" }),
  );

  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new StoreError("store/webhook-port", `The webhook cannot listen at ${address}:${port} (${errno(error)}).`, {
          hint: "Choose another webhook.port or webhook.address in FIREKEEPER_STORE_CONFIG.",
        }),
      ),
    );
    server.listen(port, address, resolve);
  });
  // A connection that could not be accepted (no descriptors left) is the caller's loss, not ours.
  server.on("error", () => {});
  const bound: string | AddressInfo | null = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Refusal {
  readonly status: number;
  readonly why: string;
  readonly allow?: string;
}

/** Signatures that counted, until their time is over. Only the host can fill it. A restart forgets them: a replay costs one look. */
function rememberedSignatures() {
  const until = new Map<string, number>();
  return {
    add(digest: string, seconds: number, end: number): Refusal | undefined {
      for (const [old, over] of until) if (over < seconds) until.delete(old);
      if (until.has(digest)) return { status: 409, why: "This call came before." };
      if (until.size >= mostRemembered) return { status: 429, why: "Too many calls." };
      until.set(digest, end);
      return undefined;
    },
  };
}

function answer(response: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", ...headers });
  response.end(`${text}\n`);
}
