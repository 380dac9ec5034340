/**
 * The frames between gate and core (docs/architecture.md "Three processes"): u32 length of what follows, u8 type, u32 connection number, payload.
 * Number 0 is the gate itself. Both sides import this file and nothing else of each other.
 */

import type { Duplex } from "node:stream";

/** Spoken in the hello both ways; a core meets a gate that was started by an earlier release, so it changes rarely. */
export const frameVersion = 1;

/** Frame types. The comment says who sends it and what the payload is. */
export const frame = {
  /** both: JSON {@link Hello}; the core speaks first */
  hello: 1,
  /** gate: JSON {@link Opened} */
  opened: 2,
  /** gate: u8 TLS epoch (0 before TLS, 1 after), then what the peer sent */
  bytes: 3,
  /** core: what the peer is to get */
  write: 4,
  /** core: name of the certificate; everything written before goes out in clear */
  startTls: 5,
  /** gate: JSON {@link Secured}, the first frame of the new epoch */
  secured: 6,
  /** core: stop, go on reading from the peer */
  pause: 7,
  resume: 8,
  /** gate: u32, bytes the peer's kernel connection has taken since the core's hello, modulo 2^32 */
  drained: 9,
  /** gate: the peer has finished sending */
  ended: 10,
  /** core: send what is written, then FIN */
  close: 11,
  /** core: abort without another byte */
  drop: 12,
  /** gate: reason as text; the number is dead */
  closed: 13,
  /** core: JSON {@link Request} */
  request: 14,
  /** gate: JSON {@link Answer} */
  answer: 15,
  /** core: bytes it has received and not used; who reads next (a successor, a joined peer) gets them first */
  giveBack: 16,
  /** core: stop reading and say held behind the last bytes */
  hold: 17,
  held: 18,
  /** core: u32 number of the other connection; both must be held */
  join: 19,
  /** gate: JSON {@link Joined}, on the first connection of the pair */
  joined: 20,
  /** gate: the list of adopted connections is complete */
  welcomed: 21,
  /** core: listeners, certificates and handlers are in place */
  ready: 22,
  /** core: about to hand over; the gate stops reading and answers quiesced behind the last bytes */
  handover: 23,
  quiesced: 24,
  /** core: everything is stored; the connections belong to the successor */
  handed: 25,
  /** gate: stop in order */
  stop: 26,
  /** gate: read certificates and log files again */
  reload: 27,
} as const;

export interface Hello {
  readonly version: number;
  readonly pid: number;
  /** Set by a gate that refuses this core. */
  readonly failure?: Failure;
}

/** What went wrong, as it crosses the process border; the core makes a CodedError of it. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
  readonly hint: string;
}

export interface Opened {
  readonly listener: string;
  readonly remote: { readonly address: string; readonly port: number };
  readonly local: { readonly address: string; readonly port: number };
  /** TLS epoch of the bytes that follow. */
  readonly epoch: number;
  /** Present when the connection speaks TLS already: direct TLS, or adopted from the core before. */
  readonly tls?: Secured;
  readonly adopted: boolean;
  /** Bytes of the core before that the peer has not taken; they are counted as written. */
  readonly unsent: number;
}

/** TLS facts; binary values are in hex. */
export interface Secured {
  /** "TLSv1.2" or "TLSv1.3" */
  readonly version: string;
  readonly cipher: string;
  /** tls-exporter, TLS 1.3 only (RFC 9266) */
  readonly exporter?: string;
  /** The first Finished message (RFC 5929 §3). */
  readonly unique?: string;
  /** tls-server-end-point (RFC 5929 §4.1), absent where the signature has no hash of its own */
  readonly endPoint?: string;
  readonly sni?: string;
  readonly alpn?: string;
  /** Name of the certificate that was served. */
  readonly certificate: string;
}

/** One named listener. A spec that differs only in options takes over the bound socket. */
export interface ListenSpec {
  /** "c2s", "c2s-tls", "proxy65", "admin", "admin-tls" … */
  readonly name: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  /** Literal IP addresses to bind; absent or empty: every IPv4 and IPv6 address. */
  readonly addresses?: readonly string[];
  /** detect: a first byte of 0x16 starts TLS, all else is clear; required: the rest is dropped; never: all is clear. */
  readonly tls: "detect" | "required" | "never";
  /** Certificate for direct TLS when SNI chooses none; absent: the default of the set. */
  readonly certificate?: string;
  /** ALPN names; a client that offers ALPN without one of them is refused (RFC 7301 §3.2). */
  readonly alpn?: readonly string[];
  /** Addresses, networks and ranges whose connections begin with a PROXY protocol header that names the client. */
  readonly proxies?: readonly string[];
  readonly limits?: ListenLimits;
}

