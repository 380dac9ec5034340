import { createConnection } from "node:net";
import type { Duplex } from "node:stream";
import { CodedError } from "../errors.ts";
import {
  type Answer,
  type Bound,
  type Failure,
  FrameLink,
  frame,
  frameVersion,
  type Hello,
  type Joined,
  largestPiece,
  type Opened,
  type Request,
} from "../frames.ts";
import { type Connection, type ConnectionLink, GateConnection } from "./connection.ts";
import type { Gate, StopCause } from "./gate.ts";

type OpenRequest = Request extends infer Each ? (Each extends Request ? Omit<Each, "id"> : never) : never;

interface Waiting<Value> {
  resolve(value: Value): void;
  reject(error: Error): void;
}

/**
 * Connects a core to its gate and resolves when the gate has named the connections to adopt.
 *
 * @param socket path of the gate's socket, or an open stream to it
 * @throws CodedError gate/unreachable, gate/version, gate/refused
 */
export async function connectGate(socket: string | Duplex): Promise<Gate> {
  const stream = typeof socket === "string" ? await dial(socket) : socket;
  return await new Promise((resolve, reject) => {
    const link: CoreLink = new CoreLink(stream, { resolve: () => resolve(link), reject });
  });
}

function dial(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const stream = createConnection(path);
    stream.once("connect", () => {
      stream.removeAllListeners("error");
      resolve(stream);
    });
    stream.once("error", (cause) =>
      reject(
        new CodedError("gate/unreachable", `No gate answers at ${path}.`, {
          fields: { path },
          hint: "The gate starts the core: start the gate, or the agent, instead.",
          cause,
        }),
      ),
    );
  });
}

class CoreLink implements Gate, ConnectionLink {
  readonly #link: FrameLink;
  readonly #connections = new Map<number, GateConnection>();
  readonly #handlers = new Map<string, (connection: Connection) => void>();
  readonly #requests = new Map<number, Waiting<Answer>>();
  readonly #holds = new Map<number, Waiting<void>>();
  readonly #joins = new Map<number, (joined: Joined) => void>();
  #dirty: GateConnection[] = [];
  #adopted: GateConnection[] = [];
  #welcome: Waiting<void> | undefined;
  #quiesced: Waiting<void> | undefined;
  #left: (() => void) | undefined;
  #leaving = false;
  #lastRequest = 0;
  #ready = false;
  #stop: ((cause: StopCause) => void) | undefined;
  #stopped: StopCause | undefined;
  #reload: (() => void) | undefined;

