import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Failure, FrameLink, frame, frameVersion, type Hello, type Opened, type Request } from "../frames.ts";
import { Client, type ClientEvents, hold } from "./client.ts";
import { Entrance, openFileLimit } from "./entrance.ts";
import { type Listener, Listeners } from "./listeners.ts";
import { relay } from "./relay.ts";
import type { Report } from "./report.ts";
import { Requests } from "./requests.ts";
import type { SecureContexts } from "./secure-contexts.ts";

export interface GateOptions {
  readonly report: Report;
  /** From accept, or start TLS, until the gate knows what the client speaks and TLS is done; 30 s unless given. */
  readonly handshakeMs?: number;
  /** How long a close may take until the peer has read and closed too; 10 s unless given. */
  readonly lingerMs?: number;
  /** How long connections wait for a successor of the core that handed them over; 60 s unless given. */
  readonly handoverMs?: number;
  /** Descriptors this process may open; read from the system unless given. */
  readonly openFiles?: number;
  /** Called when the core is ready, and when its link has ended: after it handed over, or without. */
  /** Loads the program of the core's successor; the handover goes the faster. */
  readonly prepareSuccessor?: () => Promise<void>;
  readonly coreReady?: () => void;
  readonly coreGone?: (handedOver: boolean) => void;
}

/** Where the core stands. */
type Core =
  | { readonly at: "absent" }
  | { readonly at: "greeting" | "booting" | "ready" | "quiesced" | "handed"; readonly link: FrameLink };

/** Clients are not read while the core lags by more than this. */
const backlogBytes = 4 * 1024 * 1024;

