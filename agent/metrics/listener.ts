/** Metrics and health of the agent over HTTP: three paths, GET only, and nothing that a client sends is kept. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { CodedError, explain } from "../errors.ts";
import type { MetricsAddress } from "./address.ts";

export interface MetricsPages {
  readonly contentType: string;
  metrics(): Promise<string>;
  /** What is missing; empty: ready. */
  obstacles(): Promise<readonly string[]>;
}

/** Bounds of a client; milliseconds. */
export interface MetricsBounds {
  readonly headersMs: number;
  readonly idleMs: number;
  readonly connections: number;
}

const bounds: MetricsBounds = { headersMs: 5_000, idleMs: 10_000, connections: 32 };

/** Resolves when it listens, with the way to stop. Throws `metrics/not-listening`. */
export async function serveMetrics(
  at: MetricsAddress,
  pages: MetricsPages,
  { headersMs, idleMs, connections }: MetricsBounds = bounds,
): Promise<() => Promise<void>> {
  const server = createServer(
    {
      ...{ maxHeaderSize: 8_192, headersTimeout: headersMs, requestTimeout: headersMs },
      ...{ connectionsCheckingInterval: Math.min(headersMs, 1_000), keepAliveTimeout: idleMs },
    },
    (request, response) => {
      answer(request, response, pages).catch(() => say(response, 500, "text/plain", "The agent could not say.\n"));
    },
  );
  server.maxConnections = connections;
  server.maxHeadersCount = 64;
  // Also who reads nothing of the answer.
  server.setTimeout(idleMs, (socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new CodedError("metrics/not-listening", `Metrics cannot be served at ${at.text}: ${explain(error)}.`, {
          hint: "Set FIREKEEPER_METRICS to a free address and port of this machine, or leave it out.",
          cause: error,
        }),
      ),
    );
    server.listen({ host: at.address, port: at.port }, resolve);
  });
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

async function answer(request: IncomingMessage, response: ServerResponse, pages: MetricsPages): Promise<void> {
  const { headers, method, url } = request;
  const hasBody = headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
  if (method !== "GET" || hasBody) {
    // What follows could be the body.
    response.setHeader("connection", "close");
    response.setHeader("allow", "GET");
    return say(response, 405, "text/plain", "GET without a body only.\n");
  }
  switch (url) {
    case "/metrics":
      return say(response, 200, pages.contentType, await pages.metrics());
    case "/health/live":
      return say(response, 200, "application/json", `${JSON.stringify({ live: true })}\n`);
    case "/health/ready": {
      const missing = await pages.obstacles();
      return say(response, missing.length === 0 ? 200 : 503, "application/json", `${JSON.stringify({ missing })}\n`);
    }
    default:
      return say(response, 404, "text/plain", "There is nothing here.\n");
  }
}

function say(response: ServerResponse, status: number, type: string, body: string): void {
  if (response.headersSent) return;
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(body);
}
