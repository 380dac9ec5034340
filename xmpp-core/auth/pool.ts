import { CodedError } from "../errors.ts";

/** Bounds how many key derivations run and wait at once, so that logins cannot take the machine or its memory. */
export interface DerivationPool {
  /** Runs the work when a place is free. Throws `auth/busy` when too many wait already. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Derivations run on libuv's four threads, which files and name look-ups share: `parallel` leaves them room.
 * @param waiting how many may queue before `auth/busy`
 */
export function derivationPool({ parallel = 2, waiting = 1000 } = {}): DerivationPool {
  const queue: (() => void)[] = [];
  let running = 0;
  return {
    async run(work) {
      if (running >= parallel) {
        if (queue.length >= waiting) {
          throw new CodedError("auth/busy", "Too many passwords wait to be checked.", { fields: { waiting } });
        }
        // A place is handed over, never freed and taken again, so nobody overtakes the queue.
        await new Promise<void>((resolve) => queue.push(resolve));
      } else {
        running += 1;
      }
      try {
        return await work();
      } finally {
        const next = queue.shift();
        if (next) next();
        else running -= 1;
      }
    },
  };
}
