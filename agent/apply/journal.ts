/**
 * What was done, by whom, when, and with what result: `<home>/journal.jsonl`, append-only, each line chained to the
 * one before by its hash and on disk before the next step is taken. It never holds a credential. docs/settings.md.
 */
import { type FileHandle, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CodedError } from "../errors.ts";
import { type Chain, chained, readChain } from "./journal-chain.ts";
import { droppable } from "./journal-compaction.ts";
import type { EditedRemovals, Intent, JournalEntry, RevisionLine, SealedEntry } from "./journal-entries.ts";
import { awaitedConfirmation, type Confirmation, type HistoryFilter, revisionLines } from "./journal-history.ts";
import { type Delta, difference, type RevisionState, withDelta } from "./revision-state.ts";

export type { Intent, JournalEntry, RevisionLine, SealedEntry } from "./journal-entries.ts";

/** A full copy of the state stands in every fiftieth revision, differences in the others. */
const fullEvery = 50;

/** Opens or creates the journal. Throws `journal/broken` when a line other than a cut last one does not fit the chain. */
export async function openJournal(home: string, options: { now?: () => Date } = {}): Promise<Journal> {
  const path = join(home, "journal.jsonl");
  const file = await open(path, "a+", 0o600);
  try {
    const chain = readChain(path, await file.readFile());
    if (chain.torn > 0) await file.truncate(chain.length);
    await syncFolder(path);
    const journal = new Journal(path, file, chain, options.now ?? (() => new Date()));
    if (chain.torn > 0) await journal.append({ is: "repaired", bytes: chain.torn });
    return journal;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), "r");
  await folder.sync().finally(() => folder.close());
}

export class Journal {
  readonly #path: string;
  #file: FileHandle;
  readonly #entries: SealedEntry[];
  readonly #now: () => Date;
  #length: number;
  #head: string;
  #queue: Promise<unknown> = Promise.resolve();
  /** The state that was asked for last: each apply builds on the one before, and with 50,000 accounts a chain of 50 takes seconds. */
  #known: { readonly holder: SealedEntry; readonly state: RevisionState } | undefined;

  constructor(path: string, file: FileHandle, { entries, length, head }: Chain, now: () => Date) {
    this.#path = path;
    this.#file = file;
    this.#entries = entries;
    this.#length = length;
    this.#head = head;
    this.#now = now;
  }

  /** Hash of the last line; shown in status and metrics, so that a shortened journal shows. */
  get head(): string {
    return this.#head;
  }

  get entries(): readonly SealedEntry[] {
    return this.#entries;
  }

  /** Absolute. */
  get path(): string {
    return this.#path;
  }

  /** On disk when it resolves. `journal/not-written` leaves the file as it was. */
  append(added: JournalEntry): Promise<SealedEntry> {
    return this.#inTurn(() => this.#append(added));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => {});
    return done;
  }

