/**
 * An apply without transactions: how each step is taken back is on disk before it is done, and the property with the
 * revision's number is written last. A failure takes all steps back at once, an interruption at the next look.
 */
import type { ApplyRequest } from "../../../xmpp-core/control/contract.ts";
import type { JournalEntry } from "../../apply/journal.ts";
import { CodedError } from "../../errors.ts";
import { needsRestart } from "./catalogue.ts";
import { type Holder, hold } from "./lease.ts";
import { readProperties } from "./look.ts";
import { type StepParts, stepOf } from "./steps.ts";
import { takeBack, type UndoLog } from "./undo.ts";

const revisionKey = "firekeeper.revision";
export const provenKey = "firekeeper.proven";

export type Stepping = Pick<StepParts, "rest" | "now"> & {
  readonly undo: UndoLog;
  readonly holder: Holder;
  readonly append: (entry: JournalEntry) => Promise<unknown>;
};

/** A setting that Openfire goes by only after its next start. */
export type Waits = { readonly key: string; readonly was: string | null; readonly is: string | null };

export function revisionsIn(stored: ReadonlyMap<string, string>) {
  return { revision: Number(stored.get(revisionKey) ?? 0), proven: Number(stored.get(provenKey) ?? 0) };
}

/** Throws what the server answered, with all steps taken back; `target/lost` when they could not be. */
export async function applySteps(
  { expected, revision, changes }: ApplyRequest,
  parts: Stepping & StepParts,
): Promise<{ done: string[]; waits: Waits[] }> {
  const { rest, undo } = parts;
  const stored = await readProperties(rest);
  await hold(rest, parts.holder, stored);
  const now = revisionsIn(stored);
  if (now.revision !== expected)
    throw new CodedError("control/stale-revision", `Revision ${now.revision} is in force, not ${expected}.`, {
      fields: { revision: now.revision, expected },
      hint: "Look at the plan again.",
    });
  const done: string[] = [];
  const waits: Waits[] = [];
  await recoverSteps(parts);
  try {
    for (const [at, change] of changes.entries()) {
      const step = await stepOf(change, parts);
      if (!step) continue;
      await undo.append(revision, step.undo);
      await parts.append({ is: "step", revision, step: at + 1, of: changes.length, what: step.what });
      await step.run();
      done.push(step.what);
      if (change.kind === "setting" && step.undo.of === "property" && needsRestart(step.undo.key))
        waits.push({ key: step.undo.key, was: step.undo.was, is: change.to });
    }
    await rest.send("POST", "/system/properties", { key: revisionKey, value: String(revision) });
  } catch (error) {
    await takeAllBack(parts, error);
    throw error;
  }
  await undo.clear();
  return { done, waits };
}

async function takeAllBack(parts: Stepping, cause: unknown): Promise<void> {
  try {
    await recoverSteps(parts);
  } catch {
    // What is not back yet is taken back when it answers again: until then nobody knows what stands.
    const why = cause instanceof CodedError ? cause.message : String(cause);
    throw new CodedError("target/lost", `Openfire was lost in the middle of an apply: ${why}`, { cause });
  }
}

/** Ends what was cut short: without the revision's own property, which comes last, all its steps go back. */
export async function recoverSteps({ rest, undo, holder, now }: Stepping): Promise<void> {
  const written = await undo.read();
  const last = written.at(-1);
  if (!last) return;
  const stored = await readProperties(rest);
  await hold(rest, holder, stored);
  if (revisionsIn(stored).revision !== last.revision)
    for (const one of written.reverse()) await takeBack(rest, one.undo, now);
  await undo.clear();
}
