import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { parse } from "ltx";

export interface WebWhere {
  host: string;
  port: number;
  /** Without TLS. */
  plain?: boolean | undefined;
  from?: string | undefined;
  headers?: Record<string, string> | undefined;
}

/** A connected socket to a port for browsers. */
export async function openWebSocket(to: WebWhere): Promise<Socket> {
  const plain = connectTcp({ host: to.host, port: to.port, localAddress: to.from, noDelay: true });
  await once(plain, "connect");
  if (to.plain === true) return plain;
  const secured = connectTls({ socket: plain, rejectUnauthorized: false });
  await once(secured, "secureConnect");
  return secured;
}

const key = Buffer.from("the sample nonce").toString("base64");

/** Headers of an opening handshake; undefined leaves one out. */
export function handshake(changes: Record<string, string | undefined> = {}, line = "GET /ws/ HTTP/1.1"): string {
  const headers = {
    Host: "localhost",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": key,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "xmpp",
    ...changes,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return [line, ...lines, "", ""].join("\r\n");
}

export interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** What came behind the head. */
  readonly rest: Buffer;
}

/** Sends a head and reads the one that answers. */
export function shake(socket: Socket, request: string): Promise<Answer> {
  socket.write(request);
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const take = (chunk: Buffer): void => {
      read = Buffer.concat([read, chunk]);
      const end = read.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", take);
      socket.pause();
      const [first = "", ...lines] = read.toString("latin1", 0, end).split("\r\n");
      const headers = new Map(
        lines.map((line) => [line.split(":")[0]?.toLowerCase() ?? "", line.replace(/^[^:]*: */, "")]),
      );
      resolve({ status: Number(first.split(" ")[1]), headers, rest: read.subarray(end + 4) });
    };
    socket.on("data", take);
    socket.once("close", () => reject(new Error("closed during the handshake")));
  });
}

export const acceptance = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** One frame of a client; `mask: false` breaks the rule that it is masked. */
export function frame(
  opcode: number,
  payload: string | Uint8Array,
  {
    last = true,
    mask = true,
    reserved = 0,
    length,
  }: { last?: boolean; mask?: boolean; reserved?: number; length?: bigint } = {},
): Buffer {
  const data = Buffer.from(payload as string);
  const announced = length ?? BigInt(data.length);
  const long = announced < 126n ? 0 : announced < 0x10000n ? 2 : 8;
  const head = Buffer.alloc(2 + long + (mask ? 4 : 0));
  head[0] = (last ? 0x80 : 0) | reserved | opcode;
  head[1] = (mask ? 0x80 : 0) | (long === 0 ? Number(announced) : long === 2 ? 126 : 127);
  if (long === 2) head.writeUInt16BE(Number(announced), 2);
  if (long === 8) head.writeBigUInt64BE(announced, 2);
  if (!mask) return Buffer.concat([head, data]);
  const secret = randomBytes(4);
  secret.copy(head, 2 + long);
  for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) ^ (secret[i % 4] as number);
  return Buffer.concat([head, data]);
}

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Reads the frames of a server, which are whole and not masked; throws at any other. */
export function frameReader(take: (frame: Frame) => void): (chunk: Buffer) => void {
  let kept = Buffer.alloc(0);
  return (chunk) => {
    kept = Buffer.concat([kept, chunk]);
    for (;;) {
      if (kept.length < 2) return;
      const [first = 0, second = 0] = kept;
      if ((first & 0xf0) !== 0x80 || second >= 0x80) throw new Error(`a frame that starts ${first} ${second}`);
      const long = second === 127 ? 8 : second === 126 ? 2 : 0;
      if (kept.length < 2 + long) return;
      const length = long === 0 ? second : long === 2 ? kept.readUInt16BE(2) : Number(kept.readBigUInt64BE(2));
      if (kept.length < 2 + long + length) return;
      const payload = kept.subarray(2 + long, 2 + long + length);
      kept = kept.subarray(2 + long + length);
      take({ opcode: first & 15, payload });
    }
  };
}

/** A stream in WebSocket messages, shown as the text of a TCP stream, so that the same client speaks over both. */
export async function webSocketStream(to: WebWhere): Promise<Socket> {
  const socket = await openWebSocket(to);
  const answer = await shake(socket, handshake(to.headers));
  if (answer.status !== 101) throw new Error(`the handshake was answered with ${answer.status}`);
  if (answer.headers.get("sec-websocket-accept") !== acceptance) throw new Error("the wrong sec-websocket-accept");
  if (answer.headers.get("sec-websocket-protocol") !== "xmpp") throw new Error("the wrong subprotocol");
  return new MessageStream(socket, answer.rest) as unknown as Socket;
}

/** What all such streams together were asked. */
export const seen = { pings: 0 };

/** Refuses what stands in no single message: RFC 7395 §3.3. */
class MessageStream extends Duplex {
  readonly #socket: Socket;

  constructor(socket: Socket, rest: Buffer) {
    super({ decodeStrings: false });
    this.#socket = socket;
    const read = frameReader((each) => this.#take(each));
    if (rest.length > 0) read(rest);
    socket.on("data", (chunk: Buffer) => {
      try {
        read(chunk);
      } catch (error) {
        this.destroy(error as Error);
      }
    });
    socket.on("error", (error) => this.emit("error", error));
    socket.on("end", () => this.push(null));
    socket.on("close", () => this.destroy());
    socket.resume();
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  #take({ opcode, payload }: Frame): void {
    if (opcode === 9) {
      seen.pings++;
      this.#socket.write(frame(10, payload));
    }
    if (opcode !== 1) return;
    const element = parse(payload.toString());
    if (!element.is("open") && !element.is("close")) {
      if (element.getNS() === undefined) throw new Error(`without a namespace: ${payload.toString()}`);
      this.push(payload);
      return;
    }
    if (element.getNS() !== "urn:ietf:params:xml:ns:xmpp-framing")
      throw new Error(`a namespace: ${payload.toString()}`);
    if (element.is("close")) this.push("</stream:stream>");
    else {
      const { xmlns: _, ...attributes } = element.attrs;
      const written = Object.entries(attributes).map(([name, value]) => ` ${name}='${value}'`);
      this.push(
        `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'${written.join("")}>`,
      );
    }
  }

  override _read(): void {}

  /** Text is a message; bytes are frames already. */
  override _write(chunk: Buffer | string, _encoding: string, done: () => void): void {
    if (typeof chunk !== "string") {
      this.#socket.write(chunk);
      done();
      return;
    }
    const text = chunk;
    const header = /^<\?xml.*?<stream:stream .*?( to='[^']*' version='[^']*')>$/.exec(text);
    const framing = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'";
    const message = header
      ? `<open ${framing}${header[1]}/>`
      : text === "</stream:stream>"
        ? `<close ${framing}/>`
        : text;
    const named = /^<(message|presence|iq)[ />]/.test(message) && !/^<[^>]* xmlns=/.test(message);
    this.#socket.write(frame(1, named ? message.replace(/^<\w+/, "$& xmlns='jabber:client'") : message));
    done();
  }

  override _final(done: () => void): void {
    this.#socket.end(frame(8, Buffer.of(3, 232)));
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  resetAndDestroy(): void {
    const raw = this.#socket as Socket & { _parent?: Socket };
    (raw._parent ?? raw).resetAndDestroy();
    this.destroy();
  }
}
