import type { X509Certificate } from "node:crypto";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Element } from "ltx";
import { boshStream } from "./bosh.ts";
import { type StrictReader, strictReader } from "./strict-reader.ts";
import { webSocketStream } from "./websocket.ts";

/** How long a test waits for one stanza before it fails with the transcript; where whole programs have to move first, longer. */
export const patienceMs = Number(process.env.FIREKEEPER_TEST_PATIENCE_MS ?? 10_000);

export type Matcher = (stanza: Element) => boolean;

/** How the connection ended: `fin` and `reset` as TCP saw it; `streamEnded` says whether `</stream:stream>` came first. */
export type Ending = { by: "fin" | "reset" | "us"; streamEnded: boolean };

/** `via` is a port for browsers, with TLS unless `tls` is "none". */
export type Reach = {
  host: string;
  port: number;
  from?: string | undefined;
  via?: "websocket" | "bosh" | undefined;
  tls?: "starttls" | "direct" | "none" | undefined;
  headers?: Record<string, string> | undefined;
};

type Waiter = { what: string; matches: Matcher; resolve(stanza: Element): void; reject(error: Error): void };

/**
 * One TCP connection that speaks XML streams: bytes out as given, stanzas in through a strict reader, and a transcript of both.
 * It never answers by itself.
 */
