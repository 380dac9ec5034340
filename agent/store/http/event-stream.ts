/** Server-sent events as the WHATWG HTML standard has them (§9.2.6): bytes in, events out. */

export interface HostEvent {
  /** `message` where the host names none. */
  readonly type: string;
  readonly data: string;
}

/** A line or an event longer than this is no event stream. */
const mostChars = 64 * 1024;

export interface EventReader {
  /** What the host sent last as `id`, for `Last-Event-ID`. */
  readonly lastId: string;
  /** The host's `retry`, in milliseconds. */
  readonly retryMs: number | undefined;
  /** Events that these bytes complete. Throws a `RangeError` when a line or event has no end. */
  read(bytes: Uint8Array): HostEvent[];
}

/** `lastId`: of the stream before, since a reader serves one connection. */
export function eventReader(lastId = ""): EventReader {
  const decoder = new TextDecoder("utf-8");
  let line = "";
  let afterReturn = false;
  let type = "";
  let data: string[] = [];
  let dataChars = 0;
  let id = lastId;
  let committedId = lastId;
  let retryMs: number | undefined;

  const take = (text: string): HostEvent | undefined => {
    if (text === "") {
      const event = data.length > 0 ? { type: type || "message", data: data.join("\n") } : undefined;
      committedId = id;
      type = "";
      data = [];
      dataChars = 0;
      return event;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return undefined;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") type = value;
    else if (field === "data") {
      data.push(value);
      dataChars += value.length + 1;
      if (dataChars > mostChars) throw new RangeError("an event without end");
    } else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d{1,9}$/.test(value)) retryMs = Number(value);
    return undefined;
  };

  return {
    get lastId() {
      return committedId;
    },
    get retryMs() {
      return retryMs;
    },
    read(bytes) {
      const events: HostEvent[] = [];
      // The decoder drops the byte order mark at the start.
      const text = decoder.decode(bytes, { stream: true });
      let start = 0;
      for (let at = 0; at < text.length; at++) {
        const char = text[at];
        if (char !== "\n" && char !== "\r") {
          afterReturn = false;
          continue;
        }
        if (char === "\n" && afterReturn) {
          afterReturn = false;
          start = at + 1;
          continue;
        }
        afterReturn = char === "\r";
        const event = take(line + text.slice(start, at));
        if (event) events.push(event);
        line = "";
        start = at + 1;
      }
      line += text.slice(start);
      if (line.length > mostChars) throw new RangeError("a line without end");
      return events;
    },
  };
}
