import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock.ts";
import { ns } from "../formats/namespaces.ts";
import { type StreamErrorCondition, streamError, streamErrorElement } from "../formats/stream-error.ts";
import type { Report } from "../report.ts";
import type { Link } from "../routing/handlers.ts";
import { Outbound } from "../routing/outbound.ts";
import type { Storage, Ticket } from "../storage/storage.ts";
import type { Connection, ConnectionHandler, TlsFacts } from "../transport/connection.ts";
import { parseStanza } from "../xml/document.ts";
import { limitsAfterLogin, limitsBeforeLogin, type StreamHeader, type XmlReader, xmlReader } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import { openTag, serialise, type Xml } from "../xml/writer.ts";

/** Why a stream ends. */
export interface Refusal {
  readonly condition: StreamErrorCondition;
  readonly text: string;
}

/** Who a stream says it is. */
export interface Claim {
  readonly label: string;
  /** The name of the domain that it gave, or the current one. */
  readonly view: string;
}

/** What a component's stream asks the module that it belongs to. */
export interface ComponentOwner {
  /** Reads `to` of the header. */
  claim(connection: Connection, to: string | undefined): Claim | Refusal;
  /** Judges the handshake; may take its time, so that guessing does not pay. */
  judge(claim: Claim, connection: Connection, fits: (secret: string) => boolean): Promise<Refusal | undefined>;
  /** The component is who it says; refused if another one is that already. */
  join(stream: ComponentStream, claim: Claim): Refusal | undefined;
  /** It has heard so. */
  joined(stream: ComponentStream): void;
  /** A stanza of the component; a promise means: take nothing more until it is settled. */
  stanza(stream: ComponentStream, stanza: Stanza): Promise<void> | undefined;
  gone(stream: ComponentStream): void;
}

export interface ComponentParts {
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly storage: Storage;
  readonly stanzaBytes: () => number;
}

/**
 * Where a component's stream stands. XEP-0114 §3:
 *
 *   opened ──header──▶ greeted ──handshake──▶ judging ──right──▶ joined
 */
type State =
  | { readonly at: "opened" }
  | { readonly at: "greeted"; readonly claim: Claim; readonly id: string }
  | { readonly at: "judging" }
  | { readonly at: "joined"; readonly claim: Claim }
  | { readonly at: "closed" };

/** The stream of an external component. XEP-0114 */
export class ComponentStream implements ConnectionHandler, Link {
  readonly connection: Connection;
  readonly openedAt: number;
  /** When the component last sent anything, ms. */
  heardAt: number;
  pinged = false;
  /** The name of the domain under which the component sees the service. */
  view = "";
  readonly #parts: ComponentParts;
  readonly #owner: ComponentOwner;
  readonly #reader: XmlReader;
  readonly #outbound: Outbound;
  #release: (() => void) | undefined;
  #state: State = { at: "opened" };
  #headerSent = false;

