/** Time comes in from outside, so that a test can move it instead of sleeping. */
export interface Clock {
  /** ms since 1970. */
  now(): number;
  /** Calls once after `ms`; returns the cancelling. Timers do not keep the process alive. */
  after(ms: number, work: () => void): () => void;
  /** Calls every `ms`. */
  every(ms: number, work: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  every(ms, work) {
    const timer = setInterval(work, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
