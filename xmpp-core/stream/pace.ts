import type { Clock } from "../clock.ts";

/** Watches how much a client sends; whoever exceeds its share over a few seconds is read more slowly, never cut off. */
export interface Pace {
  stanza(): void;
  /** Bytes have been read; returns the ms to wait before reading on, 0 mostly. */
  spent(bytes: number, bytesPerSecond: number, stanzasPerSecond: number): number;
}

const windowMs = 4000;

export function pace(clock: Clock): Pace {
  let since = clock.now();
  let bytes = 0;
  let stanzas = 0;
  return {
    stanza() {
      stanzas++;
    },
    spent(more, bytesPerSecond, stanzasPerSecond) {
      bytes += more;
      const now = clock.now();
      const due = Math.max((bytes * 1000) / bytesPerSecond, (stanzas * 1000) / stanzasPerSecond);
      const passed = now - since;
      // A burst as large as the window is free; what exceeds it is spread over time.
      if (due > passed + windowMs) return Math.min(1000, due - passed - windowMs);
      if (passed > windowMs) {
        since = now;
        bytes = 0;
        stanzas = 0;
      }
      return 0;
    },
  };
}
