/** WebSocket messages on a connection, the server's side: no extension, no compression. RFC 6455 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";

const continuation = 0;
const textFrame = 1;
const binaryFrame = 2;
const closeFrame = 8;
const pingFrame = 9;
const pongFrame = 10;

/** Why we end a WebSocket. RFC 6455 §7.4.1 */
export const closeCodes = { done: 1000, protocol: 1002, kind: 1003, encoding: 1007, size: 1009 } as const;
export type CloseCode = (typeof closeCodes)[keyof typeof closeCodes];

/** More pieces than any client cuts a message into; each may be empty, so bytes alone would not bound them. */
const mostFragments = 1024;
const longestControl = 125;

/** Who is told what arrived, in its order. */
export interface WebSocketHandler {
  /** A whole text message, in UTF-8; its bytes are the handler's only during the call. */
  message(text: Buffer): void;
  /** The payload is to be sent back in a pong, and the handler's only during the call. */
  ping(payload: Buffer): void;
  pong(): void;
  /** The client ends the WebSocket. */
  closing(): void;
  /** The client broke the rules; nothing more is delivered. */
  failed(code: CloseCode, text: string): void;
}

/** What a successor must know beside `remaining()`: the pieces of an unfinished message, in base64. JSON-able. */
export interface WebSocketReaderState {
  readonly fragments: readonly string[];
}

const empty = Buffer.alloc(0);
const smallestBuffer = 4096;

interface Head {
  readonly kind: number;
  readonly last: boolean;
  readonly maskAt: number;
  readonly length: number;
}

/** Reads what a client sends, strictly and in whatever pieces it comes; its work is linear in the bytes pushed. */
export class WebSocketReader {
  /** Bytes of one message. */
  limit: number;
  readonly #handler: WebSocketHandler;
  #buffer: Buffer = empty;
  #base = 0;
  #end = 0;
  #owned = true;
  #fragments: Buffer[] | undefined;
  #fragmentBytes = 0;
  #stopped = false;
  #running = false;
  #over = false;

  constructor(handler: WebSocketHandler, limit: number) {
    this.#handler = handler;
    this.limit = limit;
  }

