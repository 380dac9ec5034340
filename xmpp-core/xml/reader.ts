import { fault, type ReaderError, XmlFault } from "./fault.ts";
import { beginFrame, type Frame, newFrame, scanFrame, takeStanza } from "./frame.ts";
import type { Limits } from "./limits.ts";
import { newProlog, type Prolog, type Root, type StreamHeader, scanProlog } from "./prolog.ts";
import { newScope } from "./scope.ts";
import type { Stanza } from "./stanza.ts";

export type { ReaderCondition, ReaderError } from "./fault.ts";
export { type Limits, limitsAfterLogin, limitsBeforeLogin } from "./limits.ts";
export type { StreamHeader } from "./prolog.ts";

/** Who is told what arrived. Each is called as soon as the bytes are there, in their order. */
export interface ReaderHandler {
  header(header: StreamHeader): void;
  /** A whole top level element, stanza or not. */
  stanza(stanza: Stanza): void;
  /** The root's end tag. */
  closed(): void;
  /** The stream cannot be read any further; the reader drops everything from here on. */
  failed(error: ReaderError): void;
}

/** What a successor process must know beside `remaining()`. JSON-able; undefined root: no header yet. */
export interface ReaderState {
  readonly root: Root | undefined;
}

/** One direction of a stream. */
export interface XmlReader {
  /** Reads the next bytes; the chunk may be reused afterwards. */
  push(chunk: Buffer): void;
  /** May be called inside a handler: deliver nothing more, keep the bytes. */
  stop(): void;
  /** Goes on after `stop` with the bytes kept. */
  go(): void;
  /** A new stream header is expected. What has arrived behind the last stanza is read as its beginning. */
  restart(): void;
  /** A copy of the bytes not yet delivered. */
  remaining(): Buffer;
  /** Limits for the bytes not yet scanned. */
  limits: Limits;
  /** Bytes are buffered that no handler has seen: an unfinished stanza, or whatever came after `stop`. */
  readonly midStanza: boolean;
  state(): ReaderState;
  /** Puts a new reader where another one's `state()` was; then push that one's `remaining()`. */
  restore(state: ReaderState): void;
}

type Phase = "prolog" | "open" | "closed" | "failed";

const empty = Buffer.alloc(0);
const smallestBuffer = 4_096;

/** Buffers of readers that wait for nothing, so that a stanza cut in two does not cost an allocation. */
const spare: Buffer[] = [];

function takeBuffer(size: number): Buffer {
  return (
    (size <= smallestBuffer ? spare.pop() : undefined) ??
    Buffer.allocUnsafeSlow(Math.max(smallestBuffer, size + (size >> 1)))
  );
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length === smallestBuffer && spare.length < 64) spare.push(buffer);
}

/** A strict, incremental reader for XMPP streams (RFC 6120 §4, §11). Its work is linear in the bytes pushed. */
export function xmlReader(handler: ReaderHandler, limits: Limits): XmlReader {
  return new ByteReader(handler, limits);
}

// A class because there is one per stream: methods on a prototype keep an idle stream small.
class ByteReader implements XmlReader {
  limits: Limits;
  readonly #handler: ReaderHandler;
  #phase: Phase = "prolog";
  #root: Root | undefined = undefined;
  #prolog: Prolog | undefined = undefined;
  #frame: Frame | undefined = undefined;
  #inFrame = false;
  /** Bytes [base, end) of the buffer are not delivered yet. `owned`: the buffer is ours and may be appended to. */
  #buffer: Buffer = empty;
  #base = 0;
  #end = 0;
  #owned = true;
  #stopped = false;
  #running = false;
  #delivering = false;
  /** Whitespace in front of a document still belongs to the stream before it. */
  #restarted = false;

  constructor(handler: ReaderHandler, limits: Limits) {
    this.#handler = handler;
    this.limits = limits;
  }

  get midStanza(): boolean {
    return this.#end > this.#base;
  }

