import type { Session } from "../routing/session.ts";
import type { Core } from "./module.ts";

/** Tells sessions that outlived an orderly restart what is no more, once their connections are there to be told on. */
export function afterRestart(core: Core, tell: (sessions: readonly Session[]) => void) {
  let waiting: Session[] = [];
  core.every(500, () => {
    if (waiting.length === 0) return;
    const here = waiting.filter((session) => session.carrier !== undefined || session.managed);
    waiting = waiting.filter((session) => !session.ended && !here.includes(session));
    tell(here.filter((session) => !session.ended));
  });
  return {
    restored(session: Session, after: "restart" | "crash"): void {
      if (after === "restart") waiting.push(session);
    },
  };
}
