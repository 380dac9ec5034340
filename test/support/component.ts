import { createHash } from "node:crypto";
import { type Element, escapeXML } from "ltx";
import { type Matcher, XmppConnection } from "./xmpp-connection.ts";

/** Properties of a server that takes components on this port. */
export const takesComponents = (port: number, secret: string): Record<string, string> => ({
  "xmpp.component.socket.port": String(port),
  "xmpp.component.ssl.active": "false",
  "xmpp.component.defaultSecret": secret,
});

/**
 * A component under the test's control. XEP-0114
 *
 *     const irc = await TestComponent.join(port, "irc", "secret");
 *     irc.send("<message from='a@irc.localhost' to='bob@localhost'><body>hi</body></message>");
 */
export class TestComponent {
  readonly connection: XmppConnection;
  readonly label: string;
  #ids = 0;

  private constructor(connection: XmppConnection, label: string) {
    this.connection = connection;
    this.label = label;
    connection.onStanza = (stanza) => {
      const pinged = stanza.is("iq") && stanza.attrs.type === "get" && stanza.getChild("ping") !== undefined;
      if (pinged)
        this.send(`<iq type='result' id='${stanza.attrs.id}' from='${stanza.attrs.to}' to='${stanza.attrs.from}'/>`);
      return !pinged;
    };
  }

  /** Opens the stream; returns with the server's header, or its error, read. */
  static async open(port: number, to: string): Promise<TestComponent> {
    const component = new TestComponent(await XmppConnection.open({ host: "127.0.0.1", port }), to.split(".")[0] ?? "");
    await component.greet(to);
    return component;
  }

  static async join(port: number, to: string, secret: string): Promise<TestComponent> {
    const component = await TestComponent.open(port, to);
    component.handshake(secret);
    await component.next("handshake");
    return component;
  }

  async greet(to: string, ns = "jabber:component:accept"): Promise<void> {
    this.send(
      `<?xml version='1.0'?><stream:stream xmlns='${ns}' xmlns:stream='http://etherx.jabber.org/streams' to='${to}'>`,
    );
    await this.connection.next((element) => element === this.connection.header, "the server's stream header");
  }

  handshake(secret: string): void {
    const digest = createHash("sha1").update(`${this.connection.header?.attrs.id}${secret}`).digest("hex");
    this.send(`<handshake>${digest}</handshake>`);
  }

  send(xml: string): void {
    this.connection.send(xml);
  }

  next(kind: string | Matcher, also: Matcher = () => true): Promise<Element> {
    const first: Matcher = typeof kind === "function" ? kind : (stanza) => stanza.getName() === kind;
    return this.connection.next((stanza) => first(stanza) && also(stanza), String(kind));
  }

  /** Sends a request and returns its answer. `from` defaults to the component itself. */
  async iq(type: "get" | "set", to: string, payload: string, from = `${this.label}.localhost`): Promise<Element> {
    const id = `c${++this.#ids}`;
    this.send(`<iq type='${type}' id='${id}' from='${escapeXML(from)}' to='${escapeXML(to)}'>${payload}</iq>`);
    return this.next("iq", (stanza) => stanza.attrs.id === id && /^(result|error)$/.test(stanza.attrs.type));
  }

  /** Everything sent before has been handled. */
  async ping(): Promise<void> {
    await this.iq("get", "localhost", "<ping xmlns='urn:xmpp:ping'/>");
  }

  /** The condition of the stream error that ends it. */
  async streamError(): Promise<string> {
    const error = await this.next(
      (stanza) => stanza.getName() === "error" && stanza.getNS() === "http://etherx.jabber.org/streams",
    );
    return error.getChildElements()[0]?.getName() ?? "none";
  }

  drop(): void {
    this.connection.drop();
  }
}