export class XmppConnection {
  /** Stanzas that arrived and that nobody has taken by `next`. */
  readonly inbox: Element[] = [];
  /** Set once TLS stands, also for self-signed certificates. */
  certificate: X509Certificate | undefined;
  /** Called with each stanza as it arrives; false keeps it from `next`. */
  onStanza: (stanza: Element) => boolean = () => true;
  /** The latest stream header of the server. */
  header: Element | undefined;
  /** Resolves when the connection is gone. */
  readonly ended: Promise<Ending>;
  #socket: Socket | TLSSocket;
  #reader: StrictReader;
  #readers = 0;
  #lines: string[] = [];
  #waiters = new Set<Waiter>();
  #failure: Error | undefined;
  #streamEnded = false;
  #by: Ending["by"] = "fin";
  #settleEnded: (ending: Ending) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#reader = this.#newReader();
    this.ended = new Promise((resolve) => {
      this.#settleEnded = resolve;
    });
    this.#attach(socket);
  }

  /** Opens the TCP connection; nothing is sent yet. `from` is the local address, for tests of per-address limits. */
  static async open(to: Reach): Promise<XmppConnection> {
    if (to.via === "websocket") return new XmppConnection(await webSocketStream({ ...to, plain: to.tls === "none" }));
    if (to.via === "bosh") return new XmppConnection(await boshStream({ ...to, plain: to.tls === "none" }));
    const socket = connectTcp({ host: to.host, port: to.port, noDelay: true, localAddress: to.from });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    socket.removeAllListeners("error");
    return new XmppConnection(socket);
  }

  /** The TLS socket, once there is one. */
  get tls(): TLSSocket | undefined {
    return "getPeerX509Certificate" in this.#socket ? this.#socket : undefined;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  /** Starts TLS on this connection; any certificate is accepted and kept in `certificate`. */
  async secure(options: {
    serverName: string;
    alpn?: string[] | undefined;
    maxVersion?: "TLSv1.2" | undefined;
  }): Promise<void> {
    const raw = this.#socket;
    raw.removeAllListeners();
    const secured = connectTls({
      socket: raw,
      rejectUnauthorized: false,
      ...(isIP(options.serverName) === 0 ? { servername: options.serverName } : {}),
      ...(options.alpn === undefined ? {} : { ALPNProtocols: options.alpn }),
      ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
    });
    this.#socket = secured;
    this.#reader.discard();
    try {
      await new Promise<void>((resolve, reject) => {
        secured.once("secureConnect", resolve);
        secured.once("error", reject);
        secured.once("close", () =>
          reject(new Error(`connection closed during the TLS handshake\n${this.transcript()}`)),
        );
      });
    } catch (error) {
      secured.destroy();
      this.#closed();
      throw error;
    }
    secured.removeAllListeners("close").removeAllListeners("error");
    // Once only: Node 20 gives it away with the first call and has none for the second.
    this.certificate = secured.getPeerX509Certificate();
    this.#note("==", `${secured.getProtocol()} ${secured.getCipher().name} alpn=${secured.alpnProtocol || "none"}`);
    this.#attach(secured);
  }

  /** Sends a stream header and returns the server's. The reader starts afresh. `identity`: who the client says it is. */
  async openStream(domain: string, identity?: string): Promise<Element> {
    this.#reader.discard();
    this.#reader = this.#newReader();
    this.send(
      `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'${identity === undefined ? "" : ` from='${identity}'`} version='1.0'>`,
    );
    return this.next((element) => element === this.header, "the server's stream header");
  }

  /** Sends text or bytes exactly as they are. */
  send(data: string | Uint8Array): void {
    this.#note(">>", typeof data === "string" ? data : Buffer.from(data).toString("latin1"));
    if (this.#socket.writable) this.#socket.write(data);
  }

  /** Takes the first stanza that matches out of the inbox, or waits for it; fails with the transcript. */
  next(matches: Matcher, what: string): Promise<Element> {
    const at = this.inbox.findIndex(matches);
    const found = this.inbox[at];
    if (found !== undefined) {
      this.inbox.splice(at, 1);
      return Promise.resolve(found);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#explain(`${what}: ${this.#failure.message}`));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => waiter.reject(this.#explain(`no ${what} within ${patienceMs} ms`)), patienceMs);
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = {
        what,
        matches,
        resolve(stanza) {
          settle();
          resolve(stanza);
        },
        reject(error) {
          settle();
          reject(error);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /** Stops reading, so that the server's writes pile up; `unpause` goes on. */
  pause(): void {
    this.#socket.pause();
  }

  unpause(): void {
    this.#socket.resume();
  }

  /** Ends the connection with a TCP reset: what a cut cable or a killed client looks like. */
  drop(): void {
    this.#by = "us";
    const raw = this.#socket as Socket & { _parent?: Socket };
    (raw._parent ?? raw).resetAndDestroy();
    this.#socket.destroy();
  }

  /** Closes the TCP connection in order, without a word on the stream. */
  end(): void {
    this.#by = "us";
    this.#socket.end();
  }

  /** The conversation so far, newest last; long lines and very long conversations are cut. */
  transcript(): string {
    return this.#lines.join("\n");
  }

  #attach(socket: Socket): void {
    socket.on("data", (bytes: Buffer) => {
      this.#note("<<", bytes.toString("utf8"));
      this.#reader.write(bytes);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNRESET" && this.#by !== "us") this.#by = "reset";
      this.#note("!!", error.message);
    });
    socket.on("close", () => this.#closed());
  }

  #newReader(): StrictReader {
    const current = ++this.#readers;
    return strictReader({
      open: (header) => {
        this.header = header;
        this.#deliver(header);
      },
      stanza: (stanza) => {
        if (current !== this.#readers) return;
        if (this.onStanza(stanza)) this.#deliver(stanza);
      },
      end: () => {
        this.#streamEnded = true;
        if (this.#by === "us") return;
        this.send("</stream:stream>");
        this.#socket.end();
      },
      malformed: (reason) => this.#fail(new Error(`the server sent malformed XML: ${reason}`)),
    });
  }

  #deliver(stanza: Element): void {
    const waiter = [...this.#waiters].find((candidate) => candidate.matches(stanza));
    if (waiter === undefined) this.inbox.push(stanza);
    else waiter.resolve(stanza);
  }

  #closed(): void {
    this.#fail(
      new Error(`the connection is closed (${this.#by}${this.#streamEnded ? ", after </stream:stream>" : ""})`),
    );
    this.#settleEnded({ by: this.#by, streamEnded: this.#streamEnded });
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#note("!!", error.message);
    for (const waiter of this.#waiters) waiter.reject(this.#explain(`${waiter.what}: ${error.message}`));
  }

  #explain(message: string): Error {
    return new Error(`${message}\n--- transcript ---\n${this.transcript()}`);
  }

  #note(direction: string, text: string): void {
    this.#lines.push(
      `${direction} ${text.length > 2000 ? `${text.slice(0, 2000)}… (${text.length} characters)` : text}`,
    );
    if (this.#lines.length > 400) this.#lines.splice(0, 100, "… (earlier lines left out)");
  }
}
