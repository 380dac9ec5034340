/**
 * A small XMPP client that looks at our own server from outside: connect, TLS, SCRAM-SHA-256, bind, one message to
 * itself. RFC 6120, RFC 5802, RFC 7677; direct TLS by XEP-0368.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual, X509Certificate } from "node:crypto";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { type Element, parse } from "ltx";
import { covers } from "../network/address-list.ts";

/** Where to look. */
export type ProbePlace = {
  host: string;
  port: number;
  direct: boolean;
  timeoutMs: number;
  /** Addresses from which the server takes nothing without a PROXY protocol header. */
  proxies?: readonly string[];
};

export type ProbeTarget = ProbePlace & { domain: string; name: string; password: string };

/** Logs in, hears itself, logs out; resolves with the certificate the server showed. Rejects with a sentence. */
export async function probeLogin(target: ProbeTarget): Promise<X509Certificate> {
  const plain = await connected(target);
  const limit = setTimeout(
    () => plain.destroy(new Error(`no answer within ${target.timeoutMs / 1000} s`)),
    target.timeoutMs,
  );
  let tls: TLSSocket | undefined;
  try {
    if (!target.direct) await startTls(plain, target);
    tls = await secured(plain, target);
    const certificate = new X509Certificate(tls.getPeerX509Certificate()?.raw ?? Buffer.alloc(0));
    const stream = new Stream(tls);
    await scram(stream, target);
    await hearOneself(stream, target);
    await stream.end();
    return certificate;
  } finally {
    clearTimeout(limit);
    tls?.destroy();
    plain.destroy();
  }
}

/** The certificate that is shown on a connection which stands already. Rejects with a sentence. */
export async function probeCertificate(
  plain: Socket,
  target: Pick<ProbeTarget, "domain" | "direct" | "timeoutMs">,
): Promise<X509Certificate> {
  const { timeoutMs } = target;
  const limit = setTimeout(() => plain.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    if (!target.direct) await startTls(plain, target);
    const tls = await secured(plain, target);
    const certificate = new X509Certificate(tls.getPeerX509Certificate()?.raw ?? Buffer.alloc(0));
    tls.destroy();
    return certificate;
  } finally {
    clearTimeout(limit);
  }
}

/** Resolves when something listens there. */
export async function probePort(place: Omit<ProbePlace, "direct">): Promise<void> {
  (await connected(place)).destroy();
}

/** PROXY protocol 2, LOCAL: a proxy that connects for itself, as for a health check. */
const localHeader = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");

function connected({ host, port, timeoutMs, proxies = [] }: Omit<ProbePlace, "direct">): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectPlain({ host, port });
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      socket.setTimeout(0);
      if (proxies.length > 0 && covers(proxies, socket.localAddress ?? "")) socket.write(localHeader);
      resolve(socket);
    });
  });
}

async function startTls(plain: Socket, { domain }: Pick<ProbeTarget, "domain">): Promise<void> {
  const stream = new Stream(plain);
  const features = await stream.open(domain);
  if (!features.getChild("starttls")) throw new Error("STARTTLS is not offered");
  stream.send('<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>');
  const answer = await stream.next();
  if (answer.name !== "proceed") throw new Error(`STARTTLS was answered by <${answer.name}/>`);
  stream.release();
}

function secured(plain: Socket, { domain, direct }: Pick<ProbeTarget, "domain" | "direct">): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // Our own server, often self-signed: names, dates and fingerprint are checked by verify, not a chain of trust.
    const socket = connectTls({
      socket: plain,
      servername: domain,
      rejectUnauthorized: false,
      ...(direct ? { ALPNProtocols: ["xmpp-client"] } : {}),
    });
    socket.once("error", reject);
    plain.once("close", () => reject(new Error("the server closed the connection during the TLS handshake")));
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

async function scram(stream: Stream, { name, password, domain }: ProbeTarget): Promise<void> {
  const features = await stream.open(domain);
  const mechanisms = features
    .getChild("mechanisms")
    ?.children.map((one) => (typeof one === "string" ? one : one.text()));
  if (!mechanisms?.includes("SCRAM-SHA-256")) return plainLogin(stream, name, password, mechanisms ?? []);
  const nonce = randomBytes(18).toString("base64");
  const first = `n=${name},r=${nonce}`;
  const sasl = 'xmlns="urn:ietf:params:xml:ns:xmpp-sasl"';
  stream.send(`<auth ${sasl} mechanism="SCRAM-SHA-256">${base64(`n,,${first}`)}</auth>`);
  const challenge = Buffer.from((await stream.expect("challenge")).text(), "base64").toString();
  const parts = new Map(challenge.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
  const salt = Buffer.from(parts.get("s") ?? "", "base64");
  const salted = pbkdf2Sync(password, salt, Number(parts.get("i")), 32, "sha256");
  const clientKey = hmac(salted, "Client Key");
  const final = `c=biws,r=${parts.get("r")}`;
  const signed = `${first},${challenge},${final}`;
  const signature = hmac(createHash("sha256").update(clientKey).digest(), signed);
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString("base64");
  stream.send(`<response ${sasl}>${base64(`${final},p=${proof}`)}</response>`);
  const success = Buffer.from((await stream.expect("success")).text(), "base64").toString();
  const expected = Buffer.from(`v=${hmac(hmac(salted, "Server Key"), signed).toString("base64")}`);
  const given = Buffer.from(success);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new Error("the server does not know the password it has just accepted");
  }
}

