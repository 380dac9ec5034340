import { ns } from "../formats/namespaces.ts";
import type { Connection, ConnectionHandler, TlsFacts } from "../transport/connection.ts";
import { type Limits, limitsBeforeLogin, type ReaderState, type XmlReader, xmlReader } from "../xml/reader.ts";
import { openTag, type Xml, x } from "../xml/writer.ts";
import type { FrozenWire, Opening, Wire, WireHandler } from "./wire.ts";

/** A stream as one XML document over TCP. RFC 6120 §4 */
export class TcpWire implements Wire, ConnectionHandler {
  readonly kind = "tcp";
  readonly #connection: Connection;
  readonly #handler: WireHandler;
  #reader: XmlReader;
  #held = false;
  #ended = false;

  constructor(connection: Connection, handler: WireHandler) {
    this.#connection = connection;
    this.#handler = handler;
    this.#reader = xmlReader(handler, limitsBeforeLogin);
  }

  get listener(): string {
    return this.#connection.listener;
  }

  get remote(): Connection["remote"] {
    return this.#connection.remote;
  }

  get local(): Connection["local"] {
    return this.#connection.local;
  }

  get tls(): TlsFacts | undefined {
    return this.#connection.tls;
  }

  get open(): boolean {
    return this.#connection.open;
  }

  get limits(): Limits {
    return this.#reader.limits;
  }

  set limits(limits: Limits) {
    this.#reader.limits = limits;
  }

  /** Begins to read: what has come already is delivered in this call. */
  start(): void {
    this.#connection.receive(this);
  }

  header({ id, from, to }: Opening): void {
    this.#connection.write(header(id, from, to));
  }

  write(data: Buffer | string): void {
    this.#connection.write(data);
  }

  restart(): void {
    this.#reader.restart();
  }

  hold(): void {
    this.#held = true;
    this.#reader.stop();
  }

  release(): void {
    this.#held = false;
    this.#connection.resume();
    // What came meanwhile may have made it wait anew.
    if (!this.#held) this.#reader.go();
  }

  pause(): void {
    this.#connection.pause();
  }

  startTls(certificateName: string): boolean {
    if (this.#reader.midStanza) return false;
    this.#reader.stop();
    this.#connection.write(x("proceed", { xmlns: ns.tls }));
    this.#connection.startTls(certificateName);
    return true;
  }

  close(error?: Xml): void {
    this.#stop();
    this.#connection.write(`${error ?? ""}</stream:stream>`);
    this.#connection.close();
  }

  drop(): void {
    this.#stop();
    this.#connection.drop();
  }

  #stop(): void {
    this.#ended = true;
    this.#reader.stop();
  }

  freeze(): FrozenWire {
    this.#reader.stop();
    const state = this.#reader.state();
    this.#connection.giveBack(this.#reader.remaining());
    return { connection: this.#connection.number, state };
  }

  /** Puts it where the predecessor's was; then `start`. */
  thaw(state: ReaderState): void {
    this.#reader.restore(state);
  }

  // ------------------------------------------------------------ connection

  bytes(chunk: Buffer): void {
    if (this.#ended) return;
    this.#handler.heard();
    this.#reader.push(chunk);
    // What comes while the stream waits piles up in the reader: let it pile up at the client.
    if (this.#held) this.#connection.pause();
    else this.#handler.took(chunk.length);
  }

  secured(facts: TlsFacts): void {
    this.#reader = xmlReader(this.#handler, limitsBeforeLogin);
    this.#handler.secured(facts);
  }

  drained(): void {}

  injected(): void {
    this.#handler.injected();
  }

  closed(reason: string): void {
    this.#handler.gone(reason);
  }
}

/** Our stream header. RFC 6120 §4.7 */
export function header(id: string, from: string, to: string | undefined): string {
  return `<?xml version='1.0'?>${openTag("stream:stream", {
    xmlns: ns.client,
    "xmlns:stream": ns.streams,
    id,
    from,
    to,
    version: "1.0",
    "xml:lang": "en",
  })}`;
}
