import type { CodedError } from "../errors.ts";
import type { StorageClock, StorageHealth, StorageTesting, Ticket } from "./contract.ts";
import { closedError, codedError } from "./failure.ts";
import type { GroupResult } from "./messages.ts";
import { type Packer, pack, packed, packer, packHead } from "./pack.ts";
import type { Write } from "./statement.ts";
import type { Thread } from "./thread.ts";

type OnFailure = (error: CodedError) => void;

/** Units on their way into one transaction. */
interface Group {
  readonly ticket: Ticket;
  readonly packer: Packer;
  /** Number of writes per unit. */
  readonly units: number[];
  readonly onFailure: (OnFailure | undefined)[];
  /** Statements the writer meets here for the first time: number, text, number, text … */
  readonly added: (number | string)[];
  writes: number;
  bytes: number;
}

/** What the writer thread is busy with; one thing at a time. */
type Busy =
  | { readonly with: "group"; readonly group: Group }
  | { readonly with: "step"; readonly group: Group; readonly step: Step; readonly startedMs: number }
  | { readonly with: "probe" };

interface Step {
  readonly unit: (rows: number) => readonly Write[];
  readonly resolve: (changes: number) => void;
  readonly reject: (error: unknown) => void;
}

/** The main thread's side of group commit: units gather while the writer has a group, and follow it as soon as it is on disk. */
export interface Pipeline {
  commit(unit: readonly Write[], onFailure?: OnFailure): Ticket;
  readonly committed: Ticket;
  /** Highest ticket whose group is on disk or has failed. */
  readonly decided: Ticket;
  /** Ticket of the latest commit. */
  readonly latest: Ticket;
  onCommitted(listener: (ticket: Ticket, failed: boolean) => void): () => void;
  readonly congested: boolean;
  onRelief(listener: () => void): () => void;
  readonly health: StorageHealth;
  onHealth(listener: (health: StorageHealth) => void): () => void;
  /** One slice of bulk work: rows changed. */
  step(unit: (rows: number) => readonly Write[]): Promise<number>;
  /** The writer thread is gone: everything fails from now on. */
  lost(error: CodedError): void;
  /** Takes nothing more; resolves when nothing waits. */
  runDry(): Promise<void>;
}

export interface PipelineOptions {
  readonly clock: StorageClock;
  readonly bound: { readonly writes: number; readonly bytes: number };
  readonly testing: StorageTesting;
}

const sliceMs = 10;
// Fewer rows would not make a slice shorter where the sync itself takes long.
const leastRows = 32;
const mostRows = 4_096;
const groupsPerStep = 16;
const firstProbeMs = 250;
const lastProbeMs = 8_000;

