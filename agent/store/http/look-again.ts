/**
 * How the agent learns that the host may have changed: a regular question, and a long poll or an event stream that shorten the
 * wait. Each only says "look again", so a lost event costs time and nothing else.
 */
import { explain, type Notice } from "../../errors.ts";
import { StoreError } from "../host-store.ts";
import { type HostClient, printable } from "./client.ts";
import { type HttpConfiguration, placeOf } from "./configuration.ts";
import { eventReader } from "./event-stream.ts";
import { statusFailure } from "./failures.ts";

/** Waits between tries double up to this. */
const mostRetryMs = 5 * 60_000;
/** An answer to a long poll sooner than this did not wait. */
const hastyMs = 1000;
/** Two looks are not closer than this, however fast the host's events come. */
const gapMs = 200;
/** Failures of one feed in a row after which people are told. */
const worthTelling = 2;

/** `attempt` counts from 0. Between half and all of `firstMs` doubled each time, so that many agents do not come at once. */
export function backoffMs(attempt: number, firstMs: number, random: () => number): number {
  return Math.min(mostRetryMs, firstMs * 2 ** Math.min(attempt, 30)) * (0.5 + random() / 2);
}

type Feeds = Pick<HttpConfiguration, "place" | "pollMs" | "retryMs" | "longPoll" | "events">;

export interface Lookout {
  /** Starts polling and the feeds. Returns the way to stop. */
  watch(lookAgain: (cause: string) => void): () => Promise<void>;
  /** A read failed; another is due after a growing wait, or after the host's own. */
  failed(waitMs: number | undefined): void;
  succeeded(): void;
  /** Somebody else says that the host changed. */
  look(cause: string): void;
  /** A feed that does not work. */
  notices(): Notice[];
}

export function lookout(client: HostClient, feeds: Feeds, random: () => number = Math.random): Lookout {
  const watchers = new Set<(cause: string) => void>();
  let attempts = 0;
  let retry: NodeJS.Timeout | undefined;
  let gap: NodeJS.Timeout | undefined;
  const waiting = new Set<string>();
  let trouble: Notice | undefined;
  let everRead = false;
  let early: string | undefined;

  const tell = (cause: string) => {
    for (const lookAgain of watchers) lookAgain(cause);
  };
  const look = (cause: string) => {
    if (gap) {
      waiting.add(cause);
      return;
    }
    gap = setTimeout(() => {
      gap = undefined;
      const next = [...waiting].join("; ");
      waiting.clear();
      if (next !== "") look(next);
    }, gapMs);
    gap.unref();
    tell(cause);
  };
  /** What the host says before the first read is kept until then: whoever starts us reads at once, and reads the newest. */
  const told = (cause: string) => {
    if (everRead) look(cause);
    else early = cause;
  };
  const later = (waitMs: number) => {
    if (watchers.size === 0) return;
    clearTimeout(retry);
    retry = setTimeout(() => {
      retry = undefined;
      look(`${feeds.place} is tried again`);
    }, waitMs);
    retry.unref();
  };

  /** Runs one feed for ever; `once` resolves after each answer that came as it should. */
  async function keepUp(url: URL, ending: AbortSignal, once: (worked: () => void) => Promise<number>): Promise<void> {
    let failures = 0;
    const worked = () => {
      failures = 0;
      if (trouble) look(`the changes of ${feeds.place} can be followed again`);
      trouble = undefined;
    };
    while (!ending.aborted) {
      let waitMs: number;
      try {
        waitMs = await once(worked);
      } catch (error) {
        if (ending.aborted) return;
        const asked = error instanceof StoreError ? error.fields.waitMs : undefined;
        waitMs = Math.max(backoffMs(failures, feeds.retryMs, random), typeof asked === "number" ? asked : 0);
        failures += 1;
        const news = failures === worthTelling && trouble === undefined;
        if (failures >= worthTelling) trouble = troubleOf(url, error, feeds.pollMs);
        if (news) look(`the changes of ${feeds.place} cannot be followed`);
      }
      await pause(waitMs, ending);
    }
  }

  return {
    watch(lookAgain) {
      const ending = new AbortController();
      watchers.add(lookAgain);
      const poll = setInterval(() => {
        // A host in trouble is asked at the pace of the retries.
        if (!retry) look(`${feeds.place} is asked regularly`);
      }, feeds.pollMs);
      poll.unref();
      const { longPoll, events } = feeds;
      const following = [
        ...(longPoll
          ? [keepUp(longPoll.url, ending.signal, longPoller(client, longPoll, told, feeds, ending.signal))]
          : []),
        ...(events
          ? [
              keepUp(
                events.url,
                ending.signal,
                eventFollower(client, events, told, { ...feeds, random }, ending.signal),
              ),
            ]
          : []),
      ];
      return async () => {
        watchers.delete(lookAgain);
        clearInterval(poll);
        ending.abort();
        if (watchers.size === 0) {
          clearTimeout(retry);
          clearTimeout(gap);
          retry = undefined;
          gap = undefined;
        }
        await Promise.all(following);
      };
    },
    failed(waitMs) {
      later(Math.max(backoffMs(attempts, feeds.retryMs, random), waitMs ?? 0));
      attempts += 1;
    },
    succeeded() {
      attempts = 0;
      clearTimeout(retry);
      retry = undefined;
      everRead = true;
      if (early !== undefined) look(early);
      early = undefined;
    },
    look: told,
    notices: () => (trouble ? [trouble] : []),
  };
}

