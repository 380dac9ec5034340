import { randomInt } from "node:crypto";
import { type IncomingHttpHeaders, Agent as PlainAgent, type RequestOptions, request as requestPlain } from "node:http";
import { Agent, request as requestSecure } from "node:https";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { type Element, parse } from "ltx";
import type { WebWhere } from "./websocket.ts";

export interface BoshAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The envelope; an empty one if the answer is none. */
  readonly body: Element;
}

/** One HTTP request to a port for browsers. */
export function ask(
  to: WebWhere,
  {
    method = "POST",
    path = "/http-bind/",
    body = "",
    headers = {},
    agent,
  }: {
    method?: string;
    path?: string;
    body?: string;
    headers?: Record<string, string>;
    agent?: Agent | PlainAgent | false;
  } = {},
): Promise<BoshAnswer> {
  const options: RequestOptions & { rejectUnauthorized: boolean } = {
    ...{ host: to.host, port: to.port, method, path, rejectUnauthorized: false, agent: agent ?? false },
    ...(to.from === undefined ? {} : { localAddress: to.from }),
    headers: { host: "localhost", "content-type": "text/xml; charset=utf-8", ...to.headers, ...headers },
  };
  return new Promise((resolve, reject) => {
    const sent = (to.plain === true ? requestPlain : requestSecure)(options, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
      });
      answer.once("end", () => {
        const isBody = text.startsWith("<body");
        const { statusCode: status = 0, headers: got } = answer;
        resolve({ status, headers: got, text, body: parse(isBody ? text : "<none/>") });
      });
      answer.once("error", reject);
    });
    sent.once("error", reject);
    sent.end(body);
  });
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("'", "&apos;").replaceAll("<", "&lt;");

/** A request's envelope. */
export function envelope(attributes: Record<string, string | number | undefined>, payload = ""): string {
  const all = { xmlns: "http://jabber.org/protocol/httpbind", "xmlns:xmpp": "urn:xmpp:xbosh", ...attributes };
  const written = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [` ${name}='${escaped(String(value))}'`],
  );
  return `<body${written.join("")}>${payload}</body>`;
}

export interface Creation {
  rid?: number;
  hold?: number;
  wait?: number;
  [more: string]: string | number | undefined;
}

/** One BOSH session, request by request. */
export class BoshSession {
  readonly to: WebWhere;
  sid = "";
  rid: number;
  created: Element | undefined;
  readonly #agent: Agent | PlainAgent;

  constructor(to: WebWhere) {
    this.to = to;
    this.rid = randomInt(2 ** 40);
    this.#agent =
      to.plain === true
        ? new PlainAgent({ keepAlive: true })
        : new Agent({ keepAlive: true, rejectUnauthorized: false });
  }

  async create(attributes: Creation = {}): Promise<Element> {
    const { rid = this.rid } = attributes;
    this.rid = rid;
    const usual = { to: "localhost", hold: 1, wait: 60, ver: "1.6", "xmpp:version": "1.0", "xml:lang": "en" };
    const { body } = await this.raw(envelope({ ...usual, ...attributes, rid }));
    this.sid = body.attrs.sid ?? "";
    this.created = body;
    return body;
  }

  /** The next request; attributes may say otherwise. Its answer comes when the server has something to say. */
  send(payload = "", attributes: Record<string, string | number | undefined> = {}): Promise<BoshAnswer> {
    if (attributes.rid === undefined) this.rid++;
    return this.raw(envelope({ rid: this.rid, sid: this.sid, ...attributes }, payload));
  }

