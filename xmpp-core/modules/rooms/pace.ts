/** How much somebody may do: `burst` at once, then `perSecond`. */
export interface Pace {
  /** Whether one more is within it; takes it if so. */
  allows(key: object): boolean;
}

/** 0 per second: as much as comes. */
export function pace(now: () => number, limit: () => { perSecond: number; burst: number }): Pace {
  const spent = new WeakMap<object, { left: number; at: number }>();
  return {
    allows(key) {
      const { perSecond, burst } = limit();
      if (perSecond === 0) return true;
      const at = now();
      const known = spent.get(key) ?? { left: burst, at };
      const gained = (Math.max(0, at - known.at) / 1000) * perSecond;
      known.left = Math.min(burst, known.left + gained);
      known.at = at;
      spent.set(key, known);
      if (known.left < 1) return false;
      known.left -= 1;
      return true;
    },
  };
}