/** Limits of one listener; what is absent is not limited, except as noted. */
export interface ListenLimits {
  /** Open connections of one IPv4 address or one IPv6 /64. */
  readonly perAddress?: number;
  /** TLS handshakes under way at once, the rest wait their turn; 200 unless given. */
  readonly handshakes?: number;
  /** Accepted connections per second, on average. */
  readonly perSecond?: number;
  /** How many may come at once when it was quiet; `perSecond` unless given. */
  readonly burst?: number;
  /** Addresses and networks (CIDR) that no limit above applies to. */
  readonly trusted?: readonly string[];
  /** A peer that lets more than this pile up unread is dropped with the reason "slow-reader"; 16 MiB unless given. */
  readonly unsentBytes?: number;
  /** Sent in clear, then FIN, to who is refused by a limit or by lack of descriptors. */
  readonly refusal?: string;
  /** Refusals are reported once in so many ms, with their number; 1000 unless given. */
  readonly reportEveryMs?: number;
}

export interface Bound {
  readonly name: string;
  readonly port: number;
  readonly addresses: readonly string[];
}

export interface CertificateSet {
  /** Chosen by SNI, then by the name given with start TLS or the listener, then the default. */
  readonly certificates: readonly { readonly name: string; readonly chain: string; readonly key: string }[];
  readonly default: string;
}

export type Request =
  | {
      readonly id: number;
      readonly do: "prepare";
      readonly specs: readonly ListenSpec[];
      readonly without: readonly string[];
    }
  | { readonly id: number; readonly do: "switch" | "cancel" }
  | { readonly id: number; readonly do: "certificates"; readonly set: CertificateSet }
  /** A successor is started and answers when its program is loaded; it takes over when this core has handed over. */
  | { readonly id: number; readonly do: "succeed" };

export interface Answer {
  readonly id: number;
  readonly failure?: Failure;
  readonly bound?: readonly Bound[];
}

/** Why and with what counts a relay ended. */
export interface Joined {
  readonly other: number;
  /** Bytes the first sent and the other took, and the reverse. */
  readonly forth: number;
  readonly back: number;
  readonly reason: string;
}

/** Reading never sees a longer frame; writers split at {@link largestPiece}. */
const longestFrame = 64 * 1024 * 1024;
export const largestPiece = 1024 * 1024;
const headerBytes = 9;
const arenaBytes = 64 * 1024;
/** Longer payloads are referenced instead of copied. */
const copyBytes = 4096;

/** Collects the frames of one turn, so that they leave in one write. */
export class FrameWriter {
  #arena = Buffer.allocUnsafeSlow(arenaBytes);
  #start = 0;
  #end = 0;
  #pieces: Buffer[] = [];
  /** Where the length of the last bytes frame stands, while it can still grow. */
  #growing = -1;
  #growingNumber = 0;
  #growingEpoch = 0;

  get empty(): boolean {
    return this.#end === this.#start && this.#pieces.length === 0;
  }

  frame(type: number, number: number, payload?: Buffer | string): void {
    const length = payload === undefined ? 0 : Buffer.byteLength(payload);
    this.begin(type, number, length);
    if (payload !== undefined && length > 0) this.add(payload, length);
  }

  json(type: number, number: number, value: unknown): void {
    this.frame(type, number, JSON.stringify(value));
  }

  u32(type: number, number: number, value: number): void {
    this.begin(type, number, 4);
    this.#room(4);
    this.#end = this.#arena.writeUInt32BE(value >>> 0, this.#end);
  }

  /** A bytes frame; what follows at once on the same connection and epoch lengthens it. */
  bytes(number: number, epoch: number, chunk: Buffer): void {
    const { length } = chunk;
    if (this.#growing >= 0 && number === this.#growingNumber && epoch === this.#growingEpoch) {
      if (length <= copyBytes && this.#end + length <= arenaBytes) {
        this.#arena.writeUInt32BE(this.#arena.readUInt32BE(this.#growing) + length, this.#growing);
        this.#end += chunk.copy(this.#arena, this.#end);
        return;
      }
    }
    const small = length <= copyBytes;
    if (small) this.#room(headerBytes + 1 + length);
    const header = this.#end;
    this.begin(frame.bytes, number, length + 1);
    this.#room(1);
    this.#arena[this.#end++] = epoch;
    this.add(chunk, length);
    this.#growing = small ? header : -1;
    this.#growingNumber = number;
    this.#growingEpoch = epoch;
  }

