import { createHash } from "node:crypto";
import type { Element } from "ltx";
import type { TestCore } from "../support/core.ts";
import { isStanza } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const ns = {
  blocking: "urn:xmpp:blocking",
  bookmarks: "urn:xmpp:bookmarks:1",
  caps: "http://jabber.org/protocol/caps",
  carbons: "urn:xmpp:carbons:2",
  disco: "http://jabber.org/protocol/disco#info",
  event: "http://jabber.org/protocol/pubsub#event",
  forward: "urn:xmpp:forward:0",
  mam: "urn:xmpp:mam:2",
  markers: "urn:xmpp:mds:displayed:0",
  options: "http://jabber.org/protocol/pubsub#publish-options",
  pubsub: "http://jabber.org/protocol/pubsub",
  rsm: "http://jabber.org/protocol/rsm",
  sid: "urn:xmpp:sid:0",
  storage: "storage:bookmarks",
} as const;
/** Of no domain that is served, so that a change of domain leaves it alone. */
const contactItem = "contact@people.example";
const wanted = [ns.bookmarks, ns.markers].map((node) => `${node}+notify`);
const features = [ns.caps, ns.disco, ...wanted].sort();
const ver = createHash("sha1")
  .update(`client/pc//d<${features.map((feature) => `${feature}<`).join("")}`)
  .digest("base64");

/** A message as its sender knows it. */
type Said = {
  from: string;
  /** Whether the server had to refuse it; undefined: it could come before or after a change of the block list. */
  refused: boolean | undefined;
};
/** What must hold in the end, kept by the steps themselves. */
export type Truth = {
  said: Map<string, Said>;
  /** 0: the contact; else strangers. */
  blocked: Set<number>;
  rooms: Set<string>;
  /** The read marker last published. */
  read: string | undefined;
  count: number;
  /** Texts of messages that a client may have to send again. */
  pending: () => ReadonlySet<string>;
};
type Parts = { core: TestCore; user: string; name: string; other: string; truth: Truth };

/** A client as its user sees it: what it shows follows from what it heard, by the rules that clients go by. */
export class Device {
  online: XmppClient | undefined;
  readonly #parts: Parts;
  /** Dropped and not logged in again: the stream may be resumed. */
  #cut: XmppClient | undefined;
  #lastJid = "";
  /** Newest archive id it knows: from where it catches up. */
  #newest: string | undefined;
  /** Messages by their text, with the archive id if it is known. */
  readonly #shown = new Map<string, string | undefined>();
  /** Of what it sent, by id: the text, and the newest archive id it knew then. */
  readonly #sent = new Map<string, { text: string; since: string | undefined }>();
  #blocked = new Set<string>();
  #rooms = new Set<string>();
  #read: string | undefined;
  #personalNodes = false;
  /** Private storage and the node show the same bookmarks. */
  #unified = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Where its messages came from last, for who answers to the device. */
  get full(): string {
    return this.#lastJid;
  }

