/** Keeps an address that is followed from jumping: a new one must be seen again, and who moves often waits ever longer. */

export interface SteadyState {
  readonly current?: string;
  /** When it last moved, ms; absent while it never has. */
  readonly movedAt?: number;
  /** After a move none follows for so long, ms. */
  readonly holdMs?: number;
}

/** What came of one look. */
export type Steadied =
  | { readonly is: "same" | "taken" | "unconfirmed" }
  | { readonly is: "held"; readonly address: string; readonly until: number };

const minute = 60_000;
/** A first move is free, the next waits a minute, then two, four … an hour, as routers damp a route that flaps (RFC 2439). */
const firstHoldMs = minute;
const longestHoldMs = 60 * minute;
/** Without a move for so long, and for twice its hold, the past is forgotten. */
const calmMs = 60 * minute;

export interface SteadyAddress {
  readonly state: SteadyState;
  /**
   *  seen            | before                           | outcome
   *  ----------------|----------------------------------|------------------------------------------
   *  any             | nothing                          | taken
   *  the current one | any                              | same
   *  another         | seen fewer times than asked for  | unconfirmed
   *  another         | moved less than its hold ago     | held until then
   *  another         | else                             | taken; the next hold is doubled unless it was calm
   */
  saw(address: string, now: number): Steadied;
}

/** @param confirmations how often in a row a new address must be seen before it is taken */
export function steadyAddress(confirmations: number, restored: SteadyState = {}): SteadyAddress {
  let state = restored;
  let candidate: { address: string; seen: number } | undefined;
  return {
    get state() {
      return state;
    },
    saw(address, now) {
      if (address === state.current) {
        candidate = undefined;
        return { is: "same" };
      }
      if (state.current === undefined) {
        state = { ...state, current: address };
        return { is: "taken" };
      }
      candidate = { address, seen: candidate?.address === address ? candidate.seen + 1 : 1 };
      if (candidate.seen < confirmations) return { is: "unconfirmed" };
      const { holdMs = 0 } = state;
      // A clock that was set back must not hold for longer than the hold.
      const movedAt = state.movedAt === undefined ? undefined : Math.min(state.movedAt, now);
      if (movedAt !== undefined && now < movedAt + holdMs) return { is: "held", address, until: movedAt + holdMs };
      const calm = movedAt === undefined || now - movedAt >= Math.max(calmMs, 2 * holdMs);
      const next = calm ? firstHoldMs : Math.min(holdMs * 2, longestHoldMs);
      candidate = undefined;
      state = { current: address, movedAt: now, holdMs: next };
      return { is: "taken" };
    },
  };
}
