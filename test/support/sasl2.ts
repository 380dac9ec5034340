import { createHmac } from "node:crypto";
import type { Element } from "ltx";
import { type ChannelBinding, channelBinding, scram } from "./scram-client.ts";
import type { XmppClient } from "./xmpp-client.ts";

/** The namespaces of the one-step login. */
export const sasl2 = {
  sasl2: "urn:xmpp:sasl:2",
  bind: "urn:xmpp:bind:0",
  fast: "urn:xmpp:fast:0",
  sm: "urn:xmpp:sm:3",
  upgrade: "urn:xmpp:sasl:upgrade:0",
  scram: "urn:xmpp:scram-upgrade:0",
} as const;

export interface Sasl2Login {
  user: string;
  /** Default: the user's name. */
  password?: string;
  /** Default: SCRAM-SHA-256-PLUS. */
  mechanism?: string;
  binding?: ChannelBinding;
  /** A token for an HT mechanism, and the attributes of `<fast/>`. */
  token?: string;
  fast?: string;
  /** The id of the user agent. */
  agent?: string | undefined;
  software?: string;
  /** More children of `<authenticate/>`. */
  inside?: string;
  /** The GS2 header of SCRAM, for clients that lie or act for others. */
  header?: string;
}

export const phone = "d4565fa7-4d72-4749-b3d3-740edbf87770";
export const laptop = "0bd5a1a1-87ad-4df0-9d4e-6b3a61a1c6d4";

const encode = (data: string | Buffer): string => Buffer.from(data).toString("base64");
const isSasl2 = (element: Element): boolean => element.getNS() === sasl2.sasl2;

/** What the client binds to, by the type's name. */
export function bindingOf(client: XmppClient, type: ChannelBinding): Buffer {
  const { tls } = client.connection;
  if (tls === undefined) throw new Error("no TLS to bind to");
  return channelBinding(tls, client.certificate?.raw, type);
}

/** The message of an HT mechanism. */
export function tokenMessage(client: XmppClient, user: string, mechanism: string, token: string): Buffer {
  const bound = tokenBinding(client, mechanism);
  return Buffer.concat([
    Buffer.from(`${user}\0`),
    createHmac("sha256", token).update("Initiator").update(bound).digest(),
  ]);
}

/** Throws unless the server has the token too. */
export function verifyResponder(client: XmppClient, mechanism: string, token: string, success: Element): void {
  const expected = createHmac("sha256", token).update("Responder").update(tokenBinding(client, mechanism)).digest();
  if (success.getChildText("additional-data") !== encode(expected))
    throw new Error("the server does not know the token");
}

function tokenBinding(client: XmppClient, mechanism: string): Buffer {
  if (mechanism.endsWith("-EXPR")) return bindingOf(client, "tls-exporter");
  return mechanism.endsWith("-ENDP") ? bindingOf(client, "tls-server-end-point") : Buffer.alloc(0);
}

/** `<authenticate/>` with these children. */
export function authenticateElement(
  mechanism: string,
  initial: string | Buffer | undefined,
  login: Sasl2Login,
): string {
  const software = login.software === undefined ? "" : `<software>${login.software}</software>`;
  return [
    `<authenticate xmlns='${sasl2.sasl2}' mechanism='${mechanism}'>`,
    initial === undefined ? "" : `<initial-response>${encode(initial)}</initial-response>`,
    login.agent === undefined ? "" : `<user-agent id='${login.agent}'>${software}</user-agent>`,
    login.inside ?? "",
    "</authenticate>",
  ].join("");
}

/** Runs one attempt to its end: `<success/>`, `<failure/>` or `<continue/>`. The address is set when it is bound. */
export async function authenticate(client: XmppClient, login: Sasl2Login): Promise<Element> {
  const { user, password = user, mechanism = "SCRAM-SHA-256-PLUS" } = login;
  const next = (): Promise<Element> => client.next(isSasl2, "SASL2");
  if (mechanism.startsWith("HT-")) {
    const fast = `<fast xmlns='${sasl2.fast}' ${login.fast ?? ""}/>`;
    const message = tokenMessage(client, user, mechanism, login.token ?? "");
    client.send(authenticateElement(mechanism, message, { ...login, inside: fast + (login.inside ?? "") }));
    return done(client, await next());
  }
  if (mechanism === "PLAIN") {
    client.send(authenticateElement(mechanism, `\0${user}\0${password}`, login));
    return done(client, await next());
  }
  const type = login.binding ?? "tls-exporter";
  const binding = mechanism.endsWith("-PLUS") ? { type, data: bindingOf(client, type) } : undefined;
  const exchange = scram({ mechanism, user, password, binding, ...(login.header ? { header: login.header } : {}) });
  client.send(authenticateElement(mechanism, exchange.first, login));
  const challenge = await next();
  if (challenge.getName() !== "challenge") return challenge;
  const first = Buffer.from(challenge.getText(), "base64").toString();
  client.send(`<response xmlns='${sasl2.sasl2}'>${encode(await exchange.final(first))}</response>`);
  const outcome = await next();
  if (outcome.getName() !== "failure")
    exchange.verify(Buffer.from(outcome.getChildText("additional-data") ?? "", "base64").toString());
  return done(client, outcome);
}

function done(client: XmppClient, outcome: Element): Element {
  const identity = outcome.getChildText("authorization-identifier") ?? "";
  if (identity.includes("/")) client.jid = identity;
  return outcome;
}

/** The condition of a `<failure/>`. */
export function condition(outcome: Element): string {
  const found = outcome.getChildElements().find((child) => child.getNS() === "urn:ietf:params:xml:ns:xmpp-sasl");
  return outcome.getName() === "failure" ? (found?.getName() ?? "none") : outcome.getName();
}

/** The token of a `<success/>`. */
export const tokenOf = (success: Element): string | undefined => success.getChild("token", sasl2.fast)?.attrs.token;

export const requestToken = (mechanism = "HT-SHA-256-EXPR"): string =>
  `<request-token xmlns='${sasl2.fast}' mechanism='${mechanism}'/>`;
export const bindElement = (inside = ""): string => `<bind xmlns='${sasl2.bind}'>${inside}</bind>`;