  /** Reads the next bytes; they are unmasked in place. */
  push(chunk: Buffer): void {
    if (this.#over || chunk.length === 0) return;
    if (this.#end > this.#base || this.#running) this.#append(chunk);
    else {
      this.#buffer = chunk;
      this.#base = 0;
      this.#end = chunk.length;
      this.#owned = false;
    }
    this.#run();
  }

  /** May be called inside a handler: delivers nothing more and keeps the bytes. */
  stop(): void {
    this.#stopped = true;
  }

  /** Goes on after `stop`. */
  go(): void {
    this.#stopped = false;
    this.#run();
  }

  /** A copy of the bytes behind the last whole frame. */
  remaining(): Buffer {
    return Buffer.from(this.#buffer.subarray(this.#base, this.#end));
  }

  state(): WebSocketReaderState {
    return { fragments: (this.#fragments ?? []).map((piece) => piece.toString("base64")) };
  }

  /** Puts a new reader where another one's `state()` was; then push that one's `remaining()`. */
  restore({ fragments }: WebSocketReaderState): void {
    if (fragments.length === 0) return;
    this.#fragments = fragments.map((piece) => Buffer.from(piece, "base64"));
    this.#fragmentBytes = this.#fragments.reduce((bytes, piece) => bytes + piece.length, 0);
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (!this.#stopped && !this.#over && this.#step());
    } finally {
      this.#running = false;
      this.#keep();
    }
  }

  #fail(code: CloseCode, text: string): undefined {
    this.#over = true;
    this.#base = this.#end;
    this.#handler.failed(code, text);
    return undefined;
  }

  /** Takes one frame; false when more bytes are needed, or none may come. */
  #step(): boolean {
    const head = this.#head();
    if (head === undefined) return false;
    const start = head.maskAt + 4;
    if (this.#end - start < head.length) return false;
    const end = start + head.length;
    unmask(this.#buffer, head.maskAt, start, end);
    this.#base = end;
    this.#take(head, this.#buffer.subarray(start, end));
    return true;
  }

  /** What the frame at hand is, as soon as that can be told; a frame that may not come is refused before its payload has. */
  #head(): Head | undefined {
    const buffer = this.#buffer;
    const at = this.#base;
    const have = this.#end - at;
    if (have < 2) return undefined;
    const first = buffer[at] as number;
    const second = buffer[at + 1] as number;
    const kind = first & 0x0f;
    const last = first >= 0x80;
    if ((first & 0x70) !== 0) return this.#fail(closeCodes.protocol, "A reserved bit is set; no extension is in use.");
    if (second < 0x80) return this.#fail(closeCodes.protocol, "A frame of a client has to be masked.");
    const short = second & 0x7f;
    if (kind >= closeFrame) {
      if (kind > pongFrame) return this.#fail(closeCodes.protocol, "A frame of no known kind.");
      if (!last || short > longestControl)
        return this.#fail(closeCodes.protocol, "A control frame is short and whole.");
      return { kind, last, maskAt: at + 2, length: short };
    }
    if (kind === binaryFrame) return this.#fail(closeCodes.kind, "Messages are text.");
    if (kind > binaryFrame) return this.#fail(closeCodes.protocol, "A frame of no known kind.");
    if ((kind === continuation) !== (this.#fragments !== undefined))
      return this.#fail(closeCodes.protocol, "A message begins with its first piece and goes on with the next.");
    if (this.#fragments !== undefined && this.#fragments.length >= mostFragments)
      return this.#fail(closeCodes.size, "A message in too many pieces.");
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0;
    if (have < 2 + lengthBytes) return undefined;
    const length = this.#length(short, at + 2);
    if (length === undefined) return undefined;
    if (this.#fragmentBytes + length > this.limit) return this.#fail(closeCodes.size, "A message is too large.");
    return { kind, last, maskAt: at + 2 + lengthBytes, length };
  }

  #length(short: number, at: number): number | undefined {
    if (short < 126) return short;
    const buffer = this.#buffer;
    const high = short === 127 ? buffer.readUInt32BE(at) : 0;
    const low = short === 127 ? buffer.readUInt32BE(at + 4) : buffer.readUInt16BE(at);
    if (high > 0) return this.#fail(closeCodes.size, "A message is too large.");
    if (low < (short === 127 ? 0x1_0000 : 126))
      return this.#fail(closeCodes.protocol, "A length is written in as few bytes as it needs.");
    return low;
  }

  #take({ kind, last }: Head, payload: Buffer): void {
    switch (kind) {
      case pingFrame:
        return this.#handler.ping(payload);
      case pongFrame:
        return this.#handler.pong();
      case closeFrame:
        if (!mayClose(payload)) return void this.#fail(closeCodes.protocol, "A close frame that says nothing known.");
        this.#over = true;
        this.#base = this.#end;
        return this.#handler.closing();
      default:
        return last && this.#fragments === undefined ? this.#message(payload) : this.#piece(payload, last);
    }
  }

  #piece(payload: Buffer, last: boolean): void {
    const pieces = this.#fragments ?? [];
    if (payload.length > 0 || !last) pieces.push(Buffer.from(payload));
    this.#fragments = last ? undefined : pieces;
    this.#fragmentBytes = last ? 0 : this.#fragmentBytes + payload.length;
    if (last) this.#message(Buffer.concat(pieces));
  }

  #message(text: Buffer): void {
    if (isUtf8(text)) this.#handler.message(text);
    else this.#fail(closeCodes.encoding, "Messages are UTF-8.");
  }

  #append(chunk: Buffer): void {
    if (!this.#owned || this.#buffer.length < this.#end + chunk.length) this.#own(chunk.length);
    this.#end += chunk.copy(this.#buffer, this.#end);
  }

  /** Moves the undelivered bytes to the front of a buffer of ours with room for `more`. */
  #own(more: number): void {
    const rest = this.#end - this.#base;
    const size = rest + more;
    const roomy = this.#owned && this.#buffer.length >= size;
    const target = roomy ? this.#buffer : Buffer.allocUnsafeSlow(Math.max(smallestBuffer, size + (size >> 1)));
    this.#buffer.copy(target, 0, this.#base, this.#end);
    this.#buffer = target;
    this.#base = 0;
    this.#end = rest;
    this.#owned = true;
  }

  /** The chunk belongs to the caller again when `push` returns. */
  #keep(): void {
    if (this.#end === this.#base) {
      this.#buffer = empty;
      this.#base = this.#end = 0;
      this.#owned = true;
    } else if (!this.#owned) this.#own(0);
  }
}

/** Nothing, or a code that may be sent, with a reason in UTF-8. RFC 6455 §5.5.1, §7.4 */
function mayClose(payload: Buffer): boolean {
  if (payload.length === 0) return true;
  if (payload.length === 1) return false;
  const code = payload.readUInt16BE(0);
  const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
  return known && isUtf8(payload.subarray(2));
}

function unmask(buffer: Buffer, maskAt: number, start: number, end: number): void {
  const a = buffer[maskAt] as number;
  const b = buffer[maskAt + 1] as number;
  const c = buffer[maskAt + 2] as number;
  const d = buffer[maskAt + 3] as number;
  const whole = end - ((end - start) & 3);
  let p = start;
  for (; p < whole; p += 4) {
    buffer[p] = (buffer[p] as number) ^ a;
    buffer[p + 1] = (buffer[p + 1] as number) ^ b;
    buffer[p + 2] = (buffer[p + 2] as number) ^ c;
    buffer[p + 3] = (buffer[p + 3] as number) ^ d;
  }
  if (p < end) buffer[p] = (buffer[p] as number) ^ a;
  if (p + 1 < end) buffer[p + 1] = (buffer[p + 1] as number) ^ b;
  if (p + 2 < end) buffer[p + 2] = (buffer[p + 2] as number) ^ c;
}

/** The head of a text message of `length` bytes, with room for `room` bytes of it behind; and where they begin. */
export function textHead(length: number, room: number): { readonly head: Buffer; readonly at: number } {
  const at = length < 126 ? 2 : length < 0x1_0000 ? 4 : 10;
  const head = Buffer.allocUnsafe(at + room);
  head[0] = 0x80 | textFrame;
  if (at === 2) head[1] = length;
  else if (at === 4) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeUInt32BE(0, 2);
    head.writeUInt32BE(length, 6);
  }
  return { head, at };
}

const control = (kind: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.of(0x80 | kind, payload.length), payload]);

/** Asks whether the client is there. */
export const wholePing = control(pingFrame, empty);

export function wholePong(payload: Buffer): Buffer {
  return control(pongFrame, payload);
}

export function wholeClose(code: CloseCode): Buffer {
  const payload = Buffer.allocUnsafe(2);
  payload.writeUInt16BE(code);
  return control(closeFrame, payload);
}

/** What proves that we understood the request to speak WebSocket. RFC 6455 §4.2.2 */
export function acceptanceOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