async function plainLogin(stream: Stream, name: string, password: string, offered: readonly string[]): Promise<void> {
  if (!offered.includes("PLAIN"))
    throw new Error(`neither SCRAM-SHA-256 nor PLAIN is offered, but ${offered.join(", ") || "nothing"}`);
  stream.send(
    `<auth xmlns="urn:ietf:params:xml:ns:xmpp-sasl" mechanism="PLAIN">${base64(`\0${name}\0${password}`)}</auth>`,
  );
  await stream.expect("success");
}

async function hearOneself(stream: Stream, { domain }: ProbeTarget): Promise<void> {
  await stream.open(domain);
  stream.send('<iq type="set" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/></iq>');
  const bound = await stream.expect("iq");
  const address = bound.getChild("bind")?.getChildText("jid");
  if (!address) throw new Error("no resource was bound");
  const word = randomBytes(9).toString("base64url");
  stream.send(`<message to="${escaped(address)}" type="chat" id="${word}"><body>${word}</body></message>`);
  for (;;) {
    const heard = await stream.next();
    if (heard.name === "message" && heard.getChildText("body") === word) return;
    if (heard.name === "message" && heard.attrs.type === "error") throw new Error("the message to itself was refused");
  }
}

/** Elements of one stream. Reads what our own server wrote: ltx is good enough for that, and only for that. */
class Stream {
  readonly #socket: Socket | TLSSocket;
  readonly #arrived: Element[] = [];
  readonly #onData = (bytes: Buffer) => this.#read(bytes);
  readonly #onClose = () => this.#fail(new Error("the server closed the connection"));
  readonly #onError = (error: Error) => this.#fail(error);
  #text = "";
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket | TLSSocket) {
    this.#socket = socket;
    socket.on("data", this.#onData);
    socket.on("close", this.#onClose);
    socket.on("error", this.#onError);
  }

  /** Opens or reopens the stream and returns its features. */
  async open(domain: string): Promise<Element> {
    this.#text = "";
    this.send(
      `<stream:stream xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" to="${escaped(domain)}" version="1.0">`,
    );
    return this.expect("features");
  }

  send(text: string): void {
    this.#socket.write(text);
  }

  async next(): Promise<Element> {
    while (this.#arrived.length === 0) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#arrived.shift() as Element;
  }

  async expect(name: string): Promise<Element> {
    const element = await this.next();
    const local = element.name.replace(/^.*:/, "");
    if (local === name) return element;
    const condition = element.children.find((child) => typeof child !== "string");
    throw new Error(
      `the server answered <${element.name}>${condition && typeof condition !== "string" ? ` ${condition.name}` : ""}`,
    );
  }

  /** Closes the stream and waits for the other side to do the same, RFC 6120 §4.4. */
  async end(): Promise<void> {
    this.send("</stream:stream>");
    while (!this.#failure) await this.next().catch(() => {});
  }

  release(): void {
    this.#socket.off("data", this.#onData).off("close", this.#onClose).off("error", this.#onError);
  }

  #read(bytes: Buffer): void {
    this.#text += bytes.toString();
    for (let end = elementEnd(this.#text); end !== undefined; end = elementEnd(this.#text)) {
      const text = this.#text.slice(0, end);
      this.#text = this.#text.slice(end);
      if (/^\s*<\/stream:stream/.test(text)) this.#fail(new Error("the server closed the stream"));
      else if (!/^\s*<(\?|stream:stream)/.test(text)) this.#arrived.push(parse(text));
    }
    this.#wake?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}

/** Where the first complete element, stream header or declaration ends. */
function elementEnd(text: string): number | undefined {
  let depth = 0;
  for (const tag of text.matchAll(/<(?:"[^"]*"|'[^']*'|[^'">])*>/g)) {
    const end = tag.index + tag[0].length;
    if (/^<(\?|\/?stream:stream[\s>])/.test(tag[0]) && depth === 0) return end;
    if (tag[0].startsWith("</")) depth--;
    else if (!tag[0].endsWith("/>")) depth++;
    if (depth === 0) return end;
  }
  return undefined;
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
