import { frame, type Opened, type Secured } from "../frames.ts";

export interface TlsFacts {
  /** "TLSv1.2" or "TLSv1.3" */
  readonly version: string;
  readonly cipher: string;
  /** Channel binding tls-exporter, TLS 1.3 only (RFC 9266). */
  readonly exporter?: Buffer;
  /** Channel binding tls-unique (RFC 5929 §3): never offered, taken from clients that know no other. */
  readonly unique?: Buffer;
  /** Channel binding tls-server-end-point (RFC 5929 §4.1). */
  readonly endPoint?: Buffer;
  readonly sni?: string;
  readonly alpn?: string;
  /** Name of the certificate that was served. */
  readonly certificate: string;
}

/** One client's connection, which the gate holds. Everything on it is synchronous; the turn's writes leave together. */
export interface Connection {
  /** The gate's, unchanged over a restart of the core. */
  readonly number: number;
  /** The name given at listen: "c2s", "c2s-tls", "proxy65", "admin", "admin-tls". */
  readonly listener: string;
  readonly remote: { readonly address: string; readonly port: number };
  readonly local: { readonly address: string; readonly port: number };
  readonly tls: TlsFacts | undefined;
  /** Taken over from the core before; the session, if it stored one, goes on. */
  readonly adopted: boolean;
  /** False once closed, dropped or lost: writes then go nowhere. */
  readonly open: boolean;
  /** Names who handles the connection; what came before is delivered at once, in this call. A later call replaces the handler. */
  receive(handler: ConnectionHandler): void;
  /** Gathered: one frame per connection and one socket write per turn. Strings are UTF-8. */
  write(chunk: Buffer | string): void;
  /** Bytes written that the peer has not taken; less than 16 KiB counts as taken, the gate does not report so little. */
  readonly unsent: number;
  /** No bytes are delivered between pause and resume, not even those under way. */
  pause(): void;
  resume(): void;
  /**
   * Writes what was written before in clear, then starts TLS with this certificate (SNI may choose another of the set).
   * The handler forgets what is left of the chunk it is reading: everything sent before `secured` is void (RFC 6120 §5.3.4).
   */
  startTls(certificateName: string): void;
  /** Gives back bytes that were delivered and not used: the successor, or the peer of a join, gets them first. Delivery pauses. */
  giveBack(chunk: Buffer): void;
  /** Sends what is written, then FIN. */
  close(): void;
  /** Ends without another byte. */
  drop(): void;
}

export interface ConnectionHandler {
  bytes(chunk: Buffer): void;
  secured(facts: TlsFacts): void;
  /** `unsent` was 16 KiB or more and is less again. */
  drained(): void;
  /** Bytes of an older TLS epoch came and were thrown away. */
  injected?(): void;
  /** The peer has finished sending and may still read; without this handler the connection is closed. */
  ended?(): void;
  /** Once, whoever ended it: "closed", "handshake", "slow-reader", "reset" … */
  closed(reason: string): void;
}

/** The gate reports what was taken in steps of this size. */
const unsentStep = 16 * 1024;

/** What a connection needs of the link to the gate. */
export interface ConnectionLink {
  /** The connection has gathered writes; `flush` is called before the turn's frames leave. */
  dirty(connection: GateConnection): void;
  frame(type: number, number: number, payload?: Buffer | string): void;
  write(number: number, parts: readonly (Buffer | string)[], bytes: number): void;
}

/** The core's end of one connection. */
export class GateConnection implements Connection {
  readonly number: number;
  readonly listener: string;
  readonly remote: Opened["remote"];
  readonly local: Opened["local"];
  readonly adopted: boolean;
  tls: TlsFacts | undefined;
  open = true;
  readonly #link: ConnectionLink;
  #epoch: number;
  #handler: ConnectionHandler | undefined;
  #unread: Buffer[] = [];
  #paused = false;
  #stuck = false;
  #endedEarly = false;
  #closedEarly: string | undefined;
  #sent = 0;
  #taken = 0;
  #parts: (Buffer | string)[] = [];
  #partBytes = 0;

  constructor(number: number, opened: Opened, link: ConnectionLink) {
    this.number = number;
    this.listener = opened.listener;
    this.remote = opened.remote;
    this.local = opened.local;
    this.adopted = opened.adopted;
    this.tls = opened.tls === undefined ? undefined : tlsFacts(opened.tls);
    this.#epoch = opened.epoch;
    this.#link = link;
    this.#sent = opened.unsent;
    this.#stuck = this.unsent > 0;
  }

