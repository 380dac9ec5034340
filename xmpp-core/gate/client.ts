import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Opened, Secured } from "../frames.ts";
import type { Listener } from "./listeners.ts";
import type { SecureContexts } from "./secure-contexts.ts";

/** What a client's connection tells the gate. */
export interface ClientEvents {
  /** It has shown what it speaks and may be announced to the core. */
  arrived(client: Client): void;
  bytes(client: Client, chunk: Buffer): void;
  secured(client: Client, tls: Secured): void;
  /** More of what was written has been taken. */
  taken(client: Client): void;
  ended(client: Client): void;
  closed(client: Client, reason: string): void;
  contexts(): SecureContexts | undefined;
}

/** Who keeps a client from being read; a client is read when nobody does. */
export const hold = { core: 1, link: 2, handover: 4, join: 8 } as const;

/**
 *  new       nothing read yet
 *  arrived   clear, or TLS done; waits to be announced
 *  flowing   announced, bytes go up
 *  securing  TLS is being negotiated; what the core writes waits
 *  joined    belongs to a relay
 *  closing   FIN is on its way, what the peer still sends is ignored
 */
export type ClientState = "new" | "arrived" | "flowing" | "securing" | "joined" | "closing" | "closed";

const handshakeByte = 0x16;
/** What was taken is reported in steps of this size. */
const reportBytes = 16 * 1024;
const defaultUnsentBytes = 16 * 1024 * 1024;
// RFC 9266 §2
const exporterLabel = "EXPORTER-Channel-Binding";

/** One accepted connection: clear or TLS, read or held, with what waits in either direction. */
export class Client {
  readonly number: number;
  readonly listener: Listener;
  readonly remote: Opened["remote"];
  readonly local: Opened["local"];
  socket: Socket;
  state: ClientState = "new";
  /** The core that is connected now knows it. */
  announced = false;
  ended = false;
  epoch = 0;
  tls: Secured | undefined;
  /** Bytes that go to the next reader before anything else. */
  returned: Buffer[] = [];
  readonly #events: ClientEvents;
  #holds = 0;
  #handshaking = false;
  #giveUpPlace: () => void = () => undefined;
  #reason = "closed";
  #queue: Buffer[] = [];
  #queued = 0;
  #accepted = 0;
  #reported = 0;
  #takenWatch: (() => void) | undefined;