  /** Texts of what it sends again after a resumption, answered or not. */
  get pending(): readonly string[] {
    return ((this.#cut ?? this.online)?.unacked ?? []).filter(isMessage).map(textOf);
  }

  /** As a client that starts: everything is asked for anew, messages since the last one that is known. */
  async login(): Promise<void> {
    const { core, user, name } = this.#parts;
    // What was refused is answered, acknowledged or not.
    const unsent = (this.#cut?.unacked ?? []).filter((stanza) => isMessage(stanza) && this.#shown.has(textOf(stanza)));
    const domain = core.server.names.primary.name;
    // What was sent after that may have been archived before what came in since.
    const oldest = [...this.#sent.values()].find(({ text }) => unsent.some((stanza) => textOf(stanza) === text));
    const since = oldest === undefined ? this.#newest : oldest.since;
    this.#cut = undefined;
    const client = await core.login(user, { domain, resource: name, sm: true });
    this.online = client;
    this.#lastJid = client.jid;
    await client.set(`<enable xmlns='${ns.carbons}'/>`);
    client.presence(`<c xmlns='${ns.caps}' hash='sha-1' node='urn:x' ver='${ver}'/>`);
    // The server asks what the hash stands for.
    for (let round = 0; round < 2; round++) await this.settle();
    const about = (await client.get(`<query xmlns='${ns.disco}'/>`, client.bare)).getChild("query");
    this.#personalNodes = about?.getChildren("identity").some(({ attrs }) => attrs.type === "pep") ?? false;
    this.#unified = about?.getChildren("feature").some(({ attrs }) => attrs.var === `${ns.bookmarks}#compat`) ?? false;
    const archived = new Set((await this.#catchUp(since)).map(({ text }) => text));
    for (const stanza of unsent) if (!archived.has(textOf(stanza))) client.send(stanza);
    await this.#forgetRefused(new Set(unsent.map(textOf)));
    this.#blocked = await this.#blockList();
    this.#rooms = await this.#bookmarks();
    this.#read = await this.#marker();
  }

  /** After `cut` by resumption, or anew; after `close` anew. */
  async back(fresh: boolean): Promise<void> {
    const cut = this.#cut;
    if (cut === undefined || fresh) return this.login();
    const answer = await cut.attemptResume();
    if (answer.is("failed")) {
      cut.drop();
      return this.login();
    }
    for (const stanza of [...cut.unacked]) {
      if (isMessage(stanza)) this.#show(textOf(stanza), undefined);
      cut.connection.send(stanza);
    }
    this.online = cut;
    this.#cut = undefined;
    await this.settle();
  }

  cut(): boolean {
    const client = this.online;
    if (client === undefined) return false;
    client.drop();
    this.#collect(client);
    this.#cut = client;
    this.online = undefined;
    return true;
  }

  async close(): Promise<boolean> {
    const client = this.online;
    if (client === undefined) return false;
    await this.settle();
    await client.close();
    this.#collect(client);
    this.online = undefined;
    return true;
  }

  /** To the bare address of the other person, or to one device's. */
  send(to: string | undefined): boolean {
    const client = this.online;
    if (client === undefined) return false;
    const { truth, user, name, other, core } = this.#parts;
    const text = `${name}${++truth.count}`;
    truth.said.set(text, { from: user, refused: truth.blocked.has(0) });
    this.#shown.set(text, undefined);
    const id = client.message(to ?? `${other}@${core.server.names.primary.name}`, text);
    this.#sent.set(id, { text, since: this.#newest });
    return true;
  }

  /** Waits until the server has handled all that was sent, and takes in what came. */
  async settle(): Promise<void> {
    if (this.online === undefined) return;
    await this.online.ping();
    this.#collect(this.online);
  }

  async block(whom: number, on: boolean): Promise<boolean> {
    const { truth, core, other } = this.#parts;
    const client = this.online;
    if (client === undefined || truth.blocked.has(whom) === on) return false;
    const jid = whom === 0 ? `${other}@${core.server.names.primary.name}` : `spam${whom}@elsewhere.example`;
    const change = on ? "block" : "unblock";
    if (whom === 0)
      for (const text of truth.pending()) Object.assign(truth.said.get(text) ?? {}, { refused: undefined });
    accepted(change, await client.set(`<${change} xmlns='${ns.blocking}'><item jid='${jid}'/></${change}>`));
    // Not pushed to who asked, by some servers.
    if (on) this.#blocked.add(neutral(jid));
    else this.#blocked.delete(neutral(jid));
    if (on) truth.blocked.add(whom);
    else truth.blocked.delete(whom);
    return true;
  }

  async bookmark(room: number, on: boolean, old: boolean): Promise<boolean> {
    const client = this.online;
    const { rooms } = this.#parts.truth;
    const jid = `room${room}@rooms.example`;
    if (client === undefined || rooms.has(jid) === on) return false;
    if (on) rooms.add(jid);
    else rooms.delete(jid);
    if (!this.#personalNodes || (old && this.#unified)) {
      const stored = await this.#bookmarks("private");
      if (on) stored.add(jid);
      else stored.delete(jid);
      const conferences = [...stored].map((one) => `<conference jid='${one}'/>`).join("");
      const storage = `<storage xmlns='${ns.storage}'>${conferences}</storage>`;
      accepted("bookmarks", await client.set(`<query xmlns='jabber:iq:private'>${storage}</query>`));
    } else if (on)
      accepted("bookmark", await client.set(published(ns.bookmarks, jid, `<conference xmlns='${ns.bookmarks}'/>`)));
    else {
      const retract = `<retract node='${ns.bookmarks}' notify='true'><item id='${jid}'/></retract>`;
      accepted("retraction", await client.set(`<pubsub xmlns='${ns.pubsub}'>${retract}</pubsub>`));
    }
    return true;
  }

  async markRead(): Promise<boolean> {
    const client = this.online;
    if (client === undefined || !this.#personalNodes || this.#newest === undefined) return false;
    this.#parts.truth.read = this.#newest;
    const id = `<stanza-id xmlns='${ns.sid}' by='${client.bare}' id='${this.#newest}'/>`;
    const marker = `<displayed xmlns='${ns.markers}'>${id}</displayed>`;
    accepted("marker", await client.set(published(ns.markers, contactItem, marker)));
    return true;
  }

  /** What is wrong: where what it shows is not what the server keeps, or that is not what must be. */
  async compare(): Promise<readonly string[]> {
    const { truth, user, name, other } = this.#parts;
    const archive = await this.#fetch(undefined);
    const problems: string[] = [];
    const wrong = (what: string): unknown => problems.push(`${name}: ${what}`);
    const kept = new Map<string, string>();
    for (const { text, id } of archive) {
      if (kept.has(text)) wrong(`${text} is in the archive twice`);
      kept.set(text, id);
    }
    for (const [text, { refused }] of truth.said) {
      if (refused === false && !kept.has(text)) wrong(`${text} was taken and is not in the archive`);
      if (refused === true && kept.has(text)) wrong(`${text} was refused and is in the archive`);
    }
    for (const [text, id] of kept) {
      const shown = this.#shown.get(text);
      if (!this.#shown.has(text)) wrong(`${text}, ${id} in the archive, is not shown`);
      else if (shown !== undefined && shown !== id) wrong(`${text} is shown as ${shown}, ${id} in the archive`);
    }
    for (const text of this.#shown.keys()) {
      const said = truth.said.get(text);
      const mayBeLost = said?.from === user && text.startsWith(name) && said.refused !== false;
      if (!kept.has(text) && !mayBeLost) wrong(`${text} is shown and not in the archive`);
    }
    for (const device of ["A", "B", "C"]) {
      const numbers = archive.filter(({ text }) => text.startsWith(device)).map(({ text }) => Number(text.slice(1)));
      if (numbers.some((number, at) => number < (numbers[at - 1] ?? 0))) wrong(`the order of ${device} is ${numbers}`);
    }
    if (name === "C") return problems;
    const same = (what: string, one: Iterable<string>, must: Iterable<string>): void => {
      const [is, ought] = [[...one].sort().join(), [...must].sort().join()];
      if (is !== ought) wrong(`${what}: ${is || "nothing"} instead of ${ought || "nothing"}`);
    };
    const blocked = [...truth.blocked].map((whom) => (whom === 0 ? `${other}@` : `spam${whom}@elsewhere.example`));
    same("the block list as pushed", this.#blocked, blocked);
    same("the block list", await this.#blockList(), blocked);
    if (this.#personalNodes) same("bookmarks as pushed", this.#rooms, truth.rooms);
    same("bookmarks", await this.#bookmarks(), truth.rooms);
    if (this.#unified) same("bookmarks in private storage", await this.#bookmarks("private"), truth.rooms);
    if (this.#personalNodes) same("the read marker", [this.#read ?? ""], [truth.read ?? ""]);
    return problems;
  }

  /** Sent and acknowledged, refused, and the refusal lost with the connection: a client finds no trace of it on the server. */
  async #forgetRefused(resent: ReadonlySet<string>): Promise<void> {
    const { said } = this.#parts.truth;
    const doubtful = [...this.#shown].filter(
      ([text, id]) => id === undefined && !resent.has(text) && said.get(text)?.refused !== false,
    );
    if (doubtful.length === 0) return;
    const all = new Set((await this.#fetch(undefined)).map(({ text }) => text));
    for (const [text] of doubtful) if (!all.has(text)) this.#shown.delete(text);
  }

  #collect(client: XmppClient): void {
    const { inbox } = client.connection;
    for (const stanza of inbox.splice(0, inbox.length)) {
      if (stanza.is("message")) this.#message(stanza);
      else if (stanza.is("iq") && /^[gs]et$/.test(stanza.attrs.type)) this.#request(client, stanza);
      else if (!isStanza(stanza)) inbox.push(stanza);
    }
  }

  #request(client: XmppClient, iq: Element): void {
    const [payload] = iq.getChildElements();
    if (payload?.is("unblock", ns.blocking) && payload.getChildElements().length === 0) this.#blocked.clear();
    for (const item of payload?.getChildren("item") ?? [])
      if (payload?.is("block", ns.blocking)) this.#blocked.add(neutral(item.attrs.jid));
      else if (payload?.is("unblock", ns.blocking)) this.#blocked.delete(neutral(item.attrs.jid));
    const answer = payload?.is("query", ns.disco)
      ? `<query xmlns='${ns.disco}' node='${payload.attrs.node}'><identity category='client' type='pc' name='d'/>${features.map((feature) => `<feature var='${feature}'/>`).join("")}</query>`
      : "";
    const to = iq.attrs.from === undefined ? "" : ` to='${iq.attrs.from}'`;
    client.send(`<iq type='result' id='${iq.attrs.id}'${to}>${answer}</iq>`);
  }

  #message(message: Element): void {
    const copy = message.getChild("sent", ns.carbons) ?? message.getChild("received", ns.carbons);
    const inner = copy?.getChild("forwarded", ns.forward)?.getChild("message");
    const items = message.getChild("event", ns.event)?.getChild("items");
    if (message.attrs.type === "error") this.#refused(message);
    else if (inner !== undefined) this.#hear(inner);
    else if (items !== undefined) this.#event(items);
    // The service itself speaks when its name changes.
    else if (message.attrs.from?.includes("@") && message.getChild("body") !== undefined) this.#hear(message);
  }

  #refused(message: Element): void {
    const text = this.#sent.get(message.attrs.id)?.text;
    if (text === undefined) return;
    const said = this.#parts.truth.said.get(text);
    if (said?.refused === false) throw new Error(`${text} is refused: ${message.toString()}`);
    if (said !== undefined) said.refused = true;
    this.#shown.delete(text);
  }

  #event(items: Element): void {
    const { node } = items.attrs;
    for (const item of items.getChildren("item"))
      if (node === ns.bookmarks) this.#rooms.add(item.attrs.id);
      else if (node === ns.markers) this.#read = markerOf(item);
    for (const { attrs } of items.getChildren("retract")) if (node === ns.bookmarks) this.#rooms.delete(attrs.id);
  }

  #hear(message: Element): void {
    const id = message.getChildren("stanza-id").find(({ attrs }) => attrs.by?.startsWith(`${this.#parts.user}@`))
      ?.attrs.id;
    this.#show(message.getChildText("body") ?? "", id);
    if (id !== undefined) this.#newest = id;
  }

  #show(text: string, id: string | undefined): void {
    const known = this.#shown.get(text);
    if (known !== undefined && id !== undefined && known !== id)
      throw new Error(`${this.#parts.name} is told ${text} as ${known} and as ${id}`);
    this.#shown.set(text, known ?? id);
  }

  async #catchUp(since: string | undefined): Promise<readonly { text: string; id: string }[]> {
    const entries = await this.#fetch(since);
    for (const { text, id } of entries) this.#show(text, id);
    this.#newest = entries.at(-1)?.id ?? this.#newest;
    return entries;
  }

  async #fetch(since: string | undefined): Promise<readonly { text: string; id: string }[]> {
    const client = this.#connected();
    const entries: { text: string; id: string }[] = [];
    for (let after = since; ; after = entries.at(-1)?.id) {
      const set = `<set xmlns='${ns.rsm}'><max>7</max>${after === undefined ? "" : `<after>${after}</after>`}</set>`;
      const answer = await client.set(`<query xmlns='${ns.mam}'>${set}</query>`);
      accepted("archive query", answer);
      const { inbox } = client.connection;
      for (const stanza of inbox.splice(0, inbox.length)) {
        const result = stanza.getChild("result", ns.mam);
        const message = result?.getChild("forwarded", ns.forward)?.getChild("message");
        if (result === undefined || message === undefined) inbox.push(stanza);
        else entries.push({ text: message.getChildText("body") ?? "", id: result.attrs.id });
      }
      if (answer.getChild("fin", ns.mam)?.attrs.complete === "true") break;
    }
    this.#collect(client);
    return entries;
  }

  async #blockList(): Promise<Set<string>> {
    const answer = await this.#connected().get(`<blocklist xmlns='${ns.blocking}'/>`);
    const items = answer.getChild("blocklist", ns.blocking)?.getChildren("item") ?? [];
    return new Set(items.map(({ attrs }) => neutral(attrs.jid)));
  }

  async #bookmarks(from: "private" | "node" = this.#personalNodes ? "node" : "private"): Promise<Set<string>> {
    if (from === "node") return new Set((await this.#items(ns.bookmarks)).map(({ attrs }) => attrs.id));
    const answer = await this.#connected().get(
      `<query xmlns='jabber:iq:private'><storage xmlns='${ns.storage}'/></query>`,
    );
    const stored = answer.getChild("query")?.getChild("storage", ns.storage)?.getChildren("conference") ?? [];
    return new Set(stored.map(({ attrs }) => attrs.jid));
  }

  async #marker(): Promise<string | undefined> {
    const [item] = this.#personalNodes ? await this.#items(ns.markers) : [];
    return item && markerOf(item);
  }

  async #items(node: string): Promise<readonly Element[]> {
    const answer = await this.#connected().get(`<pubsub xmlns='${ns.pubsub}'><items node='${node}'/></pubsub>`);
    return answer.getChild("pubsub", ns.pubsub)?.getChild("items")?.getChildren("item") ?? [];
  }

  #connected(): XmppClient {
    if (this.online === undefined) throw new Error(`${this.#parts.name} is not there`);
    return this.online;
  }
}

const isMessage = (stanza: string): boolean => stanza.startsWith("<message");
const textOf = (stanza: string): string => /<body>([^<]*)</.exec(stanza)?.[1] ?? "";
const markerOf = (item: Element): string | undefined =>
  item.getChild("displayed", ns.markers)?.getChild("stanza-id", ns.sid)?.attrs.id;
/** An address without the domain, if it is one of those that the server had or has. */
const neutral = (jid: string): string => jid.replace(/@(localhost|d\d+-\d+\.example)$/, "@");

function accepted(what: string, answer: Element): void {
  if (answer.attrs.type !== "result") throw new Error(`${what}: ${answer.toString()}`);
}

/** A publish with the options that both specifications ask for. XEP-0402 §3.2, XEP-0490 §4.1 */
function published(node: string, id: string, payload: string): string {
  const fields = {
    persist_items: "true",
    max_items: "max",
    send_last_published_item: "never",
    access_model: "whitelist",
  };
  const form = Object.entries(fields).map(
    ([name, value]) => `<field var='pubsub#${name}'><value>${value}</value></field>`,
  );
  const type = `<field var='FORM_TYPE' type='hidden'><value>${ns.options}</value></field>`;
  const options = `<publish-options><x xmlns='jabber:x:data' type='submit'>${type}${form.join("")}</x></publish-options>`;
  return `<pubsub xmlns='${ns.pubsub}'><publish node='${node}'><item id='${id}'>${payload}</item></publish>${options}</pubsub>`;
}
