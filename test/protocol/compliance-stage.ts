/** Where the probes of compliance-probes.ts stand, and what they do again and again. */
import { createHash, randomUUID } from "node:crypto";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Element } from "ltx";
import type { TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

export interface Stage {
  readonly core: TestCore;
  readonly webPort: number;
  readonly componentPort: number;
}
export type Probe = (stage: Stage) => Promise<void>;

export const domain = "localhost";
export const info = "http://jabber.org/protocol/disco#info";
export const items = "http://jabber.org/protocol/disco#items";
export const carbons = "urn:xmpp:carbons:2";
export const bookmarks = "urn:xmpp:bookmarks:1";

export async function featuresOf(client: XmppClient, at: string, node = ""): Promise<string[]> {
  const answer = await client.get(`<query xmlns='${info}'${node === "" ? "" : ` node='${node}'`}/>`, at);
  return (answer.getChild("query", info)?.getChildren("feature") ?? []).map(({ attrs }) => attrs.var);
}

/** Comes online and is what this person is seen as. */
export async function online(core: TestCore, user: string, resource: string = randomUUID()): Promise<XmppClient> {
  const client = await core.login(user, { resource });
  await client.roster();
  client.presence();
  await client.next("presence", ({ attrs }) => attrs.from === client.jid);
  return client;
}

export const bodyFrom = (from: string, body: string) => (stanza: Element) =>
  stanza.is("message") && String(stanza.attrs.from).startsWith(from) && stanza.getChildText("body") === body;

export function open(port: number, more: object): TLSSocket {
  const socket = connectTls({ host: "127.0.0.1", port, servername: domain, rejectUnauthorized: false, ...more });
  socket.on("error", () => undefined);
  return socket;
}

export const shownPhoto = (presence: Element) => presence.getChild("x", "vcard-temp:x:update")?.getChildText("photo");

/** How often a probe was asked for a name nobody used before. */
let made = 0;
export const fresh = (what: string): string => `${what}${++made}`;

/** A picture that nobody had before, and its hash. */
export function picture(): { id: string; data: Buffer } {
  const head = Buffer.from("89504e470d0a1a0a0000000d494844520000004000000020", "hex");
  const data = Buffer.concat([head, Buffer.from(randomUUID())]);
  return { id: createHash("sha1").update(data).digest("hex"), data };
}
