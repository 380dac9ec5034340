import { type Clock, systemClock } from "../../xmpp-core/clock.ts";

/** A clock that stands still until the test moves it. */
export interface ManualClock extends Clock {
  /** Lets the time pass, calls what is due, and once everything that is done again and again. */
  pass(ms: number): void;
  /** What waits for a moment to come: how long from now each, ms; the newest last. */
  waits(): number[];
}

/** Shorter waits are a part giving way to others, not a deadline: they take place in real time. */
const momentMs = 100;

export function manualClock(): ManualClock {
  let now = Date.now();
  const timers = new Map<symbol, { at: number; work: () => void }>();
  const periodic = new Map<symbol, () => void>();
  return {
    now: () => now,
    after(ms, work) {
      if (ms < momentMs) return systemClock.after(ms, work);
      const key = Symbol(ms);
      timers.set(key, { at: now + ms, work });
      return () => void timers.delete(key);
    },
    every(_ms, work) {
      const key = Symbol("every");
      periodic.set(key, work);
      return () => void periodic.delete(key);
    },
    waits: () => [...timers.values()].map(({ at }) => at - now),
    pass(ms) {
      now += ms;
      for (const [key, { at, work }] of [...timers].sort(([, a], [, b]) => a.at - b.at)) {
        if (at > now) continue;
        timers.delete(key);
        work();
      }
      for (const work of [...periodic.values()]) work();
    },
  };
}