function troubleOf(url: URL, error: unknown, pollMs: number): Notice {
  return {
    code: "store/feed-away",
    message: `Changes are not told by ${placeOf(url)}: ${explain(error)}`,
    hint: `Until it works again the host is asked every ${pollMs} ms.`,
  };
}

/** One question that the host answers when something changed, or after `waitSeconds` with 304. Gives the wait before the next. */
function longPoller(
  client: HostClient,
  { url, waitSeconds }: NonNullable<Feeds["longPoll"]>,
  look: (cause: string) => void,
  { retryMs }: Pick<Feeds, "retryMs">,
  signal: AbortSignal,
): (worked: () => void) => Promise<number> {
  const asked = new URL(url);
  if (!asked.searchParams.has("wait")) asked.searchParams.set("wait", String(waitSeconds));
  let etag: string | undefined;
  return async (worked) => {
    const started = performance.now();
    const headers = {
      Accept: "application/json",
      Prefer: `wait=${waitSeconds}`,
      ...(etag === undefined ? {} : { "If-None-Match": etag }),
    };
    const answer = await client.open(asked, { headers, headMs: waitSeconds * 1000 + 30_000, signal });
    const { status } = answer;
    // What changed is read where it stands; the body of this answer is not needed.
    if (status === 200) answer.body.destroy();
    else answer.body.resume();
    if (status !== 200 && status !== 204 && status !== 304) {
      answer.body.destroy();
      throw statusFailure(status, placeOf(url), answer.headers, Date.now());
    }
    worked();
    const changed = status === 200 && (answer.headers.etag === undefined || answer.headers.etag !== etag);
    if (status === 200) etag = answer.headers.etag;
    if (changed) look(`${placeOf(url)} says that something changed`);
    // A host that does not wait, or does not honour the tag, must not be asked in a circle.
    if (performance.now() - started >= hastyMs) return 0;
    return changed ? retryMs : Math.max(retryMs, hastyMs);
  };
}

/** One connection, until it ends or is silent for too long. Gives the wait before the next. */
function eventFollower(
  client: HostClient,
  { url, silenceMs }: NonNullable<Feeds["events"]>,
  look: (cause: string) => void,
  { retryMs, random }: Pick<Feeds, "retryMs"> & { random: () => number },
  signal: AbortSignal,
): (worked: () => void) => Promise<number> {
  let lastId = "";
  let reconnectMs = retryMs;
  let shortLives = 0;
  return async (worked) => {
    const started = performance.now();
    const headers = {
      Accept: "text/event-stream",
      "Cache-Control": "no-store",
      // Some bytes cannot stand in a header; such an id is not sent back.
      ...(/^[\x20-\x7e]+$/.test(lastId) ? { "Last-Event-ID": lastId } : {}),
    };
    const { status, headers: head, body } = await client.open(url, { headers, headMs: silenceMs, signal });
    const reader = eventReader(lastId);
    const hangUp = () => body.destroy();
    signal.addEventListener("abort", hangUp);
    let silence = setTimeout(hangUp, silenceMs);
    try {
      if (signal.aborted) return 0;
      if (status !== 200) throw statusFailure(status, placeOf(url), head, Date.now());
      if (!/^\s*text\/event-stream\s*(;|$)/i.test(head["content-type"] ?? ""))
        throw new StoreError("store/feed-away", `${placeOf(url)} is no event stream.`, {
          rule: `Content-Type text/event-stream, not ${printable(head["content-type"] ?? "none")}`,
        });
      worked();
      // Events between two connections are lost on hosts that ignore Last-Event-ID.
      look(`${placeOf(url)} is followed`);
      for await (const bytes of body) {
        clearTimeout(silence);
        silence = setTimeout(hangUp, silenceMs);
        if (reader.read(bytes).length > 0) look(`${placeOf(url)} sent an event`);
        lastId = reader.lastId;
      }
    } catch (error) {
      if (error instanceof StoreError) throw error;
      // The connection ended or fell silent: that is how event streams end, and another is opened.
      if (error instanceof RangeError)
        throw new StoreError("store/feed-away", `${placeOf(url)} sends ${error.message}.`, {
          rule: "events under 64 KiB",
        });
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", hangUp);
      body.destroy();
    }
    reconnectMs = Math.min(Math.max(reader.retryMs ?? reconnectMs, retryMs), 60_000);
    // A host that hangs up again and again must not be called in a circle.
    shortLives = performance.now() - started < hastyMs ? shortLives + 1 : 0;
    return backoffMs(Math.max(shortLives - 1, 0), reconnectMs, random);
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