  raw(body: string, headers: Record<string, string> = {}): Promise<BoshAnswer> {
    return ask(this.to, { body, headers, agent: this.#agent });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** A BOSH session, shown as the text of a TCP stream, so that the same client speaks over both. */
export async function boshStream(to: WebWhere): Promise<Socket> {
  return new BodyStream(new BoshSession(to)) as unknown as Socket;
}

class BodyStream extends Duplex {
  readonly #session: BoshSession;
  readonly #waiting: { payload: string; attributes: Record<string, string> }[] = [];
  /** Answers that overtook the one before, which came on another connection. */
  readonly #early = new Map<number, BoshAnswer>();
  #taken = 0;
  #open = 0;
  #over = false;

  constructor(session: BoshSession) {
    super({ decodeStrings: false });
    this.#session = session;
  }

  override _read(): void {}

  override _write(chunk: Buffer | string, _encoding: string, done: () => void): void {
    const text = chunk.toString();
    const to = /<stream:stream .*?to='([^']*)'/.exec(text)?.[1];
    if (to !== undefined) this.#header();
    if (to !== undefined && this.#session.sid === "") {
      void this.#session.create({ to }).then(
        (body) => {
          this.#taken = this.#session.rid;
          this.#take(body.toString(), body);
        },
        (error: Error) => this.destroy(error),
      );
    } else if (to !== undefined) this.#request("", { to, "xmpp:restart": "true" });
    else if (text === "</stream:stream>") this.#request("", { type: "terminate" });
    else
      this.#request(
        /^<(message|presence|iq)[ />]/.test(text) ? text.replace(/^<\w+/, "$& xmlns='jabber:client'") : text,
      );
    done();
  }

  /** What the answers hold is read as one document. */
  #header(): void {
    const spaces = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
    this.push(`<stream:stream ${spaces} from='localhost' id='' version='1.0'>`);
  }

  #request(payload: string, attributes: Record<string, string> = {}): void {
    const last = this.#waiting.at(-1);
    const plain = Object.keys(attributes).length === 0;
    if (plain && last !== undefined && Object.keys(last.attributes).length === 0) last.payload += payload;
    else this.#waiting.push({ payload, attributes });
    this.#pump();
  }

  /** Two requests are open at most, as was agreed; one waits at the server while there is nothing to say. */
  #pump(): void {
    if (this.#session.sid === "") return;
    while (!this.#over && this.#open < 2 && (this.#waiting.length > 0 || this.#open === 0)) {
      const { payload, attributes } = this.#waiting.shift() ?? { payload: "", attributes: {} };
      this.#open++;
      this.#attempt(payload, { ...attributes, rid: ++this.#session.rid }, 400);
    }
  }

  #attempt(payload: string, attributes: { rid: number; [more: string]: string | number }, left: number): void {
    // As a browser does: the connection broke, so the same request is sent again.
    const again = (why: string): void => {
      if (this.#over) return;
      if (left === 0) this.destroy(new Error(why));
      else setTimeout(() => this.#attempt(payload, attributes, left - 1), 50);
    };
    this.#session.send(payload, attributes).then(
      (answer) => {
        if (answer.status !== 200) return again(`answered ${answer.status}: ${answer.text}`);
        this.#early.set(attributes.rid, answer);
        this.#inOrder();
      },
      (error: Error) => again(error.message),
    );
  }

  #inOrder(): void {
    for (let next = this.#early.get(this.#taken + 1); next !== undefined; next = this.#early.get(this.#taken + 1)) {
      this.#early.delete(++this.#taken);
      this.#open--;
      this.#take(next.text, next.body);
    }
  }

  #take(text: string, body: Element): void {
    if (this.#over) return;
    const start = text.indexOf(">") + 1;
    const inner = text.endsWith("/>") && start === text.length ? "" : text.slice(start, text.lastIndexOf("</body>"));
    for (const child of body.getChildElements())
      if (child.attrs.xmlns === undefined && !child.getName().startsWith("stream") && !child.name.startsWith("stream:"))
        this.destroy(new Error(`without a namespace: ${child.toString()}`));
    if (inner !== "") this.push(inner);
    if (body.attrs.type === "terminate") {
      this.#over = true;
      if (body.attrs.condition === undefined || inner !== "") this.push("</stream:stream>");
      this.push(null);
      this.destroy();
      return;
    }
    this.#pump();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#over = true;
    this.#session.close();
    done(error);
  }

  resetAndDestroy(): void {
    this.destroy();
  }
}