/** The gate without its process: listeners, clients and the link to a core, which may come and go. */
export class Gate implements ClientEvents {
  readonly #options: GateOptions;
  readonly #report: Report;
  readonly #listeners: Listeners;
  readonly #requests: Requests;
  readonly #clients = new Map<number, Client>();
  readonly #deadlines = new Map<Client, number>();
  readonly #entrance: Entrance;
  readonly #sweep: NodeJS.Timeout;
  #core: Core = { at: "absent" };
  #waiting = new Set<Client>();
  #touched: Client[] = [];
  #taken = new Set<Client>();
  #lagging = new Set<Client>();
  #lastNumber = 0;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#report = options.report;
    const handshakeMs = options.handshakeMs ?? 30_000;
    this.#entrance = new Entrance(options.openFiles ?? openFileLimit(), options.report, handshakeMs);
    this.#listeners = new Listeners(
      (socket, listener) => this.#accept(socket, listener),
      () => performance.now(),
    );
    this.#requests = new Requests(this.#listeners, options.prepareSuccessor);
    this.#sweep = setInterval(() => this.#expire(), Math.min(1000, handshakeMs / 4));
    this.#sweep.unref();
  }

  /** Takes a core's link; one that stands keeps its place and the newcomer is refused. */
  attach(stream: Duplex): void {
    const busy = this.#core.at !== "absent";
    const link: FrameLink = new FrameLink(stream, {
      frame: (type, number, payload) => {
        if (this.#link === link) this.#frame(type, number, payload, link);
      },
      turn: () => this.#flushClients(),
      flushing: () => this.#reportTaken(link),
      drained: () => this.#caughtUp(),
      ended: (error) => {
        if (this.#link === link) this.#coreGone(error);
      },
    });
    if (busy) {
      this.#refuseCore(
        link,
        "gate/core-connected",
        "A core is connected to this gate already.",
        "Stop that one first.",
      );
      return;
    }
    this.#core = { at: "greeting", link };
  }

  /** Asks the core to stop in order; false if there is none to ask. */
  askStop(): boolean {
    return this.#tell(frame.stop);
  }

  askReload(): boolean {
    return this.#tell(frame.reload);
  }

  stopAccepting(): void {
    this.#listeners.closeAll();
  }

  /** Drops every connection without a byte. */
  dropAll(reason: string): void {
    for (const client of [...this.#clients.values()]) client.drop(reason);
  }

  /** Drops those that wait for a successor. */
  close(): void {
    clearInterval(this.#sweep);
    this.#listeners.closeAll();
    this.#entrance.close();
    this.dropAll("stopped");
    if (this.#core.at !== "absent") this.#core.link.end();
  }

  get connections(): number {
    return this.#clients.size;
  }

  contexts(): SecureContexts | undefined {
    return this.#requests.contexts;
  }

  arrived(client: Client): void {
    if (this.#core.at === "ready") this.#announce(client, this.#core.link);
    else this.#waiting.add(client);
  }

  bytes(client: Client, chunk: Buffer): void {
    const link = this.#link;
    if (link === undefined) return;
    link.writer.bytes(client.number, client.epoch, chunk);
    link.schedule();
    if (link.backlog > backlogBytes) {
      client.hold(hold.link);
      this.#lagging.add(client);
    }
  }

  secured(client: Client): void {
    const { at } = this.#core;
    if (at !== "absent") this.#deadlines.delete(client);
    // A core that has quiesced is told nothing more, one that only greets nothing yet; opened has the facts.
    if (at === "ready" || at === "booting") this.#send(frame.secured, client.number, JSON.stringify(client.tls));
    client.flow();
    client.flush();
  }

  taken(client: Client): void {
    this.#taken.add(client);
    this.#link?.schedule();
  }

  ended(client: Client): void {
    this.#send(frame.ended, client.number);
  }

  closed(client: Client, reason: string): void {
    this.#clients.delete(client.number);
    this.#deadlines.delete(client);
    this.#waiting.delete(client);
    this.#taken.delete(client);
    this.#lagging.delete(client);
    client.listener.admission.leave(client.remote.address);
    if (client.announced) this.#send(frame.closed, client.number, reason);
  }

  get #link(): FrameLink | undefined {
    return this.#core.at === "absent" || this.#core.at === "handed" ? undefined : this.#core.link;
  }

  #tell(type: number): boolean {
    if (this.#link === undefined) return false;
    this.#send(type, 0);
    return true;
  }

  #send(type: number, number: number, payload?: Buffer | string): void {
    const link = this.#link;
    if (link === undefined) return;
    link.writer.frame(type, number, payload);
    link.schedule();
  }

  #accept(socket: Socket, listener: Listener): void {
    const size = () => this.#clients.size;
    this.#entrance.admit(socket, listener, size, (ends) => {
      this.#lastNumber = (this.#lastNumber % 0xffff_ffff) + 1;
      const client = new Client(this.#lastNumber, socket, listener, ends, this);
      this.#clients.set(client.number, client);
      this.#deadline(client, this.#options.handshakeMs ?? 30_000);
    });
  }

  #deadline(client: Client, ms: number): void {
    this.#deadlines.set(client, performance.now() + ms);
  }

  #expire(): void {
    const now = performance.now();
    for (const [client, at] of this.#deadlines) if (at <= now) client.drop("timeout");
  }

  #announce(client: Client, link: FrameLink): void {
    const adopted = client.announced;
    client.announced = true;
    client.recount();
    const { listener, remote, local, epoch, tls, unsent } = client;
    const opened: Opened = { listener: listener.spec.name, remote, local, epoch, adopted, unsent, ...(tls && { tls }) };
    link.writer.json(frame.opened, client.number, opened);
    link.schedule();
    if (!adopted) this.#begin(client);
  }

  /** Lets the core have what waited, then reads on. */
  #begin(client: Client): void {
    if (client.state !== "securing") this.#deadlines.delete(client);
    for (const chunk of client.returned.splice(0)) this.bytes(client, chunk);
    if (client.ended) this.#send(frame.ended, client.number);
    if (client.state === "arrived") client.flow();
    client.release(hold.handover | hold.core | hold.join);
  }

  #frame(type: number, number: number, payload: Buffer, link: FrameLink): void {
    if (number === 0) this.#gateFrame(type, payload, link);
    else {
      const client = this.#clients.get(number);
      // It has ended here while the core was still writing to it.
      if (client !== undefined) this.#clientFrame(type, client, payload);
    }
  }

  #clientFrame(type: number, client: Client, payload: Buffer): void {
    switch (type) {
      case frame.write:
        if (client.queue(payload)) this.#touched.push(client);
        break;
      case frame.startTls:
        this.#deadline(client, this.#options.handshakeMs ?? 30_000);
        client.startTls(payload.toString());
        break;
      case frame.pause:
        client.hold(hold.core);
        break;
      case frame.resume:
        client.release(hold.core);
        break;
      case frame.close:
        this.#deadline(client, this.#options.lingerMs ?? 10_000);
        client.close();
        break;
      case frame.drop:
        client.drop("dropped");
        break;
      case frame.giveBack:
        client.returned.push(payload);
        break;
      case frame.hold:
        client.hold(hold.join);
        this.#send(frame.held, client.number);
        break;
      case frame.join:
        this.#join(client, this.#clients.get(payload.readUInt32BE(0)));
        break;
    }
  }

  #join(first: Client, other: Client | undefined): void {
    if (other === undefined || first.state !== "flowing" || other.state !== "flowing") {
      const gone = { other: other?.number ?? 0, forth: 0, back: 0, reason: "closed" };
      this.#send(frame.joined, first.number, JSON.stringify(gone));
      first.drop("closed");
      other?.drop("closed");
      return;
    }
    first.flush();
    other.flush();
    relay(first, other, (joined) => this.#send(frame.joined, first.number, JSON.stringify(joined)));
  }

  #gateFrame(type: number, payload: Buffer, link: FrameLink): void {
    switch (type) {
      case frame.hello:
        this.#greet(JSON.parse(payload.toString()) as Hello, link);
        break;
      case frame.request:
        void this.#request(JSON.parse(payload.toString()) as Request, link);
        break;
      case frame.ready:
        this.#ready(link);
        break;
      case frame.handover:
        for (const client of this.#clients.values()) if (client.state !== "joined") client.hold(hold.handover);
        // In order behind every byte already read.
        this.#send(frame.quiesced, 0);
        this.#core = { at: "quiesced", link };
        break;
      case frame.handed:
        this.#handed(link);
        break;
    }
  }

  #greet(hello: Hello, link: FrameLink): void {
    if (hello.version !== frameVersion) {
      const message = `The running gate speaks frames ${frameVersion}, this core ${hello.version}.`;
      this.#refuseCore(link, "gate/version", message, "Stop the gate, or the agent, and start it again.");
      this.#core = { at: "absent" };
      return;
    }
    this.#core = { at: "booting", link };
    this.#requests.begin();
    link.writer.json(frame.hello, 0, { version: frameVersion, pid: process.pid } satisfies Hello);
    for (const client of this.#clients.values()) {
      if (client.announced && client.state !== "joined" && client.state !== "closing") this.#announce(client, link);
    }
    link.writer.frame(frame.welcomed, 0);
    link.schedule();
  }

  #refuseCore(link: FrameLink, code: string, message: string, hint: string): void {
    const failure: Failure = { code, message, fields: {}, hint };
    link.writer.json(frame.hello, 0, { version: frameVersion, pid: process.pid, failure } satisfies Hello);
    link.end();
  }

  async #request(request: Request, link: FrameLink): Promise<void> {
    const answer = await this.#requests.answer(request);
    if (this.#link === link) this.#send(frame.answer, 0, JSON.stringify(answer));
  }

  #ready(link: FrameLink): void {
    this.#core = { at: "ready", link };
    this.#requests.closeUnasked();
    for (const client of this.#clients.values()) if (client.announced && client.state !== "joined") this.#begin(client);
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const client of waiting) this.#announce(client, link);
    this.#report("info", "core-ready", { connections: this.#clients.size });
    this.#options.coreReady?.();
  }

  #handed(link: FrameLink): void {
    this.#flushClients();
    this.#core = { at: "handed", link };
    for (const client of this.#clients.values()) {
      if (client.announced && client.state !== "joined") this.#deadline(client, this.#options.handoverMs ?? 60_000);
    }
    this.#report("info", "core-handed-over", { connections: this.#clients.size });
    link.end();
    // What is still in the link was sent after handed and has no owner.
    this.#core = { at: "absent" };
    this.#lagging.clear();
    this.#options.coreGone?.(true);
  }

  #coreGone(error: Error | undefined): void {
    const { at } = this.#core;
    this.#core = { at: "absent" };
    this.#touched = [];
    this.#lagging.clear();
    this.#listeners.cancel().catch((failure: unknown) => {
      this.#report("error", "listener-not-restored", { error: String(failure) });
    });
    this.#report("warn", "core-gone", { at, ...(error && { error: error.message }) });
    // A core that never got ready has touched no connection it was to adopt: those wait for the next.
    if (at === "ready" || at === "quiesced") {
      for (const client of [...this.#clients.values()]) {
        if (client.announced && client.state !== "joined") client.drop("core-gone");
      }
    }
    this.#options.coreGone?.(false);
  }

  #flushClients(): void {
    const touched = this.#touched;
    if (touched.length === 0) return;
    this.#touched = [];
    for (const client of touched) client.flush();
  }

  #reportTaken(link: FrameLink): void {
    if (this.#taken.size === 0) return;
    for (const client of this.#taken) {
      if (client.announced) link.writer.u32(frame.drained, client.number, client.reportTaken());
    }
    this.#taken.clear();
  }

  #caughtUp(): void {
    const lagging = this.#lagging;
    this.#lagging = new Set();
    for (const client of lagging) client.release(hold.link);
  }
}
