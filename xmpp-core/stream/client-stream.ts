import { ns } from "../formats/namespaces.ts";
import type { StreamErrorCondition } from "../formats/stream-error.ts";
import { streamError, streamErrorElement } from "../formats/stream-error.ts";
import { parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Carrier, Session } from "../routing/session.ts";
import type { Connection, ConnectionHandler, TlsFacts } from "../transport/connection.ts";
import { limitsAfterLogin, limitsBeforeLogin, type StreamHeader, type XmlReader, xmlReader } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { bind } from "./binding.ts";
import { login, mechanismFeatures, offered } from "./login.ts";
import { features, featuresAfterLogin, header, type Negotiation, startTlsFeature } from "./negotiation.ts";
import { type Pace, pace } from "./pace.ts";
import type { StreamParts } from "./parts.ts";
import * as properties from "./properties.ts";
import { refusal } from "./refusal.ts";
import { answerStranger, strangerFeatures } from "./strangers.ts";
import type { StreamManagement } from "./stream-management.ts";
import { viewFor } from "./view.ts";

/** What a stream tells the list of streams that it belongs to. */
export interface StreamOwner {
  readonly management: StreamManagement;
  gone(stream: ClientStream): void;
}

/** A client's stream on one connection: reads, negotiates, and then hands every stanza of its session to the router. */
export class ClientStream implements Carrier, ConnectionHandler {
  readonly connection: Connection;
  readonly openedAt: number;
  /** When the client last sent anything, ms. */
  heardAt: number;
  pinged = false;
  state: Negotiation = { at: "opened" };
  readonly #parts: StreamParts;
  readonly #owner: StreamOwner;
  readonly #pace: Pace;
  #reader: XmlReader;
  #view: string;
  #headerSent = false;
  #stalled = false;
  #ended = false;

  constructor(parts: StreamParts, connection: Connection, owner: StreamOwner) {
    this.#parts = parts;
    this.#owner = owner;
    this.connection = connection;
    this.openedAt = parts.clock.now();
    this.heardAt = this.openedAt;
    this.#view = parts.names.primary.name;
    this.#reader = this.#newReader();
    this.#pace = pace(parts.clock);
  }

  get remote(): { address: string; port: number } {
    return this.connection.remote;
  }

  get tls(): string | undefined {
    const facts = this.connection.tls;
    return facts && `${facts.version} ${facts.cipher}`;
  }

  get session(): Session | undefined {
    return this.state.at === "bound" ? this.state.session : undefined;
  }

