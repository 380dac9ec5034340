/**
 * What was done, by whom, when, and with what result: `<home>/journal.jsonl`, append-only, each line chained to the
 * one before by its hash and on disk before the next step is taken. It never holds a credential. docs/settings.md.
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { impact } from "../../xmpp-core/control/contract.ts";
import { CodedError } from "../errors.ts";
import { type Delta, delta, difference, type RevisionState, withDelta } from "./revision-state.ts";

const changeText = z.object({
  subject: z.string(),
  action: z.string(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  impact,
  source: z.string(),
});
const stateText = z.union([
  z.object({ full: z.record(z.string(), z.string()) }),
  z.object({ base: z.number(), delta }),
]);
const removes = z.object({
  users: z.array(z.string()),
  roles: z.array(z.string()),
  memberships: z.array(z.object({ role: z.string(), user: z.string() })),
});

const entry = z.discriminatedUnion("is", [
  /** About to ask the server for revision `revision`. */
  z.object({
    is: z.literal("intent"),
    revision: z.number(),
    by: z.string(),
    cause: z.string(),
    snapshot: z.string(),
    impact: z.union([impact, z.literal("none")]),
    changes: z.array(changeText),
    state: stateText,
  }),
  /** The server has the revision in force. */
  z.object({ is: z.literal("applied"), revision: z.number(), done: z.array(z.string()) }),
  /** Verify has seen it work. */
  z.object({ is: z.literal("proven"), revision: z.number() }),
  /** The server never took the revision; nothing changed. */
  z.object({ is: z.literal("undone"), revision: z.number(), why: z.string() }),
  /** Verify has seen what it broke. */
  z.object({ is: z.literal("broken"), revision: z.number(), why: z.string() }),
  /** The server has a revision that this journal does not know, or returned to a former one by itself. */
  z.object({ is: z.literal("found"), revision: z.number(), why: z.string(), state: stateText }),
  /** Nothing is applied until the store differs from `snapshot` or somebody says resume. */
  z.object({ is: z.literal("held"), why: z.string(), snapshot: z.string(), by: z.string() }),
  z.object({ is: z.literal("resumed"), why: z.string(), by: z.string() }),
  /** A rollback that was ordered while nothing ran; the next start of the agent does it before anything else. */
  z.object({ is: z.literal("ordered"), revision: z.number(), accounts: z.boolean(), by: z.string() }),
  /** Somebody changed the host store through us; what that removes is confirmed. */
  z.object({ is: z.literal("edited"), by: z.string(), summary: z.string(), removes }),
  /** A use of rights on the server that a person may have to answer for. */
  z.object({ is: z.literal("used-right"), who: z.string(), what: z.string(), on: z.string() }),
  /** A line that a crash had cut was taken off. */
  z.object({ is: z.literal("repaired"), bytes: z.number() }),
]);
export type JournalEntry = z.infer<typeof entry>;
export type Intent = Extract<JournalEntry, { is: "intent" }>;
export type SealedEntry = JournalEntry & { readonly n: number; readonly at: string };

/** One revision for `history`. */
export interface RevisionLine {
  readonly revision: number;
  readonly at: string;
  readonly by: string;
  readonly cause: string;
  readonly impact: string;
  readonly changes: Intent["changes"];
  readonly result: "in progress" | "applied" | "proven" | "undone" | "broken" | "found";
  readonly why?: string;
}

/** A full copy of the state stands in every fiftieth revision, differences in the others. */
const fullEvery = 50;
const start = "0".repeat(64);

/** Opens or creates the journal. Throws `journal/broken` when a line other than a cut last one does not fit the chain. */
export async function openJournal(home: string, options: { now?: () => Date } = {}): Promise<Journal> {
  const path = join(home, "journal.jsonl");
  const file = await open(path, "a+", 0o600);
  try {
    const { entries, length, head, torn } = readChain(path, await file.readFile());
    if (torn > 0) await file.truncate(length);
    const folder = await open(dirname(path), "r");
    await folder.sync().finally(() => folder.close());
    const journal = new Journal(file, entries, length, head, options.now ?? (() => new Date()));
    if (torn > 0) await journal.append({ is: "repaired", bytes: torn });
    return journal;
  } catch (error) {
    await file.close();
    throw error;
  }
}

