import type { X509Certificate } from "node:crypto";
import { type Element, escapeXML } from "ltx";
import { type ChannelBinding, channelBinding, scram, scramMechanisms } from "./scram-client.ts";
import { type Contact, contacts, isRosterPush, isStanza, ns } from "./stanzas.ts";
import { type Ending, type Matcher, XmppConnection } from "./xmpp-connection.ts";

export type Where = {
  host: string;
  port: number;
  domain: string;
  /** `none` stops after the first features on plain TCP. */
  tls?: "starttls" | "direct" | "none";
  maxVersion?: "TLSv1.2";
  /** Local address to connect from. */
  from?: string;
  /** `from` of the stream header. */
  identity?: string;
  /** On a port for browsers. */
  via?: "websocket" | "bosh";
  /** Headers of HTTP requests. */
  headers?: Record<string, string>;
};
export type Login = Where & {
  user: string;
  password: string;
  resource?: string;
  /** Default: the strongest SCRAM offered. */
  mechanism?: string;
  /** Default for -PLUS: the first of tls-exporter, tls-server-end-point that the server lists. */
  binding?: ChannelBinding;
  /** Enable stream management with resumption after binding. */
  sm?: boolean;
};

/** Raised when SASL fails; `condition` is the element's name, e.g. `not-authorized`. */
export class LoginRefused extends Error {
  readonly condition: string;
  constructor(failure: Element) {
    const condition = failure.getChildElements().map((child) => child.getName());
    super(`login refused: ${failure.toString()}`);
    this.condition = condition[0] ?? "none";
  }
}

/**
 * A raw XMPP client under the test's control.
 *
 *     const alice = await XmppClient.login({ host, port, domain, user: "alice", password: "secret" });
 *     alice.message("bob@localhost", "hello");
 *     const answer = await alice.next("message", (m) => m.getChildText("body") === "hi");
 *
 * It answers roster pushes and pings unless `answers` is false, and stream management requests unless `acks` is "withheld".
 */
export class XmppClient {
  static readonly #open = new Set<XmppClient>();
  readonly where: Where;
  /** Answer roster pushes and pings as every client does. */
  answers = true;
  /** Whether `<r/>` is answered at once, or only by `ack()`. */
  acks: "prompt" | "withheld" = "prompt";
  /** The full address after binding. */
  jid = "";
  /** The features last offered. */
  features: Element | undefined;
  /** Stanzas received since stream management was enabled, modulo 2^32. */
  handled = 0;
  /** The `h` last heard from the server. */
  acked = 0;
  /** Stanzas sent and not yet acknowledged, oldest first. */
  unacked: string[] = [];
  /** What `<enabled/>` gave: id and resumption period in seconds. */
  resumption: { id: string; max: number | undefined } | undefined;
  #connection: XmppConnection;
  #login: Login | undefined;
  #ids = 0;
  #countsIn = false;
  #countsOut = false;

  private constructor(where: Where, connection: XmppConnection) {
    this.where = where;
    this.#connection = this.#adopt(connection);
    XmppClient.#open.add(this);
  }

  /** Opens a stream, secured as `where.tls` says, up to the features before SASL. */
  static async connect(where: Where): Promise<XmppClient> {
    const client = new XmppClient(where, await XmppConnection.open(where));
    await client.#negotiateTls();
    return client;
  }

  /** Connects, authenticates, binds and, if asked, enables stream management. */
  static async login(login: Login): Promise<XmppClient> {
    const client = await XmppClient.connect(login);
    await client.authenticate(login);
    await client.bind(login.resource);
    if (login.sm === true) await client.enable();
    return client;
  }

