import type { Ticket } from "../storage/storage.ts";
import { type Held, HeldBack, type Keeper } from "./held-back.ts";

/** What a stanza on its way to a client was, as far as it matters when the client never takes it. */
export type Cargo =
  /** Nothing is owed to anybody: presence, results, pushes, stream elements. */
  | { readonly is: "plain" }
  /** A stored message: whoever ends the session hands it on. `copy`: what somebody else got too, a carbon. */
  | { readonly is: "message"; readonly archiveId: number; readonly copy?: boolean | undefined }
  /** The answer to a request whose effects are in the group it waits for; `instead` is sent if that group fails. */
  | { readonly is: "answer"; readonly instead: () => string }
  /** A request from another session or entity that waits for the answer. */
  | { readonly is: "request"; readonly id: string; readonly from: string };

export const plain: Cargo = { is: "plain" };

export interface Entry {
  readonly data: Buffer | string;
  /** May be sent when this group is on disk. */
  readonly ticket: Ticket;
  /** Its number for stream management; 0: not counted (`<a/>`, `<r/>`, what goes out before `<enabled/>`). */
  number: number;
  readonly cargo: Cargo;
}

/** Where the bytes go while a connection is attached. */
export interface Sink {
  write(data: Buffer | string): void;
}

/**
 * A session's outbound queue. It is strict: what waits for a commit holds back everything behind it, presence and IQ
 * too. With stream management an entry stays until the client has acknowledged it. docs/architecture.md "What is on disk when", rules 1 to 3.
 */
export class Outbound {
  /** Waiting for their commit, in order. */
  private waiting: Entry[] = [];
  /** Numbered and not acknowledged, in order; written if a sink was attached at the time. */
  private unacked: Entry[] = [];
  private heldBytes = 0;
  private sink: Sink | undefined;
  private sinceRequest = 0;
  /** Number of the last counted entry; the next one gets one more. Numbers wrap at 2^32 on the wire only. */
  lastNumber = 0;
  /** The highest number the client has acknowledged. */
  acknowledged = 0;
  counting = false;
  /** After so many counted stanzas an `<r/>` is sent along; 0: never unasked. */
  requestEvery = 0;
  /** Gives rows of messages that waited their numbers; the group that these are in. */
  onNumbered: (rows: readonly { place: number; number: number; archiveId: number }[]) => Ticket = () => 0;
  /** What waits for a client that does not look; it is made when that happens for the first time. */
  private back: HeldBack | undefined;
  private readonly committed: () => Ticket;
  private readonly mustWait: (outbound: Outbound) => void;
  private readonly changed: () => void;

  /**
   * @param mustWait is told when the queue begins to wait for a commit.
   * @param changed is told of every stanza that comes, is taken back or becomes another.
   */
  constructor(committed: () => Ticket, mustWait: (outbound: Outbound) => void, changed: () => void) {
    this.committed = committed;
    this.mustWait = mustWait;
    this.changed = changed;
  }

  /** Bytes kept in memory: held back, waiting and unacknowledged. */
  get held(): number {
    return this.heldBytes + (this.back?.bytes ?? 0);
  }

  /** Whether what is not urgent waits. */
  get holding(): boolean {
    return this.back?.keeper !== undefined;
  }

  /** Whether any stanza waits until the client looks. */
  get holdsBack(): boolean {
    return this.back !== undefined && this.back.size > 0;
  }

  /** Stanzas that wait until the client looks. */
  get heldBack(): readonly Held[] {
    return this.back?.all() ?? [];
  }

  /** Counted entries the client has not acknowledged, waiting ones included. */
  get unacknowledged(): number {
    return this.counting ? this.lastNumber - this.acknowledged : 0;
  }

  /** Number that the next counted entry gets; a commit may name it before the entry is queued in the same turn. */
  get nextNumber(): number {
    return this.lastNumber + 1;
  }

  /** Queues a stanza; it is counted if stream management is on. Undefined (an error that may not be answered) is nothing. */
  stanza(data: Buffer | string | undefined, ticket: Ticket, cargo: Cargo = plain): void {
    if (data === undefined) return;
    if (this.back?.keeper !== undefined && this.waits(this.back, this.back.keeper, data, ticket, cargo)) return;
    this.push({ data, ticket, number: this.counting ? ++this.lastNumber : 0, cargo });
  }

  /** Queues what is never counted. It keeps its place behind everything queued before. */
  nonza(data: string, ticket: Ticket = 0, cargo: Cargo = plain): void {
    this.push({ data, ticket, number: 0, cargo });
  }