  /** Starts a frame whose payload of `length` bytes follows by {@link add}. */
  begin(type: number, number: number, length: number): void {
    this.#growing = -1;
    this.#room(headerBytes);
    const arena = this.#arena;
    let at = arena.writeUInt32BE(length + 5, this.#end);
    arena[at++] = type;
    this.#end = arena.writeUInt32BE(number, at);
  }

  add(payload: Buffer | string, length: number): void {
    if (length > copyBytes) {
      this.#cut();
      this.#pieces.push(typeof payload === "string" ? Buffer.from(payload) : payload);
      return;
    }
    this.#room(length);
    if (typeof payload === "string") this.#arena.write(payload, this.#end);
    else payload.copy(this.#arena, this.#end);
    this.#end += length;
  }

  /** Everything since the last take, in order. */
  take(): Buffer[] {
    this.#growing = -1;
    this.#cut();
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #cut(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#arena.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }

  #room(length: number): void {
    if (this.#end + length <= arenaBytes) return;
    this.#cut();
    // Never reused: the socket may still hold slices of it.
    this.#arena = Buffer.allocUnsafeSlow(arenaBytes);
    this.#start = 0;
    this.#end = 0;
  }
}

/** Cuts a byte stream into frames; payloads are slices of what was read wherever a frame arrived whole. */
export class FrameReader {
  #parts: Buffer[] = [];
  #have = 0;
  #need = 4;
  readonly #frame: (type: number, number: number, payload: Buffer) => void;

  constructor(onFrame: (type: number, number: number, payload: Buffer) => void) {
    this.#frame = onFrame;
  }

  /**
   * Hands over every complete frame in `chunk` and before it. If the receiver throws, the frames behind are kept for
   * the next read. Throws {@link BrokenLink} on a length that no writer makes.
   */
  read(chunk: Buffer): void {
    let data = chunk;
    if (this.#have > 0) {
      this.#parts.push(chunk);
      this.#have += chunk.length;
      if (this.#have < this.#need) return;
      data = Buffer.concat(this.#parts, this.#have);
      this.#parts = [];
      this.#have = 0;
    }
    let at = 0;
    this.#need = 4;
    try {
      while (data.length - at >= 4) {
        const length = data.readUInt32BE(at);
        if (length < 5 || length > longestFrame) throw new BrokenLink(`a frame of ${length} bytes`);
        const from = at;
        if (data.length - from < 4 + length) {
          this.#need = 4 + length;
          break;
        }
        at += 4 + length;
        this.#frame(data[from + 4] as number, data.readUInt32BE(from + 5), data.subarray(from + headerBytes, at));
      }
    } finally {
      if (at < data.length) {
        this.#parts.push(at === 0 ? data : data.subarray(at));
        this.#have = data.length - at;
      }
    }
  }
}

/** What came over the link is not frames: there is nothing to go on with. */
export class BrokenLink extends Error {}

/**
 * One end of the link: gathers the turn's frames into one write (setImmediate) and cuts what it reads.
 * It owns its stream; `end` and `destroy` close it, `ended` is called once, with the error if there was one.
 */
export class FrameLink {
  readonly writer = new FrameWriter();
  readonly #stream: Duplex;
  readonly #ends: LinkEnds;
  #scheduled = false;
  #over = false;

  constructor(stream: Duplex, ends: LinkEnds) {
    this.#stream = stream;
    this.#ends = ends;
    const reader = new FrameReader(ends.frame);
    stream.on("data", (chunk: Buffer) => {
      try {
        reader.read(chunk);
      } catch (error) {
        // What a receiver throws is its process's affair.
        if (!(error instanceof BrokenLink)) throw error;
        stream.destroy(error);
        return;
      }
      ends.turn?.();
    });
    let failure: Error | undefined;
    stream.on("error", (error) => {
      failure = error;
    });
    stream.on("end", () => this.end());
    stream.on("drain", () => ends.drained?.());
    stream.on("close", () => {
      this.#over = true;
      ends.ended(failure);
    });
  }

  /** Bytes written and not yet taken by the other process. */
  get backlog(): number {
    return this.#stream.writableLength;
  }

  /** Sees to it that what the writer holds leaves in this turn. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    this.#ends.flushing?.();
    if (this.#over || this.writer.empty) return;
    const pieces = this.writer.take();
    if (pieces.length === 1) this.#stream.write(pieces[0]);
    else {
      this.#stream.cork();
      for (const piece of pieces) this.#stream.write(piece);
      this.#stream.uncork();
    }
  }

  /** Sends what is written, then ends. */
  end(): void {
    this.flush();
    if (!this.#over) this.#stream.end();
    this.#over = true;
  }

  destroy(): void {
    this.#over = true;
    this.#stream.destroy();
  }
}

export interface LinkEnds {
  frame(type: number, number: number, payload: Buffer): void;
  /** After the frames of one read. */
  turn?(): void;
  /** Before the turn's write: the last moment to add frames to it. */
  flushing?(): void;
  /** The other process has taken everything, after a time when it did not. */
  drained?(): void;
  ended(error: Error | undefined): void;
}