  constructor(
    number: number,
    socket: Socket,
    listener: Listener,
    ends: Pick<Opened, "remote" | "local">,
    events: ClientEvents,
  ) {
    this.number = number;
    this.listener = listener;
    this.remote = ends.remote;
    this.local = ends.local;
    this.socket = socket;
    this.#events = events;
    socket.once("data", (chunk) => this.#first(chunk));
    this.#watch(socket);
  }

  /** Bytes of the core that the peer has not taken. */
  get unsent(): number {
    return this.#queued + this.socket.writableLength;
  }

  /** Bytes taken since {@link recount}, modulo 2^32; reading it counts as reporting it. */
  reportTaken(): number {
    this.#reported = this.#accepted - this.unsent;
    return this.#reported >>> 0;
  }

  /** Starts counting anew for another core, which is told {@link unsent}. */
  recount(): void {
    this.#accepted = this.unsent;
    this.#reported = 0;
  }

  /** Reads on; bytes go to the gate. */
  flow(): void {
    this.state = "flowing";
    this.socket.on("data", (chunk) => this.#events.bytes(this, chunk));
    if (this.#holds === 0) this.socket.resume();
    else this.socket.pause();
  }

  hold(by: number): void {
    this.#holds |= by;
    if (this.state === "flowing") this.socket.pause();
  }

  release(by: number): void {
    this.#holds &= ~by;
    if (this.#holds === 0 && this.state === "flowing") this.socket.resume();
  }

  /** Takes what the core writes; it leaves with {@link flush}. */
  queue(payload: Buffer): boolean {
    if (this.state === "closing" || this.state === "closed" || this.state === "joined") return false;
    this.#accepted += payload.length;
    this.#queued += payload.length;
    return this.#queue.push(payload) === 1;
  }

  flush(): void {
    if (this.#queued === 0 || this.state === "securing" || this.state === "closed") return;
    const data = this.#queue.length === 1 ? (this.#queue[0] as Buffer) : Buffer.concat(this.#queue, this.#queued);
    this.#queue = [];
    this.#queued = 0;
    if (this.#accepted - this.#reported < reportBytes) this.socket.write(data);
    else {
      this.#takenWatch ??= () => {
        if (this.state !== "closed") this.#events.taken(this);
      };
      this.socket.write(data, this.#takenWatch);
      if (this.unsent > (this.listener.spec.limits?.unsentBytes ?? defaultUnsentBytes)) this.drop("slow-reader");
    }
  }

  /** STARTTLS: what is queued leaves in clear, what the peer sent before is not TLS. */
  startTls(certificate: string): void {
    if (this.state !== "flowing" || this.tls !== undefined) {
      this.drop("handshake");
      return;
    }
    this.flush();
    const { socket } = this;
    socket.pause();
    socket.removeAllListeners("data");
    this.state = "securing";
    const begin = () => {
      // Read and not yet passed on, so of the old epoch (RFC 6120 §5.3.4): the core throws it away and says so.
      for (let early = socket.read(); early !== null; early = socket.read()) this.#events.bytes(this, early);
      this.#secure(certificate);
    };
    // A client that sends its hello before <proceed/> would get TLS records in front of clear bytes that still wait here.
    if (socket.writableLength === 0) begin();
    else socket.write(Buffer.alloc(0), begin);
  }

  close(): void {
    if (this.state === "closed" || this.state === "closing") return;
    if (this.state === "securing") {
      this.drop("closed");
      return;
    }
    this.flush();
    this.state = "closing";
    this.socket.removeAllListeners("data");
    this.socket.end();
    this.socket.resume();
  }

  drop(reason: string): void {
    if (this.state === "closed") return;
    this.#reason = reason;
    this.socket.destroy();
    this.#closed();
  }

  #first(chunk: Buffer): void {
    const { spec } = this.listener;
    const isTls = chunk[0] === handshakeByte && spec.tls !== "never";
    this.socket.pause();
    if (isTls) {
      this.socket.unshift(chunk);
      this.state = "securing";
      this.#secure(spec.certificate ?? "");
    } else if (spec.tls === "required") this.drop("not-tls");
    else {
      this.returned.push(chunk);
      this.state = "arrived";
      this.#events.arrived(this);
    }
  }

  #secure(certificate: string): void {
    if (this.state !== "securing") return;
    this.#giveUpPlace = this.listener.admission.handshake(this.remote.address, () => {
      this.#handshaking = true;
      const contexts = this.#events.contexts();
      if (contexts === undefined) this.drop("no-certificate");
      else this.#wrap(contexts, certificate);
    });
  }

  #wrap(contexts: SecureContexts, certificate: string): void {
    const clear = this.socket;
    clear.removeAllListeners("end");
    clear.removeAllListeners("close");
    const chooser = contexts.chooser(certificate);
    const { alpn } = this.listener.spec;
    const secure = new TLSSocket(clear, {
      isServer: true,
      secureContext: contexts.choose(undefined, certificate).context,
      ...(chooser === undefined ? undefined : { SNICallback: chooser }),
      ...(alpn === undefined ? undefined : { ALPNProtocols: [...alpn] }),
    });
    this.socket = secure;
    this.#watch(secure);
    secure.once("_tlsError", () => this.drop("handshake"));
    secure.once("secure", () => {
      this.#handshaken();
      if (this.state !== "securing") return;
      // Typed as present on client sockets only; on a server's it is what the client sent, or false.
      const sni = (secure as unknown as { servername?: string | false }).servername || undefined;
      const { name, endPoint } = contexts.choose(sni, certificate);
      const version = secure.getProtocol() ?? "";
      // The first Finished is the client's in a full handshake, ours in a resumed one (RFC 5929 §3.1).
      const finished = secure.isSessionReused() ? secure.getFinished() : secure.getPeerFinished();
      this.tls = {
        version,
        cipher: secure.getCipher().standardName,
        certificate: name,
        ...(version === "TLSv1.3"
          ? { exporter: secure.exportKeyingMaterial(32, exporterLabel, Buffer.alloc(0)).toString("hex") }
          : undefined),
        ...(finished === undefined ? undefined : { unique: finished.toString("hex") }),
        ...(endPoint === undefined ? undefined : { endPoint }),
        ...(sni === undefined ? undefined : { sni }),
        ...(typeof secure.alpnProtocol === "string" ? { alpn: secure.alpnProtocol } : undefined),
      };
      this.epoch = 1;
      if (this.announced) this.#events.secured(this, this.tls);
      else {
        this.state = "arrived";
        this.#events.arrived(this);
      }
    });
  }

  #watch(socket: Socket): void {
    socket.once("end", () => {
      this.ended = true;
      if (this.state === "flowing") this.#events.ended(this);
      else if (this.state !== "closing" && this.state !== "joined") this.drop("closed");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#reason = this.state === "securing" ? "handshake" : error.code === "ECONNRESET" ? "reset" : "lost";
    });
    socket.once("close", () => this.#closed());
  }

  #handshaken(): void {
    if (!this.#handshaking) return;
    this.#handshaking = false;
    this.listener.admission.handshaken(this.remote.address);
  }

  #closed(): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#giveUpPlace();
    this.#handshaken();
    this.#events.closed(this, this.#reason);
  }
}
