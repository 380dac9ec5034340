/** After a crash: which revision is in force, and is it proven? Where journal and server differ, the server is right. */
import type { Report } from "../report.ts";
import type { Target } from "../target/target.ts";
import type { Journal } from "./journal.ts";
import { stateOf } from "./revision-state.ts";
import type { Probe } from "./verify.ts";

export interface Settling {
  readonly target: Target;
  readonly journal: Journal;
  readonly probes: () => Promise<Probe[]>;
  readonly report: Pick<Report, "settled">;
}

/**
 *  journal's end       | server                    | written
 *  --------------------|---------------------------|-------------------------------------------------
 *  intent N            | N in force                | applied N, then as below
 *  intent N            | anything else             | undone N
 *  applied N           | N, proven                 | proven N
 *  applied N           | N, unproven               | probes: all green → proven N; red → held, N stays
 *  anything            | a revision it knows, older| found, held: the server returned to it by itself
 *  anything            | a revision it does not know | found, with what the server has
 *  anything            | the same                  | nothing
 */
export async function settle({ target, journal, probes, report }: Settling): Promise<void> {
  await target.recover?.();
  const { revision, proven } = await target.revisions();
  const intent = journal.unsettled;
  if (intent) {
    if (intent.revision === revision) {
      await journal.append({ is: "applied", revision, done: ["found in force after an interruption"] });
      report.settled(`revision ${revision} is in force`);
    } else {
      await journal.append({ is: "undone", revision: intent.revision, why: "interrupted before the server took it" });
      report.settled(`revision ${intent.revision} was never taken`);
    }
  }
  if (revision !== (journal.revision ?? 0)) await find(revision, { target, journal, report });
  if (revision === 0 || journal.proven === revision) return;
  if (proven === revision) {
    await journal.append({ is: "proven", revision });
    return;
  }
  // An unproven revision was seen broken, or nobody came to look at it: only the latter is still to be decided.
  if (journal.hold || wasBroken(journal, revision)) return;
  const red = (await probes()).filter((one) => !one.green);
  if (red.length === 0) {
    await target.prove(revision);
    await journal.append({ is: "proven", revision });
  } else {
    const why = `revision ${revision} was interrupted before it was proven, and now ${red.map((one) => `${one.name}: ${one.detail}`).join("; ")}.`;
    await hold(journal, why);
  }
}

async function find(revision: number, { target, journal, report }: Omit<Settling, "probes">): Promise<void> {
  const former = journal.revision;
  const fellBack = former !== undefined && revision < former;
  const why = fellBack
    ? `the server returned from revision ${former} to ${revision} by itself, since it could not start with the newer one`
    : "the server has a revision that this journal does not know";
  await journal.append(journal.found(revision, stateOf(await target.actual()), why));
  report.settled(`revision ${revision}: ${why}`);
  if (fellBack) await hold(journal, `${why}.`);
}

async function hold(journal: Journal, why: string): Promise<void> {
  const snapshot = journal.entries.findLast((one) => one.is === "intent");
  await journal.append({ is: "held", why, snapshot: snapshot?.is === "intent" ? snapshot.snapshot : "", by: "agent" });
}

/** Resuming after that asks for another look. */
function wasBroken(journal: Journal, revision: number): boolean {
  const last = journal.entries.findLast(
    (one) => one.is === "resumed" || (one.is === "broken" && one.revision === revision),
  );
  return last?.is === "broken";
}