  #newReader(): XmlReader {
    return xmlReader(
      {
        header: (found) => this.#header(found),
        stanza: (stanza) => this.#element(stanza),
        closed: () => this.#closedByClient(),
        failed: (error) => this.end(error.condition, error.text),
      },
      limitsBeforeLogin,
    );
  }

  // ------------------------------------------------------------ connection

  bytes(chunk: Buffer): void {
    if (this.#ended) return;
    this.heardAt = this.#parts.clock.now();
    this.pinged = false;
    this.#reader.push(chunk);
    // What comes while the session waits piles up in the reader: let it pile up at the client.
    if (this.#stalled) this.connection.pause();
    else if (this.session !== undefined) this.#slowDown(chunk.length);
  }

  /** Reads more slowly when a client sends more than its share. */
  #slowDown(bytes: number): void {
    const wait = this.#pace.spent(
      bytes,
      this.#parts.properties.get(properties.bytesPerSecond),
      this.#parts.properties.get(properties.stanzasPerSecond),
    );
    if (wait > 0) this.#stall(new Promise<void>((resolve) => this.#parts.clock.after(wait, resolve)));
    else if (this.#parts.storage.congested) this.#stall(relief(this.#parts));
  }

  secured(_facts: TlsFacts): void {
    this.#reader = this.#newReader();
    this.#headerSent = false;
    this.state = { at: "opened" };
  }

  drained(): void {}

  /** Bytes glued behind `<starttls/>`: an attack or a broken client. The gate has thrown them away. */
  injected(): void {
    this.#parts.report.streamFailed({
      remote: this.remote.address,
      condition: "policy-violation",
      text: "bytes behind <starttls/>",
    });
    this.connection.drop();
    this.closed("injected");
  }

  closed(_reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const { session } = this;
    this.state = { at: "closed" };
    this.#owner.gone(this);
    if (session === undefined || session.carrier !== this) return;
    if (session.resumeToken !== undefined) this.#parts.sessions.detach(session);
    else {
      this.#parts.report.sessionEnded({ session: session.address, why: "connection lost" });
      this.#parts.sessions.end(session, "closed");
    }
  }

  // ------------------------------------------------------------ ending

  /** Ends the stream with an error, and its session with it. RFC 6120 §4.9 */
  end(condition: string, text?: string, application?: Xml): void {
    if (this.#ended) return;
    if (!this.#headerSent) this.#writeHeader(undefined);
    const error = streamError(condition as StreamErrorCondition, { text, application });
    this.#parts.report.streamFailed({ remote: this.remote.address, session: this.session?.address, condition, text });
    this.connection.write(`${streamErrorElement(error)}</stream:stream>`);
    this.#finish("ended");
  }

  #finish(why: "closed" | "ended"): void {
    this.#ended = true;
    this.#reader.stop();
    const { session } = this;
    this.state = { at: "closed" };
    this.#owner.gone(this);
    this.connection.close();
    if (session === undefined || session.carrier !== this) return;
    this.#parts.report.sessionEnded({ session: session.address, why });
    this.#parts.sessions.end(session, why);
  }

  /** `</stream:stream>`: the client is done, the session too. XEP-0198 §5 */
  #closedByClient(): void {
    if (this.#ended) return;
    this.connection.write("</stream:stream>");
    this.#finish("closed");
  }

  /** Silent for too long: the connection is given up as if it had broken, so that a managed session may be resumed. */
  lost(): void {
    if (this.#ended) return;
    this.connection.drop();
    this.closed("silent");
  }

  /** Another stream took the session over. */
  displaced(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state = { at: "closed" };
    this.#reader.stop();
    this.connection.write(
      `${streamErrorElement(streamError("conflict", { text: "The session was resumed on another connection." }))}</stream:stream>`,
    );
    this.#owner.gone(this);
    this.connection.close();
  }

  // ------------------------------------------------------------ reading

  /** Takes nothing more from this client until the work is done: its stanzas are handled in their order. RFC 6120 §10.1 */
  #stall(work: Promise<unknown>): void {
    this.#stalled = true;
    this.#reader.stop();
    const go = (): void => {
      if (this.#ended) return;
      this.#stalled = false;
      this.connection.resume();
      // What came meanwhile may have made it wait anew.
      if (!this.#stalled) this.#reader.go();
    };
    void work.then(go, (error: unknown) => {
      this.#parts.report.wrong({ what: "a stream failed by our own fault", error });
      this.end("internal-server-error");
    });
  }

  /** Whether work of this stream is under way that an orderly restart has to wait for. */
  get busy(): boolean {
    return this.#stalled;
  }

  #writeHeader(to: string | undefined): void {
    this.#headerSent = true;
    this.connection.write(header(this.#parts.random(12).toString("base64url"), this.#view, to));
  }

  #header(found: StreamHeader): void {
    if (found.name !== "stream" || found.ns !== ns.streams)
      return this.end("invalid-namespace", `A stream opens with <stream:stream xmlns:stream='${ns.streams}'>.`);
    if (found.contentNs !== ns.client)
      return this.end("invalid-namespace", `The content namespace of this port is ${ns.client}.`);
    if (found.version === undefined || !/^[1-9]\d*\.\d+$/.test(found.version))
      return this.end("unsupported-version", "This server speaks XMPP 1.0.");
    const refused = this.state.at === "authenticated" ? undefined : refusal(this.#parts, this.connection);
    if (refused !== undefined) return this.end(refused.condition, refused.text);
    const seen = viewFor(this.#parts, found.to);
    if ("condition" in seen) return this.end(seen.condition, seen.text);
    const { view } = seen;
    this.#view = view;
    this.#writeHeader(found.from === undefined ? undefined : parseJid(found.from) && found.from);
    if (this.state.at === "authenticated") {
      this.state = { ...this.state, greeted: true };
      const management = this.#parts.properties.get(properties.managementActive);
      this.connection.write(features(featuresAfterLogin(management, this.#parts.streamFeatures())));
      return;
    }
    this.#greet(view);
  }

  #greet(view: string): void {
    const { tls, remote } = this.connection;
    const policy = this.#parts.properties.get(properties.tlsPolicy);
    const mustSecure = tls === undefined && policy === "required";
    const offer = mustSecure ? { mechanisms: [], bindingTypes: [] } : offered(this.#parts, view, tls);
    this.state = {
      at: "greeted",
      view,
      offered: offer,
      login: login(this.#parts, { view, tls, remote: remote.address, offered: offer }),
    };
    const startTls = tls === undefined && policy !== "disabled";
    const secured = tls === undefined ? [] : strangerFeatures(this.#parts);
    this.connection.write(
      features([...(startTls ? [startTlsFeature(mustSecure)] : []), ...mechanismFeatures(offer), ...secured]),
    );
  }

  #element(stanza: Stanza): void {
    const { state } = this;
    switch (state.at) {
      case "greeted":
        return this.#beforeLogin(state, stanza);
      case "authenticated":
        return this.#beforeBind(state, stanza);
      case "bound":
        return this.#bound(state.session, stanza);
      case "opened":
      case "securing":
        return this.end("bad-format", "A stanza before the stream header.");
      case "closed":
        return;
    }
  }

  #beforeLogin(state: Negotiation & { at: "greeted" }, stanza: Stanza): void {
    if (stanza.ns === ns.tls && stanza.name === "starttls") return this.#startTls();
    if (stanza.ns !== ns.sasl || !["auth", "response", "abort"].includes(stanza.name)) {
      const answer = answerStranger(this.#parts, this, state, stanza);
      if (answer === undefined) return this.end("not-authorized", "Log in first.");
      return this.#stall(answer.then((reply) => this.#ended || this.connection.write(reply)));
    }
    const element = stanza.element();
    const mechanism: unknown = element.attrs.mechanism;
    const attempt = {
      name: stanza.name,
      mechanism: typeof mechanism === "string" ? mechanism : undefined,
      text: element.getText().trim(),
    };
    this.#stall(
      state.login.take(attempt).then(({ answer, account, spent, mechanism: used }) => {
        if (this.#ended) return;
        this.connection.write(answer);
        if (account !== undefined) this.#authenticated(state.view, account, used ?? "");
        else if (spent === true) this.end("policy-violation", "Too many failed logins on one stream.");
      }),
    );
  }

  #startTls(): void {
    if (this.connection.tls !== undefined || this.#parts.properties.get(properties.tlsPolicy) === "disabled") {
      this.connection.write(`${x("failure", { xmlns: ns.tls })}</stream:stream>`);
      return this.#finish("closed");
    }
    // RFC 6120 §5.3.4: nothing that came before the handshake counts; a client that sent more is not trusted.
    if (this.#reader.midStanza) return this.injected();
    this.#reader.stop();
    this.state = { at: "securing" };
    this.connection.write(x("proceed", { xmlns: ns.tls }));
    this.connection.startTls(this.#view);
  }

  #authenticated(view: string, account: Account, mechanism: string): void {
    this.#parts.report.loggedIn({
      session: `${account.name}@${view}`,
      remote: this.remote.address,
      mechanism,
      tls: this.tls,
    });
    this.state = { at: "authenticated", view, account, greeted: false };
    this.#reader.limits = { ...limitsAfterLogin, stanzaBytes: this.#parts.properties.get(properties.stanzaBytes) };
    this.#reader.restart();
  }

  #beforeBind(state: Negotiation & { at: "authenticated" }, stanza: Stanza): void {
    if (stanza.ns === ns.streamManagement && stanza.name === "resume") {
      this.#stall(this.#owner.management.resume(this, state.account, stanza));
      return;
    }
    if (stanza.ns === ns.client && stanza.name === "iq" && stanza.type === "set" && stanza.has(ns.bind, "bind")) {
      const answer = bind(this.#parts, state.account, state.view, stanza);
      if ("session" in answer) this.becomes(answer.session);
      this.connection.write(answer.xml);
      if ("session" in answer) for (const handler of this.#parts.sessionHandlers()) handler.opened?.(answer.session);
      return;
    }
    if (stanza.ns === ns.streamManagement) {
      this.connection.write(this.#owner.management.failed("unexpected-request"));
      return;
    }
    this.end("not-authorized", "Bind a resource first.");
  }

  /** This stream carries the session from now on. */
  becomes(session: Session): void {
    this.state = { at: "bound", session };
    session.carrier = this;
    session.detachedAt = undefined;
    if (session.managed) session.outbound.requestEvery = this.#parts.properties.get(properties.requestFrequency);
    session.outbound.attach(this.connection);
  }

  #bound(session: Session, stanza: Stanza): void {
    this.#pace.stanza();
    if (stanza.ns === ns.streamManagement) return this.#owner.management.take(this, session, stanza);
    if (stanza.ns !== ns.client || (stanza.name !== "message" && stanza.name !== "presence" && stanza.name !== "iq"))
      return this.end("unsupported-stanza-type", `<${stanza.name}/> of ${stanza.ns} is not understood here.`);
    if (session.managed) session.handled++;
    const work = this.#parts.router.receive(session, stanza);
    if (work === undefined) {
      if (session.managed) this.#owner.management.handled(session);
      return;
    }
    this.#stall(session.managed ? work.then(() => this.#owner.management.handled(session)) : work);
  }

  // ------------------------------------------------------------ orderly restart

  /** What the successor needs to go on with this stream; what was read and not used goes back to the gate. */
  freeze(): string {
    this.#reader.stop();
    const stream = JSON.stringify({ view: this.#view, reader: this.#reader.state() });
    this.connection.giveBack(this.#reader.remaining());
    return stream;
  }

  /** Goes on with a session whose predecessor process froze it. */
  thaw(stored: { view: string; reader: Parameters<XmlReader["restore"]>[0] }, session: Session): void {
    this.#view = stored.view;
    this.#headerSent = true;
    this.#reader.limits = { ...limitsAfterLogin, stanzaBytes: this.#parts.properties.get(properties.stanzaBytes) };
    this.#reader.restore(stored.reader);
    this.becomes(session);
  }
}

function relief(parts: StreamParts): Promise<void> {
  return new Promise((resolve) => {
    const stop = parts.storage.onRelief(() => {
      stop();
      resolve();
    });
  });
}