  constructor(parts: ComponentParts, connection: Connection, owner: ComponentOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.connection = connection;
    this.openedAt = parts.clock.now();
    this.heardAt = this.openedAt;
    this.#outbound = new Outbound(
      () => parts.storage.committed,
      () => this.#wait(),
      () => undefined, // no restart stores it
    );
    this.#outbound.attach(connection);
    this.#reader = xmlReader(
      {
        header: (found) => this.#header(found),
        stanza: (stanza) => this.#element(stanza),
        closed: () => this.#closedByPeer(),
        failed: (error) => this.end(error.condition, error.text),
      },
      limitsBeforeLogin,
    );
  }

  get joined(): boolean {
    return this.#state.at === "joined";
  }

  send(stanza: Xml | Buffer, after: Ticket): void {
    if (this.#state.at === "joined") this.#outbound.stanza(stanza, after);
  }

  /** What waits for a commit goes out in its order. */
  #wait(): void {
    this.#release ??= this.#parts.storage.onCommitted((ticket) => {
      if (this.#outbound.release(ticket)) return;
      this.#release?.();
      this.#release = undefined;
    });
  }

  bytes(chunk: Buffer): void {
    if (this.#state.at === "closed") return;
    this.heardAt = this.#parts.clock.now();
    this.pinged = false;
    this.#reader.push(chunk);
    if (this.#state.at === "joined" && this.#parts.storage.congested) this.#stall(relief(this.#parts.storage));
  }

  secured(_facts: TlsFacts): void {}

  drained(): void {}

  closed(_reason: string): void {
    this.#finish();
  }

  #finish(): void {
    if (this.#state.at === "closed") return;
    this.#state = { at: "closed" };
    this.#reader.stop();
    this.#release?.();
    this.#owner.gone(this);
  }

  /** Ends the stream with an error. RFC 6120 §4.9 */
  end(condition: StreamErrorCondition, text: string): void {
    if (this.#state.at === "closed") return;
    if (!this.#headerSent) this.#writeHeader(this.#parts.random(12).toString("base64url"), undefined);
    this.#parts.report.streamFailed({ remote: this.connection.remote.address, condition, text });
    this.connection.write(`${streamErrorElement(streamError(condition, { text }))}</stream:stream>`);
    this.#finish();
    this.connection.close();
  }

  #closedByPeer(): void {
    if (this.#state.at === "closed") return;
    this.connection.write("</stream:stream>");
    this.#finish();
    this.connection.close();
  }

  /** Takes nothing more until the work is done. */
  #stall(work: Promise<unknown>): void {
    this.#reader.stop();
    this.connection.pause();
    const go = (): void => {
      if (this.#state.at === "closed") return;
      this.connection.resume();
      this.#reader.go();
    };
    void work.then(go, (error: unknown) => {
      this.#parts.report.wrong({ what: "the stream of a component failed by our own fault", error });
      this.end("internal-server-error", "The server failed.");
    });
  }

  #writeHeader(id: string, from: string | undefined): void {
    this.#headerSent = true;
    const attributes = { xmlns: ns.component, "xmlns:stream": ns.streams, id, from };
    this.connection.write(`<?xml version='1.0'?>${openTag("stream:stream", attributes)}`);
  }

  #header(found: StreamHeader): void {
    if (found.name !== "stream" || found.ns !== ns.streams)
      return this.end("invalid-namespace", `A stream opens with <stream:stream xmlns:stream='${ns.streams}'>.`);
    if (found.contentNs !== ns.component)
      return this.end("invalid-namespace", `The content namespace of this port is ${ns.component}.`);
    const claim = this.#owner.claim(this.connection, found.to);
    if ("condition" in claim) return this.end(claim.condition, claim.text);
    const id = this.#parts.random(18).toString("base64url");
    this.#writeHeader(id, found.to);
    this.#state = { at: "greeted", claim, id };
    // What a component writes without a namespace is read as what clients write: only the stream's name differs.
    const { root } = this.#reader.state();
    if (root !== undefined) this.#reader.restore({ root: { ...root, contentNs: ns.client } });
  }

  #element(given: Stanza): void {
    const stanza = given.ns === ns.component ? asOfClient(given) : given;
    switch (this.#state.at) {
      case "greeted":
        return this.#handshake(this.#state.claim, this.#state.id, stanza);
      case "joined": {
        if (stanza.ns !== ns.client || !["message", "presence", "iq"].includes(stanza.name))
          return this.end("unsupported-stanza-type", `<${stanza.name}/> of ${stanza.ns} is not understood here.`);
        const work = this.#owner.stanza(this, stanza);
        if (work !== undefined) this.#stall(work);
        return;
      }
      default:
        return this.end("not-authorized", "The handshake comes first.");
    }
  }

  #handshake(claim: Claim, id: string, stanza: Stanza): void {
    if (stanza.ns !== ns.client || stanza.name !== "handshake")
      return this.end("not-authorized", "The handshake comes first.");
    const given = Buffer.from(stanza.element().getText().trim().toLowerCase());
    this.#state = { at: "judging" };
    const fits = (secret: string): boolean => {
      const right = Buffer.from(
        createHash("sha1")
          .update(id + secret)
          .digest("hex"),
      );
      return given.length === right.length && timingSafeEqual(given, right);
    };
    this.#stall(
      this.#owner.judge(claim, this.connection, fits).then((refused) => {
        if (this.#state.at === "closed") return;
        if (refused !== undefined) return this.end(refused.condition, refused.text);
        this.#reader.limits = { ...limitsAfterLogin, stanzaBytes: this.#parts.stanzaBytes() };
        const conflict = this.#owner.join(this, claim);
        if (conflict !== undefined) return this.end(conflict.condition, conflict.text);
        this.view = claim.view;
        this.#state = { at: "joined", claim };
        this.connection.write("<handshake/>");
        this.#owner.joined(this);
      }),
    );
  }
}

/** The same stanza where it spells the component's namespace out. */
function asOfClient(stanza: Stanza): Stanza {
  const root = stanza.element();
  const waiting = [root];
  for (let element = waiting.pop(); element !== undefined; element = waiting.pop()) {
    if (element.attrs.xmlns === ns.component) element.attrs.xmlns = ns.client;
    waiting.push(...element.getChildElements());
  }
  const limits = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER };
  return parseStanza(serialise(root, ns.client), ns.client, limits);
}

function relief(storage: Storage): Promise<void> {
  return new Promise((resolve) => {
    const stop = storage.onRelief(() => {
      stop();
      resolve();
    });
  });
}
