import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import type { Connection, ConnectionHandler, TlsFacts } from "../transport/connection.ts";
import {
  type CloseCode,
  closeCodes,
  textHead,
  type WebSocketHandler,
  WebSocketReader,
  wholeClose,
  wholePing,
  wholePong,
} from "../transport/websocket.ts";
import { parseStanza } from "../xml/document.ts";
import { XmlFault } from "../xml/fault.ts";
import { type Limits, limitsBeforeLogin } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { type Visitor, visitorTls } from "./visitor.ts";
import type { FrozenWire, Opening, Wire, WireHandler } from "./wire.ts";

/** What a successor needs of a stream in WebSocket messages. */
export const frozenWebSocket = z.object({
  fragments: z.array(z.string()),
  visitor: z.object({ address: z.string(), secure: z.boolean(), proxied: z.boolean() }),
});
export type FrozenWebSocket = z.infer<typeof frozenWebSocket>;

export interface WebSocketOptions {
  readonly connection: Connection;
  readonly visitor: Visitor;
  /** Whether the client may bind its login to TLS. */
  readonly binds: () => boolean;
}

/** A stream in WebSocket messages, one element each. RFC 7395 */
export class WebSocketWire implements Wire, ConnectionHandler, WebSocketHandler {
  readonly kind = "websocket";
  readonly remote: Connection["remote"];
  readonly #connection: Connection;
  readonly #visitor: Visitor;
  readonly #binds: () => boolean;
  readonly #handler: WireHandler;
  readonly #reader: WebSocketReader;
  #limits = limitsBeforeLogin;
  #opened = false;
  #held = false;
  #ended = false;
  #closeCode: CloseCode = closeCodes.done;
  #pingedAt = 0;

  constructor({ connection, visitor, binds }: WebSocketOptions, handler: WireHandler) {
    this.#connection = connection;
    this.#visitor = visitor;
    this.#binds = binds;
    this.#handler = handler;
    this.remote = { address: visitor.address, port: connection.remote.port };
    this.#reader = new WebSocketReader(this, limitsBeforeLogin.stanzaBytes);
  }

  get listener(): string {
    return this.#connection.listener;
  }

  get local(): Connection["local"] {
    return this.#connection.local;
  }