  async #append(added: JournalEntry): Promise<SealedEntry> {
    const body: SealedEntry = { n: (this.#entries.at(-1)?.n ?? 0) + 1, at: this.#now().toISOString(), ...added };
    const hash = chained(this.#head, body);
    const line = Buffer.from(`${JSON.stringify({ ...body, prev: this.#head, hash })}\n`);
    try {
      await this.#file.appendFile(line);
      await this.#file.datasync();
    } catch (error) {
      await this.#file.truncate(this.#length).catch(() => {});
      throw new CodedError("journal/not-written", "The journal cannot be written, so nothing is applied.", {
        hint: "Is the disk full?",
        cause: error,
      });
    }
    this.#length += line.length;
    this.#head = hash;
    this.#entries.push(body);
    return body;
  }

  /**
   * Retention: drops lines older than `before` once they are at least half of the file and `leastBytes`, but none that
   * what is in force rests on. A checkpoint in the chain vouches for them. Returns how many lines went.
   */
  compact(before: Date, leastBytes = 64 * 1024): Promise<number> {
    return this.#inTurn(async () => {
      const pinned = [this.revision, this.proven, this.former];
      const count = droppable(this.#entries, before, pinned);
      const lines = (await readFile(this.#path, "utf8")).split("\n");
      const dropped = lines.slice(0, count);
      const bytes = dropped.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0);
      const revision = inForceAfter(this.#entries.slice(0, count));
      const state = revision === undefined ? undefined : this.state(revision);
      const through = this.#entries[count - 1]?.n;
      if (bytes < Math.max(leastBytes, this.#length / 2)) return 0;
      if (revision === undefined || state === undefined || through === undefined) return 0;
      const { hash: head } = JSON.parse(dropped.at(-1) ?? "{}") as { hash: string };
      await this.#append({ is: "checkpoint", through, head, revision, state: Object.fromEntries(state) });
      const kept = (await readFile(this.#path)).subarray(bytes);
      await this.#replace(kept);
      this.#entries.splice(0, count);
      return count;
    });
  }

  /** By write and rename: a crash leaves the one file or the other. */
  async #replace(content: Buffer): Promise<void> {
    const next = `${this.#path}.new`;
    const written = await open(next, "w", 0o600);
    await written.writeFile(content);
    await written.sync().finally(() => written.close());
    await rename(next, this.#path);
    await syncFolder(this.#path);
    const former = this.#file;
    this.#file = await open(this.#path, "a+", 0o600);
    this.#length = content.length;
    await former.close();
  }

  /** The intent of a revision with what it makes of the state of `base`, ready to append. */
  intent(facts: Omit<Intent, "is" | "state">, state: RevisionState): Intent {
    return { is: "intent", ...facts, state: this.#stateText(facts.revision, state) };
  }

  found(revision: number, state: RevisionState, why: string): JournalEntry {
    return { is: "found", revision, why, state: this.#stateText(revision, state) };
  }

  #stateText(
    revision: number,
    state: RevisionState,
  ): { full: Record<string, string> } | { base: number; delta: Delta } {
    const base = this.revision;
    const from = base === undefined || revision % fullEvery === 0 ? undefined : this.state(base);
    return base === undefined || from === undefined
      ? { full: Object.fromEntries(state) }
      : { base, delta: difference(from, state) };
  }

  /** The newest revision that is in force according to this journal. */
  get revision(): number | undefined {
    return inForceAfter(this.#entries);
  }

  get proven(): number | undefined {
    return this.#entries.findLast((one) => one.is === "proven")?.revision;
  }

  /** Highest number ever used, also by what was undone: numbers do not come again. */
  get highest(): number {
    return this.#entries.reduce(
      (most, one) => ("revision" in one && one.is !== "ordered" ? Math.max(most, one.revision) : most),
      0,
    );
  }

  /** An intent whose outcome is not written yet: what a crash leaves. */
  get unsettled(): Intent | undefined {
    const last = this.#entries.findLast((one) => one.is === "intent" || one.is === "applied" || one.is === "undone");
    return last?.is === "intent" ? last : undefined;
  }

  /** Why nothing is applied, if so. */
  get hold(): Extract<JournalEntry, { is: "held" }> | undefined {
    const last = this.#entries.findLast((one) => one.is === "held" || one.is === "resumed");
    return last?.is === "held" ? last : undefined;
  }

  /** The revision in force, if somebody has to confirm it. */
  get confirmation(): Confirmation | undefined {
    return awaitedConfirmation(this.#entries, this.revision);
  }

  /** The revision in force, if verify has seen it broken and neither return nor hold followed: what a crash leaves. */
  get brokenInForce(): { revision: number; why: string; migrates: boolean; snapshot: string } | undefined {
    const last = this.#entries.findLast((one) => ["broken", "held", "resumed", "intent", "found"].includes(one.is));
    if (last?.is !== "broken" || last.revision !== this.revision) return undefined;
    const intent = this.#entries.findLast((one) => one.is === "intent" && one.revision === last.revision);
    if (intent?.is !== "intent") return undefined;
    const { revision, snapshot } = intent;
    return { revision, why: last.why, migrates: intent.impact === "migrate", snapshot };
  }

  /** A rollback that waits for the agent to run. */
  get ordered(): Extract<JournalEntry, { is: "ordered" }> | undefined {
    const last = this.#entries.findLast((one) => one.is === "ordered" || one.is === "held" || one.is === "intent");
    return last?.is === "ordered" ? last : undefined;
  }

  /** What people removed through us since the last apply. */
  confirmedRemovals(): EditedRemovals[] {
    const since = this.#entries.findLastIndex((one) => one.is === "applied");
    return this.#entries.slice(since + 1).flatMap((one) => (one.is === "edited" ? [one.removes] : []));
  }

  /** Hash of the snapshot that was applied last. */
  get appliedSnapshot(): string | undefined {
    const last = this.#entries.findLast((one) => one.is === "intent");
    return last?.is === "intent" ? last.snapshot : undefined;
  }

  /** The revision before the one in force. */
  get former(): number | undefined {
    const now = this.revision;
    return this.history().find((one) => now !== undefined && one.revision < now && this.state(one.revision))?.revision;
  }

  /** What a revision asked for; undefined if it was never in force. */
  state(revision: number): RevisionState | undefined {
    const holder = this.#holder(revision);
    if (!holder) {
      const kept = this.#entries.findLast((one) => one.is === "checkpoint" && one.revision === revision);
      return kept?.is === "checkpoint" ? new Map(Object.entries(kept.state)) : undefined;
    }
    if (this.#known?.holder === holder) return this.#known.state;
    const base = "full" in holder.state ? undefined : this.state(holder.state.base);
    const state =
      "full" in holder.state ? new Map(Object.entries(holder.state.full)) : base && withDelta(base, holder.state.delta);
    if (state) this.#known = { holder, state };
    return state;
  }

  #holder(revision: number) {
    const applied = this.#entries.findLastIndex(
      (one) => (one.is === "applied" || one.is === "found") && one.revision === revision,
    );
    const found = this.#entries[applied];
    if (found?.is === "found") return found;
    const intent = this.#entries
      .slice(0, applied + 1)
      .findLast((one) => one.is === "intent" && one.revision === revision);
    return intent?.is === "intent" ? intent : undefined;
  }

  /** Newest first. */
  history(limit = Number.POSITIVE_INFINITY, filter: HistoryFilter = {}): RevisionLine[] {
    return revisionLines(this.#entries, filter).slice(0, limit);
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#file.close();
  }
}

/** The newest revision that these lines put in force. */
function inForceAfter(entries: readonly SealedEntry[]): number | undefined {
  for (let at = entries.length - 1; at >= 0; at--) {
    const one = entries[at];
    if (one?.is === "applied" || one?.is === "found") return one.revision;
  }
  return undefined;
}
