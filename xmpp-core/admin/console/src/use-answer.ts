import { useCallback, useEffect, useState } from "preact/hooks";
import { type Answers, get, type Refused } from "./api.ts";

export interface Asked<T> {
  /** The newest answer; stays while a later question fails. */
  readonly answer: T | undefined;
  readonly refused: Refused | undefined;
  reload(): void;
}

/** Asks at once, and again every `everyMs` while the page is seen (0: only once, and on `reload`). */
export function useAnswer<P extends keyof Answers>(path: P, everyMs = 0): Asked<Answers[P]> {
  const [state, set] = useState<{ answer?: Answers[P]; refused?: Refused }>({});
  const [round, again] = useState(0);
  useEffect(() => {
    let over = false;
    let timer: number | undefined;
    const look = (quiet: boolean): void => {
      get(path, quiet)
        .then(
          (answer) => !over && set({ answer }),
          (refused: Refused) => !over && set((before) => ({ ...before, refused })),
        )
        .finally(() => {
          if (!over && everyMs > 0) timer = window.setTimeout(next, everyMs);
        });
    };
    const next = (): void => {
      if (document.hidden) timer = window.setTimeout(next, everyMs);
      else look(true);
    };
    look(round > 0);
    return () => {
      over = true;
      window.clearTimeout(timer);
    };
  }, [path, everyMs, round]);
  return { answer: state.answer, refused: state.refused, reload: useCallback(() => again((n) => n + 1), []) };
}