export function pipelineTo(thread: Thread, { clock, bound, testing }: PipelineOptions): Pipeline {
  let spareBlock: Buffer | undefined;
  let gathering = newGroup(1);
  let busy: Busy | undefined;
  let scheduled = false;
  let closing = false;
  let committed: Ticket = 0;
  let decided: Ticket = 0;
  let waitingWrites = 0;
  let waitingBytes = 0;
  let congested = false;
  let health: StorageHealth = "ok";
  let probeMs = firstProbeMs;
  let cancelProbe = () => {};
  let rows = leastRows;
  let groupsSinceStep = 0;
  const steps: Step[] = [];
  const known = new Set<number>();
  const committedListeners = new Set<(ticket: Ticket, failed: boolean) => void>();
  const reliefListeners = new Set<() => void>();
  const healthListeners = new Set<(health: StorageHealth) => void>();
  const whenDry: (() => void)[] = [];

  function newGroup(ticket: Ticket): Group {
    const block = spareBlock;
    spareBlock = undefined;
    return { ticket, packer: packer(block), units: [], onFailure: [], added: [], writes: 0, bytes: 0 };
  }

  function add(group: Group, unit: readonly Write[]): void {
    const { values, used } = group.packer;
    const before = values.length;
    let bytes = 0;
    try {
      for (const { statement, params } of unit) {
        if (!known.has(statement.id)) {
          known.add(statement.id);
          group.added.push(statement.id, statement.sql);
        }
        packHead(group.packer, statement.id, params.length);
        for (let i = 0; i < params.length; i++) bytes += pack(group.packer, params[i] as (typeof params)[number]);
      }
    } catch (error) {
      // A value SQLite cannot take is the caller's mistake and must not tear the group of others.
      values.length = before;
      group.packer.used = used;
      throw error;
    }
    group.units.push(unit.length);
    group.writes += unit.length;
    group.bytes += bytes;
    waitingWrites += unit.length;
    waitingBytes += bytes;
  }

  function commit(unit: readonly Write[], onFailure?: OnFailure): Ticket {
    if (closing) throw closedError();
    add(gathering, unit);
    gathering.onFailure.push(onFailure);
    if (waitingWrites > bound.writes || waitingBytes > bound.bytes) congested = true;
    if (busy === undefined) schedule();
    return gathering.ticket;
  }

  /** At the end of the turn, so that all that this turn's sockets brought goes together. */
  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      pump();
    });
  }

  function pump(): void {
    if (busy !== undefined) return;
    const stepIsDue = steps.length > 0 && (gathering.units.length === 0 || groupsSinceStep >= groupsPerStep);
    if (health !== "ok") failWaiting(health.failing);
    else if (stepIsDue) sendStep();
    else if (gathering.units.length > 0) sendGroup();
    else for (const resolve of whenDry.splice(0)) resolve();
  }

  function sendGroup(): void {
    const group = gathering;
    gathering = newGroup(group.ticket + 1);
    groupsSinceStep++;
    busy = { with: "group", group };
    const held = testing.holdWrites?.(group.ticket);
    if (held === undefined) launch(group);
    else held.then(() => launch(group));
  }

  function sendStep(): void {
    const step = steps.shift() as Step;
    groupsSinceStep = 0;
    const group = newGroup(0);
    try {
      add(group, step.unit(rows));
    } catch (error) {
      step.reject(error);
      schedule();
      return;
    }
    busy = { with: "step", group, step, startedMs: performance.now() };
    launch(group);
  }

  function launch({ packer: values, units, added }: Group): void {
    if (testing.failWrites?.()) {
      forget(added);
      simulateFullDisk();
      return;
    }
    const message = packed(values);
    spareBlock = values.block;
    thread.post({
      kind: "group",
      units,
      statements: added.length > 0 ? added : undefined,
      values: message.values,
      bytes: message.bytes,
    });
  }

  /** The group stays here, so the writer has not met its statements. */
  function forget(added: readonly (number | string)[]): void {
    for (let i = 0; i < added.length; i += 2) known.delete(added[i] as number);
  }

  function simulateFullDisk(): void {
    const error = {
      code: "storage/failing",
      message: "The database cannot be written: database or disk is full (simulated).",
      fields: { sqlite: "FULL" },
      hint: undefined,
    };
    setImmediate(() => answered({ kind: "storage-failed", error }));
  }

  function answered(result: GroupResult): void {
    const was = busy;
    busy = undefined;
    if (typeof result === "object" && result.kind === "storage-failed") failing(codedError(result.error));
    if (was?.with === "group") decide(was.group, result);
    else if (was?.with === "step") finishStep(was, result);
    else probed(result);
  }

  function decide(group: Group, result: GroupResult): void {
    const failure =
      typeof result === "object" && result.kind === "storage-failed" ? codedError(result.error) : undefined;
    if (failure === undefined) committed = group.ticket;
    decided = group.ticket;
    release(group);
    // The writer gets its next group before anybody is told of this one: both then work at the same time.
    if (failure === undefined) pump();
    else schedule();
    if (failure !== undefined) for (const onFailure of group.onFailure) tell(onFailure, failure);
    else if (typeof result === "object" && result.kind === "units-failed") {
      for (const { unit, error } of result.failed) tell(group.onFailure[unit], codedError(error));
    }
    announce(group.ticket, failure !== undefined);
  }

  function announce(ticket: Ticket, failed: boolean): void {
    for (const listener of committedListeners) {
      try {
        listener(ticket, failed);
      } catch (error) {
        rethrow(error);
      }
    }
    if (!congested || waitingWrites * 2 > bound.writes || waitingBytes * 2 > bound.bytes) return;
    congested = false;
    for (const listener of reliefListeners) tell(listener, undefined);
  }

  function release(group: Group): void {
    waitingWrites -= group.writes;
    waitingBytes -= group.bytes;
  }

  function finishStep(was: Busy & { with: "step" }, result: GroupResult): void {
    release(was.group);
    const tookMs = performance.now() - was.startedMs;
    if (tookMs > sliceMs) rows = Math.max(leastRows, rows >> 1);
    else if (tookMs * 3 < sliceMs) rows = Math.min(mostRows, rows * 2);
    if (typeof result === "number") was.step.resolve(result);
    else
      was.step.reject(
        codedError(result.kind === "storage-failed" ? result.error : (result.failed[0]?.error ?? noError)),
      );
    if (health === "ok") pump();
    else schedule();
  }

  function failing(error: CodedError): void {
    const first = health === "ok";
    health = { failing: error, since: health === "ok" ? clock.now() : health.since };
    if (!first) return;
    probeMs = firstProbeMs;
    probeLater();
    for (const listener of healthListeners) tell(listener, health);
  }

  function probeLater(): void {
    cancelProbe();
    if (closing) return;
    cancelProbe = clock.after(probeMs, () => {
      busy = { with: "probe" };
      if (testing.failWrites?.()) simulateFullDisk();
      else thread.post({ kind: "probe" });
    });
  }

  function probed(result: GroupResult): void {
    if (typeof result === "number") {
      health = "ok";
      for (const listener of healthListeners) tell(listener, health);
    } else {
      probeMs = Math.min(lastProbeMs, probeMs * 2);
      probeLater();
    }
    pump();
  }

  /** While the storage fails, what is committed fails at the end of its turn and touches no disk. */
  function failWaiting(error: CodedError): void {
    for (const { reject } of steps.splice(0)) reject(error);
    if (gathering.units.length > 0) {
      const group = gathering;
      gathering = newGroup(group.ticket + 1);
      forget(group.added);
      decided = group.ticket;
      release(group);
      for (const onFailure of group.onFailure) tell(onFailure, error);
      announce(group.ticket, true);
    }
    if (gathering.units.length > 0) schedule();
    else for (const resolve of whenDry.splice(0)) resolve();
  }

  thread.onGroup(answered);

  return {
    commit,
    get committed() {
      return committed;
    },
    get decided() {
      return decided;
    },
    get latest() {
      return gathering.units.length > 0 ? gathering.ticket : gathering.ticket - 1;
    },
    onCommitted: (listener) => subscribe(committedListeners, listener),
    get congested() {
      return congested;
    },
    onRelief: (listener) => subscribe(reliefListeners, listener),
    get health() {
      return health;
    },
    onHealth: (listener) => subscribe(healthListeners, listener),
    step: (unit) =>
      new Promise((resolve, reject) => {
        if (closing) return reject(closedError());
        steps.push({ unit, resolve, reject });
        if (busy === undefined) schedule();
      }),
    lost(error) {
      closing = true;
      cancelProbe();
      health = { failing: error, since: clock.now() };
      for (const listener of healthListeners) tell(listener, health);
      const plain = { code: error.code, message: error.message, fields: error.fields, hint: error.hint };
      if (busy === undefined) schedule();
      else answered({ kind: "storage-failed", error: plain });
    },
    runDry() {
      closing = true;
      cancelProbe();
      return new Promise((resolve) => {
        whenDry.push(resolve);
        if (busy === undefined) schedule();
      });
    },
  };
}

const noError = { code: "storage/unexpected", message: "A unit failed without a reason.", fields: {}, hint: undefined };

function subscribe<L>(listeners: Set<L>, listener: L): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** A listener that throws must not keep the others from being told; its error surfaces as an uncaught one. */
function tell<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (error) {
    rethrow(error);
  }
}

function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
