/** What the clock does: the periodic look, a look when a maintenance window opens, and the journal's retention. */
import { schedule } from "node-cron";
import type { Journal } from "../apply/journal.ts";
import type { Environment } from "../environment.ts";
import type { Policy } from "./policy.ts";
import { openWindows, type Windows } from "./window.ts";

export function windowsOf({ windows, timeZone }: Pick<Environment, "windows" | "timeZone">): Windows | undefined {
  return windows && openWindows(windows.text, timeZone, new Set(windows.impacts));
}

/** Why it is looked when nothing else asks for it. */
export const periodicLook = "the periodic look";

const dayMs = 86_400_000;

/** Starts all schedules; returns the way to stop them. */
export function openSchedules(
  { reconcile, timeZone, journalKeepDays }: Pick<Environment, "reconcile" | "timeZone" | "journalKeepDays">,
  { journal, policy, now }: { readonly journal: Journal; readonly policy: Policy; readonly now: () => number },
  wake: (cause: string) => void,
): () => void {
  const keep = () => {
    // A full disk or a broken file is told by the next line that must be written; retention can wait.
    if (journalKeepDays > 0) void journal.compact(new Date(now() - journalKeepDays * dayMs)).catch(() => {});
  };
  const options = { timezone: timeZone };
  const tasks = [
    schedule(reconcile, () => wake(periodicLook), options),
    ...(policy.windows?.openings ?? []).map((at) => schedule(at, () => wake("a maintenance window opens"), options)),
    schedule("17 3 * * *", keep, options),
  ];
  keep();
  return () => {
    for (const task of tasks) void task.stop();
  };
}
