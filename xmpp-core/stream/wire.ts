import type { Connection, TlsFacts } from "../transport/connection.ts";
import type { Limits, ReaderError, StreamHeader } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Xml } from "../xml/writer.ts";

/** Our half of a stream's opening. RFC 6120 §4.7, RFC 7395 §3.4, XEP-0206 §5 */
export interface Opening {
  readonly id: string;
  readonly from: string;
  readonly to: string | undefined;
}

/**
 * How a client's stream travels: over TCP as one document (RFC 6120), in WebSocket messages (RFC 7395), in the bodies of
 * HTTP requests (XEP-0206). The stream above it knows nothing of that.
 */
export interface Wire extends Pick<Connection, "listener" | "remote" | "local" | "tls" | "open"> {
  readonly kind: "tcp" | "websocket" | "bosh";
  /** Opens our direction; again after `restart` and after TLS. */
  header(opening: Opening): void;
  /** One whole top level element, without namespaces that a TCP stream declares once. */
  write(data: Buffer | string): void;
  /** What may come from the client now on. */
  limits: Limits;
  /** The client opens the stream anew: after SASL. RFC 6120 §4.3.3 */
  restart(): void;
  /** Delivers nothing more until `release`; what comes meanwhile stays with the client, except for what is here already. */
  hold(): void;
  release(): void;
  /** Reads nothing more: an orderly restart is near. */
  pause(): void;
  /** Goes on in TLS. False: the client sent more than it may before, and nothing has happened. RFC 6120 §5.3.4 */
  startTls(certificateName: string): boolean;
  /** Asks, below XMPP, whether a client that has been silent for `everyMs` is still there. */
  keepAlive?(now: number, heardAt: number, everyMs: number): void;
  /** Ends our direction, in an orderly way and perhaps with a stream error, and closes. Nothing is delivered any more. */
  close(error?: Xml): void;
  /** Breaks off without a word. */
  drop(): void;
  /** What the successor needs beside the connection; what was read and not delivered goes back. The wire is of no use afterwards. */
  freeze(): FrozenWire;
}

/** Where an orderly restart finds it again: the gate's number of the connection, 0: none. JSON-able. */
export interface FrozenWire {
  readonly connection: number;
  readonly state: unknown;
}

/** What a stream is told by its wire. Nothing is told after `gone`. */
export interface WireHandler {
  header(header: StreamHeader): void;
  stanza(stanza: Stanza): void;
  /** The client has ended its direction. */
  closed(): void;
  failed(error: ReaderError): void;
  /** Bytes have come; what they hold follows. */
  heard(): void;
  /** What came with the last bytes has been delivered as far as possible. */
  took(bytes: number): void;
  secured(facts: TlsFacts): void;
  /** Bytes in clear were glued to what starts TLS: an attack or a broken client. */
  injected(): void;
  gone(reason: string): void;
}
