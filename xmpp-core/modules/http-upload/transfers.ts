import type { Readable } from "node:stream";
import { explain } from "../../errors.ts";
import type { Core } from "../module.ts";
import { plainAnswer, type WebAnswer, type WebRequest } from "../web-points.ts";
import { contentHeaders, mediaType } from "./content.ts";
import { proof, readClaim, readToken } from "./credential.ts";
import type { Files } from "./files.ts";
import { forbiddenPage, gonePage, refusal, tooLargePage } from "./pages.ts";
import { days, enabled } from "./properties.ts";
import { byteRange } from "./range.ts";
import { dayMs } from "./slots.ts";
import { byToken, markStored, type UploadRow } from "./tables.ts";

/** The files' way in and out by HTTP. XEP-0363 §8 */
export interface Transfers {
  answer(request: WebRequest): Promise<WebAnswer>;
  /** Whether somebody is filling this slot. */
  filling(token: Uint8Array): boolean;
  /** Cuts what is under way; resolves when nothing of it is left. */
  stop(): Promise<void>;
}

interface Filling {
  readonly body: Readable;
  readonly done: Promise<unknown>;
}

/** How long a browser may show a file without asking again whether it is still there. */
const freshSeconds = 86_400;

/** @param filled told of each slot that holds its file now */
export function transfers(core: Core, files: Files, key: Buffer, filled: () => void): Transfers {
  const { clock, properties, report, storage } = core;
  const under = new Map<string, Filling>();
  let stopping = false;

  async function answer(request: WebRequest): Promise<WebAnswer> {
    const [first = "", , ...more] = request.segments;
    if (request.method === "PUT")
      return request.segments.length === 2 ? put(request, first) : forbiddenPage(request.headers);
    if (first === "check" && request.segments.length === 1) return check(request);
    return more.length > 0 ? gone(request) : get(request, first);
  }

  const gone = ({ headers }: WebRequest): WebAnswer => gonePage(headers, properties.get(days));

  /** Shows that an address leads to this very server, to who asks it. */
  function check({ query }: WebRequest): WebAnswer {
    const question = (query.get("question") ?? "").slice(0, 100);
    return {
      status: 200,
      headers: { "content-type": "application/json; charset=utf-8" },
      body: `${JSON.stringify({ is: "firekeeper uploads", proof: proof(key, question) })}\n`,
    };
  }

  async function get(request: WebRequest, first: string): Promise<WebAnswer> {
    const token = readToken(first);
    const [row] = token === undefined ? [] : await storage.read(byToken, token);
    if (token === undefined || row?.stored == null || over(row, row.stored)) return gone(request);
    const { headers } = request;
    const { name, type, size, stored } = row;
    const tag = `"${token.toString("hex")}"`;
    const left = row.latest === null ? freshSeconds : Math.floor((row.latest - clock.now()) / 1000);
    const common = {
      ...contentHeaders(name, type),
      etag: tag,
      "accept-ranges": "bytes",
      "last-modified": new Date(stored).toUTCString(),
      "cache-control": `private, max-age=${Math.min(freshSeconds, left)}, immutable`,
      "access-control-expose-headers": "accept-ranges, content-disposition, content-length, content-range, etag",
    };
    if (matches(headers["if-none-match"], tag)) return { status: 304, headers: common };
    const asked = headers["if-range"] === undefined || headers["if-range"] === tag ? headers.range : undefined;
    const range = byteRange(asked, size);
    if (range === "none")
      return { status: 416, headers: { ...common, "content-range": `bytes */${size}`, "content-length": "0" } };
    const handle = await files.open(token);
    if (handle === undefined) {
      report.wrong({ what: "reading an uploaded file", error: new Error("It is not on the disk.") });
      return gone(request);
    }
    const { start, end } = range ?? { start: 0, end: size - 1 };
    const body = handle.createReadStream({ start, end, highWaterMark: 256 * 1024 });
    const length = { "content-length": String(end - start + 1) };
    if (range === undefined) return { status: 200, headers: { ...common, ...length }, body };
    return { status: 206, headers: { ...common, ...length, "content-range": `bytes ${start}-${end}/${size}` }, body };
  }

  function over({ purpose, latest }: UploadRow, stored: number): boolean {
    const now = clock.now();
    if (latest !== null && latest <= now) return true;
    const kept = properties.get(days);
    return kept > 0 && (purpose === "message" || purpose === "ephemeral") && stored <= now - kept * dayMs;
  }

  async function put(request: WebRequest, first: string): Promise<WebAnswer> {
    const { headers } = request;
    const token = readToken(first);
    const shown = /^bearer +(\S+)$/i.exec(headers.authorization ?? "")?.[1] ?? request.query.get("slot") ?? "";
    const claim = token && readClaim(key, token, shown);
    if (claim === undefined || claim.until <= clock.now()) return forbiddenPage(headers);
    if (!properties.get(enabled)) return refusal(headers, "off");
    const length = headers["content-length"];
    if (length === undefined) return refusal(headers, "length");
    if (Number(length) > claim.size) return tooLargePage(headers, claim.size);
    if (Number(length) < claim.size) return refusal(headers, "shorter");
    const name = claim.token.toString("hex");
    if (stopping || under.has(name)) return refusal(headers, "used");
    const filled = fill(request, claim.token, claim.size);
    const done = filled.finally(() => under.delete(name));
    under.set(name, { body: request.body, done });
    return done;
  }

  async function fill({ headers, body }: WebRequest, token: Buffer, size: number): Promise<WebAnswer> {
    const [row] = await storage.read(byToken, token);
    if (row === undefined || !mayFill(row)) return forbiddenPage(headers);
    if (row.stored !== null) return refusal(headers, "used");
    const sent = mediaType(headers["content-type"]);
    if (row.type !== "" && sent !== undefined && sent !== row.type) return refusal(headers, "type");
    try {
      await files.receive(token, body, size);
    } catch (error) {
      if (body.errored !== null || body.destroyed) return refusal(headers, "failed"); // nobody is there to read it
      const { code } = error as NodeJS.ErrnoException;
      report.uploadFailed({ by: nameOf(row), code: code ?? "", message: explain(error) });
      return refusal(headers, code === "ENOSPC" || code === "EDQUOT" ? "full" : "failed");
    }
    return finish(headers, row, token, row.type === "" ? (sent ?? "") : row.type);
  }

  /** The file is on disk; it counts once the row says so, if nobody has taken the row away meanwhile. */
  async function finish(
    headers: WebRequest["headers"],
    row: UploadRow,
    token: Buffer,
    type: string,
  ): Promise<WebAnswer> {
    try {
      await storage.write([markStored.with(clock.now(), type, token)]);
    } catch {
      await files.remove(token);
      return refusal(headers, "failed");
    }
    const [now] = await storage.read(byToken, token);
    if (now?.stored == null) {
      await files.remove(token);
      return forbiddenPage(headers);
    }
    filled();
    report.uploaded({ by: nameOf(row), bytes: row.size, purpose: row.purpose });
    return plainAnswer(201, "Stored.");
  }

  function nameOf({ account, component }: UploadRow): string {
    return account === null ? (component ?? "") : (core.accounts.byId(account)?.name ?? "");
  }

  /** Whoever asked for the slot may have been disabled since. */
  function mayFill({ account }: UploadRow): boolean {
    return account === null || core.accounts.byId(account)?.enabled === true;
  }

  return {
    answer,
    filling: (token) => under.has(Buffer.from(token).toString("hex")),
    async stop() {
      stopping = true;
      const all = [...under.values()];
      for (const { body } of all) body.destroy();
      await Promise.allSettled(all.map(({ done }) => done));
    },
  };
}

/** RFC 9110 §13.1.2: weak comparison. */
function matches(given: string | undefined, tag: string): boolean {
  if (given === undefined) return false;
  return given.split(",").some((one) => one.trim() === "*" || one.trim().replace(/^W\//, "") === tag);
}
