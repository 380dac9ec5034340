/** The ports of the server as the properties have them: bound beside the old ones, then switched. docs/architecture.md "A setting's way". */
import type { Clock } from "../clock.ts";
import { CodedError, explain } from "../errors.ts";
import type { Bound, ListenSpec } from "../frames.ts";
import type { Property } from "../properties/property.ts";
import type { Report } from "../report.ts";
import type { Gate } from "../transport/gate.ts";
import type { CoreStatus } from "./contract.ts";

export type GetProperty = <T>(property: Property<T>) => T;

export interface Listening {
  /** Opens everything at the start. A port that cannot be had is reported and tried again: without the rest nobody could set another one. */
  start(get: GetProperty): Promise<void>;
  /** Binds what `get` would change; nothing is switched yet. Throws gate/port-taken and the like, and nothing has changed. */
  prepare(get: GetProperty): Promise<PreparedPorts | undefined>;
  /** One listener besides those of the properties, for a while. Waits for a prepared change to be switched or given up. */
  open(spec: ListenSpec): Promise<Bound>;
  shut(name: string): Promise<void>;
  status(): CoreStatus["listeners"];
  close(): void;
}

export interface PreparedPorts {
  /** What the switch does, a sentence each. */
  readonly done: readonly string[];
  switch(): Promise<void>;
  cancel(): Promise<void>;
}

const tryAgainMs = 10_000;

interface Standing {
  readonly spec: ListenSpec;
  readonly bound?: Bound;
  readonly error?: string;
}

/** @param parts.specs every listener that the properties ask for */
export function listening(parts: {
  gate: Gate;
  clock: Clock;
  report: Report;
  specs: (get: GetProperty) => readonly ListenSpec[];
}): Listening {
  const { gate, report } = parts;
  const standing = new Map<string, Standing>();
  let stopRetry: (() => void) | undefined;

  // The gate holds one prepared change: another one beside it would undo it.
  let turn: Promise<unknown> = Promise.resolve();
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work);
    turn = next.catch(() => undefined);
    return next;
  }
  /** Waits for the turn and holds it until `release`. */
  async function takeTurn(): Promise<() => void> {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const before = turn;
    turn = before.then(() => held);
    await before;
    return release;
  }

  async function one(spec: ListenSpec): Promise<void> {
    const before = standing.get(spec.name);
    try {
      standing.set(spec.name, { spec, bound: await inTurn(() => gate.listen(spec)) });
    } catch (error) {
      standing.set(spec.name, { spec, error: explain(error) });
      if (before?.error === undefined)
        report.listenerFailed({
          listener: spec.name,
          code: error instanceof CodedError ? error.code : "gate/failed",
          message: explain(error),
        });
      throw error;
    }
  }

  /** A port that was taken at the start may be free later; an apply of its property ends the attempts. */
  function tryAgainLater(): void {
    stopRetry ??= parts.clock.every(tryAgainMs, () => {
      const failed = [...standing.values()].filter(({ error }) => error !== undefined);
      for (const { spec } of failed) one(spec).catch(() => undefined);
    });
  }

  return {
    async start(get) {
      for (const spec of parts.specs(get)) await one(spec).catch(() => tryAgainLater());
    },
    async prepare(get) {
      const next = parts.specs(get);
      const without = [...standing.keys()].filter((name) => next.every((spec) => spec.name !== name));
      const changed = next.filter((spec) => {
        const now = standing.get(spec.name);
        return now?.bound === undefined || !same(now.spec, spec);
      });
      // One that fails already and is asked for as before fails no apply of something else.
      const asked = changed.filter((spec) => {
        const now = standing.get(spec.name);
        return now?.error === undefined || !same(now.spec, spec);
      });
      if (asked.length === 0 && without.length === 0) return undefined;
      const release = await takeTurn();
      const bound = await gate.prepareListen(asked, without).catch((error: unknown) => {
        release();
        throw error;
      });
      return {
        done: [
          ...asked.filter((spec) => rebinds(standing.get(spec.name)?.spec, spec)).map(opened),
          ...without.map((name) => `The listener ${name} was closed.`),
        ],
        cancel: () => gate.cancelListen().finally(release),
        async switch() {
          await gate.switchListen().finally(release);
          for (const name of without) standing.delete(name);
          for (const [place, spec] of asked.entries()) {
            const found = bound[place];
            standing.set(spec.name, found === undefined ? { spec } : { spec, bound: found });
          }
        },
      };
    },
    open: (spec) => inTurn(() => gate.listen(spec)),
    shut: (name) => inTurn(() => gate.unlisten(name)),
    status: () =>
      [...standing.values()].map(({ spec, bound, error }) => ({
        name: spec.name,
        address: (bound?.addresses ?? spec.addresses)?.[0] ?? "::",
        port: bound?.port ?? spec.port,
        ...(spec.proxies === undefined ? {} : { proxies: [...spec.proxies] }),
        ...(error === undefined ? { state: "open" as const } : { state: "failed" as const, error }),
      })),
    close: () => stopRetry?.(),
  };
}

function same(one: ListenSpec, other: ListenSpec): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function rebinds(now: ListenSpec | undefined, next: ListenSpec): boolean {
  return now === undefined || now.port !== next.port || String(now.addresses ?? "") !== String(next.addresses ?? "");
}

function opened(spec: ListenSpec): string {
  return `The listener ${spec.name} is on port ${spec.port} now; connections that stood on another one stay.`;
}
