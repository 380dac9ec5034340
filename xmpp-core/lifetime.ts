/** Closes what was opened, in reverse. What you open, you hand over in the same statement. */
export interface Lifetime {
  own<T>(opened: T, close: (opened: T) => unknown): T;
  /** Closes everything, reports the first failure by throwing it, and does nothing the second time. */
  end(): Promise<void>;
}

export function lifetime(): Lifetime {
  const closing: (() => unknown)[] = [];
  return {
    own(opened, close) {
      closing.push(() => close(opened));
      return opened;
    },
    async end() {
      const failures: unknown[] = [];
      for (let close = closing.pop(); close !== undefined; close = closing.pop()) {
        try {
          await close();
        } catch (error) {
          failures.push(error);
        }
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}
