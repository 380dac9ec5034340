import type { Ticket } from "../storage/storage.ts";
import type { Cargo } from "./outbound.ts";

/** What becomes of a stanza while its client does not look. `from` is the bare address whose stanzas keep their order. */
export type Urgency =
  /** Sent at once, behind what waits of the same sender; `woken` is told to `Keeper.woken`. */
  | { readonly is: "now"; readonly from: string; readonly wakes: boolean }
  /** Waits; a newer one of the same key takes its place. */
  | { readonly is: "later"; readonly from: string; readonly key: string | undefined };

/** Decides what waits for a client that does not look. */
export interface Keeper {
  judge(data: Buffer | string, cargo: Cargo): Urgency;
  /** Beyond either of them everything goes out. */
  limits(): { readonly count: number; readonly bytes: number };
  /** Something that a person wants to know of at once goes out. */
  woken(data: Buffer | string): void;
}

/** A stanza that waits; it has no number for stream management yet. */
export interface Held {
  readonly data: Buffer | string;
  readonly ticket: Ticket;
  readonly cargo: Cargo;
  readonly from: string;
  readonly key: string | undefined;
  /** The row that remembers it in case of a crash; 0: none. */
  readonly place: number;
}

/** What waits, in order. */
export class HeldBack {
  keeper: Keeper | undefined = undefined;
  bytes = 0;
  readonly #held = new Map<string | number, Held>();
  /** Places of rows that are written in the turn in which their message comes. */
  readonly #expected = new Map<number, number>();
  #last: { data: Buffer | string; urgency: Urgency } | undefined;
  #numbers = 0;

  get size(): number {
    return this.#held.size;
  }

  /** Judges what will be queued in the same turn, and is not judged again then. */
  foresee(keeper: Keeper, data: Buffer | string, cargo: Cargo): Urgency {
    const urgency = keeper.judge(data, cargo);
    this.#last = { data, urgency };
    return urgency;
  }

  judge(keeper: Keeper, data: Buffer | string, cargo: Cargo): Urgency {
    const last = this.#last;
    // Not kept: it may be large, and clients that do not look are many.
    this.#last = undefined;
    return last?.data === data ? last.urgency : keeper.judge(data, cargo);
  }

  expect(archiveId: number, place: number): void {
    this.#expected.set(archiveId, place);
  }

  placeOf(cargo: Cargo): number {
    if (cargo.is !== "message") return 0;
    const place = this.#expected.get(cargo.archiveId) ?? 0;
    this.#expected.delete(cargo.archiveId);
    return place;
  }

  add(held: Held): void {
    // What is on disk is never replaced: somebody counts on it.
    const id = held.key === undefined || held.cargo.is !== "plain" ? ++this.#numbers : held.key;
    const before = this.#held.get(id);
    if (before !== undefined) this.#remove(id, before);
    this.#held.set(id, held);
    this.bytes += held.data.length;
  }

  all(): readonly Held[] {
    return [...this.#held.values()];
  }

  /** Takes out everything, or what is from one sender. */
  take(from?: string): readonly Held[] {
    const taken: Held[] = [];
    for (const [id, held] of this.#held) {
      if (from !== undefined && held.from !== from) continue;
      taken.push(held);
      this.#remove(id, held);
    }
    return taken;
  }

  withdraw(archiveId: number): boolean {
    for (const [id, held] of this.#held) {
      if (held.cargo.is !== "message" || held.cargo.archiveId !== archiveId) continue;
      this.#remove(id, held);
      return true;
    }
    return false;
  }

  #remove(id: string | number, held: Held): void {
    this.#held.delete(id);
    this.bytes -= held.data.length;
  }
}