  constructor(stream: Duplex, welcome: Waiting<void>) {
    this.#welcome = welcome;
    this.#link = new FrameLink(stream, {
      frame: (type, number, payload) => this.#frame(type, number, payload),
      flushing: () => this.#flushing(),
      ended: (error) => this.#ended(error),
    });
    const hello: Hello = { version: frameVersion, pid: process.pid };
    this.#link.writer.json(frame.hello, 0, hello);
    this.#link.flush();
  }

  get adopted(): readonly Connection[] {
    return this.#adopted;
  }

  async listen(spec: Parameters<Gate["listen"]>[0]): Promise<Bound> {
    const [bound] = await this.prepareListen([spec]);
    await this.switchListen();
    return bound as Bound;
  }

  async unlisten(name: string): Promise<void> {
    await this.prepareListen([], [name]);
    await this.switchListen();
  }

  async prepareListen(...[specs, without = []]: Parameters<Gate["prepareListen"]>): Promise<readonly Bound[]> {
    return (await this.#request({ do: "prepare", specs, without })).bound ?? [];
  }

  async switchListen(): Promise<void> {
    await this.#request({ do: "switch" });
  }

  async cancelListen(): Promise<void> {
    await this.#request({ do: "cancel" });
  }

  async certificates(set: Parameters<Gate["certificates"]>[0]): Promise<void> {
    await this.#request({ do: "certificates", set });
  }

  async prepareSuccessor(): Promise<void> {
    await this.#request({ do: "succeed" });
  }

  async join(a: Connection, b: Connection): Promise<Joined> {
    const pair = [a.number, b.number].map((number) => this.#connections.get(number));
    const [first, other] = pair;
    if (first === undefined || other === undefined || first === other) {
      return { other: b.number, forth: 0, back: 0, reason: "closed" };
    }
    // Behind `held` nothing more comes up, so what is unread here is all that has to go back before the relay starts.
    await Promise.all([this.#hold(first), this.#hold(other)]);
    if (!first.open || !other.open) {
      first.drop();
      other.drop();
      return { other: b.number, forth: 0, back: 0, reason: "closed" };
    }
    first.returnUnread();
    other.returnUnread();
    return await new Promise((resolve) => {
      this.#joins.set(first.number, resolve);
      this.#link.writer.u32(frame.join, first.number, other.number);
      this.#link.schedule();
    });
  }

  handover(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#quiesced = { resolve, reject };
      this.frame(frame.handover, 0);
    });
  }

  handed(): Promise<void> {
    return new Promise((resolve) => {
      this.#leaving = true;
      this.#left = resolve;
      for (const connection of this.#connections.values()) connection.returnUnread();
      this.frame(frame.handed, 0);
    });
  }

  onConnection(listener: string, handler: (connection: Connection) => void): void {
    this.#handlers.set(listener, handler);
  }

  onStop(handler: (cause: StopCause) => void): void {
    this.#stop = handler;
    if (this.#stopped !== undefined) handler(this.#stopped);
  }

  onReload(handler: () => void): void {
    this.#reload = handler;
  }

  ready(): void {
    this.#ready = true;
    for (const connection of this.#adopted) this.#offer(connection);
    this.#adopted = [];
    this.frame(frame.ready, 0);
  }

  close(): void {
    this.#leaving = true;
    this.#link.end();
  }

  dirty(connection: GateConnection): void {
    this.#dirty.push(connection);
    this.#link.schedule();
  }

  frame(type: number, number: number, payload?: Buffer | string): void {
    this.#link.writer.frame(type, number, payload);
    this.#link.schedule();
  }

  write(number: number, parts: readonly (Buffer | string)[], bytes: number): void {
    const { writer } = this.#link;
    if (bytes <= largestPiece) {
      writer.begin(frame.write, number, bytes);
      for (const part of parts) writer.add(part, typeof part === "string" ? Buffer.byteLength(part) : part.length);
      return;
    }
    const whole = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
    for (let at = 0; at < whole.length; at += largestPiece) {
      writer.frame(frame.write, number, whole.subarray(at, at + largestPiece));
    }
  }

  #flushing(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const connection of dirty) connection.flush();
  }

  #request(request: OpenRequest): Promise<Answer> {
    this.#lastRequest += 1;
    const id = this.#lastRequest;
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject });
      this.frame(frame.request, 0, JSON.stringify({ ...request, id }));
    });
  }

  #hold(connection: GateConnection): Promise<void> {
    connection.hold();
    return new Promise((resolve, reject) => {
      this.#holds.set(connection.number, { resolve, reject });
      this.frame(frame.hold, connection.number);
    });
  }

  #frame(type: number, number: number, payload: Buffer): void {
    if (type === frame.bytes) {
      this.#connections.get(number)?.arrived(payload[0] as number, payload.subarray(1));
      return;
    }
    switch (type) {
      case frame.drained:
        this.#connections.get(number)?.drained(payload.readUInt32BE(0));
        break;
      case frame.opened:
        this.#opened(number, read<Opened>(payload));
        break;
      case frame.secured:
        this.#connections.get(number)?.secured(read(payload));
        break;
      case frame.ended:
        this.#connections.get(number)?.ended();
        break;
      case frame.closed:
        this.#closed(number, payload.toString());
        break;
      case frame.held:
        this.#holds.get(number)?.resolve();
        this.#holds.delete(number);
        break;
      case frame.joined:
        this.#joins.get(number)?.(read(payload));
        this.#joins.delete(number);
        break;
      case frame.answer:
        this.#answered(read<Answer>(payload));
        break;
      case frame.hello: {
        const hello = read<Hello>(payload);
        if (hello.failure !== undefined) this.#refused(codedError(hello.failure));
        break;
      }
      case frame.welcomed:
        this.#welcome?.resolve();
        this.#welcome = undefined;
        break;
      case frame.quiesced:
        this.#quiesced?.resolve();
        this.#quiesced = undefined;
        break;
      case frame.stop:
        this.#stopNow("asked");
        break;
      case frame.reload:
        this.#reload?.();
        break;
    }
  }

  #opened(number: number, opened: Opened): void {
    const connection = new GateConnection(number, opened, this);
    this.#connections.set(number, connection);
    if (this.#ready) this.#offer(connection);
    else this.#adopted.push(connection);
  }

  #offer(connection: GateConnection): void {
    const handler = this.#handlers.get(connection.listener);
    if (handler === undefined) connection.drop();
    else handler(connection);
  }

  #closed(number: number, reason: string): void {
    const connection = this.#connections.get(number);
    this.#connections.delete(number);
    this.#holds.get(number)?.resolve();
    this.#holds.delete(number);
    connection?.closed(reason);
  }

  #answered(answer: Answer): void {
    const waiting = this.#requests.get(answer.id);
    this.#requests.delete(answer.id);
    if (answer.failure === undefined) waiting?.resolve(answer);
    else waiting?.reject(codedError(answer.failure));
  }

  #refused(error: Error): void {
    this.#leaving = true;
    this.#welcome?.reject(error);
    this.#welcome = undefined;
    this.#link.destroy();
  }

  #ended(cause: Error | undefined): void {
    const gone = new CodedError("gate/gone", "The gate has ended.", {
      hint: "The agent or the container starts it again; the core then comes back with it.",
      cause,
    });
    this.#welcome?.reject(gone);
    this.#quiesced?.reject(gone);
    for (const waiting of this.#requests.values()) waiting.reject(gone);
    this.#requests.clear();
    for (const waiting of this.#holds.values()) waiting.resolve();
    this.#holds.clear();
    for (const connection of this.#connections.values()) connection.open = false;
    for (const [number, resolve] of this.#joins) resolve({ other: number, forth: 0, back: 0, reason: "gate-gone" });
    this.#joins.clear();
    this.#left?.();
    if (!this.#leaving) this.#stopNow("gate-gone");
  }

  #stopNow(cause: StopCause): void {
    this.#stopped = cause;
    this.#stop?.(cause);
  }
}

function read<Value>(payload: Buffer): Value {
  return JSON.parse(payload.toString()) as Value;
}

function codedError(failure: Failure): CodedError {
  return new CodedError(failure.code, failure.message, { fields: { ...failure.fields }, hint: failure.hint });
}
