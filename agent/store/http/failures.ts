/**
 * What goes wrong between us and an HTTP host, in our words. Nothing of the failed request is kept: axios' errors carry the
 * request's headers, the token among them.
 */
import { errno } from "../../errors.ts";
import { StoreError } from "../host-store.ts";

/** The longest that a host's Retry-After is obeyed. */
const mostWaitMs = 10 * 60_000;

/** A connection that failed, by the system's code; `place` is the URL without its query. */
export function connectionFailure(error: unknown, place: string, timedOut: boolean, timeoutMs: number): StoreError {
  if (error instanceof StoreError) return error;
  const code = errno(error) ?? "no code";
  if (timedOut || code === "ETIMEDOUT" || code === "ECONNABORTED")
    return new StoreError("store/slow", `${place} did not answer whole within ${timeoutMs} ms.`, {
      hint: "Look at the host's load; timeoutMs in FIREKEEPER_STORE_CONFIG gives it more time.",
    });
  if (/CERT|SIGNATURE|ERR_TLS|ERR_SSL|EPROTO|ISSUER/.test(code))
    return new StoreError("store/untrusted", `${place} is not trusted (${code}).`, {
      rule: "a certificate for this name, of an authority we trust",
      hint: "Give the authority's certificate as ca in FIREKEEPER_STORE_CONFIG, or mend the host's certificate.",
    });
  if (/^HPE_/.test(code))
    return new StoreError("store/unreachable", `${place} does not speak HTTP (${code}).`, {
      hint: "Is the port right?",
    });
  return new StoreError("store/unreachable", `${place} cannot be reached (${code}).`, {
    hint: "Is the host up, and the way to it open? We go on trying.",
  });
}

/** The answer broke off. */
export function cutShort(place: string): StoreError {
  return new StoreError("store/cut-short", `The answer of ${place} broke off before its end.`, {
    rule: "the whole of what Content-Length or the last chunk promises",
    hint: "We go on trying. If it stays so, look at the host and the proxies before it.",
  });
}

export function tooLarge(place: string, maxBytes: number): StoreError {
  return new StoreError("store/too-large", `${place} answers with more than ${maxBytes} bytes.`, {
    rule: `at most ${maxBytes} bytes, also after decompression`,
    hint: "maxBytes in FIREKEEPER_STORE_CONFIG raises the limit.",
  });
}

/** An answer whose status is neither a document nor "not modified". `now` in milliseconds since the epoch. */
export function statusFailure(
  status: number,
  place: string,
  headers: Readonly<Record<string, unknown>>,
  now: number,
): StoreError {
  const waitMs = retryAfterMs(headers["retry-after"], now);
  const fields = { status, ...(waitMs === undefined ? {} : { waitMs }) };
  if (status === 401)
    return new StoreError("store/unauthorised", `${place} does not accept our credentials (401).`, {
      fields,
      hint: "Check token, tokenFile, or user and password in FIREKEEPER_STORE_CONFIG.",
    });
  if (status === 403)
    return new StoreError("store/unauthorised", `${place} accepts our credentials but not the request (403).`, {
      fields,
      hint: "Give the account that the agent uses the right to read.",
    });
  if (status === 404 || status === 410)
    return new StoreError("store/missing", `There is nothing at ${place} (${status}).`, {
      fields,
      hint: "Check FIREKEEPER_STORE and the URLs in FIREKEEPER_STORE_CONFIG.",
    });
  if (status === 429 || (status === 503 && waitMs !== undefined))
    return new StoreError(
      "store/busy",
      `${place} asks us to wait${waitMs === undefined ? "" : ` ${Math.ceil(waitMs / 1000)} s`} (${status}).`,
      {
        fields,
        hint: "We do. If it happens often, raise pollMs or use changes.longPoll, changes.events or webhook.",
      },
    );
  if (status >= 500)
    return new StoreError("store/host-failed", `${place} failed (${status}).`, {
      fields,
      hint: "Look at the host's log. We go on trying.",
    });
  return new StoreError("store/host-failed", `${place} gave the answer ${status}, which is no document.`, {
    fields,
    hint: "It must answer a GET with 200 and JSON, or with 304.",
  });
}

/** Seconds or a date (RFC 9110 §10.2.3) as milliseconds from `now`, bounded. */
export function retryAfterMs(value: unknown, now: number): number | undefined {
  if (typeof value !== "string") return undefined;
  const ms = /^\d{1,9}$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), mostWaitMs);
}
