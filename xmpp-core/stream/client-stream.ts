import { ns } from "../formats/namespaces.ts";
import type { StreamErrorCondition } from "../formats/stream-error.ts";
import { streamError, streamErrorElement } from "../formats/stream-error.ts";
import { parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Carrier, Session } from "../routing/session.ts";
import { type Limits, limitsAfterLogin, type ReaderError, type StreamHeader } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { bind } from "./binding.ts";
import { deviceOf } from "./device-session.ts";
import { login, offered } from "./login.ts";
import { features, featuresAfterLogin, type Negotiation, startTlsFeature } from "./negotiation.ts";
import { type Pace, pace } from "./pace.ts";
import type { StreamParts } from "./parts.ts";
import * as properties from "./properties.ts";
import { refusal } from "./refusal.ts";
import { isSasl, mechanismFeatures, takeSasl } from "./sasl.ts";
import { type LoginStream, sasl2, sasl2Features } from "./sasl2.ts";
import { answerStranger, strangerFeatures } from "./strangers.ts";
import type { StreamManagement } from "./stream-management.ts";
import { viewFor } from "./view.ts";
import type { FrozenWire, Wire, WireHandler } from "./wire.ts";

/** What a stream tells the list of streams that it belongs to. */
export interface StreamOwner {
  readonly management: StreamManagement;
  gone(stream: ClientStream): void;
}

/** A client's stream on one wire: negotiates, and then hands every stanza of its session to the router. */
export class ClientStream<W extends Wire = Wire> implements Carrier, WireHandler, LoginStream {
  readonly wire: W;
  readonly openedAt: number;
  /** When the client last sent anything, ms. */
  heardAt: number;
  pinged = false;
  state: Negotiation = { at: "opened" };
  readonly #parts: StreamParts;
  readonly #owner: StreamOwner;
  readonly #pace: Pace;
  #view: string;
  #headerSent = false;
  #stalled = false;
  #ended = false;

  constructor(parts: StreamParts, owner: StreamOwner, wire: (handler: WireHandler) => W) {
    this.#parts = parts;
    this.#owner = owner;
    this.wire = wire(this);
    this.openedAt = parts.clock.now();
    this.heardAt = this.openedAt;
    this.#view = parts.names.primary.name;
    this.#pace = pace(parts.clock);
  }

  get remote(): { address: string; port: number } {
    return this.wire.remote;
  }

  get tls(): string | undefined {
    const facts = this.wire.tls;
    return facts && `${facts.version} ${facts.cipher}`;
  }

  get over(): boolean {
    return this.#ended;
  }

  get session(): Session | undefined {
    return this.state.at === "bound" ? this.state.session : undefined;
  }

  // ------------------------------------------------------------ wire

  heard(): void {
    this.heardAt = this.#parts.clock.now();
    this.pinged = false;
  }

