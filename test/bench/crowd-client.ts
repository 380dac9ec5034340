import { createHash } from "node:crypto";
import { passwordOf, userOf } from "./accounts.ts";
import { type LoadClient, loadLogin } from "./load-client.ts";
import type { Subject } from "./subject.ts";

const disco = "http://jabber.org/protocol/disco#info";
const wanted = "http://jabber.org/protocol/tune+notify";
const ver = createHash("sha1").update(`client/pc//crowd<${disco}<${wanted}<`).digest("base64");
const presence = Buffer.from("<presence");

/** A client that counts words in bytes and parses nothing but what it must answer. */
export class CrowdClient {
  readonly index: number;
  readonly jid: string;
  presences = 0;
  readonly #client: LoadClient;
  #tail = Buffer.alloc(0);
  #text = "";
  #look: { pattern: RegExp; found: () => void } | undefined;
  #awaited: { word: Buffer; left: number; found: () => void; promise: Promise<void> } | undefined;
  #pings = 0;

  constructor(client: LoadClient) {
    this.#client = client;
    this.index = client.index;
    this.jid = client.jid;
    client.onBytes((bytes) => this.#take(bytes));
  }

  get bare(): string {
    return this.jid.slice(0, this.jid.indexOf("/"));
  }

  send(xml: string): void {
    this.#client.socket.write(xml);
  }

  drop(): void {
    this.#client.socket.destroy();
  }

  async join(room: string, nick: string): Promise<void> {
    const joined = this.seen(/code=['"]110['"]/);
    this.send(
      `<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`,
    );
    await joined;
  }

  /** Everything sent before it has been handled, and what that led to for this client has come. */
  async ping(): Promise<void> {
    const id = `ping${this.#pings++}`;
    const answered = this.seen(new RegExp(`id=['"]${id}['"]`));
    this.send(
      `<iq type='get' id='${id}' to='${this.bare.slice(this.bare.indexOf("@") + 1)}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    await answered;
  }

  async page(id: string, set: string): Promise<void> {
    const answered = this.seen(new RegExp(`<fin .*id=['"]?|<iq[^>]*id=['"]${id}['"]`));
    this.send(
      `<iq type='set' id='${id}'><query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><max>50</max>${set}</set></query></iq>`,
    );
    await answered;
  }

  showInterest(): void {
    this.send(
      `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:crowd' ver='${ver}'/></presence>`,
    );
  }

  /** Resolves when this has come; one at a time. */
  async seen(pattern: RegExp, withinMs = 300_000): Promise<void> {
    this.#text = "";
    await within(
      new Promise<void>((found) => {
        this.#look = { pattern, found };
      }),
      withinMs,
      `${pattern} to ${this.jid}`,
    );
    this.#look = undefined;
  }

  /** Begins to wait for a word, so many times. */
  expect(word: string, times = 1): void {
    let found = (): void => undefined;
    const promise = new Promise<void>((resolve) => {
      found = resolve;
    });
    this.#awaited = { word: Buffer.from(word), left: times, found, promise };
  }

  async expected(withinMs: number): Promise<void> {
    const awaited = this.#awaited;
    if (awaited !== undefined) await within(awaited.promise, withinMs, `${awaited.word} to ${this.jid}`);
  }

  #take(bytes: Buffer): void {
    this.presences += this.#count(bytes, presence);
    const awaited = this.#awaited;
    if (awaited !== undefined && awaited.left > 0) {
      awaited.left -= this.#count(bytes, awaited.word);
      if (awaited.left <= 0) awaited.found();
    }
    // Also when a word was cut in two.
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - 200)));
    if (bytes.includes(disco)) this.#answer(bytes.toString("latin1"));
    if (this.#look === undefined) return;
    this.#text = (this.#text + bytes.toString("latin1")).slice(-4000 - bytes.length);
    if (this.#look.pattern.test(this.#text)) this.#look.found();
  }

  /** Occurrences that end in these bytes. */
  #count(bytes: Buffer, word: Buffer): number {
    let count = 0;
    const edge = Buffer.concat([
      this.#tail.subarray(Math.max(0, this.#tail.length - word.length + 1)),
      bytes.subarray(0, word.length - 1),
    ]);
    if (edge.indexOf(word) >= 0) count++;
    for (let at = bytes.indexOf(word); at >= 0; at = bytes.indexOf(word, at + word.length)) count++;
    return count;
  }

  #answer(text: string): void {
    for (const [iq] of text.matchAll(/<iq [^>]*type=['"]get['"][^>]*>\s*<query [^>]*disco#info[^>]*>/g)) {
      const attribute = (name: string): string => new RegExp(` ${name}=['"]([^'"]*)['"]`).exec(iq)?.[1] ?? "";
      const node = attribute("node");
      this.send(
        `<iq type='result' id='${attribute("id")}' to='${attribute("from")}'><query xmlns='${disco}' node='${node}'><identity category='client' type='pc' name='crowd'/><feature var='${disco}'/><feature var='${wanted}'/></query></iq>`,
      );
    }
  }
}

/** Logs so many people in, available, eight at a time. */
export async function enter(subject: Subject, people: number): Promise<CrowdClient[]> {
  const clients: CrowdClient[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < people; index = next++) {
      const who = { index, user: userOf(index), password: passwordOf(index), streamManagement: false, presence: true };
      clients[index] = new CrowdClient(await loadLogin(subject.target, who));
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return clients;
}

function within(promise: Promise<void>, ms: number, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
