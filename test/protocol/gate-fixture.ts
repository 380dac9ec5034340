import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { Connection, TlsFacts } from "../../xmpp-core/transport/connection.ts";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";

export async function makeCertificate(domain: string): Promise<{ name: string; chain: string; key: string }> {
  const key = newKey();
  return { name: domain, key, chain: await selfSigned({ domain, extra: ["127.0.0.1"] }, key, new Date()) };
}

/** Collects a socket's bytes; `until` waits for a text, `ended` for its end. Fails with what came instead. */
export class Peer {
  readonly socket: Socket;
  over = false;
  total = 0;
  #chunks: Buffer[] = [];
  #watchers: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    const wake = () => {
      for (const watcher of this.#watchers) watcher();
    };
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.total += chunk.length;
      wake();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.over = true;
      wake();
    });
  }

  get received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  get text(): string {
    return this.received.toString();
  }

  async until(text: string): Promise<string> {
    await this.when(() => this.text.includes(text), `"${text}"`);
    return this.text;
  }

  async bytes(count: number): Promise<void> {
    await this.when(() => this.total >= count, `${count} bytes`);
  }

  async ended(): Promise<string> {
    if (!this.over) await once(this.socket, "close");
    return this.text;
  }

  private when(isThere: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (!isThere() && !this.over) return;
        this.#watchers = this.#watchers.filter((each) => each !== check);
        if (isThere()) resolve();
        else reject(new Error(`closed before ${what}, after ${JSON.stringify(this.text.slice(-300))}`));
      };
      this.#watchers.push(check);
      check();
    });
  }
}

export async function dial(port: number, host = "127.0.0.1"): Promise<Peer> {
  const socket = connect({ port, host });
  await once(socket, "connect");
  return new Peer(socket);
}

export async function dialTls(port: number, options: ConnectionOptions = {}) {
  const tls = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  const ticket = new Promise<Buffer>((resolve) => tls.once("session", resolve));
  await once(tls, "secureConnect");
  return Object.assign(new Peer(tls), { tls, ticket });
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Starts TLS on a connection in clear, from the client's side. */
export async function upgrade(peer: Peer, options: ConnectionOptions = {}): Promise<Peer & { tls: TLSSocket }> {
  peer.socket.removeAllListeners("data");
  const tls = connectTls({ socket: peer.socket, rejectUnauthorized: false, ...options });
  await once(tls, "secureConnect");
  return Object.assign(new Peer(tls), { tls });
}

/** What a core's handler saw of a connection. */
export interface Seen {
  readonly connection: Connection;
  readonly chunks: Buffer[];
  readonly log: string[];
  facts: TlsFacts | undefined;
}

/** Records everything; `<starttls/>` and `<bye/>` are answered, all else is echoed unless told otherwise. */
export function recorder(options: { echo?: boolean; certificate?: string } = {}) {
  const seen: Seen[] = [];
  let wake: (() => void)[] = [];
  const woken = () => {
    for (const each of wake.splice(0)) each();
  };
  const accept = (connection: Connection) => {
    const entry: Seen = { connection, chunks: [], log: [], facts: connection.tls };
    seen.push(entry);
    connection.receive({
      bytes(chunk) {
        entry.chunks.push(chunk);
        const text = chunk.toString();
        if (text.startsWith("<starttls/>")) {
          connection.write("<proceed/>");
          connection.startTls(options.certificate ?? "");
        } else if (text.startsWith("<bye/>")) {
          connection.write("<bye/>");
          connection.close();
        } else if (options.echo !== false) connection.write(chunk);
        woken();
      },
      secured(facts) {
        entry.facts = facts;
        entry.log.push("secured");
        woken();
      },
      drained() {
        entry.log.push("drained");
        woken();
      },
      injected() {
        entry.log.push("injected");
        woken();
      },
      closed(reason) {
        entry.log.push(`closed: ${reason}`);
        woken();
      },
    });
    woken();
  };
  const until = async (is: () => boolean): Promise<void> => {
    while (!is()) await new Promise<void>((resolve) => wake.push(resolve));
  };
  return { accept, seen, until, reset: () => (wake = []) };
}

/** Resolves when a figure has stood still for some turns of the loop, with I/O in between. */
export async function quiet(figure: () => number): Promise<void> {
  let still = 0;
  for (let last = figure(); still < 200; still = figure() === last ? still + 1 : 0) {
    last = figure();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** A PROXY protocol header of version 2: version and command, family and transport, addresses and extensions. */
export function binaryHeader(command: number, family: number, rest: Buffer): Buffer {
  const head = Buffer.alloc(16);
  head.write("\r\n\r\n\0\r\nQUIT\n", "latin1");
  head[12] = command;
  head[13] = family;
  head.writeUInt16BE(rest.length, 14);
  return Buffer.concat([head, rest]);
}