  /** Resets every connection that tests left open; for `afterEach`. */
  static dropAll(): void {
    for (const client of XmppClient.#open) client.drop();
  }

  get bare(): string {
    return this.jid.split("/")[0] ?? "";
  }

  get certificate(): X509Certificate | undefined {
    return this.#connection.certificate;
  }

  get connection(): XmppConnection {
    return this.#connection;
  }

  /** Resolves when the present connection is gone, and says how. */
  get ended(): Promise<Ending> {
    return this.#connection.ended;
  }

  /** Runs SASL to its end and opens the stream that follows. Throws `LoginRefused`. */
  async authenticate(login: Login): Promise<void> {
    this.#login = login;
    const mechanism = login.mechanism ?? scramMechanisms.find((name) => this.#mechanisms().includes(name)) ?? "PLAIN";
    if (mechanism === "PLAIN") {
      const secret = Buffer.from(`\0${login.user}\0${login.password}`).toString("base64");
      this.send(`<auth xmlns='${ns.sasl}' mechanism='PLAIN'>${secret}</auth>`);
      await this.#saslOutcome("success");
    } else {
      const binding = mechanism.endsWith("-PLUS") ? this.#binding(login.binding) : undefined;
      const exchange = scram({ mechanism, user: login.user, password: login.password, binding });
      this.send(`<auth xmlns='${ns.sasl}' mechanism='${mechanism}'>${encode(exchange.first)}</auth>`);
      const challenge = await this.#saslOutcome("challenge");
      this.send(`<response xmlns='${ns.sasl}'>${encode(await exchange.final(decode(challenge)))}</response>`);
      exchange.verify(decode(await this.#saslOutcome("success")));
    }
    await this.#restart();
  }

  /** Binds a resource; without one the server chooses. Returns the full address. */
  async bind(resource?: string): Promise<string> {
    const wish = resource === undefined ? "" : `<resource>${escapeXML(resource)}</resource>`;
    const answer = await this.set(`<bind xmlns='${ns.bind}'>${wish}</bind>`, "");
    const jid = answer.getChild("bind", ns.bind)?.getChildText("jid");
    if (!jid) throw new Error(`binding failed: ${answer.toString()}\n${this.transcript()}`);
    this.jid = jid;
    return jid;
  }

  /** Enables stream management (XEP-0198 §3) and starts counting. */
  async enable(options = "resume='true'"): Promise<Element> {
    this.#countsOut = true;
    this.unacked = [];
    this.#connection.send(`<enable xmlns='${ns.sm}' ${options}/>`);
    const answer = await this.next((m) => m.is("enabled", ns.sm) || m.is("failed", ns.sm), "enabled");
    if (answer.is("failed", ns.sm)) throw new Error(`stream management refused\n${this.transcript()}`);
    const { id, max } = answer.attrs;
    if (id !== undefined) this.resumption = { id, max: max === undefined ? undefined : Number(max) };
    return answer;
  }

  /** Sends `<a/>`; by default with the true count. */
  ack(handled = this.handled): void {
    this.#connection.send(`<a xmlns='${ns.sm}' h='${handled}'/>`);
  }

  /** Asks the server what it has handled and returns its `h`. */
  async requestAck(): Promise<number> {
    // An ack that came earlier on the server's own account is no answer to this question.
    const inbox = this.#connection.inbox;
    inbox.splice(0, inbox.length, ...inbox.filter((stanza) => !stanza.is("a", ns.sm)));
    this.#connection.send(`<r xmlns='${ns.sm}'/>`);
    return Number((await this.next((m) => m.is("a", ns.sm), "ack")).attrs.h);
  }

  /** Opens a new connection, authenticates, resumes, and sends again what the server had not handled. */
  async resume(handled = this.handled): Promise<Element> {
    const answer = await this.attemptResume(handled);
    if (answer.is("failed", ns.sm)) throw new Error(`resumption failed: ${answer.toString()}\n${this.transcript()}`);
    for (const stanza of [...this.unacked]) this.#connection.send(stanza);
    return answer;
  }

  /** As `resume`, but returns `<resumed/>` or `<failed/>` and sends nothing again. `where` may name another port or domain. */
  async attemptResume(handled = this.handled, where: Partial<Where> = {}): Promise<Element> {
    if (this.#login === undefined || this.resumption === undefined) throw new Error("nothing to resume");
    const to = { ...this.#login, ...where };
    this.#countsIn = false;
    this.#countsOut = false;
    const unread = this.#connection.inbox.filter(isStanza);
    this.#connection = this.#adopt(await XmppConnection.open(to));
    this.#connection.inbox.push(...unread);
    XmppClient.#open.add(this);
    await this.#negotiateTls(to);
    await this.authenticate(to);
    this.#connection.send(`<resume xmlns='${ns.sm}' previd='${escapeXML(this.resumption.id)}' h='${handled}'/>`);
    return this.next((m) => m.is("resumed", ns.sm) || m.is("failed", ns.sm), "resumed");
  }

  /** Sends text as it is. A stanza (message, presence, iq) counts for stream management; send one at a time. */
  send(xml: string | Uint8Array): void {
    if (this.#countsOut && typeof xml === "string" && /^<(message|presence|iq)[\s/>]/.test(xml)) this.unacked.push(xml);
    this.#connection.send(xml);
  }

  /**
   * Takes the first matching stanza that nobody took before, or waits for it; fails with the transcript.
   * `kind` is an element's name, "roster push", or a function; `also` narrows it down.
   */
  next(kind: string | Matcher, also: Matcher | string = () => true): Promise<Element> {
    const what = typeof kind === "string" ? kind : typeof also === "string" ? also : "matching stanza";
    return this.#connection.next(matcher(kind, also), what);
  }

  /** Proves that no such stanza came before the answers to pings, first to `behind` (who caused it), then to this client. */
  async none(kind: string | Matcher, also: Matcher | string = () => true, behind?: XmppClient): Promise<void> {
    await behind?.ping();
    await this.ping();
    const found = this.#connection.inbox.find(matcher(kind, also));
    if (found !== undefined) throw new Error(`unexpected ${found.toString()}\n${this.transcript()}`);
  }

  /** A ping to the server and back: everything sent before it has been handled. */
  async ping(): Promise<void> {
    await this.get(`<ping xmlns='${ns.ping}'/>`, this.jid === "" ? this.where.domain : (this.bare.split("@")[1] ?? ""));
  }

  /** Sends a complete `<iq/>`, adding an id if it has none, and returns the result or error. */
  async iq(xml: string): Promise<Element> {
    const id = /^<iq\b[^>]*\sid=['"]([^'"]+)/.exec(xml)?.[1] ?? this.newId();
    this.send(/^<iq\b[^>]*\sid=/.test(xml) ? xml : xml.replace(/^<iq/, `<iq id='${id}'`));
    const isAnswer: Matcher = (m) => m.is("iq") && m.attrs.id === id && /^(result|error)$/.test(m.attrs.type);
    return this.next(isAnswer, `answer to iq ${id}`);
  }

  /** An IQ get with this payload; without `to` it goes to one's own account. */
  get(payload: string, to = ""): Promise<Element> {
    return this.iq(`<iq type='get'${to === "" ? "" : ` to='${escapeXML(to)}'`}>${payload}</iq>`);
  }

  set(payload: string, to = ""): Promise<Element> {
    return this.iq(`<iq type='set'${to === "" ? "" : ` to='${escapeXML(to)}'`}>${payload}</iq>`);
  }

  /** Fetches the roster; `version` undefined means without versioning. */
  async roster(version?: string): Promise<{ version: string | undefined; contacts: Map<string, Contact> }> {
    const answer = await this.get(
      `<query xmlns='${ns.roster}'${version === undefined ? "" : ` ver='${escapeXML(version)}'`}/>`,
    );
    const query = answer.getChild("query", ns.roster);
    return { version: query?.attrs.ver, contacts: new Map(query === undefined ? [] : contacts(query)) };
  }

  /** Sends presence: `alice.presence("<show>away</show>")`, `alice.presence("", "type='subscribe' to='bob@localhost'")`. */
  presence(children = "", attributes = ""): void {
    this.send(`<presence ${attributes}>${children}</presence>`);
  }

  /** Sends a chat message and returns its id. `more` is further children. */
  message(to: string, body: string, more = ""): string {
    const id = this.newId();
    this.send(`<message to='${escapeXML(to)}' type='chat' id='${id}'><body>${escapeXML(body)}</body>${more}</message>`);
    return id;
  }

  newId(): string {
    return `t${++this.#ids}-${Math.random().toString(36).slice(2, 8)}`;
  }

  /** Waits for a stream error and returns its condition. */
  async streamError(): Promise<string> {
    const error = await this.next((m) => m.is("error", "http://etherx.jabber.org/streams"), "stream error");
    return (
      error
        .getChildElements()
        .find((child) => child.getNS() === ns.streams)
        ?.getName() ?? "none"
    );
  }

  /** TCP reset. */
  drop(): void {
    XmppClient.#open.delete(this);
    this.#connection.drop();
  }

  /** Ends the stream in order and waits until the connection is closed. */
  async close(): Promise<Ending> {
    XmppClient.#open.delete(this);
    this.#connection.send("</stream:stream>");
    return this.ended;
  }

  transcript(): string {
    return this.#connection.transcript();
  }

  #adopt(connection: XmppConnection): XmppConnection {
    connection.onStanza = (stanza) => this.#arrived(stanza);
    return connection;
  }

  #arrived(stanza: Element): boolean {
    if (stanza.is("r", ns.sm)) {
      if (this.acks === "prompt") this.ack();
      return false;
    }
    if (stanza.is("enabled", ns.sm)) {
      this.handled = 0;
      this.acked = 0;
      this.#countsIn = true;
    } else if (stanza.is("a", ns.sm) || stanza.is("resumed", ns.sm)) {
      const heard = Number(stanza.attrs.h);
      this.unacked.splice(0, (heard - this.acked) >>> 0);
      this.acked = heard;
      if (stanza.is("resumed", ns.sm)) {
        this.#countsIn = true;
        this.#countsOut = true;
      }
    }
    if (!isStanza(stanza)) return true;
    if (this.#countsIn) this.handled = (this.handled + 1) >>> 0;
    if (this.answers && (isRosterPush(stanza) || (stanza.attrs.type === "get" && stanza.getChild("ping", ns.ping)))) {
      const to = stanza.attrs.from === undefined ? "" : ` to='${escapeXML(stanza.attrs.from)}'`;
      this.send(`<iq type='result' id='${escapeXML(stanza.attrs.id)}'${to}/>`);
    }
    return true;
  }

  async #negotiateTls(where: Where = this.where): Promise<void> {
    const mode = where.tls ?? "starttls";
    const security = { serverName: where.domain, maxVersion: where.maxVersion };
    if (where.via !== undefined) return this.#restart(where);
    if (mode === "direct") await this.#connection.secure({ ...security, alpn: ["xmpp-client"] });
    await this.#restart(where);
    if (mode !== "starttls") return;
    this.send(`<starttls xmlns='${ns.tls}'/>`);
    await this.next((m) => m.is("proceed", ns.tls), "proceed");
    await this.#connection.secure(security);
    await this.#restart(where);
  }

  async #restart(where: Where = this.#login ?? this.where): Promise<void> {
    await this.#connection.openStream(where.domain, where.identity);
    this.features = await this.next("features");
  }

  async #saslOutcome(expected: "challenge" | "success"): Promise<Element> {
    const outcome = await this.next((m) => m.getNS() === ns.sasl, `SASL ${expected}`);
    if (outcome.getName() === "failure") throw new LoginRefused(outcome);
    if (outcome.getName() !== expected) throw new Error(`SASL: ${expected} expected\n${this.transcript()}`);
    return outcome;
  }

  #mechanisms(): string[] {
    const offered = this.features?.getChild("mechanisms", ns.sasl)?.getChildren("mechanism") ?? [];
    const bindable = this.#offeredBindings().length > 0;
    return offered.map((mechanism) => mechanism.getText()).filter((name) => bindable || !name.endsWith("-PLUS"));
  }

  #offeredBindings(): ChannelBinding[] {
    const offered = this.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding") ?? [];
    const names = offered.map((binding) => binding.attrs.type);
    return (["tls-exporter", "tls-server-end-point"] as const).filter((type) => names.includes(type));
  }

  #binding(wanted: ChannelBinding | undefined): { type: string; data: Buffer } {
    const type = wanted ?? this.#offeredBindings()[0] ?? "tls-exporter";
    const tls = this.#connection.tls;
    if (tls === undefined) throw new Error("a -PLUS mechanism needs TLS");
    return { type, data: channelBinding(tls, this.certificate?.raw, type) };
  }
}

function matcher(kind: string | Matcher, also: Matcher | string): Matcher {
  const first: Matcher =
    typeof kind === "function" ? kind : kind === "roster push" ? isRosterPush : (stanza) => stanza.getName() === kind;
  return typeof also === "function" ? (stanza) => first(stanza) && also(stanza) : first;
}

const encode = (text: string): string => Buffer.from(text).toString("base64");
const decode = (element: Element): string => Buffer.from(element.getText(), "base64").toString("utf8");
