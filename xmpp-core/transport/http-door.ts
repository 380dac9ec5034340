/** Connections of the gate become requests: of content, or of nothing but a redirect. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../clock.ts";
import type { Connection } from "./connection.ts";
import { type ConnectionStream, connectionStream } from "./stream.ts";

/** What every answer carries, whoever made it. */
export type Headers = Readonly<Record<string, string>>;
export type RequestListener = (request: IncomingMessage, response: ServerResponse) => void;

/** From connecting, or from the last answer, to the end of the next request's headers; then the same for its body. */
const patienceMs = 30_000;
const closingMs = 1000;
/** Who takes nothing of an answer is looked at so often, and cut off at the last look; a network's buffers are large. */
const lookMs = 60_000;
const mostLooks = 5;

export interface Door {
  readonly server: Server;
  take(connection: Connection): void;
  /** Tells who waits that we are leaving, and closes every connection. */
  close(): void;
}

/** Bytes that are no HTTP, or a head that is too long: said once, then the connection ends. */
function answerBadBytes(error: Error & { code?: string }, socket: Duplex, protection: Headers): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  const headers = Object.entries(protection).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n${headers.join("")}\r\n`);
}

/** Who asks before sending a body is told to send it once somebody reads: a refusal costs no body. RFC 9110 §10.1.1 */
function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  const reading = (event: string | symbol): void => {
    if (event !== "data" && event !== "readable") return;
    request.off("newListener", reading);
    if (!response.headersSent) response.writeContinue();
  };
  request.on("newListener", reading);
}

/**
 * An HTTP server that is fed with the gate's connections and never listens itself.
 * @param headers what every answer carries
 * @param options.wantsBodies false: who asks before sending a body (`Expect: 100-continue`) is never told to send it
 * @param options.leastRate bytes a second that buy a body more time; without it a body is there in time or never
 */
export function openDoor(
  clock: Clock,
  headers: Headers,
  listener: RequestListener,
  { wantsBodies = true, leastRate = Number.POSITIVE_INFINITY } = {},
): Door {
  const hurry = new WeakMap<object, { start(): void; stop(): void }>();
  /** How much each connection had taken of its answers, and at how many looks it was no more. */
  const open = new Map<ConnectionStream, { taken: number; looks: number }>();
  const waiting = new Set<ServerResponse>();
  let closed = false;

  function protect(response: ServerResponse): void {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  }

  const server = createServer({ maxHeaderSize: 8192, keepAliveTimeout: patienceMs }, (request, response) => {
    const pace = hurry.get(request.socket);
    pace?.start();
    waiting.add(response);
    request.once("end", () => {
      if (waiting.has(response)) pace?.stop();
    });
    response.once("close", () => {
      waiting.delete(response);
      pace?.start();
    });
    protect(response);
    listener(request, response);
  });
  server.maxHeadersCount = 100;
  server.on("clientError", (error, socket) => answerBadBytes(error, socket, headers));
  server.on("checkContinue", (request, response) => {
    if (wantsBodies) continueWhenRead(request, response);
    server.emit("request", request, response);
  });

  const stopLooking = clock.every(lookMs, () => {
    for (const [stream, seen] of open) {
      const { taken } = stream;
      const stands = stream.unsent > 0 && taken === seen.taken;
      open.set(stream, { taken, looks: stands ? seen.looks + 1 : 0 });
      if (stands && seen.looks + 1 >= mostLooks) stream.destroy();
    }
  });

  return {
    server,
    take(connection) {
      if (closed) {
        connection.drop();
        return;
      }
      const stream = connectionStream(connection);
      let cancel: (() => void) | undefined;
      const stop = (): void => cancel?.();
      const start = (): void => {
        stop();
        if (stream.destroyed) return;
        const before = stream.bytesRead;
        cancel = clock.after(patienceMs, () => {
          // Who still takes the answer before has not been asked anything yet.
          if (stream.unsent > 0 || stream.bytesRead - before >= (leastRate * patienceMs) / 1000) start();
          else stream.destroy();
        });
      };
      hurry.set(stream, { start, stop });
      open.set(stream, { taken: 0, looks: 0 });
      stream.on("error", () => undefined);
      stream.once("close", () => {
        stop();
        open.delete(stream);
      });
      start();
      server.emit("connection", stream);
    },
    close() {
      closed = true;
      stopLooking();
      for (const response of waiting) {
        if (response.headersSent) continue;
        protect(response);
        response.setHeader("connection", "close");
        response.setHeader("content-type", "application/json; charset=utf-8");
        response.statusCode = 503;
        response.end(
          '{"error":{"code":"admin/leaving","message":"The server is being replaced. Ask again in a moment."}}',
        );
      }
      for (const stream of open.keys()) {
        stream.end();
        clock.after(closingMs, () => stream.destroy());
      }
    },
  };
}