  /** From now on what is not urgent waits; it has no number until it goes out, so what is replaced was never counted. */
  hold(keeper: Keeper): void {
    this.back ??= new HeldBack();
    this.back.keeper = keeper;
  }

  /** The client looks again: what waited goes out, and nothing waits any more. */
  unhold(): void {
    this.letGo();
    this.back = undefined;
  }

  /** Sends what waits, of everybody or of one sender, in its order. */
  letGo(from?: string): void {
    if (this.back === undefined || this.back.size === 0) return;
    const going = this.back.take(from).map((held) => ({ ...held, number: this.counting ? ++this.lastNumber : 0 }));
    const rows = going.flatMap(({ place, number, cargo }) =>
      place > 0 && cargo.is === "message" ? [{ place, number, archiveId: cargo.archiveId }] : [],
    );
    // Before it is sent: else a crash would make it come twice.
    const numbered = rows.length === 0 ? 0 : this.onNumbered(rows);
    for (const { data, ticket, number, cargo } of going)
      this.push({ data, ticket: Math.max(ticket, numbered), number, cargo });
  }

  /**
   * To be asked before the row of a stored message is written. False: it gets the next number, since what had to go out
   * before it has gone. True: it will wait, and its row at this place has no number yet.
   */
  willWait(write: () => Buffer | string, archiveId: number, place: number): boolean {
    const { back } = this;
    if (back?.keeper === undefined) return false;
    const urgency = back.foresee(back.keeper, write(), { is: "message", archiveId });
    if (urgency.is === "later") back.expect(archiveId, place);
    else this.letGo(urgency.from);
    return urgency.is === "later";
  }

  private waits(back: HeldBack, keeper: Keeper, data: Buffer | string, ticket: Ticket, cargo: Cargo): boolean {
    const urgency = back.judge(keeper, data, cargo);
    if (urgency.is === "now") {
      this.letGo(urgency.from);
      if (urgency.wakes) keeper.woken(data);
      return false;
    }
    this.changed();
    back.add({ data, ticket, cargo, from: urgency.from, key: urgency.key, place: back.placeOf(cargo) });
    const { count, bytes } = keeper.limits();
    if (back.size > count || back.bytes > bytes) this.letGo();
    return true;
  }

  private push(entry: Entry): void {
    this.changed();
    this.heldBytes += entry.data.length;
    if (this.waiting.length > 0 || entry.ticket > this.committed()) {
      if (this.waiting.length === 0) this.mustWait(this);
      this.waiting.push(entry);
      return;
    }
    this.send(entry);
  }

  private send(entry: Entry): void {
    if (entry.number > 0) {
      this.unacked.push(entry);
      this.sink?.write(entry.data);
      if (this.requestEvery > 0 && ++this.sinceRequest >= this.requestEvery) this.requestAck();
      return;
    }
    this.heldBytes -= entry.data.length;
    this.sink?.write(entry.data);
  }

  private requestAck(): void {
    this.sinceRequest = 0;
    this.sink?.write("<r xmlns='urn:xmpp:sm:3'/>");
  }

  /** Sends what the last group set free. Returns whether anything still waits. */
  release(ticket: Ticket): boolean {
    let done = 0;
    while (done < this.waiting.length && (this.waiting[done]?.ticket ?? 0) <= ticket) {
      const entry = this.waiting[done++];
      if (entry !== undefined) this.send(entry);
    }
    this.waiting = done === this.waiting.length ? [] : this.waiting.slice(done);
    // What was queued is now in the hands of the wire: a successor is told of it as that, or not at all.
    if (done > 0) this.changed();
    return this.waiting.length > 0;
  }

  /** Takes back a message whose commit failed, before it was sent; whoever sent it is told. */
  withdraw(archiveId: number): void {
    if (this.back?.withdraw(archiveId)) return this.changed();
    const place = this.waiting.findIndex(({ cargo }) => cargo.is === "message" && cargo.archiveId === archiveId);
    const [lost] = place < 0 ? [] : this.waiting.splice(place, 1);
    if (lost === undefined) return;
    this.changed();
    this.heldBytes -= lost.data.length;
    if (lost.number === 0) return;
    // Numbers are what the client counts: those behind the withdrawn one move up.
    for (const entry of this.waiting.slice(place)) if (entry.number > 0) entry.number--;
    this.lastNumber--;
  }