  get unsent(): number {
    const bytes = (this.#sent - this.#taken) >>> 0;
    return bytes < unsentStep ? 0 : bytes;
  }

  receive(handler: ConnectionHandler): void {
    this.#handler = handler;
    this.#deliver();
    if (this.#endedEarly) this.ended();
    const reason = this.#closedEarly;
    if (reason !== undefined) {
      this.#closedEarly = undefined;
      handler.closed(reason);
    }
  }

  write(chunk: Buffer | string): void {
    if (!this.open) return;
    const length = typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.length;
    if (length === 0) return;
    if (this.#partBytes === 0) this.#link.dirty(this);
    this.#parts.push(chunk);
    this.#partBytes += length;
    this.#sent = (this.#sent + length) >>> 0;
    if (!this.#stuck && this.unsent > 0) this.#stuck = true;
  }

  pause(): void {
    if (this.#paused || !this.open) return;
    this.#paused = true;
    this.#link.frame(frame.pause, this.number);
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.open) this.#link.frame(frame.resume, this.number);
    this.#deliver();
  }

  startTls(certificateName: string): void {
    if (!this.open) return;
    this.flush();
    this.#epoch += 1;
    if (this.#unread.length > 0) {
      this.#unread = [];
      this.#handler?.injected?.();
    }
    this.#link.frame(frame.startTls, this.number, certificateName);
  }

  giveBack(chunk: Buffer): void {
    if (chunk.length > 0) this.#unread.unshift(chunk);
    this.#paused = true;
  }

  close(): void {
    if (!this.open) return;
    this.flush();
    this.open = false;
    this.#link.frame(frame.close, this.number);
  }

  drop(): void {
    if (!this.open) return;
    this.#parts = [];
    this.#partBytes = 0;
    this.open = false;
    this.#link.frame(frame.drop, this.number);
  }

  /** Moves the turn's writes into the link. Called by the link, before its own write. */
  flush(): void {
    if (this.#partBytes === 0) return;
    this.#link.write(this.number, this.#parts, this.#partBytes);
    this.#parts = [];
    this.#partBytes = 0;
  }

  /** Keeps what comes from now on, to be handed on with {@link returnUnread}. */
  hold(): void {
    this.#paused = true;
  }

  /** Hands what is unread to the gate; nothing is delivered here any more. */
  returnUnread(): void {
    this.flush();
    for (const chunk of this.#unread) this.#link.frame(frame.giveBack, this.number, chunk);
    this.#unread = [];
    this.#paused = true;
  }

  arrived(epoch: number, chunk: Buffer): void {
    if (epoch !== this.#epoch) {
      this.#handler?.injected?.();
      return;
    }
    if (!this.open) return;
    if (this.#handler === undefined || this.#paused || this.#unread.length > 0) this.#unread.push(chunk);
    else this.#handler.bytes(chunk);
  }

  secured(facts: Secured): void {
    // The core before may have asked for it.
    this.#epoch = 1;
    this.tls = tlsFacts(facts);
    if (this.open) this.#handler?.secured(this.tls);
  }

  drained(taken: number): void {
    this.#taken = taken;
    if (!this.#stuck || this.unsent > 0) return;
    this.#stuck = false;
    if (this.open) this.#handler?.drained();
  }

  ended(): void {
    if (!this.open) return;
    if (this.#handler === undefined || this.#paused || this.#unread.length > 0) this.#endedEarly = true;
    else {
      this.#endedEarly = false;
      if (this.#handler.ended === undefined) this.close();
      else this.#handler.ended();
    }
  }

  closed(reason: string): void {
    this.open = false;
    this.#parts = [];
    this.#partBytes = 0;
    if (this.#handler === undefined) this.#closedEarly = reason;
    else this.#handler.closed(reason);
  }

  #deliver(): void {
    // The handler may pause again, or end the connection, at any chunk.
    while (this.#handler !== undefined && !this.#paused && this.open) {
      const chunk = this.#unread.shift();
      if (chunk === undefined) break;
      this.#handler.bytes(chunk);
    }
    if (this.#endedEarly) this.ended();
  }
}

function tlsFacts(secured: Secured): TlsFacts {
  const { version, cipher, exporter, unique, endPoint, sni, alpn, certificate } = secured;
  return {
    version,
    cipher,
    certificate,
    ...(exporter === undefined ? undefined : { exporter: Buffer.from(exporter, "hex") }),
    ...(unique === undefined ? undefined : { unique: Buffer.from(unique, "hex") }),
    ...(endPoint === undefined ? undefined : { endPoint: Buffer.from(endPoint, "hex") }),
    ...(sni === undefined ? undefined : { sni }),
    ...(alpn === undefined ? undefined : { alpn }),
  };
}
