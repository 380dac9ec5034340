/**
 * Where headquarters hears its branches, `POST /fleet/report`, and tells them its settings, `GET /fleet/settings`:
 * signed by the branch's key, denied by default.
 * On loopback only: a reverse proxy in front brings TLS.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { CodedError, errno } from "../errors.ts";
import { bodyOf, signatureDigest, signatureOf } from "../network/signed-request.ts";
import { type BranchReport, branchName, branchReport } from "./branch-report.ts";
import type { PublishedSettings } from "./published.ts";

export interface FleetListenerOptions {
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  readonly secrets: ReadonlyMap<string, string>;
  /** Counter of the last report of a branch. */
  readonly last: (branch: string) => number;
  readonly heard: (report: BranchReport) => Promise<void>;
  /** Of a branch; answers undefined while there is nothing to tell. Absent: headquarters tells none. */
  readonly settings?: (branch: string) => Promise<PublishedSettings | undefined>;
  readonly now: () => number;
  /** For a whole request, head and body. */
  readonly requestMs?: number;
}

const mostBodyBytes = 64 * 1024;
const toleranceSeconds = 5 * 60;
const mostFailures = 30;

/** Throws `fleet/not-listening`. */
export async function listenFleet(options: FleetListenerOptions): Promise<{ port: number; close(): Promise<void> }> {
  const { now, requestMs = 10_000 } = options;
  // Compared with where the branch is unknown, so that the time taken says nothing of which exist.
  const nobody = randomBytes(32).toString("hex");
  let failures: number[] = [];
  /** One report after the other: a counter is compared and taken in one step. */
  let turn: Promise<unknown> = Promise.resolve();

  async function answerFor(request: IncomingMessage): Promise<number | PublishedSettings> {
    const asks = options.settings !== undefined && request.url === "/fleet/settings";
    if (!asks && request.url !== "/fleet/report") return 404;
    if (request.method !== (asks ? "GET" : "POST")) return 405;
    const given = signatureOf(request.headers["x-firekeeper-signature"]);
    const branch = request.headers["x-firekeeper-branch"];
    if (!given || typeof branch !== "string" || !branchName.test(branch)) return 401;
    if (Math.abs(now() / 1000 - given.at) > toleranceSeconds) return 401;
    const body = await bodyOf(request, mostBodyBytes);
    if (body === undefined) return 413;
    const secret = options.secrets.get(branch);
    const digest = signatureDigest(secret ?? nobody, given.time, body);
    const right = given.signatures.filter((one) => timingSafeEqual(one, digest)).length > 0;
    if (!right || secret === undefined) return 401;
    if (asks) return body.length > 0 ? 400 : settingsFor(branch, request.headers["if-none-match"]);
    const report = readReport(body);
    if (report?.branch !== branch) return 400;
    const taken = turn.then(async () => {
      if (report.counter <= options.last(branch)) return 409;
      await options.heard(report);
      return 204;
    });
    turn = taken.catch(() => {});
    return taken;
  }

  async function settingsFor(branch: string, has: string | undefined): Promise<number | PublishedSettings> {
    const told = await options.settings?.(branch);
    if (!told) return 503;
    return has === told.etag ? 304 : told;
  }

  const server = createServer(
    {
      maxHeaderSize: 8 * 1024,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.max(50, Math.floor(requestMs / 4)),
    },
    (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      const answer = (status: number | PublishedSettings) => {
        if (response.headersSent || response.destroyed) return;
        // Settings may be secret: nobody in between keeps them.
        const head = { "Cache-Control": "no-store" };
        if (typeof status !== "number")
          return void response
            .writeHead(200, { ...head, "Content-Type": "application/json", ETag: status.etag })
            .end(status.body);
        if (status === 503) return void response.writeHead(503, { "Content-Length": "0" }).end();
        if (status === 204 || status === 304) return void response.writeHead(status, head).end();
        failures = failures.filter((at) => now() - at < 60_000);
        const tooMany = failures.length >= mostFailures;
        if (!tooMany) failures.push(now());
        response.writeHead(tooMany ? 429 : status, { Connection: "close", "Content-Length": "0" }).end();
        // What is still on its way is not read.
        response.once("finish", () => request.destroy());
      };
      answerFor(request).then(answer, () => answer(500));
    },
  );
  server.maxConnections = 256;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) =>
      reject(
        new CodedError(
          "fleet/not-listening",
          `Reports of branches cannot be heard at ${options.address}:${options.port} (${errno(error)}).`,
          { hint: "Name a free address in FIREKEEPER_FLEET_LISTEN." },
        ),
      ),
    );
    server.listen(options.port, options.address, resolve);
  });
  server.on("error", () => {});
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function readReport(body: Buffer): BranchReport | undefined {
  try {
    return branchReport.parse(JSON.parse(body.toString("utf8")));
  } catch {
    return undefined;
  }
}