  push(chunk: Buffer): void {
    if (this.#phase === "failed" || chunk.length === 0) return;
    if (this.#end > this.#base || this.#running) this.#append(chunk);
    else {
      this.#buffer = chunk;
      this.#base = 0;
      this.#end = chunk.length;
      this.#owned = false;
    }
    this.#run();
  }

  stop(): void {
    this.#stopped = true;
  }

  go(): void {
    this.#stopped = false;
    this.#run();
  }

  restart(): void {
    if (this.#phase === "failed") return;
    this.#phase = "prolog";
    this.#root = undefined;
    this.#prolog = undefined;
    this.#frame = undefined;
    this.#inFrame = false;
    this.#restarted = true;
    this.#run();
  }

  remaining(): Buffer {
    return Buffer.from(this.#buffer.subarray(this.#base, this.#end));
  }

  state(): ReaderState {
    return { root: this.#root };
  }

  restore(state: ReaderState): void {
    if (state.root === undefined) return;
    this.#root = state.root;
    this.#phase = "open";
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (!this.#stopped && this.#end > this.#base && this.#step());
    } catch (thrown) {
      // What a handler throws is its own affair, even if it has read some other XML.
      if (this.#delivering || !(thrown instanceof XmlFault)) throw thrown;
      this.#phase = "failed";
      this.#base = this.#end;
      this.#handler.failed({ condition: thrown.condition, text: thrown.text });
    } finally {
      this.#running = this.#delivering = false;
      this.#keep();
    }
  }

  /** Scans one thing; false when more bytes are needed. */
  #step(): boolean {
    switch (this.#phase) {
      case "open":
        return this.#inFrame ? this.#scan() : this.#between();
      case "prolog":
        return this.#begin();
      case "closed":
        return this.#after();
      default:
        return false;
    }
  }

  /** Where scanning must end for now, so that nothing is read beyond the limit. */
  #bound(): number {
    return Math.min(this.#end, this.#base + this.limits.stanzaBytes);
  }

  #checkSize(): false {
    if (this.#end - this.#base >= this.limits.stanzaBytes) fault("policy-violation", "a stanza is too large");
    return false;
  }

  #begin(): boolean {
    if (this.#restarted && this.#skipSpace()) return false;
    this.#restarted = false;
    this.#prolog ??= newProlog();
    const prolog = this.#prolog;
    const p = scanProlog(prolog, this.#buffer, this.#base, this.#bound(), this.limits);
    const { root } = prolog;
    if (p < 0 || root === undefined) return this.#checkSize();
    this.#prolog = undefined;
    this.#root = root;
    this.#base = p;
    this.#phase = "open";
    this.#delivering = true;
    this.#handler.header(root.header);
    this.#delivering = false;
    // Nothing forbids an empty stream; the handler may have ordered a new one meanwhile.
    if (prolog.selfClosing && this.#root === root) this.#close();
    return true;
  }

  #close(): void {
    this.#phase = "closed";
    this.#frame = undefined;
    this.#delivering = true;
    this.#handler.closed();
    this.#delivering = false;
  }

  /** Between stanzas only whitespace may stand (RFC 6120 §4.6.1). */
  #between(): boolean {
    if (this.#skipSpace()) return false;
    const buffer = this.#buffer;
    const p = this.#base;
    const byte = buffer[p] as number;
    if (byte !== 0x3c) {
      if (byte < 0x20) fault("not-well-formed", "a control character");
      fault("bad-format", "text outside of a stanza");
    }
    if (p + 1 === this.#end) return false;
    if (buffer[p + 1] === 0x2f) return this.#endOfRoot();
    this.#frame ??= this.#makeFrame();
    beginFrame(this.#frame);
    this.#inFrame = true;
    return true;
  }

  #makeFrame(): Frame {
    const root = this.#root;
    return newFrame(newScope(root?.contentNs ?? "", root?.prefixes ?? []));
  }

  #scan(): boolean {
    const frame = this.#frame as Frame;
    const base = this.#base;
    const p = scanFrame(frame, this.#buffer, base, this.#bound(), this.limits);
    if (p < 0) return this.#checkSize();
    const stanza = takeStanza(frame, this.#buffer, base, p);
    this.#base = p;
    this.#inFrame = false;
    this.#delivering = true;
    this.#handler.stanza(stanza);
    this.#delivering = false;
    return true;
  }

  #endOfRoot(): boolean {
    const text = this.#buffer.toString("utf8", this.#base, this.#bound());
    const expected = `</${this.#root?.rawName ?? ""}`;
    if (!text.startsWith(expected)) {
      if (text.length < expected.length && expected.startsWith(text)) return this.#checkSize();
      fault("not-well-formed", "an end tag that does not match");
    }
    const rest = /^[ \t\r\n]*(>)?/.exec(text.slice(expected.length));
    if (rest?.[1] === undefined) {
      if (rest?.[0].length !== text.length - expected.length)
        fault("not-well-formed", "an end tag that does not match");
      if (text.length > expected.length + longestEndGap) fault("policy-violation", "an end tag is too long");
      return this.#checkSize();
    }
    this.#base += Buffer.byteLength(expected) + rest[0].length;
    this.#close();
    return true;
  }

  #after(): boolean {
    if (this.#skipSpace()) return false;
    return fault("not-well-formed", "bytes behind the end of the stream");
  }

  /** True when nothing but whitespace was there. */
  #skipSpace(): boolean {
    const buffer = this.#buffer;
    const end = this.#end;
    let p = this.#base;
    while (p < end && isSpace(buffer[p] as number)) p++;
    this.#base = p;
    return p === end;
  }

  #append(chunk: Buffer): void {
    const length = this.#end + chunk.length;
    if (!this.#owned || this.#buffer.length < length) this.#own(this.#end - this.#base + chunk.length);
    this.#end += chunk.copy(this.#buffer, this.#end);
  }

  /** Moves the undelivered bytes to the front of a buffer of ours with room for `size` bytes. */
  #own(size: number): void {
    const { length } = this.#buffer;
    const roomy = this.#owned && length >= size;
    const target = roomy ? this.#buffer : takeBuffer(size);
    this.#buffer.copy(target, 0, this.#base, this.#end);
    if (!roomy && this.#owned) giveBuffer(this.#buffer);
    this.#buffer = target;
    this.#end -= this.#base;
    this.#base = 0;
    this.#owned = true;
  }

  /** The chunk belongs to the caller again when `push` returns. */
  #keep(): void {
    if (this.#end === this.#base) {
      if (this.#owned) giveBuffer(this.#buffer);
      this.#buffer = empty;
      this.#base = this.#end = 0;
      this.#owned = true;
    } else if (!this.#owned || this.#base > 0) this.#own(this.#end - this.#base);
  }
}

const longestEndGap = 64;

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
