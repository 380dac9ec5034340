import type { Bound, CertificateSet, Joined, ListenSpec } from "../frames.ts";
import type { Connection } from "./connection.ts";

/** Why the core is to stop: asked in order, or the gate is gone; in both cases it stores its state and exits. */
export type StopCause = "asked" | "gate-gone";

/** The gate, as the core sees it. */
export interface Gate {
  /** Connections taken over from the core before, known as soon as the gate is connected; handlers get them at {@link ready}. */
  readonly adopted: readonly Connection[];
  /** Binds and opens one listener, or changes it; one that stands already, also from before a restart, is kept. Throws CodedError gate/port-taken … */
  listen(spec: ListenSpec): Promise<Bound>;
  unlisten(name: string): Promise<void>;
  /** Binds new ports beside the old ones; nothing is accepted until {@link switchListen}, nothing has changed after {@link cancelListen}. */
  prepareListen(specs: readonly ListenSpec[], without?: readonly string[]): Promise<readonly Bound[]>;
  switchListen(): Promise<void>;
  cancelListen(): Promise<void>;
  /** Replaces the whole set; connections that stand keep theirs. A set that does not load changes nothing and throws gate/certificate-unusable. */
  certificates(set: CertificateSet): Promise<void>;
  /** Lets the gate relay between two connections until both have ended; the core hears no more of them. Resolves with the counts, also if it fails on the way. */
  join(a: Connection, b: Connection): Promise<Joined>;
  /** Resolves when a successor is loaded and waits to take over: called before {@link handover}, it spares clients that time. */
  prepareSuccessor(): Promise<void>;
  /** Resolves when everything that clients sent so far has been delivered; they are not read from until the successor is ready. */
  handover(): Promise<void>;
  /** Leaves the open connections to the successor, with what is unread. Resolves when the gate has it all: exit then. */
  handed(): Promise<void>;
  /** Connections of this listener; one whose listener has no handler is dropped. */
  onConnection(listener: string, handler: (connection: Connection) => void): void;
  onStop(handler: (cause: StopCause) => void): void;
  /** SIGHUP: read certificates and log files again. */
  onReload(handler: () => void): void;
  /** Everything is in place: adopted connections go to their handlers in this call, then new ones are let in. Listeners not asked for are closed. */
  ready(): void;
  /** Leaves without handing over: the gate drops the connections. */
  close(): void;
}