  /** The group failed: what it would have answered was not done. */
  failed(ticket: Ticket): void {
    this.changed();
    this.waiting = this.waiting.map((entry) => {
      if (entry.ticket !== ticket || entry.cargo.is !== "answer") return entry;
      return { data: entry.cargo.instead(), ticket: 0, number: entry.number, cargo: plain };
    });
  }

  /**
   * The client has handled everything up to `handled` (already unwrapped from its 32 bits).
   * Returns the entries this frees, or undefined if the client claims more than was sent. XEP-0198 §4.
   */
  acknowledge(handled: number): readonly Entry[] | undefined {
    const last = this.unacked.at(-1)?.number ?? this.acknowledged;
    if (handled > last) return undefined;
    if (handled <= this.acknowledged) return [];
    let done = 0;
    while (done < this.unacked.length && (this.unacked[done]?.number ?? 0) <= handled) {
      this.heldBytes -= this.unacked[done]?.data.length ?? 0;
      done++;
    }
    const freed = this.unacked.slice(0, done);
    this.unacked = this.unacked.slice(done);
    this.acknowledged = handled;
    this.sinceRequest = Math.min(this.sinceRequest, this.unacked.length);
    return freed;
  }

  attach(sink: Sink): void {
    this.sink = sink;
  }

  /** Writes everything unacknowledged to the sink just attached, in order. */
  retransmit(): void {
    for (const entry of this.unacked) this.sink?.write(entry.data);
    if (this.unacked.length > 0 && this.requestEvery > 0) this.requestAck();
  }

  detach(): void {
    this.sink = undefined;
  }

  /** Whether somebody is there to be written to. */
  get attached(): boolean {
    return this.sink !== undefined;
  }

  /** Forgets the bytes of stored messages, oldest first, until no more than `bytes` are kept; `refill` brings them back. */
  shed(bytes: number): void {
    for (let i = 0; i < this.unacked.length && this.held > bytes; i++) {
      const entry = this.unacked[i];
      if (entry?.cargo.is !== "message" || entry.data.length === 0) continue;
      this.changed();
      this.heldBytes -= entry.data.length;
      this.unacked[i] = { ...entry, data: nothing };
    }
  }

  /** Archive ids of messages whose bytes were shed. */
  get shedIds(): readonly number[] {
    return this.unacked.flatMap(({ data, cargo }) =>
      data.length === 0 && cargo.is === "message" ? [cargo.archiveId] : [],
    );
  }

  /** Gives shed messages their bytes again. What is nowhere any more becomes `empty`: the client counts it all the same. */
  refill(bodies: ReadonlyMap<number, Buffer>, empty: string): void {
    for (const [i, entry] of this.unacked.entries()) {
      if (entry.data.length > 0 || entry.cargo.is !== "message") continue;
      const data = bodies.get(entry.cargo.archiveId) ?? empty;
      this.heldBytes += data.length;
      this.unacked[i] = { ...entry, data };
    }
  }

  /** What an orderly restart stores, or what is owed when the session ends: unacknowledged first, then waiting. With `heldBack` it is all. */
  everything(): readonly Entry[] {
    return [...this.unacked, ...this.waiting];
  }

  /**
   * After a crash: `before`, which the client did not get, comes first, what was queued since stays behind it and goes
   * on waiting for its commits. All is numbered from what the client has handled. Returns everything.
   */
  renew(before: readonly Pick<Entry, "data" | "cargo">[], handled: number): readonly Entry[] {
    for (const { data } of before) this.heldBytes += data.length;
    this.unacked = [...before.map(({ data, cargo }) => ({ data, cargo, ticket: 0, number: 0 })), ...this.unacked];
    this.lastNumber = handled;
    this.acknowledged = handled;
    for (const entry of this.unacked) entry.number = ++this.lastNumber;
    for (const entry of this.waiting) if (entry.number > 0) entry.number = ++this.lastNumber;
    return this.everything();
  }

  /** Puts stored entries back after a restart; they were written to the client's socket already if `sent`. */
  restore(entries: readonly Entry[], counters: { lastNumber: number; acknowledged: number }): void {
    this.unacked = [...entries];
    this.lastNumber = counters.lastNumber;
    this.acknowledged = counters.acknowledged;
    for (const entry of entries) this.heldBytes += entry.data.length;
  }

  /** Puts back what waited for the client to look. */
  restoreHeldBack(held: readonly Held[]): void {
    if (held.length === 0) return;
    this.back ??= new HeldBack();
    for (const one of held) this.back.add(one);
  }
}

const nothing = Buffer.alloc(0);