  took(bytes: number): void {
    if (this.session !== undefined) this.#slowDown(bytes);
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

  secured(): void {
    this.#headerSent = false;
    this.state = { at: "opened" };
  }

  /** Bytes glued behind `<starttls/>`: an attack or a broken client. The gate has thrown them away. */
  injected(): void {
    this.#parts.report.streamFailed({
      remote: this.remote.address,
      condition: "policy-violation",
      text: "bytes behind <starttls/>",
    });
    this.wire.drop();
    this.gone("injected");
  }

  gone(_reason: string): void {
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
    this.#finish("ended", streamErrorElement(error));
  }

  #finish(why: "closed" | "ended", error?: Xml): void {
    this.#ended = true;
    const { session } = this;
    this.state = { at: "closed" };
    this.#owner.gone(this);
    this.wire.close(error);
    if (session === undefined || session.carrier !== this) return;
    this.#parts.report.sessionEnded({ session: session.address, why });
    this.#parts.sessions.end(session, why);
  }

  /** `</stream:stream>`: the client is done, the session too. XEP-0198 §5 */
  closed(): void {
    if (!this.#ended) this.#finish("closed");
  }

  failed(error: ReaderError): void {
    this.end(error.condition, error.text);
  }

  /** Silent for too long: the connection is given up as if it had broken, so that a managed session may be resumed. */
  lost(): void {
    if (this.#ended) return;
    this.wire.drop();
    this.gone("silent");
  }

  /** Another stream took the session over. */
  displaced(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.state = { at: "closed" };
    this.#owner.gone(this);
    this.wire.close(
      streamErrorElement(streamError("conflict", { text: "The session was resumed on another connection." })),
    );
  }

  // ------------------------------------------------------------ reading

  /** Takes nothing more from this client until the work is done: its stanzas are handled in their order. RFC 6120 §10.1 */
  #stall(work: Promise<unknown>): void {
    this.#stalled = true;
    this.wire.hold();
    const go = (): void => {
      if (this.#ended) return;
      this.#stalled = false;
      this.wire.release();
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
    this.wire.header({ id: this.#parts.random(12).toString("base64url"), from: this.#view, to });
  }

  header(found: StreamHeader): void {
    if (found.name !== "stream" || found.ns !== ns.streams)
      return this.end("invalid-namespace", `A stream opens with <stream:stream xmlns:stream='${ns.streams}'>.`);
    if (found.contentNs !== ns.client)
      return this.end("invalid-namespace", `The content namespace of this port is ${ns.client}.`);
    if (found.version === undefined || !/^[1-9]\d*\.\d+$/.test(found.version))
      return this.end("unsupported-version", "This server speaks XMPP 1.0.");
    const refused = this.state.at === "authenticated" ? undefined : refusal(this.#parts, this.wire);
    if (refused !== undefined) return this.end(refused.condition, refused.text);
    const seen = viewFor(this.#parts, found.to);
    if ("condition" in seen) return this.end(seen.condition, seen.text);
    const { view } = seen;
    this.#view = view;
    this.#writeHeader(found.from === undefined ? undefined : parseJid(found.from) && found.from);
    if (this.state.at === "authenticated") {
      this.state = { ...this.state, greeted: true };
      const management = this.#parts.properties.get(properties.managementActive);
      this.wire.write(features(featuresAfterLogin(management, this.#parts.streamFeatures())));
      return;
    }
    this.#greet(view, found);
  }

  #greet(view: string, { to, from }: Pick<StreamHeader, "to" | "from">): void {
    const { tls, remote } = this.wire;
    const policy = this.#parts.properties.get(properties.tlsPolicy);
    const mustSecure = tls === undefined && policy === "required";
    const offer = mustSecure ? { mechanisms: [], bindingTypes: [] } : offered(this.#parts, view, tls);
    const attempts = login(this.#parts, { view, tls, remote: remote.address, offered: offer });
    const modern = sasl2Features(this.#parts, view, tls, offer);
    this.state = {
      ...{ at: "greeted", view, login: attempts },
      sasl2:
        tls === undefined || modern.length === 0
          ? undefined
          : sasl2(this.#parts, this.#owner.management, this, { login: attempts, view, tls, to, from }),
    };
    const startTls = tls === undefined && policy !== "disabled" && this.wire.kind === "tcp";
    const secured = tls === undefined ? [] : strangerFeatures(this.#parts);
    this.wire.write(
      features([
        ...(startTls ? [startTlsFeature(mustSecure)] : []),
        ...mechanismFeatures(offer),
        ...modern,
        ...secured,
      ]),
    );
  }

  stanza(stanza: Stanza): void {
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
    if (stanza.ns === ns.sasl2 && state.sasl2 !== undefined) return this.#stall(state.sasl2.take(stanza));
    // XEP-0388 §2.5
    if (state.sasl2?.underway) return this.end("policy-violation", "Finish logging in first.");
    if (stanza.ns === ns.tls && stanza.name === "starttls") return this.#startTls();
    if (!isSasl(stanza)) {
      const answer = answerStranger(this.#parts, this, state, stanza);
      if (answer === undefined) return this.end("not-authorized", "Log in first.");
      return this.#stall(answer.then((reply) => this.#ended || this.wire.write(reply)));
    }
    this.#stall(
      takeSasl(this.#parts, state.login, stanza).then(({ answer, account, spent, mechanism: used }) => {
        if (this.#ended) return;
        this.wire.write(answer);
        if (account !== undefined) {
          this.loggedIn(account, used ?? "", "");
          this.wire.restart();
        } else if (spent === true) this.end("policy-violation", "Too many failed logins on one stream.");
      }),
    );
  }

  #startTls(): void {
    const never = this.wire.kind !== "tcp" || this.#parts.properties.get(properties.tlsPolicy) === "disabled";
    if (this.wire.tls !== undefined || never) return this.#finish("closed", x("failure", { xmlns: ns.tls }));
    // RFC 6120 §5.3.4: nothing that came before the handshake counts; a client that sent more is not trusted.
    if (!this.wire.startTls(this.#view)) return this.injected();
    this.state = { at: "securing" };
  }

  loggedIn(account: Account, mechanism: string, device: string): void {
    const view = this.#view;
    this.#parts.report.loggedIn({
      session: `${account.name}@${view}`,
      remote: this.remote.address,
      mechanism,
      tls: this.tls,
    });
    this.state = { at: "authenticated", view, account, device, greeted: false };
    this.wire.limits = this.#limits();
  }

  #beforeBind(state: Negotiation & { at: "authenticated" }, stanza: Stanza): void {
    if (stanza.ns === ns.streamManagement && stanza.name === "resume") {
      this.#stall(this.#owner.management.resume(this, state.account, stanza));
      return;
    }
    if (stanza.ns === ns.client && stanza.name === "iq" && stanza.type === "set" && stanza.has(ns.bind, "bind")) {
      if (this.#parts.accounts.byId(state.account.id) !== state.account || !state.account.enabled)
        return this.end("not-authorized", "The account was disabled.");
      const answer = bind(this.#parts, state.account, state.view, stanza);
      if ("session" in answer) {
        if (state.device !== "") deviceOf.set(answer.session, state.device);
        this.becomes(answer.session);
      }
      this.wire.write(answer.xml);
      if ("session" in answer) for (const handler of this.#parts.sessionHandlers()) handler.opened?.(answer.session);
      return;
    }
    if (stanza.ns === ns.streamManagement) {
      this.wire.write(this.#owner.management.failed("unexpected-request"));
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
    session.outbound.attach(this.wire);
  }

  #bound(session: Session, stanza: Stanza): void {
    this.#pace.stanza();
    if (stanza.ns === ns.streamManagement) return this.#owner.management.take(this, session, stanza);
    if (stanza.ns !== ns.client) {
      const nonza = this.#parts
        .nonzas()
        .find(({ namespace, names }) => namespace === stanza.ns && names.includes(stanza.name));
      if (nonza !== undefined) return nonza.take(session, stanza);
    }
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
  freeze(): FrozenStream {
    return { view: this.#view, kind: this.wire.kind, ...this.wire.freeze() };
  }

  /** Goes on with a session whose predecessor process froze it. */
  thaw(view: string, session: Session): void {
    this.#view = view;
    this.#headerSent = true;
    this.wire.limits = this.#limits();
    this.becomes(session);
  }

  #limits(): Limits {
    return { ...limitsAfterLogin, stanzaBytes: this.#parts.properties.get(properties.stanzaBytes) };
  }
}

export interface FrozenStream extends FrozenWire {
  readonly view: string;
  readonly kind: Wire["kind"];
}

function relief(parts: StreamParts): Promise<void> {
  return new Promise((resolve) => {
    const stop = parts.storage.onRelief(() => {
      stop();
      resolve();
    });
  });
}
