import { Duplex } from "node:stream";
import type { Connection } from "./connection.ts";

/**
 * A connection as a stream, for whoever wants a socket: `server.emit("connection", connectionStream(connection))`.
 * Back-pressure goes both ways; ending the stream sends what is written and FIN, destroying it drops the connection.
 */
export function connectionStream(connection: Connection): ConnectionStream {
  return new ConnectionStream(connection);
}

/** Written ahead of what the peer has taken: there is more to send while the gate sends. */
const writeAhead = 256 * 1024;

/** Looks enough like net.Socket for node:http, which sets timeouts and asks for addresses. */
export class ConnectionStream extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** What http and fastify look at to tell https; true over TLS. */
  readonly encrypted: boolean;
  /** As net.Socket's. */
  bytesRead = 0;
  #bytesWritten = 0;
  readonly #connection: Connection;
  #blocked: (() => void) | undefined;
  #detached = false;
  #idleMs = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
    this.remoteAddress = connection.remote.address;
    this.remotePort = connection.remote.port;
    this.localAddress = connection.local.address;
    this.localPort = connection.local.port;
    this.encrypted = connection.tls !== undefined;
    connection.receive({
      bytes: (chunk) => {
        this.#active();
        this.bytesRead += chunk.length;
        if (!this.push(chunk)) connection.pause();
      },
      secured: () => undefined,
      drained: () => {
        this.#active();
        const written = this.#blocked;
        this.#blocked = undefined;
        written?.();
      },
      ended: () => this.push(null),
      closed: (reason) => this.#closed(reason),
    });
  }

  /**
   * Hands the connection on, paused: who receives it next gets `head` and what was read here and taken by nobody.
   * The stream is of no use afterwards.
   */
  detach(head: Buffer): Connection {
    const rest: Buffer | null = this.read();
    this.#detached = true;
    this.#connection.giveBack(rest === null ? head : Buffer.concat([head, rest]));
    this.destroy();
    return this.#connection;
  }

  /** Bytes written that the peer has not taken, 0 for less than 16 KiB. */
  get unsent(): number {
    return this.#connection.unsent;
  }

  /** Bytes that the peer has taken, to 16 KiB. */
  get taken(): number {
    return this.#bytesWritten - this.unsent;
  }

  /** As net.Socket's: "timeout" is emitted after `ms` of silence, 0 turns it off. */
  setTimeout(ms: number, onTimeout?: () => void): this {
    this.#idleMs = ms;
    if (onTimeout !== undefined) this.once("timeout", onTimeout);
    this.#active();
    return this;
  }

  /** The gate has it on for every connection. */
  setNoDelay(): this {
    return this;
  }

  /** The gate has it on for every connection. */
  setKeepAlive(): this {
    return this;
  }

  override _read(): void {
    this.#connection.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: () => void): void {
    this.#active();
    this.#connection.write(chunk);
    this.#bytesWritten += chunk.length;
    if (this.#connection.unsent <= writeAhead) written();
    else this.#blocked = written;
  }

  override _final(done: () => void): void {
    this.#connection.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#idle);
    // After an orderly end what is written is still on its way; dropping would cut it.
    if (!this.writableFinished && !this.#detached) this.#connection.drop();
    done(error);
  }

  #closed(reason: string): void {
    if (this.destroyed) return;
    const cut = !this.readableEnded && reason !== "closed";
    this.#blocked = undefined;
    if (cut) this.destroy();
    else {
      if (!this.readableEnded) this.push(null);
      this.end();
      this.once("end", () => this.destroy());
    }
  }

  #active(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
    if (this.#idleMs === 0 || this.destroyed) return;
    this.#idle = setTimeout(() => this.emit("timeout"), this.#idleMs);
    this.#idle.unref();
  }
}