export class Journal {
  readonly #file: FileHandle;
  readonly #entries: SealedEntry[];
  readonly #now: () => Date;
  #length: number;
  #head: string;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(file: FileHandle, entries: SealedEntry[], length: number, head: string, now: () => Date) {
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

  /** On disk when it resolves. `journal/not-written` leaves the file as it was. */
  append(added: JournalEntry): Promise<SealedEntry> {
    const written = this.#queue.then(() => this.#append(added));
    this.#queue = written.catch(() => {});
    return written;
  }

  async #append(added: JournalEntry): Promise<SealedEntry> {
    const body: SealedEntry = { n: this.#entries.length + 1, at: this.#now().toISOString(), ...added };
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
    for (let at = this.#entries.length - 1; at >= 0; at--) {
      const one = this.#entries[at];
      if (one?.is === "applied" || one?.is === "found") return one.revision;
    }
    return undefined;
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
  confirmedRemovals(): z.infer<typeof removes>[] {
    const since = this.#entries.findLastIndex((one) => one.is === "applied");
    return this.#entries.slice(since + 1).flatMap((one) => (one.is === "edited" ? [one.removes] : []));
  }

  /** The revision before the one in force. */
  get former(): number | undefined {
    const now = this.revision;
    return this.history().find((one) => now !== undefined && one.revision < now && this.state(one.revision))?.revision;
  }

  /** What a revision asked for; undefined if it was never in force. */
  state(revision: number): RevisionState | undefined {
    const holder = this.#holder(revision);
    if (!holder) return undefined;
    if ("full" in holder.state) return new Map(Object.entries(holder.state.full));
    const base = this.state(holder.state.base);
    return base && withDelta(base, holder.state.delta);
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
  history(limit = Number.POSITIVE_INFINITY): RevisionLine[] {
    const lines = new Map<number, RevisionLine>();
    for (const one of this.#entries) {
      if (one.is === "intent") {
        const { revision, at, by, cause, impact: heaviest, changes } = one;
        lines.set(revision, { revision, at, by, cause, impact: heaviest, changes, result: "in progress" });
      } else if (one.is === "found") {
        const former = lines.get(one.revision);
        const { revision, at, why } = one;
        lines.set(
          revision,
          former ?? { revision, at, by: "server", cause: why, impact: "none", changes: [], result: "found" },
        );
      } else if (one.is === "applied" || one.is === "proven" || one.is === "undone" || one.is === "broken") {
        const line = lines.get(one.revision);
        if (line) lines.set(one.revision, { ...line, result: one.is, ...("why" in one ? { why: one.why } : {}) });
      }
    }
    return [...lines.values()].sort((a, b) => b.revision - a.revision).slice(0, limit);
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#file.close();
  }
}

function chained(before: string, body: object): string {
  return createHash("sha256")
    .update(`${before}\n${JSON.stringify(body)}`)
    .digest("hex");
}

/** A crash can only have cut the last line; anything else that does not fit is somebody's work. */
function readChain(
  path: string,
  bytes: Buffer,
): { entries: SealedEntry[]; length: number; head: string; torn: number } {
  const entries: SealedEntry[] = [];
  let length = 0;
  let head = start;
  while (length < bytes.length) {
    const end = bytes.indexOf(0x0a, length);
    const last = end === -1 || end === bytes.length - 1;
    const line = parsed(bytes.subarray(length, end === -1 ? bytes.length : end));
    if (end === -1 || (last && line === undefined)) return { entries, length, head, torn: bytes.length - length };
    const { prev, hash, ...body } = line ?? {};
    const known = entry.safeParse(body);
    if (prev !== head || hash !== chained(head, body) || body.n !== entries.length + 1 || !known.success) {
      throw new CodedError(
        "journal/broken",
        `Line ${entries.length + 1} of ${path} does not fit the lines before it.`,
        {
          hint: "Somebody changed it. Move the file aside and start again: the server keeps what is in force; history and rollback begin anew.",
          fields: { line: entries.length + 1, path },
        },
      );
    }
    entries.push({ ...known.data, n: entries.length + 1, at: String(body.at) });
    head = hash as string;
    length = end + 1;
  }
  return { entries, length, head, torn: 0 };
}

function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
