/** A pretend host application: a real HTTP server whose every answer the test chooses, and which remembers what it was asked. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface HostRequest {
  readonly method: string;
  /** With query. */
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** What the answer's status and size of body were; filled in when it is sent. */
  status?: number;
  bytes?: number;
}

export type Responder = (request: HostRequest, response: ServerResponse) => void;

export interface PretendHost {
  readonly port: number;
  readonly origin: string;
  readonly requests: HostRequest[];
  /** Answers this path so from now on. */
  on(path: string, respond: Responder): void;
  /** Serves JSON with an ETag over its content, and 304 where it is known. */
  document(path: string, data: unknown, headers?: Readonly<Record<string, string>>): void;
  /** Only requests that carry exactly this are served; others get 401. */
  demand(authorization: string): void;
  /** A long poll: answers at once when the tag differs, else holds the request until `change` or `lapse`. */
  longPoll(path: string): { change(): void; lapse(): void };
  eventStream(path: string): { send(text: string): void; hangUp(): void; open(): number };
  /** The next request that fits, also one that is under way when asked. */
  next(fits: (request: HostRequest) => boolean): Promise<HostRequest>;
  /** Requests for this path, without query. */
  asked(path: string): HostRequest[];
  /** Ends the server and every connection; `back` listens on the same port again. */
  away(): Promise<void>;
  back(): Promise<void>;
  close(): Promise<void>;
}

/** `tls`: PEM texts; without it plain HTTP. */
export async function pretendHost(tls?: { readonly key: string; readonly cert: string }): Promise<PretendHost> {
  const requests: HostRequest[] = [];
  const responders = new Map<string, Responder>();
  let awaited: { fits: (request: HostRequest) => boolean; found: (request: HostRequest) => void }[] = [];
  let demanded: string | undefined;

  const serve = (): Server => (tls ? createTlsServer(tls, take) : createServer(take));
  const take = (incoming: IncomingMessage, response: ServerResponse) => {
    let body = "";
    incoming.setEncoding("utf8");
    incoming.on("data", (text) => {
      body += text;
    });
    incoming.on("error", () => {});
    response.on("error", () => {});
    incoming.on("end", () => {
      const { method = "", url = "", headers } = incoming;
      const request: HostRequest = { method, url, headers, body };
      requests.push(request);
      for (const one of awaited) if (one.fits(request)) one.found(request);
      awaited = awaited.filter((one) => !one.fits(request));
      response.once("finish", () => {
        request.status = response.statusCode;
      });
      const respond = responders.get(url.replace(/\?.*/, ""));
      if (demanded !== undefined && headers.authorization !== demanded) response.writeHead(401).end();
      else if (respond) respond(request, response);
      else response.writeHead(404).end();
    });
  };

  let server = serve();
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const end = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;

  const host: PretendHost = {
    port,
    origin: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
    requests,
    on: (path, respond) => void responders.set(path, respond),
    document(path, data, headers = {}) {
      const text = JSON.stringify(data);
      const etag = `"${createHash("sha256").update(text).digest("hex").slice(0, 16)}"`;
      host.on(path, (request, response) => {
        if (request.headers["if-none-match"] === etag) {
          response.writeHead(304, { ETag: etag, ...headers }).end();
          return;
        }
        request.bytes = Buffer.byteLength(text);
        response.writeHead(200, { "Content-Type": "application/json", ETag: etag, ...headers }).end(text);
      });
    },
    demand(authorization) {
      demanded = authorization;
    },
    longPoll(path) {
      let version = 1;
      let held: ServerResponse[] = [];
      const release = (status: number) => {
        const now = held;
        held = [];
        for (const response of now) response.writeHead(status, { ETag: `"v${version}"` }).end();
      };
      host.on(path, (request, response) => {
        if (request.headers["if-none-match"] === `"v${version}"`) held.push(response);
        else response.writeHead(200, { ETag: `"v${version}"`, "Content-Type": "application/json" }).end("{}");
      });
      return {
        change() {
          version += 1;
          release(200);
        },
        lapse: () => release(304),
      };
    },
    eventStream(path) {
      let clients: ServerResponse[] = [];
      host.on(path, (_, response) => {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.write(": welcome\n\n");
        clients.push(response);
        response.once("close", () => {
          clients = clients.filter((one) => one !== response);
        });
      });
      return {
        send(text) {
          for (const client of clients) client.write(text);
        },
        hangUp() {
          for (const client of clients) client.destroy();
        },
        open: () => clients.length,
      };
    },
    next: (fits) =>
      new Promise((found) => {
        awaited.push({ fits, found });
      }),
    asked: (path) => requests.filter(({ url }) => url.replace(/\?.*/, "") === path),
    away: end,
    async back() {
      server = serve();
      await listen(port);
    },
    close: end,
  };
  return host;
}