  get tls(): TlsFacts | undefined {
    return visitorTls(this.#visitor, this.#connection.tls, this.#binds());
  }

  get open(): boolean {
    return this.#connection.open;
  }

  get limits(): Limits {
    return this.#limits;
  }

  set limits(limits: Limits) {
    this.#limits = limits;
    this.#reader.limit = limits.stanzaBytes;
  }

  /** Begins to read: what has come already is delivered in this call. */
  start(): void {
    this.#connection.receive(this);
    this.#connection.resume();
  }

  header({ id, from, to }: Opening): void {
    this.write(x("open", { xmlns: ns.framing, from, to, id, version: "1.0", "xml:lang": "en" }));
  }

  write(data: Buffer | string): void {
    const missing = missingNamespace(data);
    const { at: cut, text } = missing;
    if (typeof data === "string") {
      const whole = cut === 0 ? data : `${data.slice(0, cut)}${text}${data.slice(cut)}`;
      this.#connection.write(textHead(Buffer.byteLength(whole), 0).head);
      this.#connection.write(whole);
      return;
    }
    const { head, at } = textHead(data.length + text.length, cut + text.length);
    data.copy(head, at, 0, cut);
    head.write(text, at + cut, "latin1");
    this.#connection.write(head);
    this.#connection.write(cut === 0 ? data : data.subarray(cut));
  }

  restart(): void {
    this.#opened = false;
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

  /** A browser has TLS before the WebSocket, or not at all. */
  startTls(): boolean {
    return false;
  }

  /** Pings a client that has said nothing for `everyMs`, and again each time it has not by then. */
  keepAlive(now: number, heardAt: number, everyMs: number): void {
    if (now - Math.max(heardAt, this.#pingedAt) < everyMs) return;
    this.#pingedAt = now;
    this.#connection.write(wholePing);
  }

  close(error?: Xml): void {
    if (error !== undefined) this.write(error);
    this.write(x("close", { xmlns: ns.framing }));
    this.#leave();
  }

  #leave(): void {
    this.#stop();
    this.#connection.write(wholeClose(this.#closeCode));
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
    const state: FrozenWebSocket = { fragments: [...this.#reader.state().fragments], visitor: this.#visitor };
    this.#connection.giveBack(this.#reader.remaining());
    return { connection: this.#connection.number, state };
  }

  /** Puts it where the predecessor's was; then `start`. */
  thaw(state: Pick<FrozenWebSocket, "fragments">): void {
    this.#reader.restore(state);
    this.#opened = true;
  }

  // ------------------------------------------------------------ messages

  message(text: Buffer): void {
    let element: Stanza;
    try {
      element = parseStanza(text, ns.client, this.#limits);
    } catch (error) {
      if (error instanceof XmlFault) return this.#handler.failed({ condition: error.condition, text: error.text });
      throw error;
    }
    if (element.ns !== ns.framing) {
      if (this.#opened) this.#handler.stanza(element);
      else this.#handler.failed({ condition: "bad-format", text: "A stream begins with <open/>." });
      return;
    }
    if (element.name === "close") return this.#handler.closed();
    if (element.name !== "open" || this.#opened)
      return this.#handler.failed({ condition: "bad-format", text: "Not the time for this element." });
    this.#opened = true;
    const { to, from, id, lang } = element;
    const version: unknown = element.element().attrs.version;
    this.#handler.header({
      ...{ name: "stream", ns: ns.streams, contentNs: ns.client },
      ...(to === undefined ? undefined : { to }),
      ...(from === undefined ? undefined : { from }),
      ...(id === undefined ? undefined : { id }),
      ...(lang === undefined ? undefined : { lang }),
      ...(typeof version === "string" ? { version } : undefined),
    });
  }

  ping(payload: Buffer): void {
    this.#connection.write(wholePong(payload));
  }

  pong(): void {}

  /** Without `</close>` before it the stream is broken, not ended: it may be resumed. RFC 7395 §3.6 */
  closing(): void {
    this.#leave();
    this.#handler.gone("websocket closed");
  }

  failed(code: CloseCode, text: string): void {
    this.#closeCode = code;
    const condition = code === closeCodes.encoding ? "unsupported-encoding" : "policy-violation";
    this.#handler.failed({ condition: code === closeCodes.protocol ? "bad-format" : condition, text });
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

  secured(): void {}

  drained(): void {}

  closed(reason: string): void {
    this.#handler.gone(reason);
  }
}

const stanzaNamespace = ` xmlns="${ns.client}"`;
const streamNamespace = ` xmlns:stream="${ns.streams}"`;
/** Where to insert the declaration, and whether it is that of the prefix of streams. */
interface Missing {
  readonly at: number;
  readonly text: string;
  readonly prefix: boolean;
}
const nothingMissing: Missing = { at: 0, text: "", prefix: false };
const missing = {
  message: { at: "<message".length, text: stanzaNamespace, prefix: false },
  presence: { at: "<presence".length, text: stanzaNamespace, prefix: false },
  iq: { at: "<iq".length, text: stanzaNamespace, prefix: false },
  features: { at: "<stream:features".length, text: streamNamespace, prefix: true },
  error: { at: "<stream:error".length, text: streamNamespace, prefix: true },
} as const;

/** What a TCP stream declares once and an element that stands alone has to. RFC 7395 §3.3.3 */
export function missingNamespace(data: Buffer | string): Missing {
  const start = typeof data === "string" ? data.slice(0, 10) : data.toString("latin1", 0, 10);
  // Everything else that streams carry names its namespace itself; those of these three never do.
  if (start.startsWith("<message")) return missing.message;
  if (start.startsWith("<presence")) return missing.presence;
  if (start.startsWith("<iq")) return missing.iq;
  if (start.startsWith("<stream:f")) return missing.features;
  if (start.startsWith("<stream:e")) return missing.error;
  return nothingMissing;
}
