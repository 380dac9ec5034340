import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import type { Session } from "../routing/session.ts";
import type { ConnectionState, StoredSession } from "../routing/session-rows.ts";
import type { Connection } from "../transport/connection.ts";
import type { ReaderState } from "../xml/reader.ts";
import { x } from "../xml/writer.ts";
import { type BoshDoor, boshDoor } from "./bosh.ts";
import { type BoshOptions, frozenBosh } from "./bosh-state.ts";
import { BoshWire } from "./bosh-wire.ts";
import { ClientStream, type StreamOwner } from "./client-stream.ts";
import type { StreamParts } from "./parts.ts";
import { idle, idlePing, idleQuiet, preauthTimeout } from "./properties.ts";
import { streamManagement } from "./stream-management.ts";
import { TcpWire } from "./tcp-wire.ts";
import type { Visitor } from "./visitor.ts";
import { binds, pingEnabled, pingInterval } from "./web-properties.ts";
import { frozenWebSocket, WebSocketWire } from "./websocket-wire.ts";

/** All client streams: takes connections, watches their silence, and carries them over an orderly restart. */
export interface Clients {
  accept(connection: Connection): void;
  /** Takes a connection that speaks WebSocket from now on. */
  acceptWebSocket(connection: Connection, visitor: Visitor): void;
  /** Takes requests that carry streams. */
  readonly bosh: BoshDoor;
  readonly size: number;
  /** Connects sessions that the predecessor stored with the connections it left; unknown connections are closed. Once, before anything else. */
  thaw(stored: readonly StoredSession[], adopted: readonly Connection[]): void;
  /** Answers requests that wait, since their connections are about to close, and takes no others. */
  answerRequests(): Promise<void>;
  /** Reads nothing more; resolves when no stream waits for work of its own. */
  quiesce(): Promise<void>;
  /** Stops reading; gives what the successor needs for each bound stream. */
  freeze(): (session: Session) => ConnectionState | undefined;
  stop(): void;
}

const frozenStream = z.discriminatedUnion("kind", [
  z.object({ view: z.string(), kind: z.literal("tcp"), state: z.custom<ReaderState>() }),
  z.object({ view: z.string(), kind: z.literal("websocket"), state: frozenWebSocket }),
  z.object({ view: z.string(), kind: z.literal("bosh"), state: frozenBosh }),
]);
const sweepEveryMs = 1000;

export function clients(parts: StreamParts): Clients {
  const streams = new Set<ClientStream>();
  const management = streamManagement(parts);
  const owner: StreamOwner = {
    management,
    gone: (stream) => streams.delete(stream),
  };

  /** How long a client may be silent; a negative number: for ever. */
  function patience(session: Session): number {
    const usual = parts.properties.get(idle);
    // Whoever resumes misses nothing, so that his connection is dead need not be known soon.
    if (usual < 0 || !session.outbound.holding || session.resumeToken === undefined) return usual;
    const quiet = parts.properties.get(idleQuiet);
    return quiet < 0 ? quiet : Math.max(usual, quiet);
  }

  function sweep(): void {
    const now = parts.clock.now();
    const { properties } = parts;
    bosh.sweep(now);
    const pingEvery = properties.get(pingEnabled) ? properties.get(pingInterval) * 1000 : Number.POSITIVE_INFINITY;
    for (const stream of streams) {
      if (stream.state.at !== "bound") {
        if (now - stream.openedAt > properties.get(preauthTimeout)) stream.end("connection-timeout", "Log in faster.");
        continue;
      }
      stream.wire.keepAlive?.(now, stream.heardAt, pingEvery);
      const { session } = stream.state;
      const silence = patience(session);
      if (silence < 0) continue;
      const silent = now - stream.heardAt;
      if (silent >= silence) stream.lost();
      else if (silent >= silence / 2 && !stream.pinged && properties.get(idlePing)) {
        stream.pinged = true;
        parts.router.ask(session, "get", x("ping", { xmlns: ns.ping }), () => undefined);
        if (session.managed) session.outbound.nonza("<r xmlns='urn:xmpp:sm:3'/>");
      }
    }
    management.sweep(now);
  }
  let stopSweep = (): void => undefined;

  function take(connection: Connection): ClientStream<TcpWire> {
    const stream = new ClientStream(parts, owner, (handler) => new TcpWire(connection, handler));
    streams.add(stream);
    return stream;
  }

  function takeWebSocket(connection: Connection, visitor: Visitor): ClientStream<WebSocketWire> {
    const options = { connection, visitor, binds: () => parts.properties.get(binds) };
    const stream = new ClientStream(parts, owner, (handler) => new WebSocketWire(options, handler));
    streams.add(stream);
    return stream;
  }

  function open(options: BoshOptions): ClientStream<BoshWire> {
    const stream = new ClientStream(parts, owner, (handler) => new BoshWire(options, handler));
    streams.add(stream);
    return stream;
  }
  const bosh = boshDoor({ ...parts, open: (options) => open(options).wire });

  return {
    bosh,
    get size() {
      return streams.size;
    },
    accept(connection) {
      take(connection).wire.start();
    },
    acceptWebSocket(connection, visitor) {
      takeWebSocket(connection, visitor).wire.start();
    },
    thaw(stored, adopted) {
      const byNumber = new Map(adopted.map((connection) => [connection.number, connection]));
      for (const { session, connection: state } of stored) {
        if (state === undefined) continue;
        const frozen = frozenStream.parse(JSON.parse(state.stream));
        if (frozen.kind === "bosh") {
          const stream = open(bosh.thawing(frozen.state.agreed));
          stream.wire.thaw(frozen.state);
          bosh.enter(stream.wire);
          stream.thaw(frozen.view, session);
          continue;
        }
        const connection = byNumber.get(state.number);
        if (connection === undefined || !connection.open) continue;
        byNumber.delete(connection.number);
        if (frozen.kind === "tcp") {
          const stream = take(connection);
          stream.wire.thaw(frozen.state);
          stream.thaw(frozen.view, session);
          stream.wire.start();
        } else {
          const stream = takeWebSocket(connection, frozen.state.visitor);
          stream.wire.thaw(frozen.state);
          stream.thaw(frozen.view, session);
          stream.wire.start();
        }
      }
      for (const connection of byNumber.values()) connection.drop();
      // Not sooner: a session from before a restart would pass for one that nobody came back to.
      stopSweep = parts.clock.every(sweepEveryMs, sweep);
    },
    async answerRequests() {
      bosh.leave();
      // What was answered leaves with this turn.
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
    async quiesce() {
      for (const stream of streams) stream.wire.pause();
      while ([...streams].some((stream) => stream.busy))
        await new Promise<void>((resolve) => parts.clock.after(5, resolve));
    },
    freeze() {
      stopSweep();
      const states = new Map<Session, () => ConnectionState>();
      for (const stream of streams) {
        if (stream.state.at !== "bound") continue;
        const { session } = stream.state;
        const state = (): ConnectionState => {
          const { connection, ...stored } = stream.freeze();
          return { number: connection, stream: JSON.stringify(stored) };
        };
        const frozen = state();
        // What is said while rows are written goes into a connection to the gate; BOSH has none and keeps it.
        states.set(session, stream.wire.kind === "bosh" ? state : () => frozen);
      }
      return (session) => states.get(session)?.();
    },
    stop: () => stopSweep(),
  };
}
